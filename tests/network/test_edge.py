"""The edge inventory: every way in and out, what is open there, since when and by whom, and what a dry run of the door tells."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import BLUE, RED, Cloud
from tests.network.conftest import Net
from tests.network.doorman import Doorman
from tests.network.zones import VLAN, Zones
from wolke.core.db import iso
from wolke.network.edge.witness import Witness

EDGE, DOOR = "/wolke/v1/edge", "/wolke/v1/doorman"


class Told:
    """Hosts that say what a test puts in their mouth."""

    def __init__(self) -> None:
        self.says: dict[str, dict[str, str | None]] = {}

    async def ask(self, path: str) -> dict[str, str | None]:
        return self.says.get(path, {})


@pytest.fixture
def hosts(cloud: Cloud) -> Told:
    told = Told()
    cloud.app.add(Witness, told)  # type: ignore[type-abstract]
    return told


class Place:
    """A server of the member's behind a router, with a floating IP and everything allowed in by its group."""

    def __init__(self, net: Net, public: Any, *rules: dict[str, Any]) -> None:
        self.net = net
        self.network = net.network()
        self.subnet = net.subnet(self.network)
        self.router = net.create("router", external_gateway_info={"network_id": public["id"]})
        net.send("PUT", f"routers/{self.router['id']}/add_router_interface", json={"subnet_id": self.subnet["id"]})
        self.group = net.create("security_group", name="web")
        for rule in rules:
            self.rule(**rule)
        self.port = net.port(
            self.network, security_groups=[self.group["id"]], device_id="s1", device_owner="compute:nova"
        )
        self.floating = net.create("floatingip", floating_network_id=public["id"], port_id=self.port["id"])
        self.address = self.floating["floating_ip_address"]

    def rule(self, **rule: Any) -> Any:
        return self.net.create("security_group_rule", security_group_id=self.group["id"], direction="ingress", **rule)

    def fixed(self) -> str:
        return str(self.port["fixed_ips"][0]["ip_address"])


def web(low: int, high: int = 0) -> dict[str, Any]:
    return {"protocol": "tcp", "port_range_min": low, "port_range_max": high or low}


def edge(cloud: Cloud, query: str = "", by: Any = None) -> list[Any]:
    cloud.settle()
    answer = (by or cloud.admin).get(f"{EDGE}?{query}")
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["edge"]
    return found


def spans(way: Any) -> list[tuple[str, int | None, int | None]]:
    return [(one["protocol"], one["port_min"], one["port_max"]) for one in way["open"]]


# What is there ------------------------------------------------------------------------------------------------------
def test_every_way_is_listed_with_what_is_open(cloud: Cloud, net: Net, public: Any, hosts: Told) -> None:
    place = Place(net, public, web(20, 30), web(443))
    ways = {way["kind"]: way for way in edge(cloud)}
    assert set(ways) == {"floating_ip", "router_gateway"}
    floating = ways["floating_ip"]
    assert (floating["address"], floating["project_id"]) == (place.address, RED)
    assert floating["target"] == {"port_ids": [place.port["id"]], "fixed_ip_address": place.fixed()}
    assert spans(floating) == [("tcp", 20, 24), ("tcp", 26, 30), ("tcp", 443, 443)], "25 is shut by the doorman"
    assert {one["decided_by"][0]["type"] for one in floating["open"]} == {"security_group_rule"}
    assert ways["router_gateway"]["open"] == [] and ways["router_gateway"]["source_nat"]
    assert floating["last_change"]["user_name"] == "member"


def test_ports_that_stand_outside_themselves_are_ways_too(cloud: Cloud, net: Net, public: Any, hosts: Told) -> None:
    port = net.port(public, by=cloud.admin, port_security_enabled=False)
    [way] = edge(cloud)
    assert (way["kind"], way["id"]) == ("direct_port", f"direct_port/{port['id']}")


def test_members_see_their_own(cloud: Cloud, net: Net, public: Any, hosts: Told) -> None:
    Place(net, public, web(80))
    assert edge(cloud, by=cloud.stranger) == []
    assert len(edge(cloud, by=cloud.reader)) == 2
    assert edge(cloud, f"project_id={RED}", by=cloud.stranger) == [], "another's project is not to be asked for"
    assert [way["kind"] for way in edge(cloud, "open=true")] == ["floating_ip"]
    assert [way["kind"] for way in edge(cloud, "open=false")] == ["router_gateway"]
    assert [way["kind"] for way in edge(cloud, "kind=router_gateway")] == ["router_gateway"]
    first = edge(cloud, "limit=1")
    assert [way["kind"] for way in (*first, *edge(cloud, f"marker={first[0]['id']}"))] == [
        "floating_ip",
        "router_gateway",
    ]


def test_no_page_tears_apart_what_has_one_id(cloud: Cloud, net: Net, public: Any, hosts: Told) -> None:
    net.subnet(public, "2001:db8:1::/64", by=cloud.admin)
    for _ in range(2):
        net.create("router", external_gateway_info={"network_id": public["id"]})
    whole = [(way["id"], way["address"]) for way in edge(cloud, "kind=router_gateway")]
    assert len(whole) == 4 and len(dict(whole)) == 2
    seen: list[tuple[str, str]] = []
    while page := edge(cloud, "kind=router_gateway&limit=1" + (f"&marker={seen[-1][0]}" if seen else "")):
        seen += [(way["id"], way["address"]) for way in page]
    assert seen == whole


def test_what_became_reachable_since(cloud: Cloud, net: Net, public: Any, hosts: Told) -> None:
    place = Place(net, public, web(80))
    edge(cloud)
    cloud.now += 100
    moment = iso(cloud.now)
    assert edge(cloud, f"since={moment}") == []
    rule = place.rule(**web(81, 90))
    [way] = edge(cloud, f"since={moment}")
    assert spans(way) == [("tcp", 81, 90)], "what was open before is not new"
    event = cloud.admin.get(f"/wolke/v1/events/{way['open'][0]['event_id']}").json()["event"]
    assert (event["kind"], event["target_id"], event["user_name"]) == ("security_group_rule", rule["id"], "member")
    cloud.now += 100
    net.delete("security_group_rule", rule["id"])
    assert edge(cloud, f"since={moment}") == []
    assert spans(edge(cloud, "kind=floating_ip")[0]) == [("tcp", 80, 80)]


def test_what_others_change_is_seen_and_not_told(cloud: Cloud, net: Net, public: Any, hosts: Told) -> None:
    """A group that another project shares, an operator's network and a right on its zone open and shut a project's ways."""
    zones = Zones(cloud, net)
    zone = zones.make(**VLAN)
    grant, network = zones.grant(zone), zones.network(zone, **{"router:external": True})
    net.subnet(network, "203.0.113.0/24", by=cloud.admin)
    group = net.create("security_group", name="shared", by=cloud.stranger)
    policy = {
        "object_type": "security_group",
        "object_id": group["id"],
        "action": "access_as_shared",
        "target_tenant": RED,
    }
    assert net.send("POST", "rbac-policies", by=cloud.stranger, json={"rbac_policy": policy}).status_code == 201
    net.port(network, security_groups=[group["id"]], device_id="s1", device_owner="compute:nova")

    def seen() -> list[Any]:
        [way] = edge(cloud, "kind=direct_port", by=cloud.member)
        assert way["last_change"]["user_name"] == "member", "what others did to their own things is theirs"
        return spans(way)

    assert seen() == []
    body = {"security_group_id": group["id"], "direction": "ingress", **web(443)}
    rule = net.create("security_group_rule", by=cloud.stranger, **body)
    assert seen() == [("tcp", 443, 443)]
    net.update("network", network["id"], admin_state_up=False, by=cloud.admin)
    assert seen() == []
    net.update("network", network["id"], admin_state_up=True, by=cloud.admin)
    assert seen() == [("tcp", 443, 443)]
    net.delete("security_group_rule", rule["id"], by=cloud.stranger)
    assert seen() == []
    net.create("security_group_rule", by=cloud.stranger, **body)
    assert seen() == [("tcp", 443, 443)]
    zones.revoke(grant)
    cloud.settle()
    [way] = cloud.admin.get(f"{EDGE}?kind=direct_port").json()["edge"]
    assert way["open"] == []


def test_the_door_opens_ways_as_well(cloud: Cloud, net: Net, public: Any, hosts: Told, door: Doorman) -> None:
    Place(net, public, web(25))
    assert edge(cloud, "open=true") == []
    cloud.now += 10
    moment = iso(cloud.now)
    door.exception(door.smtp(), 60, project_id=RED)
    assert [spans(way) for way in edge(cloud, f"since={moment}")] == [[("tcp", 25, 25)]]
    cloud.now += 61
    assert edge(cloud, "open=true") == []


def test_counters_are_the_hosts(cloud: Cloud, net: Net, public: Any, hosts: Told) -> None:
    place = Place(net, public, web(80))
    counts = {"in": {place.address: [3, 180]}, "out": {place.address: [2, 120]}, "ports": {}}
    hosts.says["/counters"] = {"h1": json.dumps(counts), "h2": json.dumps(counts), "h3": None}
    floating, gateway = edge(cloud)
    assert floating["counters"] == {"packets_in": 6, "bytes_in": 360, "packets_out": 4, "bytes_out": 240}
    assert gateway["counters"] is None
    assert cloud.admin.get(EDGE).json()["silent_hosts"] == ["h3"]
    assert "counters" not in edge(cloud, "counters=false")[0]


@pytest.mark.parametrize(
    "query", ["kind=door", "colour=red", "since=then", "limit=0", "limit=x", "marker=none", "open=maybe", "counters=2"]
)
def test_wrong_questions_are_refused(cloud: Cloud, query: str) -> None:
    answer = cloud.admin.get(f"{EDGE}?{query}")
    assert answer.status_code == 400 and query.partition("=")[0] in answer.json()["error"]["message"]


# The dry run --------------------------------------------------------------------------------------------------------
def entry(
    source: str, target: str, sport: int, dport: int, back: str = "", goes_to: str = "", protocol: int = 6
) -> list[Any]:
    """As connection tracking has it; ``back`` answers, ``goes_to`` is where the answer goes."""
    return [protocol, source, target, sport, dport, back or target, goes_to or source, dport, sport]


def preview(cloud: Cloud, rules: list[Any], status: int = 200) -> Any:
    answer = cloud.admin.post(f"{DOOR}/preview", json={"doorman_preview": {"rules": rules}})
    assert answer.status_code == status, answer.text
    return answer.json()["doorman_preview"] if status == 200 else answer.json()["error"]["message"]


def test_a_dry_run_tells_what_it_would_cut(cloud: Cloud, net: Net, public: Any, hosts: Told, door: Doorman) -> None:
    place = Place(net, public, web(80, 90))
    cloud.settle()
    inward = entry("192.0.2.9", place.address, 4711, 80, back=place.fixed())
    same = entry("192.0.2.9", place.fixed(), 4711, 80)
    outward = entry(place.fixed(), "192.0.2.25", 40000, 25, goes_to=place.address)
    high = entry("192.0.2.9", place.address, 4712, 8080, back=place.fixed())
    hosts.says["/conversations"] = {"h1": json.dumps([inward, same, outward, high]), "h2": None}
    before = door.rules()
    keep = {"id": door.smtp()["id"]}
    http = {"action": "deny", "direction": "ingress", "protocol": "tcp", **{"port_range_min": 80, "port_range_max": 80}}
    told = preview(cloud, [keep, http])
    assert told["conversations"] == 3 and told["silent_hosts"] == ["h2"]
    [cut] = told["conversations_cut"]
    assert (cut["rule_id"], cut["remote"], cut["local"], cut["port"]) == ("new-2", "192.0.2.9", place.address, 80)
    assert [(one["port_min"], one["port_max"]) for one in told["ports_shut"]] == [(80, 80)]
    assert told["ports_opened"] == [] and told["conversations_not_begun_again"] == []
    everything = preview(cloud, [keep, {"action": "deny", "direction": "ingress"}])
    assert everything["conversations_cut"] == [], "TCP that is under way goes on"
    assert sorted(one["port"] for one in everything["conversations_not_begun_again"]) == [80, 8080]
    mail = preview(
        cloud,
        [{"action": "deny", "direction": "egress", "protocol": "tcp", "port_range_min": 25, "port_range_max": 25}],
    )
    assert [(one["direction"], one["local"], one["port"]) for one in mail["conversations_cut"]] == [
        ("egress", place.address, 25)
    ]
    assert door.rules() == before, "a dry run changes nothing"


def test_a_dry_run_tells_what_it_would_open(cloud: Cloud, net: Net, public: Any, hosts: Told, door: Doorman) -> None:
    place = Place(net, public, web(20, 30))
    told = preview(cloud, [{"id": door.smtp()["id"], "enabled": False}])
    assert [(one["address"], one["port_min"]) for one in told["ports_opened"]] == [(place.address, 25)]
    assert told["ports_shut"] == [] and told["conversations"] == 0
    assert preview(cloud, [{"id": door.smtp()["id"]}])["ways_concerned"] == 0


BAD: list[tuple[Any, int, str]] = [
    ([{"direction": "ingress"}], 400, "action"),
    ([{"action": "deny"}], 400, "direction"),
    ([{"id": "none"}], 404, "none"),
    ([{"action": "deny", "direction": "ingress", "position": 1}], 400, "position"),
    ([{"action": "deny", "direction": "ingress", "protocol": "tcp", "port_range_min": 7}], 400, "port_range_max"),
    ([{"action": "deny", "direction": "ingress", "local_ip_prefixes": ["x"]}], 400, "local_ip_prefixes"),
    ("none", 400, "rules"),
]


@pytest.mark.parametrize(("rules", "status", "field"), BAD, ids=str)
def test_wrong_dry_runs_are_refused(cloud: Cloud, rules: Any, status: int, field: str) -> None:
    assert field in preview(cloud, rules, status)


def test_a_dry_run_is_the_operator_s(cloud: Cloud) -> None:
    for api in (cloud.member, cloud.reader, cloud.stranger):
        assert api.post(f"{DOOR}/preview", json={"doorman_preview": {"rules": []}}).status_code == 403


# What binds whom ----------------------------------------------------------------------------------------------------
def test_a_project_sees_the_rules_that_bind_its_own(cloud: Cloud, net: Net, public: Any, door: Doorman) -> None:
    place = Place(net, public)
    door.rule(name="other", local_ip_prefixes=["192.0.2.0/24"])
    made = door.exception(door.smtp(), floatingip_id=place.floating["id"])

    def effective(query: str, by: Any = None, status: int = 200) -> Any:
        answer = (by or cloud.member).get(f"{DOOR}/effective?{query}")
        assert answer.status_code == status, answer.text
        return answer.json().get("effective")

    [floating, gateway] = effective(f"port_id={place.port['id']}")
    assert (floating["via"], floating["address"], floating["network_id"]) == (
        "floating_ip",
        place.address,
        public["id"],
    )
    assert [(rule["name"], [one["id"] for one in rule["exceptions"]]) for rule in floating["rules"]] == [
        ("smtp", [made["id"]])
    ]
    assert gateway["via"] == "router_gateway" and gateway["rules"][0]["exceptions"] == []
    assert effective(f"floatingip_id={place.floating['id']}") == [floating]
    assert effective(f"router_id={place.router['id']}")[-1]["via"] == "router_gateway"
    assert effective(f"subnet_id={place.subnet['id']}") == []
    effective(f"port_id={place.port['id']}", cloud.stranger, 404)
    for query in ("", "port_id=a&router_id=b", "colour=red"):
        effective(query, status=400)
    effective("port_id=none", status=404)
    assert BLUE != RED
