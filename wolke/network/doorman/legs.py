"""Routers that stand with an inner port on a network that has a door: what goes past them is in a project, or out of it.

Such a port is no gateway, and what comes in there may be on its way out by the router's gateway. So inwards the door looks only at packets
for the networks behind the router: those of its other inner ports, and those that its extra routes and floating IPv6 addresses lead to.
Outwards it looks at all that has come into the router by another inner port, whatever address it says it comes from: a server of the
project's may have no port security and bear an address of the network outside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.network.doorman import places
from wolke.network.doorman.spans import Address, Network
from wolke.network.floating_ips import routed
from wolke.network.floating_ips.table import FloatingIp
from wolke.network.networks.table import Network as NetworkRow
from wolke.network.owners import INTERFACE
from wolke.network.ports.table import FixedIp, Port
from wolke.network.routers.table import Router
from wolke.network.subnets.table import Subnet


@dataclass(frozen=True, slots=True)
class Leg:
    port_id: str
    network_id: str
    router_id: str
    beside: tuple[str, ...]  # the router's other inner ports
    behind: tuple[Network, ...]


def behind(others: Iterable[Network], routes: Iterable[tuple[Network, Address]]) -> tuple[Network, ...]:
    """The networks that a router leads to by other inner ports than one.

    Parameters
    ----------
    others : networks of the router's other inner ports
    routes : destination and next hop of all that it is told beside its own networks; a default route leads out, not behind
    """
    mine = list(others)
    led = [net for net, nexthop in routes if net.prefixlen and any(nexthop in one for one in mine)]
    return tuple(dict.fromkeys([*mine, *led]))


def legs(db: Session) -> list[Leg]:
    """All of them, of networks that have a door."""
    door = select(Port.device_id).join(NetworkRow, NetworkRow.id == Port.network_id)
    concerned = set(db.scalars(door.where(Port.device_owner == INTERFACE, places.at_door())))
    if not concerned:
        return []
    query = select(Port.id, Port.device_id, Port.network_id, Subnet.cidr).join(FixedIp, FixedIp.port_id == Port.id)
    query = query.join(Subnet, Subnet.id == FixedIp.subnet_id).order_by(Port.id, FixedIp.position)
    held: dict[str, dict[str, list[Network]]] = {}
    networks: dict[str, str] = {}
    for row in db.execute(query.where(Port.device_id.in_(concerned), Port.device_owner == INTERFACE)):
        held.setdefault(row.device_id, {}).setdefault(row.id, []).append(ip_network(row.cidr))
        networks[row.id] = row.network_id
    routes: dict[str, list[tuple[str, str]]] = {}
    for row in db.execute(select(Router.id, Router.routes).where(Router.id.in_(concerned))):
        routes[row.id] = [(one["destination"], one["nexthop"]) for one in row.routes]
    floating = select(FloatingIp.__table__).where(FloatingIp.router_id.in_(concerned), FloatingIp.port_id.is_not(None))
    for row in db.execute(floating):
        if routed.version_of(row.floating_ip_address) == 6:
            routes[row.router_id].append((row.floating_ip_address, row.fixed_ip_address))
    standing = set(places.networks(db))
    found = []
    for router_id, ports in held.items():
        ways = [(ip_network(net), ip_address(nexthop)) for net, nexthop in routes.get(router_id, ())]
        for port_id in ports:
            if networks[port_id] in standing:
                beside = tuple(id for id in ports if id != port_id)
                others = [net for id in beside for net in ports[id]]
                found.append(Leg(port_id, networks[port_id], router_id, beside, behind(others, ways)))
    return sorted(found, key=lambda leg: leg.port_id)
