"""Routers and floating IPs: the API's answers, and the rows that OVN gets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cloud
from tests.network.conftest import BASE, Net
from wolke.network import chassis


@pytest.fixture
def outside(cloud: Cloud, net: Net) -> Any:
    network = net.create(
        "network", by=cloud.admin, name="public",
        **{"router:external": True, "provider:network_type": "flat", "provider:physical_network": "public"},
    )  # fmt: skip
    net.create(
        "subnet", by=cloud.admin, network_id=network["id"], ip_version=4, cidr="198.51.100.0/24", gateway_ip="198.51.100.1",
        enable_dhcp=False,
    )  # fmt: skip
    return network


@pytest.fixture
def inside(net: Net) -> Any:
    network = net.create("network", name="net")
    return net.create("subnet", network_id=network["id"], ip_version=4, cidr="10.0.0.0/24")


def interface(net: Net, router: Any, verb: str, **what: str) -> Any:
    return net.send("PUT", f"routers/{router['id']}/{verb}_router_interface", json=what)


def rows(cloud: Cloud, owner: str) -> dict[str, list[Any]]:
    cloud.settle()
    found: dict[str, list[Any]] = {}
    for row in cloud.north.rows(owner):
        found.setdefault(row.table, []).append(row)
    return found


def test_a_router_joins_a_network_to_the_outside(cloud: Cloud, net: Net, outside: Any, inside: Any) -> None:
    router = net.create("router", name="r", external_gateway_info={"network_id": outside["id"]})
    joined = interface(net, router, "add", subnet_id=inside["id"])
    assert joined.status_code == 200 and joined.json()["subnet_id"] == inside["id"]
    gateway = router["external_gateway_info"]["external_fixed_ips"][0]["ip_address"]
    made = rows(cloud, f"router/{router['id']}")
    [snat] = made["NAT"]
    assert snat.columns["external_ip"] == gateway and snat.columns["logical_ip"] == "10.0.0.0/24"
    [default] = made["Logical_Router_Static_Route"]
    assert default.columns["nexthop"] == "198.51.100.1"
    assert {tuple(sorted(row.columns["networks"])) for row in made["Logical_Router_Port"]} == {
        ("10.0.0.1/24",),
        (f"{gateway}/24",),
    }
    [candidate] = made["HA_Chassis"]
    assert candidate.columns["chassis_name"] == "h1"


def test_more_hosts_become_gateway_candidates(cloud: Cloud, net: Net, outside: Any) -> None:
    router = net.create("router", external_gateway_info={"network_id": outside["id"]})
    cloud.settle()
    cloud.chassis.names = ["h1", "h2", "h3"]
    made = rows(cloud, f"router/{router['id']}")
    assert {row.columns["chassis_name"] for row in made["HA_Chassis"]} == {"h1", "h2", "h3"}
    assert {row.columns["priority"] for row in made["HA_Chassis"]} == {5, 4, 3}


def test_hosts_that_fell_silent_carry_no_gateway(
    cloud: Cloud, net: Net, outside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = {"h1": cloud.now, "h2": cloud.now}
    monkeypatch.setattr(chassis, "heard", [lambda db: last])
    cloud.chassis.names = ["h1", "h2", "unheard"]
    router = net.create("router", external_gateway_info={"network_id": outside["id"]})

    def candidates() -> set[Any]:
        return {row.columns["chassis_name"] for row in rows(cloud, f"router/{router['id']}")["HA_Chassis"]}

    assert candidates() == {"h1", "h2", "unheard"}
    cloud.now += 100
    last["h1"] = cloud.now
    assert candidates() == {"h1", "unheard"}
    last["h2"] = cloud.now
    assert candidates() == {"h1", "h2", "unheard"}
    cloud.chassis.names = ["h1", "h2"]
    cloud.now += 100
    assert candidates() == {"h1", "h2"}, "all are silent: it is we who hear nothing"


def test_a_floating_ip_leads_to_a_port_and_back(cloud: Cloud, net: Net, outside: Any, inside: Any) -> None:
    router = net.create("router", external_gateway_info={"network_id": outside["id"]})
    interface(net, router, "add", subnet_id=inside["id"])
    port = net.create("port", network_id=inside["network_id"])
    floating = net.create("floatingip", floating_network_id=outside["id"], port_id=port["id"])
    assert floating["status"] == "DOWN" and floating["router_id"] == router["id"]
    [nat] = rows(cloud, f"floating_ip/{floating['id']}")["NAT"]
    assert nat.columns["logical_ip"] == port["fixed_ips"][0]["ip_address"] and nat.columns["type"] == "dnat_and_snat"
    assert net.show("floatingip", floating["id"])["status"] == "ACTIVE"
    assert interface(net, router, "remove", subnet_id=inside["id"]).status_code == 409
    assert (
        net.send("PUT", f"routers/{router['id']}", json={"router": {"external_gateway_info": None}}).status_code == 409
    )
    net.delete("port", port["id"])
    shown = net.show("floatingip", floating["id"])
    assert (shown["port_id"], shown["router_id"], shown["status"]) == (None, None, "DOWN")
    assert not rows(cloud, f"floating_ip/{floating['id']}")
    net.delete("floatingip", floating["id"])
    assert interface(net, router, "remove", subnet_id=inside["id"]).status_code == 200
    net.delete("router", router["id"])
    assert not rows(cloud, f"router/{router['id']}")


def test_the_quota_of_floating_ips_holds(cloud: Cloud, net: Net, outside: Any) -> None:
    cloud.admin.put(f"{BASE}/quotas/11111111111111111111111111111111", json={"quota": {"floatingip": 1}})
    net.create("floatingip", floating_network_id=outside["id"])
    answer = net.send("POST", "floatingips", json={"floatingip": {"floating_network_id": outside["id"]}})
    assert answer.status_code == 409 and answer.json()["NeutronError"]["type"] == "OverQuota"


def test_routes_need_a_next_hop_on_the_router(net: Net, inside: Any) -> None:
    router = net.create("router")
    interface(net, router, "add", subnet_id=inside["id"])
    good = [{"destination": "192.168.9.0/24", "nexthop": "10.0.0.9"}]
    assert net.update("router", router["id"], routes=good)["routes"] == good
    assert (
        interface(net, router, "remove", subnet_id=inside["id"]).json()["NeutronError"]["type"]
        == "RouterInterfaceInUseByRoute"
    )
    for bad in ({"destination": "192.168.9.0/24", "nexthop": "10.9.0.9"}, {"destination": "192.168.9.0/24", "nexthop": "10.0.0.1"},
                {"destination": "fd00::/64", "nexthop": "10.0.0.9"}, {"destination": "x", "nexthop": "10.0.0.9"}):  # fmt: skip
        answer = net.send("PUT", f"routers/{router['id']}", json={"router": {"routes": [bad]}})
        assert answer.status_code == 400, answer.text
    assert net.show("router", router["id"])["routes"] == good


MALFORMED: list[tuple[str, str, Any, int, str]] = [
    ("POST", "routers", {"router": {"name": 5}}, 400, "HTTPBadRequest"),
    ("POST", "routers", {"router": {"colour": "red"}}, 400, "HTTPBadRequest"),
    ("POST", "routers", {"router": {"external_gateway_info": {"network_id": "nowhere"}}}, 404, "NetworkNotFound"),
    ("POST", "routers", {"router": {"external_gateway_info": {"network_id": "{net}"}}}, 400, "HTTPBadRequest"),
    ("POST", "routers", {"router": {"external_gateway_info": {"network_id": "{out}", "enable_snat": False}}}, 403, "PolicyNotAuthorized"),
    ("POST", "routers", {"router": {"distributed": True}}, 403, "PolicyNotAuthorized"),
    ("PUT", "routers/{router}", {"router": {"routes": "all"}}, 400, "HTTPBadRequest"),
    ("PUT", "routers/nowhere", {"router": {"name": "x"}}, 404, "RouterNotFound"),
    ("PUT", "routers/{router}/add_router_interface", {}, 400, "HTTPBadRequest"),
    ("PUT", "routers/{router}/add_router_interface", {"subnet_id": "{sub}", "port_id": "x"}, 400, "HTTPBadRequest"),
    ("PUT", "routers/{router}/add_router_interface", {"subnet_id": "nowhere"}, 404, "SubnetNotFound"),
    ("PUT", "routers/{router}/add_router_interface", {"port_id": "nowhere"}, 404, "PortNotFound"),
    ("PUT", "routers/{router}/remove_router_interface", {"subnet_id": "{sub}"}, 404, "RouterInterfaceNotFoundForSubnet"),
    ("PUT", "routers/{router}/remove_router_interface", {"port_id": "nowhere"}, 404, "RouterInterfaceNotFound"),
    ("PUT", "routers/{router}/remove_router_interface", {}, 400, "HTTPBadRequest"),
    ("DELETE", "routers/nowhere", None, 404, "RouterNotFound"),
    ("POST", "floatingips", {"floatingip": {}}, 400, "HTTPBadRequest"),
    ("POST", "floatingips", {"floatingip": {"floating_network_id": "nowhere"}}, 404, "NetworkNotFound"),
    ("POST", "floatingips", {"floatingip": {"floating_network_id": "{net}"}}, 400, "HTTPBadRequest"),
    ("POST", "floatingips", {"floatingip": {"floating_network_id": "{out}", "port_id": "nowhere"}}, 404, "PortNotFound"),
    (
        "POST", "floatingips", {"floatingip": {"floating_network_id": "{out}", "port_id": "{port}"}}, 404,
        "ExternalGatewayForFloatingIPNotFound",
    ),
    (
        "POST", "floatingips", {"floatingip": {"floating_network_id": "{out}", "floating_ip_address": "198.51.100.9"}}, 403,
        "PolicyNotAuthorized",
    ),
    ("POST", "floatingips", {"floatingip": {"floating_network_id": "{out}", "fixed_ip_address": "10.0.0.5"}}, 400, "HTTPBadRequest"),
    ("PUT", "floatingips/nowhere", {"floatingip": {"port_id": None}}, 404, "FloatingIPNotFound"),
    ("POST", "security-groups", {"security_group": {"name": "default"}}, 409, "SecurityGroupDefaultAlreadyExists"),
    ("POST", "security-groups", {"security_group": {"name": "x" * 256}}, 400, "HTTPBadRequest"),
    ("DELETE", "security-groups/{default}", None, 409, "SecurityGroupCannotRemoveDefault"),
    ("PUT", "security-groups/{default}", {"security_group": {"name": "other"}}, 409, "SecurityGroupCannotUpdateDefault"),
    ("POST", "security-group-rules", {"security_group_rule": {"direction": "ingress"}}, 400, "HTTPBadRequest"),
    *[
        (
            "POST", "security-group-rules",
            {"security_group_rule": {"security_group_id": "{default}", "direction": "ingress", **rule}}, status, kind,
        )
        for rule, status, kind in [
            ({"direction": "sideways"}, 400, "HTTPBadRequest"),
            ({"security_group_id": "nowhere"}, 404, "SecurityGroupNotFound"),
            ({"ethertype": "IPX"}, 400, "SecurityGroupRuleInvalidEtherType"),
            ({"protocol": "tpc"}, 400, "SecurityGroupRuleInvalidProtocol"),
            ({"protocol": "300"}, 400, "SecurityGroupRuleInvalidProtocol"),
            ({"protocol": "icmpv6"}, 400, "SecurityGroupEthertypeConflictWithProtocol"),
            ({"port_range_min": 80, "port_range_max": 80}, 400, "SecurityGroupProtocolRequiredWithPorts"),
            ({"protocol": "tcp", "port_range_min": 80}, 400, "SecurityGroupInvalidPortRange"),
            ({"protocol": "tcp", "port_range_min": 90, "port_range_max": 80}, 400, "SecurityGroupInvalidPortRange"),
            ({"protocol": "tcp", "port_range_min": 0, "port_range_max": 80}, 400, "SecurityGroupInvalidPortValue"),
            ({"protocol": "udp", "port_range_min": 1, "port_range_max": 65536}, 400, "SecurityGroupInvalidPortValue"),
            ({"protocol": "icmp", "port_range_min": 256}, 400, "SecurityGroupInvalidIcmpValue"),
            ({"protocol": "icmp", "port_range_max": 1}, 400, "SecurityGroupMissingIcmpType"),
            ({"protocol": "gre", "port_range_min": 1, "port_range_max": 1}, 400, "SecurityGroupInvalidProtocolForPort"),
            ({"remote_ip_prefix": "10.0.0.0/33"}, 400, "InvalidInput"),
            ({"remote_ip_prefix": "fd00::/8"}, 400, "SecurityGroupRuleParameterConflict"),
            ({"remote_ip_prefix": "10.0.0.0/8", "remote_group_id": "{default}"}, 400, "SecurityGroupMultipleRemoteEntites"),
            ({"remote_group_id": "nowhere"}, 404, "SecurityGroupNotFound"),
            ({"remote_group_id": "{default}"}, 409, "SecurityGroupRuleExists"),
        ]
    ],
]  # fmt: skip


def filled(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: filled(inner, names) for key, inner in value.items()}
    if isinstance(value, str) and value.startswith("{"):
        return names[value[1:-1]]
    return value


@pytest.mark.parametrize(("method", "path", "body", "status", "kind"), MALFORMED)
def test_bad_requests_are_answered_and_change_nothing(
    cloud: Cloud, net: Net, outside: Any, inside: Any, method: str, path: str, body: Any, status: int, kind: str
) -> None:
    [default] = [
        one for one in net.send("GET", "security-groups").json()["security_groups"] if one["name"] == "default"
    ]
    names = {
        "net": inside["network_id"], "sub": inside["id"], "out": outside["id"], "router": net.create("router")["id"],
        "port": net.create("port", network_id=inside["network_id"])["id"], "default": default["id"],
    }  # fmt: skip
    lists = ("routers", "floatingips", "ports", "security-groups")
    before = [net.send("GET", name, by=cloud.admin).json() for name in lists]
    answer = net.send(method, path.format(**names), json=filled(body, names))
    assert answer.status_code == status, answer.text
    assert answer.json()["NeutronError"]["type"] == kind, answer.text
    assert [net.send("GET", name, by=cloud.admin).json() for name in lists] == before


def test_an_interface_keeps_its_ipv4_addresses(cloud: Cloud, net: Net, outside: Any, inside: Any) -> None:
    router = net.create("router", external_gateway_info={"network_id": outside["id"]})
    port_id = interface(net, router, "add", subnet_id=inside["id"]).json()["port_id"]
    kept = {"subnet_id": inside["id"], "ip_address": "10.0.0.1"}
    assert net.update("port", port_id, fixed_ips=[{"subnet_id": inside["id"]}])["fixed_ips"] == [kept]
    more = net.create("subnet", network_id=inside["network_id"], ip_version=4, cidr="10.1.0.0/24")
    second, sixth = {"subnet_id": more["id"]}, {"ip_address": "fd00::1"}
    for wanted in ([], [{"ip_address": "10.0.0.9"}], [kept, second], [second]):
        said = net.refused(
            "PUT", f"ports/{port_id}", 400, "IPAddressChangeNotAllowed", json={"port": {"fixed_ips": wanted}}
        )
        assert said == f"IP updates for port {port_id} are not allowed"
    net.create("subnet", network_id=inside["network_id"], ip_version=6, cidr="fd00::/64")
    given = net.update("port", port_id, fixed_ips=[kept, sixth])["fixed_ips"]
    assert [one["ip_address"] for one in given] == ["10.0.0.1", "fd00::1"]
    [gateway] = net.list("ports", f"device_id={router['id']}&device_owner=network:router_gateway", by=cloud.admin)
    moved = [{"ip_address": "198.51.100.77"}]
    assert (
        net.update("port", gateway["id"], by=cloud.admin, fixed_ips=moved)["fixed_ips"][0]["ip_address"]
        == "198.51.100.77"
    )
