"""Security groups and their rules: the API's answers, and what OVN gets of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import BLUE, Cloud
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
    net.refused(
        "POST", "security-group-rules", 409, "DuplicateSecurityGroupRuleInPost", json={"security_group_rules": rules}
    )
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


def test_what_is_said_in_more_than_one_way_is_kept_in_one(cloud: Cloud, net: Net, group: Any) -> None:
    everywhere = rule(
        net, group, protocol="TCP", port_range_min=1, port_range_max=65535, remote_ip_prefix="10.9.0.7/16"
    )
    assert (everywhere["protocol"], everywhere["port_range_min"], everywhere["port_range_max"]) == ("tcp", None, None)
    assert (everywhere["remote_ip_prefix"], everywhere["normalized_cidr"]) == ("10.9.0.7/16", "10.9.0.0/16")
    assert net.list("security-group-rules", "normalized_cidr=10.9.0.0/16") == [everywhere]
    assert net.list("security-group-rules", "normalized_cidr=10.9.0.7/16") == []
    assert rule(net, group, remote_ip_prefix="10.1.1.1")["remote_ip_prefix"] == "10.1.1.1/32"
    for word in ("icmp", "icmpv6", "ipv6-icmp"):
        other = net.create("security_group", name=word)
        assert rule(net, other, protocol=word, ethertype="ipv6")["protocol"] == "ipv6-icmp"
    assert rule(net, group, protocol=1, ethertype="IPv6")["protocol"] == "58"
    rule(net, group, protocol="any", remote_ip_prefix="0.0.0.0/0")
    body = {"security_group_id": group["id"], "direction": "ingress"}
    net.refused("POST", "security-group-rules", 409, "SecurityGroupRuleExists", json={"security_group_rule": body})


def test_every_protocol_that_neutron_takes(cloud: Cloud, net: Net, group: Any) -> None:
    cloud.admin.put(f"/network/v2.0/quotas/{group['project_id']}", json={"quota": {"security_group_rule": -1}})
    only_v6 = {"ipv6-encap": 41, "ipv6-frag": 44, "ipv6-nonxt": 59, "ipv6-opts": 60, "ipv6-route": 43}
    both = {
        "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "igmp": 2, "ipip": 4, "ospf": 89, "pgm": 113,
        "rsvp": 46, "udplite": 136, "vrrp": 112,
    }  # fmt: skip
    for name, number in (both | only_v6).items():
        for ethertype in ("IPv6",) if name in only_v6 else ("IPv4", "IPv6"):
            made = rule(net, group, protocol=name, ethertype=ethertype)
            assert made["protocol"] == name
            assert acls(cloud, group)[made["id"]]["match"].endswith(f"ip{ethertype[-1]} && ip.proto == {number}")
            body = {
                "security_group_id": group["id"],
                "direction": "ingress",
                "protocol": number,
                "ethertype": ethertype,
            }
            net.refused(
                "POST", "security-group-rules", 409, "SecurityGroupRuleExists", json={"security_group_rule": body}
            )
    for number in range(256):
        ethertype = "IPv6" if number in (58, *only_v6.values()) else "IPv4"
        body = {
            "security_group_id": group["id"],
            "direction": "egress",
            "protocol": str(number),
            "ethertype": ethertype,
        }
        assert net.send("POST", "security-group-rules", json={"security_group_rule": body}).status_code == 201


def test_a_group_s_revision_grows_with_its_rules(cloud: Cloud, net: Net, group: Any) -> None:
    first = net.show("security_group", group["id"])["revision_number"]
    assert first == 1
    cloud.now += 10
    made = rule(net, group, protocol="tcp")
    shown = net.show("security_group", group["id"])
    assert shown["revision_number"] == first + 1 and shown["updated_at"] > group["updated_at"]
    net.delete("security_group_rule", made["id"])
    assert net.show("security_group", group["id"])["revision_number"] == first + 2


def test_rules_of_one_group_in_one_call(cloud: Cloud, net: Net, group: Any) -> None:
    other = net.create("security_group", name="other")
    rules = [{"security_group_id": one["id"], "direction": "ingress", "protocol": "tcp"} for one in (group, other)]
    net.refused(
        "POST", "security-group-rules", 400, "SecurityGroupNotSingleGroupRules", json={"security_group_rules": rules}
    )
    assert len(net.show("security_group", group["id"])["security_group_rules"]) == 2


def test_rules_of_the_default_group_are_marked(net: Net, group: Any) -> None:
    mine = rule(net, group, protocol="tcp")
    assert mine["belongs_to_default_sg"] is False
    marked = net.list("security-group-rules", "belongs_to_default_sg=true")
    assert len(marked) == 4 and all(one["belongs_to_default_sg"] for one in marked)
    assert mine["id"] in [one["id"] for one in net.list("security-group-rules", "belongs_to_default_sg=false")]


def test_shared_groups_are_used_by_others_and_read_only(cloud: Cloud, net: Net, group: Any) -> None:
    made = rule(net, group, protocol="tcp")
    network = net.create("network", by=cloud.stranger, name="theirs")
    net.create("subnet", by=cloud.stranger, network_id=network["id"], cidr="10.0.0.0/24", ip_version=4)
    port = {"port": {"network_id": network["id"], "security_groups": [group["id"]]}}
    net.refused("POST", "ports", 404, "SecurityGroupNotFound", by=cloud.stranger, json=port)
    body = {
        "object_type": "security_group",
        "object_id": group["id"],
        "target_tenant": BLUE,
        "action": "access_as_shared",
    }
    policy = net.send("POST", "rbac-policies", json={"rbac_policy": body}).json()["rbac_policy"]
    shown = net.show("security_group", group["id"], by=cloud.stranger)
    assert shown["shared"] is True and made["id"] in [one["id"] for one in shown["security_group_rules"]]
    assert [one["id"] for one in net.list("security-groups", "shared=true", by=cloud.stranger)] == [group["id"]]
    assert net.show("security_group_rule", made["id"], by=cloud.stranger)["id"] == made["id"]
    used = net.create("port", by=cloud.stranger, **port["port"])
    cloud.settle()
    [row] = [row for row in cloud.north.rows(f"port/{used['id']}") if row.table == "Logical_Switch_Port"]
    assert ("Port_Group", f"pg_{group['id'].replace('-', '_')}", "ports") in row.parents
    rule_body = {"security_group_rule": {"security_group_id": group["id"], "direction": "ingress"}}
    net.refused("POST", "security-group-rules", 403, "PolicyNotAuthorized", by=cloud.stranger, json=rule_body)
    net.refused("DELETE", f"security-group-rules/{made['id']}", 403, "PolicyNotAuthorized", by=cloud.stranger)
    net.refused("DELETE", f"security-groups/{group['id']}", 403, "PolicyNotAuthorized", by=cloud.stranger)
    net.refused("DELETE", f"rbac-policies/{policy['id']}", 409, "RbacPolicyInUse")
    theirs = net.create("security_group", by=cloud.stranger, name="theirs")
    remote = net.create("security_group_rule", by=cloud.stranger, security_group_id=theirs["id"], direction="ingress",
                        remote_group_id=group["id"])  # fmt: skip
    net.delete("port", used["id"], by=cloud.stranger)
    net.refused("DELETE", f"rbac-policies/{policy['id']}", 409, "RbacPolicyInUse")
    net.delete("security_group_rule", remote["id"], by=cloud.stranger)
    assert net.send("DELETE", f"rbac-policies/{policy['id']}").status_code == 204
    net.refused("GET", f"security-groups/{group['id']}", 404, "SecurityGroupNotFound", by=cloud.stranger)
    net.refused("GET", f"security-group-rules/{made['id']}", 404, "SecurityGroupRuleNotFound", by=cloud.stranger)


def test_what_remembers_and_what_does_not_do_not_mix(cloud: Cloud, net: Net, group: Any) -> None:
    plain = net.create("security_group", name="plain", stateful=False)
    network = net.network()
    net.subnet(network)
    body = {"port": {"network_id": network["id"], "security_groups": [group["id"], plain["id"]]}}
    assert "stateless" in net.refused("POST", "ports", 409, "SecurityGroupConflict", json=body)
    port = net.port(network, security_groups=[group["id"]])
    change = {"port": {"security_groups": [plain["id"], group["id"]]}}
    net.refused("PUT", f"ports/{port['id']}", 409, "SecurityGroupConflict", json=change)
    assert net.show("port", port["id"])["security_groups"] == [group["id"]]
    [metadata] = [acl for acl in acls(cloud, plain).values() if acl["direction"] == "to-lport"]
    assert "169.254.169.254" in metadata["match"] and metadata["action"] == "allow-stateless"


@pytest.mark.parametrize(
    ("given", "status", "type", "says"),
    [
        ({"direction": "in"}, 400, "HTTPBadRequest", "direction"),
        ({"direction": None}, 400, "HTTPBadRequest", "direction"),
        ({"ethertype": "IPv5"}, 400, "SecurityGroupRuleInvalidEtherType", "IPv5"),
        ({"protocol": "tpc"}, 400, "SecurityGroupRuleInvalidProtocol", "tpc"),
        ({"protocol": 256}, 400, "SecurityGroupRuleInvalidProtocol", "256"),
        ({"protocol": "-1"}, 400, "SecurityGroupRuleInvalidProtocol", "-1"),
        ({"protocol": "ipv6-icmp"}, 400, "SecurityGroupEthertypeConflictWithProtocol", "ipv6-icmp"),
        ({"protocol": "58"}, 400, "SecurityGroupEthertypeConflictWithProtocol", "58"),
        ({"protocol": 44}, 400, "SecurityGroupEthertypeConflictWithProtocol", "44"),
        ({"port_range_min": 80, "port_range_max": 80}, 400, "SecurityGroupProtocolRequiredWithPorts", "protocol"),
        ({"protocol": "tcp", "port_range_max": 80}, 400, "SecurityGroupInvalidPortRange", "port_range_min"),
        ({"protocol": "tcp", "port_range_min": 81, "port_range_max": 80}, 400, "SecurityGroupInvalidPortRange", "port_range_min"),
        ({"protocol": "tcp", "port_range_min": 0, "port_range_max": 80}, 400, "SecurityGroupInvalidPortValue", "0"),
        ({"protocol": "udp", "port_range_min": 1, "port_range_max": 65536}, 400, "SecurityGroupInvalidPortValue", "65536"),
        ({"protocol": "sctp", "port_range_min": -1, "port_range_max": 2}, 400, "SecurityGroupInvalidPortValue", "-1"),
        ({"protocol": "tcp", "port_range_min": "http"}, 400, "HTTPBadRequest", "port_range_min"),
        ({"protocol": "dccp", "port_range_min": 1, "port_range_max": 2}, 400, "SecurityGroupInvalidProtocolForPort", "TCP"),
        ({"protocol": "136", "port_range_min": 1, "port_range_max": 2}, 400, "SecurityGroupInvalidProtocolForPort", "136"),
        ({"protocol": "gre", "port_range_min": 1, "port_range_max": 2}, 400, "SecurityGroupInvalidProtocolForPort", "gre"),
        ({"protocol": "icmp", "port_range_min": 256}, 400, "SecurityGroupInvalidIcmpValue", "256"),
        ({"protocol": "icmp", "port_range_min": 8, "port_range_max": 256}, 400, "SecurityGroupInvalidIcmpValue", "code"),
        ({"protocol": "icmp", "port_range_max": 0}, 400, "SecurityGroupMissingIcmpType", "type"),
        ({"remote_ip_prefix": "ten"}, 400, "InvalidInput", "remote_ip_prefix"),
        ({"remote_ip_prefix": "10.0.0.0/40"}, 400, "InvalidInput", "10.0.0.0/40"),
        ({"remote_ip_prefix": "fd00::/8"}, 400, "SecurityGroupRuleParameterConflict", "fd00::/8"),
        ({"remote_ip_prefix": "10.0.0.0/8", "ethertype": "IPv6"}, 400, "SecurityGroupRuleParameterConflict", "IPv6"),
        ({"remote_group_id": "nowhere"}, 404, "SecurityGroupNotFound", "nowhere"),
        ({"remote_address_group_id": "nowhere"}, 404, "AddressGroupNotFound", "nowhere"),
        ({"remote_ip_prefix": "10.0.0.0/8", "remote_group_id": "x"}, 400, "SecurityGroupMultipleRemoteEntites", "Only one"),
        ({"remote_address_group_id": "x", "remote_group_id": "x"}, 400, "SecurityGroupMultipleRemoteEntites", "Only one"),
        ({"remote_ip_prefix": "10.0.0.0/8", "remote_address_group_id": "x"}, 400, "SecurityGroupMultipleRemoteEntites", "Only one"),
        ({"security_group_id": "nowhere"}, 404, "SecurityGroupNotFound", "nowhere"),
        ({"name": "x"}, 400, "HTTPBadRequest", "name"),
        ({"normalized_cidr": "10.0.0.0/8"}, 400, "HTTPBadRequest", "normalized_cidr"),
    ],
)  # fmt: skip
def test_wrong_rules_change_nothing(net: Net, group: Any, given: Any, status: int, type: str, says: str) -> None:
    body = {"security_group_id": group["id"], "direction": "ingress", **given}
    assert says in net.refused("POST", "security-group-rules", status, type, json={"security_group_rule": body})
    assert net.show("security_group", group["id"]) == group


@pytest.mark.parametrize(
    ("path", "status", "type", "says"),
    [
        ("security-groups?shared=perhaps", 400, "HTTPBadRequest", "shared"),
        ("security-groups?colour=red", 400, "HTTPBadRequest", "colour"),
        ("security-group-rules?belongs_to_default_sg=2", 400, "HTTPBadRequest", "belongs_to_default_sg"),
        ("security-group-rules?limit=-1", 400, "HTTPBadRequest", "limit"),
        ("security-groups/nowhere", 404, "SecurityGroupNotFound", "nowhere"),
    ],
)
def test_wrong_questions(net: Net, path: str, status: int, type: str, says: str) -> None:
    assert says in net.refused("GET", path, status, type)
