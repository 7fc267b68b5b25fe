"""Zones on a host in memory: what is laid for each type, each zone's trouble its own, tried again until it is in force."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from wolke.agent.routing import config_of, waits
from wolke.agent.zones import Fabric, Missing, Zones, bridge_of, laid
from wolke.drivers.fake.vswitch import VirtualSwitch
from wolke.drivers.hypervisor import DriverError, Wrong
from wolke.drivers.layout import LaidPort, Layout
from wolke.wire.wanted import BgpPeer, Wanted, Zone, ZoneSegment

OWN = "100.64.0.11"
PHYSICAL = {"public": "br-ex"}
SEGMENTS = (ZoneSegment(network_id="n1", number=5000, tag=1), ZoneSegment(network_id="n2", number=5001, tag=2))
VLAN = Zone(id="a1", name="dmz", revision="r1", type="vlan", mtu=1500, physical_network="public")
QINQ = Zone(id="b2", name="metro", revision="r1", type="qinq", mtu=1492, physical_network="public", outer_tag=900)
VXLAN = Zone(
    id="c3", name="fabric", revision="r1", type="vxlan", mtu=1450, udp_port=4789, segments=SEGMENTS,
    vteps=(OWN, "100.64.0.12"), peers=("100.64.0.200",),
)  # fmt: skip
EVPN = Zone(
    id="d4", name="evpn", revision="r1", type="evpn", mtu=1450, udp_port=4790, segments=SEGMENTS, asn=64512, l3_vni=5999,
    vteps=(OWN, "100.64.0.12"), bgp_peers=(BgpPeer(address="100.64.0.200", asn=64600),),
)  # fmt: skip


class FakeFabric:
    """EVPN that works, or is in ``trouble``."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.trouble = ""

    def apply(self, zones: Sequence[Zone]) -> dict[str, str]:
        if self.trouble:
            raise DriverError(self.trouble, "hint")
        self.made = [zone.id for zone in zones]
        return {}

    def ports(self, zone: Zone, bridge: str) -> tuple[LaidPort, ...]:
        return tuple(LaidPort(name=f"wzo{one.tag}", bridge=bridge, zone=zone.id, tag=one.tag) for one in zone.segments)

    def sessions(self) -> dict[str, str]:
        return {"100.64.0.200": "Established"}


class Host:
    def __init__(self, fabric: Fabric | None = None) -> None:
        self.now, self.rings = 0.0, 0
        self.switch = VirtualSwitch()
        self.switch.configure(host="h1", ovn_remote="tcp:x", encap_ip=OWN, bridge_mappings=PHYSICAL)
        self.zones = Zones(
            self.switch, physical=PHYSICAL, own=OWN, clock=lambda: self.now, changed=self.ring, fabric=fabric
        )

    def ring(self) -> None:
        self.rings += 1

    def take(self, *zones: Zone) -> dict[str, str]:
        """What is wrong after the slice has been worked on, by zone id."""
        self.zones.accept(zones)
        self.zones.work()
        assert [told.id for told in self.zones.told] == [zone.id for zone in zones]
        return {told.id: told.error for told in self.zones.told if told.error}


def test_vlans_stand_on_the_physical_networks_bridge() -> None:
    assert laid(VLAN, PHYSICAL, OWN) == ("br-ex", ())
    with pytest.raises(Missing, match="public; it has: lab"):
        laid(VLAN, {"lab": "br-lab"}, OWN)


def test_qinq_puts_the_outer_tag_on_in_a_patch() -> None:
    bridge, (inner, outer) = laid(QINQ, PHYSICAL, OWN)
    assert (inner.bridge, outer.bridge) == (bridge, "br-ex") and bridge == bridge_of(QINQ)
    assert (inner.options["peer"], outer.options["peer"]) == (outer.name, inner.name)
    assert (outer.tag, outer.vlan_mode, outer.other_config) == (900, "dot1q-tunnel", {"qinq-ethtype": "802.1ad"})


def test_vxlan_is_a_full_mesh_with_split_horizon() -> None:
    _, ports = laid(VXLAN, PHYSICAL, OWN)
    assert {(port.options["remote_ip"], port.options["key"], port.tag) for port in ports} == {
        (end, key, tag) for end in ("100.64.0.12", "100.64.0.200") for key, tag in (("5000", 1), ("5001", 2))
    }
    assert all(port.protected and port.options["local_ip"] == OWN for port in ports)
    assert len({port.name for port in ports}) == 4 and all(len(port.name) <= 15 for port in ports)


def test_each_zones_trouble_is_its_own() -> None:
    host = Host()
    elsewhere = replace(VLAN, id="e5", name="far", physical_network="moon")
    errors = host.take(VLAN, elsewhere, EVPN)
    assert set(errors) == {"e5", "d4"} and "moon" in errors["e5"] and "EVPN" in errors["d4"]
    assert host.zones.mappings["dmz"] == "br-ex" and "far" not in host.zones.mappings
    assert host.take(VLAN) == {}
    assert host.zones.mappings == {"dmz": "br-ex"} and not host.switch.layout.bridges


def test_what_fails_is_tried_again_and_more_seldom() -> None:
    host = Host()
    host.switch.reachable = False
    assert set(host.take(QINQ)) == {"b2"}
    tries = []
    for second in range(120):
        host.now = float(second)
        before = host.zones.due
        host.zones.work()
        if host.zones.due != before:
            tries.append(second)
    assert 3 <= len(tries) <= 8 and tries[1] - tries[0] < tries[-1] - tries[-2]
    host.switch.reachable = True
    host.now += 60
    assert host.zones.work()
    assert host.zones.told[0].error == "" and bridge_of(QINQ) in host.switch.layout.bridges


def test_what_somebody_has_changed_is_told_and_laid_again() -> None:
    host = Host()
    undone: list[list[Wrong]] = []

    def undo(kind: str, wrong: list[Wrong], mend: Callable[[], object]) -> None:
        assert kind == "zone"
        undone.append(wrong)
        mend()

    host.zones.undo = undo
    host.take(VXLAN)
    wished = host.switch.layout
    host.zones.look()
    assert undone == []
    host.switch.lay(Layout())
    host.zones.look()
    assert len(undone) == 1 and host.switch.layout == wished
    host.switch.lay(Layout())
    host.take(VXLAN, QINQ)  # what is new is no drift, what was changed is
    assert len(undone) == 2 and host.switch.layout.ports[: len(wished.ports)] == wished.ports
    host.switch.reachable = False
    host.zones.look()


def test_trouble_of_the_daemons_cuts_no_cable() -> None:
    fabric = FakeFabric()
    host = Host(fabric)
    host.take(EVPN)
    fabric.trouble = "FRR refuses its configuration"
    assert host.take(replace(EVPN, revision="r2")) == {"d4": "FRR refuses its configuration hint"}
    assert [port.name for port in host.switch.layout.ports] == ["wzo1", "wzo2"]


def test_a_switch_that_is_away_keeps_what_is_in_force() -> None:
    host = Host()
    host.take(VLAN, QINQ)
    before = dict(host.zones.mappings)
    host.switch.reachable = False
    assert set(host.take(VLAN, QINQ, VXLAN)) == {"a1", "b2", "c3"}
    assert host.zones.mappings == before


def test_evpn_has_veths_where_the_fabric_made_them() -> None:
    fabric = FakeFabric()
    host = Host(fabric)
    assert host.take(EVPN, VLAN) == {} and fabric.made == ["d4"]
    assert [port.name for port in host.switch.layout.ports] == ["wzo1", "wzo2"]
    assert [told.peers for told in host.zones.told] == [{"100.64.0.200": "Established"}, {}]
    fabric.trouble = "no kernel"
    host.now = 100.0
    host.zones.due = 0.0
    host.zones.work()
    assert {told.id: told.error for told in host.zones.told} == {"d4": "no kernel hint", "a1": ""}
    assert host.zones.mappings["dmz"] == "br-ex"
    fabric.trouble = ""
    assert host.take() == {} and fabric.made == []


# FRR's part ------------------------------------------------------------------------------------------------------------
def config(*zones: Zone) -> str:
    return config_of(Wanted(revision=1, host="h1", ovn_remote="", zones=zones), OWN)


def test_hosts_are_each_others_peers_and_the_sites_routers_too() -> None:
    lines = config(EVPN, VLAN).splitlines()
    assert "router bgp 64512" in lines and " neighbor 100.64.0.12 remote-as 64512" in lines
    assert " neighbor 100.64.0.200 remote-as 64600" in lines and " neighbor 100.64.0.200 ebgp-multihop 8" in lines
    assert not [line for line in lines if OWN in line and "neighbor" in line]
    assert "vrf wolke-zone-d4" in lines and " vni 5999" in lines and "  advertise ipv4 unicast" in lines
    assert config(VLAN, VXLAN) == ""


def test_a_route_reflector_takes_the_place_of_the_mesh() -> None:
    reflected = replace(EVPN, bgp_peers=(BgpPeer(address="100.64.0.201", asn=64512, route_reflector=True),))
    lines = config(reflected)
    assert "neighbor 100.64.0.201 remote-as 64512" in lines and "100.64.0.12" not in lines


def test_route_targets_are_those_of_the_prefixes() -> None:
    lines = config(replace(EVPN, route_targets=("64512:1", "64512:2")))
    assert "  route-target import 64512:1 64512:2" in lines and "  route-target export 64512:1 64512:2" in lines
    without = config(replace(EVPN, l3_vni=0))
    assert " vni " not in without and "vrf wolke-zone-d4\n netns" in without and "router bgp 64512 vrf" not in without


def test_routing_waits_for_namespaces_that_are_still_to_be_made() -> None:
    assert waits(config(EVPN)) and not waits(config(VLAN))
