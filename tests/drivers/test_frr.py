"""FRR's daemons in network namespaces: a BGP session between two of them, changed and kept."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.waiting import wait_for
from wolke.drivers.frr import Frr, refusal
from wolke.drivers.hypervisor import DriverError

ANNOUNCER = """
ip prefix-list OURS seq 5 permit 2001:db8:77::/48
router bgp 64512
 bgp router-id 198.51.100.1
 no bgp default ipv4-unicast
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 2001:db8::2 remote-as 64513
 neighbor 2001:db8::2 timers 1 3
 address-family ipv6 unicast
  {networks}
  neighbor 2001:db8::2 activate
  neighbor 2001:db8::2 route-map OUT out
 exit-address-family
exit
route-map OUT permit 10
 set ipv6 next-hop global 2001:db8::99
 set ipv6 next-hop local fe80::99
exit
"""
LISTENER = """
router bgp 64513
 bgp router-id 198.51.100.2
 no bgp default ipv4-unicast
 no bgp ebgp-requires-policy
 neighbor 2001:db8::1 remote-as 64512
 neighbor 2001:db8::1 timers 1 3
 address-family ipv6 unicast
  neighbor 2001:db8::1 activate
 exit-address-family
exit
"""


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def pair() -> Iterator[tuple[Frr, Frr, str]]:
    """Two sets of daemons with a wire between them; and the second one's namespace."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    mark = uuid.uuid4().hex[:6]
    names = [f"frr{mark}a", f"frr{mark}b"]
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        sides = [Frr(Path(directory) / name, prefix=("ip", "netns", "exec", name)) for name in names]
        try:
            for name in names:
                ip("netns", "add", name)
                ip("-n", name, "link", "set", "lo", "up")
            ip("-n", names[0], "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", names[1])
            for number, name in enumerate(names, 1):
                ip("-n", name, "address", "add", f"2001:db8::{number}/64", "dev", "wire", "nodad")
                ip("-n", name, "link", "set", "wire", "up")
            yield sides[0], sides[1], names[1]
        finally:
            for side in sides:
                side.down()
            for name in names:
                subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def session(side: Frr, peer: str) -> dict[str, object]:
    """What a side knows of its neighbour."""
    told = side.show(f"show bgp neighbors {peer}")
    return dict(told.get(peer, {}))


@pytest.mark.slow
def test_routes_are_announced_changed_and_taken_back(pair: tuple[Frr, Frr, str]) -> None:
    one, two, namespace = pair
    one.apply(ANNOUNCER.format(networks="network 2001:db8:77::/48"))
    two.apply(LISTENER)
    assert one.running() and two.running()
    routes = lambda: ip("-n", namespace, "-6", "route", "show", "proto", "bgp")  # noqa: E731
    assert wait_for(lambda: "2001:db8:77::/48" in routes()), one.show("show bgp ipv6 unicast summary")
    assert "via fe80::99 dev wire" in routes()  # the next hop is another one than the speaker
    count = session(two, "2001:db8::1")["connectionsEstablished"]

    one.apply(ANNOUNCER.format(networks="network 2001:db8:88::/48"))
    assert wait_for(lambda: "2001:db8:88::/48" in routes() and "2001:db8:77::/48" not in routes())
    assert session(two, "2001:db8::1")["connectionsEstablished"] == count, "the session was dropped"

    again = Frr(one.directory, prefix=one.prefix)  # whoever started them was started anew
    again.apply(ANNOUNCER.format(networks="network 2001:db8:88::/48"))
    assert session(two, "2001:db8::1")["connectionsEstablished"] == count, "the session was dropped"

    again.down()
    assert not one.running() and not one.directory.exists()
    assert wait_for(lambda: not routes())


@pytest.mark.slow
def test_a_daemon_that_dies_is_started_again(pair: tuple[Frr, Frr, str]) -> None:
    one, two, _ = pair
    one.apply(ANNOUNCER.format(networks="network 2001:db8:77::/48"))
    two.apply(LISTENER)
    os.kill(int((one.directory / "bgpd.pid").read_text()), signal.SIGKILL)
    assert wait_for(lambda: not one.running())
    one.apply(ANNOUNCER.format(networks="network 2001:db8:77::/48"))
    assert one.running()
    assert wait_for(lambda: session(two, "2001:db8::1").get("bgpState") == "Established")


def test_the_kernel_forwards_as_before(pair: tuple[Frr, Frr, str]) -> None:
    one, _, _ = pair
    setting = lambda: one._run("sysctl", "-n", "net.ipv6.conf.all.forwarding").stdout  # noqa: E731
    before = setting()
    one.apply(ANNOUNCER.format(networks="network 2001:db8:77::/48"))
    assert setting() == before
    one.apply("no ip forwarding\nipv6 forwarding")
    assert setting() == "1\n"
    assert "router bgp" not in one._run("vtysh", *one._place(), "-c", "show running-config").stdout


def test_a_line_that_frr_does_not_know_is_told(pair: tuple[Frr, Frr, str]) -> None:
    one, _, _ = pair
    with pytest.raises(DriverError) as caught:
        one.apply("router bpg 64512\n")
    assert "router bpg 64512" in caught.value.hint
    with pytest.raises(DriverError):
        one.show("show nonsense")
    one.apply(ANNOUNCER.format(networks="network 2001:db8:77::/48"))


def test_only_what_was_refused_is_told() -> None:
    assert refusal("INFO: fine\n% Unknown command: x\n% Unknown command: x") == "% Unknown command: x"
    assert refusal("nothing we know") == "nothing we know"
