"""Routers that stand with an inner port on a network that has a door: what goes past them is in a project, or out of it.

Such a port is no gateway, and what comes in there may be on its way out by the router's gateway. So the door looks only at packets for (or
from) the networks behind the router: those of its other inner ports, and those that its extra routes lead to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.network.doorman import places
from wolke.network.doorman.spans import Address, Network
from wolke.network.networks.table import Network as NetworkRow
from wolke.network.owners import INTERFACE
from wolke.network.ports.table import FixedIp, Port
from wolke.network.routers.table import Router
from wolke.network.subnets.table import Subnet


@dataclass(frozen=True, slots=True)
class Leg:
    port_id: str
    network_id: str
    behind: tuple[Network, ...]


def behind(others: Iterable[Network], routes: Iterable[tuple[Network, Address]]) -> tuple[Network, ...]:
    """The networks that a router leads to by other inner ports than one.

    Parameters
    ----------
    others : networks of the router's other inner ports
    routes : destination and next hop of extra routes; a default route leads out, not behind
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
    routes = {
        row.id: row.routes for row in db.execute(select(Router.id, Router.routes).where(Router.id.in_(concerned)))
    }
    standing = set(places.networks(db))
    found = []
    for router_id, ports in held.items():
        ways = [(ip_network(one["destination"]), ip_address(one["nexthop"])) for one in routes.get(router_id, ())]
        for port_id in ports:
            if networks[port_id] in standing:
                others = [net for id, nets in ports.items() if id != port_id for net in nets]
                found.append(Leg(port_id, networks[port_id], behind(others, ways)))
    return sorted(found, key=lambda leg: leg.port_id)
