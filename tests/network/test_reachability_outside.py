"""Reachability of the world outside and from there: one story for each door on the way, and what is open."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cloud, FakeHosts
from tests.network.conftest import Net
from tests.network.reaching import OPEN, PUBLIC, Plan, decided, ip
from wolke.network.reachability.openings import open_ports
from wolke.network.reachability.read import Scope, picture

MAIL: dict[str, Any] = {"protocol": "tcp", "port": 25}


@pytest.fixture
def plan(cloud: Cloud, net: Net) -> Plan:
    return Plan(cloud, net)


# The world outside ----------------------------------------------------------------------------------------------------
def test_out_with_the_router_s_address_and_in_by_a_floating_ip(plan: Plan) -> None:
    network, group = plan.network(), plan.group(OPEN)
    router, server = plan.router(network), plan.server(network, group)
    out = plan.ask(server, "internet", protocol="udp", port=53)
    gateway = router["external_gateway_info"]["external_fixed_ips"][0]["ip_address"]
    assert out["reachable"] and out["hops"][-1]["packet"]["source"] == gateway
    assert decided(plan.ask("internet", server)) == (False, "floating_ip", server["id"])
    floating = plan.floating(server)
    answer = plan.ask("internet", floating)
    assert decided(answer) == (True, "security_group_rule", group["rules"][0])
    assert answer == plan.ask("internet", server)
    assert decided(plan.ask("internet", floating, protocol="tcp", port=22)) == (False, "security_group", group["id"])
    out = plan.ask(server, "internet", protocol="udp", port=53)
    assert out["hops"][-1]["packet"]["source"] == floating["floating_ip_address"]


def test_a_floating_ip_that_leads_nowhere(plan: Plan) -> None:
    floating = plan.floating()
    assert decided(plan.ask("internet", floating)) == (False, "floating_ip", floating["id"])


def test_without_translation_nobody_answers(plan: Plan) -> None:
    network = plan.network()
    info = {"network_id": plan.public["id"], "enable_snat": False}
    router = plan.router(network, by=plan.cloud.admin, external_gateway_info=info)
    answer = plan.ask(plan.server(network), "internet")
    assert decided(answer) == (False, "nat", router["id"]) and "on the way back" in answer["sentence"]


def test_an_answer_that_leaves_by_another_router(plan: Plan) -> None:
    network, group = plan.network(), plan.group(OPEN)
    first = plan.router(network, outside=False)
    second = plan.net.create("router", name="second", external_gateway_info={"network_id": plan.public["id"]})
    plan.join(second, port_id=plan.net.port(network)["id"])
    answer = plan.ask("internet", plan.floating(plan.server(network, group)))
    assert decided(answer) == (False, "route", first["id"]) and "on the way back" in answer["sentence"]


def test_from_inside_to_a_floating_ip(plan: Plan) -> None:
    network, group = plan.network(), plan.group(OPEN)
    router, one, two = plan.router(network), plan.server(network), plan.server(network, group)
    floating = plan.floating(two)
    answer = plan.ask(one, floating)
    assert answer["reachable"], answer["sentence"]
    gateway = router["external_gateway_info"]["external_fixed_ips"][0]["ip_address"]
    assert answer["hops"][-1]["packet"] == {
        "source": gateway, "destination": ip(two), "protocol": 6, "source_port": 40000, "port": 80
    }  # fmt: skip


def test_a_gateway_that_no_host_carries(plan: Plan, cloud: Cloud) -> None:
    network = plan.network()
    router = plan.router(network)
    assert isinstance(cloud.chassis, FakeHosts)
    cloud.chassis.names.clear()
    cloud.settle()
    one = plan.server(network)
    assert decided(plan.ask(one, "internet")) == (False, "port_down", router["id"])


def test_two_gateways_and_each_floating_ip_answers_by_its_own(plan: Plan, cloud: Cloud) -> None:
    more: dict[str, Any] = {**PUBLIC, "provider:network_type": "vlan", "provider:segmentation_id": 7}
    second = plan.net.create("network", by=cloud.admin, name="second", **more)
    plan.net.create(
        "subnet", by=cloud.admin, network_id=second["id"], ip_version=4, cidr="203.0.113.0/24", enable_dhcp=False
    )
    network, group = plan.network(), plan.group(OPEN)
    router = plan.router(network)
    body = {"router": {"external_gateways": [{"network_id": second["id"]}]}}
    assert plan.net.send("PUT", f"routers/{router['id']}/add_external_gateways", json=body).status_code == 200
    server, plain = plan.server(network, group), plan.server(network)
    floating = plan.net.create("floatingip", floating_network_id=second["id"], port_id=server["id"])
    answer = plan.ask("internet", floating)
    assert answer["reachable"], answer["sentence"]
    assert answer["hops_back"][-2]["packet"]["source"] == floating["floating_ip_address"]
    out = plan.ask(server, "internet", protocol="udp", port=53)
    assert out["hops"][-1]["packet"]["source"] == floating["floating_ip_address"]
    out = plan.ask(plain, "internet", protocol="udp", port=53)
    assert out["hops"][-1]["packet"]["source"].startswith("198.51.100.")


def test_a_routed_prefix_is_open_to_the_world_and_another_is_not(plan: Plan, cloud: Cloud) -> None:
    plan.net.create(
        "subnet", by=cloud.admin, network_id=plan.public["id"], cidr="2001:db8::/64", ip_version=6, enable_dhcp=False
    )
    pool = plan.net.create(
        "subnetpool", by=cloud.admin, name="world", prefixes=["2001:db8:1000::/40"], default_prefixlen=64, shared=True
    )  # fmt: skip
    routed, own = plan.net.create("network", name="routed"), plan.network("fd00:1::/64")
    routed["subnets"] = [
        plan.net.create("subnet", network_id=routed["id"], ip_version=6, subnetpool_id=pool["id"])["id"]
    ]
    plan.router(routed, own)
    group = plan.group({**OPEN, "ethertype": "IPv6"})
    one, two = plan.server(routed, group), plan.server(own, group)
    assert decided(plan.ask("internet", one)) == (True, "security_group_rule", group["rules"][0])
    assert plan.ask("internet", one, **MAIL)["decided_by"]["kind"] == "doorman_rule"
    assert decided(plan.ask("internet", two)) == (False, "floating_ip", two["id"])
    floating = plan.net.create(
        "floatingip", floating_network_id=plan.public["id"], port_id=two["id"],
        subnet_id=next(s["id"] for s in plan.net.list("subnets", f"network_id={plan.public['id']}&ip_version=6", by=cloud.admin)),
    )  # fmt: skip
    answer = plan.ask("internet", floating)
    assert decided(answer) == (True, "security_group_rule", group["rules"][0])
    assert answer["hops"][-1]["packet"]["destination"] == floating["floating_ip_address"], (
        "it is routed, not translated"
    )


# The operator's door and forwardings ----------------------------------------------------------------------------------
def test_the_doorman_comes_before_what_a_project_says(plan: Plan, cloud: Cloud) -> None:
    network, group = plan.network(), plan.group({"protocol": "tcp"})
    plan.router(network)
    floating = plan.floating(plan.server(network, group))
    answer = plan.ask("internet", floating, **MAIL)
    kind, id = answer["decided_by"]["kind"], answer["decided_by"]["id"]
    assert (answer["reachable"], kind) == (False, "doorman_rule"), "a project sees which door rule binds it"
    assert answer["decided_by"]["direction"] == "ingress"
    exempt = {
        "rule_id": id,
        "floatingip_id": floating["id"],
        "reason": "its mail",
        "expires_at": "2030-01-01T00:00:00Z",
    }
    made = cloud.admin.post("/wolke/v1/doorman/exceptions", json={"doorman_exception": exempt})
    assert made.status_code == 201, made.text
    assert decided(plan.ask("internet", floating, **MAIL)) == (True, "security_group_rule", group["rules"][0])


def forward(plan: Plan, server: Any, outer: int, inner: int, protocol: str = "tcp") -> tuple[Any, Any]:
    floating = plan.floating()
    body = {
        "internal_port_id": server["id"], "internal_ip_address": ip(server), "internal_port": inner, "external_port": outer,
        "protocol": protocol,
    }  # fmt: skip
    made = plan.net.send("POST", f"floatingips/{floating['id']}/port_forwardings", json={"port_forwarding": body})
    assert made.status_code == 201, made.text
    return floating, made.json()["port_forwarding"]


def test_a_port_forwarding_leads_in_and_nothing_else_does(plan: Plan) -> None:
    network, group = plan.network(), plan.group(OPEN)
    plan.router(network)
    server, other = plan.server(network, group), plan.server(network)
    floating, forwarding = forward(plan, server, 8080, 80)
    answer = plan.ask("internet", floating, protocol="tcp", port=8080)
    assert decided(answer) == (True, "security_group_rule", group["rules"][0])
    assert forwarding["id"] in answer["hops"][1]["did"]
    assert plan.ask("internet", server)["packet"]["port"] == 8080, "asked by the port that is open from outside"
    assert decided(plan.ask("internet", floating)) == (False, "floating_ip", floating["id"])
    inside = plan.ask(other, floating, protocol="tcp", port=8080)
    assert inside["reachable"] and inside["hops"][-1]["packet"]["source"] == ip(other), "its own switch leads it there"
    assert openings(plan, floating) == {(6, 8080, 8080, "all")}
    narrow = plan.group(
        {"direction": "egress", "remote_ip_prefix": f"{floating['floating_ip_address']}/32"}, name="narrow"
    )
    for rule in plan.net.show("security_group", narrow["id"])["security_group_rules"]:
        if rule["id"] not in narrow["rules"]:
            plan.net.delete("security_group_rule", rule["id"])
    answer = plan.ask(plan.server(network, narrow), floating, protocol="tcp", port=8080)
    assert decided(answer) == (False, "security_group", narrow["id"]), (
        "its own switch has the inner address from the second packet on"
    )
    assert answer["stopped"]["destination"] == ip(server)


# Appliances -----------------------------------------------------------------------------------------------------------
def test_by_a_firewall_that_is_a_server(plan: Plan) -> None:
    outer, inner, group = plan.network(), plan.network("10.1.0.0/24"), plan.group(OPEN)
    router = plan.router(outer)
    card: dict[str, Any] = {"device_id": "fw", "port_security_enabled": False, "security_groups": []}
    wan, lan = plan.server(outer, **card), plan.server(inner, **card, fixed_ips=[{"ip_address": "10.1.0.1"}])
    plan.net.update("router", router["id"], routes=[{"destination": "10.1.0.0/24", "nexthop": ip(wan)}])
    server = plan.server(inner, group)
    floating = plan.ask(plan.server(outer), server)
    assert floating["reachable"], floating["sentence"]
    ways = [hop["at"]["id"] for hop in floating["hops"]]
    assert ways[1:] == [router["id"], wan["id"], lan["id"], server["id"]]
    out = plan.ask(server, "internet", protocol="udp", port=53)
    assert out["reachable"], out["sentence"]
    assert [hop["at"]["id"] for hop in out["hops"]][:4] == [server["id"], lan["id"], wan["id"], router["id"]]
    plan.net.update("port", wan["id"], port_security_enabled=True)
    assert decided(plan.ask(plan.server(outer), server))[1:] == ("security_group", wan["id"])


# What is open from outside --------------------------------------------------------------------------------------------
def openings(plan: Plan, floating: Any) -> set[tuple[int, int, int, str]]:
    with plan.cloud.app.database.read() as db:
        seen = picture(db, Scope(floating_ids=frozenset({floating["id"]})))
        assert open_ports(seen, floating_id=floating["id"]) == open_ports(picture(db), floating_id=floating["id"])
    found = open_ports(seen, floating_id=floating["id"])
    return {(one.protocol, one.low, one.high, str(one.sources or "all")) for one in found}


def test_open_ports_as_ranges_by_sender(plan: Plan) -> None:
    """The doorman of a new cloud lets no mail in."""
    network = plan.network()
    plan.router(network)
    group = plan.group(
        OPEN,
        {**OPEN, "port_range_min": 81, "port_range_max": 90},
        {"protocol": "tcp", "port_range_min": 22, "port_range_max": 22, "remote_ip_prefix": "192.0.2.0/24"},
        {"remote_ip_prefix": "192.0.2.7/32"},
        {"protocol": "udp", "port_range_min": 53, "port_range_max": 53},
        {"protocol": "icmp"},
    )
    floating = plan.floating(plan.server(network, group, up=False))
    assert openings(plan, floating) == {
        (6, 80, 90, "all"), (17, 53, 53, "all"), (1, 0, 0, "all"),
        (6, 22, 22, "192.0.2.0/24"),
        (6, 1, 24, "192.0.2.7/32"), (6, 26, 65535, "192.0.2.7/32"), (17, 1, 65535, "192.0.2.7/32"), (132, 1, 65535, "192.0.2.7/32"),
    }  # fmt: skip
    assert openings(plan, plan.floating()) == set()
