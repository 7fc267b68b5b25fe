"""What address scopes do to routers: no source NAT within one, no way between two.

A subnet's scope is that of the pool it was cut from. Two subnets on one router reach each other when they are of one scope, or
both of none. Towards the gateway IPv4 of another scope is translated as ever, that of the external network's own scope leaves as it
is; IPv6, which nothing translates, leaves only in the external network's scope.

OVN: Logical_Router_Policy with action drop, NAT (ovn-nb(5)).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from wolke.core.work import wake_all
from wolke.drivers.rows import Row, Value
from wolke.network import hooks, names
from wolke.network.owners import ROUTERS
from wolke.network.ports.table import FixedIp, Port
from wolke.network.subnetpools.table import SubnetPool
from wolke.network.subnets.table import Subnet

PRIORITY = 30000  # before all that leads somewhere else
Scopes = Mapping[str, str]  # id of a subnet pool -> its scope


def scopes_of(db: Session) -> Scopes:
    """The scope of each pool that is in one. Pools are an operator's few, so all are read."""
    query = select(SubnetPool.id, SubnetPool.address_scope_id).where(SubnetPool.address_scope_id.is_not(None))
    return {id: scope or "" for id, scope in db.execute(query)}


def scope_of(subnet: Any, scopes: Scopes) -> str:
    """The scope of a subnet, "" for none."""
    return scopes.get(subnet.subnetpool_id or "", "")


def policies(router_id: str, inside: Sequence[Any], gateways: Sequence[Any], owner: str) -> list[Row]:
    """What a router does not forward: between legs of other scopes, and IPv6 of another scope than the gateway's.

    A leg has its ``port``, its ``addresses`` (pairs of address and subnet) and its ``scopes`` by IP version.
    """
    if not any(leg.scopes for leg in (*inside, *gateways)):
        return []
    parent = frozenset({("Logical_Router", router_id, "policies")})
    made: list[Row] = []

    def drop(key: str, match: str) -> None:
        columns: dict[str, Value] = {"priority": PRIORITY, "match": match, "action": "drop"}
        made.append(Row("Logical_Router_Policy", f"{router_id}/scope/{key}", owner, columns, parent))

    for leg in inside:
        port = names.router_port(leg.port.id)
        for version in (4, 6):
            if others := {cidr for other in inside if are_apart(leg, other, version) for cidr in own(other, version)}:
                drop(f"{leg.port.id}/{version}", f'inport == "{port}" && ip{version}.dst == {several(others)}')
        for gateway in gateways:
            if are_apart(leg, gateway, 6):
                here, outside = several(own(leg, 6)), names.router_port(gateway.port.id)
                out = f'inport == "{port}" && outport == "{outside}" && ip6.src == {here}'
                drop(f"{leg.port.id}/out/{gateway.port.id}", out)
                drop(f"{leg.port.id}/in/{gateway.port.id}", f'inport == "{outside}" && ip6.dst == {here}')
    return made


def are_apart(leg: Any, other: Any, version: int) -> bool:
    """Whether both legs have addresses of that IP version, and these are of different scopes."""
    both = own(leg, version) and own(other, version)
    return bool(both) and leg.scopes.get(version) != other.scopes.get(version)


def own(leg: Any, version: int) -> set[str]:
    """The prefixes of one IP version that a leg stands on."""
    return {subnet.cidr for _, subnet in leg.addresses if subnet.ip_version == version}


def several(values: set[str]) -> str:
    """
    >>> several({"10.1.0.0/24", "10.0.0.0/24"})
    '{10.0.0.0/24, 10.1.0.0/24}'
    """
    return f"{{{', '.join(sorted(values))}}}"


def wake_routers(db: Session, condition: ColumnElement[bool]) -> None:
    """Routers that stand on such subnets; ``condition`` is on ``Subnet``. What is announced of them may be another now."""
    ports = (
        select(Port.device_id).join(FixedIp, FixedIp.port_id == Port.id).join(Subnet, Subnet.id == FixedIp.subnet_id)
    )
    ids = db.scalars(ports.where(condition, Port.device_owner.in_(ROUTERS)).distinct())
    wake_all(db, [("router", id) for id in ids])
    hooks.tell_hosts(db)
