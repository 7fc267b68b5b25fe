"""Random topologies as plain values: what a project could have built, mistakes included. The same number makes the same topology."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from random import Random
from typing import Any

TCP_PORTS, UDP_PORTS = (22, 25, 80, 443, 8080), (53, 123, 5353)
OUTSIDE = {4: "198.51.100.254", 6: "2001:db8:ffff::1"}


@dataclass
class Net:
    name: str
    index: int
    six: bool = False  # IPv6 as well
    routed: bool = False  # by a prefix of its own, which the world outside has a way to
    gateway: bool = True  # whether servers are told of one
    admin_up: bool = True
    shared: bool = False
    told_by: int = 1  # host number of the gateway
    prefix6: str = "fd00:0:0"

    @property
    def cidr(self) -> str:
        return f"10.0.{self.index}.0/24"

    @property
    def cidr6(self) -> str:
        return str(ip_network(f"{self.prefix6}:{self.index}::/64"))

    @property
    def versions(self) -> tuple[int, ...]:
        return (4, 6) if self.six else (4,)

    def address(self, host: int, version: int = 4) -> str:
        return str(
            ip_address(f"10.0.{self.index}.{host}" if version == 4 else f"{self.prefix6}:{self.index}::{host:x}")
        )


@dataclass
class Leg:
    """A router's interface: on the subnet's gateway address, or at ``host`` of the network; ``groups`` on its port."""

    net: str
    host: int = 0
    groups: list[str] = field(default_factory=list)


@dataclass
class Router:
    name: str
    legs: list[Leg]
    outside: bool = True
    snat: bool = True
    admin_up: bool = True
    routes: list[dict[str, str]] = field(default_factory=list)


@dataclass
class Group:
    name: str
    stateful: bool = True
    everything_out: bool = True
    rules: list[dict[str, Any]] = field(
        default_factory=list
    )  # ``remote_group`` by name, ``addresses`` of an address group


@dataclass
class Guest:
    """``host``: the number of its address and of the machine it lives on (odd or even). ``second``: the network of another card; such
    a server routes between both.
    """

    name: str
    net: str
    host: int
    groups: list[str] = field(default_factory=list)
    secure: bool = True
    admin_up: bool = True
    plugged: bool = True
    pairs: list[str] = field(default_factory=list)
    project: int = 0  # the second one is a guest in a shared network
    second: str = ""


@dataclass
class Probe:
    """``source``: a guest's name, or "outside". ``target``: an address, or ``("floating", n)``, ``("router", name)``, ``("guest", name,
    version)``."""

    source: str
    target: Any
    kind: str
    port: int = 0
    forged: str = ""


@dataclass
class Forwarding:
    """``count`` ports from ``outer`` on of a floating IP of their own lead to ``inner`` and the following of a guest."""

    guest: str
    protocol: str
    outer: int
    inner: int
    count: int = 1
    floating: int = 0  # which of the topology's


@dataclass
class Topology:
    seed: int
    nets: list[Net] = field(default_factory=list)
    routers: list[Router] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    guests: list[Guest] = field(default_factory=list)
    floating: list[str] = field(default_factory=list)  # names of guests, "" for one that leads nowhere
    floating6: list[str] = field(default_factory=list)  # names of guests with an IPv6 address that is routed to them
    forwardings: list[Forwarding] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)

    def net(self, name: str) -> Net:
        return next(net for net in self.nets if net.name == name)

    def guest(self, name: str) -> Guest:
        return next(guest for guest in self.guests if guest.name == name)


def topology(seed: int) -> Topology:
    """The topology of that number."""
    dice = Random(seed)
    made = Topology(seed)
    lay_out(dice, made)
    made.groups = [group(dice, f"g{n}", made) for n in range(dice.randint(1, 4))]
    for n in range(dice.randint(3, 5)):
        made.guests.append(guest(dice, f"v{n}", n + 11, made))
    remote_groups(dice, made)
    lead_in(dice, made)
    for router in made.routers:
        for leg in router.legs:
            if chance(dice, 0.12):
                leg.groups = [dice.choice(made.groups).name]
    made.probes = probes(dice, made)
    return made


def chance(dice: Random, share: float) -> bool:
    return dice.random() < share


# Networks and routers ------------------------------------------------------------------------------------------------
def lay_out(dice: Random, made: Topology) -> None:
    """Networks, and how routers join them: not at all, one, two in a row, or one beside the other."""
    shape = dice.choices(["alone", "star", "row", "beside", "appliance"], [1, 6, 3, 2, 1.5])[0]
    count = {"alone": 1, "star": dice.randint(1, 3), "row": 2, "beside": 1, "appliance": 2}[shape]
    six, routed, shared = chance(dice, 0.5), chance(dice, 0.4), chance(dice, 0.15)
    for n in range(count):
        made.nets.append(
            Net(
                f"n{n}",
                n,
                six,
                six and routed,
                gateway=not chance(dice, 0.04),
                admin_up=not chance(dice, 0.03),
                shared=shared and n == 0,
            )
        )
        prefix = f"2001:db8:{0x1000 + made.seed % 0x1000:x}" if routed else "fd00:0:0"
        made.nets[-1].prefix6 = prefix
    up = [not chance(dice, 0.04) for _ in range(2)]
    snat = [not chance(dice, 0.1) for _ in range(2)]
    if shape == "star":
        legs = [
            Leg(net.name, 0 if net.gateway else 4) for net in made.nets if len(made.nets) == 1 or not chance(dice, 0.1)
        ]
        made.routers.append(Router("r0", legs, chance(dice, 0.8), snat[0], up[0]))
    elif shape == "appliance":
        made.routers.append(
            Router("r0", [Leg("n0", 0 if made.nets[0].gateway else 4)], chance(dice, 0.8), snat[0], up[0])
        )
        add_appliance(made)
    elif shape == "beside":
        made.routers.append(
            Router("r0", [Leg("n0", 0 if made.nets[0].gateway else 4)], chance(dice, 0.3), snat[0], up[0])
        )
        made.routers.append(Router("r1", [Leg("n0", 5)], True, snat[1], up[1]))
    elif shape == "row":
        made.nets.append(Net("middle", 9))
        for n, (net, other) in enumerate((("n0", "n1"), ("n1", "n0"))):
            legs = [Leg(net, 0 if made.net(net).gateway else 4), Leg("middle", n + 6)]
            there = {"destination": made.net(other).cidr, "nexthop": made.net("middle").address(7 - n)}
            routes = [there] if chance(dice, 0.8) else []
            if n == 1 and chance(dice, 0.4):
                routes.append({"destination": "0.0.0.0/0", "nexthop": made.net("middle").address(6)})
            made.routers.append(Router(f"r{n}", legs, n == 0 and chance(dice, 0.7), snat[n], up[n], routes))


def add_appliance(made: Topology) -> None:
    """A server that routes between both networks, as a firewall would, and a route that leads by it."""
    near, far = made.nets
    made.guests.append(Guest("fw", near.name, 20, secure=False, second=far.name))
    made.routers[0].routes.append({"destination": far.cidr, "nexthop": near.address(20)})
    far.told_by = 20  # servers there are told of it as their gateway


# Security groups -----------------------------------------------------------------------------------------------------
def group(dice: Random, name: str, made: Topology) -> Group:
    one = Group(name, not chance(dice, 0.15), chance(dice, 0.8))
    one.rules = [rule(dice, made, "ingress") for _ in range(dice.randint(1, 4))]
    if not one.everything_out:
        one.rules += [rule(dice, made, "egress") for _ in range(dice.randint(1, 3))]
    return one


def rule(dice: Random, made: Topology, direction: str) -> dict[str, Any]:
    version = 6 if made.nets[0].six and chance(dice, 0.3) else 4
    found: dict[str, Any] = {"direction": direction, "ethertype": f"IPv{version}"}
    kind = dice.choice(["tcp", "tcp", "tcp", "udp", "udp", "icmp", "icmp", "any", "number"])
    if kind in ("tcp", "udp"):
        port = dice.choice(TCP_PORTS if kind == "tcp" else UDP_PORTS)
        low, high = dice.choice([(port, port), (port, port), (1, 1023), (80, 8080), (None, None)])
        found |= {"protocol": kind} | ({"port_range_min": low, "port_range_max": high} if low else {})
    elif kind == "icmp":
        echo = 8 if version == 4 else 128
        found |= dice.choice(
            [
                {"protocol": "icmp"},
                {"protocol": "icmp", "port_range_min": echo},
                {"protocol": "icmp", "port_range_min": 3},
            ]
        )
        if version == 6:
            found["protocol"] = dice.choice(["icmp", "ipv6-icmp", "icmpv6"])
    elif kind == "number":
        found["protocol"] = dice.choice(["6", "17", "112"])
    net = dice.choice(made.nets)
    own = [net.cidr, f"{net.address(dice.randint(11, 15))}/32"] if version == 4 else [net.cidr6]
    far = {4: ["198.51.100.254/32", "198.51.100.0/24", "0.0.0.0/0"], 6: ["2001:db8::/32", "::/0"]}[version]
    if chance(dice, 0.45):
        found["remote_ip_prefix"] = dice.choice([*own, *far])
    elif chance(dice, 0.15):
        found["addresses"] = dice.sample([*own, *far[:-1]], 2)
    return found


def remote_groups(dice: Random, made: Topology) -> None:
    """Some rules mean the members of a group instead of a prefix; no group says the same twice."""
    for one in made.groups:
        for each in one.rules:
            if not {"remote_ip_prefix", "addresses"} & each.keys() and chance(dice, 0.35):
                each["remote_group"] = dice.choice(made.groups).name
        one.rules = list({meaning(each): each for each in one.rules}.values())


def meaning(rule: dict[str, Any]) -> str:
    """What a rule says, however its protocol is spelt."""
    spelt = {"6": "tcp", "17": "udp", "ipv6-icmp": "icmp", "icmpv6": "icmp"}
    protocol = str(rule.get("protocol"))
    if rule.get("remote_ip_prefix") in ("0.0.0.0/0", "::/0"):
        rule = {key: value for key, value in rule.items() if key != "remote_ip_prefix"}
    return repr(sorted(({**rule, "protocol": spelt.get(protocol, protocol)}).items()))


# Servers -------------------------------------------------------------------------------------------------------------
def guest(dice: Random, name: str, host: int, made: Topology) -> Guest:
    nets = [net.name for net in made.nets if net.name != "middle"]
    one = Guest(name, dice.choice(nets), host)
    one.secure = not chance(dice, 0.1)
    one.admin_up, one.plugged = not chance(dice, 0.04), not chance(dice, 0.05)
    if one.secure:
        first = dice.choice(made.groups)  # stateful and stateless groups do not go together
        names = [each.name for each in made.groups if each.stateful == first.stateful]
        one.groups = [] if chance(dice, 0.04) else dice.sample(names, min(len(names), dice.choice([1, 1, 2])))
        if chance(dice, 0.1):
            one.pairs = [f"{made.net(one.net).address(100 + host)}/32"]
    if made.net(one.net).shared and chance(dice, 0.4):
        one.project = 1
    return one


def lead_in(dice: Random, made: Topology) -> None:
    """Floating IPs and port forwardings, where a router leads outside."""
    outer = {leg.net for router in made.routers if router.outside for leg in router.legs}
    led = [one for one in made.guests if one.net in outer and one.project == 0 and not one.second]
    made.floating = [one.name for one in led if chance(dice, 0.4)]
    if outer and chance(dice, 0.15):
        made.floating.append("")
    led = [one for one in led if one.name not in made.floating]  # a port has one or the other
    if led and chance(dice, 0.35):
        for _ in range(dice.randint(1, 2)):
            kind = dice.choice(["tcp", "udp"])
            inner = dice.choice(TCP_PORTS if kind == "tcp" else UDP_PORTS)
            one = Forwarding(
                dice.choice(led).name, kind, dice.choice([inner, 2000 + inner]), inner, floating=len(made.floating)
            )
            outside = {(each.protocol, each.outer) for each in made.forwardings}
            inside = {(each.guest, each.protocol, each.inner) for each in made.forwardings}
            if (kind, one.outer) not in outside and (one.guest, kind, inner) not in inside:
                made.forwardings.append(one)
        made.floating.append("")
    forwarded = {one.guest for one in made.forwardings}
    six = [one for one in led if made.net(one.net).six and one.name not in forwarded]
    made.floating6 = [one.name for one in six if chance(dice, 0.3)]


# Probes --------------------------------------------------------------------------------------------------------------
def probes(dice: Random, made: Topology) -> list[Probe]:
    found: list[Probe] = []
    senders = [one for one in made.guests if one.plugged and not one.second]
    for _ in range(80):
        if len(found) == 9 or not senders:
            break
        one = probe(dice, made, dice.choice(senders))
        if one and one not in found:
            found.append(one)
    return found


def probe(dice: Random, made: Topology, source: Guest) -> Probe | None:
    """One probe; None where the dice have asked for what is not there."""
    other = dice.choice([one for one in made.guests if one is not source and not one.second])
    net, its = made.net(source.net), made.net(other.net)
    version = 6 if net.six and chance(dice, 0.35) else 4
    kind = dice.choice(["tcp", "tcp", "tcp", "udp", "udp", "icmp"])
    port = {"tcp": dice.choice(TCP_PORTS), "udp": dice.choice(UDP_PORTS), "icmp": 0}[kind]
    sender = dice.choice([source.name, "outside"])
    what = dice.choices(
        ["guest", "floating", "outside", "router", "nobody", "forwarding", "routed", "floating6"],
        [10, 8, 4, 1, 0.5, 4, 3, 3],
    )[0]
    if what == "floating" and made.floating:
        at = dice.randrange(len(made.floating))
        led_to = {made.floating[at], *(one.guest for one in made.forwardings if one.floating == at)}
        return Probe(sender, ("floating", at), kind, port) if sender not in led_to else None
    if what == "forwarding" and made.forwardings:
        led = dice.choice(made.forwardings)
        return Probe(sender, ("floating", led.floating), led.protocol, led.outer) if led.guest != sender else None
    if what == "floating6" and made.floating6:
        at = dice.randrange(len(made.floating6))
        return Probe(sender, ("floating6", at), kind, port) if made.floating6[at] != sender and net.six else None
    if what == "routed" and its.routed:
        return Probe("outside", its.address(other.host, 6), kind, port)
    if what == "outside":
        return Probe(source.name, OUTSIDE[version], kind, port)
    if what == "router" and made.routers:
        kind = dice.choice(["icmp", "icmp", "tcp"])
        return Probe(source.name, ("router", dice.choice(made.routers).name), kind, 0 if kind == "icmp" else 80)
    if what == "nobody":
        return Probe(source.name, net.address(99), kind, port)
    if what != "guest" or version not in its.versions:
        return None
    forged = net.address(100 + source.host) if version == 4 and chance(dice, 0.06) else ""
    return Probe(source.name, its.address(other.host, version), kind, port, forged)


# The operator --------------------------------------------------------------------------------------------------------
def door_rules(seed: int) -> list[dict[str, Any]]:
    """Rules for the doorman, beside those that a cloud starts with."""
    dice = Random(seed)
    some: list[dict[str, Any]] = [
        {"action": "deny", "direction": "ingress", "protocol": "tcp", "port_range_min": 443, "port_range_max": 443,
         "remote_ip_prefixes": ["198.51.100.254/32"]},
        {"action": "deny", "direction": "egress", "protocol": "udp", "port_range_min": 123, "port_range_max": 123},
        {"action": "deny", "direction": "ingress", "protocol": "icmp", "local_ip_prefixes": ["198.51.100.0/26"]},
        {"action": "allow", "direction": "ingress", "protocol": "tcp", "port_range_min": 25, "port_range_max": 25,
         "local_ip_prefixes": ["198.51.100.64/26"], "position": 1},
        {"action": "deny", "direction": "egress", "protocol": "tcp", "port_range_min": 8080, "port_range_max": 8080,
         "local_ip_prefixes": ["198.51.100.0/25"]},
        {"action": "deny", "direction": "ingress", "ethertype": "IPv6", "protocol": "tcp", "port_range_min": 22, "port_range_max": 80},
        {"action": "deny", "direction": "ingress", "protocol": "udp", "port_range_min": 5353, "port_range_max": 5353},
    ]  # fmt: skip
    return dice.sample(some, 3)
