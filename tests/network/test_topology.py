"""The topology of a project: what is in the graph, who sees it, and that the picture is one."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from tests.conftest import BLUE, RED, Cloud
from tests.network.conftest import Net
from tests.network.reaching import Plan

PATH = "/wolke/v1/topology"
SPACE = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def plan(cloud: Cloud, net: Net) -> Plan:
    return Plan(cloud, net)


def graph(client: Any, query: str = "") -> tuple[dict[str, Any], list[Any]]:
    reply = client.get(f"{PATH}{query}")
    assert reply.status_code == 200, reply.text
    found = reply.json()["topology"]
    return {node["id"]: node for node in found["nodes"]}, found["edges"]


def texts(client: Any, **headers: str) -> set[str]:
    reply = client.get(f"{PATH}.svg", headers=headers)
    assert reply.headers["content-type"] == "image/svg+xml"
    root = ElementTree.fromstring(reply.text)
    return {"".join(text.itertext()) for text in root.iter(f"{SPACE}text")}


def test_everything_of_a_project_and_how_it_is_joined(plan: Plan, cloud: Cloud) -> None:
    network, group = plan.network("10.0.0.0/24", "fd00::/64"), plan.group(name="web")
    router = plan.router(network)
    server = plan.server(network, group, device_id="s1", device_owner="compute:nova", dns_name="shop")
    floating = plan.floating(server)
    nodes, edges = graph(cloud.member)
    kinds = {id: node["type"] for id, node in nodes.items()}
    assert kinds == {
        plan.public["id"]: "network", network["id"]: "network", router["id"]: "router", server["id"]: "port", "s1": "server",
        floating["id"]: "floatingip", **dict.fromkeys([*network["subnets"], *nodes_of(nodes, plan.public["id"])], "subnet"),
    }  # fmt: skip
    assert nodes[server["id"]]["security_groups"] == [{"id": group["id"], "name": "web"}]
    assert nodes[server["id"]]["status"] == "ACTIVE" and nodes["s1"]["name"] == "shop"
    joined = {(edge["type"], edge["source"], edge["target"]) for edge in edges}
    four = network["subnets"][0]
    assert joined >= {
        ("interface", router["id"], four), ("gateway", router["id"], plan.public["id"]), ("address", server["id"], four),
        ("card", server["id"], "s1"), ("leads_to", floating["id"], server["id"]), ("subnet", four, network["id"]),
    }  # fmt: skip
    known = set(nodes)
    assert all({edge["source"], edge["target"]} <= known for edge in edges), "an edge leads out of the graph"


def nodes_of(nodes: dict[str, Any], network_id: str) -> list[str]:
    return [id for id, node in nodes.items() if node["type"] == "subnet" and node["network_id"] == network_id]


def test_others_things_are_not_shown(plan: Plan, cloud: Cloud) -> None:
    shared = plan.network(by=cloud.admin, shared=True, name="common")
    mine, theirs = plan.server(shared), plan.server(shared, by=cloud.stranger)
    own = plan.network(by=cloud.stranger, name="theirs")
    nodes, _ = graph(cloud.stranger)
    assert {shared["id"], theirs["id"], own["id"]} <= nodes.keys() and mine["id"] not in nodes
    assert cloud.member.get(f"{PATH}?project_id={BLUE}").status_code == 403
    assert cloud.member.get(f"{PATH}?project_id={RED}").status_code == 200
    assert graph(cloud.admin, f"?project_id={BLUE}")[0] == nodes
    whole, _ = graph(cloud.admin)
    assert {mine["id"], theirs["id"]} <= whole.keys()


def test_a_picture_with_names_and_addresses(plan: Plan, cloud: Cloud) -> None:
    network = plan.network(name='a <b> & "c"')
    plan.router(network, name="door")
    server = plan.server(network, plan.group(name="web"), name="shop")
    floating = plan.floating(server)
    told = texts(cloud.member)
    words = {
        'a <b> & "c"',
        "door",
        "shop",
        "web",
        floating["floating_ip_address"],
        server["fixed_ips"][0]["ip_address"],
    }
    assert words <= told
    reply = cloud.member.get(PATH, headers={"Accept": "image/svg+xml"})
    assert reply.headers["content-type"] == "image/svg+xml" and reply.text.startswith("<svg")


def test_a_router_without_a_way_out_translates_nothing(plan: Plan, cloud: Cloud) -> None:
    plan.router(plan.network(), outside=False)
    assert "router" in texts(cloud.member)
    plan.router(plan.network())
    assert {"router", "router, translates"} <= texts(cloud.member)


def test_an_empty_project_and_wrong_input(cloud: Cloud) -> None:
    assert "There is no network yet." in texts(cloud.stranger)
    assert cloud.member.get(f"{PATH}?colour=red").status_code == 400
    assert cloud.nobody.get(PATH).status_code == 401


def test_the_number_of_statements_does_not_grow(plan: Plan, cloud: Cloud) -> None:
    from sqlalchemy import event

    network = plan.network()
    plan.router(network)
    counts = []
    for _ in range(2):
        for _ in range(5):
            plan.server(network)
        seen: list[str] = []

        def count(*arguments: Any, seen: list[str] = seen) -> None:
            seen.append(str(arguments[2]))

        event.listen(cloud.app.database.engine, "before_cursor_execute", count)
        graph(cloud.member)
        event.remove(cloud.app.database.engine, "before_cursor_execute", count)
        counts.append(len(seen))
    assert counts[0] == counts[1]
