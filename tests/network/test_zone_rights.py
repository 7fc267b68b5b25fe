"""Rights on zones, and what a revoke does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import BLUE, RED, Cloud
from tests.network.conftest import Net
from tests.network.zones import VLAN, VXLAN, ZONES, Zones
from wolke.identity.table import Membership


@pytest.fixture
def zones(cloud: Cloud, net: Net) -> Zones:
    return Zones(cloud, net)


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


def test_the_audit_tells_of_rights_and_of_all_that_a_revoke_takes(zones: Zones) -> None:
    cloud, net = zones.cloud, zones.net
    zone = zones.make(**VLAN)
    grant = zones.grant(zone, level="create")
    port, mine = net.port(zones.network(zone)), net.network()
    stretches = f"/wolke/v1/zones/{zone['id']}/stretches"
    made = cloud.member.post(stretches, json={"stretch": {"network_id": mine["id"]}}).json()["stretch"]
    path = f"/wolke/v1/zones/{zone['id']}/grants/{grant['id']}"
    assert cloud.admin.put(path, json={"grant": {"on_revoke": "keep"}}).status_code == 200
    changed = cloud.admin.put(path, json={"grant": {"on_revoke": "shut"}}).json()["grant"]
    zones.revoke(grant)

    def told(api: Any, id: str) -> list[Any]:
        events = api.get(f"/wolke/v1/events?target_id={id}").json()["events"]
        return [(one["before"], one["after"]) for one in events if one["action"].startswith("wolke:")]

    way = ({"on_revoke": "keep"}, {"on_revoke": "shut"})
    assert told(cloud.admin, grant["id"]) == [(changed, None), way, way[::-1], (None, grant)]
    assert told(cloud.member, port["id"]) == [({"shut": False}, {"shut": True})], "its project learns of it"
    assert told(cloud.member, mine["id"]) == [
        ({"stretch": made}, {"stretch": None}), ({"stretch": None}, {"stretch": made}),
    ]  # fmt: skip


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
