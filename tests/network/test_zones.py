"""Zones: declared with one call each, networks on them by the Network API."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cloud
from tests.network.conftest import Net
from tests.network.zones import EVPN, FLAT, QINQ, VLAN, VXLAN, ZONES, Zones


@pytest.fixture
def zones(cloud: Cloud, net: Net) -> Zones:
    return Zones(cloud, net)


# Declaring ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("body", "type", "mtu"), [(FLAT, "flat", 1500), (VLAN, "vlan", 1500), (QINQ, "vlan", 1492), (VXLAN, "vxlan", 1450),
                              (EVPN, "vxlan", 1450)],
)  # fmt: skip
def test_a_network_on_each_type_of_zone(zones: Zones, body: dict[str, Any], type: str, mtu: int) -> None:
    zone = zones.make(**body)
    assert zone["mtu"] == mtu
    network = zones.network(zone)
    assert network["provider:network_type"] == type and network["provider:physical_network"] == zone["name"]
    assert network["mtu"] == mtu
    first = {"vlan": 100, "qinq": 1, "vxlan": 5000, "evpn": 7000}.get(zone["type"])
    assert network["provider:segmentation_id"] == first
    localnet = zones.localnet(network)
    assert localnet["type"] == "localnet" and localnet["options"] == {"network_name": zone["name"]}
    assert localnet["tag"] == {"flat": None, "vlan": 100}.get(zone["type"], 1)
    [standing] = zones.show(zone["id"])["networks"]
    assert standing == {
        "network_id": network["id"], "segmentation_id": first, "stretched": False, "right": None,
    }  # fmt: skip


def test_numbers_are_drawn_given_and_given_back(zones: Zones) -> None:
    zone = zones.make(**VLAN)
    made = [zones.network(zone), zones.network(zone, **{"provider:segmentation_id": 103}), zones.network(zone)]
    assert [one["provider:segmentation_id"] for one in made] == [100, 103, 101]
    url, admin = "networks", zones.cloud.admin
    again = {"network": {"provider:physical_network": "dmz", "provider:segmentation_id": 103}}
    assert "103" in zones.net.refused("POST", url, 409, "SegmentInUse", by=admin, json=again)
    other = {"network": {"provider:physical_network": "dmz", "provider:segmentation_id": 104}}
    assert "100 to 103" in zones.net.refused("POST", url, 400, "InvalidInput", by=admin, json=other)
    wrong = {"network": {"provider:physical_network": "dmz", "provider:network_type": "flat"}}
    assert "vlan" in zones.net.refused("POST", url, 400, "InvalidInput", by=admin, json=wrong)
    zones.network(zone)
    full = {"network": {"provider:physical_network": "dmz"}}
    zones.net.refused("POST", url, 409, "NoSegmentLeft", by=admin, json=full)
    zones.net.delete("network", made[0]["id"], by=admin)
    assert zones.network(zone)["provider:segmentation_id"] == 100


def test_networks_of_a_tunnel_zone_differ_by_a_tag_on_hosts(zones: Zones) -> None:
    zone = zones.make(**VXLAN)
    zones.cloud.add_host("h1")
    first = zones.network(zone, **{"provider:segmentation_id": 5050})
    second = zones.network(zone)
    assert [zones.localnet(one)["tag"] for one in (first, second)] == [1, 2]
    [told] = zones.cloud.hosts["h1"].agent.wanted.zones
    assert [(one.number, one.tag) for one in told.segments] == [(5050, 1), (5000, 2)]
    assert told.peers == ("198.51.100.7",) and told.udp_port == 4789


def test_a_flat_zone_has_one_network(zones: Zones) -> None:
    zones.network(zones.make(**FLAT))
    body = {"network": {"provider:physical_network": "lab"}}
    zones.net.refused("POST", "networks", 409, "FlatNetworkInUse", by=zones.cloud.admin, json=body)


def test_a_zone_in_use_stays(zones: Zones) -> None:
    zone = zones.make(**VLAN)
    network = zones.network(zone)
    url, admin = f"{ZONES}/{zone['id']}", zones.cloud.admin
    assert admin.delete(url).status_code == 409
    for change in (
        {"vlan_ranges": [{"minimum": 101, "maximum": 110}]}, {"name": "other"}, {"physical_network": "public"}, {"mtu": 1400},
    ):  # fmt: skip
        answer = admin.put(url, json={"zone": change})
        assert (answer.status_code, answer.json()["error"]["type"]) == (409, "ZoneInUse"), change
    before = zones.show(zone["id"])
    assert before["vlan_ranges"] == VLAN["vlan_ranges"] and before["name"] == "dmz"
    changed = admin.put(url, json={"zone": {"vlan_ranges": [{"minimum": 90, "maximum": 110}], "description": "wider"}})
    assert changed.json()["zone"]["vlan_ranges"] == [{"minimum": 90, "maximum": 110}]
    zones.net.delete("network", network["id"], by=admin)
    assert admin.put(url, json={"zone": {"name": "other", "mtu": 1400}}).json()["zone"]["mtu"] == 1400
    assert admin.delete(url).status_code == 204
    assert admin.get(url).status_code == 404


@pytest.mark.parametrize(
    ("there", "new", "word"),
    [
        (VLAN, {**VLAN, "name": "b", "vlan_ranges": [{"minimum": 103, "maximum": 200}]}, "103"),
        (VLAN, {**QINQ, "outer_tag": 101}, "101"),
        (QINQ, {**VLAN, "vlan_ranges": [{"minimum": 899, "maximum": 901}]}, "900"),
        (QINQ, {**QINQ, "name": "b"}, "900"),
        (FLAT, {**FLAT, "name": "b"}, "lab"),
        (VLAN, {**VLAN, "vlan_ranges": [{"minimum": 500, "maximum": 501}]}, "name"),
        (VXLAN, {**VXLAN, "name": "b"}, "5000"),
        (VXLAN, {**EVPN, "udp_port": 4789}, "udp_port"),
        (EVPN, {**EVPN, "name": "b", "asn": 64513, "vni_ranges": [{"minimum": 1, "maximum": 2}]}, "asn"),
    ],
)
def test_two_zones_do_not_meet(zones: Zones, there: dict[str, Any], new: dict[str, Any], word: str) -> None:
    zones.make(**there)
    answer = zones.cloud.admin.post(ZONES, json={"zone": new})
    assert (answer.status_code, answer.json()["error"]["type"]) == (409, "ZoneConflict")
    assert word in answer.json()["error"]["message"]
    assert len(zones.cloud.admin.get(ZONES).json()["zones"]) == 1


def test_zones_and_the_sites_own_networks_do_not_meet(zones: Zones) -> None:
    admin = zones.cloud.admin
    site = {"provider:network_type": "vlan", "provider:physical_network": "site"}
    zones.net.network(by=admin, **site, **{"provider:segmentation_id": 102})
    answer = admin.post(ZONES, json={"zone": VLAN})
    assert answer.status_code == 409 and "102" in answer.json()["error"]["message"]
    zones.make(**{**VLAN, "vlan_ranges": [{"minimum": 103, "maximum": 110}]})
    body = {"network": {**site, "provider:segmentation_id": 105}}
    assert "dmz" in zones.net.refused("POST", "networks", 409, "ZoneConflict", by=admin, json=body)
    assert admin.post(ZONES, json={"zone": {**FLAT, "name": "site"}}).status_code == 409


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"type": "flat", "physical_network": "site"}, "name"),
    ({**FLAT, "name": ""}, "name"),
    ({**FLAT, "name": "Lab"}, "name"),
    ({**FLAT, "name": "a:b"}, "name"),
    ({**FLAT, "name": "a,b"}, "name"),
    ({**FLAT, "name": "x" * 32}, "name"),
    ({**FLAT, "type": "token-ring"}, "type"),
    ({"name": "lab", "type": "flat"}, "physical_network"),
    ({**FLAT, "physical_network": "nowhere"}, "physical_network"),
    ({**FLAT, "vlan_ranges": [{"minimum": 1, "maximum": 2}]}, "vlan_ranges"),
    ({**FLAT, "colour": "red"}, "colour"),
    ({**FLAT, "mtu": 9000}, "mtu"),
    ({**FLAT, "mtu": 67}, "mtu"),
    ({**FLAT, "mtu": -1}, "mtu"),
    ({**FLAT, "mtu": "large"}, "mtu"),
    ({"name": "dmz", "type": "vlan", "physical_network": "site"}, "vlan_ranges"),
    ({**VLAN, "vlan_ranges": []}, "vlan_ranges"),
    ({**VLAN, "vlan_ranges": [{"minimum": 0, "maximum": 5}]}, "vlan_ranges"),
    ({**VLAN, "vlan_ranges": [{"minimum": 1, "maximum": 4095}]}, "vlan_ranges"),
    ({**VLAN, "vlan_ranges": [{"minimum": 9, "maximum": 5}]}, "vlan_ranges"),
    ({**VLAN, "vlan_ranges": [{"minimum": 1, "maximum": 5}, {"minimum": 5, "maximum": 9}]}, "vlan_ranges"),
    ({**VLAN, "vlan_ranges": [{"minimum": 1}]}, "maximum"),
    ({**VLAN, "vlan_ranges": "1:5"}, "vlan_ranges"),
    ({**VLAN, "outer_tag": 5}, "outer_tag"),
    ({"name": "metro", "type": "qinq", "physical_network": "site"}, "outer_tag"),
    ({**QINQ, "outer_tag": 0}, "outer_tag"),
    ({**QINQ, "outer_tag": 4095}, "outer_tag"),
    ({"name": "fabric", "type": "vxlan"}, "vni_ranges"),
    ({**VXLAN, "vni_ranges": [{"minimum": 1, "maximum": 2**24}]}, "vni_ranges"),
    ({**VXLAN, "peers": ["198.51.100.300"]}, "peers"),
    ({**VXLAN, "peers": ["224.0.0.1"]}, "peers"),
    ({**VXLAN, "peers": ["198.51.100.7", "198.51.100.7"]}, "peers"),
    ({**VXLAN, "peers": ["2001:db8::1"]}, "peers"),
    ({**VXLAN, "udp_port": 0}, "udp_port"),
    ({**VXLAN, "udp_port": 65536}, "udp_port"),
    ({**VXLAN, "mtu": 1451}, "mtu"),
    ({**VXLAN, "physical_network": "site"}, "physical_network"),
    ({"name": "evpn", "type": "evpn", "vni_ranges": [{"minimum": 1, "maximum": 9}]}, "asn"),
    ({**EVPN, "asn": 0}, "asn"),
    ({**EVPN, "asn": 2**32}, "asn"),
    ({**EVPN, "bgp_peers": [{"address": "leaf"}]}, "bgp_peers.address"),
    ({**EVPN, "bgp_peers": [{"address": "198.51.100.1"}, {"address": "198.51.100.1"}]}, "bgp_peers.address"),
    ({**EVPN, "bgp_peers": [{"address": "198.51.100.1", "asn": 0}]}, "bgp_peers.asn"),
    ({**EVPN, "gateway_mac": "01:00:5e:00:00:01"}, "gateway_mac"),
    ({**EVPN, "gateway_mac": "nonsense"}, "gateway_mac"),
    ({**EVPN, "route_targets": ["64512"]}, "route_targets"),
    ({**EVPN, "route_targets": ["70000:70000"]}, "route_targets"),
    ({**EVPN, "route_targets": ["1:1", "1:1"]}, "route_targets"),
    ({**EVPN, "route_targets": ["64512:1"]}, "l3_vni"),
    ({**EVPN, "l3_vni": -1}, "l3_vni"),
    ({**EVPN, "l3_vni": 7001}, "l3_vni"),
    ({**EVPN, "peers": ["198.51.100.7"]}, "peers"),
]


@pytest.mark.parametrize(("body", "field"), WRONG, ids=[f"{n}-{field}" for n, (_, field) in enumerate(WRONG)])
def test_what_is_wrong_is_named(zones: Zones, body: dict[str, Any], field: str) -> None:
    answer = zones.cloud.admin.post(ZONES, json={"zone": body})
    assert answer.status_code == 400, answer.text
    assert field in answer.json()["error"]["message"]
    assert zones.cloud.admin.get(ZONES).json()["zones"] == []
