"""Templates of rules: what new groups start with."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import RED, Cloud
from tests.network.conftest import Net
from wolke import cloud as control

PATH = "default-security-group-rules"
SSH = {"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}


def make(net: Net, cloud: Cloud, **body: Any) -> Any:
    return net.create("default_security_group_rule", by=cloud.admin, **body)


def meanings(group: Any) -> set[tuple[Any, ...]]:
    return {
        (one["direction"], one["ethertype"], one["protocol"], one["remote_group_id"] == group["id"])
        for one in group["security_group_rules"]
    }


def test_a_new_cloud_has_neutron_s_own(net: Net) -> None:
    found = {
        (
            one["direction"],
            one["ethertype"],
            one["remote_group_id"],
            one["used_in_default_sg"],
            one["used_in_non_default_sg"],
        )
        for one in net.list(PATH)
    }
    assert found == {
        ("egress", "IPv4", None, True, True), ("egress", "IPv6", None, True, True),
        ("ingress", "IPv4", "PARENT", True, False), ("ingress", "IPv6", "PARENT", True, False),
    }  # fmt: skip


def test_groups_made_from_now_on_have_them(cloud: Cloud, net: Net) -> None:
    before = net.create("security_group", name="before")
    [default] = net.list("security-groups", "name=default")
    ssh = make(net, cloud, **SSH, description="the way in", used_in_default_sg=True)
    assert ssh["used_in_non_default_sg"] is True and ssh["description"] == "the way in"
    make(net, cloud, direction="ingress", protocol="icmp", remote_group_id="PARENT")
    for one in net.list(PATH, "direction=egress"):
        net.delete("default_security_group_rule", one["id"], by=cloud.admin)
    after = net.create("security_group", name="after")
    assert meanings(after) == {("ingress", "IPv4", "tcp", False), ("ingress", "IPv4", "icmp", True)}
    assert meanings(net.show("security_group", before["id"])) == meanings(before)
    assert net.show("security_group", default["id"]) == default
    [new] = net.list("security-groups", "name=default", by=cloud.stranger)
    assert meanings(new) == {
        ("ingress", "IPv4", None, True), ("ingress", "IPv6", None, True), ("ingress", "IPv4", "tcp", False),
    }  # fmt: skip


def test_what_an_operator_has_deleted_does_not_come_back(cloud: Cloud, net: Net) -> None:
    for one in net.list(PATH):
        net.delete("default_security_group_rule", one["id"], by=cloud.admin)
    control.bootstrap(cloud.app)
    assert net.list(PATH) == []
    assert net.create("security_group", name="bare")["security_group_rules"] == []
    made = make(net, cloud, **SSH)
    net.delete("default_security_group_rule", made["id"], by=cloud.admin)
    net.refused("GET", f"{PATH}/{made['id']}", 404, "DefaultSecurityGroupRuleNotFound")


def test_the_quota_counts_what_a_group_starts_with(cloud: Cloud, net: Net) -> None:
    used = len(net.list("security-group-rules"))
    cloud.admin.put(f"/network/v2.0/quotas/{RED}", json={"quota": {"security_group_rule": used + 1}})
    body = {"security_group": {"name": "too much"}}
    net.refused("POST", "security-groups", 409, "OverQuota", json=body)
    assert [one["name"] for one in net.list("security-groups")] == ["default"]


@pytest.mark.parametrize(
    ("given", "status", "type", "says"),
    [
        ({"direction": "up"}, 400, "HTTPBadRequest", "direction"),
        ({"protocol": "tpc"}, 400, "SecurityGroupRuleInvalidProtocol", "tpc"),
        ({"protocol": "tcp", "port_range_min": 5}, 400, "SecurityGroupInvalidPortRange", "port_range_min"),
        ({"remote_group_id": "nowhere"}, 404, "SecurityGroupNotFound", "nowhere"),
        ({"remote_ip_prefix": "::/0"}, 400, "SecurityGroupRuleParameterConflict", "::/0"),
        ({"security_group_id": "x"}, 400, "HTTPBadRequest", "security_group_id"),
        ({"used_in_default_sg": "perhaps"}, 400, "HTTPBadRequest", "used_in_default_sg"),
        ({"direction": "egress"}, 409, "DefaultSecurityGroupRuleExists", "already exists"),
    ],
)
def test_wrong_templates(cloud: Cloud, net: Net, given: Any, status: int, type: str, says: str) -> None:
    body = {"default_security_group_rule": {"direction": "ingress", **given}}
    assert says in net.refused("POST", PATH, status, type, json=body, by=cloud.admin)
    assert len(net.list(PATH)) == 4


def test_only_operators_make_them(cloud: Cloud, net: Net) -> None:
    body = {"default_security_group_rule": SSH}
    net.refused("POST", PATH, 403, "PolicyNotAuthorized", json=body)
    [one, *_] = net.list(PATH, by=cloud.reader)
    net.refused("DELETE", f"{PATH}/{one['id']}", 403, "PolicyNotAuthorized")
    assert net.send("PUT", f"{PATH}/{one['id']}", by=cloud.admin, json=body).status_code == 405
