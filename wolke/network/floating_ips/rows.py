"""Floating IPs in OVN: a NAT rule each, carried out on the chassis of the port it leads to, or of the gateway where the router is not
distributed; and a load balancer with one member for each port forwarding.

Switches behind the router have the load balancer as well: a server that asks the floating IP from inside is answered without a way out
and back.

OVN:  ovn-nb(5), tables NAT (type dnat_and_snat, with external_mac and logical_port: "distributed") and Load_Balancer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wolke.drivers.rows import Ref, Row, Value
from wolke.network import names
from wolke.network.floating_ips import routed
from wolke.network.floating_ips.table import FloatingIp, PortForwarding
from wolke.network.lane import Site, kind
from wolke.network.metering import rows as metering
from wolke.network.metering.pieces import Piece
from wolke.network.metering.table import EGRESS
from wolke.network.owners import GATEWAY, INTERFACE
from wolke.network.ports.table import FixedIp, Port
from wolke.network.qos import rows as qos
from wolke.network.routers.legs import Leg, legs_of
from wolke.network.routers.table import Router
from wolke.network.routers.ways import Detour, detour

BALANCER = "Load_Balancer"
DETOUR = 20000  # priority; what is not to be forwarded at all goes before


# A whole address ---------------------------------------------------------------------------------------------------
def rows(db: Session, ids: Sequence[str], site: Site) -> list[Row]:
    """One NAT row for each floating IP that leads to a port; a route beside it where the address is IPv6."""
    query = select(
        FloatingIp.__table__, Router.distributed, Router.gateway_port_id, Router.routes,
        Router.project_id.label("router_project_id"),
    )  # fmt: skip
    query = query.join(Router, Router.id == FloatingIp.router_id)
    led = db.execute(query.where(FloatingIp.id.in_(ids), FloatingIp.port_id.is_not(None))).all()
    several = legs_of_several(db, {one.router_id for one in led})
    doors = gateways(db, {one.router_id for one in led}, {one.gateway_port_id for one in led})
    rules = metering.rules_of(db, {one.router_project_id for one in led if one.router_id in several})
    made = []
    for one in led:
        door = doors.get((one.router_id, one.floating_network_id))
        owner = names.owner(FloatingIp.__tablename__, one.id)
        at_home = one.distributed and routed.version_of(one.floating_ip_address) == 4
        columns: dict[str, Value] = {
            "type": "dnat_and_snat",
            "external_ip": one.floating_ip_address,
            "logical_ip": one.fixed_ip_address,
            "external_mac": one.mac_address if at_home else None,
            "logical_port": one.port_id if at_home else None,
            "gateway_port": Ref("Logical_Router_Port", names.router_port(door)) if door else None,
            **routed.untranslated(one),
        }
        parent = frozenset({("Logical_Router", one.router_id, "nat")})
        made.append(Row("NAT", one.id, owner, columns, parent))
        made += routed.routes(one, owner)
        if legs := several.get(one.router_id):
            made += detour_rows(one, legs, owner, rules(one.router_project_id).get(EGRESS, ()))
    return made + qos.of_floating_ips(db, ids)


def legs_of_several(db: Session, router_ids: set[str]) -> dict[str, list[Leg]]:
    """The legs of those routers that have more than one gateway; few do, so few are read."""
    query = select(Port.device_id).where(Port.device_id.in_(router_ids), Port.device_owner == GATEWAY)
    many = db.scalars(query.group_by(Port.device_id).having(func.count() > 1)).all()
    return legs_of(db, many) if many else {}


def detour_rows(one: Any, legs: Sequence[Leg], owner: str, egress: Sequence[Piece]) -> list[Row]:
    """``one`` : the floating IP with what the router says of gateways and routes; ``egress`` : what is counted of what leaves"""
    way = detour_of(one, legs)
    if way is None:
        return []
    version = ip_address(way.source).version
    columns: dict[str, Value] = {
        "priority": DETOUR,
        "match": f"ip{version}.src == {way.source} && {far(way)}",
        "action": "reroute",
        "nexthops": frozenset({way.nexthop}),
    }
    parent = frozenset({("Logical_Router", one.router_id, "policies")})
    made = [Row("Logical_Router_Policy", f"{one.id}/detour", owner, columns, parent)]
    return made + [metering.row(meter, owner, way.nexthop) for meter in detour_meters(one, way, legs, egress)]


def detour_of(one: Any, legs: Sequence[Leg]) -> Detour | None:
    source = one.fixed_ip_address if routed.version_of(one.floating_ip_address) == 4 else one.floating_ip_address
    return detour(one, legs, one.floating_network_id, source)


def far(way: Detour) -> str:
    return f"ip{ip_address(way.source).version}.dst != {{{', '.join(way.near)}}}"


def detour_meters(one: Any, way: Detour, legs: Sequence[Leg], egress: Sequence[Piece]) -> list[metering.Meter]:
    outer = [leg.port.id for leg in legs if leg.is_gateway]
    return metering.detoured(one.router_id, outer, egress, way.source, far(way))


def all_detour_meters(db: Session) -> list[metering.Meter]:
    """What is counted now of floating IPs on other gateways."""
    query = select(
        FloatingIp.__table__, Router.gateway_port_id, Router.routes, Router.project_id.label("router_project_id")
    )
    query = query.join(Router, Router.id == FloatingIp.router_id).where(FloatingIp.port_id.is_not(None))
    several = select(Port.device_id).where(Port.device_owner == GATEWAY).group_by(Port.device_id)
    led = db.execute(query.where(Router.id.in_(several.having(func.count() > 1)))).all()
    legs = legs_of(db, sorted({one.router_id for one in led}))
    rules = metering.rules_of(db, {one.router_project_id for one in led})
    found = []
    for one in led:
        egress = rules(one.router_project_id).get(EGRESS, ())
        if egress and (way := detour_of(one, legs[one.router_id])):
            found += detour_meters(one, way, legs[one.router_id], egress)
    return found


def gateways(db: Session, router_ids: set[str], first: set[str]) -> dict[tuple[str, str], str]:
    """(router, external network) -> the gateway port that a floating IP enters by: the router's first gateway before others."""
    query = select(Port.id, Port.device_id, Port.network_id).where(Port.device_id.in_(router_ids))
    ports = db.execute(query.where(Port.device_owner == GATEWAY).order_by(Port.created_at, Port.id)).all()
    found: dict[tuple[str, str], str] = {}
    for port in sorted(ports, key=lambda port: port.id not in first):
        found.setdefault((port.device_id, port.network_id), port.id)
    return found


kind(FloatingIp, rows)


# Some ports of an address ------------------------------------------------------------------------------------------
def forwarding_rows(db: Session, ids: Sequence[str], site: Site) -> list[Row]:
    query = select(PortForwarding.__table__, FloatingIp.floating_ip_address, FloatingIp.router_id)
    query = query.join(FloatingIp, FloatingIp.id == PortForwarding.floating_ip_id)
    found = db.execute(query.where(PortForwarding.id.in_(ids), FloatingIp.router_id.is_not(None))).all()
    inside: dict[str, set[str]] = defaultdict(set)
    legs = select(Port.device_id, Port.network_id).join(FixedIp, FixedIp.port_id == Port.id).distinct()
    routers = {one.router_id for one in found}
    for router_id, network_id in db.execute(legs.where(Port.device_id.in_(routers), Port.device_owner == INTERFACE)):
        inside[router_id].add(network_id)
    return [balancer(one, inside[one.router_id]) for one in found]


def balancer(one: Any, networks: set[str]) -> Row:
    columns: dict[str, Value] = {
        "name": one.id,
        "protocol": one.protocol,
        "vips": {
            f"{one.floating_ip_address}:{outer}": f"{one.internal_ip_address}:{inner}" for outer, inner in pairs(one)
        },
        # the gateway's own address may be on another subnet of the external network than the floating IP
        "options": {"neighbor_responder": "all"},
    }
    parents = {("Logical_Router", one.router_id, "load_balancer")}
    parents |= {(names.SWITCH, network_id, "load_balancer") for network_id in networks}
    return Row(BALANCER, one.id, names.owner(PortForwarding.__tablename__, one.id), columns, frozenset(parents))


def pairs(one: Any) -> Iterator[tuple[int, int]]:
    """(external port, internal port) of everything that one forwarding leads on."""
    step = 0 if one.internal_first == one.internal_last else 1
    for at in range(one.external_last - one.external_first + 1):
        yield one.external_first + at, one.internal_first + at * step


kind(PortForwarding, forwarding_rows)
