"""Which rule lets a packet pass: what the ACLs of ``acls.py`` say, as pure functions on plain values.

For whoever wants to know without asking OVN (reachability, the edge inventory). Rules and packets are any objects with the attributes
named here; no database is read. ``tests/network/test_verdict.py`` holds it against the very matches that OVN gets.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Protocol

from wolke.network.security_groups.protocols import ANSWERS, ERRORS, ICMP, WITH_PORTS

Ip = IPv4Address | IPv6Address
Net = IPv4Network | IPv6Network
Members = Mapping[str, Container[Ip]]  # security group -> addresses of its members
TCP = 6
NEIGHBOURS = (133, 134, 135, 136, 130, 131, 132, 143)  # ICMPv6: router and neighbour discovery, MLD
NEIGHBOUR_RULE, ERROR_RULE = "neighbours", "errors"  # what passes a router's port without a rule of anybody's


class Rule(Protocol):
    """``low``, ``high`` : ports, or ICMP type and code. Of the three remotes one at most is given."""

    @property
    def id(self) -> str: ...
    @property
    def direction(self) -> str: ...  # ingress | egress
    @property
    def version(self) -> int: ...
    @property
    def protocol(self) -> int | None: ...
    @property
    def low(self) -> int | None: ...
    @property
    def high(self) -> int | None: ...
    @property
    def prefix(self) -> Net | None: ...
    @property
    def remote_group(self) -> str | None: ...
    @property
    def remote_addresses(self) -> Iterable[Net] | None: ...  # of an address group


class Packet(Protocol):
    """``answer`` : for TCP, anything but the SYN that opens a connection; other protocols are judged by ports and types."""

    @property
    def source(self) -> Ip: ...
    @property
    def destination(self) -> Ip: ...
    @property
    def protocol(self) -> int: ...
    @property
    def source_port(self) -> int: ...
    @property
    def port(self) -> int: ...
    @property
    def icmp_type(self) -> int: ...
    @property
    def icmp_code(self) -> int: ...
    @property
    def answer(self) -> bool: ...


def allowed(rules: Iterable[Rule], direction: str, packet: Packet, members: Members) -> str | None:
    """The id of the first rule that lets a packet into a server's port (``ingress``) or out of it; None where none does.

    This is about packets that begin a conversation, and about all packets where the rules' groups are stateless: what answers
    passes a stateful port by itself.
    """
    return next((rule.id for rule in rules if rule.direction == direction and matches(rule, packet, members)), None)


def allowed_on_router(rules: Iterable[Rule], direction: str, packet: Packet, members: Members) -> str | None:
    """The same for a port of a router, where nothing is remembered: ``ingress`` goes into the router.

    A rule lets pass what it names, and the other way what looks like an answer to that. NEIGHBOUR_RULE and ERROR_RULE stand for what
    always passes.
    """
    family = f"IPv{packet.source.version}"
    if packet.protocol in ICMP:
        if packet.icmp_type in ERRORS[family]:
            return ERROR_RULE
        if family == "IPv6" and packet.icmp_type in NEIGHBOURS:
            return NEIGHBOUR_RULE
    for rule in rules:
        if matches(rule, packet, members) if rule.direction == direction else answers(rule, packet, members):
            return rule.id
    return None


def matches(rule: Rule, packet: Packet, members: Members) -> bool:
    """Whether a rule means this packet, given that it goes in the rule's direction."""
    end = packet.source if rule.direction == "ingress" else packet.destination
    if rule.version != packet.source.version or not among(rule, end, members):
        return False
    if rule.protocol is None:
        return True
    if rule.protocol != packet.protocol:
        return False
    if rule.protocol in ICMP:
        return rule.low in (None, packet.icmp_type) and rule.high in (None, packet.icmp_code)
    return within(rule, packet.port)


def answers(rule: Rule, packet: Packet, members: Members) -> bool:
    """Whether a packet looks like an answer to what a rule means, given that it goes against the rule's direction."""
    end = packet.destination if rule.direction == "ingress" else packet.source
    if rule.version != packet.source.version or not among(rule, end, members):
        return False
    if rule.protocol not in (None, packet.protocol):
        return False
    if packet.protocol in ICMP:
        known = ANSWERS[f"IPv{rule.version}"]
        named = None if rule.protocol is None else rule.low
        return packet.icmp_type in known.values() if named is None else packet.icmp_type == known.get(named, -1)
    if packet.protocol not in WITH_PORTS:
        return rule.protocol is not None
    if packet.protocol == TCP:
        return packet.answer and within(rule, packet.source_port)
    if rule.low is None:
        return packet.source_port < 1024 <= packet.port
    return within(rule, packet.source_port)


def among(rule: Rule, end: Ip, members: Members) -> bool:
    """Whether a rule means whoever is at the other end."""
    if rule.prefix is not None and (rule.prefix.version != end.version or end not in rule.prefix):
        return False
    if rule.remote_group is not None and end not in members.get(rule.remote_group, ()):
        return False
    nets = rule.remote_addresses
    return nets is None or any(net.version == end.version and end in net for net in nets)


def within(rule: Rule, port: int) -> bool:
    return rule.low is None or rule.low <= port <= (rule.low if rule.high is None else rule.high)
