"""Which way a router sends a packet, and as whom: pure functions from its legs and routes, for OVN's rows and for the model of
reachability alike.

OVN:  ovn-nb(5): Logical_Router_Static_Route, BFD, NAT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from wolke.network.routers.legs import Leg, gateways_first

ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}


@dataclass(frozen=True, slots=True)
class Way:
    """One route: packets to ``prefix`` go to the neighbour ``nexthop``, out of ``leg``."""

    prefix: str
    nexthop: str
    leg: Leg
    default: bool = False  # follows from a gateway; else one of the router's extra routes
    watched: bool = False  # BFD asks whether the next hop is there


@dataclass(frozen=True, slots=True)
class SourceNat:
    """Packets from ``inside`` that leave by ``gateway`` bear ``outside`` as their source."""

    inside: str  # prefix
    outside: str
    gateway: Leg
    key: str  # of what is inside: its subnet's id, or the prefix of a route


def ways(router: Any, legs: Sequence[Leg]) -> list[Way]:
    """All routes of a router beside those to its own networks. Several with one prefix share its traffic."""
    return [*default_ways(router, legs), *extra_ways(router, legs)]


def default_ways(router: Any, legs: Sequence[Leg]) -> list[Way]:
    """Out by the first gateway that has a way out for this version; by all of them where the router has ECMP."""
    outer, _ = gateways_first(router, legs)
    found: list[Way] = []
    for leg in outer:
        for version in (4, 6):
            subnets = (subnet for _, subnet in leg.addresses if subnet.ip_version == version and subnet.gateway_ip)
            subnet = next(subnets, None)
            had = any(way.prefix == ANYWHERE[version] for way in found)
            if subnet and (router.enable_default_route_ecmp or not had):
                found.append(
                    Way(ANYWHERE[version], subnet.gateway_ip, leg, True, watched=router.enable_default_route_bfd)
                )
    return found


def extra_ways(router: Any, legs: Sequence[Leg]) -> list[Way]:
    """The router's own routes; one whose next hop is nobody's neighbour any more leads nowhere."""
    found = []
    for one in router.routes:
        if leg := neighbour(legs, ip_address(one["nexthop"])):
            found.append(Way(one["destination"], one["nexthop"], leg))
    return found


def neighbour(legs: Sequence[Leg], address: IPv4Address | IPv6Address) -> Leg | None:
    """The leg whose subnet an address is on."""
    for leg in legs:
        if any(address in ip_network(subnet.cidr) for _, subnet in leg.addresses):
            return leg
    return None


def source_nats(router: Any, legs: Sequence[Leg]) -> list[SourceNat]:
    """IPv4 leaves with a gateway's address, also from networks behind other routers that a route leads to; IPv6 is routed."""
    if not router.enable_snat:
        return []
    outer, inside = gateways_first(router, legs)
    near = {
        subnet.cidr: (subnet.id, leg.scopes.get(4))
        for leg in inside for _, subnet in leg.addresses if subnet.ip_version == 4
    }  # fmt: skip
    far = {
        way.prefix: (way.prefix, None)
        for way in extra_ways(router, legs)
        if not way.leg.is_gateway and ip_network(way.prefix).version == 4 and ip_network(way.prefix).prefixlen
    }
    behind = {**far, **near}
    return [
        SourceNat(prefix, outside, gateway, key)
        for gateway in outer
        if (outside := gateway.address(4))
        for prefix, (key, scope) in behind.items()
        if not scope or scope != gateway.scopes.get(4)  # within one address scope nothing is translated
    ]


# Floating IPs of a router with several gateways ---------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Detour:
    """Packets from ``source`` to anywhere but ``near`` go to ``nexthop``, out of ``leg``, whatever the routes say."""

    source: str
    near: tuple[str, ...]  # prefixes that are reached without a gateway, or on the gateway's own network
    nexthop: str
    leg: Leg


def detour(router: Any, legs: Sequence[Leg], network_id: str, source: str) -> Detour | None:
    """What leaves from a floating IP's port goes by the gateway on the floating IP's network: answers by another would bear its address.

    None where the router has a single gateway, or none there that knows a way out.
    """
    outer, inside = gateways_first(router, legs)
    mine = next((leg for leg in outer if leg.network.id == network_id), None)
    version = ip_address(source).version
    if mine is None or len(outer) < 2:
        return None
    subnets = [subnet for _, subnet in mine.addresses if subnet.ip_version == version and subnet.gateway_ip]
    if not subnets:
        return None
    its = [*inside, mine]
    near = {subnet.cidr for leg in its for _, subnet in leg.addresses if subnet.ip_version == version}
    far = (way.prefix for way in extra_ways(router, legs) if way.leg in its)
    near |= {prefix for prefix in far if ip_network(prefix).version == version}
    return Detour(source, tuple(sorted(near)), subnets[0].gateway_ip, mine)
