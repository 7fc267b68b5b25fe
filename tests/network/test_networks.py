"""Networks: what the API page says, who sees what, and the logical switch that follows."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from tests.conftest import Cloud
from tests.network.conftest import Net
from wolke.core.config import PhysicalNetwork
from wolke.core.work import Work
from wolke.network.ports.table import Port


def test_a_network_is_made_and_shown(net: Net) -> None:
    network = net.network(name="red", description="for red things")
    assert network["status"] == "ACTIVE"
    assert network["mtu"] == 1442  # 58 bytes less than the hosts' 1500
    assert network["admin_state_up"] is True and network["shared"] is False
    assert network["subnets"] == [] and network["revision_number"] >= 1
    assert network["tenant_id"] == network["project_id"]
    assert net.show("network", network["id"]) == network


def test_its_switch_follows_and_goes(cloud: Cloud, net: Net) -> None:
    network = net.network()
    cloud.settle()
    assert cloud.north.table["Logical_Switch", network["id"]].columns["name"] == network["id"]
    net.delete("network", network["id"])
    cloud.settle()
    assert ("Logical_Switch", network["id"]) not in cloud.north.table
    net.refused("GET", f"networks/{network['id']}", 404, "NetworkNotFound")


def test_only_an_operator_sees_how_it_is_made(cloud: Cloud, net: Net) -> None:
    network = net.network()
    assert not [name for name in network if name.startswith("provider:")]
    seen = net.show("network", network["id"], by=cloud.admin)
    assert seen["provider:network_type"] == "geneve" and seen["provider:segmentation_id"] > 0


def test_a_provider_network_leads_to_the_sites_own(cloud: Cloud, net: Net) -> None:
    cloud.app.config.physical_networks["site"] = PhysicalNetwork(mtu=1500)
    flat = net.network(by=cloud.admin, **{
        "provider:network_type": "flat", "provider:physical_network": "site", "router:external": True,
    })  # fmt: skip
    tagged = net.network(by=cloud.admin, **{
        "provider:network_type": "vlan", "provider:physical_network": "site", "provider:segmentation_id": 7,
    })  # fmt: skip
    assert flat["mtu"] == 1500
    cloud.settle()
    port = cloud.north.table["Logical_Switch_Port", f"provnet-{flat['id']}"]
    assert port.columns["type"] == "localnet" and port.columns["options"] == {"network_name": "site"}
    assert cloud.north.table["Logical_Switch_Port", f"provnet-{tagged['id']}"].columns["tag"] == 7
    body = {"network": {"provider:network_type": "flat", "provider:physical_network": "site"}}
    net.refused("POST", "networks", 409, "FlatNetworkInUse", by=cloud.admin, json=body)
    body = {"network": {"provider:network_type": "vlan", "provider:physical_network": "site",
                        "provider:segmentation_id": 7}}  # fmt: skip
    net.refused("POST", "networks", 409, "VlanIdInUse", by=cloud.admin, json=body)


def test_shared_and_external_networks_are_seen_by_all(cloud: Cloud, net: Net) -> None:
    mine = net.network(name="mine")
    shared = net.network(by=cloud.admin, name="shared", shared=True)
    external = net.network(by=cloud.admin, name="outside", **{"router:external": True})
    assert {one["name"] for one in net.list("networks", by=cloud.stranger)} == {"shared", "outside"}
    net.refused("GET", f"networks/{mine['id']}", 404, "NetworkNotFound", by=cloud.stranger)
    for seen in (shared, external):
        url = f"networks/{seen['id']}"
        net.refused("PUT", url, 403, "PolicyNotAuthorized", by=cloud.stranger, json={"network": {"name": "x"}})
        net.refused("DELETE", url, 403, "PolicyNotAuthorized", by=cloud.stranger)


def test_a_network_goes_with_its_subnets_but_not_with_ports_in_use(cloud: Cloud, net: Net) -> None:
    network = net.network()
    net.subnet(network)
    port = net.port(network)
    net.refused("DELETE", f"networks/{network['id']}", 409, "NetworkInUse")
    net.delete("port", port["id"])
    net.delete("network", network["id"])  # its subnet and its metadata port go too
    assert net.list("subnets") == [] and net.list("ports") == []
    cloud.settle()
    assert not [place for place in cloud.north.table if place[0] in ("DHCP_Options", "Logical_Switch_Port")]


def test_what_changes_counts(cloud: Cloud, net: Net) -> None:
    network = net.network()
    cloud.now += 60
    changed = net.update("network", network["id"], name="blue", description="now blue")
    assert changed["name"] == "blue" and changed["revision_number"] > network["revision_number"]
    assert changed["updated_at"] > network["updated_at"] and changed["created_at"] == network["created_at"]


def test_a_change_can_demand_the_revision_it_was_made_for(net: Net) -> None:
    network = net.network()
    url, body = f"networks/{network['id']}", {"network": {"name": "blue"}}
    stale = {"If-Match": f"revision_number={network['revision_number'] + 1}"}
    net.refused("PUT", url, 412, "RevisionNumberConstraintFailed", json=body, headers=stale)
    net.refused("DELETE", url, 412, "RevisionNumberConstraintFailed", headers=stale)
    net.refused("PUT", url, 400, "HTTPBadRequest", json=body, headers={"If-Match": "revision_number=x"})
    right = {"If-Match": f"revision_number={network['revision_number']}"}
    assert net.send("PUT", url, json=body, headers=right).status_code == 200


# Lists ---------------------------------------------------------------------------------------------------------------
def test_lists_are_filtered_sorted_and_cut(net: Net) -> None:
    for name in ("c", "a", "b"):
        net.network(name=name)
    assert [one["name"] for one in net.list("networks", "sort_key=name&sort_dir=desc")] == ["c", "b", "a"]
    assert [one["name"] for one in net.list("networks", "name=a&name=b&sort_key=name")] == ["a", "b"]
    assert net.list("networks", "fields=name&sort_key=name") == [{"name": "a"}, {"name": "b"}, {"name": "c"}]
    assert set(net.list("networks", "fields=id&fields=mtu")[0]) == {"id", "mtu"}
    assert net.list("networks", "shared=True") == [] and len(net.list("networks", "status=ACTIVE")) == 3
    assert len(net.list("networks", "admin_state_up=true&router:external=False&mtu=1442")) == 3


def test_pages_lead_forth_and_back(net: Net) -> None:
    made = sorted(net.network(name=f"n{n}")["id"] for n in range(5))
    page = net.send("GET", "networks?limit=2&sort_key=id").json()
    seen = [one["id"] for one in page["networks"]]
    while links := {link["rel"]: link["href"] for link in page["networks_links"]}:
        if "next" not in links:
            break
        page = net.cloud.member.get(links["next"]).json()
        if not page["networks"]:
            break
        seen += [one["id"] for one in page["networks"]]
    assert seen == made
    back = net.send("GET", f"networks?limit=2&sort_key=id&marker={made[4]}&page_reverse=True").json()
    assert [one["id"] for one in back["networks"]] == made[2:4]
    assert {link["rel"] for link in back["networks_links"]} == {"next", "previous"}
    assert "networks_links" not in net.send("GET", "networks").json()


@pytest.mark.parametrize(
    "query",
    ["colour=red", "limit=two", "limit=-1", "marker=no-such-id", "sort_key=colour", "sort_key=name&sort_dir=sideways",
     "admin_state_up=perhaps", "mtu=many", "project_id=a&tenant_id=a", "changed_since=yesterday", "seen_revision=1"],
)  # fmt: skip
def test_a_list_that_cannot_be_made_is_refused(net: Net, query: str) -> None:
    assert net.send("GET", f"networks?{query}").status_code == 400


# Tags ----------------------------------------------------------------------------------------------------------------
def test_tags_are_put_found_and_taken_away(net: Net) -> None:
    red, blue = net.network(name="red"), net.network(name="blue")
    tags = f"networks/{red['id']}/tags"
    assert net.send("PUT", tags, json={"tags": ["a", "b", "a"]}).json() == {"tags": ["a", "b"]}
    assert net.send("PUT", f"{tags}/c").status_code == 201
    assert net.send("PUT", f"networks/{blue['id']}/tags/b").status_code == 201
    for query, names in (
        ("tags=a", ["red"]), ("tags=a,b", ["red"]), ("tags=b", ["blue", "red"]), ("tags-any=a,b", ["blue", "red"]),
        ("not-tags=a", ["blue"]), ("not-tags-any=a,b", []), ("tags=B", []),
    ):  # fmt: skip
        assert [one["name"] for one in net.list("networks", f"{query}&sort_key=name")] == names, query
    assert net.send("GET", f"{tags}/a").status_code == 204
    assert net.send("DELETE", f"{tags}/a").status_code == 204
    net.refused("GET", f"{tags}/a", 404, "TagNotFound")
    net.refused("DELETE", f"{tags}/a", 404, "TagNotFound")
    assert net.show("network", red["id"])["tags"] == ["b", "c"]
    assert net.send("DELETE", tags).status_code == 204 and net.show("network", red["id"])["tags"] == []
    assert net.send("PUT", tags, json={"tags": ["x" * 61]}).status_code == 400


def test_every_resource_bears_tags(net: Net) -> None:
    network = net.network()
    subnet, port = net.subnet(network), net.port(network)
    for path in (f"subnets/{subnet['id']}", f"ports/{port['id']}"):
        assert net.send("PUT", f"{path}/tags/here").status_code == 201
        assert net.send("GET", f"{path}/tags").json() == {"tags": ["here"]}


# Refusals ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("body", "status", "type"),
    [
        ({"name": "x" * 256}, 400, "HTTPBadRequest"),
        ({"name": None}, 400, "HTTPBadRequest"),
        ({"colour": "red"}, 400, "HTTPBadRequest"),
        ({"admin_state_up": "perhaps"}, 400, "HTTPBadRequest"),
        ({"mtu": "big"}, 400, "HTTPBadRequest"),
        ({"mtu": -1}, 400, "HTTPBadRequest"),
        ({"mtu": 9000}, 400, "InvalidInput"),  # the hosts' network does not carry that
        ({"mtu": 60}, 400, "InvalidInput"),
        ({"shared": True}, 403, "PolicyNotAuthorized"),
        ({"router:external": True}, 403, "PolicyNotAuthorized"),
        ({"provider:network_type": "flat"}, 403, "PolicyNotAuthorized"),
        ({"provider:segmentation_id": 5}, 403, "PolicyNotAuthorized"),
        ({"project_id": "somebody-else"}, 400, "HTTPBadRequest"),
        ({"availability_zone_hints": ["mars"]}, 404, "AvailabilityZoneNotFound"),
        ({"status": "ACTIVE"}, 400, "HTTPBadRequest"),
        ({"subnets": []}, 400, "HTTPBadRequest"),
    ],
)
def test_what_a_member_may_not_ask_for(net: Net, body: dict[str, object], status: int, type: str) -> None:
    net.refused("POST", "networks", status, type, json={"network": {"name": "n", **body}})
    assert net.list("networks") == []


@pytest.mark.parametrize(
    ("body", "type"),
    [
        ({"provider:network_type": "gre"}, "InvalidInput"),
        ({"provider:network_type": "flat"}, "InvalidInput"),
        ({"provider:network_type": "flat", "provider:physical_network": "nowhere"}, "InvalidInput"),
        ({"provider:network_type": "vlan", "provider:physical_network": "nowhere"}, "InvalidInput"),
        ({"provider:physical_network": "site"}, "InvalidInput"),
        ({"provider:network_type": "geneve", "provider:physical_network": "site"}, "InvalidInput"),
        ({"provider:segmentation_id": "five"}, "HTTPBadRequest"),
        ({"provider:segmentation_id": 2**24}, "HTTPBadRequest"),
        ({"is_default": True}, "HTTPBadRequest"),
    ],
)
def test_what_even_an_operator_cannot_have(cloud: Cloud, net: Net, body: dict[str, object], type: str) -> None:
    net.refused("POST", "networks", 400, type, by=cloud.admin, json={"network": {"name": "n", **body}})
    assert net.list("networks", by=cloud.admin) == []


@pytest.mark.parametrize(
    ("raw", "type"),
    [(b"", "HTTPBadRequest"), (b"{", "HTTPBadRequest"), (b"[]", "HTTPBadRequest"), (b"{}", "HTTPBadRequest"),
     (b'{"network": 5}', "HTTPBadRequest"), (b'{"networks": []}', "HTTPBadRequest"), (b"\xff\xfe", "HTTPBadRequest"),
     (b'{"network": {}, "networks": [{}]}', "HTTPBadRequest"), (b'{"net": {}}', "HTTPBadRequest")],
)  # fmt: skip
def test_bodies_that_are_none(net: Net, raw: bytes, type: str) -> None:
    net.refused("POST", "networks", 400, type, content=raw)


def test_who_asks_without_a_token_or_for_nothing_we_have(cloud: Cloud, net: Net) -> None:
    answer = cloud.nobody.get("/network/v2.0/networks")
    assert answer.status_code == 401 and answer.json()["error"]["title"] == "Unauthorized"
    net.refused("GET", "clouds", 404, "HTTPNotFound")
    net.refused("PATCH", "networks", 405, "HTTPMethodNotAllowed")
    net.refused("POST", "networks", 403, "PolicyNotAuthorized", by=cloud.reader, json={"network": {"name": "n"}})
    assert cloud.nobody.get("/network/").json()["versions"][0]["id"] == "v2.0"


def test_a_network_moves_to_another_vlan(cloud: Cloud, net: Net) -> None:
    def vlan(number: int, **more: Any) -> Any:
        where = {"network_type": "vlan", "physical_network": "public", "segmentation_id": number}
        return {f"provider:{name}": value for name, value in where.items()} | more

    network, url = net.network(by=cloud.admin, **vlan(100)), "networks/{id}".format
    net.network(by=cloud.admin, **vlan(101))
    assert net.update("network", network["id"], by=cloud.admin, **vlan(100, name="same"))["name"] == "same"
    moved = net.update("network", network["id"], by=cloud.admin, **{"provider:segmentation_id": 102})
    assert moved["provider:segmentation_id"] == 102
    cloud.settle()
    [port] = [row for row in cloud.north.rows(f"network/{network['id']}") if row.columns.get("type") == "localnet"]
    assert port.columns["tag"] == 102
    [segment] = net.list("segments", f"network_id={network['id']}", by=cloud.admin)
    assert segment["segmentation_id"] == 102
    net.network(by=cloud.admin, **vlan(100))
    tunnel = net.network()
    for id, body, status, type in (
        (network["id"], vlan(101), 409, "VlanIdInUse"),
        (network["id"], vlan(4095), 400, "InvalidInput"),
        (network["id"], {"provider:physical_network": "other"}, 400, "InvalidInput"),
        (network["id"], {"provider:network_type": "flat"}, 400, "InvalidInput"),
        (tunnel["id"], {"provider:segmentation_id": 777}, 400, "InvalidInput"),
    ):
        net.refused("PUT", url(id=id), status, type, by=cloud.admin, json={"network": body})
    for name in ("network_type", "physical_network", "segmentation_id"):
        body = {f"provider:{name}": vlan(102)[f"provider:{name}"]}
        net.refused("PUT", url(id=tunnel["id"]), 403, "PolicyNotAuthorized", json={"network": body})


# Quotas and the rest -------------------------------------------------------------------------------------------------
def test_quotas_are_shown_set_and_reset(cloud: Cloud, net: Net) -> None:
    project = net.network()["project_id"]
    url = f"quotas/{project}"
    default = net.send("GET", f"{url}/default").json()["quota"]
    assert default["network"] == 100 and default["port"] == 500
    net.refused("PUT", url, 403, "PolicyNotAuthorized", json={"quota": {"network": 5}})
    changed = net.send("PUT", url, by=cloud.admin, json={"quota": {"network": 1}}).json()["quota"]
    assert changed == {**default, "network": 1}
    assert net.refused("POST", "networks", 409, "OverQuota", json={"network": {}}).endswith("['network'].")
    assert [one["project_id"] for one in net.send("GET", "quotas", by=cloud.admin).json()["quotas"]] == [project]
    details = net.send("GET", f"{url}/details").json()["quota"]["network"]
    assert details == {"limit": 1, "used": 1, "reserved": 0}
    for bad in ({"network": -2}, {"network": "many"}, {"clouds": 1}, {"network": 2**31}):
        assert net.send("PUT", url, by=cloud.admin, json={"quota": bad}).status_code == 400
    assert net.send("DELETE", url, by=cloud.admin).status_code == 204
    assert net.send("GET", url).json()["quota"] == default
    assert net.send("GET", url, by=cloud.stranger).status_code == 403


def test_a_quota_below_what_is_used_is_refused_unless_forced(cloud: Cloud, net: Net) -> None:
    url = f"quotas/{net.network()['project_id']}"
    net.network()

    def setting(**quota: Any) -> Any:
        return {"by": cloud.admin, "json": {"quota": quota}}

    for more in ({}, {"check_limit": True}, {"check_limit": False}, {"force": False}):
        said = net.refused("PUT", url, 400, "HTTPBadRequest", **setting(network=1, **more))
        assert said == "Quota limit 1 for network must be greater than or equal to already used 2"
    for more in ({"network": 2}, {"network": -1}, {"network": 0, "force": True}):
        assert net.send("PUT", url, **setting(**more)).json()["quota"]["network"] == more["network"]
    project = net.send("GET", "quotas/project").json()
    assert project == {"project": {"project_id": url.removeprefix("quotas/")}}


def test_addresses_that_are_left_are_counted(cloud: Cloud, net: Net) -> None:
    network = net.network()
    subnet = net.subnet(network)
    net.port(network)
    shown = net.send("GET", f"network-ip-availabilities/{network['id']}", by=cloud.admin).json()
    found = shown["network_ip_availability"]
    assert (found["total_ips"], found["used_ips"]) == (253, 2)  # the port's and the metadata port's
    assert found["subnet_ip_availability"][0]["subnet_id"] == subnet["id"]
    net.refused("GET", "network-ip-availabilities", 403, "PolicyNotAuthorized")


def test_addresses_beside_the_pools_are_counted_apart(cloud: Cloud, net: Net) -> None:
    network = net.network()
    pool = {"start": "10.0.0.10", "end": "10.0.0.19"}
    pooled = net.subnet(network, enable_dhcp=False, allocation_pools=[pool])
    bare = net.subnet(network, "fd00::/126", enable_dhcp=False, gateway_ip=None, allocation_pools=[])
    net.port(network, fixed_ips=[{"subnet_id": pooled["id"]}])
    net.port(network, fixed_ips=[{"ip_address": "10.0.0.200"}, {"ip_address": "fd00::2"}])
    shown = net.send("GET", f"network-ip-availabilities/{network['id']}", by=cloud.admin).json()
    found = shown["network_ip_availability"]

    def counts(one: Any) -> list[int]:
        details = one["ip_availability_details"]
        sides = [
            details[f"{what}_ips_in_{where}"] for where in ("subnet", "allocation_pool") for what in ("total", "used")
        ]
        return [one["total_ips"], one["used_ips"], *sides]

    in_subnets = {one["subnet_id"]: counts(one) for one in found["subnet_ip_availability"]}
    assert in_subnets == {pooled["id"]: [10, 2, 254, 2, 10, 1], bare["id"]: [4, 1, 4, 1, 0, 0]}
    assert counts(found) == [14, 3, 258, 3, 10, 1]
    empty = net.network(name="empty")
    [sixth] = net.list("network-ip-availabilities", "ip_version=6", by=cloud.admin)
    assert (sixth["network_id"], sixth["total_ips"]) == (network["id"], 4)
    listed = net.list("network-ip-availabilities", "fields=network_id&fields=ip_availability_details", by=cloud.admin)
    [one] = [row for row in listed if row["network_id"] == empty["id"]]
    assert set(one) == {"network_id", "ip_availability_details"} and set(one["ip_availability_details"].values()) == {0}


def test_availability_zones_are_found_by_what_they_say(net: Net) -> None:
    def found(query: str) -> list[str]:
        return [one["resource"] for one in net.list("availability_zones", query)]

    assert found("") == ["network", "router"] == found("name=nova&state=available")
    assert found("resource=router") == ["router"] and found("resource=router&resource=network") == ["network", "router"]
    assert found("name=mars") == found("state=unavailable") == found("name=mars&resource=router") == []
    assert net.list("availability_zones", "resource=router&fields=name") == [{"name": "nova"}]
    net.refused("GET", "availability_zones?colour=red", 400, "HTTPBadRequest")


def test_extensions_are_listed_and_shown(net: Net) -> None:
    listed = {one["alias"] for one in net.list("extensions")}
    assert {"router", "security-group", "standard-attr-tag", "net-mtu"} <= listed
    assert net.send("GET", "extensions/router").json()["extension"]["alias"] == "router"
    net.refused("GET", "extensions/time-travel", 404, "ExtensionNotFound")


# Lists by what stands in no column ------------------------------------------------------------------------------------
@pytest.mark.parametrize("things", ["networks", "ports", "routers", "floatingips", "trunks"])
def test_lists_are_sorted_by_status_page_for_page(cloud: Cloud, net: Net, things: str) -> None:
    outside = net.create("network", by=cloud.admin, name="public", **{"router:external": True})
    net.create("subnet", by=cloud.admin, network_id=outside["id"], cidr="198.51.100.0/24", ip_version=4)
    network = net.network()
    subnet = net.subnet(network)
    router = net.create("router", external_gateway_info={"network_id": outside["id"]})
    net.send("PUT", f"routers/{router['id']}/add_router_interface", json={"subnet_id": subnet["id"]})
    ports = [net.port(network)["id"] for _ in range(3)]
    net.create("floatingip", floating_network_id=outside["id"])
    net.create("floatingip", floating_network_id=outside["id"], port_id=ports[0])
    cloud.settle()
    net.create("floatingip", floating_network_id=outside["id"], port_id=ports[1])
    for port in ports:
        net.create("trunk", port_id=port)
    broken = net.network(name="broken")
    with cloud.app.database.transaction() as db:
        db.execute(update(Port).where(Port.id == ports[1]).values(seen_up=True))
        db.execute(update(Work).where(Work.kind == "network", Work.id == broken["id"]).values(error="no"))
    for direction in ("asc", "desc"):
        whole = net.list(things, f"sort_key=status&sort_dir={direction}", by=cloud.admin)
        told = [one["status"] for one in whole]
        assert told == sorted(told, reverse=direction == "desc")
        paged: list[str] = []
        while page := net.list(
            things, f"sort_key=status&sort_dir={direction}&limit=1&marker={paged[-1] if paged else ''}", by=cloud.admin
        ):
            paged += [one["id"] for one in page]
        assert paged == [one["id"] for one in whole]
    assert len(set(told)) > 1 or things == "routers"
    for status in set(told):
        found = net.list(things, f"status={status}", by=cloud.admin)
        assert {one["status"] for one in found} == {status} and len(found) == told.count(status)
