"""A picture of the network as plain values: all that decides whether a packet arrives.

``read.py`` makes one from the tables, tests make them by hand, ``walk.py`` sends packets through them. Nothing here knows a database.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from wolke.network.doorman import policy
from wolke.network.owners import ROUTERS, is_trusted

Ip = IPv4Address | IPv6Address
Net = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Network:
    id: str
    name: str
    project_id: str
    admin_up: bool = True
    external: bool = False
    physical: bool = False  # stands on a physical network: what nobody in the cloud is meant by leaves there
    shared: bool = False
    stateful: bool = True  # some port of it has a stateful security group, so conversations are tracked on all of them


@dataclass(frozen=True, slots=True)
class Subnet:
    id: str
    name: str
    project_id: str
    network_id: str
    net: Net
    gateway: Ip | None = None
    host_routes: tuple[tuple[Net, Ip], ...] = ()
    scope_id: str = ""  # address scope, by its pool
    ours: bool = False  # cut from an operator's pool: nobody else in the world has these addresses


@dataclass(frozen=True, slots=True)
class Pair:
    """An allowed address pair."""

    mac: str
    net: Net


@dataclass(frozen=True, slots=True)
class Port:
    id: str
    name: str
    project_id: str
    network_id: str
    mac: str
    addresses: tuple[tuple[Ip, str], ...] = ()  # (address, subnet id)
    device_id: str = ""
    device_owner: str = ""
    admin_up: bool = True
    up: bool = True  # a host has plugged it
    secure: bool = True  # port security
    pairs: tuple[Pair, ...] = ()
    groups: tuple[str, ...] = ()
    host: str = ""
    shut: bool = False  # a right on its network's zone has been revoked

    @property
    def of_router(self) -> bool:
        return self.device_owner in ROUTERS

    @property
    def trusted(self) -> bool:
        """The cloud's own: neither port security nor security groups stand before it."""
        return is_trusted(self.device_owner)

    def address(self, version: int) -> Ip | None:
        return next((ip for ip, _ in self.addresses if ip.version == version), None)

    def has(self, ip: Ip) -> bool:
        return any(own == ip for own, _ in self.addresses)


@dataclass(frozen=True, slots=True)
class Rule:
    """A security group rule. ``low``, ``high``: ports, or ICMP type and code."""

    id: str
    direction: str  # ingress | egress
    version: int
    protocol: int | None = None
    low: int | None = None
    high: int | None = None
    prefix: Net | None = None
    remote_group: str | None = None
    remote_addresses: frozenset[Net] | None = None  # of an address group


@dataclass(frozen=True, slots=True)
class Group:
    """A security group. ``members`` : addresses of the ports in it; in a picture of few things those of them that matter."""

    id: str
    name: str
    project_id: str
    stateful: bool = True
    rules: tuple[Rule, ...] = ()
    members: frozenset[Ip] = frozenset()


@dataclass(frozen=True, slots=True)
class Route:
    """Packets to ``destination`` go to the neighbour ``nexthop``, out of the port."""

    destination: Net
    nexthop: Ip
    port_id: str


@dataclass(frozen=True, slots=True)
class SourceNat:
    """Packets from ``inside`` that leave by the gateway port bear ``outside`` as their source."""

    inside: Net
    outside: Ip
    port_id: str


@dataclass(frozen=True, slots=True)
class Detour:
    """Packets from ``source`` to anywhere but ``near`` go to ``nexthop``, out of the port, whatever the routes say."""

    source: Ip
    near: tuple[Net, ...]
    nexthop: Ip
    port_id: str


@dataclass(frozen=True, slots=True)
class Router:
    """``routes`` are all but those to its own networks."""

    id: str
    name: str
    project_id: str
    admin_up: bool = True
    routes: tuple[Route, ...] = ()
    source_nats: tuple[SourceNat, ...] = ()
    uncarried: frozenset[str] = frozenset()  # gateway ports whose physical network no host reaches
    carriers: Mapping[str, str] = field(default_factory=dict)  # gateway port -> the host that is to carry it
    detours: tuple[Detour, ...] = ()  # of floating IPs, where there are several gateways
    distributed: bool = True  # floating IPs are translated on their servers' own hosts


@dataclass(frozen=True, slots=True)
class FloatingIp:
    id: str
    project_id: str
    network_id: str
    address: Ip
    port_id: str | None = None
    fixed: Ip | None = None
    router_id: str | None = None


@dataclass(frozen=True, slots=True)
class Forwarding:
    """A port forwarding: from ``first`` to ``last`` of a floating IP to ``inner`` and the following, or to ``inner`` alone."""

    id: str
    floating_id: str
    router_id: str
    protocol: int
    first: int
    last: int
    inner: int
    address: Ip
    port_id: str
    step: int = 1  # 0: all lead to one port

    def led_to(self, packet: Packet) -> int:
        """The port that a packet is led to, 0 for none."""
        if packet.protocol != self.protocol or not self.first <= packet.port <= self.last:
            return 0
        return self.inner + (packet.port - self.first) * self.step

    def from_outside(self, port: int) -> int:
        """The outer port that leads to an inner one, 0 for none."""
        if self.step == 0:
            return self.first if port == self.inner else 0
        outer = self.first + port - self.inner
        return outer if self.first <= outer <= self.last else 0


@dataclass(frozen=True, slots=True)
class Packet:
    """The packet as it is at one place. ``answer``: it goes back, so no new conversation begins with it."""

    source: Ip
    destination: Ip
    protocol: int
    source_port: int = 0  # or ICMP's identifier
    port: int = 0
    icmp_type: int = 0
    icmp_code: int = 0
    answer: bool = False

    @property
    def version(self) -> int:
        return self.source.version

    @property
    def flow(self) -> tuple[int, Ip, int, Ip, int]:
        return (self.protocol, self.source, self.source_port, self.destination, self.port)

    @property
    def back(self) -> tuple[int, Ip, int, Ip, int]:
        return (self.protocol, self.destination, self.port, self.source, self.source_port)


@dataclass(frozen=True)
class Door:
    """The operator's policy, and the networks that have it at the ports of gateways and servers."""

    rules: Sequence[policy.Rule] = ()
    exemptions: Sequence[policy.Exemption] = ()
    networks: frozenset[str] = frozenset()
    names: Mapping[str, str] = field(default_factory=dict)  # of rules, by id

    def verdict(self, network_id: str, packet: Packet, direction: str) -> policy.Verdict:
        """What it says of a packet that goes to the local side (``ingress``) or leaves it."""
        if network_id not in self.networks:
            return policy.Verdict(True, "")
        inward = direction == "ingress"
        icmp = packet.protocol in (policy.ICMP, policy.ICMPV6)
        asked = policy.Packet(
            direction=direction, network_id=network_id, protocol=packet.protocol, opening=not packet.answer,
            remote=packet.source if inward else packet.destination, local=packet.destination if inward else packet.source,
            port=packet.icmp_type if icmp else packet.port, source_port=packet.icmp_code if icmp else packet.source_port,
        )  # fmt: skip
        return policy.verdict(self.rules, self.exemptions, asked)


@dataclass(frozen=True)
class Picture:
    """Everything by id. What is missing here is not there: a picture of few things holds all that can matter for them."""

    networks: Mapping[str, Network] = field(default_factory=dict)
    subnets: Mapping[str, Subnet] = field(default_factory=dict)
    ports: Mapping[str, Port] = field(default_factory=dict)
    routers: Mapping[str, Router] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    floating: Mapping[str, FloatingIp] = field(default_factory=dict)
    forwardings: Sequence[Forwarding] = ()
    door: Door = field(default_factory=Door)
    published: Sequence[tuple[Net, Ip]] = ()  # prefixes that the world outside sends in, by the next hop it was told

    @cached_property
    def members(self) -> Mapping[str, frozenset[Ip]]:
        """Security group -> addresses of its members."""
        return {group.id: group.members for group in self.groups.values()}

    @cached_property
    def holders(self) -> Mapping[tuple[str, Ip], Port]:
        """(network, address) -> the port that has it."""
        return {(port.network_id, ip): port for port in self.ports.values() for ip, _ in port.addresses}

    @cached_property
    def by_pair(self) -> Mapping[tuple[str, Ip], Sequence[Port]]:
        """(network, address) -> ports that may have it beside their own, such as a shared virtual address."""
        found: dict[tuple[str, Ip], list[Port]] = defaultdict(list)
        for port in self.ports.values():
            for pair in port.pairs:
                if pair.net.num_addresses == 1:
                    found[port.network_id, pair.net.network_address].append(port)
        return found

    @cached_property
    def legs(self) -> Mapping[str, Sequence[Port]]:
        """Router -> its ports. OVN knows no router port without an address."""
        found: dict[str, list[Port]] = defaultdict(list)
        for port in self.ports.values():
            if port.of_router and port.addresses:
                found[port.device_id].append(port)
        return found

    @cached_property
    def devices(self) -> Mapping[str, Sequence[Port]]:
        """Server -> its ports."""
        found: dict[str, list[Port]] = defaultdict(list)
        for port in self.ports.values():
            if port.device_id and not port.trusted:
                found[port.device_id].append(port)
        return found

    @cached_property
    def floating_by_address(self) -> Mapping[Ip, FloatingIp]:
        return {one.address: one for one in self.floating.values()}

    @cached_property
    def floating_by_target(self) -> Mapping[tuple[str, Ip], Sequence[FloatingIp]]:
        """(router, inner address) -> floating IPs that lead there."""
        found: dict[tuple[str, Ip], list[FloatingIp]] = defaultdict(list)
        for one in self.floating.values():
            if one.router_id and one.fixed:
                found[one.router_id, one.fixed].append(one)
        return found

    @cached_property
    def forwardings_of(self) -> Mapping[str, Sequence[Forwarding]]:
        """Floating IP -> its port forwardings."""
        found: dict[str, list[Forwarding]] = defaultdict(list)
        for one in self.forwardings:
            found[one.floating_id].append(one)
        return found
