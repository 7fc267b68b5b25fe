"""What a project does not learn of others by asking what it reaches."""

from __future__ import annotations

import json

import pytest

from tests.conftest import BLUE, RED, Cloud
from tests.network.conftest import Net
from tests.network.reaching import OPEN, Plan, decided, ip


@pytest.fixture
def plan(cloud: Cloud, net: Net) -> Plan:
    return Plan(cloud, net)


def test_another_s_gateway_is_the_other_side(plan: Plan, cloud: Cloud) -> None:
    stranger = cloud.stranger
    mine, theirs = plan.network(), plan.network(by=stranger)
    group, guard = plan.group(OPEN, by=stranger), plan.group(OPEN, by=stranger, name="guard")
    one, target = plan.server(mine), plan.server(theirs, group, by=stranger)
    plan.router(mine)
    gateway = {"network_id": plan.public["id"], "security_groups": [guard["id"]]}
    other = plan.router(theirs, outside=False, by=stranger)
    plan.net.update("router", other["id"], by=stranger, external_gateway_info=gateway)
    [port] = plan.net.list("ports", f"device_id={other['id']}&device_owner=network:router_gateway", by=cloud.admin)
    address = plan.floating(target, by=stranger)["floating_ip_address"]
    answer = plan.ask(one, address)
    assert answer["reachable"]
    for secret in (port["id"], other["id"], guard["id"], target["id"]):
        assert secret not in json.dumps(answer)
    assert port["id"] in json.dumps(plan.ask(one, address, by=cloud.admin))
    assert port["id"] in json.dumps(plan.ask(target, "198.51.100.254", by=stranger)), "one's own gateway is shown"


def test_an_external_network_of_others_is_not_named(plan: Plan, cloud: Cloud) -> None:
    physical = {"provider:network_type": "vlan", "provider:physical_network": "public", "provider:segmentation_id": 7}
    hidden = plan.net.create("network", by=cloud.admin, name="only blue's", **physical)
    plan.net.create("subnet", by=cloud.admin, network_id=hidden["id"], cidr="192.0.2.0/24", ip_version=4)
    policy = {
        "object_type": "network",
        "object_id": hidden["id"],
        "action": "access_as_external",
        "target_tenant": BLUE,
    }
    assert plan.net.send("POST", "rbac-policies", by=cloud.admin, json={"rbac_policy": policy}).status_code == 201
    away = plan.net.create("router", by=cloud.stranger, external_gateway_info={"network_id": hidden["id"]})
    [outer] = away["external_gateway_info"]["external_fixed_ips"]
    mine = plan.network()
    one = plan.server(mine)
    plan.router(mine)
    for address in (outer["ip_address"], "192.0.2.77"):
        text = json.dumps(plan.ask(one, address))
        for secret in (hidden["id"], "only blue's", away["id"]):
            assert secret not in text
    assert decided(plan.ask(one, "198.51.100.254"))[0]


def test_where_another_s_forwarding_leads_is_not_told(plan: Plan, cloud: Cloud) -> None:
    """The switch of a shared network carries the forwardings of all routers that stand there."""
    net, stranger = plan.net, cloud.stranger
    common = plan.network("10.5.0.0/24")
    policy = {"object_type": "network", "object_id": common["id"], "action": "access_as_shared", "target_tenant": BLUE}
    assert net.send("POST", "rbac-policies", json={"rbac_policy": policy}).status_code == 201
    plan.router(common)
    inner = plan.network("10.6.0.0/24", by=stranger)
    other = plan.router(inner, by=stranger)
    plan.join(other, by=stranger, port_id=net.port(common, by=stranger)["id"])
    target = plan.server(inner, plan.group(OPEN, by=stranger), by=stranger)
    floating = plan.floating(by=stranger)
    forwarding = {
        "protocol": "tcp", "external_port": 80, "internal_port": 8080, "internal_port_id": target["id"],
        "internal_ip_address": ip(target),
    }  # fmt: skip
    path = f"floatingips/{floating['id']}/port_forwardings"
    made = net.send("POST", path, by=stranger, json={"port_forwarding": forwarding}).json()["port_forwarding"]
    one = plan.server(common, plan.group(OPEN))
    text = json.dumps(plan.ask(one, floating["floating_ip_address"]))
    whole = json.dumps(plan.ask(one, floating["floating_ip_address"], by=cloud.admin))
    for secret in (made["id"], ip(target), "8080", other["id"]):
        assert secret not in text
    assert made["id"] in whole and ip(target) in whole


def test_another_s_source_nat_hides_nothing_of_one_s_own(plan: Plan, cloud: Cloud) -> None:
    common = plan.network(by=cloud.stranger)
    policy = {"object_type": "network", "object_id": common["id"], "action": "access_as_shared", "target_tenant": RED}
    answer = plan.net.send("POST", "rbac-policies", by=cloud.stranger, json={"rbac_policy": policy})
    assert answer.status_code == 201, answer.text
    plan.router(common, by=cloud.stranger)
    one = plan.server(common)
    told = plan.ask(one, "internet")
    assert told["reachable"] and told["decided_by"]["kind"] == "security_group_rule"
    assert told["hops"][0]["at"]["id"] == one["id"] and "security_group" in told["sentence"].replace(" ", "_")
