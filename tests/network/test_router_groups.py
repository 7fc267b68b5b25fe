"""Security groups on routers' interfaces and gateways: the same groups, without connection tracking."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import BLUE, Cloud
from tests.network.conftest import Net

WEB: dict[str, Any] = {"direction": "ingress", "protocol": "tcp", "port_range_min": 80, "port_range_max": 80}


@pytest.fixture
def public(cloud: Cloud, net: Net) -> Any:
    provider = {"provider:network_type": "flat", "provider:physical_network": "public", "router:external": True}
    network = net.create("network", by=cloud.admin, name="public", **provider)
    net.create("subnet", by=cloud.admin, network_id=network["id"], cidr="198.51.100.0/24", ip_version=4)
    return network


@pytest.fixture
def group(net: Net) -> Any:
    group = net.create("security_group", name="edge")
    for rule in group["security_group_rules"]:
        net.delete("security_group_rule", rule["id"])
    return group


@pytest.fixture
def interface(cloud: Cloud, net: Net) -> Any:
    """The port of a router on a network."""
    network = net.network()
    subnet = net.subnet(network)
    router = net.create("router", name="r")
    added = net.send("PUT", f"routers/{router['id']}/add_router_interface", json={"subnet_id": subnet["id"]}).json()
    return net.show("port", added["port_id"])


def parents(cloud: Cloud, port: Any) -> set[str]:
    """Port groups that a port is in."""
    cloud.settle()
    [row] = [row for row in cloud.north.rows(f"port/{port['id']}") if row.table == "Logical_Switch_Port"]
    return {name for table, name, _ in row.parents if table == "Port_Group" and not name.startswith("pg_door_")}


def acls(cloud: Cloud, group: Any) -> dict[str, Any]:
    """Key -> columns of the ACLs for ports of routers."""
    cloud.settle()
    name = f"rpg_{group['id'].replace('-', '_')}"
    rows = cloud.north.rows(f"security_group/{group['id']}")
    return {row.key: row.columns for row in rows if ("Port_Group", name, "acls") in row.parents}


def test_an_interface_begins_open_and_takes_groups(cloud: Cloud, net: Net, group: Any, interface: Any) -> None:
    assert interface["security_groups"] == [] and parents(cloud, interface) == set()
    assert net.update("port", interface["id"], security_groups=[group["id"]])["security_groups"] == [group["id"]]
    assert parents(cloud, interface) == {f"rpg_{group['id'].replace('-', '_')}", "pg_router_drop"}
    rule = net.create("security_group_rule", security_group_id=group["id"], **WEB)
    found = acls(cloud, group)
    name = f"@rpg_{group['id'].replace('-', '_')}"
    forth, back = found[f"{rule['id']}/router"], found[f"{rule['id']}/router/answer"]
    assert (forth["direction"], forth["match"]) == ("to-lport", f"outport == {name} && ip4 && tcp && tcp.dst == 80")
    assert back["direction"] == "from-lport" and back["match"] == (
        f"inport == {name} && ip4 && tcp && (tcp.flags == 0/2 || tcp.flags == 0x10/0x10) && tcp.src == 80"
    )
    assert {acl["action"] for acl in found.values()} == {"allow-stateless"}
    assert all(acl["priority"] < 2000 for acl in found.values())
    net.update("port", interface["id"], security_groups=[])
    assert parents(cloud, interface) == set() and acls(cloud, group) == {}
    groups = [row.key for row in cloud.north.rows(f"security_group/{group['id']}") if row.table == "Port_Group"]
    assert groups == [f"pg_{group['id'].replace('-', '_')}"], "the rows for routers are gone"


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ({"protocol": "udp", "port_range_min": 5, "port_range_max": 9}, "udp && udp.src >= 5 && udp.src <= 9"),
        ({"protocol": "udp"}, "(udp.src < 1024 && udp.dst >= 1024)"),
        ({"protocol": "sctp", "port_range_min": 7, "port_range_max": 7}, "sctp && sctp.src == 7"),
        ({"protocol": "icmp", "port_range_min": 8}, "icmp4.type == 0"),
        ({"protocol": "icmp", "port_range_min": 3}, None),
        ({"protocol": "icmp"}, "icmp4.type == {0, 9, 14, 16, 18}"),
        ({"protocol": "icmp", "ethertype": "IPv6", "port_range_min": 128}, "icmp6.type == 129"),
        ({"protocol": "gre"}, "ip.proto == 47"),
        (
            {},
            "((tcp && (tcp.flags == 0/2 || tcp.flags == 0x10/0x10)) || icmp4.type == {0, 9, 14, 16, 18}"
            " || (udp.src < 1024 && udp.dst >= 1024) || (sctp.src < 1024 && sctp.dst >= 1024))",
        ),
        ({"remote_ip_prefix": "10.9.0.7/16", "protocol": "esp"}, "ip4.dst == 10.9.0.0/16 && ip.proto == 50"),
    ],
)
def test_what_counts_as_an_answer(
    cloud: Cloud, net: Net, group: Any, interface: Any, given: Any, answer: str | None
) -> None:
    net.update("port", interface["id"], security_groups=[group["id"]])
    rule = net.create("security_group_rule", security_group_id=group["id"], direction="ingress", **given)
    found = acls(cloud, group).get(f"{rule['id']}/router/answer")
    if answer is None:
        assert found is None
    else:
        assert found and found["match"].split(" && ", 2)[2] == answer


def test_what_a_network_cannot_do_without_passes(cloud: Cloud) -> None:
    cloud.settle()
    rows = [
        row
        for row in cloud.north.rows("security_group_drop/all")
        if ("Port_Group", "pg_router_drop", "acls") in row.parents
    ]
    drops = {row.columns["direction"] for row in rows if row.columns["action"] == "drop"}
    assert drops == {"to-lport", "from-lport"}
    for direction in drops:
        said = " ".join(str(row.columns["match"]) for row in rows if row.columns["direction"] == direction)
        for needed in ("(nd || nd_rs || nd_ra", "icmp4.type == {3, 11, 12}", "icmp6.type == {1, 2, 3, 4}"):
            assert needed in said


def test_a_port_that_becomes_an_interface_loses_a_server_s_groups(cloud: Cloud, net: Net) -> None:
    network = net.network()
    net.subnet(network)
    port = net.port(network)
    assert len(port["security_groups"]) == 1
    router = net.create("router", name="r")
    net.send("PUT", f"routers/{router['id']}/add_router_interface", json={"port_id": port["id"]})
    assert net.show("port", port["id"])["security_groups"] == [] and parents(cloud, port) == set()


def test_rows_go_with_the_last_interface(cloud: Cloud, net: Net, group: Any, interface: Any) -> None:
    net.create("security_group_rule", security_group_id=group["id"], **WEB)
    net.update("port", interface["id"], security_groups=[group["id"]])
    assert len(acls(cloud, group)) == 2
    path = f"routers/{interface['device_id']}/remove_router_interface"
    assert net.send("PUT", path, json={"port_id": interface["id"]}).status_code == 200
    assert acls(cloud, group) == {}
    net.delete("security_group", group["id"])


def test_a_gateway_has_groups_of_the_router_s_project(cloud: Cloud, net: Net, group: Any, public: Any) -> None:
    info = {"network_id": public["id"], "security_groups": [group["id"]]}
    router = net.create("router", name="r", external_gateway_info=info)
    assert router["external_gateway_info"]["security_groups"] == [group["id"]]
    [port] = net.list("ports", f"device_id={router['id']}", by=cloud.admin)
    assert parents(cloud, port) == {f"rpg_{group['id'].replace('-', '_')}", "pg_router_drop"}
    net.refused("DELETE", f"security-groups/{group['id']}", 409, "SecurityGroupInUse")
    kept = net.update("router", router["id"], external_gateway_info={"network_id": public["id"]})
    assert kept["external_gateway_info"]["security_groups"] == [group["id"]], "what is not named stays"
    info["security_groups"] = []
    assert (
        net.update("router", router["id"], external_gateway_info=info)["external_gateway_info"]["security_groups"] == []
    )
    assert parents(cloud, port) == set()
    info["security_groups"] = [group["id"]]
    net.update("router", router["id"], external_gateway_info=info)
    net.update("router", router["id"], external_gateway_info=None)
    assert acls(cloud, group) == {}


@pytest.mark.parametrize("groups", [["nowhere"], ["{theirs}"]])
def test_wrong_groups_on_gateways(cloud: Cloud, net: Net, public: Any, groups: list[str]) -> None:
    theirs = net.create("security_group", by=cloud.stranger, name="theirs")["id"]
    groups = [one.format(theirs=theirs) for one in groups]
    body = {"router": {"external_gateway_info": {"network_id": public["id"], "security_groups": groups}}}
    assert groups[0] in net.refused("POST", "routers", 404, "SecurityGroupNotFound", json=body)
    assert net.list("routers") == []


def test_wrong_groups_on_interfaces(cloud: Cloud, net: Net, group: Any, interface: Any) -> None:
    theirs = net.create("security_group", by=cloud.stranger, name="theirs")["id"]
    plain = net.create("security_group", name="plain", stateful=False)["id"]
    path = f"ports/{interface['id']}"
    for groups, status, type in (
        (["nowhere"], 404, "SecurityGroupNotFound"),
        ([theirs], 404, "SecurityGroupNotFound"),
        ([group["id"], plain], 409, "SecurityGroupConflict"),
    ):
        net.refused("PUT", path, status, type, json={"port": {"security_groups": groups}})
    network = interface["network_id"]
    [metadata] = net.list("ports", f"network_id={network}&device_owner=network:distributed", by=cloud.admin)
    net.refused(
        "PUT", f"ports/{metadata['id']}", 400, "PortSecurityAndIPRequiredForSecurityGroups", by=cloud.admin,
        json={"port": {"security_groups": [group["id"]]}},
    )  # fmt: skip
    assert net.show("port", interface["id"])["security_groups"] == []


def test_a_shared_group_guards_another_project_s_router(cloud: Cloud, net: Net, group: Any, public: Any) -> None:
    network = net.create("network", by=cloud.stranger, name="theirs")
    subnet = net.create("subnet", by=cloud.stranger, network_id=network["id"], cidr="10.0.0.0/24", ip_version=4)
    router = net.create("router", by=cloud.stranger, name="theirs")
    path = f"routers/{router['id']}/add_router_interface"
    port = net.send("PUT", path, by=cloud.stranger, json={"subnet_id": subnet["id"]}).json()["port_id"]
    body = {
        "object_type": "security_group",
        "object_id": group["id"],
        "target_tenant": BLUE,
        "action": "access_as_shared",
    }
    policy = net.send("POST", "rbac-policies", json={"rbac_policy": body}).json()["rbac_policy"]
    assert net.update("port", port, by=cloud.stranger, security_groups=[group["id"]])["security_groups"] == [
        group["id"]
    ]
    net.refused("DELETE", f"rbac-policies/{policy['id']}", 409, "RbacPolicyInUse")
    net.update("port", port, by=cloud.stranger, security_groups=[])
    info = {"network_id": public["id"], "security_groups": [group["id"]]}
    net.update("router", router["id"], by=cloud.stranger, external_gateway_info=info)
    net.refused("DELETE", f"rbac-policies/{policy['id']}", 409, "RbacPolicyInUse")
    net.update("router", router["id"], by=cloud.stranger, external_gateway_info=None)
    assert net.send("DELETE", f"rbac-policies/{policy['id']}").status_code == 204


def test_a_log_of_an_interface(cloud: Cloud, net: Net, group: Any, interface: Any) -> None:
    net.create("security_group_rule", security_group_id=group["id"], **WEB)
    body = {"log": {"resource_type": "security_group", "target_id": interface["id"]}}
    log = net.send("POST", "log/logs", by=cloud.admin, json=body).json()["log"]
    cloud.settle()
    assert cloud.north.rows(f"network_log/{log['id']}") == [], "nothing is dropped where no group is"
    net.update("port", interface["id"], security_groups=[group["id"]])
    cloud.settle()
    rows = cloud.north.rows(f"network_log/{log['id']}")
    assert sorted(str(row.columns["action"]) for row in rows) == ["allow-stateless", "allow-stateless", "drop", "drop"]
    assert sum(bool(row.columns["log"]) for row in rows) == 3, "answers leave no lines"
