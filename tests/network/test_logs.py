"""Logs: which ACLs write lines, for whole groups and for single ports."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import RED, Cloud
from tests.network.conftest import Net


@pytest.fixture
def group(net: Net) -> Any:
    return net.create("security_group", name="web")


@pytest.fixture
def port(net: Net, group: Any) -> Any:
    network = net.network()
    net.subnet(network)
    return net.port(network, security_groups=[group["id"]])


def log(net: Net, cloud: Cloud, **body: Any) -> Any:
    answer = net.send("POST", "log/logs", by=cloud.admin, json={"log": {"resource_type": "security_group", **body}})
    assert answer.status_code == 201, answer.text
    return answer.json()["log"]


def marked(cloud: Cloud, owner: str) -> dict[str, tuple[str, str]]:
    """Key of each ACL that writes lines -> (action, name in the lines)."""
    cloud.settle()
    rows = [row for row in cloud.north.rows(owner) if row.table == "ACL" and row.columns["log"]]
    assert all(row.columns["meter"] == "acl_log" and row.columns["severity"] == "info" for row in rows)
    return {row.key: (str(row.columns["action"]), str(row.columns["name"])) for row in rows}


def test_a_group_s_rules_bear_the_log_s_mark(cloud: Cloud, net: Net, group: Any) -> None:
    owner = f"security_group/{group['id']}"
    one = log(net, cloud, resource_id=group["id"], name="watch", event="ACCEPT")
    assert (one["enabled"], one["event"], one["target_id"]) == (True, "ACCEPT", None)
    rules = {rule["id"] for rule in group["security_group_rules"]}
    assert marked(cloud, owner) == dict.fromkeys(rules, ("allow-related", one["id"]))
    new = net.create("security_group_rule", security_group_id=group["id"], direction="ingress", protocol="tcp")
    assert new["id"] in marked(cloud, owner)
    path = f"log/logs/{one['id']}"
    assert net.send("PUT", path, by=cloud.admin, json={"log": {"enabled": False}}).json()["log"]["enabled"] is False
    assert marked(cloud, owner) == {}
    net.send("PUT", path, by=cloud.admin, json={"log": {"enabled": True, "name": "again"}})
    assert new["id"] in marked(cloud, owner)
    assert net.send("DELETE", path, by=cloud.admin).status_code == 204
    assert marked(cloud, owner) == {}


def test_what_a_group_does_not_allow_is_dropped_with_a_line(cloud: Cloud, net: Net, group: Any) -> None:
    one = log(net, cloud, resource_id=group["id"], event="DROP")
    found = marked(cloud, f"security_group/{group['id']}")
    assert set(found.values()) == {("drop", one["id"])} and len(found) == 2
    rows = {row.key: row.columns for row in cloud.north.rows(f"security_group/{group['id']}") if row.table == "ACL"}
    below: Any = {rows[key]["priority"] for key in found}
    every = [row for row in cloud.north.rows("security_group_drop/all") if row.table == "ACL"]
    drops: Any = [row.columns for row in every if row.columns["action"] == "drop"]
    [plain] = {columns["priority"] for columns in drops}
    assert all(plain < priority < 1002 for priority in below)


def test_all_of_a_project_s_groups(cloud: Cloud, net: Net, group: Any) -> None:
    one = log(net, cloud, event="ALL")
    net.create("security_group", by=cloud.stranger, name="theirs")
    for mine in net.list("security-groups"):
        found = marked(cloud, f"security_group/{mine['id']}")
        assert {action for action, _ in found.values()} == {"allow-related", "drop"}
        assert {name for _, name in found.values()} == {one["id"]}
    for other in net.list("security-groups", by=cloud.stranger):
        assert marked(cloud, f"security_group/{other['id']}") == {}
    later = net.create("security_group", name="later")
    assert len(marked(cloud, f"security_group/{later['id']}")) == 4


def test_one_port_s_packets(cloud: Cloud, net: Net, group: Any, port: Any) -> None:
    one = log(net, cloud, target_id=port["id"])
    owner = f"network_log/{one['id']}"
    found = marked(cloud, owner)
    assert sorted(action for action, _ in found.values()) == ["allow-related", "allow-related", "drop", "drop"]
    rows = [row for row in cloud.north.rows(owner) if row.table == "ACL"]
    assert all(f'port == "{port["id"]}"' in str(row.columns["match"]) for row in rows)
    assert {parent for row in rows for parent in row.parents} == {("Logical_Switch", port["network_id"], "acls")}
    assert marked(cloud, f"security_group/{group['id']}") == {}
    new = net.create("security_group_rule", security_group_id=group["id"], direction="ingress", protocol="tcp")
    assert f"{one['id']}/{new['id']}" in marked(cloud, owner)
    net.update("port", port["id"], security_groups=[])
    assert {action for action, _ in marked(cloud, owner).values()} == {"drop"}
    net.delete("port", port["id"])
    cloud.settle()
    assert cloud.north.rows(owner) == []
    assert net.send("GET", f"log/logs/{one['id']}", by=cloud.admin).status_code == 404


def test_one_group_on_one_port(cloud: Cloud, net: Net, group: Any, port: Any) -> None:
    other = net.create("security_group", name="other")
    net.update("port", port["id"], security_groups=[group["id"], other["id"]])
    one = log(net, cloud, resource_id=group["id"], target_id=port["id"], event="ACCEPT")
    rules = {f"{one['id']}/{rule['id']}" for rule in group["security_group_rules"]}
    assert set(marked(cloud, f"network_log/{one['id']}")) == rules


def test_a_log_goes_with_its_group(cloud: Cloud, net: Net, group: Any) -> None:
    one = log(net, cloud, resource_id=group["id"])
    net.delete("security_group", group["id"])
    assert net.send("GET", f"log/logs/{one['id']}", by=cloud.admin).status_code == 404


def test_what_can_be_logged(cloud: Cloud, net: Net) -> None:
    answer = net.send("GET", "log/loggable-resources", by=cloud.admin)
    assert answer.json() == {"loggable_resources": [{"type": "security_group"}]}


@pytest.mark.parametrize(
    ("given", "status", "type", "says"),
    [
        ({"resource_type": "router"}, 400, "InvalidLogResourceType", "security_group"),
        ({"event": "REJECT"}, 400, "HTTPBadRequest", "event"),
        ({"enabled": "perhaps"}, 400, "HTTPBadRequest", "enabled"),
        ({"resource_id": "nowhere"}, 404, "ResourceNotFound", "nowhere"),
        ({"target_id": "nowhere"}, 404, "TargetResourceNotFound", "nowhere"),
        ({"resource_id": "{other}", "target_id": "{port}"}, 400, "InvalidResourceConstraint", "security_group"),
        ({"colour": "red"}, 400, "HTTPBadRequest", "colour"),
    ],
)
def test_wrong_logs(cloud: Cloud, net: Net, port: Any, given: Any, status: int, type: str, says: str) -> None:
    other = net.create("security_group", name="other")["id"]
    given = {
        name: value.format(other=other, port=port["id"]) if isinstance(value, str) else value
        for name, value in given.items()
    }
    body = {"log": {"resource_type": "security_group", **given}}
    assert says in net.refused("POST", "log/logs", status, type, json=body, by=cloud.admin)
    assert net.send("GET", "log/logs", by=cloud.admin).json() == {"logs": []}


def test_a_project_s_manager_logs_its_own_things_alone(cloud: Cloud, net: Net, group: Any, port: Any) -> None:
    theirs = net.create("security_group", by=cloud.stranger, name="theirs")["id"]
    give = {"object_type": "security_group", "object_id": theirs, "target_tenant": RED, "action": "access_as_shared"}
    assert net.send("POST", "rbac-policies", by=cloud.stranger, json={"rbac_policy": give}).status_code == 201
    manager = cloud.client("manager")
    body = {"resource_type": "security_group", "resource_id": theirs}
    net.refused("POST", "log/logs", 404, "ResourceNotFound", by=manager, json={"log": body})
    body["resource_id"] = group["id"]
    made = net.send("POST", "log/logs", by=manager, json={"log": body})
    assert made.status_code == 201 and made.json()["log"]["project_id"] == RED


def test_members_leave_no_lines(cloud: Cloud, net: Net, group: Any) -> None:
    body = {"log": {"resource_type": "security_group", "resource_id": group["id"]}}
    net.refused("POST", "log/logs", 403, "PolicyNotAuthorized", json=body)
    net.refused("GET", "log/logs", 403, "PolicyNotAuthorized")
