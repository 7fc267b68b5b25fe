"""Several gateways of one router, and the routes that follow from them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cloud
from tests.network.conftest import Net
from tests.network.test_floating_ips import router
from tests.network.test_routers import inside, interface, outside, rows
from wolke.drivers.traffic import DETOURED
from wolke.network.floating_ips.rows import DETOUR, all_detour_meters

__all__ = ["inside", "outside", "router"]


@pytest.fixture
def second(cloud: Cloud, net: Net) -> Any:
    network = net.create(
        "network", by=cloud.admin, name="second",
        **{
            "router:external": True, "provider:network_type": "vlan", "provider:physical_network": "public",
            "provider:segmentation_id": 7,
        },
    )  # fmt: skip
    net.create(
        "subnet", by=cloud.admin, network_id=network["id"], ip_version=4, cidr="203.0.113.0/24", enable_dhcp=False
    )
    return network


def gateways(net: Net, router: Any, verb: str, *wanted: Any, by: Any = None) -> Any:
    answer = net.send(
        "PUT", f"routers/{router['id']}/{verb}_external_gateways", by=by, json={"router": {"external_gateways": wanted}}
    )
    assert answer.status_code == 200, answer.text
    return [one["network_id"] for one in answer.json()["router"]["external_gateways"]]


def routes(cloud: Cloud, router: Any) -> set[tuple[str, str, bool]]:
    """(prefix, next hop, watched by BFD)"""
    found = rows(cloud, f"router/{router['id']}").get("Logical_Router_Static_Route", [])
    return {(row.columns["ip_prefix"], row.columns["nexthop"], row.columns["bfd"] is not None) for row in found}


ONE, TWO = ("0.0.0.0/0", "198.51.100.1"), ("0.0.0.0/0", "203.0.113.1")


def test_a_second_gateway_shares_the_way_out_when_an_operator_says_so(
    cloud: Cloud, net: Net, outside: Any, second: Any, inside: Any, router: Any
) -> None:
    assert gateways(net, router, "add", {"network_id": second["id"]}) == [outside["id"], second["id"]]
    assert routes(cloud, router) == {(*ONE, False)}
    made = rows(cloud, f"router/{router['id']}")
    assert len(made["HA_Chassis_Group"]) == 2
    assert {str(row.columns["external_ip"]).rpartition(".")[0] for row in made["NAT"]} == {"198.51.100", "203.0.113"}
    assert len({row.columns["gateway_port"] for row in made["NAT"]}) == 2
    flags = {"enable_default_route_ecmp": True, "enable_default_route_bfd": True}
    for name in flags:
        net.refused("PUT", f"routers/{router['id']}", 403, "PolicyNotAuthorized", json={"router": {name: True}})
    net.update("router", router["id"], by=cloud.admin, **flags)
    assert routes(cloud, router) == {(*ONE, True), (*TWO, True)}
    assert {row.columns["dst_ip"] for row in rows(cloud, f"router/{router['id']}")["BFD"]} == {ONE[1], TWO[1]}
    net.update("router", router["id"], by=cloud.admin, **dict.fromkeys(flags, False))
    assert routes(cloud, router) == {(*ONE, False)} and "BFD" not in rows(cloud, f"router/{router['id']}")


def test_the_first_gateway_s_place_is_taken_when_it_goes(
    cloud: Cloud, net: Net, outside: Any, second: Any, router: Any
) -> None:
    gateways(net, router, "add", {"network_id": second["id"]})
    assert gateways(net, router, "remove", {"network_id": outside["id"]}) == [second["id"]]
    shown = net.show("router", router["id"])
    assert shown["external_gateway_info"]["network_id"] == second["id"] and routes(cloud, router) == {(*TWO, False)}
    assert gateways(net, router, "update", {"network_id": outside["id"]}, {"network_id": second["id"]}) == [
        outside["id"],
        second["id"],
    ]
    assert (
        net.update("router", router["id"], external_gateway_info=None)["external_gateways"][0]["network_id"]
        == second["id"]
    )
    assert gateways(net, router, "update") == [] and routes(cloud, router) == set()
    assert net.show("router", router["id"])["external_gateway_info"] is None


def test_a_client_that_says_nothing_changes_nothing(net: Net, router: Any) -> None:
    before = net.show("router", router["id"])
    for verb, body in (
        ("remove", {"external_gateways": {}}),
        ("remove", {}),
        ("add", {"external_gateways": []}),
        ("update", {}),
    ):
        answer = net.send("PUT", f"routers/{router['id']}/{verb}_external_gateways", json={"router": body})
        assert answer.json()["router"]["external_gateways"] == before["external_gateways"], verb


def test_a_gateway_that_is_told_another_address_stays_the_same_port(
    cloud: Cloud, net: Net, outside: Any, router: Any
) -> None:
    query = f"device_id={router['id']}&device_owner=network:router_gateway"
    [before] = net.list("ports", query, by=cloud.admin)
    info = {"network_id": outside["id"], "external_fixed_ips": [{"ip_address": "198.51.100.77"}]}
    net.update("router", router["id"], by=cloud.admin, external_gateway_info=info)
    [after] = net.list("ports", query, by=cloud.admin)
    assert after["id"] == before["id"] and after["fixed_ips"][0]["ip_address"] == "198.51.100.77"
    [nat] = rows(cloud, f"router/{router['id']}")["NAT"]
    assert nat.columns["external_ip"] == "198.51.100.77"


def test_a_floating_ip_holds_the_gateway_it_enters_by(
    cloud: Cloud, net: Net, outside: Any, second: Any, inside: Any, router: Any
) -> None:
    port = net.create("port", network_id=inside["network_id"])
    net.refused(
        "POST", "floatingips", 404, "ExternalGatewayForFloatingIPNotFound",
        json={"floatingip": {"floating_network_id": second["id"], "port_id": port["id"]}},
    )  # fmt: skip
    gateways(net, router, "add", {"network_id": second["id"]})
    floating = net.create("floatingip", floating_network_id=second["id"], port_id=port["id"])
    [nat] = rows(cloud, f"floating_ip/{floating['id']}")["NAT"]
    [detour] = rows(cloud, f"floating_ip/{floating['id']}")["Logical_Router_Policy"]
    assert detour.columns["nexthops"] == {"203.0.113.1"} and "10.0.0.0/24" in str(detour.columns["match"])
    [leg] = [
        row
        for row in rows(cloud, f"router/{router['id']}")["Logical_Router_Port"]
        if "203.0.113" in str(row.columns["networks"])
    ]
    assert nat.columns["gateway_port"].key == leg.key
    url = f"routers/{router['id']}/remove_external_gateways"
    wanted = {"router": {"external_gateways": [{"network_id": second["id"]}]}}
    net.refused("PUT", url, 409, "RouterExternalGatewayInUseByFloatingIp", json=wanted)
    assert gateways(net, router, "remove", {"network_id": outside["id"]}) == [second["id"]]
    assert "Logical_Router_Policy" not in rows(cloud, f"floating_ip/{floating['id']}")
    net.delete("floatingip", floating["id"])
    interface(net, router, "remove", subnet_id=inside["id"])
    net.delete("router", router["id"])
    cloud.settle()
    assert not rows(cloud, f"router/{router['id']}")


def test_several_next_hops_of_one_destination_share_it(cloud: Cloud, net: Net, inside: Any, router: Any) -> None:
    far = [{"destination": "192.168.9.0/24", "nexthop": f"10.0.0.{at}"} for at in (8, 9)]
    assert net.update("router", router["id"], routes=far)["routes"] == far
    assert {(one["destination"], one["nexthop"], False) for one in far} <= routes(cloud, router)
    nats = {row.columns["logical_ip"] for row in rows(cloud, f"router/{router['id']}")["NAT"]}
    assert nats == {"10.0.0.0/24", "192.168.9.0/24"}, "a network behind another router leaves with no address of ours"


BAD: list[tuple[str, Any, int, str]] = [
    ("add", {"network_id": "nowhere"}, 404, "NetworkNotFound"),
    ("add", {}, 400, "HTTPBadRequest"),
    ("add", {"network_id": "{net}"}, 400, "HTTPBadRequest"),
    ("add", {"network_id": "{second}", "enable_snat": False}, 403, "PolicyNotAuthorized"),
    (
        "add",
        {"network_id": "{out}", "external_fixed_ips": [{"ip_address": "198.51.100.9"}]},
        403,
        "PolicyNotAuthorized",
    ),
    ("add", {"network_id": "{second}", "colour": "red"}, 400, "HTTPBadRequest"),
    ("add", {"network_id": "{out}"}, 400, "HTTPBadRequest"),
    ("remove", {"network_id": "{second}"}, 400, "UnableToMatchGateways"),
    (
        "remove",
        {"network_id": "{out}", "external_fixed_ips": [{"ip_address": "198.51.100.9"}]},
        400,
        "UnableToMatchGateways",
    ),
    ("update", {"network_id": "{net}"}, 400, "HTTPBadRequest"),
]


@pytest.mark.parametrize(("verb", "wanted", "status", "kind"), BAD)
def test_bad_gateways_are_refused_and_change_nothing(
    cloud: Cloud,
    net: Net,
    outside: Any,
    second: Any,
    inside: Any,
    router: Any,
    verb: str,
    wanted: Any,
    status: int,
    kind: str,
) -> None:
    names = {"net": inside["network_id"], "out": outside["id"], "second": second["id"]}
    if wanted.get("network_id", "").startswith("{"):
        wanted = wanted | {"network_id": names[wanted["network_id"][1:-1]]}
    before = [net.list(kind, by=cloud.admin) for kind in ("routers", "ports")]
    body = {"router": {"external_gateways": [wanted]}}
    net.refused("PUT", f"routers/{router['id']}/{verb}_external_gateways", status, kind, json=body)
    assert [net.list(kind, by=cloud.admin) for kind in ("routers", "ports")] == before


def test_source_nat_is_switched_by_the_list_of_gateways_too(
    cloud: Cloud, net: Net, outside: Any, inside: Any, router: Any
) -> None:
    for on in (False, True):
        gateways(net, router, "update", {"network_id": outside["id"], "enable_snat": on}, by=cloud.admin)
        assert net.show("router", router["id"])["external_gateway_info"]["enable_snat"] is on
        cloud.settle()
        assert ("NAT" in rows(cloud, f"router/{router['id']}")) is on


def test_a_router_s_revision_counts_its_gateways(
    cloud: Cloud, net: Net, outside: Any, second: Any, router: Any
) -> None:
    """They are ports, but the router shows them: ``If-Match`` with what was read before a change must not pass."""
    url = f"routers/{router['id']}"
    seen = net.show("router", router["id"])
    for verb, wanted in (("add", {"network_id": second["id"]}), ("remove", {"network_id": second["id"]})):
        gateways(net, router, verb, wanted)
        now = net.show("router", router["id"])
        assert now["revision_number"] > seen["revision_number"], verb
        seen = now
    held = {"external_fixed_ips": [{"ip_address": "198.51.100.77"}], "network_id": outside["id"]}
    body = {"router": {"external_gateway_info": held}}
    match = {"If-Match": f"revision_number={seen['revision_number']}"}
    answers = [net.send("PUT", url, by=cloud.admin, json=body, headers=match).status_code for _ in range(2)]
    assert answers == [200, 412]
    [event] = cloud.admin.get(f"/wolke/v1/events?target_id={router['id']}&limit=1").json()["events"]
    assert "external_gateway_info" in event["after"]


def test_what_leaves_by_another_gateway_is_counted_on_its_way_there(
    cloud: Cloud, net: Net, outside: Any, second: Any, inside: Any, router: Any
) -> None:
    port = net.create("port", network_id=inside["network_id"])
    gateways(net, router, "add", {"network_id": second["id"]})
    floating = net.create("floatingip", floating_network_id=second["id"], port_id=port["id"])
    label = net.send("POST", "metering/metering-labels", by=cloud.admin, json={"metering_label": {}}).json()
    of = {"metering_label_id": label["metering_label"]["id"], "direction": "egress"}
    prefixes: list[dict[str, str]] = [
        {"source_ip_prefix": "10.0.0.0/24"}, {"destination_ip_prefix": "192.0.2.0/24"}, {"source_ip_prefix": "10.9.0.0/24"},
    ]  # fmt: skip
    for prefix in prefixes:
        answer = net.send(
            "POST", "metering/metering-label-rules", by=cloud.admin, json={"metering_label_rule": {**of, **prefix}}
        )
        assert answer.status_code == 201, answer.text
    policies = rows(cloud, f"floating_ip/{floating['id']}")["Logical_Router_Policy"]
    [detour] = [row for row in policies if row.columns["priority"] == DETOUR]
    counting = [row for row in policies if row is not detour]
    assert all(row.columns["nexthops"] == detour.columns["nexthops"] for row in counting)
    lengths = sorted(int(str(row.columns["priority"])) - DETOURED.start for row in counting)
    assert lengths == [0, 0, 24, 24], "two pieces, each for what the routes would lead to either gateway"
    for row in counting:
        assert all(part in str(row.columns["match"]) for part in str(detour.columns["match"]).split(" && ")[1:])
    with cloud.app.database.read() as db:
        assert {one.match for one in all_detour_meters(db)} == {row.columns["match"] for row in counting}
    net.send("DELETE", f"metering/metering-labels/{of['metering_label_id']}", by=cloud.admin)
    assert rows(cloud, f"floating_ip/{floating['id']}")["Logical_Router_Policy"] == [detour]
