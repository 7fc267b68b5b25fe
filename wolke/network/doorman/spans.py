"""Sets of whole numbers as sorted spans ``(first, last)`` that neither touch nor overlap: ports, protocols, addresses.

>>> subtract(((1, 10),), ((3, 4), (9, 20)))
((1, 2), (5, 8))
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, summarize_address_range
from typing import cast

Spans = tuple[tuple[int, int], ...]
Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
EVERY = {4: ((0, 2**32 - 1),), 6: ((0, 2**128 - 1),)}  # address there is


def canonical(spans: Iterable[tuple[int, int]]) -> Spans:
    """
    >>> canonical([(5, 6), (1, 2), (3, 3)])
    ((1, 3), (5, 6))
    """
    merged: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def intersect(one: Spans, two: Spans) -> Spans:
    found, a, b = [], 0, 0
    while a < len(one) and b < len(two):
        first, last = max(one[a][0], two[b][0]), min(one[a][1], two[b][1])
        if first <= last:
            found.append((first, last))
        if one[a][1] < two[b][1]:
            a += 1
        else:
            b += 1
    return tuple(found)


def subtract(one: Spans, two: Spans) -> Spans:
    found, b = [], 0
    for first, last in one:
        while b < len(two) and two[b][1] < first:
            b += 1
        at = b
        while first <= last and at < len(two) and two[at][0] <= last:
            if two[at][0] > first:
                found.append((first, two[at][0] - 1))
            first = two[at][1] + 1
            at += 1
        if first <= last:
            found.append((first, last))
    return tuple(found)


def holds(spans: Spans, number: int) -> bool:
    at = bisect_right(spans, (number, 2**129)) - 1
    return at >= 0 and spans[at][1] >= number


def of_networks(networks: Iterable[Network], version: int) -> Spans:
    """The addresses of those networks that are of one IP version."""
    return canonical(
        (int(one.network_address), int(one.broadcast_address)) for one in networks if one.version == version
    )


def networks_of(spans: Spans, version: int) -> list[Network]:
    """The fewest networks that hold just these addresses.

    >>> [str(one) for one in networks_of(((0x0A000000, 0x0A000002),), 4)]
    ['10.0.0.0/31', '10.0.0.2/32']
    """
    kind = IPv4Address if version == 4 else IPv6Address
    found: list[Network] = []
    for first, last in spans:
        found += cast(Iterable[Network], summarize_address_range(kind(first), kind(last)))
    return found
