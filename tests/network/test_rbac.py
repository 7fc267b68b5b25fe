"""Sharing: what one project owns and others may use, and how it is taken back."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete

from tests.conftest import BLUE, RED, Cloud
from tests.network.conftest import Net
from wolke import cloud as control
from wolke.network.rbac import RbacPolicy

GREEN = "33333333333333333333333333333333"


def share(net: Net, thing: Any, kind: str = "network", target: str = BLUE, **more: Any) -> Any:
    by = more.pop("by", None)
    body = {
        "object_type": kind,
        "object_id": thing["id"],
        "target_tenant": target,
        "action": "access_as_shared",
        **more,
    }
    answer = net.send("POST", "rbac-policies", by=by, json={"rbac_policy": body})
    assert answer.status_code == 201, answer.text
    return answer.json()["rbac_policy"]


def seen(net: Net, cloud: Cloud, kinds: str, query: str = "") -> set[str]:
    """Ids that the stranger sees."""
    return {one["id"] for one in net.list(kinds, query, by=cloud.stranger)}


def test_a_long_page_shows_who_shares_what_as_a_short_one_does(cloud: Cloud, net: Net) -> None:
    many = [net.network(by=cloud.admin, project_id=GREEN, name=f"n{number}")["id"] for number in range(60)]
    mine = net.network()["id"]
    first = share(net, {"id": many[0]}, target=RED, by=cloud.admin)
    net.send("PUT", f"quotas/{first['project_id']}", by=cloud.admin, json={"quota": {"rbac_policy": -1}})
    for id in many[1:55]:
        share(net, {"id": id}, target=RED, by=cloud.admin)
    shown = {one["id"]: one["shared"] for one in net.list("networks")}
    assert shown == dict.fromkeys(many[:55], True) | {mine: False}


def test_a_network_is_shared_with_one_project_and_taken_back(cloud: Cloud, net: Net) -> None:
    network = net.network()
    subnet = net.subnet(network)
    assert network["id"] not in seen(net, cloud, "networks")
    one = share(net, network)
    assert net.show("network", network["id"])["revision_number"] == network["revision_number"] + 1
    assert one == {
        "id": one["id"], "project_id": RED, "tenant_id": RED, "object_type": "network", "object_id": network["id"],
        "action": "access_as_shared", "target_tenant": BLUE,
    }  # fmt: skip
    assert network["id"] in seen(net, cloud, "networks", "shared=true") and subnet["id"] in seen(net, cloud, "subnets")
    assert net.show("network", network["id"], by=cloud.stranger)["shared"] is True
    assert net.show("network", network["id"])["shared"] is False, "it is not shared with its owner"
    assert net.list("rbac-policies", by=cloud.stranger) == []
    port = net.create("port", by=cloud.stranger, network_id=network["id"])
    assert port["project_id"] == BLUE
    message = net.refused("DELETE", f"rbac-policies/{one['id']}", 409, "RbacPolicyInUse")
    assert BLUE in message
    net.delete("port", port["id"], by=cloud.stranger)
    assert net.send("DELETE", f"rbac-policies/{one['id']}").status_code == 204
    assert network["id"] not in seen(net, cloud, "networks") and subnet["id"] not in seen(net, cloud, "subnets")
    net.refused("GET", f"networks/{network['id']}", 404, "NetworkNotFound", by=cloud.stranger)
    body = {"port": {"network_id": network["id"]}}
    net.refused("POST", "ports", 404, "NetworkNotFound", by=cloud.stranger, json=body)


def test_shared_and_policies_say_the_same(cloud: Cloud, net: Net) -> None:
    network = net.create("network", by=cloud.admin, name="all", shared=True, project_id=RED)
    [one] = net.list("rbac-policies", f"object_id={network['id']}")
    assert (one["target_tenant"], one["action"], network["shared"]) == ("*", "access_as_shared", True)
    net.update("network", network["id"], by=cloud.admin, shared=False)
    assert net.list("rbac-policies", f"object_id={network['id']}") == []
    share(net, network, target="*", by=cloud.admin)
    shown = net.show("network", network["id"], by=cloud.stranger)
    assert shown["shared"] is True and shown["revision_number"] > network["revision_number"]
    assert network["id"] in [row["id"] for row in net.list("networks", "shared=True")]
    net.update("network", network["id"], by=cloud.admin, shared=True)
    [one] = net.list("rbac-policies", f"object_id={network['id']}", by=cloud.admin)
    net.create("port", by=cloud.stranger, network_id=network["id"])
    net.refused("PUT", f"networks/{network['id']}", 409, "InvalidSharedSetting", by=cloud.admin,
                json={"network": {"shared": False}})  # fmt: skip
    net.refused("DELETE", f"rbac-policies/{one['id']}", 409, "RbacPolicyInUse", by=cloud.admin)
    share(net, network)  # by name: now the other may go
    net.send("DELETE", f"rbac-policies/{one['id']}", by=cloud.admin)
    assert net.show("network", network["id"], by=cloud.stranger)["shared"] is True


def test_a_way_out_for_one_project_only(cloud: Cloud, net: Net) -> None:
    network = net.create("network", by=cloud.admin, name="way", **{"provider:network_type": "flat",
                         "provider:physical_network": "public"})  # fmt: skip
    subnet = net.create("subnet", by=cloud.admin, network_id=network["id"], cidr="198.51.100.0/24", ip_version=4)
    assert seen(net, cloud, "subnets") == set()
    one = share(net, network, action="access_as_external", by=cloud.admin)
    assert net.show("network", network["id"], by=cloud.admin)["router:external"] is True
    assert network["id"] in seen(net, cloud, "networks", "router:external=true")
    assert seen(net, cloud, "subnets") == {subnet["id"]}
    router = net.create("router", by=cloud.stranger, external_gateway_info={"network_id": network["id"]})
    floating = net.create("floatingip", by=cloud.stranger, floating_network_id=network["id"])
    assert floating["floating_ip_address"].startswith("198.51.100.")
    net.refused(
        "POST", "ports", 403, "PolicyNotAuthorized", by=cloud.stranger, json={"port": {"network_id": network["id"]}}
    )
    net.refused("DELETE", f"rbac-policies/{one['id']}", 409, "RbacPolicyInUse", by=cloud.admin)
    net.update("router", router["id"], by=cloud.stranger, external_gateway_info=None)
    net.refused("DELETE", f"rbac-policies/{one['id']}", 409, "RbacPolicyInUse", by=cloud.admin)
    net.delete("floatingip", floating["id"], by=cloud.stranger)
    assert net.send("DELETE", f"rbac-policies/{one['id']}", by=cloud.admin).status_code == 204
    assert network["id"] not in seen(net, cloud, "networks")
    body = {"router": {"external_gateway_info": {"network_id": network["id"]}}}
    net.refused("POST", "routers", 404, "NetworkNotFound", by=cloud.stranger, json=body)


def test_external_and_policies_say_the_same(cloud: Cloud, net: Net) -> None:
    network = net.create("network", by=cloud.admin, name="out", **{"router:external": True})
    [one] = net.list("rbac-policies", f"object_id={network['id']}", by=cloud.admin)
    assert (one["target_tenant"], one["action"]) == ("*", "access_as_external")
    assert network["id"] in seen(net, cloud, "networks")
    share(net, network, action="access_as_external", by=cloud.admin)
    net.update("network", network["id"], by=cloud.admin, **{"router:external": False})
    assert net.list("rbac-policies", f"object_id={network['id']}", by=cloud.admin) == []
    assert network["id"] not in seen(net, cloud, "networks")
    net.update("network", network["id"], by=cloud.admin, **{"router:external": True, "is_default": True})
    [one] = net.list("rbac-policies", f"object_id={network['id']}", by=cloud.admin)
    assert "Default" in net.refused("DELETE", f"rbac-policies/{one['id']}", 409, "RbacPolicyInUse", by=cloud.admin)


def test_only_an_operator_makes_a_network_external(cloud: Cloud, net: Net) -> None:
    """A way out of a project's own making would be told to the world, with whatever prefixes the project claims behind it."""
    network = net.network()
    policy = {"object_type": "network", "object_id": network["id"], "action": "access_as_external"}
    for target in (RED, BLUE):
        answer = net.send("POST", "rbac-policies", json={"rbac_policy": policy | {"target_tenant": target}})
        assert answer.status_code == 403, answer.text
    assert net.show("network", network["id"])["router:external"] is False
    assert net.list("rbac-policies") == []
    own = net.network(project_id=RED, by=cloud.admin, **{"router:external": True})
    policy["object_id"] = own["id"]
    answer = net.send("POST", "rbac-policies", json={"rbac_policy": policy | {"target_tenant": BLUE}})
    assert answer.status_code == 201, "one that is external already is its owner's to share"


def test_who_shares_with_everybody_does_not_learn_who_uses_it(cloud: Cloud, net: Net) -> None:
    group = net.create("address_group", name="known", addresses=["198.51.100.0/24"])
    policy = {
        "object_type": "address_group",
        "object_id": group["id"],
        "action": "access_as_shared",
        "target_tenant": "*",
    }
    answer = net.send("POST", "rbac-policies", by=cloud.admin, json={"rbac_policy": policy})
    path = f"rbac-policies/{answer.json()['rbac_policy']['id']}"
    mine = net.create("security_group", name="mine", by=cloud.stranger)
    net.create(
        "security_group_rule", by=cloud.stranger, security_group_id=mine["id"], direction="ingress",
        remote_address_group_id=group["id"],
    )  # fmt: skip
    assert BLUE not in net.refused("DELETE", path, 409, "RbacPolicyInUse")
    assert BLUE in net.refused("DELETE", path, 409, "RbacPolicyInUse", by=cloud.admin)


def test_a_policy_is_given_to_another_project(cloud: Cloud, net: Net) -> None:
    network = net.network()
    net.subnet(network)
    one = share(net, network, target=GREEN)
    changed = net.send("PUT", f"rbac-policies/{one['id']}", json={"rbac_policy": {"target_tenant": BLUE}})
    assert changed.status_code == 200 and changed.json()["rbac_policy"]["target_tenant"] == BLUE
    net.create("port", by=cloud.stranger, network_id=network["id"])
    back = {"rbac_policy": {"target_tenant": GREEN}}
    net.refused("PUT", f"rbac-policies/{one['id']}", 409, "RbacPolicyInUse", json=back)
    everybody = {"rbac_policy": {"target_tenant": "*"}}
    net.refused("PUT", f"rbac-policies/{one['id']}", 403, "PolicyNotAuthorized", json=everybody)
    assert net.send("PUT", f"rbac-policies/{one['id']}", json=everybody, by=cloud.admin).status_code == 200
    assert net.list("rbac-policies", "target_tenant=*&fields=id", by=cloud.admin) == [{"id": one["id"]}]


def test_a_router_stands_on_a_network_that_is_shared_by_name_only(cloud: Cloud, net: Net) -> None:
    network = net.create("network", by=cloud.admin, name="all", shared=True, project_id=RED)
    subnet = net.subnet(network)
    router = net.create("router", by=cloud.stranger, name="theirs")
    path, body = f"routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]}
    message = net.refused("PUT", path, 400, "HTTPBadRequest", by=cloud.stranger, json=body)
    assert "not owned" in message and net.list("ports", f"device_id={router['id']}", by=cloud.admin) == []
    share(net, network)
    added = net.send("PUT", path, by=cloud.stranger, json=body)
    assert added.status_code == 200, added.text
    [one] = net.list("rbac-policies", f"object_id={network['id']}&target_tenant={BLUE}")
    everybody = net.list("rbac-policies", f"object_id={network['id']}&target_tenant=*")
    assert net.send("DELETE", f"rbac-policies/{everybody[0]['id']}", by=cloud.admin).status_code == 204
    net.refused("DELETE", f"rbac-policies/{one['id']}", 409, "RbacPolicyInUse")


def test_policies_go_with_what_they_share(net: Net) -> None:
    network = net.network()
    share(net, network)
    net.delete("network", network["id"])
    assert net.list("rbac-policies") == []


def test_the_quota_of_policies_holds(cloud: Cloud, net: Net) -> None:
    cloud.admin.put(f"/network/v2.0/quotas/{RED}", json={"quota": {"rbac_policy": 1}})
    share(net, net.network())
    network = net.network()
    body = {"object_type": "network", "object_id": network["id"], "target_tenant": BLUE, "action": "access_as_shared"}
    net.refused("POST", "rbac-policies", 409, "OverQuota", json={"rbac_policy": body})


@pytest.mark.parametrize(
    ("changed", "status", "type", "says"),
    [
        ({"object_type": "router"}, 400, "InvalidInput", "network"),
        ({"action": "access_as_owner"}, 400, "InvalidInput", "access_as_shared"),
        ({"target_tenant": "blue"}, 400, "InvalidInput", "UUID"),
        ({"target_tenant": ""}, 400, "InvalidInput", "UUID"),
        ({"target_tenant": BLUE, "target_project": GREEN}, 400, "HTTPBadRequest", "target_tenant"),
        ({"target_tenant": "*"}, 403, "PolicyNotAuthorized", "create_rbac_policy:target_project"),
        ({"object_id": "nowhere"}, 404, "NetworkNotFound", "nowhere"),
        ({"object_id": None}, 400, "HTTPBadRequest", "object_id"),
        ({"project_id": BLUE}, 400, "HTTPBadRequest", "project_id"),
        ({"description": "x"}, 400, "HTTPBadRequest", "description"),
    ],
)
def test_wrong_input_changes_nothing(net: Net, changed: Any, status: int, type: str, says: str) -> None:
    network = net.network()
    body = {"object_type": "network", "object_id": network["id"], "target_tenant": BLUE, "action": "access_as_shared"}
    assert says in net.refused("POST", "rbac-policies", status, type, json={"rbac_policy": {**body, **changed}})
    assert net.list("rbac-policies") == []


def test_whose_it_is_not_cannot_share_it(cloud: Cloud, net: Net) -> None:
    network = net.network()
    body = {"object_type": "network", "object_id": network["id"], "target_tenant": GREEN, "action": "access_as_shared"}
    net.refused("POST", "rbac-policies", 404, "NetworkNotFound", by=cloud.stranger, json={"rbac_policy": body})
    one = share(net, network)
    message = net.refused("POST", "rbac-policies", 400, "InvalidInput", by=cloud.stranger, json={"rbac_policy": body})
    assert "do not own" in message
    net.refused("DELETE", f"rbac-policies/{one['id']}", 404, "RbacPolicyNotFound", by=cloud.stranger)
    body["target_tenant"] = BLUE
    net.refused("POST", "rbac-policies", 409, "DuplicateRbacPolicy", json={"rbac_policy": body})
    net.refused("POST", "rbac-policies", 403, "PolicyNotAuthorized", by=cloud.reader, json={"rbac_policy": body})
    net.refused("GET", "rbac-policies?description=x", 400, "HTTPBadRequest")


def test_what_was_shared_before_there_were_policies_stays_shared(cloud: Cloud, net: Net) -> None:
    network = net.create("network", by=cloud.admin, name="old", shared=True)
    with cloud.app.database.transaction() as db:
        db.execute(delete(RbacPolicy))
    assert network["id"] not in seen(net, cloud, "networks")
    for _ in range(2):
        control.bootstrap(cloud.app)
        assert len(net.list("rbac-policies", by=cloud.admin)) == 1
    assert net.show("network", network["id"], by=cloud.stranger)["shared"] is True
