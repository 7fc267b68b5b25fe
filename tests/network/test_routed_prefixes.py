"""Routed prefixes: drawn from an operator's pool, counted, published with their next hop, told by BGP."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from tests.conftest import BLUE, RED, Cloud
from tests.network.conftest import Net

SLAAC = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
PREFIXES = "/wolke/v1/prefixes"


@pytest.fixture
def outside(cloud: Cloud, net: Net) -> Any:
    network = net.create(
        "network", by=cloud.admin, name="outside",
        **{"router:external": True, "provider:network_type": "flat", "provider:physical_network": "public"},
    )  # fmt: skip
    for cidr in ("198.51.100.0/24", "2001:db8::/64"):
        net.create(
            "subnet", by=cloud.admin, network_id=network["id"], ip_version=6 if ":" in cidr else 4, cidr=cidr,
            enable_dhcp=False,
        )  # fmt: skip
    return network


@pytest.fixture
def pool(cloud: Cloud, net: Net) -> Any:
    """An operator's pool of routed prefixes."""
    return net.create(
        "subnetpool", by=cloud.admin, name="routed", prefixes=["2001:db8:8000::/40"], default_prefixlen=64, shared=True,
        is_default=True,
    )  # fmt: skip


def drawn(net: Net, network: Any, pool: Any, **more: Any) -> Any:
    by = more.pop("by", None)
    return net.create(
        "subnet", by=by, network_id=network["id"], ip_version=6, subnetpool_id=pool["id"], **{**SLAAC, **more}
    )


def routed(net: Net, outside: Any, *subnets: Any, **more: Any) -> Any:
    """A router with its gateway outside and these subnets."""
    by = more.pop("by", None)
    router = net.create("router", by=by, external_gateway_info={"network_id": outside["id"]}, **more)
    for subnet in subnets:
        path = f"routers/{router['id']}/add_router_interface"
        answer = net.send("PUT", path, by=by, json={"subnet_id": subnet["id"]})
        assert answer.status_code == 200, answer.text
    return router


def gateway(router: Any, version: int) -> str:
    fixed = router["external_gateway_info"]["external_fixed_ips"]
    return next(one["ip_address"] for one in fixed if (":" in one["ip_address"]) == (version == 6))


def listed(by: Any, **query: str) -> Any:
    answer = by.get(PREFIXES, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["prefixes"]


def test_a_drawn_prefix_is_published_with_its_next_hop(cloud: Cloud, net: Net, outside: Any, pool: Any) -> None:
    subnet = drawn(net, net.network(), pool)
    own = net.subnet(net.network(), "2001:db8:4444::/64", **SLAAC)  # chosen, not drawn: nobody is told of it
    assert listed(cloud.member) == []
    router = routed(net, outside, subnet, own)
    [shown] = listed(cloud.member)
    assert (shown["prefix"], shown["next_hop"]) == (subnet["cidr"], gateway(router, 6))
    assert (shown["project_id"], shown["router_id"], shown["kind"]) == (RED, router["id"], "subnet")
    assert (shown["external_network_id"], shown["subnet_id"]) == (outside["id"], subnet["id"])
    assert listed(cloud.stranger) == []
    assert listed(cloud.admin, project_id=RED) == [shown] and listed(cloud.admin, ip_version="4") == []
    net.update("router", router["id"], external_gateway_info={})
    assert listed(cloud.admin) == []


def test_nothing_of_a_routed_prefix_is_translated(cloud: Cloud, net: Net, outside: Any, pool: Any) -> None:
    router = routed(net, outside, drawn(net, net.network(), pool))
    cloud.settle()
    tables = [row.table for row in cloud.north.rows(f"router/{router['id']}")]
    assert "NAT" not in tables and tables.count("Logical_Router_Port") == 2


def test_floating_ips_are_published_too(cloud: Cloud, net: Net, outside: Any) -> None:
    subnet = net.subnet(network := net.network())
    router = routed(net, outside, subnet)
    port = net.port(network)
    floating = net.create("floatingip", floating_network_id=outside["id"], port_id=port["id"])
    [shown] = listed(cloud.member)
    assert (shown["prefix"], shown["kind"]) == (f"{floating['floating_ip_address']}/32", "floating_ip")
    assert (shown["floating_ip_id"], shown["next_hop"]) == (floating["id"], gateway(router, 4))
    net.update("floatingip", floating["id"], port_id=None)
    assert listed(cloud.member) == []


def test_prefixes_have_a_quota(cloud: Cloud, net: Net, outside: Any, pool: Any) -> None:
    net.send("PUT", f"quotas/{RED}", by=cloud.admin, json={"quota": {"routed_prefix": 1}})
    network = net.network()
    first = drawn(net, network, pool)
    second = {"network_id": network["id"], "ip_version": 6, "subnetpool_id": pool["id"], **SLAAC}
    net.refused("POST", "subnets", 409, "OverQuota", json={"subnet": second})
    net.refused("POST", "subnets", 409, "OverQuota", json={"subnet": {**second, "network_id": net.network()["id"]}})
    details = net.send("GET", f"quotas/{RED}/details").json()["quota"]
    assert details["routed_prefix"] == {"limit": 1, "used": 1, "reserved": 0}
    net.subnet(net.network(), "fd00:1::/64", **SLAAC)  # the project's own addresses are free
    net.delete("subnet", first["id"])
    default = {"network_id": network["id"], "ip_version": 6, "use_default_subnetpool": True, **SLAAC}
    assert net.send("POST", "subnets", json={"subnet": default}).status_code == 201
    assert drawn(net, net.network(by=cloud.stranger), pool, by=cloud.stranger)["cidr"] != first["cidr"]


def test_a_project_s_own_pool_is_never_published(cloud: Cloud, net: Net, outside: Any) -> None:
    world = net.create("address_scope", by=cloud.admin, name="world", ip_version=6, shared=True)
    [outer] = [
        one for one in net.list("subnets", f"network_id={outside['id']}", by=cloud.admin) if one["ip_version"] == 6
    ]
    stranger = cloud.stranger
    mine = net.create(
        "subnetpool", by=stranger, name="mine", prefixes=["2001:db8:f000::/40"], address_scope_id=world["id"]
    )
    net.delete("subnet", outer["id"], by=cloud.admin)
    theirs = net.create(
        "subnetpool", by=cloud.admin, name="outer", prefixes=["2001:db8::/64"], address_scope_id=world["id"]
    )
    net.create(
        "subnet", by=cloud.admin, network_id=outside["id"], ip_version=6, subnetpool_id=theirs["id"], enable_dhcp=False
    )
    subnet = drawn(net, net.network(by=stranger), mine, by=stranger)
    routed(net, outside, subnet, by=stranger)
    assert listed(cloud.admin) == []
    net.send("PUT", f"subnetpools/{mine['id']}", by=cloud.admin, json={"subnetpool": {"name": "still theirs"}})
    share = {"object_type": "subnetpool", "object_id": mine["id"], "action": "access_as_shared", "target_tenant": "*"}
    assert net.send("POST", "rbac-policies", by=stranger, json={"rbac_policy": share}).status_code == 403
    assert net.send("POST", "rbac-policies", by=cloud.admin, json={"rbac_policy": share}).status_code == 201
    assert [one["prefix"] for one in listed(cloud.admin)] == [subnet["cidr"]]  # now the operator has said so


def test_the_list_is_paged_and_knows_its_parameters(cloud: Cloud, net: Net, outside: Any, pool: Any) -> None:
    routed(net, outside, *(drawn(net, net.network(), pool) for _ in range(3)))
    everything = [one["prefix"] for one in listed(cloud.admin)]
    assert everything == sorted(everything, key=ip_network) and len(everything) == 3
    assert [one["prefix"] for one in listed(cloud.admin, limit="1", marker=everything[0])] == everything[1:2]
    for query in ({"colour": "red"}, {"limit": "many"}, {"marker": "::/0"}):
        assert cloud.admin.get(PREFIXES, params=query).status_code == 400
    assert cloud.nobody.get(PREFIXES).status_code == 401


# BGP -----------------------------------------------------------------------------------------------------------------
def speaker(cloud: Cloud, net: Net, **body: Any) -> Any:
    return net.create("bgp_speaker", by=cloud.admin, **{"name": "s", "local_as": 4294967295, "ip_version": 6, **body})


def peer(cloud: Cloud, net: Net, **body: Any) -> Any:
    return net.create("bgp_peer", by=cloud.admin, **{"peer_ip": "2001:db8::1", "remote_as": 64513, **body})


def act(cloud: Cloud, net: Net, speaker: Any, action: str, status: int = 200, **body: str) -> Any:
    answer = net.send("PUT", f"bgp-speakers/{speaker['id']}/{action}", by=cloud.admin, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def told(cloud: Cloud, net: Net, speaker: Any) -> list[tuple[str, str]]:
    answer = net.send("GET", f"bgp-speakers/{speaker['id']}/get_advertised_routes", by=cloud.admin)
    return [(one["destination"], one["next_hop"]) for one in answer.json()["advertised_routes"]]


def test_a_speaker_tells_what_is_behind_its_networks(cloud: Cloud, net: Net, outside: Any, pool: Any) -> None:
    subnet = drawn(net, net.network(), pool)
    router = routed(net, outside, subnet)
    made = speaker(cloud, net)
    assert (made["peers"], made["networks"], made["advertise_tenant_networks"]) == ([], [], True)
    assert told(cloud, net, made) == []
    assert act(cloud, net, made, "add_gateway_network", network_id=outside["id"]) == {"network_id": outside["id"]}
    assert told(cloud, net, made) == [(subnet["cidr"], gateway(router, 6))]
    neighbour = peer(cloud, net)
    act(cloud, net, made, "add_bgp_peer", bgp_peer_id=neighbour["id"])
    shown = net.show("bgp_speaker", made["id"], by=cloud.admin)
    assert (shown["peers"], shown["networks"]) == ([neighbour["id"]], [outside["id"]])
    net.update("bgp_speaker", made["id"], by=cloud.admin, advertise_tenant_networks=False)
    assert told(cloud, net, made) == []
    act(cloud, net, made, "remove_bgp_peer", bgp_peer_id=neighbour["id"])
    act(cloud, net, made, "remove_gateway_network", network_id=outside["id"])
    net.delete("bgp_speaker", made["id"], by=cloud.admin)
    net.delete("bgp_peer", neighbour["id"], by=cloud.admin)


def test_hosts_get_their_speakers_and_hear_of_each_change(cloud: Cloud, net: Net, outside: Any, pool: Any) -> None:
    cloud.chassis.names = ["h1"]
    host, elsewhere = cloud.add_host("h1"), cloud.add_host("h2")
    cloud.settle()
    made = speaker(cloud, net)
    neighbour = peer(cloud, net, auth_type="md5", password="open-sesame")
    assert "password" not in neighbour
    act(cloud, net, made, "add_bgp_peer", bgp_peer_id=neighbour["id"])
    act(cloud, net, made, "add_gateway_network", network_id=outside["id"])
    cloud.settle()
    [got] = host.agent.wanted.bgp
    assert [(one.address, one.asn, one.password) for one in got.neighbours] == [("2001:db8::1", 64513, "open-sesame")]
    assert (got.asn, got.ip_version, got.routes, elsewhere.agent.wanted.bgp) == (4294967295, 6, (), ())
    agents = net.send("GET", f"bgp-speakers/{made['id']}/bgp-dragents", by=cloud.admin).json()["agents"]
    assert [one["host"] for one in agents] == ["h1"]
    subnet = drawn(net, net.network(), pool)
    router = routed(net, outside, subnet)
    cloud.settle()
    [route] = host.agent.wanted.bgp[0].routes
    assert (route.prefix, route.next_hop) == (subnet["cidr"], gateway(router, 6))
    assert route.link_local.startswith("fe80::f816:3eff:fe")
    net.send("PUT", f"routers/{router['id']}/remove_router_interface", json={"subnet_id": subnet["id"]})
    cloud.settle()
    assert host.agent.wanted.bgp[0].routes == ()
    act(cloud, net, made, "remove_gateway_network", network_id=outside["id"])
    cloud.settle()
    assert host.agent.wanted.bgp == ()


def test_speakers_and_peers_are_the_operator_s(cloud: Cloud, net: Net) -> None:
    for path in ("bgp-speakers", "bgp-peers"):
        net.refused("GET", path, 403, "PolicyNotAuthorized")
    net.refused(
        "POST", "bgp-speakers", 403, "PolicyNotAuthorized", json={"bgp_speaker": {"local_as": 64512, "ip_version": 4}}
    )


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("speaker", {"local_as": 0, "ip_version": 4}),
        ("speaker", {"local_as": 4294967296, "ip_version": 4}),
        ("speaker", {"local_as": 64512, "ip_version": 5}),
        ("speaker", {"local_as": 64512}),
        ("speaker", {"local_as": 64512, "ip_version": 4, "peers": []}),
        ("peer", {"peer_ip": "router", "remote_as": 64513}),
        ("peer", {"peer_ip": "224.0.0.1", "remote_as": 64513}),
        ("peer", {"peer_ip": "192.0.2.1", "remote_as": -1}),
        ("peer", {"peer_ip": "192.0.2.1", "remote_as": 64513, "auth_type": "sha"}),
        ("peer", {"peer_ip": "192.0.2.1", "remote_as": 64513, "auth_type": "md5"}),
        ("peer", {"peer_ip": "192.0.2.1", "remote_as": 64513, "password": "x"}),
        ("peer", {"peer_ip": "192.0.2.1", "remote_as": 64513, "auth_type": "md5", "password": "a\nrouter bgp 1"}),
    ],
)
def test_a_speaker_or_peer_that_cannot_be(cloud: Cloud, net: Net, kind: str, body: Any) -> None:
    answer = net.send("POST", f"bgp-{kind}s", by=cloud.admin, json={f"bgp_{kind}": body})
    assert answer.status_code == 400, answer.text
    assert net.list(f"bgp-{kind}s", by=cloud.admin) == []


def test_bindings_that_cannot_be(cloud: Cloud, net: Net, outside: Any) -> None:
    made, inside = speaker(cloud, net), net.network()
    first, twin = peer(cloud, net), peer(cloud, net, remote_as=64999)
    act(cloud, net, made, "add_bgp_peer", bgp_peer_id=first["id"])
    for action, body, status, kind in (
        ("add_bgp_peer", {"bgp_peer_id": twin["id"]}, 409, "DuplicateBgpPeerIpException"),
        ("add_bgp_peer", {"bgp_peer_id": "nobody"}, 404, "BgpPeerNotFound"),
        ("add_bgp_peer", {}, 400, "HTTPBadRequest"),
        ("remove_bgp_peer", {"bgp_peer_id": twin["id"]}, 404, "BgpSpeakerPeerNotAssociated"),
        ("add_gateway_network", {"network_id": inside["id"]}, 400, "HTTPBadRequest"),
        ("add_gateway_network", {"network_id": "nowhere"}, 404, "NetworkNotFound"),
        ("remove_gateway_network", {"network_id": outside["id"]}, 404, "BgpSpeakerNetworkNotAssociated"),
    ):
        net.refused("PUT", f"bgp-speakers/{made['id']}/{action}", status, kind, by=cloud.admin, json=body)
    act(cloud, net, made, "add_gateway_network", network_id=outside["id"])
    other = speaker(cloud, net, local_as=64600)
    net.refused(
        "PUT", f"bgp-speakers/{other['id']}/add_gateway_network", 409, "BgpSpeakerNetworkBindingError", by=cloud.admin,
        json={"network_id": outside["id"]},
    )  # fmt: skip
    net.refused(
        "PUT", f"bgp-peers/{first['id']}", 404, "BgpPeerNotAuthenticated", by=cloud.admin, json={"bgp_peer": {"password": "x"}}
    )  # fmt: skip
    assert net.show("bgp_speaker", made["id"], by=cloud.admin)["peers"] == [first["id"]]


def test_an_external_network_that_is_told_of_can_go(cloud: Cloud, net: Net, outside: Any) -> None:
    made = speaker(cloud, net, networks=[outside["id"]])
    net.delete("network", outside["id"], by=cloud.admin)
    assert net.show("bgp_speaker", made["id"], by=cloud.admin)["networks"] == []


def test_strangers_see_only_their_own(cloud: Cloud, net: Net, outside: Any, pool: Any) -> None:
    net.send("PUT", f"quotas/{BLUE}", by=cloud.admin, json={"quota": {"routed_prefix": 5}})
    theirs = drawn(net, net.network(by=cloud.stranger), pool, by=cloud.stranger)
    routed(net, outside, theirs, by=cloud.stranger)
    mine = drawn(net, net.network(), pool)
    routed(net, outside, mine)
    assert [one["prefix"] for one in listed(cloud.stranger)] == [theirs["cidr"]]
    assert [one["prefix"] for one in listed(cloud.member)] == [mine["cidr"]]


def test_a_delegated_prefix_comes_from_the_default_pool(cloud: Cloud, net: Net, outside: Any) -> None:
    network = net.network()
    asked = {"network_id": network["id"], "ip_version": 6, "subnetpool_id": "prefix_delegation", **SLAAC}
    net.refused("POST", "subnets", 400, "HTTPBadRequest", json={"subnet": asked})
    wrong = {"network_id": network["id"], "ip_version": 4, "subnetpool_id": "prefix_delegation"}
    net.refused("POST", "subnets", 400, "HTTPBadRequest", json={"subnet": wrong})
    default = net.create(
        "subnetpool", by=cloud.admin, name="delegated", prefixes=["2001:db8:9000::/40"], shared=True, is_default=True
    )
    subnet = net.create("subnet", **asked)
    assert (subnet["subnetpool_id"], subnet["cidr"]) == (default["id"], "2001:db8:9000::/64")
    router = routed(net, outside, subnet)
    assert [one["next_hop"] for one in listed(cloud.member)] == [gateway(router, 6)]
