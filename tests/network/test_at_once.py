"""Requests for the same thing at the same moment: each address, name and allowance is given once, on both databases."""

from __future__ import annotations

from collections import Counter

from tests.conftest import BLUE
from tests.network.conftest import BASE

LATE = {
    (404, 204),
    (400, 204),
    (409, 204),
}  # who comes too late may be told that it is gone, is no good, or has just changed


def statuses(answers):
    return Counter(answer.status_code for answer in answers)


def post(path, kind, **body):
    return lambda api: api.post(f"{BASE}/{path}", json={kind: body})


def test_each_free_address_is_given_once(cloud, net):
    network = net.network()
    net.subnet(network, "10.0.0.0/28")  # 12 addresses beside the gateway's and the metadata service's
    answers = cloud.at_once(*[post("ports", "port", network_id=network["id"])] * 16)
    assert statuses(answers) == {201: 12, 409: 4}
    ports = net.list("ports", f"network_id={network['id']}")
    addresses = [ip["ip_address"] for port in ports for ip in port["fixed_ips"]]
    assert len(addresses) == len(set(addresses)) == 13
    assert len({port["mac_address"] for port in ports}) == 13


def test_one_address_that_all_want_goes_to_one(cloud, net):
    network = net.network()
    net.subnet(network)
    wish = post("ports", "port", network_id=network["id"], fixed_ips=[{"ip_address": "10.0.0.77"}])
    assert statuses(cloud.at_once(*[wish] * 8)) == {201: 1, 409: 7}


def test_quota_holds(cloud, net):
    network = net.network()
    allowed = cloud.admin.put(f"{BASE}/quotas/{network['project_id']}", json={"quota": {"port": 3}})
    assert allowed.status_code == 200
    assert statuses(cloud.at_once(*[post("ports", "port", network_id=network["id"])] * 10)) == {201: 3, 409: 7}
    assert len(net.list("ports")) == 3


def test_a_new_project_gets_one_default_group(cloud, net):
    answers = cloud.at_once(*[lambda api: api.get(f"{BASE}/security-groups")] * 8, by="stranger")
    assert statuses(answers) == {200: 8}
    [group] = net.list("security-groups", "name=default", by=cloud.stranger)
    assert group["project_id"] == BLUE and len(group["security_group_rules"]) == 4
    assert [answer.json()["security_groups"][0]["id"] for answer in answers] == [group["id"]] * 8


def test_overlapping_subnets_exclude_each_other(cloud, net):
    network = net.network()
    wishes = [
        post("subnets", "subnet", network_id=network["id"], ip_version=4, cidr=cidr)
        for cidr in ("10.0.0.0/16", "10.0.1.0/24", "10.0.1.128/25", "10.0.0.0/8")
    ]
    assert statuses(cloud.at_once(*wishes)) == {201: 1, 400: 3}


def test_an_equal_rule_is_made_once(cloud, net):
    group = net.create("security_group", name="web")
    rule = {"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp", "port_range_min": 80}
    wish = post("security-group-rules", "security_group_rule", **rule, port_range_max=80, ethertype="IPv4")
    assert statuses(cloud.at_once(*[wish] * 6)) == {201: 1, 409: 5}


def test_a_subnet_is_joined_to_one_router_or_gone(cloud, net):
    """Never a router's interface on a subnet that is no more."""
    for _ in range(4):
        network, router = net.network(), net.create("router", name="r")
        subnet = net.subnet(network)
        path = f"{BASE}/routers/{router['id']}/add_router_interface"
        joined, gone = cloud.at_once(
            lambda api, path=path, id=subnet["id"]: api.put(path, json={"subnet_id": id}),
            lambda api, id=subnet["id"]: api.delete(f"{BASE}/subnets/{id}"),
        )
        assert (joined.status_code, gone.status_code) in {(200, 409), *LATE}, (joined.text, gone.text)
        ports = net.list("ports", f"device_id={router['id']}")
        assert [ip["subnet_id"] for port in ports for ip in port["fixed_ips"]] == (
            [subnet["id"]] if joined.status_code == 200 else []
        )


def test_a_port_comes_into_a_network_or_the_network_goes(cloud, net):
    for _ in range(4):
        network = net.network()
        made, gone = cloud.at_once(
            post("ports", "port", network_id=network["id"]),
            lambda api, id=network["id"]: api.delete(f"{BASE}/networks/{id}"),
        )
        assert (made.status_code, gone.status_code) in {(201, 409), *LATE}, (made.text, gone.text)


def test_a_floating_ip_serves_one_port(cloud, net):
    outside = net.create("network", by=cloud.admin, name="out", **{
        "router:external": True, "provider:network_type": "flat", "provider:physical_network": "public"})  # fmt: skip
    net.create(
        "subnet", by=cloud.admin, network_id=outside["id"], ip_version=4, cidr="198.51.100.0/24", enable_dhcp=False
    )
    network = net.network()
    subnet = net.subnet(network)
    router = net.create("router", name="r", external_gateway_info={"network_id": outside["id"]})
    net.send("PUT", f"routers/{router['id']}/add_router_interface", json={"subnet_id": subnet["id"]})
    port = net.create("port", network_id=network["id"])
    wish = post("floatingips", "floatingip", floating_network_id=outside["id"], port_id=port["id"])
    assert statuses(cloud.at_once(*[wish] * 5)) == {201: 1, 409: 4}
