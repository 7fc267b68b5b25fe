"""Port forwardings: what the API answers, what OVN gets, and with what they go."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cloud
from tests.network.conftest import Net
from tests.network.test_floating_ips import router
from tests.network.test_routers import inside, interface, outside, rows

__all__ = ["inside", "outside", "router"]


@pytest.fixture
def port(net: Net, inside: Any) -> Any:
    return net.create("port", network_id=inside["network_id"])


@pytest.fixture
def floating(net: Net, outside: Any, router: Any) -> Any:
    return net.create("floatingip", floating_network_id=outside["id"])


def forward(net: Net, floating: Any, port: Any, outer: Any, inner: Any, protocol: str = "tcp", **more: Any) -> Any:
    kind = {int: "port", str: "port_range"}
    body = {f"external_{kind[type(outer)]}": outer, f"internal_{kind[type(inner)]}": inner, **more}
    body |= {"protocol": protocol, "internal_port_id": port["id"]}
    answer = net.send("POST", f"floatingips/{floating['id']}/port_forwardings", json={"port_forwarding": body})
    assert answer.status_code == 201, answer.text
    return answer.json()["port_forwarding"]


def balancers(cloud: Cloud, forwarding: Any) -> list[Any]:
    return rows(cloud, f"port_forwarding/{forwarding['id']}").get("Load_Balancer", [])


def test_servers_share_an_address(cloud: Cloud, net: Net, inside: Any, router: Any, floating: Any, port: Any) -> None:
    other = net.create("port", network_id=inside["network_id"])
    web = forward(net, floating, port, 80, 8080, description="shop")
    name = forward(net, floating, other, 53, 53, "UDP")
    assert (web["external_port"], web["internal_port"], web["description"]) == (80, 8080, "shop")
    assert web["internal_ip_address"] == port["fixed_ips"][0]["ip_address"] and name["protocol"] == "udp"
    [row] = balancers(cloud, web)
    address = floating["floating_ip_address"]
    assert row.columns["vips"] == {f"{address}:80": f"{web['internal_ip_address']}:8080"}
    assert row.columns["protocol"] == "tcp"
    assert {(table, key) for table, key, _ in row.parents} == {
        ("Logical_Router", router["id"]),
        ("Logical_Switch", inside["network_id"]),
    }
    shown = net.show("floatingip", floating["id"])
    assert (shown["status"], shown["router_id"], shown["port_id"]) == ("ACTIVE", router["id"], None)
    assert {one["id"] for one in shown["port_forwardings"]} == {web["id"], name["id"]}
    url = f"floatingips/{floating['id']}/port_forwardings"
    for query, found in (
        ("", [web, name]),
        ("protocol=udp", [name]),
        ("external_port=80", [web]),
        ("external_port_range=80:80", [web]),
        ("external_port_range=53&external_port_range=80", [web, name]),
        ("external_port_range=80:90&external_port_range=x:%C2%B2", []),
        ("external_port=%C2%B2&external_port=99999999999999999999", []),
        ("internal_port_id=x", []),
    ):
        # they come by time and id, and these are of one moment
        listed = net.send("GET", f"{url}?{query}").json()["port_forwardings"]
        assert sorted(listed, key=lambda one: -one["external_port"]) == found, query
    for key in ("external_port", "external_port_range"):
        listed = net.send("GET", f"{url}?sort_key={key}").json()["port_forwardings"]
        assert listed == [name, web]
    page = net.send("GET", f"{url}?limit=1&sort_key=protocol").json()
    assert page["port_forwardings"] == [web] and f"/{url}?" in page["port_forwardings_links"][0]["href"]
    assert net.send("GET", f"{url}/{web['id']}").json()["port_forwarding"] == web
    net.refused("GET", f"{url}/nowhere", 404, "PortForwardingNotFound")
    net.refused(
        "GET",
        f"floatingips/{floating['id']}/port_forwardings/{web['id']}",
        404,
        "FloatingIPNotFound",
        by=cloud.stranger,
    )


def test_ranges(cloud: Cloud, net: Net, floating: Any, port: Any) -> None:
    one = forward(net, floating, port, "2000:2002", "3000:3002")
    assert (one["external_port"], one["external_port_range"], one["internal_port_range"]) == (
        None,
        "2000:2002",
        "3000:3002",
    )
    [row] = balancers(cloud, one)
    assert {(outer.rpartition(":")[2], inner.rpartition(":")[2]) for outer, inner in row.columns["vips"].items()} == {
        ("2000", "3000"), ("2001", "3001"), ("2002", "3002"),
    }  # fmt: skip
    many = forward(net, floating, port, "4000:4001", 22)
    [row] = balancers(cloud, many)
    assert {inner.rpartition(":")[2] for inner in row.columns["vips"].values()} == {"22"} and len(
        row.columns["vips"]
    ) == 2


def test_a_change_is_followed(cloud: Cloud, net: Net, inside: Any, floating: Any, port: Any) -> None:
    web = forward(net, floating, port, 80, 8080)
    other = net.create("port", network_id=inside["network_id"])
    url = f"floatingips/{floating['id']}/port_forwardings/{web['id']}"
    change = {"internal_port_id": other["id"], "internal_port": 81, "external_port": 82, "description": "x"}
    shown = net.send("PUT", url, json={"port_forwarding": change}).json()["port_forwarding"]
    address = other["fixed_ips"][0]["ip_address"]
    assert (shown["internal_ip_address"], shown["external_port_range"], shown["description"]) == (address, "82:82", "x")
    [row] = balancers(cloud, web)
    assert row.columns["vips"] == {f"{floating['floating_ip_address']}:82": f"{address}:81"}


def test_it_goes_by_itself_with_its_port_and_with_its_address(
    cloud: Cloud, net: Net, inside: Any, router: Any, floating: Any, port: Any
) -> None:
    web, ssh = forward(net, floating, port, 80, 80), forward(net, floating, port, 22, 22)
    net.refused("DELETE", f"floatingips/{floating['id']}", 409, "FipInUseByPortForwarding")
    assert interface(net, router, "remove", subnet_id=inside["id"]).status_code == 409
    body = {"router": {"external_gateway_info": None}}
    net.refused("PUT", f"routers/{router['id']}", 409, "RouterExternalGatewayInUseByFloatingIp", json=body)
    answer = net.send("DELETE", f"floatingips/{floating['id']}/port_forwardings/{web['id']}")
    assert answer.status_code == 204 and not balancers(cloud, web)
    assert net.show("floatingip", floating["id"])["status"] == "ACTIVE"
    net.update("port", port["id"], fixed_ips=[{"ip_address": "10.0.0.201"}])
    assert not balancers(cloud, ssh)
    shown = net.show("floatingip", floating["id"])
    assert (shown["port_forwardings"], shown["router_id"], shown["status"]) == ([], None, "DOWN")
    web = forward(net, floating, port, 80, 80)
    assert balancers(cloud, web)
    net.delete("port", port["id"])
    assert not balancers(cloud, web) and net.show("floatingip", floating["id"])["port_forwardings"] == []
    net.delete("floatingip", floating["id"])


def test_networks_that_join_the_router_later_know_it(
    cloud: Cloud, net: Net, router: Any, floating: Any, port: Any
) -> None:
    web = forward(net, floating, port, 80, 80)
    network = net.create("network")
    subnet = net.create("subnet", network_id=network["id"], ip_version=4, cidr="10.1.0.0/24")
    assert interface(net, router, "add", subnet_id=subnet["id"]).status_code == 200
    assert ("Logical_Switch", network["id"], "load_balancer") in balancers(cloud, web)[0].parents
    assert interface(net, router, "remove", subnet_id=subnet["id"]).status_code == 200
    assert ("Logical_Switch", network["id"], "load_balancer") not in balancers(cloud, web)[0].parents


def test_a_port_has_a_floating_ip_of_its_own_or_forwardings(
    net: Net, outside: Any, inside: Any, floating: Any, port: Any
) -> None:
    other = net.create("port", network_id=inside["network_id"])
    whole = net.create("floatingip", floating_network_id=outside["id"], port_id=other["id"])
    url = f"floatingips/{floating['id']}/port_forwardings"
    body = {"protocol": "tcp", "internal_port_id": other["id"], "internal_port": 1, "external_port": 1}
    net.refused("POST", url, 409, "PortHasBindingFloatingIP", json={"port_forwarding": body})
    taken = body | {"internal_port_id": port["id"]}
    busy = f"floatingips/{whole['id']}/port_forwardings"
    net.refused("POST", busy, 409, "FloatingIPPortAlreadyAssociated", json={"port_forwarding": taken})
    forward(net, floating, port, 80, 80)
    move = {"floatingip": {"port_id": port["id"]}}
    net.refused("PUT", f"floatingips/{whole['id']}", 400, "PortHasPortForwarding", json=move)
    net.refused("PUT", f"floatingips/{floating['id']}", 409, "FipInUseByPortForwarding", json=move)
    assert net.update("floatingip", floating["id"], port_id=None)["router_id"] is not None


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({"protocol": "icmp"}, 400, "HTTPBadRequest"),
    ({"protocol": 5}, 400, "HTTPBadRequest"),
    ({"internal_port": None}, 400, "HTTPBadRequest"),
    ({"external_port": None}, 400, "HTTPBadRequest"),
    ({"external_port": 0}, 400, "HTTPBadRequest"),
    ({"external_port": 65536}, 400, "HTTPBadRequest"),
    ({"external_port": "http"}, 400, "HTTPBadRequest"),
    ({"external_port_range": "90:91"}, 400, "HTTPBadRequest"),
    ({"external_port": None, "external_port_range": "91:90"}, 400, "HTTPBadRequest"),
    ({"external_port": None, "external_port_range": "90-91"}, 400, "HTTPBadRequest"),
    ({"external_port": None, "external_port_range": "1:1025"}, 400, "InvalidInput"),
    ({"internal_port": None, "internal_port_range": "1:3"}, 400, "HTTPBadRequest"),
    ({"external_port": 80}, 400, "HTTPBadRequest"),
    ({"internal_port": 80}, 400, "HTTPBadRequest"),
    ({"external_port": None, "external_port_range": "70:90", "internal_port": 9}, 400, "HTTPBadRequest"),
    ({"internal_ip_address": "10.0.0.250"}, 400, "HTTPBadRequest"),
    ({"internal_port_id": "nowhere"}, 404, "PortNotFound"),
    ({"internal_port_id": "{lonely}"}, 400, "HTTPBadRequest"),
    ({"internal_port_id": "{six}"}, 400, "HTTPBadRequest"),
    ({"colour": "red"}, 400, "HTTPBadRequest"),
]


@pytest.mark.parametrize(("change", "status", "kind"), BAD)
def test_bad_forwardings_are_refused_and_change_nothing(
    cloud: Cloud, net: Net, inside: Any, floating: Any, port: Any, change: dict[str, Any], status: int, kind: str
) -> None:
    first = forward(net, floating, port, 80, 80)
    apart = net.create("network")
    net.create("subnet", network_id=apart["id"], ip_version=4, cidr="10.9.0.0/24")
    six = net.create("network")
    net.create("subnet", network_id=six["id"], ip_version=6, cidr="fd00:9::/64")
    names = {"lonely": net.port(apart)["id"], "six": net.port(six)["id"]}
    body = {"protocol": "tcp", "internal_port_id": port["id"], "internal_port": 81, "external_port": 81} | change
    if str(body["internal_port_id"]).startswith("{"):
        body["internal_port_id"] = names[body["internal_port_id"][1:-1]]
    url = f"floatingips/{floating['id']}/port_forwardings"
    before = net.show("floatingip", floating["id"])
    net.refused("POST", url, status, kind, json={"port_forwarding": body})
    assert net.send("GET", url).json()["port_forwardings"] == [first]
    assert net.show("floatingip", floating["id"]) == before


def test_pools_are_the_subnets_of_external_networks(net: Net, outside: Any) -> None:
    [pool] = net.list("floatingip_pools")
    assert (pool["network_id"], pool["cidr"]) == (outside["id"], "198.51.100.0/24")
    assert net.list("floatingip_pools", "cidr=10.0.0.0/8") == []
    net.refused("GET", "floatingip_pools?colour=red", 400, "HTTPBadRequest")


def test_a_filter_by_port_takes_numbers_alone(net: Net, floating: Any, port: Any) -> None:
    web = forward(net, floating, port, 80, 8080)
    url = f"floatingips/{floating['id']}/port_forwardings"
    assert net.send("GET", url, params={"external_port": "80"}).json()["port_forwardings"] == [web]
    for text in ("\u00b2", "", "-80", "9" * 5000):
        answer = net.send("GET", url, params={"external_port": text})
        assert (answer.status_code, answer.json()["port_forwardings"]) == (200, []), text


def test_a_floating_ip_s_revision_counts_its_forwardings(net: Net, inside: Any, floating: Any, port: Any) -> None:
    seen = [net.show("floatingip", floating["id"])["revision_number"]]

    def grown() -> bool:
        seen.append(net.show("floatingip", floating["id"])["revision_number"])
        return bool(seen[-1] > seen[-2])

    first = forward(net, floating, port, 80, 8080)
    assert grown()
    other = forward(net, floating, net.create("port", network_id=inside["network_id"]), 53, 53)
    assert grown()
    url = f"floatingips/{floating['id']}/port_forwardings/{first['id']}"
    for change, counts in (({"internal_port": 8081}, True), ({"internal_port": 8081}, False)):
        assert net.send("PUT", url, json={"port_forwarding": change}).status_code == 200
        assert grown() is counts
    assert net.send("DELETE", url).status_code == 204 and grown()
    net.delete("port", other["internal_port_id"])
    assert grown()
