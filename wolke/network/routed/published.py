"""What the world must route to a router, and by which next hop: projects' prefixes, and floating IPs.

A prefix is published when it was cut from an operator's pool, stands on a router with a gateway, and is of the same address scope as that
gateway's network: then nothing translates it. An operator's pool is one that is shared with everybody, or that belongs to the owner of
its address scope, where an external network is in that; a pool that a project has made for itself, also one in a scope of its own, is
never published, whatever prefixes it claims.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session, aliased

from wolke.core.quota import quota
from wolke.network.address_scopes.table import AddressScope
from wolke.network.floating_ips.table import FloatingIp
from wolke.network.networks.table import Network
from wolke.network.owners import GATEWAY, INTERFACE
from wolke.network.ports.table import FixedIp, Port
from wolke.network.subnetpools.table import SubnetPool
from wolke.network.subnets.table import Subnet

TENANT, FLOATING = "subnet", "floating_ip"  # kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One prefix with its next hop."""

    prefix: str
    ip_version: int
    kind: str  # TENANT or FLOATING
    id: str  # of the subnet or floating IP
    project_id: str
    router_id: str
    next_hop: str  # the router's gateway address
    external_network_id: str
    mac_address: str  # of the router's gateway


@dataclass(frozen=True, slots=True)
class _Gateway:
    network_id: str
    address: str
    mac: str
    scopes: frozenset[str]  # of the external network's addresses here, "" for none


# Whose pool it is ----------------------------------------------------------------------------------------------------
def operators() -> ColumnElement[bool]:
    """A condition on pools: an operator's. Join AddressScope by ``in_scope``."""
    owned = and_(AddressScope.project_id == SubnetPool.project_id, AddressScope.id.in_(outer_scopes()))
    return or_(SubnetPool.shared, owned)


def in_scope() -> ColumnElement[bool]:
    return AddressScope.id == SubnetPool.address_scope_id


def outer_scopes() -> Any:
    """Select of the scopes that external networks are in."""
    pool = aliased(SubnetPool)
    query = select(pool.address_scope_id).join(Subnet, Subnet.subnetpool_id == pool.id)
    query = query.join(Network, Network.id == Subnet.network_id)
    return query.where(Network.external, pool.address_scope_id.is_not(None))


def counts() -> ColumnElement[bool]:
    """A condition on pools: what is cut from them is routed, so it counts. IPv4 of no external scope is translated."""
    return and_(operators(), or_(SubnetPool.ip_version == 6, SubnetPool.address_scope_id.in_(outer_scopes())))


def is_counted(db: Session, pool_id: str) -> bool:
    """Whether what is cut from a pool counts as a routed prefix."""
    query = select(SubnetPool.id).outerjoin(AddressScope, in_scope()).where(SubnetPool.id == pool_id, counts())
    return db.execute(query).first() is not None


def counting(project_id: str) -> Any:
    """Routed prefixes of a project: subnets of operators' pools on networks that are its own."""
    query = select(func.count(Subnet.id)).join(SubnetPool, SubnetPool.id == Subnet.subnetpool_id)
    query = query.outerjoin(AddressScope, in_scope()).join(Network, Network.id == Subnet.network_id)
    return query.where(Subnet.project_id == project_id, ~Network.external, counts())


quota("network", "routed_prefix", 10, counting)


# What is published ---------------------------------------------------------------------------------------------------
def published(db: Session) -> list[Published]:
    """All of it, by prefix."""
    gateways = _gateways(db)
    found = [*_prefixes(db, gateways), *_floating(db, gateways)]
    return sorted(found, key=lambda one: (one.ip_version, ip_network(one.prefix), one.router_id))


Gateways = dict[tuple[str, int], list[_Gateway]]  # router, IP version -> its gateways


def _gateways(db: Session) -> Gateways:
    query = select(
        Port.device_id, Port.id, Port.network_id, Port.mac_address, FixedIp.ip_address, Subnet.ip_version,
        SubnetPool.address_scope_id,
    ).join(FixedIp, FixedIp.port_id == Port.id)  # fmt: skip
    query = query.join(Subnet, Subnet.id == FixedIp.subnet_id).outerjoin(
        SubnetPool, SubnetPool.id == Subnet.subnetpool_id
    )
    query = query.where(Port.device_owner == GATEWAY).order_by(Port.created_at, Port.id, FixedIp.position)
    found: Gateways = {}
    first: dict[tuple[str, int], Any] = {}
    scopes: dict[tuple[str, int], set[str]] = {}
    for row in db.execute(query):
        first.setdefault((row.id, row.ip_version), row)
        scopes.setdefault((row.id, row.ip_version), set()).add(row.address_scope_id or "")
    for (port_id, version), row in first.items():
        gateway = _Gateway(row.network_id, row.ip_address, row.mac_address, frozenset(scopes[port_id, version]))
        found.setdefault((row.device_id, version), []).append(gateway)
    return found


def _prefixes(db: Session, gateways: Gateways) -> Iterable[Published]:
    query = select(
        Port.device_id, Subnet.id, Subnet.cidr, Subnet.ip_version, Subnet.project_id, SubnetPool.address_scope_id
    ).join(FixedIp, FixedIp.port_id == Port.id)
    query = query.join(Subnet, Subnet.id == FixedIp.subnet_id).join(SubnetPool, SubnetPool.id == Subnet.subnetpool_id)
    query = query.outerjoin(AddressScope, in_scope()).join(Network, Network.id == Subnet.network_id)
    query = query.where(Port.device_owner == INTERFACE, ~Network.external, operators()).order_by(
        Port.created_at, Port.id
    )
    for row in db.execute(query):
        scope = row.address_scope_id or ""
        for gateway in gateways.get((row.device_id, row.ip_version), ()):
            if scope in gateway.scopes and (scope or row.ip_version == 6):
                yield Published(
                    prefix=row.cidr, ip_version=row.ip_version, kind=TENANT, id=row.id, project_id=row.project_id,
                    router_id=row.device_id, next_hop=gateway.address, external_network_id=gateway.network_id,
                    mac_address=gateway.mac,
                )  # fmt: skip


def _floating(db: Session, gateways: Gateways) -> Iterable[Published]:
    query = select(FloatingIp.__table__).where(FloatingIp.router_id.is_not(None)).order_by(FloatingIp.id)
    for row in db.execute(query):
        version = 6 if ":" in row.floating_ip_address else 4
        for gateway in gateways.get((row.router_id, version), ()):
            if gateway.network_id == row.floating_network_id:
                yield Published(
                    prefix=f"{row.floating_ip_address}/{128 if version == 6 else 32}", ip_version=version, kind=FLOATING,
                    id=row.id, project_id=row.project_id, router_id=row.router_id, next_hop=gateway.address,
                    external_network_id=gateway.network_id, mac_address=gateway.mac,
                )  # fmt: skip
                break
