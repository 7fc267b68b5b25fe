"""Security groups in OVN: a Port_Group each, an ACL for each rule, and one group that drops the rest.

A group that is on ports of routers has a second Port_Group for these, whose ACLs remember nothing: OVN does not track connections
there. Each rule stands there twice, for what it allows and for the answers.

OVN:  ovn-nb(5), tables Port_Group and ACL; ovn-northd keeps the address sets ``$pg_..._ip4`` and ``_ip6`` of each Port_Group itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from wolke.drivers.rows import Parent, Ref, Row, Value
from wolke.network import names
from wolke.network.lane import Site, kind, single
from wolke.network.logs.table import ACCEPT, ALL, DROP, NetworkLog
from wolke.network.owners import ROUTERS
from wolke.network.ports.table import Port, PortSecurityGroup
from wolke.network.security_groups import acls
from wolke.network.security_groups.table import SecurityGroup, SecurityGroupRule

DROP_ITEM = ("security_group_drop", "all")  # kind and id of the work item
METER = "acl_log"
LOGGED_PER_SECOND, LOGGED_BURST = 100, 25  # lines of one ACL on one host, as Neutron limits them
DIRECTIONS = ("ingress", "egress")


def group_rows(db: Session, ids: Sequence[str], site: Site) -> list[Row]:
    """Port groups and ACLs of some security groups."""
    groups = db.execute(select(SecurityGroup.__table__).where(SecurityGroup.id.in_(ids))).all()
    rules = rules_of(db, ids)
    routed = on_routers(db, ids)
    logged = logs_of(db, groups)
    made: list[Row] = []
    for group in groups:
        owner = names.owner(SecurityGroup.__tablename__, group.id)
        accept, drop = logged.get((group.id, ACCEPT)), logged.get((group.id, DROP))
        name = names.port_group(group.id)
        made.append(Row(names.GROUP, name, owner, {}))
        for rule in rules.get(group.id, ()):
            made.append(server_acl(rule.id, owner, Place(name), rule, group.stateful, accept))
        if not group.stateful:
            made.append(metadata_acl(f"{group.id}/metadata", owner, Place(name)))
        if drop:
            made += drops(f"{group.id}/drop", owner, Place(name), acls.GROUP_LOGGED_DROP, drop)
        if group.id in routed:
            name = names.router_group(group.id)
            made.append(Row(names.GROUP, name, owner, {}))
            for rule in rules.get(group.id, ()):
                made += router_acls(f"{rule.id}/router", owner, Place(name), rule, accept)
            if drop:
                made += drops(f"{group.id}/router/drop", owner, Place(name), acls.GROUP_LOGGED_DROP, drop)
    return made


def rules_of(db: Session, group_ids: Iterable[str]) -> dict[str, list[Any]]:
    """Rules of each group, in a steady order."""
    found: dict[str, list[Any]] = {}
    query = select(SecurityGroupRule.__table__).where(SecurityGroupRule.security_group_id.in_(group_ids))
    for rule in db.execute(query.order_by(SecurityGroupRule.created_at, SecurityGroupRule.id)):
        found.setdefault(rule.security_group_id, []).append(rule)
    return found


def on_routers(db: Session, group_ids: Sequence[str]) -> set[str]:
    """Those of the groups that are on a port of a router."""
    query = select(PortSecurityGroup.group_id).join(Port, Port.id == PortSecurityGroup.port_id)
    query = query.where(PortSecurityGroup.group_id.in_(group_ids), Port.device_owner.in_(ROUTERS))
    return set(db.scalars(query.distinct()))


def logs_of(db: Session, groups: Sequence[Any]) -> dict[tuple[str, str], str]:
    """(group, ACCEPT or DROP) -> the log that its packets are written down for: the oldest, where there are several."""
    of = NetworkLog
    every = of.resource_id.is_(None) & of.project_id.in_({group.project_id for group in groups})
    query = select(of.__table__).where(of.enabled, of.target_id.is_(None))
    query = query.where(or_(of.resource_id.in_([group.id for group in groups]), every))
    found: dict[tuple[str, str], str] = {}
    for log in db.execute(query.order_by(of.created_at, of.id)):
        for group in groups:
            if log.resource_id == group.id or (log.resource_id is None and log.project_id == group.project_id):
                for event in (ACCEPT, DROP) if log.event == ALL else (log.event,):
                    found.setdefault((group.id, event), log.id)
    return found


def drop_rows(db: Session, ids: Sequence[str], site: Site) -> list[Row]:
    """What every port has that groups can be on: all is dropped that no group allows, but what a network cannot do without.

    Guests may always ask for an address, whatever their groups say, as with Neutron. Neighbours are found and errors told across
    ports of routers, because nobody remembers there whom they belong to.
    """
    owner = names.owner(*DROP_ITEM)
    server, router = Place(names.DROP_GROUP), Place(names.ROUTER_DROP_GROUP)
    made = [Row(names.GROUP, names.DROP_GROUP, owner, {}), Row(names.GROUP, names.ROUTER_DROP_GROUP, owner, {})]
    questions = {
        "dhcpv4": "ip4 && ip4.dst == {255.255.255.255, 0.0.0.0/0} && udp && udp.src == 68 && udp.dst == 67",
        "dhcpv6": "ip6 && ip6.dst == ff02::1:2 && udp && udp.src == 546 && udp.dst == 547",
    }
    for name, question in questions.items():
        made.append(acl(f"allow-{name}", owner, server, "egress", question, "allow", acls.ALLOW))
    made += drops("drop", owner, server, acls.DROP)
    made += drops("drop-router", owner, router, acls.DROP)
    needed = {"neighbours": acls.NEIGHBOURS, "errors4": acls.errors("IPv4"), "errors6": acls.errors("IPv6")}
    for direction in DIRECTIONS:
        for name, question in needed.items():
            key = f"allow-router-{name}-{direction}"
            made.append(acl(key, owner, router, direction, question, "allow-stateless", acls.ALLOW))
    bands: dict[str, Value] = {"action": "drop", "rate": LOGGED_PER_SECOND, "burst_size": LOGGED_BURST}
    made.append(Row("Meter_Band", METER, owner, bands))
    meter: dict[str, Value] = {"unit": "pktps", "fair": True, "bands": frozenset({Ref("Meter_Band", METER)})}
    made.append(Row("Meter", METER, owner, {"name": METER, **meter}))
    return made


# One ACL -------------------------------------------------------------------------------------------------------------
class Place:
    """Where ACLs stand: on the ports of a Port_Group, or on one port of a switch."""

    def __init__(self, group: str = "", *, port: str = "", switch: str = "") -> None:
        self.port = f"@{group}" if group else f'"{port}"'
        self.parent: Parent = (names.GROUP, group, "acls") if group else (names.SWITCH, switch, "acls")


def acl(
    key: str,
    owner: str,
    place: Place,
    direction: str,
    question: str,
    action: str,
    priority: int,
    log: str | None = None,
) -> Row:
    """``log`` : the log that says to write down what matches."""
    columns: dict[str, Value] = {
        "direction": acls.lport(direction),
        "priority": priority,
        "match": f"{acls.side(direction, place.port)} && {question}",
        "action": action,
        "log": log is not None,
        "name": log,
        "severity": "info" if log else None,
        "meter": METER if log else None,
    }
    return Row("ACL", key, owner, columns, frozenset({place.parent}))


def server_acl(
    key: str, owner: str, place: Place, rule: Any, stateful: bool, log: str | None, priority: int = acls.ALLOW
) -> Row:
    action = "allow-related" if stateful else "allow-stateless"
    return acl(key, owner, place, rule.direction, acls.match(rule), action, priority, log)


def router_acls(
    key: str, owner: str, place: Place, rule: Any, log: str | None, priority: int = acls.ALLOW
) -> list[Row]:
    """What a rule allows on a router's port, which is written down, and the answers, which are not."""
    made = [acl(key, owner, place, rule.direction, acls.match(rule), "allow-stateless", priority, log)]
    if answer := acls.answer(rule):
        back = acls.opposite(rule.direction)
        made.append(acl(f"{key}/answer", owner, place, back, answer, "allow-stateless", acls.ALLOW))
    return made


def metadata_acl(key: str, owner: str, place: Place) -> Row:
    """A guest whose groups remember nothing is still answered by the metadata service."""
    question = f"ip4 && ip4.src == 169.254.169.254 && tcp && tcp.src == 80 && {acls.NO_OPENING}"
    return acl(key, owner, place, "ingress", question, "allow-stateless", acls.ALLOW)


def drops(key: str, owner: str, place: Place, priority: int, log: str | None = None) -> list[Row]:
    return [acl(f"{key}-{direction}", owner, place, direction, "ip", "drop", priority, log) for direction in DIRECTIONS]


single(*DROP_ITEM, drop_rows)
kind(SecurityGroup, group_rows)
