"""Trunks: several networks through one card, told apart by VLAN tags."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from tests.conftest import Cloud
from tests.network.conftest import Net
from wolke.network.ports.table import Port


def sub(port: Any, tag: int, kind: str = "vlan") -> dict[str, Any]:
    return {"port_id": port["id"], "segmentation_type": kind, "segmentation_id": tag}


class Site:
    """A parent port, two ports on networks of their own, and the trunk's calls."""

    def __init__(self, cloud: Cloud, net: Net) -> None:
        self.cloud, self.net = cloud, net
        self.parent, self.red, self.blue = (net.port(net.network(name=name)) for name in ("parent", "red", "blue"))

    def trunk(self, *subports: Any, **more: Any) -> Any:
        return self.net.create("trunk", port_id=self.parent["id"], sub_ports=list(subports), **more)

    def change(self, trunk: Any, action: str, *subports: Any, status: int = 200) -> Any:
        answer = self.net.send("PUT", f"trunks/{trunk['id']}/{action}_subports", json={"sub_ports": list(subports)})
        assert answer.status_code == status, answer.text
        return answer.json()

    def row(self, port: Any) -> dict[str, Any]:
        self.cloud.settle()
        found = self.cloud.north.table["Logical_Switch_Port", port["id"]]
        return {name: found.columns[name] for name in ("parent_name", "tag")}


@pytest.fixture
def site(cloud: Cloud, net: Net) -> Site:
    return Site(cloud, net)


def test_subports_are_children_of_the_parent(site: Site) -> None:
    trunk = site.trunk(sub(site.red, 100), name="uplink")
    assert trunk["sub_ports"] == [sub(site.red, 100)] and trunk["status"] == "DOWN"
    assert site.row(site.red) == {"parent_name": site.parent["id"], "tag": 100}
    assert site.row(site.parent) == site.row(site.blue) == {"parent_name": None, "tag": None}
    more = site.change(trunk, "add", sub(site.blue, 200))
    assert more["sub_ports"] == [sub(site.red, 100), sub(site.blue, 200)]
    assert more["revision_number"] > trunk["revision_number"]
    assert site.row(site.blue)["tag"] == 200
    assert site.net.show("port", site.blue["id"])["device_owner"] == "trunk:subport"
    listed = site.net.send("GET", f"trunks/{trunk['id']}/get_subports").json()
    assert listed == {"sub_ports": more["sub_ports"]}
    assert site.change(trunk, "remove", {"port_id": site.red["id"]})["sub_ports"] == [sub(site.blue, 200)]
    assert site.row(site.red) == {"parent_name": None, "tag": None}
    assert site.net.show("port", site.red["id"])["device_owner"] == ""
    site.net.delete("trunk", trunk["id"])
    assert site.row(site.blue) == {"parent_name": None, "tag": None}


def test_the_parent_port_shows_them(site: Site) -> None:
    assert "trunk_details" not in site.net.show("port", site.parent["id"])
    trunk = site.trunk(sub(site.red, 7))
    details = {"trunk_id": trunk["id"], "sub_ports": [{**sub(site.red, 7), "mac_address": site.red["mac_address"]}]}
    assert site.net.show("port", site.parent["id"])["trunk_details"] == details
    shown = {port["id"]: port.get("trunk_details") for port in site.net.list("ports")}
    assert shown[site.parent["id"]] == details and shown[site.red["id"]] is None


def test_it_is_active_when_all_of_it_is_plugged(cloud: Cloud, site: Site) -> None:
    trunk = site.trunk(sub(site.red, 7))

    def status() -> str:
        cloud.settle()
        found = site.net.show("trunk", trunk["id"])["status"]
        assert [one["id"] for one in site.net.list("trunks", f"status={found}")] == [trunk["id"]]
        return str(found)

    assert status() == "DOWN"
    cloud.north.set_up(site.parent["id"], True)
    assert status() == "BUILD"
    cloud.north.set_up(site.red["id"], True)
    assert status() == "ACTIVE"


def test_subports_are_where_their_parent_is(cloud: Cloud, site: Site) -> None:
    site.trunk(sub(site.red, 7))
    site.net.update("port", site.parent["id"], by=cloud.admin, **{"binding:host_id": "h1"})
    shown = site.net.show("port", site.red["id"], by=cloud.admin)
    assert (shown["binding:host_id"], shown["binding:vif_type"]) == ("h1", "ovs")
    cloud.settle()
    assert cloud.north.table["Logical_Switch_Port", site.red["id"]].columns["options"] == {}


def test_a_tag_may_be_inherited_from_a_vlan_network(cloud: Cloud, net: Net, site: Site) -> None:
    provider = {"provider:network_type": "vlan", "provider:physical_network": "public", "provider:segmentation_id": 42}
    vlan = net.network(by=cloud.admin, mtu=1400, **provider)
    port = net.port(vlan, by=cloud.admin)
    body = {"port_id": port["id"], "segmentation_type": "inherit"}
    trunk = net.create("trunk", port_id=site.parent["id"], sub_ports=[body], by=cloud.admin)
    assert trunk["sub_ports"] == [sub(port, 42)]
    body = {"sub_ports": [{"port_id": site.red["id"], "segmentation_type": "inherit"}]}
    message = net.refused("PUT", f"trunks/{trunk['id']}/add_subports", 400, "InvalidInput", json=body)
    assert "geneve" in message


def test_ports_of_a_trunk_stay_until_it_lets_them_go(site: Site) -> None:
    trunk = site.trunk(sub(site.red, 7))
    site.net.refused("DELETE", f"ports/{site.red['id']}", 409, "PortInUseAsSubPort")
    site.net.refused("DELETE", f"ports/{site.parent['id']}", 409, "PortInUseAsTrunkParent")
    site.net.delete("trunk", trunk["id"])
    site.net.delete("port", site.red["id"])
    site.net.delete("port", site.parent["id"])


def test_a_locked_trunk_does_not_change(site: Site) -> None:
    trunk = site.trunk(admin_state_up=False)
    for action in ("add", "remove"):
        answer = site.change(trunk, action, sub(site.red, 7), status=409)
        assert answer["NeutronError"]["type"] == "TrunkDisabled"
    site.net.refused("DELETE", f"trunks/{trunk['id']}", 409, "TrunkDisabled")
    site.net.update("trunk", trunk["id"], admin_state_up=True, name="open")
    site.change(trunk, "add", sub(site.red, 7))


def test_a_servers_own_port_goes_with_it_and_its_trunk_too(cloud: Cloud, site: Site) -> None:
    from wolke.network import facts

    trunk = site.trunk(sub(site.red, 7))
    with cloud.app.database.transaction() as db:
        facts.release(db, {site.parent["id"]: True})
    site.net.refused("GET", f"trunks/{trunk['id']}", 404, "TrunkNotFound")
    assert site.row(site.red) == {"parent_name": None, "tag": None}


def test_trunks_are_a_projects_own(cloud: Cloud, site: Site) -> None:
    trunk = site.trunk(sub(site.red, 7))
    for method, path in (("GET", ""), ("PUT", "/add_subports"), ("DELETE", ""), ("GET", "/get_subports")):
        body = {"json": {"sub_ports": []}} if method == "PUT" else {}
        site.net.refused(method, f"trunks/{trunk['id']}{path}", 404, "TrunkNotFound", by=cloud.stranger, **body)
    site.net.refused("DELETE", f"trunks/{trunk['id']}", 403, "PolicyNotAuthorized", by=cloud.reader)
    assert site.net.list("trunks", by=cloud.stranger) == []
    body = {"trunk": {"port_id": site.blue["id"]}}
    site.net.refused("POST", "trunks", 404, "PortNotFound", by=cloud.stranger, json=body)


@pytest.mark.parametrize(
    ("body", "status", "type"),
    [
        ({}, 400, "HTTPBadRequest"),
        ({"port_id": "none"}, 404, "PortNotFound"),
        ({"port_id": "PARENT"}, 409, "ParentPortInUse"),
        ({"port_id": "RED"}, 409, "TrunkPortInUse"),
        ({"port_id": "BLUE", "sub_ports": [{}]}, 400, "HTTPBadRequest"),
        ({"port_id": "BLUE", "sub_ports": "RED"}, 400, "HTTPBadRequest"),
        ({"port_id": "BLUE", "sub_ports": [sub({"id": "BLUE"}, 5)]}, 409, "ParentPortInUse"),
        ({"port_id": "BLUE", "sub_ports": [sub({"id": "RED"}, 5)]}, 409, "TrunkPortInUse"),
        ({"port_id": "BLUE", "sub_ports": [sub({"id": "PARENT"}, 5)]}, 409, "ParentPortInUse"),
        ({"port_id": "BLUE", "sub_ports": [sub({"id": "none"}, 5)]}, 404, "PortNotFound"),
        ({"port_id": "BLUE", "sub_ports": [sub({"id": "FREE"}, 0)]}, 400, "InvalidInput"),
        ({"port_id": "BLUE", "sub_ports": [sub({"id": "FREE"}, 4095)]}, 400, "InvalidInput"),
        ({"port_id": "BLUE", "sub_ports": [sub({"id": "FREE"}, -1)]}, 400, "InvalidInput"),
        ({"port_id": "BLUE", "sub_ports": [sub({"id": "FREE"}, 5, "vxlan")]}, 400, "InvalidInput"),
        ({"port_id": "BLUE", "sub_ports": [{"port_id": "FREE", "segmentation_id": "five"}]}, 400, "HTTPBadRequest"),
        ({"port_id": "BLUE", "sub_ports": [{"port_id": "FREE"}]}, 400, "InvalidInput"),
        ({"port_id": "BLUE", "sub_ports": [{"port_id": "FREE", "segmentation_type": "vlan"}]}, 400, "InvalidInput"),
        ({"port_id": "BLUE", "sub_ports": [sub({"id": "FREE"}, 5), sub({"id": "FREE"}, 6)]}, 400, "InvalidInput"),
        ({"port_id": "BLUE", "sub_ports": [sub({"id": "FREE"}, 5), sub({"id": "OTHER"}, 5)]}, 400, "InvalidInput"),
        ({"port_id": "BLUE", "sub_ports": [sub({"id": "SERVER"}, 5)]}, 409, "PortInUse"),
        ({"port_id": "BLUE", "sub_ports": [sub({"id": "WIDE"}, 5)]}, 409, "SubPortMtuGreaterThanTrunkPortMtu"),
        ({"port_id": "BLUE", "status": "ACTIVE"}, 400, "HTTPBadRequest"),
        ({"port_id": "BLUE", "admin_state_up": "perhaps"}, 400, "HTTPBadRequest"),
        ({"port_id": "BLUE", "name": "x" * 256}, 400, "HTTPBadRequest"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_changes_nothing(
    net: Net, site: Site, body: dict[str, Any], status: int, type: str
) -> None:
    site.trunk(sub(site.red, 7))
    narrow = net.network(mtu=1300)
    known = {"PARENT": site.parent, "RED": site.red, "BLUE": net.port(narrow), "WIDE": site.blue} | {
        name: net.port(narrow, **more) for name, more in (("FREE", {}), ("OTHER", {}), ("SERVER", {"device_id": "s"}))
    }

    def meant(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: meant(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [meant(inner) for inner in value]
        return known[value]["id"] if value in known else value

    before = net.list("trunks"), net.list("ports")
    net.refused("POST", "trunks", status, type, json={"trunk": meant(body)})
    assert (net.list("trunks"), net.list("ports")) == before


def test_a_tag_is_there_once_and_only_subports_are_removed(site: Site) -> None:
    trunk = site.trunk(sub(site.red, 7))
    assert site.change(trunk, "add", sub(site.blue, 7), status=409)["NeutronError"]["type"] == "DuplicateSubPort"
    answer = site.change(trunk, "remove", {"port_id": site.blue["id"]}, status=404)
    assert answer["NeutronError"]["type"] == "SubPortNotFound"
    assert site.change(trunk, "add") == site.net.show("trunk", trunk["id"])


def test_one_trunk_s_subports_say_nothing_of_another_when_they_are_sorted(site: Site) -> None:
    trunks = [site.trunk(sub(site.red, 100))["id"]]
    others = [site.net.port(site.net.network()) for _ in range(2)]
    trunks += [site.net.create("trunk", port_id=port["id"])["id"] for port in others]
    with site.cloud.app.database.transaction() as db:
        parents = [site.parent["id"], *(port["id"] for port in others)]
        db.execute(update(Port).where(Port.id.in_(parents)).values(seen_up=True))
    for direction, at in (("asc", -1), ("desc", 0)):
        listed = site.net.list("trunks", f"sort_key=status&sort_dir={direction}")
        assert sorted(one["status"] for one in listed) == ["ACTIVE", "ACTIVE", "BUILD"]
        assert (listed[at]["id"], listed[at]["status"]) == (trunks[0], "BUILD")
