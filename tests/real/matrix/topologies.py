"""Random topologies as plain values: what a project could have built, mistakes included. The same number makes the same topology."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

TCP_PORTS, UDP_PORTS = (22, 25, 80, 443, 8080), (53, 123, 5353)
OUTSIDE = {4: "198.51.100.254", 6: "2001:db8:ffff::1"}


@dataclass
class Net:
    name: str
    index: int
    six: bool = False
    gateway: bool = True  # whether servers are told of one
    admin_up: bool = True
    shared: bool = False

    @property
    def cidr(self) -> str:
        return f"10.0.{self.index}.0/24"

    @property
    def cidr6(self) -> str:
        return f"fd00:0:0:{self.index}::/64"

    def address(self, host: int, version: int = 4) -> str:
        return f"10.0.{self.index}.{host}" if version == 4 else f"fd00:0:0:{self.index}::{host:x}"


@dataclass
class Leg:
    """A router's interface: on the subnet's gateway address, or at ``host`` of the network."""

    net: str
    host: int = 0


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
    rules: list[dict[str, Any]] = field(default_factory=list)  # ``remote_group`` by name


@dataclass
class Guest:
    """``host``: the number of its address and of the machine it lives on (odd or even)."""

    name: str
    net: str
    host: int
    groups: list[str] = field(default_factory=list)
    secure: bool = True
    admin_up: bool = True
    plugged: bool = True
    pairs: list[str] = field(default_factory=list)
    project: int = 0  # the second one is a guest in a shared network


@dataclass
class Probe:
    """``source``: a guest's name, or "outside". ``target``: an address, or ``("floating", n)``, ``("router", name)``."""

    source: str
    target: Any
    kind: str
    port: int = 0
    forged: str = ""


@dataclass
class Topology:
    seed: int
    nets: list[Net] = field(default_factory=list)
    routers: list[Router] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    guests: list[Guest] = field(default_factory=list)
    floating: list[str] = field(default_factory=list)  # names of guests, "" for one that leads nowhere
    forwardings: list[dict[str, Any]] = field(default_factory=list)  # floating, guest, protocol, outer, inner
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
    made.probes = probes(dice, made)
    return made


def chance(dice: Random, share: float) -> bool:
    return dice.random() < share


# Networks and routers ------------------------------------------------------------------------------------------------
def lay_out(dice: Random, made: Topology) -> None:
    """Networks, and how routers join them: not at all, one, two in a row, or one beside the other."""
    shape = dice.choices(["alone", "star", "row", "beside"], [1, 6, 3, 2])[0]
    count = {"alone": 1, "star": dice.randint(1, 3), "row": 2, "beside": 1}[shape]
    six, shared = chance(dice, 0.5), chance(dice, 0.15)
    for n in range(count):
        made.nets.append(
            Net(
                f"n{n}",
                n,
                six,
                gateway=not chance(dice, 0.04),
                admin_up=not chance(dice, 0.03),
                shared=shared and n == 0,
            )
        )
    up = [not chance(dice, 0.04) for _ in range(2)]
    snat = [not chance(dice, 0.1) for _ in range(2)]
    if shape == "star":
        legs = [
            Leg(net.name, 0 if net.gateway else 4) for net in made.nets if len(made.nets) == 1 or not chance(dice, 0.1)
        ]
        made.routers.append(Router("r0", legs, chance(dice, 0.8), snat[0], up[0]))
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
    return found


def remote_groups(dice: Random, made: Topology) -> None:
    """Some rules mean the members of a group instead of a prefix; no group says the same twice."""
    for one in made.groups:
        for each in one.rules:
            if "remote_ip_prefix" not in each and chance(dice, 0.35):
                each["remote_group"] = dice.choice(made.groups).name
        one.rules = list({meaning(each): each for each in one.rules}.values())


def meaning(rule: dict[str, Any]) -> str:
    """What a rule says, however its protocol is spelt."""
    spelt = {"6": "tcp", "17": "udp", "ipv6-icmp": "icmp", "icmpv6": "icmp"}
    protocol = str(rule.get("protocol"))
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
    for one in made.guests:
        led = [router for router in made.routers if router.outside and any(leg.net == one.net for leg in router.legs)]
        if led and one.project == 0 and chance(dice, 0.4):
            made.floating.append(one.name)
    if any(router.outside for router in made.routers) and chance(dice, 0.15):
        made.floating.append("")


# Probes --------------------------------------------------------------------------------------------------------------
def probes(dice: Random, made: Topology) -> list[Probe]:
    found: list[Probe] = []
    senders = [one for one in made.guests if one.plugged]
    for _ in range(60):
        if len(found) == 9 or not senders:
            break
        source = dice.choice(senders)
        target, outside = aim(dice, made, source)
        kind = dice.choice(["tcp", "tcp", "tcp", "udp", "udp", "icmp"])
        if isinstance(target, tuple) and target[0] == "router":
            kind = dice.choice(["icmp", "icmp", "tcp"])
        port = {"tcp": dice.choice(TCP_PORTS), "udp": dice.choice(UDP_PORTS), "icmp": 0}[kind]
        one = Probe("outside" if outside else source.name, target, kind, port)
        if not outside and isinstance(target, str) and "." in target and chance(dice, 0.06):
            one.forged = made.net(source.net).address(100 + source.host)
        if one not in found:
            found.append(one)
    return found


def aim(dice: Random, made: Topology, source: Guest) -> tuple[Any, bool]:
    """What a probe is sent to, and whether it comes from outside."""
    others = [one for one in made.guests if one is not source]
    other, net = dice.choice(others), made.net(source.net)
    version = 6 if net.six and chance(dice, 0.35) else 4
    what = dice.choices(
        ["guest", "floating", "floating from outside", "outside", "router", "nobody", "forwarding"],
        [10, 3, 6, 4, 1, 0.5, 3],
    )[0]
    if what.startswith("floating") and made.floating:
        at = dice.randrange(len(made.floating))
        if made.floating[at] != source.name or "outside" in what:
            return ("floating", at), "outside" in what
    if what == "outside":
        return OUTSIDE[version], False
    if what == "router" and made.routers:
        return ("router", dice.choice(made.routers).name), False
    if what == "nobody":
        return net.address(99), False
    return made.net(other.net).address(other.host, version if made.net(other.net).six else 4), False
