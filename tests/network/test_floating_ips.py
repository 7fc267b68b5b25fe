"""Floating IPs and gateways when what they stand on changes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cloud
from tests.network.conftest import Net
from tests.network.test_routers import inside, interface, outside, rows

__all__ = ["inside", "outside"]


@pytest.fixture
def router(net: Net, outside: Any, inside: Any) -> Any:
    router = net.create("router", external_gateway_info={"network_id": outside["id"]})
    assert interface(net, router, "add", subnet_id=inside["id"]).status_code == 200
    return router


@pytest.fixture
def floating(net: Net, outside: Any, inside: Any, router: Any) -> Any:
    port = net.create("port", network_id=inside["network_id"])
    return net.create("floatingip", floating_network_id=outside["id"], port_id=port["id"], description="shop")


def nat(cloud: Cloud, floating: Any) -> list[tuple[str, str]]:
    """(inner address, logical port) of a floating IP's NAT rule."""
    found = rows(cloud, f"floating_ip/{floating['id']}").get("NAT", [])
    return [(str(row.columns["logical_ip"]), str(row.columns["logical_port"])) for row in found]


def test_it_moves_to_another_port_in_one_call(cloud: Cloud, net: Net, inside: Any, floating: Any) -> None:
    other = net.create("port", network_id=inside["network_id"])
    shown = net.update("floatingip", floating["id"], port_id=other["id"])
    address = other["fixed_ips"][0]["ip_address"]
    assert (shown["port_id"], shown["fixed_ip_address"], shown["port_details"]["mac_address"]) == (
        other["id"],
        address,
        other["mac_address"],
    )
    assert nat(cloud, floating) == [(address, other["id"])]
    assert net.update("floatingip", floating["id"], description="x")["port_id"] == other["id"]
    assert net.update("floatingip", floating["id"], port_id=None)["router_id"] is None
    assert nat(cloud, floating) == []


def test_it_leads_nowhere_once_its_port_has_given_up_the_address(
    cloud: Cloud, net: Net, inside: Any, floating: Any
) -> None:
    assert len(nat(cloud, floating)) == 1
    other = "10.0.0.200"
    net.update("port", floating["port_id"], fixed_ips=[{"ip_address": other}], by=cloud.admin)
    assert net.show("floatingip", floating["id"])["port_id"] is None
    assert nat(cloud, floating) == []


def test_one_of_several_addresses_must_be_named(cloud: Cloud, net: Net, outside: Any, inside: Any, router: Any) -> None:
    two = [{"ip_address": "10.0.0.50"}, {"ip_address": "10.0.0.51"}]
    port = net.create("port", network_id=inside["network_id"], fixed_ips=two)
    floating = net.create("floatingip", floating_network_id=outside["id"])
    body = {"floatingip": {"port_id": port["id"]}}
    assert "multiple fixed IPv4" in net.refused(
        "PUT", f"floatingips/{floating['id']}", 400, "HTTPBadRequest", json=body
    )
    net.update("floatingip", floating["id"], port_id=port["id"], fixed_ip_address="10.0.0.51")
    assert nat(cloud, floating) == [("10.0.0.51", port["id"])]
    net.update("floatingip", floating["id"], fixed_ip_address="10.0.0.50")
    assert nat(cloud, floating) == [("10.0.0.50", port["id"])]
    again = {
        "floatingip": {"floating_network_id": outside["id"], "port_id": port["id"], "fixed_ip_address": "10.0.0.50"}
    }
    net.refused("POST", "floatingips", 409, "FloatingIPPortAlreadyAssociated", json=again)


def test_filters(cloud: Cloud, net: Net, floating: Any) -> None:
    cloud.settle()
    for query in (
        f"floating_ip_address={floating['floating_ip_address']}", f"fixed_ip_address={floating['fixed_ip_address']}",
        f"port_id={floating['port_id']}", f"router_id={floating['router_id']}", "status=ACTIVE", "description=shop",
    ):  # fmt: skip
        assert [one["id"] for one in net.list("floatingips", query)] == [floating["id"]], query
    assert net.list("floatingips", "status=DOWN") == []
    net.refused("GET", "floatingips?floating_port_id=x", 400, "HTTPBadRequest")


def test_an_idle_one_goes_with_its_network_and_one_in_use_keeps_it(
    cloud: Cloud, net: Net, outside: Any, router: Any, floating: Any
) -> None:
    idle = net.create("floatingip", floating_network_id=outside["id"])
    net.refused("DELETE", f"networks/{outside['id']}", 409, "NetworkInUse", by=cloud.admin)
    assert net.show("floatingip", idle["id"])["id"] == idle["id"]
    net.delete("floatingip", floating["id"])
    net.update("router", router["id"], external_gateway_info=None)
    net.delete("network", outside["id"], by=cloud.admin)
    net.refused("GET", f"floatingips/{idle['id']}", 404, "FloatingIPNotFound")


def test_a_gateway_can_be_told_its_address_and_to_do_without_nat(
    cloud: Cloud, net: Net, outside: Any, router: Any
) -> None:
    info = {"network_id": outside["id"], "enable_snat": False, "external_fixed_ips": [{"ip_address": "198.51.100.77"}]}
    body = {"router": {"external_gateway_info": info}}
    net.refused("PUT", f"routers/{router['id']}", 403, "PolicyNotAuthorized", json=body)
    shown = net.update("router", router["id"], by=cloud.admin, external_gateway_info=info)["external_gateway_info"]
    assert (shown["external_fixed_ips"][0]["ip_address"], shown["enable_snat"]) == ("198.51.100.77", False)
    assert "NAT" not in rows(cloud, f"router/{router['id']}")


def test_ipv6_subnets_share_one_interface(cloud: Cloud, net: Net, inside: Any, router: Any) -> None:
    slaac = {"network_id": inside["network_id"], "ip_version": 6, "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    one, two = (net.create("subnet", cidr=f"fd00:{at}::/64", **slaac) for at in (1, 2))
    first = interface(net, router, "add", subnet_id=one["id"]).json()
    second = interface(net, router, "add", subnet_id=two["id"]).json()
    assert first["port_id"] == second["port_id"]

    def legs() -> list[Any]:
        return [
            row
            for row in rows(cloud, f"router/{router['id']}")["Logical_Router_Port"]
            if row.columns.get("ipv6_ra_configs")
        ]

    [leg] = legs()
    assert leg.columns["networks"] == {"fd00:1::1/64", "fd00:2::1/64"}
    assert leg.columns["ipv6_ra_configs"]["address_mode"] == "slaac"
    assert interface(net, router, "remove", subnet_id=one["id"]).status_code == 200
    [leg] = legs()
    assert leg.columns["networks"] == {"fd00:2::1/64"}


def test_routes_one_by_one(net: Net, router: Any) -> None:
    near, far = ({"destination": f"192.168.{at}.0/24", "nexthop": "10.0.0.9"} for at in (1, 2))
    url = f"routers/{router['id']}"
    for verb, given, left in (
        ("add", [near], [near]), ("add", [near, far], [near, far]), ("remove", [near], [far]), ("remove", [near], [far]),
    ):  # fmt: skip
        answer = net.send("PUT", f"{url}/{verb}_extraroutes", json={"router": {"routes": given}})
        assert answer.status_code == 200 and answer.json()["router"]["routes"] == left


def test_an_operator_says_where_floating_ips_are_answered_while_the_router_is_down(
    cloud: Cloud, net: Net, router: Any, floating: Any
) -> None:
    url = f"routers/{router['id']}"
    for name in ("distributed", "ha"):
        net.refused("PUT", url, 403, "PolicyNotAuthorized", json={"router": {name: True}})
        words = net.refused("PUT", url, 400, "HTTPBadRequest", by=cloud.admin, json={"router": {name: False}})
        assert "admin_state_up" in words
    cloud.chassis.names = ["h1", "h2"]

    def facts() -> tuple[bool, int]:
        [row] = rows(cloud, f"floating_ip/{floating['id']}")["NAT"]
        assert (row.columns["external_mac"] is None) == (row.columns["logical_port"] is None)
        return row.columns["external_mac"] is not None, len(rows(cloud, f"router/{router['id']}")["HA_Chassis"])

    assert facts() == (True, 2)
    change = {"distributed": False, "ha": False}
    shown = net.update("router", router["id"], by=cloud.admin, admin_state_up=False, **change)
    assert (shown["distributed"], shown["ha"]) == (False, False)
    assert facts() == (False, 1)
    assert "distributed" not in net.show("router", router["id"])


def test_idle_ones_go_when_their_network_is_closed(
    cloud: Cloud, net: Net, outside: Any, router: Any, floating: Any
) -> None:
    idle = net.create("floatingip", floating_network_id=outside["id"])
    close = {"network": {"router:external": False}}
    net.refused("PUT", f"networks/{outside['id']}", 409, "ExternalNetworkInUse", by=cloud.admin, json=close)
    assert net.show("floatingip", idle["id"])["id"] == idle["id"]
    net.delete("floatingip", floating["id"])
    net.update("router", router["id"], external_gateway_info=None)
    net.update("network", outside["id"], by=cloud.admin, **{"router:external": False})
    net.refused("GET", f"floatingips/{idle['id']}", 404, "FloatingIPNotFound")


def test_there_is_no_name_service_to_tell(net: Net, floating: Any) -> None:
    assert (floating["dns_name"], floating["dns_domain"]) == ("", "")
    new = {"floating_network_id": floating["floating_network_id"]}
    assert net.create("floatingip", **new, dns_name="", dns_domain="")["dns_name"] == ""
    for name in ("dns_name", "dns_domain"):
        said = net.refused("POST", "floatingips", 400, "HTTPBadRequest", json={"floatingip": new | {name: "shop.org."}})
        assert f"floatingip.{name}" in said
