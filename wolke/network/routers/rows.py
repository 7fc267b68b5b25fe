"""Routers in OVN: a Logical_Router, a port of it for each of our ports on it, routes, and source NAT.

The gateway lives on one chassis at a time: all that reach the external network's physical segment stand in the router's
HA_Chassis_Group, in an order that differs from router to router (rendezvous hashing), and BFD between them decides.

OVN:  ovn-nb(5): Logical_Router, Logical_Router_Port, Logical_Router_Static_Route, NAT, HA_Chassis_Group.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.drivers.rows import Ref, Row, Value
from wolke.network import names
from wolke.network.chassis import Chassis
from wolke.network.lane import Site, kind
from wolke.network.networks.table import Network
from wolke.network.ports.table import FixedIp, Port
from wolke.network.routers.table import GATEWAY, Router
from wolke.network.subnets.table import Subnet

MOST_CHASSIS = 5  # OVN's own limit of useful gateway candidates, as Neutron has it
ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}


@dataclass(frozen=True, slots=True)
class Leg:
    """One port of a router, with what it stands on."""

    port: Any
    network: Any
    addresses: tuple[tuple[str, Any], ...]  # (address, subnet row)


def legs_of(db: Session, router_ids: Sequence[str]) -> dict[str, list[Leg]]:
    """The legs of many routers in three statements."""
    ports = db.execute(select(Port.__table__).where(Port.device_id.in_(router_ids)).order_by(Port.id)).all()
    subnets = {row.id: row for row in db.execute(
        select(Subnet.__table__).where(Subnet.network_id.in_({port.network_id for port in ports}))
    )}  # fmt: skip
    networks = {row.id: row for row in db.execute(
        select(Network.__table__).where(Network.id.in_({port.network_id for port in ports}))
    )}  # fmt: skip
    held: dict[str, list[tuple[str, Any]]] = defaultdict(list)
    for fixed in db.execute(
        select(FixedIp.__table__).where(FixedIp.port_id.in_([port.id for port in ports])).order_by(FixedIp.position)
    ):
        held[fixed.port_id].append((fixed.ip_address, subnets[fixed.subnet_id]))
    found: dict[str, list[Leg]] = {id: [] for id in router_ids}
    for port in ports:
        found[port.device_id].append(Leg(port, networks[port.network_id], tuple(held[port.id])))
    return found


def rows(db: Session, ids: Sequence[str], site: Site) -> list[Row]:
    """Everything of some routers."""
    routers = db.execute(select(Router.__table__).where(Router.id.in_(ids))).all()
    legs = legs_of(db, [router.id for router in routers])
    chassis = db.execute(select(Chassis.__table__)).all()
    return [row for router in routers for row in router_rows(router, legs[router.id], chassis)]


def router_rows(router: Any, legs: Sequence[Leg], chassis: Iterable[Any]) -> list[Row]:
    owner = names.owner(Router.__tablename__, router.id)
    options = {"always_learn_from_arp_request": "false", "dynamic_neigh_routers": "true"}
    columns: dict[str, Value] = {"name": router.id, "enabled": router.admin_state_up, "options": options}
    made = [Row("Logical_Router", router.id, owner, columns)]
    legs = [leg for leg in legs if leg.addresses]  # OVN knows no router port without an address
    gateway = next((leg for leg in legs if leg.port.device_owner == GATEWAY), None)
    inside = [leg for leg in legs if leg is not gateway]
    made += [port_row(router, leg, owner) for leg in inside]
    if gateway:
        group = f"hacg-{router.id}"
        made += [
            Row("HA_Chassis_Group", group, owner, {"name": group}),
            *candidates(router.id, group, gateway, chassis, owner),
        ]
        made.append(port_row(router, gateway, owner, group))
        made += default_routes(router, gateway, owner)
        made += source_nat(router, gateway, inside, owner)
    made += extra_routes(router, owner)
    return made


def port_row(router: Any, leg: Leg, owner: str, group: str = "") -> Row:
    """The router's end of a leg; the switch's end is the port's own row."""
    key = names.router_port(leg.port.id)
    columns: dict[str, Value] = {
        "name": key,
        "mac": leg.port.mac_address,
        "networks": frozenset(f"{address}/{ip_network(subnet.cidr).prefixlen}" for address, subnet in leg.addresses),
        "enabled": leg.port.admin_state_up,
    }
    if group:
        columns["ha_chassis_group"] = Ref("HA_Chassis_Group", group)
    elif mode := advertised(leg):
        columns["ipv6_ra_configs"] = {"address_mode": mode, "send_periodic": "true", "mtu": str(leg.network.mtu)}
    return Row("Logical_Router_Port", key, owner, columns, frozenset({("Logical_Router", router.id, "ports")}))


def advertised(leg: Leg) -> str:
    """How servers on this leg get IPv6 addresses, in OVN's words; "" where nothing is advertised."""
    modes = {"slaac": "slaac", "dhcpv6-stateful": "dhcpv6_stateful", "dhcpv6-stateless": "dhcpv6_stateless"}
    for _, subnet in leg.addresses:
        if subnet.ip_version == 6 and subnet.ipv6_ra_mode:
            return modes[subnet.ipv6_ra_mode]
    return ""


def candidates(router_id: str, group: str, gateway: Leg, chassis: Iterable[Any], owner: str) -> list[Row]:
    """The chassis that may carry the gateway, best first: those that reach its network, of which agents are heard if there are any."""
    reaching = [one for one in chassis if gateway.network.physical_network in one.physical_networks]
    able = [one.name for one in reaching if one.heard] or [one.name for one in reaching]
    able.sort(key=lambda name: hashlib.sha256(f"{router_id}/{name}".encode()).digest())
    parent = frozenset({("HA_Chassis_Group", group, "ha_chassis")})
    return [
        Row("HA_Chassis", f"{group}/{name}", owner, {"chassis_name": name, "priority": MOST_CHASSIS - at}, parent)
        for at, name in enumerate(able[:MOST_CHASSIS])
    ]


def route(router_id: str, key: str, prefix: str, nexthop: str, owner: str, output: str | None = None) -> Row:
    columns: dict[str, Value] = {"ip_prefix": prefix, "nexthop": nexthop, "output_port": output}
    parent = frozenset({("Logical_Router", router_id, "static_routes")})
    return Row("Logical_Router_Static_Route", key, owner, columns, parent)


def default_routes(router: Any, gateway: Leg, owner: str) -> list[Row]:
    output = names.router_port(gateway.port.id)
    return [
        route(
            router.id,
            f"{router.id}/default{subnet.ip_version}",
            ANYWHERE[subnet.ip_version],
            subnet.gateway_ip,
            owner,
            output,
        )
        for _, subnet in gateway.addresses
        if subnet.gateway_ip
    ]


def extra_routes(router: Any, owner: str) -> list[Row]:
    return [
        route(
            router.id, f"{router.id}/{one['destination']}/{one['nexthop']}", one["destination"], one["nexthop"], owner
        )
        for one in router.routes
    ]


def source_nat(router: Any, gateway: Leg, inside: Sequence[Leg], owner: str) -> list[Row]:
    """IPv4 leaves with the gateway's address; IPv6 is routed."""
    if not router.enable_snat:
        return []
    outside = next((address for address, subnet in gateway.addresses if subnet.ip_version == 4), None)
    if outside is None:
        return []
    parent = frozenset({("Logical_Router", router.id, "nat")})
    return [
        Row(
            "NAT",
            f"{router.id}/{subnet.id}",
            owner,
            {"type": "snat", "external_ip": outside, "logical_ip": subnet.cidr},
            parent,
        )
        for leg in inside
        for _, subnet in leg.addresses
        if subnet.ip_version == 4
    ]


kind(Router, rows)
