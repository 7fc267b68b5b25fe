"""The doorman's calls: what the operator may say, what a project sees, and what OVN is told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import BLUE, RED, Cloud
from tests.network.conftest import Net
from tests.network.doorman import SMTP, V1, Doorman
from tests.network.zones import VLAN, Zones


# What a cloud starts with, and what OVN is told ---------------------------------------------------------------------
def test_a_new_cloud_shuts_smtp_inwards(door: Doorman, public: Any) -> None:
    assert [rule["name"] for rule in door.rules()] == ["smtp"]
    assert door.drops(public) == {"to-lport": SMTP, "from-lport": []}


def test_the_door_stands_where_a_network_is_not_one_projects_alone(
    door: Doorman, net: Net, cloud: Cloud, public: Any
) -> None:
    mine = net.network()
    net.subnet(mine)
    inner = net.port(mine)
    router = net.create("router", external_gateway_info={"network_id": public["id"]})
    net.send(
        "PUT",
        f"routers/{router['id']}/add_router_interface",
        json={"subnet_id": net.list("subnets", f"network_id={mine['id']}")[0]["id"]},
    )
    [gateway] = net.list("ports", f"device_id={router['id']}&device_owner=network:router_gateway", by=cloud.admin)
    direct = net.port(public, by=cloud.admin, port_security_enabled=False)
    assert door.members(public) == {gateway["id"], direct["id"]}, "with port security off, too"
    assert door.members(mine) == set() and door.drops(mine)["to-lport"] == []
    policy = {"object_type": "network", "object_id": mine["id"], "action": "access_as_shared", "target_tenant": BLUE}
    shared = net.send("POST", "rbac-policies", json={"rbac_policy": policy}).json()["rbac_policy"]
    assert door.members(mine) == {inner["id"]} and door.drops(mine)["to-lport"] == SMTP
    trusted = net.port(mine, device_owner="network:dhcp")
    assert door.members(mine) == {inner["id"], trusted["id"]}, "whatever a port is called"
    net.delete("port", trusted["id"])
    net.send("DELETE", f"rbac-policies/{shared['id']}")
    assert door.members(mine) == set() and door.drops(mine)["to-lport"] == []


def test_a_network_that_is_stretched_over_a_zone_has_a_door(door: Doorman, net: Net, cloud: Cloud) -> None:
    zones = Zones(cloud, net)
    zone, mine = zones.make(**VLAN), net.network()
    grant = zones.grant(zone, level="create")
    net.subnet(mine)
    port = net.port(mine)
    body = {"stretch": {"network_id": mine["id"]}}
    path = f"/wolke/v1/zones/{zone['id']}/stretches"

    def stands() -> bool:
        assert door.members(mine) == ({port["id"]} if door.drops(mine)["to-lport"] else set())
        ways = cloud.member.get("/wolke/v1/edge?counters=false").json()["edge"]
        assert [way["kind"] for way in ways] == (["direct_port"] if door.members(mine) else [])
        return bool(door.members(mine))

    assert not stands()
    assert cloud.member.post(path, json=body).status_code == 201
    assert stands()
    assert cloud.member.delete(f"{path}/{mine['id']}").status_code == 204
    assert not stands()
    assert cloud.member.post(path, json=body).status_code == 201
    assert stands()
    assert zones.revoke(grant)["stretches_removed"] == [mine["id"]]
    assert not stands()


def test_a_router_s_inner_port_on_a_provider_network_has_a_door_for_what_is_behind_it(
    door: Doorman, net: Net, public: Any, cloud: Cloud
) -> None:
    inside = net.network()
    subnet = net.subnet(inside, "10.5.0.0/24")
    router = net.create("router")
    interface = f"routers/{router['id']}/add_router_interface"
    net.send("PUT", interface, json={"subnet_id": subnet["id"]})
    outer = net.port(public, by=cloud.admin)
    assert net.send("PUT", interface, by=cloud.admin, json={"port_id": outer["id"]}).status_code == 200
    routes = [
        {"destination": "10.6.0.0/24", "nexthop": "10.5.0.9"},
        {"destination": "0.0.0.0/0", "nexthop": "198.51.100.1"},
    ]
    net.update("router", router["id"], routes=routes, by=cloud.admin)
    cloud.settle()
    place = ("Logical_Switch", public["id"], "acls")
    found = [
        row
        for row in cloud.north.rows("door/policy")
        if place in row.parents and row.columns["name"] == door.smtp()["id"]
    ]
    assert [(row.columns["direction"], row.columns["match"]) for row in found] == [
        (
            "to-lport",
            f'outport == "{outer["id"]}" && ip4 && ip4.dst == {{10.5.0.0/24, 10.6.0.0/24}} && tcp && tcp.dst == 25',
        )
    ]
    net.update("router", router["id"], routes=[], by=cloud.admin)
    net.send("PUT", interface.replace("add", "remove"), by=cloud.admin, json={"port_id": outer["id"]})
    cloud.settle()
    assert not [row for row in cloud.north.rows("door/policy") if place in row.parents]


def test_earlier_allows_are_subtracted_not_allowed(door: Doorman, public: Any) -> None:
    door.rule(action="allow", position=1, ethertype="IPv4", protocol="tcp", remote_ip_prefixes=["128.0.0.0/1"])
    assert door.drops(public)["to-lport"] == ["ip4 && ip4.src == 0.0.0.0/1 && tcp && tcp.dst == 25", SMTP[1]]


def test_long_lists_become_address_sets(door: Doorman, public: Any, cloud: Cloud) -> None:
    far = [f"10.{n}.0.0/24" for n in range(20)]
    door.rule(
        protocol="udp",
        ethertype="IPv4",
        port_range_min=53,
        port_range_max=53,
        remote_ip_prefixes=far,
        local_ip_prefixes=["198.51.100.0/25"],
    )
    door.drops(public)
    [held] = [row for row in cloud.north.rows("door/policy") if row.table == "Address_Set"]
    assert held.columns["addresses"] == set(far)
    [text] = [text for text in door.drops(public)["to-lport"] if "udp" in text]
    assert text == f"ip4 && ip4.src == ${held.key} && ip4.dst == 198.51.100.0/25 && udp && udp.dst == 53"


def test_rules_are_moved_and_counted_anew(door: Doorman, cloud: Cloud) -> None:
    for name in "abc":
        door.rule(name=name, position=2)
    assert [(rule["name"], rule["position"]) for rule in door.rules()] == [("smtp", 1), ("c", 2), ("b", 3), ("a", 4)]
    [a] = [rule for rule in door.rules() if rule["name"] == "a"]
    moved = cloud.admin.put(f"{V1}/rules/{a['id']}", json={"doorman_rule": {"position": 1}}).json()["doorman_rule"]
    assert moved["position"] == 1 and [rule["name"] for rule in door.rules()] == ["a", "smtp", "c", "b"]
    assert cloud.admin.delete(f"{V1}/rules/{door.smtp()['id']}").status_code == 204
    assert [(rule["name"], rule["position"]) for rule in door.rules()] == [("a", 1), ("c", 2), ("b", 3)]


def test_a_rule_that_is_off_has_no_effect(door: Doorman, public: Any, cloud: Cloud) -> None:
    cloud.admin.put(f"{V1}/rules/{door.smtp()['id']}", json={"doorman_rule": {"enabled": False}})
    assert door.drops(public)["to-lport"] == []


def test_an_opened_cloud_is_not_shut_again(door: Doorman, public: Any, cloud: Cloud) -> None:
    from wolke import cloud as control

    cloud.admin.delete(f"{V1}/rules/{door.smtp()['id']}")
    control.bootstrap(cloud.app)
    assert door.rules() == []


def test_a_rule_for_a_pool_follows_its_prefixes(door: Doorman, net: Net, public: Any, cloud: Cloud) -> None:
    pool = net.create("subnetpool", name="p", prefixes=["192.0.2.0/25"], default_prefixlen=26, by=cloud.admin)
    door.rule(protocol="udp", port_range_min=53, port_range_max=53, subnetpool_id=pool["id"])
    udp = [text for text in door.drops(public)["to-lport"] if "udp" in text]
    assert udp == ["ip4 && ip4.dst == 192.0.2.0/25 && udp && udp.dst == 53"]
    net.update("subnetpool", pool["id"], prefixes=["192.0.2.0/24"], by=cloud.admin)
    udp = [text for text in door.drops(public)["to-lport"] if "udp" in text]
    assert udp == ["ip4 && ip4.dst == 192.0.2.0/24 && udp && udp.dst == 53"]


# Who may do what ----------------------------------------------------------------------------------------------------
def test_no_project_reaches_the_rules(door: Doorman, cloud: Cloud) -> None:
    rule = door.smtp()
    new = {"doorman_rule": {"action": "allow", "direction": "ingress"}}
    for api in (cloud.member, cloud.reader, cloud.stranger):
        assert api.get(f"{V1}/rules").status_code == 403
        assert api.get(f"{V1}/rules/{rule['id']}").status_code in (403, 404)
        assert api.post(f"{V1}/rules", json=new).status_code == 403
        assert api.put(f"{V1}/rules/{rule['id']}", json={"doorman_rule": {"enabled": False}}).status_code in (403, 404)
        assert api.delete(f"{V1}/rules/{rule['id']}").status_code in (403, 404)
        body = {"rule_id": rule["id"], "reason": "me", "expires_at": "2099-01-01T00:00:00Z", "project_id": RED}
        assert api.post(f"{V1}/exceptions", json={"doorman_exception": body}).status_code == 403
    assert [one["name"] for one in door.rules()] == ["smtp"]


def test_a_project_sees_the_exceptions_that_concern_it(door: Doorman, cloud: Cloud) -> None:
    mine = door.exception(door.smtp(), project_id=RED)
    door.exception(door.smtp(), local_ip_prefix="198.51.100.7/32")
    assert [one["id"] for one in cloud.member.get(f"{V1}/exceptions").json()["doorman_exceptions"]] == [mine["id"]]
    assert cloud.stranger.get(f"{V1}/exceptions").json()["doorman_exceptions"] == []
    assert cloud.member.delete(f"{V1}/exceptions/{mine['id']}").status_code == 403


# What is refused ----------------------------------------------------------------------------------------------------
BAD_RULES: list[tuple[dict[str, Any], str]] = [
    ({"action": "drop"}, "action"),
    ({"action": None}, "action"),
    ({"direction": "inbound"}, "direction"),
    ({"direction": 1}, "direction"),
    ({"ethertype": "IPv5"}, "ethertype"),
    ({"protocol": "tcpp"}, "protocol"),
    ({"protocol": 256}, "protocol"),
    ({"protocol": "-1"}, "protocol"),
    ({"protocol": "icmpv6", "ethertype": "IPv4"}, "protocol"),
    ({"port_range_min": 25, "port_range_max": 25}, "port_range_min"),
    ({"protocol": "tcp", "port_range_min": 25}, "port_range_max"),
    ({"protocol": "tcp", "port_range_max": 25}, "port_range_min"),
    ({"protocol": "tcp", "port_range_min": 0, "port_range_max": 25}, "port_range_min"),
    ({"protocol": "tcp", "port_range_min": 25, "port_range_max": 65536}, "port_range_max"),
    ({"protocol": "tcp", "port_range_min": 26, "port_range_max": 25}, "port_range_min"),
    ({"protocol": "tcp", "port_range_min": "smtp", "port_range_max": 25}, "port_range_min"),
    ({"protocol": "udp", "source_port_range_min": 53}, "source_port_range_max"),
    ({"protocol": "udp", "source_port_range_min": 54, "source_port_range_max": 53}, "source_port_range_min"),
    ({"protocol": "gre", "port_range_min": 1, "port_range_max": 2}, "port_range_min"),
    ({"protocol": "udplite", "port_range_min": 1, "port_range_max": 2}, "port_range_min"),
    ({"protocol": "icmp", "port_range_min": 8}, "ethertype"),
    ({"protocol": "icmp", "ethertype": "IPv4", "port_range_min": 256}, "port_range_min"),
    ({"protocol": "icmp", "ethertype": "IPv4", "port_range_max": 0}, "port_range_min"),
    (
        {"protocol": "icmp", "ethertype": "IPv4", "port_range_min": 8, "source_port_range_min": 1},
        "source_port_range_min",
    ),
    ({"protocol": "icmpv6", "ethertype": "IPv6", "port_range_min": 135}, "port_range_min"),
    ({"remote_ip_prefixes": ["everywhere"]}, "remote_ip_prefixes"),
    ({"remote_ip_prefixes": "10.0.0.0/8"}, "remote_ip_prefixes"),
    ({"remote_ip_prefixes": ["10.0.0.0/33"]}, "remote_ip_prefixes"),
    ({"local_ip_prefixes": [""]}, "local_ip_prefixes"),
    ({"local_ip_prefixes": [7]}, "local_ip_prefixes"),
    ({"ethertype": "IPv4", "local_ip_prefixes": ["2001:db8::/32"]}, "local_ip_prefixes"),
    ({"remote_ip_prefixes": ["10.0.0.0/8"], "local_ip_prefixes": ["2001:db8::/32"]}, "local_ip_prefixes"),
    ({"network_id": "nowhere"}, "network_id"),
    ({"network_id": ""}, "network_id"),
    ({"subnetpool_id": "none"}, "subnetpool_id"),
    ({"position": 0}, "position"),
    ({"position": "first"}, "position"),
    ({"name": "x" * 256}, "name"),
    ({"project_id": RED}, "project_id"),
    ({"enabled": "maybe"}, "enabled"),
]


@pytest.mark.parametrize(("body", "field"), BAD_RULES, ids=[str(body) for body, _ in BAD_RULES])
def test_wrong_rules_are_refused_by_their_field(door: Doorman, cloud: Cloud, body: dict[str, Any], field: str) -> None:
    before = door.rules()
    whole = {"action": "deny", "direction": "ingress", **body}
    answer = cloud.admin.post(f"{V1}/rules", json={"doorman_rule": whole})
    assert answer.status_code == 400 and field in answer.json()["error"]["message"], answer.text
    if field not in ("project_id",):
        answer = cloud.admin.put(f"{V1}/rules/{before[0]['id']}", json={"doorman_rule": {**AS_NEW, **body}})
        assert answer.status_code == 400 and field in answer.json()["error"]["message"], answer.text
    assert door.rules() == before


AS_NEW = {"protocol": None, "port_range_min": None, "port_range_max": None}
BAD_EXCEPTIONS: list[tuple[dict[str, Any], int, str]] = [
    ({}, 400, "project_id"),
    ({"project_id": RED, "local_ip_prefix": "198.51.100.7/32"}, 400, "project_id"),
    ({"project_id": RED, "rule_id": "none"}, 404, "none"),
    ({"project_id": RED, "reason": ""}, 400, "reason"),
    ({"project_id": RED, "reason": None}, 400, "reason"),
    ({"project_id": RED, "expires_at": "tomorrow"}, 400, "expires_at"),
    ({"project_id": RED, "expires_at": "2001-01-01T00:00:00Z"}, 400, "expires_at"),
    ({"project_id": RED, "expires_at": None}, 400, "expires_at"),
    ({"project_id": RED, "remote_ip_prefix": "x"}, 400, "remote_ip_prefix"),
    ({"local_ip_prefix": "198.51.100.300"}, 400, "local_ip_prefix"),
    ({"floatingip_id": "none"}, 400, "floatingip_id"),
    ({"project_id": RED, "action": "allow"}, 400, "action"),
]


@pytest.mark.parametrize(("body", "status", "field"), BAD_EXCEPTIONS, ids=[str(body) for body, _, _ in BAD_EXCEPTIONS])
def test_wrong_exceptions_are_refused(
    door: Doorman, cloud: Cloud, body: dict[str, Any], status: int, field: str
) -> None:
    whole = {"rule_id": door.smtp()["id"], "reason": "agreed", "expires_at": "2099-01-01T00:00:00Z", **body}
    answer = cloud.admin.post(f"{V1}/exceptions", json={"doorman_exception": whole})
    assert answer.status_code == status and field in answer.json()["error"]["message"], answer.text
    assert cloud.admin.get(f"{V1}/exceptions").json()["doorman_exceptions"] == []


def test_a_missing_field_and_an_unknown_filter_are_named(door: Doorman, cloud: Cloud) -> None:
    answer = cloud.admin.post(f"{V1}/rules", json={"doorman_rule": {"action": "deny"}})
    assert answer.status_code == 400 and "direction" in answer.json()["error"]["message"]
    assert cloud.admin.get(f"{V1}/rules?colour=red").status_code == 400
    assert cloud.admin.get(f"{V1}/rules/none").status_code == 404
    assert cloud.admin.put(f"{V1}/rules/none", json={"doorman_rule": {}}).status_code == 404
