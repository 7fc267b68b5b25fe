"""Prefixes of pools: pure functions on sets of networks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import collapse_addresses, ip_network
from typing import Any

from wolke.network import errors
from wolke.network.subnets.checks import Net, network_of


def prefixes_of(texts: Sequence[str]) -> list[Net]:
    """The prefixes, joined where they touch.

    Raises
    ------
    EmptySubnetPoolPrefixList, PrefixVersionMismatch; BadRequest: no prefix
    """
    if not texts:
        raise errors.EmptySubnetPoolPrefixList("Empty subnet pool prefix list.")
    nets = [network_of(text, "prefixes") for text in texts]
    if len({net.version for net in nets}) > 1:
        raise errors.PrefixVersionMismatch("Cannot mix IPv4 and IPv6 prefixes in a subnet pool.")
    return joined(nets)


def joined(nets: Iterable[Net]) -> list[Net]:
    return sorted(collapse_addresses(nets))  # type: ignore[type-var]


def without(nets: Iterable[Net], taken: Iterable[Net]) -> list[Net]:
    """What is left of some prefixes.

    >>> without([ip_network("10.0.0.0/30")], [ip_network("10.0.0.0/31")])
    [IPv4Network('10.0.0.2/31')]
    """
    left = list(nets)
    for one in taken:
        left = [rest for net in left for rest in _less(net, one)]
    return joined(left)


def _less(net: Any, one: Any) -> list[Net]:
    if net.version != one.version or not net.overlaps(one):
        return [net]
    return list(net.address_exclude(one)) if one != net and one.subnet_of(net) else []


def inside(net: Net, outer: Net) -> bool:
    same = net.version == outer.version and outer.prefixlen <= net.prefixlen
    return same and net.network_address in outer


def meet(some: Iterable[str], others: Iterable[str]) -> bool:
    """Whether prefixes of two lists overlap."""
    two = [ip_network(text) for text in others]
    return any(one.version == other.version and one.overlaps(other) for one in map(ip_network, some) for other in two)
