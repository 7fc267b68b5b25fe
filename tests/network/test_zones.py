"""Zones: declared with one call each, networks on them by the Network API, rights and what a revoke does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import BLUE, RED, Cloud
from tests.network.conftest import Net
from wolke.core.config import PhysicalNetwork
from wolke.identity.table import Group, Membership, Project, User
from wolke.network.ports.table import Port

ZONES = "/wolke/v1/zones"
OPERATORS = "0" * 32
VLAN = {"name": "dmz", "type": "vlan", "physical_network": "site", "vlan_ranges": [{"minimum": 100, "maximum": 103}]}
QINQ = {"name": "metro", "type": "qinq", "physical_network": "site", "outer_tag": 900}
FLAT = {"name": "lab", "type": "flat", "physical_network": "site"}
VXLAN = {
    "name": "fabric",
    "type": "vxlan",
    "vni_ranges": [{"minimum": 5000, "maximum": 5099}],
    "peers": ["198.51.100.7"],
}
EVPN = {
    "name": "evpn",
    "type": "evpn",
    "vni_ranges": [{"minimum": 7000, "maximum": 7009}],
    "asn": 64512,
    "udp_port": 4790,
}


class Zones:
    """``zones.make(**VLAN)`` as the operator."""

    def __init__(self, cloud: Cloud, net: Net) -> None:
        self.cloud, self.net = cloud, net
        cloud.app.config.physical_networks["site"] = PhysicalNetwork(mtu=1500)
        with cloud.app.database.transaction() as db:
            for id in (RED, BLUE):
                if not db.get(Project, id):
                    db.add(Project(id=id, name=f"project-{id[:1]}", domain_id="default"))
            for name in ("member", "stranger"):
                db.add(User(id=f"user-{name}", name=name, domain_id="default"))
            db.add(Group(id="group-guests", name="guests", domain_id="default"))

    def make(self, **body: Any) -> Any:
        answer = self.cloud.admin.post(ZONES, json={"zone": body})
        assert answer.status_code == 201, answer.text
        return answer.json()["zone"]

    def show(self, id: str) -> Any:
        return self.cloud.admin.get(f"{ZONES}/{id}").json()["zone"]

    def grant(self, zone: Any, type: str = "project", id: str = RED, **more: Any) -> Any:
        body = {"grant": {"subject_type": type, "subject_id": id, **more}}
        answer = self.cloud.admin.post(f"{ZONES}/{zone['id']}/grants", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()["grant"]

    def revoke(self, grant: Any) -> Any:
        answer = self.cloud.admin.delete(f"{ZONES}/{grant['zone_id']}/grants/{grant['id']}")
        assert answer.status_code == 200, answer.text
        return answer.json()["revoked"]

    def network(self, zone: Any, by: Any = None, **more: Any) -> Any:
        """By the operator, for a project of his own, unless a member makes it."""
        owner = {} if by else {"project_id": OPERATORS}
        body = {"provider:physical_network": zone["name"], **owner, **more}
        return self.net.network(by=by or self.cloud.admin, **body)

    def localnet(self, network: Any) -> Any:
        self.cloud.settle()
        return self.cloud.north.table["Logical_Switch_Port", f"provnet-{network['id']}"].columns

    def enabled(self, port: Any) -> Any:
        self.cloud.settle()
        return self.cloud.north.table["Logical_Switch_Port", port["id"]].columns["enabled"]


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


# Rights ---------------------------------------------------------------------------------------------------------------
def test_members_need_a_right_on_exactly_that_zone(zones: Zones) -> None:
    cloud, net = zones.cloud, zones.net
    zone = zones.make(**VLAN)
    other = zones.make(**VXLAN)
    body = {"network": {"provider:physical_network": "dmz"}}
    net.refused("POST", "networks", 403, "PolicyNotAuthorized", json=body)
    assert cloud.member.get(ZONES).json()["zones"] == []
    assert cloud.member.get(f"{ZONES}/{zone['id']}").status_code == 404
    for call in ("post", "put", "delete"):
        json = {} if call == "delete" else {"json": {"zone": VLAN if call == "post" else {}}}
        url = ZONES if call == "post" else f"{ZONES}/{zone['id']}"
        assert getattr(cloud.member, call)(url, **json).status_code in (403, 404)
    zones.grant(zone, level="create")
    [seen] = cloud.member.get(ZONES).json()["zones"]
    assert seen["name"] == "dmz" and "hosts" not in seen and "networks" not in seen
    network = zones.network(zone, by=cloud.member)
    assert network["provider:segmentation_id"] == 100  # who may choose it is shown it
    body = {
        "network": {
            "provider:physical_network": "dmz",
            "provider:segmentation_id": 102,
            "provider:network_type": "vlan",
        }
    }
    assert net.send("POST", "networks", json=body).status_code == 201
    body = {"network": {"provider:physical_network": other["name"]}}
    net.refused("POST", "networks", 403, "PolicyNotAuthorized", json=body)
    body = {"network": {"provider:physical_network": "public", "provider:network_type": "flat"}}
    net.refused("POST", "networks", 403, "PolicyNotAuthorized", json=body)
    body = {"network": {"provider:physical_network": "dmz"}}
    net.refused("POST", "networks", 403, "PolicyNotAuthorized", by=cloud.stranger, json=body)
    net.refused("POST", "networks", 403, "PolicyNotAuthorized", by=cloud.reader, json=body)
    assert net.list("networks", by=cloud.stranger) == []


def test_use_opens_the_operators_networks_and_no_others(zones: Zones) -> None:
    cloud, net = zones.cloud, zones.net
    zone = zones.make(**VLAN)
    operators = zones.network(zone)
    zones.grant(zone, level="create")
    reds = zones.network(zone, by=cloud.member)
    zones.grant(zone, id=BLUE, level="use")
    assert [one["id"] for one in net.list("networks", by=cloud.stranger)] == [operators["id"]]
    port = net.port(operators, by=cloud.stranger)
    assert port["project_id"] == BLUE
    net.refused("POST", "ports", 404, "NetworkNotFound", by=cloud.stranger, json={"port": {"network_id": reds["id"]}})
    body = {"network": {"provider:physical_network": "dmz"}}
    net.refused("POST", "networks", 403, "PolicyNotAuthorized", by=cloud.stranger, json=body)
    url = f"networks/{operators['id']}"
    net.refused("PUT", url, 403, "PolicyNotAuthorized", by=cloud.stranger, json={"network": {"name": "mine"}})


@pytest.mark.parametrize("subject", [("user", "user-stranger"), ("group", "group-guests")])
def test_a_right_of_a_user_or_a_group(zones: Zones, subject: tuple[str, str]) -> None:
    cloud = zones.cloud
    zone = zones.make(**VLAN)
    grant = zones.grant(zone, *subject, level="create")
    if subject[0] == "group":
        assert cloud.stranger.get(ZONES).json()["zones"] == []  # not in the group yet
        with cloud.app.database.transaction() as db:
            db.add(Membership(user_id="user-stranger", group_id="group-guests"))
    network = zones.network(zone, by=cloud.stranger)
    zones.net.refused(
        "POST", "networks", 403, "PolicyNotAuthorized", json={"network": {"provider:physical_network": "dmz"}}
    )
    port = zones.net.port(network, by=cloud.stranger)
    assert zones.revoke(grant)["ports_shut"] == [port["id"]]


def test_one_revoke_shuts_all_that_stands_by_a_right(zones: Zones) -> None:
    cloud, net = zones.cloud, zones.net
    zone = zones.make(**VLAN)
    operators = zones.network(zone)
    grant, blue = zones.grant(zone, level="create"), zones.grant(zone, id=BLUE)
    own = zones.network(zone, by=cloud.member)
    ports = [net.port(operators), net.port(own)]
    neighbour = net.port(operators, by=cloud.stranger)
    assert all(zones.enabled(port) for port in (*ports, neighbour))

    revoked = zones.revoke(grant)
    assert revoked["on_revoke"] == "shut" and sorted(revoked["ports_shut"]) == sorted(port["id"] for port in ports)
    assert [zones.enabled(port) for port in ports] == [False, False] and zones.enabled(neighbour)
    net.update("port", ports[1]["id"], admin_state_up=True)  # its owner cannot open it
    assert zones.enabled(ports[1]) is False
    net.refused("POST", "ports", 403, "ZoneRightMissing", json={"port": {"network_id": own["id"]}})
    net.refused("POST", "ports", 404, "NetworkNotFound", json={"port": {"network_id": operators["id"]}})
    body = {"network": {"provider:physical_network": "dmz"}}
    net.refused("POST", "networks", 403, "PolicyNotAuthorized", json=body)

    zones.grant(zone, level="create")
    assert [zones.enabled(port) for port in ports] == [True, True]
    assert zones.revoke(blue)["ports_shut"] == [neighbour["id"]]
    net.delete("port", ports[1]["id"])


def test_a_revoke_may_leave_what_runs(zones: Zones) -> None:
    zone = zones.make(**VLAN)
    grant = zones.grant(zone, level="create", on_revoke="keep")
    own = zones.network(zone, by=zones.cloud.member)
    port = zones.net.port(own)
    assert zones.revoke(grant) == {"on_revoke": "keep", "ports_shut": [], "stretches_removed": []}
    assert zones.enabled(port)
    zones.net.refused("POST", "ports", 403, "ZoneRightMissing", json={"port": {"network_id": own["id"]}})


def test_what_a_project_may_as_well_stays_open(zones: Zones) -> None:
    cloud = zones.cloud
    zone = zones.make(**VLAN)
    mine = zones.grant(zone, "user", "user-member", level="create")
    own = zones.network(zone, by=cloud.member)
    port = zones.net.port(own)
    projects = zones.grant(zone, level="create")
    assert zones.revoke(mine)["ports_shut"] == []
    assert zones.enabled(port)
    assert zones.revoke(projects)["ports_shut"] == [port["id"]]
    assert zones.enabled(port) is False


def test_subjects_of_rights_exist_once(zones: Zones) -> None:
    zone = zones.make(**VLAN)
    url = f"{ZONES}/{zone['id']}/grants"
    grant = zones.grant(zone)
    wrong = [
        ({"subject_type": "project", "subject_id": "nobody"}, 400, "subject_id"),
        ({"subject_type": "project", "subject_id": ""}, 400, "subject_id"),
        ({"subject_type": "cat", "subject_id": RED}, 400, "subject_type"),
        ({"subject_type": "project"}, 400, "subject_id"),
        ({"subject_type": "project", "subject_id": BLUE, "level": "own"}, 400, "level"),
        ({"subject_type": "project", "subject_id": BLUE, "on_revoke": "burn"}, 400, "on_revoke"),
        ({"subject_type": "project", "subject_id": RED}, 409, RED),
    ]
    for body, status, word in wrong:
        answer = zones.cloud.admin.post(url, json={"grant": body})
        assert answer.status_code == status and word in answer.json()["error"]["message"], (body, answer.text)
    assert [one["id"] for one in zones.cloud.admin.get(url).json()["grants"]] == [grant["id"]]
    assert zones.cloud.member.get(url).status_code == 403  # sees the zone, but not who else may use it
    assert zones.cloud.stranger.get(url).status_code == 404
    assert zones.cloud.member.delete(f"{url}/{grant['id']}").status_code == 403
    changed = zones.cloud.admin.put(f"{url}/{grant['id']}", json={"grant": {"level": "create", "on_revoke": "keep"}})
    assert changed.json()["grant"]["level"] == "create"
    assert zones.cloud.admin.delete(f"{url}/nothing").status_code == 404
    assert zones.cloud.admin.delete(f"{ZONES}/{zone['id']}").status_code == 204


# Stretches ------------------------------------------------------------------------------------------------------------
def test_a_projects_network_reaches_out_and_comes_back(zones: Zones) -> None:
    cloud, net = zones.cloud, zones.net
    zone = zones.make(**VLAN)
    network = net.network()
    url = f"{ZONES}/{zone['id']}/stretches"
    body = {"stretch": {"network_id": network["id"], "segmentation_id": 102}}
    assert cloud.member.post(url, json=body).status_code == 404
    zones.grant(zone)
    assert cloud.member.post(url, json=body).status_code == 403
    grant = zones.grant(zone, "user", "user-member", level="create")
    made = cloud.member.post(url, json=body)
    assert made.status_code == 201, made.text
    localnet = zones.localnet(network)
    assert (localnet["type"], localnet["options"], localnet["tag"]) == ("localnet", {"network_name": "dmz"}, 102)
    assert cloud.member.post(url, json=body).status_code == 409
    again = {"stretch": {"network_id": net.network()["id"], "segmentation_id": 102}}
    assert cloud.member.post(url, json=again).status_code == 409
    theirs = {"stretch": {"network_id": net.network(by=cloud.stranger)["id"]}}
    assert cloud.member.post(url, json=theirs).status_code == 404
    on_zone = {"stretch": {"network_id": zones.network(zone, by=cloud.member)["id"]}}
    assert "network_id" in cloud.member.post(url, json=on_zone).json()["error"]["message"]
    url_of = f"{ZONES}/{zone['id']}"
    assert "mtu" in cloud.admin.put(url_of, json={"zone": {"mtu": 1400}}).json()["error"]["message"]
    net.update("network", network["id"], mtu=1300)
    assert cloud.admin.put(url_of, json={"zone": {"mtu": 1400}}).status_code == 409  # the other one of 1500 stays
    outside = {"stretch": {"network_id": net.network()["id"], "segmentation_id": 7}}
    assert "segmentation_id" in cloud.member.post(url, json=outside).json()["error"]["message"]

    assert cloud.member.delete(f"{url}/{network['id']}").status_code == 204
    cloud.settle()
    assert ("Logical_Switch_Port", f"provnet-{network['id']}") not in cloud.north.table
    assert cloud.member.post(url, json=body).status_code == 201
    port = net.port(network)
    revoked = zones.revoke(grant)
    assert revoked["stretches_removed"] == [network["id"]] and port["id"] not in revoked["ports_shut"]
    cloud.settle()
    assert ("Logical_Switch_Port", f"provnet-{network['id']}") not in cloud.north.table
    assert zones.enabled(port)  # the network is the project's own


# Hosts ----------------------------------------------------------------------------------------------------------------
def test_each_host_is_told_and_tells(zones: Zones) -> None:
    cloud = zones.cloud
    cloud.app.config.southbound_remote = "tcp:198.51.100.250:6642"
    for name in ("h1", "h2"):
        cloud.add_host(name)
    cloud.settle()
    zone = zones.make(**{**VLAN, "physical_network": "public"})
    assert {one["state"] for one in zones.show(zone["id"])["hosts"]} == {"BUILD"}
    cloud.settle()
    shown = zones.show(zone["id"])["hosts"]
    assert [(one["host"], one["state"]) for one in shown] == [("h1", "ACTIVE"), ("h2", "ACTIVE")], shown
    cloud.add_host("h3")
    cloud.settle()
    assert [one["state"] for one in zones.show(zone["id"])["hosts"]] == ["ACTIVE"] * 3
    assert all(
        host.switch.external_ids["ovn-bridge-mappings"] == "dmz:br-ex,public:br-ex" for host in cloud.hosts.values()
    )
    cloud.admin.delete(f"{ZONES}/{zone['id']}")
    cloud.settle()
    assert all(host.switch.external_ids["ovn-bridge-mappings"] == "public:br-ex" for host in cloud.hosts.values())


def test_a_host_that_lacks_the_bridge_says_so(zones: Zones) -> None:
    zones.cloud.add_host("h1")
    zone = zones.make(**VLAN)  # no bridge of the host leads to this physical network
    zones.cloud.settle()
    [told] = zones.show(zone["id"])["hosts"]
    assert told["state"] == "ERROR" and "site" in told["error"]


def test_a_shut_port_says_that_it_is_down(zones: Zones) -> None:
    zone = zones.make(**VLAN)
    grant = zones.grant(zone, level="create")
    port = zones.net.port(zones.network(zone, by=zones.cloud.member))
    with zones.cloud.app.database.transaction() as db:
        db.get_one(Port, port["id"]).seen_up = True
    assert zones.net.show("port", port["id"])["status"] == "ACTIVE"
    zones.revoke(grant)
    assert zones.net.show("port", port["id"])["status"] == "DOWN"
    assert zones.net.list("ports", "status=ACTIVE&device_owner=") == []


def test_what_an_operator_has_made_for_a_project_is_no_matter_of_rights(zones: Zones) -> None:
    zone = zones.make(**VLAN)
    given = zones.network(zone, project_id=RED)
    grant = zones.grant(zone, level="create")
    port = zones.net.port(given)
    assert zones.revoke(grant)["ports_shut"] == []
    assert zones.enabled(port)
    zones.net.port(given)


def test_hosts_answer_for_the_gateways_that_nobody_else_has(zones: Zones) -> None:
    cloud, net = zones.cloud, zones.net
    host = cloud.add_host("h1")
    zone = zones.make(**EVPN, gateway_mac="00-00-5E-00-01-01", l3_vni=6999)

    def told() -> Any:
        cloud.settle()
        return host.agent.wanted.zones[0]

    network = zones.network(zone)
    assert told().segments[0].gateways == ()
    subnet = net.create(
        "subnet", by=cloud.admin, network_id=network["id"], cidr="10.9.0.0/24", ip_version=4,
        allocation_pools=[{"start": "10.9.0.10", "end": "10.9.0.99"}],
    )  # fmt: skip
    assert told().segments[0].gateways == ("10.9.0.1/24",)
    assert (told().gateway_mac, told().l3_vni) == ("00:00:5e:00:01:01", 6999)
    net.update("subnet", subnet["id"], by=cloud.admin, gateway_ip="10.9.0.254")
    assert told().segments[0].gateways == ("10.9.0.254/24",)
    router = net.create("router", by=cloud.admin, name="r")
    url = f"routers/{router['id']}"
    net.send("PUT", f"{url}/add_router_interface", by=cloud.admin, json={"subnet_id": subnet["id"]})
    assert told().segments[0].gateways == ()
    net.send("PUT", f"{url}/remove_router_interface", by=cloud.admin, json={"subnet_id": subnet["id"]})
    assert told().segments[0].gateways == ("10.9.0.254/24",)
    net.delete("subnet", subnet["id"], by=cloud.admin)
    assert told().segments[0].gateways == ()


def test_a_host_that_leaves_is_no_end_of_tunnels_any_more(zones: Zones) -> None:
    cloud = zones.cloud
    for name, address in (("h1", "100.64.0.11"), ("h2", "100.64.0.12")):
        host = cloud.add_host(name)
        host.agent.about = replace(host.agent.about, encap_ip=address)
    zone = zones.make(**VXLAN)
    cloud.now += 60
    cloud.settle()
    assert cloud.hosts["h1"].agent.wanted.zones[0].vteps == ("100.64.0.11", "100.64.0.12")
    assert [one["host"] for one in zones.show(zone["id"])["hosts"]] == ["h1", "h2"]
    gone = cloud.hosts.pop("h2")
    assert cloud.admin.delete(f"/wolke/v1/hosts/{gone.name}").status_code == 204
    cloud.settle()
    assert cloud.hosts["h1"].agent.wanted.zones[0].vteps == ("100.64.0.11",)
    assert [one["host"] for one in zones.show(zone["id"])["hosts"]] == ["h1"]


def test_a_stretched_network_is_no_larger_than_its_zone(zones: Zones) -> None:
    cloud, net = zones.cloud, zones.net
    zone = zones.make(**{**VLAN, "mtu": 1400})
    zones.grant(zone, level="create")
    network = net.network()
    url = f"{ZONES}/{zone['id']}/stretches"
    refused = cloud.member.post(url, json={"stretch": {"network_id": network["id"]}})
    assert refused.status_code == 400 and "1442" in refused.json()["error"]["message"]
    net.update("network", network["id"], mtu=1400)
    assert cloud.member.post(url, json={"stretch": {"network_id": network["id"]}}).status_code == 201
    net.refused("PUT", f"networks/{network['id']}", 400, "InvalidInput", json={"network": {"mtu": 1442}})
    assert cloud.admin.put(f"{ZONES}/{zone['id']}", json={"zone": {"mtu": 1399}}).status_code == 409
    net.delete("network", network["id"])
    assert cloud.admin.delete(f"{ZONES}/{zone['id']}").status_code == 204


def test_reachability_names_a_shut_port(zones: Zones) -> None:
    zone = zones.make(**VLAN)
    grant = zones.grant(zone, level="create")
    network = zones.network(zone, by=zones.cloud.member)
    zones.net.create("subnet", network_id=network["id"], cidr="10.0.0.0/24", ip_version=4)
    one, two = zones.net.port(network), zones.net.port(network)
    with zones.cloud.app.database.transaction() as db:
        for port in (one, two):
            db.get_one(Port, port["id"]).seen_up = True
    zones.revoke(grant)
    question = {"from": {"port_id": one["id"]}, "to": {"port_id": two["id"]}, "protocol": "icmp"}
    verdict = zones.cloud.member.post("/wolke/v1/reachability", json=question).json()
    assert "revoked" in str(verdict) and one["id"] in str(verdict), verdict
