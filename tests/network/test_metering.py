"""Metering: labels and rules, the policies they become, how prefixes are cut, and how counts outlive what counts them."""

from __future__ import annotations

import json
import random
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import BLUE, RED, Cloud
from tests.network.conftest import Net
from tests.network.test_edge import Told, hosts
from wolke.core import metrics
from wolke.network.metering.pieces import Rule, pieces, rule_of

__all__ = ["hosts"]
LABELS, RULES = "metering/metering-labels", "metering/metering-label-rules"
EVERYTHING = {"remote_ip_prefix": "0.0.0.0/0"}


def label(net: Net, *, by: Any = None, **body: Any) -> Any:
    answer = net.send("POST", LABELS, by=by or net.cloud.admin, json={"metering_label": {"name": "out", **body}})
    assert answer.status_code == 201, answer.text
    return answer.json()["metering_label"]


def rule(net: Net, of: Any, direction: str, *, by: Any = None, **body: Any) -> Any:
    asked = {"metering_label_id": of["id"], "direction": direction, **body}
    answer = net.send("POST", RULES, by=by or net.cloud.admin, json={"metering_label_rule": asked})
    assert answer.status_code == 201, answer.text
    return answer.json()["metering_label_rule"]


def delete(net: Net, path: str, thing: Any) -> None:
    answer = net.send("DELETE", f"{path}/{thing['id']}", by=net.cloud.admin)
    assert answer.status_code == 204, answer.text


@pytest.fixture
def public(net: Net) -> Any:
    made = net.create("network", name="public", by=net.cloud.admin, **{"router:external": True})
    net.subnet(made, "198.51.100.0/24", by=net.cloud.admin)
    return made


def router(net: Net, public: Any, *, by: Any = None) -> Any:
    return net.create("router", by=by, external_gateway_info={"network_id": public["id"]})


def policies(net: Net) -> dict[str, int]:
    """Side and packets -> priority."""
    net.cloud.settle()
    found = {}
    for (table, _), row in net.cloud.north.table.items():
        if table == "Logical_Router_Policy":
            assert row.columns["action"] == "allow"
            side, _, packets = str(row.columns["match"]).partition(" && ")
            found[f"{side.split()[0]} {packets}"] = int(str(row.columns["priority"]))
    return found


# The API ------------------------------------------------------------------------------------------------------------
def test_labels_and_rules_are_shown_as_neutron_shows_them(net: Net) -> None:
    made = label(net, description="all that leaves")
    assert made == {
        "id": made["id"], "name": "out", "description": "all that leaves", "project_id": RED, "tenant_id": RED, "shared": False,
    }  # fmt: skip
    one = rule(net, made, "egress", remote_ip_prefix="10.0.0.7/24")
    assert one == {
        "id": one["id"], "metering_label_id": made["id"], "direction": "egress", "remote_ip_prefix": "10.0.0.7/24",
        "source_ip_prefix": None, "destination_ip_prefix": None, "excluded": False,
    }  # fmt: skip
    two = rule(net, made, "ingress", source_ip_prefix="192.0.2.1", excluded=True)
    assert (two["source_ip_prefix"], two["excluded"]) == ("192.0.2.1/32", True)
    for path, name, thing in ((LABELS, "metering_label", made), (RULES, "metering_label_rule", one)):
        assert net.send("GET", f"{path}/{thing['id']}").json()[name] == thing
        assert net.send("GET", f"{path}?id={thing['id']}").json()[f"{name}s"] == [thing]
        assert net.send("GET", f"{path}?id=33").json()[f"{name}s"] == []
        assert net.send("PUT", f"{path}/{thing['id']}", json={name: {}}).status_code == 405
    assert net.send("GET", f"{RULES}?metering_label_id={made['id']}&direction=ingress").json() == {
        "metering_label_rules": [two]
    }
    delete(net, LABELS, made)
    assert net.send("GET", RULES).json()["metering_label_rules"] == []


def test_managers_have_their_own_and_operators_count_on_all(net: Net) -> None:
    manager = net.cloud.client("manager")
    own = label(net, by=manager)
    theirs = label(net, project_id=BLUE)
    rule(net, own, "egress", by=manager, **EVERYTHING)
    assert [one["id"] for one in net.send("GET", LABELS, by=net.cloud.reader).json()["metering_labels"]] == [own["id"]]
    net.refused("POST", LABELS, 403, "PolicyNotAuthorized", json={"metering_label": {}})
    net.refused("POST", LABELS, 403, "PolicyNotAuthorized", by=manager, json={"metering_label": {"shared": True}})
    asked = {"metering_label_rule": {"metering_label_id": theirs["id"], "direction": "egress", **EVERYTHING}}
    net.refused("POST", RULES, 404, "MeteringLabelNotFound", by=manager, json=asked)
    net.refused("DELETE", f"{LABELS}/{own['id']}", 403, "PolicyNotAuthorized")
    assert rule(net, theirs, "egress", **EVERYTHING)
    assert net.send("GET", RULES, by=net.cloud.stranger).json()["metering_label_rules"] != []


WRONG: list[tuple[dict[str, Any], int, str, str]] = [
    ({"direction": "sideways"}, 400, "HTTPBadRequest", "direction"),
    ({"direction": None}, 400, "HTTPBadRequest", "direction"),
    ({"excluded": "perhaps"}, 400, "HTTPBadRequest", "excluded"),
    ({"metering_label_id": 7}, 400, "HTTPBadRequest", "metering_label_id"),
    ({"metering_label_id": "gone"}, 404, "MeteringLabelNotFound", "Metering label 'gone' does not exist."),
    ({"remote_ip_prefix": "10.0.0.0/33"}, 400, "Invalid", "remote_ip_prefix: 10.0.0.0/33 is invalid ["),
    ({"remote_ip_prefix": None}, 400, "Invalid", "at least one of the following parameters"),
    ({"remote_ip_prefix": 7}, 400, "HTTPBadRequest", "remote_ip_prefix"),
    ({"remote_ip_prefix": None, "source_ip_prefix": "me"}, 400, "Invalid", "source_ip_prefix: me is invalid ["),
    ({"remote_ip_prefix": None, "destination_ip_prefix": "::/129"}, 400, "Invalid", "destination_ip_prefix: ::/129"),
    ({"source_ip_prefix": "192.0.2.0/24"}, 400, "Invalid", "Cannot use 'remote-ip-prefix' in conjunction"),
    ({"remote_ip_prefix": None, "source_ip_prefix": "10.0.0.0/8", "destination_ip_prefix": "::/0"}, 400, "Invalid", "IP version"),
    ({"remote_ip_prefix": "10.0.0.128/25"}, 409, "MeteringLabelRuleOverlaps",
     "Metering label rule with remote_ip_prefix '10.0.0.128/25' overlaps another."),
    ({"remote_ip_prefix": "10.0.0.0/8"}, 409, "MeteringLabelRuleOverlaps", "'10.0.0.0/8' overlaps another."),
    ({"colour": "red"}, 400, "HTTPBadRequest", "colour"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "type", "words"), WRONG)
def test_wrong_rules_are_refused(net: Net, body: dict[str, Any], status: int, type: str, words: str) -> None:
    one = label(net)
    rule(net, one, "egress", remote_ip_prefix="10.0.0.0/24")
    asked = {"metering_label_id": one["id"], "direction": "egress", "remote_ip_prefix": "10.1.0.0/24", **body}
    said = net.refused("POST", RULES, status, type, by=net.cloud.admin, json={"metering_label_rule": asked})
    assert words in said


@pytest.mark.parametrize("body", [{"name": 7}, {"name": "x" * 256}, {"description": "x" * 1025}, {"shared": "perhaps"}])
def test_wrong_labels_are_refused(net: Net, body: dict[str, Any]) -> None:
    said = net.refused("POST", LABELS, 400, "HTTPBadRequest", by=net.cloud.admin, json={"metering_label": body})
    assert f"metering_label.{next(iter(body))}" in said


def test_other_directions_labels_and_exclusions_may_overlap(net: Net) -> None:
    one, two = label(net), label(net)
    rule(net, one, "egress", **EVERYTHING)
    rule(net, one, "ingress", **EVERYTHING)
    rule(net, one, "egress", remote_ip_prefix="10.0.0.0/24", excluded=True)
    rule(net, two, "egress", **EVERYTHING)
    for _ in range(2):
        rule(net, one, "egress", source_ip_prefix="10.0.0.0/24")
    rule(net, one, "egress", remote_ip_prefix="::/0")


def test_a_project_has_so_many(net: Net) -> None:
    net.send(
        "PUT", f"quotas/{RED}", by=net.cloud.admin, json={"quota": {"metering_label": 1, "metering_label_rule": 1}}
    )
    one = label(net)
    rule(net, one, "egress", **EVERYTHING)
    net.refused("POST", LABELS, 409, "OverQuota", by=net.cloud.admin, json={"metering_label": {}})
    asked = {"metering_label_id": one["id"], "direction": "ingress", **EVERYTHING}
    net.refused("POST", RULES, 409, "OverQuota", by=net.cloud.admin, json={"metering_label_rule": asked})


# What the network gets ----------------------------------------------------------------------------------------------
def test_policies_follow_labels_and_gateways(net: Net, public: Any) -> None:
    one = label(net)
    assert policies(net) == {}
    rule(net, one, "egress", **EVERYTHING)
    inside = rule(net, one, "ingress", remote_ip_prefix="10.0.0.0/24")
    rule(net, one, "ingress", remote_ip_prefix="10.0.0.7", excluded=True)
    assert policies(net) == {}, "there is no router"
    made = router(net, public)
    wanted = {"outport ip4": 12000, "inport ip4.dst == 10.0.0.0/24": 12324, "inport ip4.dst == 10.0.0.7/32": 12332}
    assert policies(net) == wanted
    delete(net, RULES, inside)
    assert policies(net) == {"outport ip4": 12000}, "what is excluded from nothing needs no policy"
    net.update("router", made["id"], external_gateway_info=None)
    assert policies(net) == {}
    net.update("router", made["id"], external_gateway_info={"network_id": public["id"]})
    assert policies(net) == {"outport ip4": 12000}
    delete(net, LABELS, one)
    assert policies(net) == {}


def test_labels_count_on_their_project_s_routers_and_shared_ones_on_all(net: Net, public: Any) -> None:
    router(net, public)
    router(net, public, by=net.cloud.stranger)
    rule(net, label(net), "egress", **EVERYTHING)
    net.cloud.settle()
    assert len(meters(net.cloud)) == 1
    rule(net, label(net, shared=True), "egress", source_ip_prefix="10.0.0.0/24", destination_ip_prefix="192.0.2.0/24")
    net.cloud.settle()
    assert len(meters(net.cloud)) == 3


# Cutting ------------------------------------------------------------------------------------------------------------
SPACE = 16  # addresses of a small world, 10.0.0.0/28


def some_prefix(draw: random.Random) -> str | None:
    length = draw.choice((None, 28, 29, 30, 31, 32))
    return length and f"10.0.0.{draw.randrange(SPACE)}/{length}"


def some_rule(draw: random.Random) -> Rule:
    source = some_prefix(draw)
    destination = some_prefix(draw) or (None if source else "0.0.0.0/0")
    return rule_of(SimpleNamespace(
        metering_label_id=draw.choice("abc"), direction="egress", excluded=draw.random() < 0.3,
        remote_ip_prefix=None, source_ip_prefix=source, destination_ip_prefix=destination,
    ))  # fmt: skip


def counted(rules: list[Rule], source: IPv4Address, target: IPv4Address) -> set[str]:
    """The labels that a packet counts for, rule by rule."""
    met = [one for one in rules if source in one.packets.source and target in one.packets.destination]
    return {one.label_id for one in met} - {one.label_id for one in met if one.excluded}


@pytest.mark.parametrize("seed", range(30))
def test_each_packet_counts_for_whom_the_rules_say(seed: int) -> None:
    draw = random.Random(seed)
    rules = [some_rule(draw) for _ in range(draw.randrange(1, 12))]
    cut = pieces(frozenset(rules))
    world = [IPv4Address("10.0.0.0") + number for number in range(SPACE)]
    for source in world:
        for target in world:
            met = [one for one in cut if source in one.packets.source and target in one.packets.destination]
            longest = [one for one in met if one.packets.length == max(other.packets.length for other in met)]
            assert len(longest) <= 1, "a switch would choose by chance"
            assert (set(longest[0].labels) if longest else set()) == counted(rules, source, target)


# Counting -----------------------------------------------------------------------------------------------------------
def meters(cloud: Cloud) -> dict[str, str]:
    """The policies of routers by a cookie, as OVN numbers them."""
    rows = (row for (table, _), row in cloud.north.table.items() if table == "Logical_Router_Policy")
    return {f"{number:x}": match for number, match in enumerate(sorted(str(row.columns["match"]) for row in rows), 1)}


class Hosts:
    """What hosts tell of their flows; ``tell(h1={"inport ip4": (packets, bytes, born)})``."""

    def __init__(self, net: Net, told: Told) -> None:
        self.net, self.told = net, told
        net.cloud.settle()
        net.cloud.chassis.flows = lambda priorities: meters(net.cloud)

    def tell(self, **said: dict[str, tuple[int, int, float]] | None) -> list[int]:
        """The one label's figures after a sample: packets in and out, bytes in and out."""
        known = {
            f"{match.split()[0]} {match.partition(' && ')[2]}": cookie
            for cookie, match in meters(self.net.cloud).items()
        }
        self.told.says["/meters"] = {
            host: None if counts is None else json.dumps({known.get(name, name): one for name, one in counts.items()})
            for host, counts in said.items()
        }
        self.net.cloud.now += 31
        self.net.cloud.settle()
        [shown] = metering(self.net.cloud)[:1]
        return [shown[name] for name in ("packets_in", "packets_out", "bytes_in", "bytes_out")]


def metering(cloud: Cloud, query: str = "", by: Any = None) -> list[Any]:
    answer = (by or cloud.admin).get(f"/wolke/v1/metering?{query}")
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["metering"]
    return found


@pytest.fixture
def counting(net: Net, public: Any, hosts: Told) -> Hosts:
    """A label that counts everything on one router."""
    router(net, public)
    one = label(net)
    for direction in ("ingress", "egress"):
        rule(net, one, direction, **EVERYTHING)
    return Hosts(net, hosts)


IN, OUT = "inport ip4", "outport ip4"


def test_all_hosts_add_up_and_only_what_is_new_is_added(counting: Hosts) -> None:
    assert counting.tell(h1={IN: (10, 1000, 5.0), OUT: (4, 400, 5.0)}, h2={IN: (1, 90, 7.0)}) == [11, 4, 1090, 400]
    assert counting.tell(h1={IN: (10, 1000, 5.2), OUT: (5, 500, 5.1)}, h2={IN: (2, 180, 7.0)}) == [12, 5, 1180, 500]


def test_flows_that_are_written_anew_take_nothing_away(counting: Hosts) -> None:
    counting.tell(h1={IN: (10, 1000, 5.0)})
    assert counting.tell(h1={IN: (3, 300, 60.0)}) == [13, 0, 1300, 0], "it counts less: a new flow"
    assert counting.tell(h1={IN: (50, 5000, 90.0)}) == [63, 0, 6300, 0], "it counts more, but was born later"
    assert counting.tell(h1={}) == [63, 0, 6300, 0]
    assert counting.tell(h1={IN: (60, 6000, 130.0)}) == [123, 0, 12300, 0], "it was gone meanwhile"
    assert counting.tell(h1={IN: (60, 6000, 2.0)}) == [183, 0, 18300, 0], "the host's clock began anew"


def test_silent_hosts_and_older_answers_change_nothing(counting: Hosts) -> None:
    counting.tell(h1={IN: (10, 1000, 5.0)}, h2={IN: (1, 100, 5.0)})
    assert counting.tell(h1={IN: (9, 900, 5.0)}, h2=None) == [11, 0, 1100, 0]
    assert counting.tell(h1={IN: (12, 1200, 5.0)}, h2={IN: (4, 400, 5.0)}) == [16, 0, 1600, 0]


def test_flows_that_ovn_has_not_told_of_yet_are_not_taken_as_gone(counting: Hosts) -> None:
    counting.tell(h1={IN: (10, 1000, 5.0)})
    assert counting.tell(h1={"ffff": (10, 1000, 5.0)}) == [10, 0, 1000, 0]
    assert counting.tell(h1={IN: (11, 1100, 5.0)}) == [11, 0, 1100, 0]


def test_what_was_counted_before_a_change_is_for_whom_it_was(counting: Hosts) -> None:
    net = counting.net
    counting.tell(h1={IN: (10, 1000, 5.0)})
    second = label(net)
    rule(net, second, "ingress", **EVERYTHING)
    counting.tell(h1={IN: (15, 1500, 5.0)})
    counting.tell(h1={IN: (16, 1600, 5.0)})
    assert [one["packets_in"] for one in metering(net.cloud)] == [16, 1]
    delete(net, LABELS, second)
    assert counting.tell(h1={IN: (17, 1700, 5.0)}) == [17, 0, 1700, 0]


def test_counts_are_their_project_s_and_outlive_the_router(counting: Hosts) -> None:
    cloud, net = counting.net.cloud, counting.net
    counting.tell(h1={OUT: (10, 1000, 5.0)})
    [shown] = metering(cloud, by=cloud.reader)
    [of_router] = shown["routers"]
    assert of_router["packets_out"] == 10 and shown["project_id"] == RED
    assert metering(cloud, by=cloud.stranger) == [] == metering(cloud, f"project_id={RED}", by=cloud.stranger)
    assert metering(cloud, f"project_id={RED}&label_id={shown['id']}") == [shown]
    assert metering(cloud, f"marker={shown['id']}") == []
    assert cloud.admin.get("/wolke/v1/metering?colour=red").status_code == 400
    page = metrics.page(cloud.app.database).decode()
    figure = (
        f'wolke_metering_bytes{{direction="egress",label="{shown["id"]}",router="{of_router["router_id"]}"}} 1000.0'
    )
    assert figure in page
    net.delete("router", of_router["router_id"])
    assert counting.tell(h1={}) == [0, 10, 0, 1000]


def test_nobody_is_asked_where_nothing_is_counted(counting: Hosts) -> None:
    [one] = metering(counting.net.cloud)
    counting.told.says["/meters"] = {"h1": "{}"}
    delete(counting.net, LABELS, one)
    counting.net.cloud.settle()
    counting.told.says["/meters"] = {"h1": "no JSON"}
    counting.net.cloud.now += 100
    counting.net.cloud.settle()
