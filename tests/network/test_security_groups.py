"""Security groups and their rules: the API's answers, and what OVN gets of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cloud
from tests.network.conftest import Net


@pytest.fixture
def group(net: Net) -> Any:
    return net.create("security_group", name="web")


def rule(net: Net, group: Any, **more: Any) -> Any:
    return net.create("security_group_rule", security_group_id=group["id"], **{"direction": "ingress", **more})


def acls(cloud: Cloud, group: Any) -> dict[str, Any]:
    """Rule id -> its ACL's columns."""
    cloud.settle()
    rows = cloud.north.rows(f"security_group/{group['id']}")
    return {row.key: row.columns for row in rows if row.table == "ACL"}


def test_a_new_group_lets_everything_out_and_says_so(cloud: Cloud, net: Net, group: Any) -> None:
    assert {(one["direction"], one["ethertype"]) for one in group["security_group_rules"]} == {
        ("egress", "IPv4"),
        ("egress", "IPv6"),
    }
    name = f"pg_{group['id'].replace('-', '_')}"
    assert {acl["match"] for acl in acls(cloud, group).values()} == {
        f"inport == @{name} && ip4",
        f"inport == @{name} && ip6",
    }


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"protocol": "tcp", "port_range_min": 80, "port_range_max": 80}, "ip4 && tcp && tcp.dst == 80"),
        ({"protocol": 17, "port_range_min": 1, "port_range_max": 9}, "ip4 && udp && udp.dst >= 1 && udp.dst <= 9"),
        (
            {"protocol": "icmp", "port_range_min": 8, "port_range_max": 0},
            "ip4 && icmp4 && icmp4.type == 8 && icmp4.code == 0",
        ),
        ({"protocol": "icmp", "ethertype": "IPv6"}, "ip6 && icmp6"),
        ({"protocol": "icmpv6", "ethertype": "IPv6", "port_range_min": 128}, "ip6 && icmp6 && icmp6.type == 128"),
        ({"protocol": "vrrp"}, "ip4 && ip.proto == 112"),
        ({"remote_ip_prefix": "10.9.0.7/16"}, "ip4 && ip4.src == 10.9.0.0/16"),
        ({"remote_ip_prefix": "fd00::/8", "ethertype": "IPv6"}, "ip6 && ip6.src == fd00::/8"),
        ({"direction": "egress", "remote_ip_prefix": "10.9.0.0/16"}, "ip4 && ip4.dst == 10.9.0.0/16"),
    ],
)
def test_a_rule_in_the_words_of_ovn(cloud: Cloud, net: Net, group: Any, given: Any, match: str) -> None:
    made = rule(net, group, **given)
    acl = acls(cloud, group)[made["id"]]
    side = "inport" if made["direction"] == "egress" else "outport"
    assert acl["match"] == f"{side} == @pg_{group['id'].replace('-', '_')} && {match}"
    assert (acl["action"], acl["priority"]) == ("allow-related", 1002)


def test_a_remote_group_is_its_members_addresses_and_goes_with_it(cloud: Cloud, net: Net, group: Any) -> None:
    friends = net.create("security_group", name="friends")
    made = rule(net, group, remote_group_id=friends["id"])
    assert acls(cloud, group)[made["id"]]["match"].endswith(f"ip4.src == $pg_{friends['id'].replace('-', '_')}_ip4")
    net.delete("security_group", friends["id"])
    assert made["id"] not in acls(cloud, group)
    net.refused("GET", f"security-group-rules/{made['id']}", 404, "SecurityGroupRuleNotFound")


def test_stateless_groups_do_not_remember(cloud: Cloud, net: Net, group: Any) -> None:
    net.update("security_group", group["id"], stateful=False)
    assert {acl["action"] for acl in acls(cloud, group).values()} == {"allow-stateless"}
    network = net.network()
    net.subnet(network)
    net.port(network, security_groups=[group["id"]])
    net.refused(
        "PUT", f"security-groups/{group['id']}", 409, "SecurityGroupInUse", json={"security_group": {"stateful": True}}
    )


def test_several_rules_at_once_or_none(net: Net, group: Any) -> None:
    rules = [
        {"security_group_id": group["id"], "direction": "ingress", "protocol": one} for one in ("tcp", "udp", "tcp")
    ]
    net.refused("POST", "security-group-rules", 409, "DuplicateSecurityGroupRuleInPost", json={"security_group_rules": rules})
    assert len(net.list("security-group-rules", f"security_group_id={group['id']}")) == 2
    made = net.send("POST", "security-group-rules", json={"security_group_rules": rules[:2]}).json()[
        "security_group_rules"
    ]
    assert [one["protocol"] for one in made] == ["tcp", "udp"]
    found = net.list("security-group-rules", f"security_group_id={group['id']}&protocol=udp&fields=id")
    assert found == [{"id": made[1]["id"]}]


def test_the_same_rule_in_other_words_is_there_already(net: Net, group: Any) -> None:
    rule(net, group, protocol="tcp")
    body = {"security_group_rule": {"security_group_id": group["id"], "direction": "ingress", "protocol": "6"}}
    net.refused("POST", "security-group-rules", 409, "SecurityGroupRuleExists", json=body)


def test_there_is_one_default_group_and_its_name_is_taken(cloud: Cloud, net: Net, group: Any) -> None:
    [default] = net.list("security-groups", "name=default")
    assert {one["remote_group_id"] for one in default["security_group_rules"] if one["direction"] == "ingress"} == {
        default["id"]
    }
    for name in ("default", "Default"):
        net.refused(
            "PUT", f"security-groups/{group['id']}", 409, "SecurityGroupDefaultAlreadyExists", json={"security_group": {"name": name}}
        )  # fmt: skip
    assert net.update("security_group", default["id"], description="ours")["description"] == "ours"


def test_tags_filters_and_shared(net: Net, group: Any) -> None:
    assert net.send("PUT", f"security-groups/{group['id']}/tags", json={"tags": ["a"]}).status_code == 200
    assert [one["id"] for one in net.list("security-groups", "tags=a")] == [group["id"]]
    assert net.list("security-groups", "shared=true") == []
    assert group["id"] in [one["id"] for one in net.list("security-groups", "shared=false")]


def test_nobody_sees_or_changes_another_project_s_group(cloud: Cloud, net: Net, group: Any) -> None:
    net.refused("GET", f"security-groups/{group['id']}", 404, "SecurityGroupNotFound", by=cloud.stranger)
    body = {"security_group_rule": {"security_group_id": group["id"], "direction": "ingress"}}
    net.refused("POST", "security-group-rules", 404, "SecurityGroupNotFound", by=cloud.stranger, json=body)
    net.refused("POST", "security-group-rules", 403, "PolicyNotAuthorized", by=cloud.reader, json=body)


def test_the_quota_of_rules_holds(cloud: Cloud, net: Net, group: Any) -> None:
    used = len(net.list("security-group-rules"))
    cloud.admin.put(f"/network/v2.0/quotas/{group['project_id']}", json={"quota": {"security_group_rule": used + 1}})
    rule(net, group, protocol="tcp")
    body = {"security_group_rule": {"security_group_id": group["id"], "direction": "ingress", "protocol": "udp"}}
    net.refused("POST", "security-group-rules", 409, "OverQuota", json=body)
