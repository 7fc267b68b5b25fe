"""Floating IPv6: an address of the external network that is routed to a port, and moves."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import RED, Cloud
from tests.network.conftest import Net
from wolke.network import facts

SLAAC = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}


@pytest.fixture
def outside(cloud: Cloud, net: Net) -> Any:
    """An external network with a subnet of each version: ``v4`` and ``v6`` are their ids."""
    network = net.create(
        "network", by=cloud.admin, name="outside",
        **{"router:external": True, "provider:network_type": "flat", "provider:physical_network": "public"},
    )  # fmt: skip
    for name, cidr in (("v4", "198.51.100.0/24"), ("v6", "2001:db8::/64")):
        network[name] = net.create(
            "subnet", by=cloud.admin, network_id=network["id"], ip_version=int(name[1]), cidr=cidr, enable_dhcp=False
        )["id"]
    return network


@pytest.fixture
def inside(net: Net, outside: Any) -> Any:
    """A network with both versions behind a router: ``router`` is its id."""
    network = net.network()
    router = net.create("router", external_gateway_info={"network_id": outside["id"]})
    for cidr, more in (("10.0.0.0/24", {}), ("fd00:1::/64", SLAAC)):
        subnet = net.subnet(network, cidr, **more)
        net.send("PUT", f"routers/{router['id']}/add_router_interface", json={"subnet_id": subnet["id"]})
    return network | {"router": router["id"]}


def floating(net: Net, outside: Any, **body: Any) -> Any:
    return net.create("floatingip", floating_network_id=outside["id"], subnet_id=outside["v6"], **body)


def v6(port: Any) -> str:
    return next(str(one["ip_address"]) for one in port["fixed_ips"] if ":" in one["ip_address"])


def rows(cloud: Cloud, owner: str, table: str) -> list[Any]:
    return [row.columns for row in cloud.north.rows(owner) if row.table == table]


def test_an_address_is_routed_to_a_port_and_moves(cloud: Cloud, net: Net, outside: Any, inside: Any) -> None:
    one, two = net.port(inside), net.port(inside)
    made = floating(net, outside, port_id=one["id"])
    address = made["floating_ip_address"]
    assert (
        address.startswith("2001:db8::")
        and made["fixed_ip_address"] == v6(one)
        and made["router_id"] == inside["router"]
    )
    cloud.settle()
    [route] = rows(cloud, f"floating_ip/{made['id']}", "Logical_Router_Static_Route")
    assert (route["ip_prefix"], route["nexthop"]) == (f"{address}/128", v6(one))
    [nat] = rows(cloud, f"floating_ip/{made['id']}", "NAT")
    assert not nat.get("logical_port"), "its MAC would move with it, and nobody is told"
    assert nat["external_ip"] == nat["logical_ip"] == address and nat["options"] == {"stateless": "true"}, (
        "it is translated"
    )

    def allowed(port: Any) -> bool:
        [row] = rows(cloud, f"port/{port['id']}", "Logical_Switch_Port")
        inner = [address in text.split() for column in ("addresses", "port_security") for text in row[column]]
        assert len(set(inner)) == 1
        return inner[0]

    assert allowed(one) and not allowed(two)
    assert net.show("floatingip", made["id"])["status"] == "ACTIVE"
    net.update("floatingip", made["id"], port_id=two["id"])
    cloud.settle()
    [route] = rows(cloud, f"floating_ip/{made['id']}", "Logical_Router_Static_Route")
    assert route["nexthop"] == v6(two) and allowed(two) and not allowed(one)
    net.update("floatingip", made["id"], port_id=None)
    cloud.settle()
    assert cloud.north.rows(f"floating_ip/{made['id']}") == [] and not allowed(two)
    net.update("floatingip", made["id"], port_id=one["id"])
    cloud.settle()
    net.delete("floatingip", made["id"])
    cloud.settle()
    assert cloud.north.rows(f"floating_ip/{made['id']}") == [] and not allowed(one)


def test_both_versions_lead_to_one_port(cloud: Cloud, net: Net, outside: Any, inside: Any) -> None:
    port = net.port(inside)
    six = floating(net, outside, port_id=port["id"])
    four = net.create("floatingip", floating_network_id=outside["id"], port_id=port["id"])
    assert "." in four["floating_ip_address"] and "." in four["fixed_ip_address"]
    cloud.settle()
    assert rows(cloud, f"floating_ip/{four['id']}", "Logical_Router_Static_Route") == []
    shown = cloud.member.get("/wolke/v1/prefixes").json()["prefixes"]
    assert {one["prefix"] for one in shown} == {
        f"{six['floating_ip_address']}/128",
        f"{four['floating_ip_address']}/32",
    }


def test_a_network_with_one_version_gives_what_is_asked_for(cloud: Cloud, net: Net, outside: Any, inside: Any) -> None:
    bare = net.network()
    subnet = net.subnet(bare, "10.5.0.0/24")
    net.send("PUT", f"routers/{inside['router']}/add_router_interface", json={"subnet_id": subnet["id"]})
    port = net.port(bare)
    body = {"floating_network_id": outside["id"], "subnet_id": outside["v6"], "port_id": port["id"]}
    message = net.refused("POST", "floatingips", 400, "HTTPBadRequest", json={"floatingip": body})
    assert "IPv6" in message
    alone = net.network()
    net.subnet(alone, "fd00:9::/64", **SLAAC)
    far = net.port(alone)
    net.refused(
        "POST", "floatingips", 404, "ExternalGatewayForFloatingIPNotFound", json={"floatingip": {**body, "port_id": far["id"]}}
    )  # fmt: skip
    wrong = {**body, "port_id": net.port(inside)["id"], "fixed_ip_address": "fd00:1::1234"}
    net.refused("POST", "floatingips", 400, "HTTPBadRequest", json={"floatingip": wrong})
    asked = {"floating_network_id": outside["id"], "floating_ip_address": "2001:db8::77"}
    net.refused("POST", "floatingips", 403, "PolicyNotAuthorized", json={"floatingip": asked})
    made = net.create("floatingip", by=cloud.admin, **asked)
    assert made["floating_ip_address"] == "2001:db8::77"
    assert [one["id"] for one in net.list("floatingips")] == [made["id"]]


def test_the_version_follows_what_it_leads_to(cloud: Cloud, net: Net, outside: Any, inside: Any) -> None:
    """A project does not see the operator's subnets, and needs not name one."""
    port = net.port(inside)
    made = net.create("floatingip", floating_network_id=outside["id"], port_id=port["id"], fixed_ip_address=v6(port))
    assert made["floating_ip_address"].startswith("2001:db8::")
    assert "." in net.create("floatingip", floating_network_id=outside["id"], port_id=port["id"])["floating_ip_address"]
    alone = net.network()
    subnet = net.subnet(alone, "fd00:8::/64", **SLAAC)
    net.send("PUT", f"routers/{inside['router']}/add_router_interface", json={"subnet_id": subnet["id"]})
    lonely = net.create("floatingip", floating_network_id=outside["id"], port_id=net.port(alone)["id"])
    assert ":" in lonely["floating_ip_address"]


def test_the_server_is_told_to_set_it_on_its_card(cloud: Cloud, net: Net, outside: Any, inside: Any) -> None:
    port = net.port(inside)
    address = floating(net, outside, port_id=port["id"])["floating_ip_address"]
    net.create(
        "floatingip", floating_network_id=outside["id"], port_id=port["id"]
    )  # IPv4 is translated: not on the card
    with cloud.app.database.read() as db:
        told = facts.network_data(list(facts.ports_by_id(db, [port["id"]]).values()))
    [whole] = [one for one in told["networks"] if one.get("netmask", "").count("f") == 32]
    assert (whole["type"], whole["ip_address"]) == ("ipv6", address)
    assert len({one["id"] for one in told["networks"]}) == len(told["networks"]) == 3


def test_it_counts_and_is_given_back(cloud: Cloud, net: Net, outside: Any, inside: Any) -> None:
    net.send("PUT", f"quotas/{RED}", by=cloud.admin, json={"quota": {"floatingip": 1}})
    port = net.port(inside)
    made = floating(net, outside, port_id=port["id"])
    body = {"floating_network_id": outside["id"], "subnet_id": outside["v6"]}
    net.refused("POST", "floatingips", 409, "OverQuota", json={"floatingip": body})
    net.delete("port", port["id"])
    shown = net.show("floatingip", made["id"])
    assert (shown["port_id"], shown["router_id"], shown["fixed_ip_address"]) == (None, None, None)
    cloud.settle()
    assert cloud.north.rows(f"floating_ip/{made['id']}") == []


def test_ports_of_it_are_not_forwarded(net: Net, outside: Any, inside: Any) -> None:
    made, port = floating(net, outside), net.port(inside)
    body = {
        "protocol": "tcp", "internal_port_id": port["id"], "internal_ip_address": port["fixed_ips"][0]["ip_address"],
        "internal_port": 80, "external_port": 80,
    }  # fmt: skip
    path = f"floatingips/{made['id']}/port_forwardings"
    assert "IPv4" in net.refused("POST", path, 400, "HTTPBadRequest", json={"port_forwarding": body})


def test_it_leads_on_by_another_router(cloud: Cloud, net: Net, outside: Any, inside: Any) -> None:
    """A router's own port: the address is routed to the next router."""
    leg = net.port(inside)
    second = net.create("router")
    answer = net.send("PUT", f"routers/{second['id']}/add_router_interface", json={"port_id": leg["id"]})
    assert answer.status_code == 200, answer.text
    made = floating(net, outside, port_id=leg["id"])
    cloud.settle()
    [nat] = rows(cloud, f"floating_ip/{made['id']}", "NAT")
    [route] = rows(cloud, f"floating_ip/{made['id']}", "Logical_Router_Static_Route")
    assert route["nexthop"] == v6(leg) and nat["logical_ip"] == made["floating_ip_address"]
