"""EVPN's devices on a real kernel: made, kept, changed and taken away, over and over.

Run by ``test_fabric.py`` in a network and mount namespace of their own.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest
from pyroute2 import IPRoute, netns

from tests.agent.test_zones import EVPN
from wolke.agent.fabric import KernelFabric, veth_of
from wolke.agent.namespaces import inside
from wolke.agent.routing import space_of
from wolke.wire.wanted import Zone, ZoneSegment

OWN = "198.51.100.11"
SPACE = space_of(EVPN.id)
GATED = replace(
    EVPN,
    gateway_mac="00:00:5e:00:01:01",
    segments=(
        ZoneSegment(network_id="n1", number=5000, tag=1, gateways=("10.0.0.1/24", "fd00::1/64")),
        EVPN.segments[1],
    ),
)


def said(*words: str) -> str:
    return subprocess.run(["ip", "netns", "exec", SPACE, *words], check=True, capture_output=True, text=True).stdout


def links(space: str = "") -> dict[str, str]:
    """Device -> its bridge."""

    def look() -> dict[str, str]:
        with IPRoute() as handle:
            found = {link["index"]: link for link in handle.get_links()}
            return {
                link.get_attr("IFLA_IFNAME"): found[master].get_attr("IFLA_IFNAME")
                if (master := link.get_attr("IFLA_MASTER")) in found
                else ""
                for link in found.values()
            }

    return inside(space, look) if space else look()


@pytest.fixture
def fabric() -> Iterator[KernelFabric]:
    with IPRoute() as handle:
        handle.link("set", index=handle.link_lookup(ifname="lo")[0], state="up")
    made = KernelFabric(OWN)
    yield made
    made.apply(())


def apply(fabric: KernelFabric, *zones: Zone) -> None:
    for _ in range(2):  # the second time there is nothing to do
        assert fabric.apply(zones) == {}
    before = links(SPACE) if zones else {}
    assert fabric.apply(zones) == {} and (not zones or links(SPACE) == before)


def test_each_network_has_a_bridge_with_its_vxlan_and_a_way_out(fabric: KernelFabric) -> None:
    apply(fabric, EVPN)
    found = links(SPACE)
    assert {name: found[name] for name in ("vx5000", "in5000", "vx5001", "in5001", "vx5999")} == {
        "vx5000": "br5000", "in5000": "br5000", "vx5001": "br5001", "in5001": "br5001", "vx5999": "br5999",
    }  # fmt: skip
    assert {veth_of(EVPN, one) for one in EVPN.segments} <= set(links())
    shown = said("ip", "-d", "link", "show", "vx5000")
    assert f"local {OWN}" in shown and "dstport 4790" in shown and "nolearning" in shown and "mtu 1450" in shown
    assert "learning off" in said("bridge", "-d", "link", "show", "dev", "vx5000")
    assert "inet" not in said("ip", "addr", "show", "br5000")  # the host is no neighbour of the guests


def test_gateways_come_change_and_go(fabric: KernelFabric) -> None:
    apply(fabric, GATED)
    shown = said("ip", "addr", "show", "br5000")
    assert "00:00:5e:00:01:01" in shown and "10.0.0.1/24" in shown and "fd00::1/64" in shown
    assert "inet" not in said("ip", "addr", "show", "br5001")
    assert said("sysctl", "-n", "net.ipv4.ip_forward").strip() == "1"
    moved = replace(GATED.segments[0], gateways=("10.0.0.254/24",))
    apply(fabric, replace(GATED, segments=(moved, GATED.segments[1])))
    shown = said("ip", "addr", "show", "br5000")
    assert "10.0.0.254/24" in shown and "10.0.0.1/24" not in shown and "fd00::1" not in shown
    apply(fabric, EVPN)
    assert "inet " not in said("ip", "addr", "show", "br5000")


def test_what_is_not_wanted_goes(fabric: KernelFabric) -> None:
    apply(fabric, EVPN)
    apply(fabric, replace(EVPN, segments=EVPN.segments[:1], l3_vni=0))
    assert not {"br5001", "vx5001", "in5001", "br5999", "vx5999"} & set(links(SPACE))
    assert veth_of(EVPN, EVPN.segments[1]) not in links()
    apply(fabric)
    assert SPACE not in netns.listnetns() and veth_of(EVPN, EVPN.segments[0]) not in links()


def test_half_of_it_and_what_somebody_has_changed_is_mended(fabric: KernelFabric) -> None:
    apply(fabric, GATED)
    said("ip", "link", "del", "vx5000")
    said("ip", "link", "set", "in5001", "nomaster", "down")
    said("ip", "link", "set", "br5000", "address", "02:00:00:00:00:01")
    said("ip", "addr", "flush", "dev", "br5000")
    subprocess.run(["ip", "link", "del", veth_of(GATED, GATED.segments[0])], check=True)
    apply(fabric, GATED)
    assert links(SPACE)["vx5000"] == links(SPACE)["in5000"] == "br5000" and links(SPACE)["in5001"] == "br5001"
    shown = said("ip", "addr", "show", "br5000")
    assert "00:00:5e:00:01:01" in shown and "10.0.0.1/24" in shown


def test_a_host_with_another_address_ends_its_tunnels_there(fabric: KernelFabric) -> None:
    apply(fabric, EVPN)
    apply(KernelFabric("198.51.100.12"), EVPN)
    assert "local 198.51.100.12" in said("ip", "-d", "link", "show", "vx5000")
    apply(KernelFabric("198.51.100.12"), replace(EVPN, udp_port=4791))
    assert "dstport 4791" in said("ip", "-d", "link", "show", "vx5000")


def test_trouble_of_the_routing_daemons_is_the_zones(fabric: KernelFabric) -> None:
    told = KernelFabric(OWN, lambda: "FRR is not installed")
    assert told.apply([EVPN]) == {EVPN.id: "routing: FRR is not installed"}
    assert "vx5000" in links(SPACE)
    assert told.apply([]) == {}
