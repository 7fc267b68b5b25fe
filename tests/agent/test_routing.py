"""A host's routing daemons: composed from the slice, run while anything needs them, with real sessions between namespaces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.drivers.test_frr import ip, pair
from tests.waiting import wait_for
from wolke.agent.routing import Routing, config_of
from wolke.drivers.frr import Frr
from wolke.drivers.hypervisor import DriverError
from wolke.wire.wanted import BgpNeighbour, BgpRoute, BgpSpeaker, Wanted

UPSTREAM = """
router bgp 64513
 bgp router-id 198.51.100.2
 no bgp default ipv4-unicast
 no bgp ebgp-requires-policy
 neighbor 2001:db8::1 remote-as 64512
 neighbor 2001:db8::1 timers connect 1
 neighbor 2001:db8::1 password sesame
 neighbor 198.51.100.1 remote-as 64999
 neighbor 198.51.100.1 timers connect 1
 address-family ipv4 unicast
  neighbor 198.51.100.1 activate
 exit-address-family
 address-family ipv6 unicast
  network 2001:db8:1234::/48
  neighbor 2001:db8::1 activate
 exit-address-family
exit
"""
NEXT = {6: ("2001:db8::77", "fe80::77"), 4: ("198.51.100.77", "")}


def speaker(version: int, asn: int, peer: str, *prefixes: str, password: str = "") -> BgpSpeaker:
    routes = tuple(BgpRoute(prefix=one, next_hop=NEXT[version][0], link_local=NEXT[version][1]) for one in prefixes)
    neighbour = BgpNeighbour(address=peer, asn=64513, password=password)
    return BgpSpeaker(id=f"{asn:08x}-0", asn=asn, ip_version=version, neighbours=(neighbour,), routes=routes)


def slice_of(*speakers: BgpSpeaker) -> Wanted:
    return Wanted(revision=1, host="h1", ovn_remote="", bgp=speakers)


class FakeDaemons:
    """Refuses what holds the word ``wrong``."""

    def __init__(self) -> None:
        self.config, self.alive, self.calls = "", False, 0

    def apply(self, config: str) -> None:
        self.calls += 1
        if "wrong" in config:
            raise DriverError("FRR refuses its configuration", "wrong")
        self.config, self.alive = config, True

    def running(self) -> bool:
        return self.alive

    def down(self) -> None:
        self.calls += 1
        self.config, self.alive = "", False


def test_no_daemon_runs_where_nothing_is_wanted() -> None:
    daemons = FakeDaemons()
    routing = Routing(daemons, "100.64.0.11")
    routing.apply(slice_of())
    routing.work()
    assert not daemons.alive
    routing.apply(slice_of(speaker(6, 64512, "2001:db8::2", "2001:db8:9::/64")))
    routing.work()
    routing.work()
    assert "network 2001:db8:9::/64" in daemons.config and daemons.calls == 2
    daemons.alive = False  # one has died
    routing.work()
    assert daemons.alive
    routing.apply(slice_of(speaker(6, 64512, "wrong", "2001:db8:9::/64")))
    routing.work()
    assert routing.errors() == {"routing": "FRR refuses its configuration wrong"}
    routing.apply(slice_of())
    routing.work()
    assert not daemons.alive and not routing.errors()


def test_a_speaker_with_nobody_to_talk_to_says_nothing() -> None:
    alone = BgpSpeaker(id="1", asn=64512, ip_version=6)
    assert config_of(slice_of(alone), "100.64.0.11") == ""


__all__ = ["pair"]  # a fixture


@pytest.fixture
def routing(pair: tuple[Frr, Frr, str]) -> Iterator[tuple[Routing, Frr, str]]:
    """A host's daemons with an upstream router on a wire, and the upstream's namespace."""
    host, upstream, namespace = pair
    ip("-n", host.prefix[-1], "address", "add", "198.51.100.1/24", "dev", "wire")
    ip("-n", namespace, "address", "add", "198.51.100.2/24", "dev", "wire")
    upstream.apply(UPSTREAM)
    yield Routing(host, "198.51.100.1"), upstream, namespace


@pytest.mark.slow
def test_two_speakers_of_different_as_tell_their_routes_and_take_none(routing: tuple[Routing, Frr, str]) -> None:
    made, upstream, namespace = routing
    six = speaker(6, 64512, "2001:db8::2", "2001:db8:9::/64", "2001:db8::f00/128", password="sesame")
    four = speaker(4, 64999, "198.51.100.2", "198.51.100.20/32")
    made.apply(slice_of(six, four))
    made.work()
    assert not made.errors()

    def routes() -> str:
        return ip("-n", namespace, "-6", "route", "show", "proto", "bgp") + ip(
            "-n", namespace, "route", "show", "proto", "bgp"
        )

    wanted = ("2001:db8:9::/64 ", "via fe80::77", "2001:db8::f00 ", "198.51.100.20 ", "via 198.51.100.77")
    assert wait_for(lambda: all(one in routes() for one in wanted)), upstream.show("show bgp summary")
    host = made.daemons.prefix[-1]  # type: ignore[attr-defined]
    assert "1234" not in ip("-n", host, "-6", "route"), "a host took a route from its peer"
    made.apply(slice_of(speaker(6, 64512, "2001:db8::2", "2001:db8:8::/64", password="sesame")))
    made.work()
    assert wait_for(lambda: "2001:db8:8::/64" in routes() and "2001:db8:9::/64" not in routes())
    assert wait_for(lambda: "198.51.100.20" not in routes())
