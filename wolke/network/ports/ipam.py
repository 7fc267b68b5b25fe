"""Addresses for ports: found in the subnet's pools by a look at a window of what is taken, never at all of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.core.db import lock
from wolke.network import errors
from wolke.network.ports.table import FixedIp

WINDOW = 32  # taken addresses that the first look reads; each further one reads eight times as many, up to
WIDEST = 16384


def sort_key(address: IPv4Address | IPv6Address) -> str:
    """
    >>> sort_key(ip_address("10.0.0.1"))
    '0a000001'
    """
    return address.packed.hex()


def number_of(key: str) -> int:
    return int(key, 16)


def key_of(number: int, version: int) -> str:
    return f"{number:08x}" if version == 4 else f"{number:032x}"


def text_of(number: int, version: int) -> str:
    return str(IPv4Address(number) if version == 4 else IPv6Address(number))


def reserve(db: Session, subnet_ids: Sequence[str]) -> None:
    """Addresses of these subnets are given out by this transaction alone until it ends (always in the same order)."""
    for id in sorted(set(subnet_ids)):
        lock(db, f"subnet/{id}")


def free_address(db: Session, subnet: Any, *, lowest: bool = False) -> str | None:
    """An address in the subnet's pools that no port has, or None.

    Begins somewhere: one just given back rests a while. ``lowest`` begins at the start of the pools, for ports that a
    person expects there.
    """
    spans = [(int(ip_address(pool["start"])), int(ip_address(pool["end"]))) for pool in subnet.allocation_pools]
    if not spans:
        return None
    widths = [last - first + 1 for first, last in spans]
    chosen = 0 if lowest else random.choices(range(len(spans)), weights=widths)[0]
    first, last = spans[chosen]
    start = first if lowest else random.randint(first, last)
    rest = [spans[at % len(spans)] for at in range(chosen + 1, chosen + len(spans))]
    for low, high in ((start, last), *rest, (first, start - 1)):
        if low <= high and (found := _gap(db, subnet.id, subnet.ip_version, low, high)) is not None:
            return text_of(found, subnet.ip_version)
    return None


def _gap(db: Session, subnet_id: str, version: int, low: int, high: int) -> int | None:
    """The lowest number from ``low`` to ``high`` that is not taken."""
    window = WINDOW
    while low <= high:
        keys = select(FixedIp.sort_key).where(FixedIp.subnet_id == subnet_id)
        keys = keys.where(FixedIp.sort_key >= key_of(low, version), FixedIp.sort_key <= key_of(high, version))
        taken = [number_of(key) for key in db.scalars(keys.order_by(FixedIp.sort_key).limit(window))]
        for number in taken:
            if number != low:
                return low
            low += 1
        if len(taken) < window:
            return low if low <= high else None
        window = min(window * 8, WIDEST)
    return None


def is_taken(db: Session, subnet_id: str, address: str) -> bool:
    here = (FixedIp.subnet_id == subnet_id) & (FixedIp.sort_key == sort_key(ip_address(address)))
    return db.execute(select(FixedIp.port_id).where(here)).first() is not None


def held(db: Session, port_ids: Sequence[str]) -> set[tuple[str, str]]:
    """(port, address) of all that some ports have."""
    rows = db.execute(select(FixedIp.port_id, FixedIp.ip_address).where(FixedIp.port_id.in_(port_ids)))
    return {(row.port_id, row.ip_address) for row in rows}


def check_on(subnet: Any, text: str) -> str:
    """An address that a port may have on this subnet. Raises InvalidIpForSubnet."""
    address, net = ip_address(text), ip_network(subnet.cidr)
    edges = (net.network_address, net.broadcast_address) if net.version == 4 else (net.network_address,)
    narrow = net.prefixlen >= (31 if net.version == 4 else 127)
    if address not in net or (address in edges and not narrow):
        raise errors.InvalidIpForSubnet(f"IP address {text} is not a valid IP for the specified subnet.")
    return str(address)


def in_use(network_id: str, address: str) -> errors.IpAddressInUse:
    return errors.IpAddressInUse(
        f"Unable to complete operation for network {network_id}. The IP address {address} is in use."
    )


def exhausted(network_id: str) -> errors.IpAddressGenerationFailure:
    return errors.IpAddressGenerationFailure(f"No more IP addresses available on network {network_id}.")
