"""Floating IPv6 addresses: routed to a port and moved from one to another, never translated.

The address comes from an IPv6 subnet of the external network. While it leads to a port, the router has a route of its own for it, the port
may send from it, and the server sets it on its card beside its own address. On the external network the router answers neighbour
solicitations for it: OVN does that for addresses that it translates, so there is a rule that translates the address into itself.
It is the gateway that answers and not the port's own host: the address keeps its MAC when it moves, so no switch and no neighbour
outside has to learn anything anew. (OVN announces IPv4 addresses that move between hosts, but not IPv6 ones.)

OVN:  ovn-nb(5), tables Logical_Router_Static_Route and NAT (type dnat_and_snat, options:stateless).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.core.work import wake
from wolke.drivers.rows import Row, Value
from wolke.network.floating_ips.table import FloatingIp
from wolke.network.ports.table import FixedIp


def version_of(address: str) -> int:
    """
    >>> version_of("2001:db8::1"), version_of("198.51.100.7")
    (6, 4)
    """
    return 6 if ":" in address else 4


def version_for(db: Session, port_id: str | None, fixed_ip: str | None) -> int:
    """Which version a new floating IP is to have that names no address or subnet of its own: that of the address it is to lead to.

    IPv4 where that may be either.
    """
    if fixed_ip:
        return version_of(fixed_ip)
    held = db.scalars(select(FixedIp.ip_address).where(FixedIp.port_id == port_id)).all() if port_id else []
    return 6 if held and all(version_of(address) == 6 for address in held) else 4


def untranslated(one: Any) -> dict[str, Value]:
    """Columns of NAT that let an IPv6 address be as it is; none for IPv4."""
    if version_of(one.floating_ip_address) == 4:
        return {}
    return {"logical_ip": one.floating_ip_address, "options": {"stateless": "true"}}


def routes(one: Any, owner: str) -> list[Row]:
    """The router's way to a floating IPv6 address: the fixed address that it leads to. None for IPv4."""
    if version_of(one.floating_ip_address) == 4:
        return []
    columns: dict[str, Value] = {"ip_prefix": f"{one.floating_ip_address}/128", "nexthop": one.fixed_ip_address}
    parent = frozenset({("Logical_Router", one.router_id, "static_routes")})
    return [Row("Logical_Router_Static_Route", one.id, owner, columns, parent)]


def carried(db: Session, port_ids: Sequence[str]) -> dict[str, list[str]]:
    """The floating IPv6 addresses that lead to each of some ports: the ports may use them as their own."""
    query = select(FloatingIp.port_id, FloatingIp.floating_ip_address).where(FloatingIp.port_id.in_(port_ids))
    found: dict[str, list[str]] = {}
    for port_id, address in db.execute(query.order_by(FloatingIp.floating_ip_address)):
        if port_id and version_of(address) == 6:
            found.setdefault(port_id, []).append(address)
    return found


def tell_port(db: Session, one: FloatingIp) -> None:
    """What the port that a floating IPv6 address leads to may send changes with it."""
    if one.port_id and version_of(one.floating_ip_address) == 6:
        wake(db, "port", one.port_id)
