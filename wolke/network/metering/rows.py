"""Metering in OVN: a policy of the router for each piece, which lets through what would go on anyway. Its flow counts on whichever host
carries the packet.

Policies are looked at where a router has decided on the way: what comes in has been translated to inner addresses by then, what goes out
is not translated yet. So prefixes on the local side are those of the projects, as Neutron's agent takes them.

OVN:  ovn-nb(5), table Logical_Router_Policy; ovn-northd(8), ingress table "policy".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from ipaddress import ip_address
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.drivers.rows import Row, Value
from wolke.drivers.traffic import DETOURED, PLAIN
from wolke.network import names
from wolke.network.metering.pieces import Piece, Rectangle, Rule, net, pieces, rule_of, within
from wolke.network.metering.table import EGRESS, INGRESS, MeteringLabel, MeteringLabelRule
from wolke.network.owners import GATEWAY
from wolke.network.ports.table import Port
from wolke.network.routers.table import Router

# What comes in by one gateway and leaves by another is counted as it comes in
BASE = {EGRESS: PLAIN.start, INGRESS: PLAIN.start + 300}


@dataclass(frozen=True, slots=True)
class Meter:
    """One policy that counts."""

    router_id: str
    direction: str
    priority: int
    match: str
    labels: frozenset[str]

    @property
    def key(self) -> str:
        return key_of(self.match)


def key_of(match: str) -> str:
    """Of what a meter matches, which may be long: it is nobody else's, for it names the gateway's port."""
    return sha256(match.encode()).hexdigest()[:32]


def meters_of(db: Session, routers: Iterable[Any]) -> dict[str, list[Meter]]:
    """The meters of some routers (``id``, ``project_id``), in three statements."""
    projects = {router.id: router.project_id for router in routers}
    asked = rules_of(db, set(projects.values()))
    if not any(asked(project_id) for project_id in projects.values()):
        return {}
    gateways = select(Port.id, Port.device_id).where(Port.device_id.in_(projects), Port.device_owner == GATEWAY)
    found: dict[str, list[Meter]] = defaultdict(list)
    for port_id, router_id in db.execute(gateways.order_by(Port.id)):
        for direction, cut in asked(projects[router_id]).items():
            found[router_id] += [meter(router_id, port_id, direction, piece) for piece in cut]
    return found


def rules_of(db: Session, project_ids: set[str]) -> Callable[[str], Mapping[str, Sequence[Piece]]]:
    """What is counted on a project's routers, by direction: its own labels' rules, and those of all shared labels."""
    query = select(MeteringLabelRule.__table__, MeteringLabel.shared).join(
        MeteringLabel, MeteringLabel.id == MeteringLabelRule.metering_label_id
    )
    query = query.where(MeteringLabel.shared | MeteringLabel.project_id.in_(project_ids))
    own: dict[str, list[Rule]] = defaultdict(list)
    for row in db.execute(query):
        own["" if row.shared else row.project_id].append(rule_of(row))

    @cache
    def cut(project_id: str) -> Mapping[str, Sequence[Piece]]:
        mine = [*own.get("", ()), *own.get(project_id, ())] if project_id else own.get("", [])
        found = {
            direction: pieces(frozenset(rule for rule in mine if rule.direction == direction)) for direction in BASE
        }
        return {direction: some for direction, some in found.items() if some}

    return lambda project_id: cut(project_id if project_id in own else "")


def meter(router_id: str, port_id: str, direction: str, piece: Piece) -> Meter:
    side = "inport" if direction == INGRESS else "outport"
    match = f'{side} == "{names.router_port(port_id)}" && {matching(piece.packets)}'
    return Meter(router_id, direction, BASE[direction] + piece.packets.length, match, piece.labels)


def detoured(router_id: str, port_ids: Sequence[str], egress: Sequence[Piece], source: str, near: str) -> list[Meter]:
    """Meters of what leaves from one address and does not go where the routes say; none of them counts what goes to ``near``."""
    address = net(source, ip_address(source).version)
    cut = {  # of the pieces to one destination, the longest
        piece.packets.destination: Piece(Rectangle(address, piece.packets.destination), piece.labels)
        for piece in sorted(egress, key=lambda piece: piece.packets.length) if within(address, piece.packets.source)
    }  # fmt: skip
    found = []
    for port_id in port_ids:
        for destination, piece in cut.items():
            one = meter(router_id, port_id, EGRESS, piece)
            priority = DETOURED.start + destination.prefixlen
            found.append(replace(one, priority=priority, match=f"{one.match} && {near}"))
    return found


def matching(packets: Rectangle) -> str:
    """
    >>> from wolke.network.metering.pieces import net
    >>> matching(Rectangle(net("10.0.0.0/24", 4), net(None, 4))), matching(Rectangle(net(None, 6), net(None, 6)))
    ('ip4.src == 10.0.0.0/24', 'ip6')
    """
    ends = {"src": packets.source, "dst": packets.destination}
    told = [f"ip{packets.version}.{end} == {prefix}" for end, prefix in ends.items() if prefix.prefixlen]
    return " && ".join(told) or f"ip{packets.version}"


def row(one: Meter, owner: str, nexthop: str = "") -> Row:
    """A meter's policy; ``nexthop`` : where its packets are led, "" for where they go anyway."""
    columns: dict[str, Value] = {"priority": one.priority, "match": one.match, "action": "allow"}
    if nexthop:
        columns |= {"action": "reroute", "nexthops": frozenset({nexthop})}
    parent = frozenset({("Logical_Router", one.router_id, "policies")})
    return Row("Logical_Router_Policy", f"meter/{one.key}", owner, columns, parent)


def all_meters(db: Session) -> list[Meter]:
    """Everything that is counted now."""
    routers = select(Router.id, Router.project_id).where(Router.deleting.is_(False))
    shared = db.scalar(select(MeteringLabel.id).where(MeteringLabel.shared).limit(1))
    if shared is None:
        routers = routers.where(Router.project_id.in_(select(MeteringLabel.project_id)))
    return [one for some in meters_of(db, db.execute(routers).all()).values() for one in some]
