"""Address scopes and the pools in them: who may put what where, and what routers do about it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import BLUE, Cloud
from tests.network.conftest import Net

SLAAC = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}


def pool(net: Net, *prefixes: str, **body: Any) -> Any:
    return net.create("subnetpool", name="pool", prefixes=list(prefixes), **body)


def cut(net: Net, network: Any, pool: Any, **body: Any) -> Any:
    version = pool["ip_version"]
    return net.create("subnet", network_id=network["id"], ip_version=version, subnetpool_id=pool["id"], **body)


def rows(cloud: Cloud, table: str, owner: str) -> list[Any]:
    return [row for row in cloud.north.rows(owner) if row.table == table]


def test_a_scope_is_made_shown_changed_and_deleted(cloud: Cloud, net: Net) -> None:
    scope = net.create("address_scope", name="office", ip_version=4)
    assert (scope["ip_version"], scope["shared"], scope["name"]) == (4, False, "office")
    assert net.update("address_scope", scope["id"], name="bureau")["name"] == "bureau"
    assert [one["id"] for one in net.list("address-scopes", "ip_version=4")] == [scope["id"]]
    assert net.list("address-scopes", "shared=True") == []
    net.refused("GET", f"address-scopes/{scope['id']}", 404, "AddressScopeNotFound", by=cloud.stranger)
    mine = pool(net, "10.8.0.0/16", address_scope_id=scope["id"])
    assert mine["address_scope_id"] == scope["id"]
    net.refused("DELETE", f"address-scopes/{scope['id']}", 409, "AddressScopeInUse")
    assert net.update("subnetpool", mine["id"], address_scope_id=None)["address_scope_id"] is None
    net.delete("address_scope", scope["id"])


def test_who_shares_a_scope_cannot_take_it_back(cloud: Cloud, net: Net) -> None:
    net.refused(
        "POST", "address-scopes", 403, "PolicyNotAuthorized", json={"address_scope": {"ip_version": 4, "shared": True}}
    )
    scope = net.create("address_scope", by=cloud.admin, name="world", ip_version=6, shared=True)
    assert net.show("address_scope", scope["id"], by=cloud.stranger)["shared"] is True
    body = {"address_scope": {"shared": False}}
    net.refused("PUT", f"address-scopes/{scope['id']}", 400, "AddressScopeUpdateError", by=cloud.admin, json=body)
    theirs = net.create(
        "subnetpool", by=cloud.stranger, name="p", prefixes=["2001:db8:8000::/33"], address_scope_id=scope["id"]
    )
    assert theirs["address_scope_id"] == scope["id"]


def test_a_scope_is_shared_with_one_project_by_name(cloud: Cloud, net: Net) -> None:
    scope = net.create("address_scope", name="office", ip_version=4)
    share = {
        "object_type": "address_scope", "object_id": scope["id"], "action": "access_as_shared", "target_tenant": BLUE,
    }  # fmt: skip
    answer = net.send("POST", "rbac-policies", json={"rbac_policy": share})
    assert answer.status_code == 201, answer.text
    assert net.show("address_scope", scope["id"], by=cloud.stranger)["shared"] is True
    net.create("subnetpool", by=cloud.stranger, name="p", prefixes=["10.9.0.0/16"], address_scope_id=scope["id"])
    net.refused("DELETE", f"rbac-policies/{answer.json()['rbac_policy']['id']}", 409, "RbacPolicyInUse")


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"ip_version": 5}, 400, "HTTPBadRequest"),
        ({}, 400, "HTTPBadRequest"),
        ({"ip_version": 4, "name": "x" * 256}, 400, "HTTPBadRequest"),
        ({"ip_version": 4, "colour": "red"}, 400, "HTTPBadRequest"),
        ({"ip_version": 4, "project_id": BLUE}, 400, "HTTPBadRequest"),
    ],
)
def test_a_scope_that_cannot_be(net: Net, body: Any, status: int, kind: str) -> None:
    net.refused("POST", "address-scopes", status, kind, json={"address_scope": body})
    assert net.list("address-scopes") == []


def test_pools_of_one_scope_never_overlap(cloud: Cloud, net: Net) -> None:
    scope = net.create("address_scope", name="s", ip_version=4)
    other = net.create("address_scope", name="t", ip_version=6)
    pool(net, "10.8.0.0/16", address_scope_id=scope["id"])
    overlapping = {"name": "b", "prefixes": ["10.8.4.0/24"], "address_scope_id": scope["id"]}
    net.refused("POST", "subnetpools", 409, "AddressScopePrefixConflict", json={"subnetpool": overlapping})
    second = pool(net, "10.9.0.0/16", address_scope_id=scope["id"])
    net.refused(
        "PUT", f"subnetpools/{second['id']}/add_prefixes", 409, "AddressScopePrefixConflict", json={"prefixes": ["10.8.0.0/24"]}
    )  # fmt: skip
    wrong = {"name": "b", "prefixes": ["10.10.0.0/16"], "address_scope_id": other["id"]}
    net.refused(
        "POST", "subnetpools", 400, "IllegalSubnetPoolIpVersionAssociationToAddressScope", json={"subnetpool": wrong}
    )
    unknown = {"name": "b", "prefixes": ["10.10.0.0/16"], "address_scope_id": "nowhere"}
    net.refused("POST", "subnetpools", 404, "AddressScopeNotFound", json={"subnetpool": unknown})
    assert len(net.list("subnetpools")) == 2


def test_a_network_shows_its_scopes_and_has_one_of_each_version(cloud: Cloud, net: Net) -> None:
    four = net.create("address_scope", name="four", ip_version=4)
    six = net.create("address_scope", name="six", ip_version=6)
    inner = pool(net, "10.8.0.0/16", address_scope_id=four["id"], default_prefixlen=24)
    network = net.network()
    assert (network["ipv4_address_scope"], network["ipv6_address_scope"]) == (None, None)
    cut(net, network, inner)
    cut(net, network, pool(net, "fd00:8::/32", address_scope_id=six["id"], default_prefixlen=64), **SLAAC)
    shown = net.show("network", network["id"])
    assert (shown["ipv4_address_scope"], shown["ipv6_address_scope"]) == (four["id"], six["id"])
    [listed] = net.list("networks", f"id={network['id']}")
    assert listed["ipv4_address_scope"] == four["id"]
    plain = {"network_id": network["id"], "ip_version": 4, "cidr": "192.168.0.0/24"}
    net.refused("POST", "subnets", 400, "NetworkAddressScopeAffinityError", json={"subnet": plain})
    loose = pool(net, "10.50.0.0/16", default_prefixlen=24)
    bare = net.network()
    cut(net, bare, loose)
    another = {
        "network_id": bare["id"],
        "ip_version": 4,
        "subnetpool_id": pool(net, "10.60.0.0/16")["id"],
        "prefixlen": 24,
    }
    net.refused("POST", "subnets", 400, "NetworkSubnetPoolAffinityError", json={"subnet": another})


def outside_in(cloud: Cloud, net: Net, **scopes: str) -> Any:
    """An external network whose subnets are of these scopes: ``v4=``, ``v6=``."""
    network = net.create(
        "network", by=cloud.admin, name="outside",
        **{"router:external": True, "provider:network_type": "flat", "provider:physical_network": "public"},
    )  # fmt: skip
    for prefix, scope, length in (("198.51.100.0/24", scopes.get("v4"), 24), ("2001:db8::/64", scopes.get("v6"), 64)):
        made = net.create(
            "subnetpool",
            by=cloud.admin,
            name=prefix,
            prefixes=[prefix],
            address_scope_id=scope,
            default_prefixlen=length,
        )
        net.create(
            "subnet", by=cloud.admin, network_id=network["id"], ip_version=made["ip_version"], subnetpool_id=made["id"],
            enable_dhcp=False,
        )  # fmt: skip
    return network


def test_one_scope_is_routed_and_two_are_kept_apart(cloud: Cloud, net: Net) -> None:
    world = net.create("address_scope", by=cloud.admin, name="world", ip_version=4, shared=True)
    outside = outside_in(cloud, net, v4=world["id"])
    routed = net.create(
        "subnetpool", by=cloud.admin, name="routed", prefixes=["203.0.113.0/24"], address_scope_id=world["id"], shared=True,
        default_prefixlen=28,
    )  # fmt: skip
    one, two, three = net.network(), net.network(), net.network()
    public = cut(net, one, routed)
    private = net.subnet(two, "10.0.0.0/24")
    plain = net.subnet(three, "10.0.1.0/24")
    router = net.create("router", external_gateway_info={"network_id": outside["id"]})
    for subnet in (public, private, plain):
        answer = net.send("PUT", f"routers/{router['id']}/add_router_interface", json={"subnet_id": subnet["id"]})
        assert answer.status_code == 200, answer.text
    cloud.settle()
    owner = f"router/{router['id']}"
    assert {row.columns["logical_ip"] for row in rows(cloud, "NAT", owner)} == {"10.0.0.0/24", "10.0.1.0/24"}
    drops = rows(cloud, "Logical_Router_Policy", owner)
    assert {row.columns["action"] for row in drops} == {"drop"}
    matches = sorted(str(row.columns["match"]).partition(" && ")[2] for row in drops)
    assert matches == [
        "ip4.dst == {10.0.0.0/24, 10.0.1.0/24}", f"ip4.dst == {{{public['cidr']}}}", f"ip4.dst == {{{public['cidr']}}}",
    ]  # fmt: skip
    net.update("subnetpool", routed["id"], by=cloud.admin, name="still routed")
    mine = pool(net, "10.0.0.0/16")
    net.send("PUT", f"subnetpools/{mine['id']}/onboard_network_subnets", json={"network_id": two["id"]})
    inner = net.create("address_scope", name="inner", ip_version=4)
    net.update("subnetpool", mine["id"], address_scope_id=inner["id"])
    cloud.settle()
    assert len(rows(cloud, "Logical_Router_Policy", owner)) == 3  # each of its own now
    assert all("," in str(row.columns["match"]) for row in rows(cloud, "Logical_Router_Policy", owner))


def test_ipv6_of_another_scope_does_not_leave(cloud: Cloud, net: Net) -> None:
    world = net.create("address_scope", by=cloud.admin, name="world", ip_version=6, shared=True)
    outside = outside_in(cloud, net, v6=world["id"])
    inside = net.network()
    local = net.subnet(inside, "fd00:1::/64", **SLAAC)
    router = net.create("router", external_gateway_info={"network_id": outside["id"]})
    net.send("PUT", f"routers/{router['id']}/add_router_interface", json={"subnet_id": local["id"]})
    cloud.settle()
    matches = [str(row.columns["match"]) for row in rows(cloud, "Logical_Router_Policy", f"router/{router['id']}")]
    assert sorted(match.rpartition(" && ")[2] for match in matches) == [
        "ip6.dst == {fd00:1::/64}",
        "ip6.src == {fd00:1::/64}",
    ]


def test_subnets_of_a_network_are_taken_into_a_pool(cloud: Cloud, net: Net) -> None:
    network = net.network()
    first, second = net.subnet(network, "10.1.0.0/24"), net.subnet(network, "10.1.1.0/24")
    net.subnet(network, "fd00:1::/64", **SLAAC)
    mine = pool(net, "10.2.0.0/16")
    path = f"subnetpools/{mine['id']}/onboard_network_subnets"
    answer = net.send("PUT", path, json={"network_id": network["id"]})
    assert answer.status_code == 200, answer.text
    assert {one["cidr"] for one in answer.json()} == {"10.1.0.0/24", "10.1.1.0/24"}
    assert (
        net.show("subnet", first["id"])["subnetpool_id"]
        == mine["id"]
        == net.show("subnet", second["id"])["subnetpool_id"]
    )
    assert net.show("subnetpool", mine["id"])["prefixes"] == ["10.1.0.0/23", "10.2.0.0/16"]
    net.refused("PUT", path, 404, "NetworkNotFound", json={"network_id": "nowhere"})
    net.refused("PUT", path, 400, "HTTPBadRequest", json={})
    shared = net.create("network", by=cloud.admin, name="shared", shared=True, project_id=BLUE)
    net.refused("PUT", path, 403, "PolicyNotAuthorized", json={"network_id": shared["id"]})
    net.refused("DELETE", f"subnetpools/{mine['id']}", 409, "SubnetPoolInUse")


def test_a_pool_is_shared_with_one_project(cloud: Cloud, net: Net) -> None:
    mine = pool(net, "10.3.0.0/16", default_prefixlen=24)
    body = {"network_id": net.network(by=cloud.stranger)["id"], "ip_version": 4, "subnetpool_id": mine["id"]}
    net.refused("POST", "subnets", 404, "SubnetPoolNotFound", by=cloud.stranger, json={"subnet": body})
    share = {"object_type": "subnetpool", "object_id": mine["id"], "action": "access_as_shared", "target_tenant": BLUE}
    assert net.send("POST", "rbac-policies", json={"rbac_policy": share}).status_code == 201
    assert net.create("subnet", by=cloud.stranger, **body)["cidr"] == "10.3.0.0/24"
    assert [one["shared"] for one in net.list("subnetpools", by=cloud.stranger)] == [True]
