"""Reachability: one story for each kind of yes and no between the networks of a cloud, and what the caller is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import Cloud
from tests.network.conftest import Net
from tests.network.reaching import OPEN, WEB, Plan, decided, ip


@pytest.fixture
def plan(cloud: Cloud, net: Net) -> Plan:
    return Plan(cloud, net)


# Security groups ------------------------------------------------------------------------------------------------------
def test_a_rule_allows_and_is_named(plan: Plan) -> None:
    network, group = plan.network(), plan.group(OPEN)
    one, two = plan.server(network), plan.server(network, group, name="shop")
    answer = plan.ask(one, two)
    assert decided(answer) == (True, "security_group_rule", group["rules"][0])
    assert answer["decided_by"]["at"] == {"type": "port", "id": two["id"], "name": "shop"}
    assert [hop["at"]["type"] for hop in answer["hops"]] == ["port", "port"]
    assert "shop" in answer["sentence"] and answer["sentence"].startswith("Yes")


def test_no_rule_allows_and_the_group_is_named(plan: Plan) -> None:
    network, group = plan.network(), plan.group(OPEN)
    one, two = plan.server(network), plan.server(network, group)
    answer = plan.ask(one, two, protocol="tcp", port=81)
    assert decided(answer) == (False, "security_group", group["id"])
    assert answer["sentence"] == (
        f"No: on the way there, no ingress rule of security group web ({group['id']}) on port {two['id']} allows tcp/81 from {ip(one)}."
    )


def test_what_leaves_needs_a_rule_too(plan: Plan) -> None:
    network, shut, open_ = plan.network(), plan.group(name="shut"), plan.group(OPEN)
    for rule in plan.net.show("security_group", shut["id"])["security_group_rules"]:
        plan.net.delete("security_group_rule", rule["id"])
    one, two = plan.server(network, shut), plan.server(network, open_)
    assert decided(plan.ask(one, two)) == (False, "security_group", shut["id"])


def test_members_of_a_remote_group_and_nobody_else(plan: Plan) -> None:
    network, friends = plan.network(), plan.group(name="friends")
    group = plan.group({**OPEN, "remote_group_id": friends["id"]})
    friend, stranger, target = plan.server(network, friends), plan.server(network), plan.server(network, group)
    assert decided(plan.ask(friend, target)) == (True, "security_group_rule", group["rules"][0])
    assert decided(plan.ask(stranger, target)) == (False, "security_group", group["id"])


def test_a_floating_ipv6_address_is_its_port_s_in_a_remote_group_and_a_router_s_is_nobody_s(plan: Plan) -> None:
    """``$pg_..._ip6`` holds what ports of servers have in ``addresses``; those of routers' ports are "router"."""
    plan.net.create(
        "subnet", by=plan.cloud.admin, network_id=plan.public["id"], cidr="2001:db8::/64", ip_version=6, enable_dhcp=False
    )  # fmt: skip
    network = plan.network("10.0.0.0/24", "fd00:1::/64")
    group = plan.group(stateful=False)
    for version, protocol in ((6, "udp"), (4, "icmp")):
        plan.net.create(
            "security_group_rule", security_group_id=group["id"], direction="ingress", ethertype=f"IPv{version}",
            protocol=protocol, remote_group_id=group["id"],
        )  # fmt: skip
    plan.router(network)
    one, two = plan.server(network, group), plan.server(network, group)
    floating = plan.net.create(
        "floatingip", floating_network_id=plan.public["id"], port_id=one["id"], fixed_ip_address=ip(one, 6)
    )
    assert plan.ask(two, floating["floating_ip_address"], protocol="udp", port=123)["reachable"]
    leg = plan.net.create("port", network_id=network["id"], fixed_ips=[{"ip_address": "10.0.0.5"}])
    plan.join(plan.net.create("router"), port_id=leg["id"])
    assert plan.ask(two, one, protocol="icmp")["reachable"]
    plan.net.update("port", leg["id"], security_groups=[group["id"]])
    assert decided(plan.ask(two, "10.0.0.5", protocol="icmp")) == (False, "security_group", group["id"])


@pytest.mark.parametrize(
    ("rule", "what", "yes"),
    [
        ({"protocol": "icmp"}, {"protocol": "icmp"}, True),
        ({"protocol": "icmp", "port_range_min": 8}, {"protocol": "icmp"}, True),
        ({"protocol": "icmp", "port_range_min": 3}, {"protocol": "icmp"}, False),
        ({"protocol": "icmp", "port_range_min": 3}, {"protocol": "icmp", "icmp_type": 3}, True),
        ({"protocol": "udp", "port_range_min": 50, "port_range_max": 60}, {"protocol": "udp", "port": 60}, True),
        ({"protocol": "udp", "port_range_min": 50, "port_range_max": 60}, {"protocol": "udp", "port": 61}, False),
        ({"protocol": "udp", "port_range_min": 50, "port_range_max": 60}, {"protocol": "tcp", "port": 55}, False),
        ({"protocol": "112"}, {"protocol": "vrrp"}, True),
        ({"remote_ip_prefix": "10.0.0.0/30"}, {"protocol": "tcp", "port": 1}, False),
        ({"remote_ip_prefix": "10.0.0.192/26"}, {"protocol": "tcp", "port": 1}, True),
        ({"ethertype": "IPv6"}, {"protocol": "tcp", "port": 1}, False),
    ],
)
def test_rules_mean_what_they_say(plan: Plan, rule: Any, what: Any, yes: bool) -> None:
    network, group = plan.network(), plan.group(rule)
    one = plan.server(network, fixed_ips=[{"ip_address": "10.0.0.200"}])
    assert plan.ask(one, plan.server(network, group), **what)["reachable"] is yes


def test_a_stateless_group_has_to_let_the_answer_out(plan: Plan) -> None:
    network = plan.network()
    group = plan.group(OPEN, stateful=False, name="bare")
    one, two = plan.server(network), plan.server(network, group)
    assert plan.ask(one, two)["reachable"]
    for rule in plan.net.show("security_group", group["id"])["security_group_rules"]:
        if rule["direction"] == "egress":
            plan.net.delete("security_group_rule", rule["id"])
    answer = plan.ask(one, two)
    assert decided(answer) == (False, "security_group", group["id"])
    assert "on the way back, no egress rule of stateless security group bare" in answer["sentence"]


def test_a_port_without_a_group_is_shut_and_one_without_port_security_open(plan: Plan) -> None:
    network = plan.network()
    one, shut = plan.server(network), plan.server(network, security_groups=[])
    assert decided(plan.ask(one, shut)) == (False, "security_group", shut["id"])
    bare = plan.server(network, security_groups=[], port_security_enabled=False)
    assert plan.ask(one, bare)["reachable"]


def test_an_address_group_says_whom_a_rule_means(plan: Plan) -> None:
    network = plan.network()
    friends = plan.net.create("address_group", name="friends", addresses=["10.0.0.200/32"])
    group = plan.group({**OPEN, "remote_address_group_id": friends["id"]})
    target = plan.server(network, group)
    friend, stranger = (plan.server(network, fixed_ips=[{"ip_address": f"10.0.0.{n}"}]) for n in (200, 201))
    assert decided(plan.ask(friend, target)) == (True, "security_group_rule", group["rules"][0])
    assert decided(plan.ask(stranger, target)) == (False, "security_group", group["id"])


# Ports ----------------------------------------------------------------------------------------------------------------
def test_a_sender_with_somebody_else_s_address(plan: Plan) -> None:
    network, group = plan.network(), plan.group(OPEN)
    one, two = plan.server(network), plan.server(network, group)
    forged = {"port_id": one["id"], "address": "10.0.0.99"}
    assert decided(plan.ask(forged, two)) == (False, "port_security", one["id"])
    masked = {"port_id": one["id"], "mac_address": "fa:16:3e:00:00:99"}
    assert decided(plan.ask(masked, two)) == (False, "port_security", one["id"])
    plan.net.update("port", one["id"], allowed_address_pairs=[{"ip_address": "10.0.0.99"}])
    assert plan.ask(forged, two)["decided_by"]["kind"] != "port_security"


def test_what_is_routed_to_a_server_needs_an_address_pair(plan: Plan) -> None:
    network, group = plan.network(), plan.group(OPEN)
    other = plan.network("10.1.0.0/24")
    router = plan.router(network, other, outside=False)
    appliance, one = plan.server(network, group, name="appliance"), plan.server(other)
    plan.net.update("router", router["id"], routes=[{"destination": "10.9.0.0/16", "nexthop": ip(appliance)}])
    assert decided(plan.ask(one, "10.9.0.1")) == (False, "address_pair", appliance["id"])
    plan.net.update("port", appliance["id"], allowed_address_pairs=[{"ip_address": "10.9.0.0/16"}])
    assert plan.ask(one, "10.9.0.1")["reachable"]


@pytest.mark.parametrize("which", ["one", "two"])
def test_a_port_that_is_switched_off_or_not_plugged(plan: Plan, which: str) -> None:
    network, group = plan.network(), plan.group(OPEN)
    ports = {"one": plan.server(network), "two": plan.server(network, group)}
    plan.net.update("port", ports[which]["id"], admin_state_up=False)
    assert decided(plan.ask(ports["one"], ports["two"])) == (False, "admin_state_down", ports[which]["id"])
    ports[which] = plan.server(network, group, up=False)
    assert decided(plan.ask(ports["one"], ports["two"])) == (False, "port_down", ports[which]["id"])


def test_a_network_that_is_switched_off(plan: Plan) -> None:
    network, group = plan.network(), plan.group(OPEN)
    one, two = plan.server(network), plan.server(network, group)
    plan.net.update("network", network["id"], admin_state_up=False)
    assert decided(plan.ask(one, two)) == (False, "admin_state_down", network["id"])


# Routers --------------------------------------------------------------------------------------------------------------
def test_between_two_networks_of_a_router(plan: Plan) -> None:
    red, blue, group = plan.network(), plan.network("10.1.0.0/24", name="blue"), plan.group(OPEN)
    one, two = plan.server(red), plan.server(blue, group)
    router = plan.router(red, blue, outside=False)
    answer = plan.ask(one, two)
    assert [hop["at"]["type"] for hop in answer["hops"]] == ["port", "router", "port"]
    assert answer["reachable"] and answer["hops"][1]["at"]["id"] == router["id"]
    plan.net.update("router", router["id"], admin_state_up=False)
    assert decided(plan.ask(one, two)) == (False, "admin_state_down", router["id"])


def test_no_way_out_of_a_network(plan: Plan) -> None:
    red, blue, group = plan.network(), plan.network("10.1.0.0/24"), plan.group(OPEN)
    one, two = plan.server(red), plan.server(blue, group)
    assert decided(plan.ask(one, two)) == (False, "no_path", red["id"])
    router = plan.router(red, outside=False)
    assert decided(plan.ask(one, two)) == (False, "route", router["id"])
    lonely = plan.net.create("network", name="lonely")
    subnet = plan.net.subnet(lonely, "10.5.0.0/24", gateway_ip=None)
    assert decided(plan.ask(plan.server(lonely), two)) == (False, "gateway", subnet["id"])


def test_a_route_there_and_none_back(plan: Plan) -> None:
    middle, far, near = plan.network("10.1.0.0/24"), plan.network("10.2.0.0/24"), plan.network("10.0.0.0/24")
    group = plan.group(OPEN)
    one, two = plan.server(near), plan.server(far, group)
    first, second = plan.router(near, outside=False), plan.router(far, outside=False, name="second")
    legs = [plan.net.port(middle, fixed_ips=[{"ip_address": f"10.1.0.{n}"}]) for n in (11, 12)]
    for router, leg in zip((first, second), legs, strict=True):
        plan.join(router, port_id=leg["id"])
    plan.net.update("router", first["id"], routes=[{"destination": "10.2.0.0/24", "nexthop": "10.1.0.12"}])
    answer = plan.ask(one, two)
    assert decided(answer) == (False, "route", second["id"]) and "on the way back" in answer["sentence"]
    plan.net.update("router", second["id"], routes=[{"destination": "10.0.0.0/24", "nexthop": "10.1.0.11"}])
    answer = plan.ask(one, two)
    assert answer["reachable"]
    assert [hop["at"]["id"] for hop in answer["hops"]] == [one["id"], first["id"], second["id"], two["id"]]


def test_every_way_of_equal_worth_has_to_work(plan: Plan) -> None:
    near, group = plan.network("10.0.0.0/24"), plan.group({}, {"direction": "egress", "protocol": "tcp"})
    other = plan.network("10.1.0.0/24")
    router, one = plan.router(near, other, outside=False), plan.server(other)
    pairs = [{"ip_address": "10.9.0.0/16"}]
    hops = [plan.server(near, group, allowed_address_pairs=pairs) for _ in range(2)]
    routes = [{"destination": "10.9.0.0/16", "nexthop": ip(hop)} for hop in hops]
    plan.net.update("router", router["id"], routes=routes)
    assert plan.ask(one, "10.9.0.1")["reachable"]
    plan.net.update("port", hops[1]["id"], allowed_address_pairs=[])
    answer = plan.ask(one, "10.9.0.1")
    assert decided(answer) == (False, "address_pair", hops[1]["id"])
    assert answer["sentence"].endswith("one of several ways of equal worth: others may work.")
    plan.net.update("router", router["id"], routes=routes[1:])
    assert "of equal worth" not in plan.ask(one, "10.9.0.1")["sentence"]


def test_a_router_answers_pings_and_nothing_else(plan: Plan) -> None:
    network = plan.network()
    router, one = plan.router(network), plan.server(network)
    assert plan.ask(one, "10.0.0.1", protocol="icmp")["reachable"]
    assert decided(plan.ask(one, "10.0.0.1")) == (False, "router", router["id"])


def test_groups_on_the_port_of_a_router(plan: Plan) -> None:
    red, blue, group = plan.network(), plan.network("10.1.0.0/24"), plan.group(OPEN)
    router = plan.router(red, blue, outside=False)
    one, two = plan.server(red), plan.server(blue, group)
    [leg] = plan.net.list("ports", f"device_id={router['id']}&network_id={red['id']}")
    guard = plan.group({**OPEN, "port_range_min": 443, "port_range_max": 443}, name="guard")
    plan.net.update("port", leg["id"], security_groups=[guard["id"]])
    assert decided(plan.ask(one, two)) == (False, "security_group", guard["id"])
    rule = plan.net.create("security_group_rule", security_group_id=guard["id"], direction="ingress", **OPEN)
    answer = plan.ask(one, two)
    assert decided(answer) == (True, "security_group_rule", group["rules"][0])
    assert rule["id"] in [hop["rule"]["id"] for hop in answer["hops"] if hop["rule"]]


def test_two_address_scopes_on_one_router(plan: Plan, cloud: Cloud) -> None:
    group, nets, scopes = plan.group(OPEN), [], []
    for n in (1, 2):
        scope = plan.net.create("address_scope", name=f"s{n}", ip_version=4)
        pool = plan.net.create(
            "subnetpool", name=f"p{n}", prefixes=[f"10.{n}.0.0/16"], default_prefixlen=24, address_scope_id=scope["id"]
        )
        network = plan.net.create("network", name=f"n{n}")
        network["subnets"] = [
            plan.net.create("subnet", network_id=network["id"], ip_version=4, subnetpool_id=pool["id"])["id"]
        ]
        nets.append(network)
        scopes.append(scope["id"])
    plan.router(*nets, outside=False)
    one, two = plan.server(nets[0]), plan.server(nets[1], group)
    assert decided(plan.ask(one, two)) == (False, "address_scope", scopes[0])


# Two projects ---------------------------------------------------------------------------------------------------------
def test_what_blocks_on_the_other_side_is_not_told(plan: Plan, cloud: Cloud) -> None:
    stranger = cloud.stranger
    mine, theirs = plan.network(), plan.network(by=stranger)
    group = plan.group(OPEN, by=stranger, name="secret")
    one, target = plan.server(mine), plan.server(theirs, group, by=stranger)
    plan.router(mine), plan.router(theirs, by=stranger)
    floating = plan.floating(target, by=stranger)
    address = floating["floating_ip_address"]
    assert plan.ask(one, address)["reachable"]
    answer = plan.ask(one, address, protocol="tcp", port=22)
    assert (answer["decided_by"]["kind"], answer["sentence"]) == ("other_side", "No: it is blocked on the other side.")
    told = str(answer)
    for secret in (group["id"], target["id"], ip(target), "secret", theirs["id"]):
        assert secret not in told.replace(ip(one), ""), f"{secret} is told"
    whole = plan.ask(one, address, by=cloud.admin, protocol="tcp", port=22)
    assert decided(whole) == (False, "security_group", group["id"])
    assert plan.send(target, one).status_code == 404
    assert plan.send("internet", address).status_code == 400


def test_a_shared_network_joins_projects(plan: Plan, cloud: Cloud) -> None:
    network = plan.network(by=cloud.admin, shared=True)
    group = plan.group(OPEN, by=cloud.stranger)
    one, two = plan.server(network), plan.server(network, group, by=cloud.stranger)
    answer = plan.ask(one, ip(two))
    assert answer["reachable"] and group["rules"][0] not in str(answer)
    assert plan.ask(one, ip(two), by=cloud.admin)["decided_by"]["id"] == group["rules"][0]


# Both versions, servers -----------------------------------------------------------------------------------------------
def test_ipv6_and_servers_with_two_cards(plan: Plan) -> None:
    red, blue = plan.network("10.0.0.0/24", "fd00:1::/64"), plan.network("10.1.0.0/24")
    six = plan.group({**OPEN, "ethertype": "IPv6"})
    one = plan.server(red)
    two = plan.server(red, six, device_id="11111111-2222-3333-4444-555555555555", device_owner="compute:nova")
    plan.server(blue, device_id="11111111-2222-3333-4444-555555555555", device_owner="compute:nova")
    server = {"server_id": "11111111-2222-3333-4444-555555555555"}
    answer = plan.ask(one, server)
    assert decided(answer) == (True, "security_group_rule", six["rules"][0])
    assert answer["packet"]["destination"] == ip(two, 6)
    assert not plan.ask(one, server, **WEB, ethertype="IPv4")["reachable"]


# Wrong input ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "from"),
        ({"from": {"internet": True}, "to": {"internet": True}, **WEB}, "from"),
        ({"from": {}, "to": {"address": "10.0.0.1"}, **WEB}, "from: give exactly one of"),
        ({"from": {"port_id": "PORT", "internet": True}, "to": {"address": "10.0.0.1"}, **WEB}, "exactly one"),
        ({"from": {"port_id": "PORT"}, "to": {"address": "10.0.0"}, **WEB}, "to.address"),
        ({"from": {"port_id": "PORT"}, "to": {"address": "10.0.0.1"}, "protocol": "tcp"}, "port"),
        ({"from": {"port_id": "PORT"}, "to": {"address": "10.0.0.1"}, "protocol": "icmp", "port": 1}, "port"),
        ({"from": {"port_id": "PORT"}, "to": {"address": "10.0.0.1"}, "protocol": "smoke"}, "protocol"),
        ({"from": {"port_id": "PORT"}, "to": {"address": "10.0.0.1"}, "protocol": 256}, "protocol"),
        ({"from": {"port_id": "PORT"}, "to": {"address": "10.0.0.1"}, "protocol": "tcp", "port": 70000}, "port"),
        ({"from": {"port_id": "PORT"}, "to": {"address": "10.0.0.1"}, **WEB, "icmp_type": 8}, "icmp_type"),
        ({"from": {"port_id": "PORT"}, "to": {"address": "10.0.0.1"}, **WEB, "ethertype": "ARP"}, "ethertype"),
        ({"from": {"port_id": "PORT"}, "to": {"address": "10.0.0.1"}, **WEB, "colour": "red"}, "colour"),
        ({"from": {"address": "10.77.0.1"}, "to": {"port_id": "PORT"}, **WEB}, "from.address"),
        ({"from": {"port_id": "PORT"}, "to": {"port_id": "PORT", "mac_address": "fa:16:3e:0:0:0"}, **WEB}, "mac_address"),
    ],
)  # fmt: skip
def test_wrong_questions_are_refused_in_words(plan: Plan, body: Any, says: str) -> None:
    port = plan.server(plan.network())
    text = json.dumps(body).replace("PORT", port["id"])
    reply = plan.cloud.member.post("/wolke/v1/reachability", content=text)
    assert reply.status_code == 400, reply.text
    assert says in reply.json()["error"]["message"]


@pytest.mark.parametrize("side", ["port_id", "server_id", "floatingip_id"])
def test_unknown_things_are_not_found(plan: Plan, side: str) -> None:
    port = plan.server(plan.network())
    assert plan.send({side: "no-such-thing"}, port).status_code == 404
