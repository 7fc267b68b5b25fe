"""A picture from the tables: of everything, or of what can matter for some ports and addresses.

The number of statements does not depend on how much there is. For a question the tables are asked only for the networks that routers join
with those of the two sides, for the ports of those routers, and for whoever stands next on the way; servers that merely live there are
not read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, String, and_, case, cast, exists, or_, select, union_all
from sqlalchemy.orm import Session

from wolke.network.address_scopes.table import AddressScope
from wolke.network.chassis import Chassis
from wolke.network.doorman import reader
from wolke.network.doorman.table import DoormanRule
from wolke.network.floating_ips.table import FloatingIp as FloatingIpRow
from wolke.network.floating_ips.table import PortForwarding
from wolke.network.networks.table import Network as NetworkRow
from wolke.network.owners import GATEWAY, INTERFACE, ROUTERS, trusted
from wolke.network.ports.table import FixedIp, PortSecurityGroup
from wolke.network.ports.table import Port as PortRow
from wolke.network.reachability.groups import read_groups
from wolke.network.reachability.outside import is_private
from wolke.network.reachability.picture import (
    Detour,
    Door,
    FloatingIp,
    Forwarding,
    Ip,
    Net,
    Network,
    Pair,
    Picture,
    Port,
    Route,
    Router,
    SourceNat,
    Subnet,
)
from wolke.network.reachability.values import address_of, chosen, net_of
from wolke.network.routed.published import in_scope, operators
from wolke.network.routers.legs import Leg, legs_of
from wolke.network.routers.placement import candidates
from wolke.network.routers.table import Router as RouterRow
from wolke.network.routers.ways import detour, neighbour, source_nats, ways
from wolke.network.security_groups.protocols import number
from wolke.network.security_groups.table import SecurityGroup
from wolke.network.subnetpools.table import SubnetPool
from wolke.network.subnets.table import Subnet as SubnetRow
from wolke.network.zones.table import ZoneSegment


@dataclass(frozen=True, slots=True)
class Scope:
    """What a picture of few things is about."""

    port_ids: frozenset[str] = frozenset()
    floating_ids: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()


@dataclass(slots=True)
class Found:
    """What a scope has led to, by ids; functions here take None where everything is meant."""

    networks: set[str] = field(default_factory=set)
    routers: set[str] = field(default_factory=set)
    ports: set[str] = field(default_factory=set)
    floating: list[Any] = field(default_factory=list)


def picture(db: Session, scope: Scope | None = None) -> Picture:
    """The network as it is wanted, and which ports are up. ``scope=None`` reads all of it."""
    found = led_to(db, scope) if scope else None
    routers = db.execute(chosen(select(RouterRow.__table__), RouterRow.id, found.routers if found else None)).all()
    subnets = db.execute(
        chosen(select(SubnetRow.__table__), SubnetRow.network_id, found.networks if found else None)
    ).all()
    ports = db.execute(select(PortRow.__table__).where(wanted_ports(found, scope, routers, subnets))).all()
    if found:
        found.networks |= {port.network_id for port in ports}
        found.ports = {port.id for port in ports}
        missing = found.networks - {subnet.network_id for subnet in subnets}
        subnets = [*subnets, *db.execute(select(SubnetRow.__table__).where(SubnetRow.network_id.in_(missing)))]
    floating = found.floating if found else db.execute(select(FloatingIpRow.__table__)).all()
    fixed: dict[str, list[tuple[Ip, str]]] = defaultdict(list)
    its = select(FixedIp.port_id, FixedIp.ip_address, FixedIp.subnet_id).order_by(FixedIp.port_id, FixedIp.position)
    for port_id, ip, subnet_id in db.execute(chosen(its, FixedIp.port_id, found.ports if found else None)):
        fixed[port_id].append((address_of(ip), subnet_id))
    members: dict[str, list[str]] = defaultdict(list)
    joined = select(PortSecurityGroup.port_id, PortSecurityGroup.group_id).order_by(PortSecurityGroup.group_id)
    for port_id, group_id in db.execute(chosen(joined, PortSecurityGroup.port_id, found.ports if found else None)):
        members[port_id].append(group_id)
    networks = read_networks(db, found)
    chassis = db.execute(select(Chassis.__table__)).all()
    legs = legs_of(db, [router.id for router in routers])
    forwardings = read_forwardings(db, floating)
    balanced = {leg.network.id for row in forwardings for leg in legs.get(row.router_id, ()) if not leg.is_gateway}
    pools = read_pools(db)
    return Picture(
        networks={row.id: network_of(row, balanced) for row in networks},
        subnets={row.id: subnet_of(row, pools) for row in subnets},
        ports={row.id: port_of(row, fixed.get(row.id, ()), members.get(row.id, ()), floating) for row in ports},
        routers={row.id: router_of(row, legs[row.id], chassis, floating) for row in routers},
        groups=read_groups(
            db, {id for held in members.values() for id in held} if found else None, known(fixed, floating, scope)
        ),
        floating={row.id: floating_of(row) for row in floating},
        forwardings=[forwarding_of(row) for row in forwardings],
        door=read_door(db),
        published=published(legs, pools),
    )


# What a scope leads to -----------------------------------------------------------------------------------------------
def led_to(db: Session, scope: Scope) -> Found:
    """Routers and networks that a packet of the scope can come by, and the floating IPs in play."""
    found = Found(ports=set(scope.port_ids))
    led = select(PortForwarding.floating_ip_id).where(PortForwarding.internal_port_id.in_(scope.port_ids))
    own = FloatingIpRow.port_id.in_(scope.port_ids) | FloatingIpRow.id.in_(scope.floating_ids)
    own = own | FloatingIpRow.id.in_(led)
    found.floating = list(
        db.execute(select(FloatingIpRow.__table__).where(own | FloatingIpRow.floating_ip_address.in_(scope.addresses)))
    )
    found.ports |= {one.port_id for one in found.floating if one.port_id} | {
        one.floating_port_id for one in found.floating
    }
    ids = [one.id for one in found.floating]
    found.ports |= set(
        db.scalars(select(PortForwarding.internal_port_id).where(PortForwarding.floating_ip_id.in_(ids)))
    )
    seeds = {one.router_id for one in found.floating if one.router_id}
    seeds |= {one.floating_network_id for one in found.floating}
    public = [ip for ip in scope.addresses if not is_private(address_of(ip))]  # private ones are in many projects
    outer = select(PortRow.device_id, PortRow.network_id).join(FixedIp, FixedIp.port_id == PortRow.id)
    gateway = FixedIp.ip_address.in_(scope.addresses) & (PortRow.device_owner == GATEWAY)
    outer = outer.where(gateway | FixedIp.ip_address.in_(public))
    own_networks = select(PortRow.device_id, PortRow.network_id).where(PortRow.id.in_(found.ports))
    for device_id, network_id in db.execute(union_all(outer, own_networks)):
        seeds |= {device_id, network_id} - {""}
    reached = joined(db, seeds)
    found.routers = set(db.scalars(select(RouterRow.id).where(RouterRow.id.in_(reached))))
    found.networks = reached - found.routers
    return found


def joined(db: Session, seeds: Collection[str]) -> set[str]:
    """Networks and routers that are joined, however many are between: by routers, or by servers that may hand on what is others'.
    What only a physical external network joins is not: that way goes by its addresses."""
    if not seeds:
        return set()
    its = select(PortRow.network_id).where(PortRow.device_id.in_(seeds), PortRow.device_owner == INTERFACE)
    # ids are of several lengths, and PostgreSQL wants one type
    start = select(cast(NetworkRow.id, String).label("id")).where(or_(NetworkRow.id.in_(seeds), NetworkRow.id.in_(its)))
    reach = start.cte("reach", recursive=True)
    step = select(cast(case((PortRow.network_id == reach.c.id, PortRow.device_id), else_=PortRow.network_id), String))
    here = or_(PortRow.network_id == reach.c.id, PortRow.device_id == reach.c.id)
    overlay = select(NetworkRow.id).where(NetworkRow.physical_network == "")
    hands_on = or_(~PortRow.port_security_enabled, cast(PortRow.allowed_address_pairs, String) != "[]")
    inner = or_(
        PortRow.device_owner == INTERFACE,
        and_(PortRow.device_owner == GATEWAY, PortRow.network_id.in_(overlay)),
        and_(PortRow.device_id != "", ~trusted(PortRow.device_owner), hands_on),
    )
    reach = reach.union(step.where(here, inner))
    return {*seeds, *db.scalars(select(reach.c.id))}


def wanted_ports(
    found: Found | None, scope: Scope | None, routers: Sequence[Any], subnets: Sequence[Any]
) -> ColumnElement[bool]:
    """The ports that can matter: of the routers, of the two sides with their servers, and next hops."""
    if found is None or scope is None:
        return PortRow.id.is_not(None)
    nexthops = {subnet.gateway_ip for subnet in subnets if subnet.gateway_ip} | set(scope.addresses)
    nexthops |= {route["nexthop"] for subnet in subnets for route in subnet.host_routes}
    nexthops |= {route["nexthop"] for router in routers for route in router.routes}
    next_ones = select(FixedIp.port_id).where(FixedIp.network_id.in_(found.networks), FixedIp.ip_address.in_(nexthops))
    start = or_(PortRow.id.in_(found.ports), PortRow.id.in_(next_ones))
    servers = select(PortRow.device_id).where(start, PortRow.device_id != "", ~trusted(PortRow.device_owner))
    paired = and_(PortRow.network_id.in_(found.networks), cast(PortRow.allowed_address_pairs, String) != "[]")
    legs = and_(PortRow.device_id.in_(found.routers), PortRow.device_owner.in_(ROUTERS))
    return or_(start, PortRow.device_id.in_(servers), paired, legs)


def known(fixed: dict[str, list[tuple[Ip, str]]], floating: Sequence[Any], scope: Scope | None) -> set[str] | None:
    """Addresses that a packet may bear; None for any."""
    if scope is None:
        return None
    told = {str(ip) for held in fixed.values() for ip, _ in held} | scope.addresses
    return told | {one.floating_ip_address for one in floating}


# Rows as values ------------------------------------------------------------------------------------------------------
def read_networks(db: Session, found: Found | None) -> Sequence[Any]:
    tracking = exists().where(
        PortRow.network_id == NetworkRow.id,
        PortRow.device_owner.not_in(ROUTERS),  # their groups remember nothing
        PortSecurityGroup.port_id == PortRow.id,
        SecurityGroup.id == PortSecurityGroup.group_id,
        SecurityGroup.stateful,
    )
    query = select(NetworkRow.__table__, tracking.label("stateful"), ZoneSegment.zone_id)
    query = query.outerjoin(ZoneSegment, ZoneSegment.network_id == NetworkRow.id)
    return db.execute(chosen(query, NetworkRow.id, found.networks if found else None)).all()


def network_of(row: Any, balanced: Collection[str]) -> Network:
    """``balanced``: networks whose switches carry out port forwardings; they track conversations, too."""
    return Network(
        row.id, row.name, row.project_id, row.admin_state_up, row.external, bool(row.physical_network or row.zone_id), row.shared,
        bool(row.stateful) or row.id in balanced,
    )  # fmt: skip


def subnet_of(row: Any, pools: Mapping[str, Pool]) -> Subnet:
    routes = tuple((net_of(one["destination"]), address_of(one["nexthop"])) for one in row.host_routes)
    gateway = address_of(row.gateway_ip) if row.gateway_ip else None
    pool = pools.get(row.subnetpool_id or "")
    scope, ours = (pool.scope_id, pool.operators) if pool else ("", False)
    return Subnet(row.id, row.name, row.project_id, row.network_id, net_of(row.cidr), gateway, routes, scope, ours)


def port_of(row: Any, addresses: Sequence[tuple[Ip, str]], groups: Sequence[str], floating: Sequence[Any]) -> Port:
    """Floating IPs of IPv6 are used by their ports as their own."""
    pairs = [Pair(pair["mac_address"], net_of(pair["ip_address"])) for pair in row.allowed_address_pairs]
    pairs += [
        Pair(row.mac_address, net_of(one.floating_ip_address))
        for one in floating
        if one.port_id == row.id and is_routed(one)
    ]
    return Port(
        row.id, row.name, row.project_id, row.network_id, row.mac_address, tuple(addresses), row.device_id, row.device_owner,
        row.admin_state_up, row.seen_up, row.port_security_enabled, tuple(pairs), tuple(groups), row.host, row.shut,
    )  # fmt: skip


def is_routed(one: Any) -> bool:
    """Whether a floating IP leads somewhere without a translation."""
    return bool(one.port_id and one.router_id and ":" in one.floating_ip_address)


def router_of(row: Any, legs: Sequence[Leg], chassis: Sequence[Any], floating: Sequence[Any]) -> Router:
    hosts = {one.name: one.hostname for one in chassis}
    carriers = {
        leg.port.id: hosts[str(best[0].columns["chassis_name"])]
        for leg in legs
        if leg.is_gateway and (best := candidates(row, "", leg, chassis, ""))
    }
    routes = [Route(net_of(way.prefix), address_of(way.nexthop), way.leg.port.id) for way in ways(row, legs)]
    mine = [one for one in floating if one.router_id == row.id and one.port_id]
    for one in mine:
        if is_routed(one) and (leg := neighbour(legs, address_of(one.fixed_ip_address))):
            routes.append(Route(net_of(one.floating_ip_address), address_of(one.fixed_ip_address), leg.port.id))
    nats = (
        SourceNat(net_of(nat.inside), address_of(nat.outside), nat.gateway.port.id) for nat in source_nats(row, legs)
    )
    detours = []
    for one in mine:
        source = one.floating_ip_address if is_routed(one) else one.fixed_ip_address
        if way := detour(row, legs, one.floating_network_id, source):
            near = tuple(map(net_of, way.near))
            detours.append(Detour(address_of(source), near, address_of(way.nexthop), way.leg.port.id))
    silent = {leg.port.id for leg in legs if leg.is_gateway and leg.network.physical_network} - carriers.keys()
    return Router(
        row.id, row.name, row.project_id, row.admin_state_up, tuple(routes), tuple(nats), frozenset(silent), carriers,
        tuple(detours), row.distributed
    )  # fmt: skip


def floating_of(row: Any) -> FloatingIp:
    return FloatingIp(
        row.id, row.project_id, row.floating_network_id, address_of(row.floating_ip_address), row.port_id,
        address_of(row.fixed_ip_address) if row.fixed_ip_address else None, row.router_id,
    )  # fmt: skip


def read_forwardings(db: Session, floating: Sequence[Any]) -> Sequence[Any]:
    query = select(PortForwarding.__table__, FloatingIpRow.router_id)
    query = query.join(FloatingIpRow, FloatingIpRow.id == PortForwarding.floating_ip_id)
    ids = [one.id for one in floating if not one.port_id]
    return db.execute(query.where(PortForwarding.floating_ip_id.in_(ids), FloatingIpRow.router_id.is_not(None))).all()


def forwarding_of(row: Any) -> Forwarding:
    step = 0 if row.internal_first == row.internal_last else 1
    return Forwarding(
        row.id, row.floating_ip_id, row.router_id, number(row.protocol, "IPv4"), row.external_first, row.external_last,
        row.internal_first, address_of(row.internal_ip_address), row.internal_port_id, step,
    )  # fmt: skip


# What surrounds it all -----------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Pool:
    """A subnet pool: its address scope, and whether it is an operator's, so that the world routes what is cut from it."""

    scope_id: str
    operators: bool


def read_pools(db: Session) -> dict[str, Pool]:
    query = select(SubnetPool.id, SubnetPool.address_scope_id, operators().label("operators"))
    rows = db.execute(query.outerjoin(AddressScope, in_scope()))
    return {row.id: Pool(row.address_scope_id or "", bool(row.operators)) for row in rows}


def published(legs: Mapping[str, Sequence[Leg]], pools: Mapping[str, Pool]) -> list[tuple[Net, Ip]]:
    """Prefixes that the world outside sends in, with the next hops it was told; as ``network.routed`` tells them."""
    found = []
    for its in legs.values():
        gateways = [leg for leg in its if leg.is_gateway]
        for leg in its:
            for _, subnet in leg.addresses if not leg.is_gateway and not leg.network.external else ():
                pool, version = pools.get(subnet.subnetpool_id or ""), subnet.ip_version
                if pool is None or not pool.operators or not (pool.scope_id or version == 6):
                    continue
                for gateway in gateways:
                    outer = {s.subnetpool_id or "" for _, s in gateway.addresses if s.ip_version == version}
                    if pool.scope_id in {pools[id].scope_id if id in pools else "" for id in outer}:
                        found.append((net_of(subnet.cidr), address_of(gateway.address(version))))
    return found


def read_door(db: Session) -> Door:
    door = reader.load(db)
    names = {row.id: row.name for row in db.execute(select(DoormanRule.id, DoormanRule.name))} if door.rules else {}
    return Door(door.rules, door.exemptions, door.networks, names)
