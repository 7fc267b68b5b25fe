"""Security groups in OVN: a Port_Group each, an ACL for each rule, and one group that drops the rest.

OVN:  ovn-nb(5), tables Port_Group and ACL; ovn-northd keeps the address sets ``$pg_..._ip4`` and ``_ip6`` of each Port_Group itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.drivers.rows import Row, Value
from wolke.network import names
from wolke.network.lane import Site, kind, single
from wolke.network.security_groups.protocols import ICMP, WITH_PORTS, number
from wolke.network.security_groups.table import SecurityGroup, SecurityGroupRule

ALLOW, DROP = 1002, 1001  # priorities
DROP_ITEM = ("security_group_drop", "all")  # kind and id of the work item


def group_rows(db: Session, ids: Sequence[str], site: Site) -> list[Row]:
    """Port groups and ACLs of some security groups."""
    groups = db.execute(select(SecurityGroup.__table__).where(SecurityGroup.id.in_(ids))).all()
    rules = db.execute(select(SecurityGroupRule.__table__).where(SecurityGroupRule.security_group_id.in_(ids))).all()
    stateful = {group.id: group.stateful for group in groups}
    made = [Row(names.GROUP, names.port_group(id), _owner(id), {}) for id in stateful]
    for rule in rules:
        action = "allow-related" if stateful[rule.security_group_id] else "allow-stateless"
        made.append(
            acl(rule.id, rule.security_group_id, rule.direction, match(rule), action, _owner(rule.security_group_id))
        )
    return made


def drop_rows(db: Session, ids: Sequence[str], site: Site) -> list[Row]:
    """The drop group. Guests may always ask for an address, whatever their groups say, as with Neutron."""
    owner = names.owner(*DROP_ITEM)
    made = [Row(names.GROUP, names.DROP_GROUP, owner, {})]
    questions = {
        "dhcpv4": "ip4 && ip4.dst == {255.255.255.255, 0.0.0.0/0} && udp && udp.src == 68 && udp.dst == 67",
        "dhcpv6": "ip6 && ip6.dst == ff02::1:2 && udp && udp.src == 546 && udp.dst == 547",
    }
    for name, question in questions.items():
        made.append(_in_group(f"allow-{name}", names.DROP_GROUP, "egress", question, "allow", ALLOW, owner))
    for direction in ("ingress", "egress"):
        made.append(_in_group(f"drop-{direction}", names.DROP_GROUP, direction, "ip", "drop", DROP, owner))
    return made


def _owner(group_id: str) -> str:
    return names.owner(SecurityGroup.__tablename__, group_id)


def acl(key: str, group_id: str, direction: str, question: str, action: str, owner: str) -> Row:
    return _in_group(key, names.port_group(group_id), direction, question, action, ALLOW, owner)


def _in_group(key: str, group: str, direction: str, question: str, action: str, priority: int, owner: str) -> Row:
    side = "outport" if direction == "ingress" else "inport"
    columns: dict[str, Value] = {
        "direction": "to-lport" if direction == "ingress" else "from-lport",
        "priority": priority,
        "match": f"{side} == @{group} && {question}",
        "action": action,
    }
    return Row("ACL", key, owner, columns, frozenset({(names.GROUP, group, "acls")}))


def match(rule: Any) -> str:
    """What a rule says, in OVN's words (without the port group).

    >>> match(SecurityGroupRule(direction="ingress", ethertype="IPv4", protocol="tcp", port_range_min=80, port_range_max=80))
    'ip4 && tcp && tcp.dst == 80'
    """
    family = "ip4" if rule.ethertype == "IPv4" else "ip6"
    far = "src" if rule.direction == "ingress" else "dst"
    parts = [family]
    if rule.remote_ip_prefix:
        parts.append(f"{family}.{far} == {rule.remote_ip_prefix}")
    if rule.remote_group_id:
        parts.append(f"{family}.{far} == ${names.port_group(rule.remote_group_id)}_{family}")
    if rule.protocol is not None:
        parts += _protocol(rule, family)
    return " && ".join(parts)


def _protocol(rule: Any, family: str) -> list[str]:
    value = number(str(rule.protocol), rule.ethertype)
    low, high = rule.port_range_min, rule.port_range_max
    if value in ICMP:
        name = "icmp4" if family == "ip4" else "icmp6"
        typed = [f"{name}.type == {low}"] if low is not None else []
        return [name, *typed, *([f"{name}.code == {high}"] if high is not None else [])]
    name = WITH_PORTS.get(value, "")
    if name not in ("tcp", "udp", "sctp"):
        return [f"ip.proto == {value}"]
    if low is None:
        return [name]
    if low == high:
        return [name, f"{name}.dst == {low}"]
    return [name, f"{name}.dst >= {low}", f"{name}.dst <= {high}"]


single(*DROP_ITEM, drop_rows)
kind(SecurityGroup, group_rows)
