"""The ports of many routers, with what they stand on: what a router's rows are made from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.network.address_scopes.effect import scope_of, scopes_of
from wolke.network.networks.table import Network
from wolke.network.owners import GATEWAY, ROUTERS
from wolke.network.ports.table import FixedIp, Port
from wolke.network.subnets.table import Subnet


@dataclass(frozen=True, slots=True)
class Leg:
    """One port of a router, with what it stands on."""

    port: Any
    network: Any
    addresses: tuple[tuple[str, Any], ...]  # (address, subnet row)
    scopes: Mapping[int, str] = field(default_factory=dict)  # IP version -> address scope, where it is in one

    @property
    def is_gateway(self) -> bool:
        return bool(self.port.device_owner == GATEWAY)

    def address(self, version: int) -> str:
        """The first address of that version, "" where there is none."""
        return next((address for address, subnet in self.addresses if subnet.ip_version == version), "")


def legs_of(db: Session, router_ids: Sequence[str]) -> dict[str, list[Leg]]:
    """The legs of many routers, oldest first, in five statements. OVN knows no router port without an address: nor do we."""
    query = select(Port.__table__).where(Port.device_id.in_(router_ids), Port.device_owner.in_(ROUTERS))
    ports = db.execute(query.order_by(Port.created_at, Port.id)).all()
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
    known = scopes_of(db)
    found: dict[str, list[Leg]] = {id: [] for id in router_ids}
    for port in ports:
        if addresses := held[port.id]:
            scopes = {subnet.ip_version: scope for _, subnet in addresses if (scope := scope_of(subnet, known))}
            found[port.device_id].append(Leg(port, networks[port.network_id], tuple(addresses), scopes))
    return found


def gateways_first(router: Any, legs: Sequence[Leg]) -> tuple[list[Leg], list[Leg]]:
    """(gateways, the router's first gateway first; legs inside)"""
    outer = [leg for leg in legs if leg.is_gateway]
    outer.sort(key=lambda leg: leg.port.id != router.gateway_port_id)
    return outer, [leg for leg in legs if not leg.is_gateway]
