"""Labels' rules, cut into pieces that share no packet: each packet meets one flow only, so each flow may count for several labels.

A rule is a rectangle: a prefix of sources and one of destinations. With any two rectangles their common part is a piece as well, so among
the pieces that hold a packet one lies within all others. It is the one with the longest prefixes, which is how a switch chooses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_interface, ip_network
from typing import Any

from wolke.network.metering.table import EGRESS
from wolke.network.routers.ways import ANYWHERE

Net = IPv4Network | IPv6Network
VERSIONS = (4, 6)


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Packets from one prefix to another, of one IP version."""

    source: Net
    destination: Net

    @property
    def version(self) -> int:
        return self.source.version

    @property
    def length(self) -> int:
        """How special it is: of two rectangles that hold one packet and are each other's piece, the greater one lies within."""
        return self.source.prefixlen + self.destination.prefixlen

    def __contains__(self, other: Rectangle) -> bool:
        return within(other.source, self.source) and within(other.destination, self.destination)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a label says of one direction, in one IP version."""

    label_id: str
    direction: str
    packets: Rectangle
    excluded: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """Packets that count for these labels, unless they are in a longer piece."""

    packets: Rectangle
    labels: frozenset[str]


def rule_of(row: Any) -> Rule:
    """A rule as it is kept, read. ``remote_ip_prefix`` is of the addresses behind the router, as Neutron's agent takes it."""
    source, destination = row.source_ip_prefix, row.destination_ip_prefix
    if row.remote_ip_prefix and row.direction == EGRESS:
        source = row.remote_ip_prefix
    elif row.remote_ip_prefix:
        destination = row.remote_ip_prefix
    version = ip_interface(source or destination).version
    packets = Rectangle(net(source, version), net(destination, version))
    return Rule(row.metering_label_id, row.direction, packets, row.excluded)


def net(prefix: str | None, version: int) -> Net:
    """
    >>> net("10.0.0.7/24", 4), net(None, 6)
    (IPv4Network('10.0.0.0/24'), IPv6Network('::/0'))
    """
    return ip_interface(prefix).network if prefix else ip_network(ANYWHERE[version])


def within(one: Net, other: Net) -> bool:
    shift = other.max_prefixlen - other.prefixlen
    same = one.version == other.version and one.prefixlen >= other.prefixlen
    return same and int(one.network_address) >> shift == int(other.network_address) >> shift


def common(one: Rectangle, other: Rectangle) -> Rectangle | None:
    """The packets that are in both."""
    source, destination = narrower(one.source, other.source), narrower(one.destination, other.destination)
    return Rectangle(source, destination) if source and destination else None


def narrower(one: Net, other: Net) -> Net | None:
    """The one that lies within the other."""
    if within(one, other):
        return one
    return other if within(other, one) else None


@lru_cache(1024)  # the same rules are cut for each sample; a hundred in two dimensions take a second
def pieces(rules: frozenset[Rule]) -> Sequence[Piece]:
    """The pieces of some rules of one direction; those that count for nobody are there only to keep packets from a shorter one."""
    found: set[Rectangle] = set()
    for asked in {rule.packets for rule in rules}:
        found |= {asked, *(both for one in found if (both := common(one, asked)))}
    made = [Piece(packets, counting(rules, packets)) for packets in found]
    counted = [piece.packets for piece in made if piece.labels]
    kept = (piece for piece in made if piece.labels or any(piece.packets in other for other in counted))
    return tuple(
        sorted(kept, key=lambda piece: (piece.packets.version, piece.packets.source, piece.packets.destination))
    )


def counting(rules: Iterable[Rule], packets: Rectangle) -> frozenset[str]:
    """The labels that a piece counts for: a rule holds it, and none that excludes."""
    holding = [rule for rule in rules if packets in rule.packets]
    out = {rule.label_id for rule in holding if rule.excluded}
    return frozenset(rule.label_id for rule in holding) - out
