"""What the doorman's rules mean: one verdict for a packet, and the same as drops for OVN. Nothing here knows a database.

The door stands outside of every address translation: it sees floating addresses, routers' outer addresses and outside ports.
*Local* is the cloud's side, *remote* the other, whoever speaks. What goes from one project's router to another's crosses two doors:
out of one, into the other.

Rules are asked in order, the first that matches decides, and what none matches may pass (security groups still have their say).
The door keeps no record of connections, so a packet alone must show what it belongs to:

- an ``allow`` matches every packet of what it names;
- a ``deny`` of TCP matches what opens a connection (SYN without ACK), so that replies pass. Ports below 512, which no client
  uses as its own, are matched in every packet: what is under way there is cut as well;
- a ``deny`` of ICMP without a type matches questions (echo, timestamp ...). Answers and errors pass;
- everything else (UDP, SCTP, GRE ...) shows no beginning: a ``deny`` matches every packet in its direction, answers too.
  Where answers must pass, an earlier rule allows them by their source port.

Never matched: ARP, neighbour discovery, link-local multicast and broadcasts (DHCP, VRRP), and TCP to the metadata service.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from ipaddress import ip_network
from typing import Any, NamedTuple

from wolke.network.doorman.spans import EVERY, Address, Network, Spans, holds, intersect, of_networks, subtract

ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
SERVICES = 512  # below this port no client speaks from
QUESTIONS: dict[int, Spans] = {ICMP: ((8, 8), (13, 13), (15, 15), (17, 17)), ICMPV6: ((128, 128), (139, 139))}
NEIGHBOURS: Spans = ((130, 137), (143, 143))  # ICMPv6 types that hold a link together
PROTOCOLS: Spans = ((0, 255),)
NUMBERS: Spans = ((0, 65535),)
LATER, OPENING = ((0, 0),), ((1, 1),)
BOTH: Spans = ((0, 1),)
MOST_DROPS = 1000  # of one network; more is a policy that nobody can read

# By IP version: what never leaves a link, where neither TCP nor pings go; what guests ask their host by TCP
_LINK = {
    4: of_networks([ip_network("224.0.0.0/24"), ip_network("255.255.255.255/32")], 4),
    6: of_networks([ip_network("ff02::/16")], 6),
}
_HOST = {
    4: of_networks([ip_network("169.254.169.254/32")], 4),
    6: of_networks([ip_network("fe80::a9fe:a9fe/128")], 6),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule as it is in force. ``None`` means any; an empty tuple of prefixes matches nothing."""

    id: str
    action: str  # allow | deny
    direction: str  # ingress (to the local side) | egress
    version: int | None = None  # 4 | 6
    protocol: int | None = None  # 1 is ICMP of both versions
    ports: tuple[int, int] | None = None  # destination; of ICMP the types
    source_ports: tuple[int, int] | None = None  # of ICMP the codes
    remote: tuple[Network, ...] | None = None
    local: tuple[Network, ...] | None = None
    networks: frozenset[str] | None = None  # ids of those it stands at

    def __hash__(self) -> int:
        return hash(self.id)  # prefixes may be thousands, and what a rule matches is looked up for each packet


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemption:
    """An exception from one rule that has not expired: the rule is passed over for these addresses, at the doors of these networks."""

    id: str
    rule_id: str
    local: tuple[Network, ...] | None = None
    remote: tuple[Network, ...] | None = None
    networks: frozenset[str] | None = None  # where the local addresses mean what was excepted; None: everywhere

    def holds_at(self, network_id: str) -> bool:
        return self.networks is None or network_id in self.networks


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One packet that crosses the door of a network."""

    direction: str
    network_id: str
    remote: Address
    local: Address
    protocol: int
    port: int = 0  # destination; ICMP: type
    source_port: int = 0  # ICMP: code
    opening: bool = True  # TCP: SYN without ACK

    def reply(self) -> Packet:
        """What comes back of a TCP or UDP conversation that this packet opens, at the same door."""
        back = "egress" if self.direction == "ingress" else "ingress"
        return replace(self, direction=back, port=self.source_port, source_port=self.port, opening=False)


class Verdict(NamedTuple):
    allowed: bool
    by: str  # id of the rule that decides or of the exception that lets it pass; "" where nothing matches


@dataclass(frozen=True, slots=True)
class Drop:
    """Packets of one direction that are dropped: all that lie in every one of these sets."""

    version: int
    protocols: Spans
    remote: Spans
    local: Spans
    ports: Spans = NUMBERS
    sources: Spans = NUMBERS
    opening: Spans = BOTH
    rule_id: str = ""

    def holds(self, packet: Packet) -> bool:
        opening = packet.protocol == TCP and packet.opening
        return (
            packet.local.version == self.version
            and holds(self.protocols, packet.protocol)
            and holds(self.remote, int(packet.remote))
            and holds(self.local, int(packet.local))
            and holds(self.ports, packet.port)
            and holds(self.sources, packet.source_port)
            and holds(self.opening, int(opening))
        )


_AXES = tuple(field.name for field in fields(Drop) if field.name not in ("version", "rule_id"))


def verdict(rules: Iterable[Rule], exemptions: Iterable[Exemption], packet: Packet) -> Verdict:
    """Whether a packet may pass, and by which rule or exception."""
    exempt: dict[str, list[Exemption]] = {}
    for one in exemptions:
        exempt.setdefault(one.rule_id, []).append(one)
    freed = ""
    for rule in rules:
        if matches(rule, packet):
            saved = next((one.id for one in exempt.get(rule.id, ()) if spares(one, packet)), "")
            if not saved:
                return Verdict(rule.action == "allow", freed if freed and rule.action == "allow" else rule.id)
            if rule.action == "deny":
                freed = freed or saved
    return Verdict(True, freed)


def matches(rule: Rule, packet: Packet) -> bool:
    """Whether a rule, taken by itself, is about a packet."""
    if rule.direction != packet.direction or (rule.networks is not None and packet.network_id not in rule.networks):
        return False
    if rule.protocol not in (None, ICMP, packet.protocol):
        return False
    if rule.ports is not None and not rule.ports[0] <= packet.port <= rule.ports[1]:
        return False
    return any(cell.holds(packet) for cell in _cells(rule, packet.local.version))


def spares(one: Exemption, packet: Packet) -> bool:
    sides = ((one.local, packet.local), (one.remote, packet.remote))
    return one.holds_at(packet.network_id) and all(
        prefixes is None or any(address in prefix for prefix in prefixes) for prefixes, address in sides
    )


@lru_cache(4096)
def _cells(rule: Rule, version: int) -> tuple[Drop, ...]:
    """What a rule matches in one IP version, as sets."""
    if rule.version not in (None, version):
        return ()
    local, remote = _side(rule.local, version), _side(rule.remote, version)
    ports = (rule.ports,) if rule.ports else NUMBERS
    sources = (rule.source_ports,) if rule.source_ports else NUMBERS
    icmp = ICMP if version == 4 else ICMPV6

    def cell(protocols: Spans, ports: Spans = ports, opening: Spans = BOTH) -> Drop:
        spared = (
            _HOST[version] if protocols == ((TCP, TCP),) else () if protocols == ((icmp, icmp),) else _LINK[version]
        )
        if rule.direction == "egress":
            return Drop(version, protocols, subtract(remote, spared), local, ports, sources, opening, rule.id)
        here = local if protocols == ((TCP, TCP),) else subtract(local, spared)
        return Drop(version, protocols, remote, here, ports, sources, opening, rule.id)

    if rule.protocol == ICMPV6 and version == 4:
        return ()
    chosen = [TCP, icmp] if rule.protocol is None else [icmp if rule.protocol == ICMP else rule.protocol]
    found: list[Drop] = []
    for number in chosen:
        only: Spans = ((number, number),)
        if number == icmp:
            asked = ports if rule.ports or rule.action == "allow" else QUESTIONS[icmp]
            found.append(cell(only, subtract(asked, NEIGHBOURS) if icmp == ICMPV6 else asked))
        elif number == TCP and rule.action == "deny":
            if rule.ports:
                found.append(cell(only, intersect(ports, ((0, SERVICES - 1),))))
                found.append(cell(only, intersect(ports, ((SERVICES, 65535),)), OPENING))
            else:
                found.append(cell(only, NUMBERS, OPENING))
        else:
            found.append(cell(only))
    if rule.protocol is None:
        found.append(cell(subtract(PROTOCOLS, tuple(sorted((number, number) for number in chosen)))))
    return tuple(one for one in found if one.ports and one.remote and one.local)


def _side(prefixes: Sequence[Network] | None, version: int) -> Spans:
    return EVERY[version] if prefixes is None else of_networks(prefixes, version)


class TooIntricate(ValueError):
    """The rules overlap in so many ways that they cannot be compiled."""


def drops(rules: Sequence[Rule], exemptions: Sequence[Exemption], network_id: str, direction: str) -> list[Drop]:
    """What the door of one network drops in one direction, without overlaps of rules with what goes before them.

    Only drops, because what OVN is told to allow there would pass the security groups, too: earlier allows and exceptions are subtracted.

    Raises
    ------
    TooIntricate: more than ``MOST_DROPS``
    """
    found: list[Drop] = []
    exemptions = [one for one in exemptions if one.holds_at(network_id)]
    for version in (4, 6):
        passed: list[Drop] = []
        for rule in rules:
            if rule.direction != direction or (rule.networks is not None and network_id not in rule.networks):
                continue
            cells = _minus(_cells(rule, version), _spared(rule, exemptions, version))
            if rule.action == "allow":
                passed += cells
            else:
                found += _minus(cells, passed)
            if len(found) > MOST_DROPS or len(passed) > MOST_DROPS:
                raise TooIntricate(f"the rules of one direction make more than {MOST_DROPS} drops; simplify them")
    return found


def _spared(rule: Rule, exemptions: Sequence[Exemption], version: int) -> list[Drop]:
    mine = [one for one in exemptions if one.rule_id == rule.id]
    return [Drop(version, PROTOCOLS, _side(one.remote, version), _side(one.local, version)) for one in mine]


def _minus(cells: Iterable[Drop], taken: Iterable[Drop]) -> list[Drop]:
    left = list(cells)
    for other in taken:
        left = [piece for cell in left for piece in _cut(cell, other)]
        if len(left) > MOST_DROPS:
            raise TooIntricate(f"the rules of one direction make more than {MOST_DROPS} drops; simplify them")
    return left


def _cut(cell: Drop, other: Drop) -> list[Drop]:
    """``cell`` without ``other``: one piece for each axis on which they differ. Protocols come first, so that a piece that
    names ports is always of one protocol."""
    shared: dict[str, Any] = {axis: intersect(getattr(cell, axis), getattr(other, axis)) for axis in _AXES}
    if not all(shared.values()):
        return [cell]
    pieces, inner = [], cell
    for axis in _AXES:
        if outside := subtract(getattr(inner, axis), shared[axis]):
            different: dict[str, Any] = {axis: outside}
            pieces.append(replace(inner, **different))
        inner = replace(inner, **{axis: shared[axis]})
    return pieces
