"""What zones become: stretches of projects' networks, and what each host is told and tells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import RED, Cloud
from tests.network.conftest import Net
from tests.network.zones import EVPN, VLAN, VXLAN, ZONES, Zones
from wolke.network.ports.table import Port


@pytest.fixture
def zones(cloud: Cloud, net: Net) -> Zones:
    return Zones(cloud, net)


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
