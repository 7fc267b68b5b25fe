"""NDP proxies: IPv6 addresses behind a router that it answers for outside."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cloud
from tests.network.conftest import Net
from tests.network.test_routers import interface, outside, rows
from wolke.network.ports.table import Port

__all__ = ["outside"]


@pytest.fixture
def pool(cloud: Cloud, net: Net) -> Any:
    scope = net.create("address_scope", by=cloud.admin, name="world", ip_version=6, shared=True)
    return net.create(
        "subnetpool", by=cloud.admin, name="world", prefixes=["2001:db8:100::/48"], default_prefixlen=64, shared=True,
        address_scope_id=scope["id"],
    )  # fmt: skip


@pytest.fixture
def router(cloud: Cloud, net: Net, outside: Any, pool: Any) -> Any:
    net.create(
        "subnet", by=cloud.admin, network_id=outside["id"], ip_version=6, subnetpool_id=pool["id"], enable_dhcp=False
    )  # fmt: skip
    return net.create("router", external_gateway_info={"network_id": outside["id"]}, enable_ndp_proxy=True)


@pytest.fixture
def port(net: Net, pool: Any, router: Any) -> Any:
    network = net.create("network")
    subnet = net.create("subnet", network_id=network["id"], ip_version=6, subnetpool_id=pool["id"])
    assert interface(net, router, "add", subnet_id=subnet["id"]).status_code == 200
    return net.create("port", network_id=network["id"])


def proxy(net: Net, **body: Any) -> Any:
    answer = net.send("POST", "ndp_proxies", json={"ndp_proxy": body})
    assert answer.status_code == 201, answer.text
    return answer.json()["ndp_proxy"]


def test_a_router_answers_for_an_address_behind_it(cloud: Cloud, net: Net, router: Any, port: Any) -> None:
    assert router["enable_ndp_proxy"] is True
    made = proxy(net, router_id=router["id"], port_id=port["id"], name="web")
    address = port["fixed_ips"][0]["ip_address"]
    assert made["ip_address"] == address
    [row] = rows(cloud, f"ndp_proxy/{made['id']}")["NAT"]
    assert row.columns["external_ip"] == row.columns["logical_ip"] == address
    assert row.columns["logical_port"] == port["id"] and row.columns["options"] == {"stateless": "true"}
    assert (
        net.send("PUT", f"ndp_proxies/{made['id']}", json={"ndp_proxy": {"name": "x"}}).json()["ndp_proxy"]["name"]
        == "x"
    )
    twin = {"ndp_proxy": {"router_id": router["id"], "port_id": port["id"]}}
    assert net.send("POST", "ndp_proxies", json=twin).status_code == 409
    clear = {"router": {"external_gateway_info": None}}
    net.refused("PUT", f"routers/{router['id']}", 409, "RouterGatewayInUseByNDPProxy", json=clear)
    off = {"router": {"enable_ndp_proxy": False}}
    net.refused("PUT", f"routers/{router['id']}", 409, "RouterGatewayInUseByNDPProxy", json=off)
    leaving = interface(net, router, "remove", subnet_id=port["fixed_ips"][0]["subnet_id"])
    assert (leaving.status_code, leaving.json()["NeutronError"]["type"]) == (409, "RouterInterfaceInUseByNDPProxy")
    net.delete("port", port["id"])
    assert not rows(cloud, f"ndp_proxy/{made['id']}") and net.list("ndp_proxies") == []
    assert net.update("router", router["id"], external_gateway_info=None)["enable_ndp_proxy"] is False


def test_what_it_answers_for_is_in_a_prefix_that_the_world_and_the_edge_know(
    cloud: Cloud, net: Net, outside: Any, router: Any, port: Any
) -> None:
    """An address may be answered for within its scope only, and what is of the gateway's scope is published: no way of its own."""
    proxy(net, router_id=router["id"], port_id=port["id"])
    [group] = net.list("security-groups")
    rule = {"direction": "ingress", "ethertype": "IPv6", "protocol": "tcp", "port_range_min": 80, "port_range_max": 80}
    opened = net.create("security_group_rule", security_group_id=group["id"], **rule)
    cloud.settle()
    with cloud.app.database.transaction() as db:
        for row in db.query(Port):
            row.seen_up = True
    question = {"from": {"internet": True}, "to": {"port_id": port["id"]}, "protocol": "tcp", "port": 80}
    answer = cloud.member.post("/wolke/v1/reachability", json=question).json()["reachability"]
    assert (answer["reachable"], answer["decided_by"]["id"]) == (True, opened["id"]), answer
    [way] = cloud.member.get("/wolke/v1/edge?kind=routed_prefix").json()["edge"]
    assert way["published"] and [(one["protocol"], one["port_min"]) for one in way["open"]] == [("tcp", 80)], way


def test_only_for_addresses_of_the_outside_s_own_scope(cloud: Cloud, net: Net, router: Any) -> None:
    """Nobody's router answers for an address that its operator has not given out."""
    network = net.create("network")
    subnet = net.create("subnet", network_id=network["id"], ip_version=6, cidr="2001:db8:666::/64")
    interface(net, router, "add", subnet_id=subnet["id"])
    port = net.create("port", network_id=network["id"])
    body = {"ndp_proxy": {"router_id": router["id"], "port_id": port["id"]}}
    net.refused("POST", "ndp_proxies", 409, "AddressScopeConflict", json=body)


def test_a_gateway_without_a_scope_answers_for_nothing(cloud: Cloud, net: Net, outside: Any) -> None:
    net.create(
        "subnet", by=cloud.admin, network_id=outside["id"], ip_version=6, cidr="2001:db8::/64", enable_dhcp=False
    )
    body = {"router": {"external_gateway_info": {"network_id": outside["id"]}, "enable_ndp_proxy": True}}
    net.refused("POST", "routers", 409, "RouterGatewayNotValid", json=body)
    net.refused("POST", "routers", 409, "RouterGatewayNotValid", json={"router": {"enable_ndp_proxy": True}})
    assert net.list("routers") == []


def test_bad_proxies(cloud: Cloud, net: Net, router: Any, port: Any) -> None:
    apart = net.create("network")
    net.create("subnet", network_id=apart["id"], ip_version=6, cidr="fd00:9::/64")
    lonely, plain = net.port(apart), net.create("router")
    four = net.create("network")
    net.create("subnet", network_id=four["id"], ip_version=4, cidr="10.0.0.0/24")
    good = {"router_id": router["id"], "port_id": port["id"]}
    for change, status, kind in (
        ({"router_id": "nowhere"}, 404, "RouterNotFound"), ({"port_id": "nowhere"}, 404, "PortNotFound"),
        ({"router_id": plain["id"]}, 409, "RouterNDPProxyNotEnable"), ({"port_id": lonely["id"]}, 409, "PortUnreachableRouter"),
        ({"port_id": net.port(four)["id"]}, 400, "HTTPBadRequest"), ({"ip_address": "2001:db8::9"}, 400, "InvalidAddress"),
        ({"ip_address": "x"}, 400, "HTTPBadRequest"), ({"ip_address": 5}, 400, "HTTPBadRequest"),
        ({"colour": "red"}, 400, "HTTPBadRequest"),
        ({"port_id": lonely["id"], "ip_address": lonely["fixed_ips"][0]["ip_address"]}, 400, "InvalidAddress"),
    ):  # fmt: skip
        net.refused("POST", "ndp_proxies", status, kind, json={"ndp_proxy": good | change})
    assert net.list("ndp_proxies") == []
    net.refused("GET", "ndp_proxies/nowhere", 404, "NDPProxyNotFound")
