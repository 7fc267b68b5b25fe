"""QoS: policies and their rules, what they are given to, and the OVN rules that follow."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.conftest import BLUE, RED, Cloud
from tests.network.conftest import BASE, Net

KINDS = {"bandwidth_limit": {"max_kbps": 1000}, "dscp_marking": {"dscp_mark": 26}}


class Qos:
    """QoS calls in a few words, as the project's manager."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud, self.manager = cloud, cloud.client("manager")

    def send(self, method: str, path: str, status: int, *, by: TestClient | None = None, **body: Any) -> Any:
        answer = (by or self.manager).request(method, f"{BASE}/qos/{path}", **({"json": body} if body else {}))
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def policy(self, *, by: TestClient | None = None, **body: Any) -> Any:
        return self.send("POST", "policies", 201, by=by, policy={"name": "gold", **body})["policy"]

    def show(self, policy: Any, *, by: TestClient | None = None) -> Any:
        return self.send("GET", f"policies/{policy['id']}", 200, by=by)["policy"]

    def limit(self, policy: Any, max_kbps: int, **more: Any) -> Any:
        return self.rule(policy, "bandwidth_limit", max_kbps=max_kbps, **more)

    def mark(self, policy: Any, dscp_mark: int) -> Any:
        return self.rule(policy, "dscp_marking", dscp_mark=dscp_mark)

    def packets(self, policy: Any, max_kpps: int, **more: Any) -> Any:
        return self.rule(policy, "packet_rate_limit", max_kpps=max_kpps, **more)

    def rule(self, policy: Any, kind: str, **body: Any) -> Any:
        path = f"policies/{policy['id']}/{kind}_rules"
        return self.send("POST", path, 201, **{f"{kind}_rule": body})[f"{kind}_rule"]


@pytest.fixture
def qos(cloud: Cloud) -> Qos:
    return Qos(cloud)


def rows(cloud: Cloud) -> dict[str, Any]:
    """Match -> columns of every QoS rule in OVN."""
    cloud.settle()
    return {
        row.columns["match"]: {**row.columns, "switch": next(iter(row.parents))[1]}
        for (table, _), row in cloud.north.table.items()
        if table == "QoS" and row.owner.startswith(("port/", "floating_ip/"))
    }


def test_a_policy_and_its_rules(qos: Qos) -> None:
    policy = qos.policy(description="fast")
    assert policy["rules"] == [] and policy["shared"] is policy["is_default"] is False
    limit = qos.limit(policy, 10000, max_burst_kbps=8000)
    assert limit == {
        "id": limit["id"], "qos_policy_id": policy["id"], "max_kbps": 10000, "max_burst_kbps": 8000, "direction": "egress",
    }  # fmt: skip
    mark = qos.mark(policy, 26)
    shown = qos.show(policy)
    assert {(rule["type"], rule["id"]) for rule in shown["rules"]} == {
        ("bandwidth_limit", limit["id"]),
        ("dscp_marking", mark["id"]),
    }
    assert shown["revision_number"] > policy["revision_number"]
    path = f"policies/{policy['id']}/bandwidth_limit_rules"
    assert qos.send("GET", path, 200)["bandwidth_limit_rules"] == [limit]
    assert qos.send("GET", f"{path}?max_kbps=5", 200)["bandwidth_limit_rules"] == []
    changed = qos.send("PUT", f"{path}/{limit['id']}", 200, bandwidth_limit_rule={"max_kbps": "500"})
    assert changed["bandwidth_limit_rule"] == {**limit, "max_kbps": 500}
    qos.send("DELETE", f"{path}/{limit['id']}", 204)
    qos.send("GET", f"{path}/{limit['id']}", 404)
    qos.send("DELETE", f"policies/{policy['id']}", 204)
    qos.send("GET", f"policies/{policy['id']}", 404)


@pytest.mark.parametrize("kind", KINDS)
def test_rules_by_their_own_id(qos: Qos, kind: str) -> None:
    policy = qos.policy()
    rule = qos.rule(policy, kind, **KINDS[kind])
    for spelt in (f"alias_{kind}_rules", f"alias-{kind.replace('_', '-')}-rules"):
        assert qos.send("GET", f"{spelt}/{rule['id']}", 200) == {f"alias_{kind}_rule": rule}
    path = f"alias-{kind.replace('_', '-')}-rules/{rule['id']}"
    body = dict.fromkeys(KINDS[kind], 40)
    assert qos.send("PUT", path, 200, **{f"alias_{kind}_rule": body})[f"alias_{kind}_rule"] == {**rule, **body}
    for by, status in ((qos.cloud.member, 403), (qos.cloud.stranger, 404)):
        qos.send("DELETE", path, status, by=by)
    qos.send("DELETE", path, 204)
    assert qos.show(policy)["rules"] == []


def test_a_ports_rules_in_ovn(cloud: Cloud, net: Net, qos: Qos) -> None:
    network, policy = net.network(), qos.policy()
    port = net.port(network, qos_policy_id=policy["id"])
    assert (port["qos_policy_id"], port["qos_network_policy_id"]) == (policy["id"], None)
    assert rows(cloud) == {}
    out = qos.limit(policy, 3000)
    qos.limit(policy, 5000, direction="ingress", max_burst_kbps=4000)
    qos.mark(policy, 46)
    egress, ingress = f'inport == "{port["id"]}"', f'outport == "{port["id"]}"'
    found = rows(cloud)
    assert found.keys() == {egress, ingress}
    assert found[egress]["direction"] == "from-lport" and found[egress]["switch"] == network["id"]
    assert (found[egress]["bandwidth"], found[egress]["action"]) == ({"rate": 3000}, {"dscp": 46})
    assert (found[ingress]["bandwidth"], found[ingress]["action"]) == ({"rate": 5000, "burst": 4000}, {})
    path = f"policies/{policy['id']}/bandwidth_limit_rules/{out['id']}"
    qos.send("PUT", path, 200, bandwidth_limit_rule={"max_kbps": 0})
    assert rows(cloud)[egress]["bandwidth"] == {}
    qos.send("PUT", path, 409, bandwidth_limit_rule={"direction": "ingress"})
    net.update("port", port["id"], qos_policy_id=None)
    assert rows(cloud) == {}
    net.update("port", port["id"], qos_policy_id=policy["id"])
    assert rows(cloud).keys() == {egress, ingress}
    net.delete("port", port["id"])
    assert rows(cloud) == {}


def test_a_networks_policy_is_its_ports_unless_they_have_their_own(cloud: Cloud, net: Net, qos: Qos) -> None:
    slow, fast = qos.policy(), qos.policy()
    qos.limit(slow, 1000)
    qos.limit(fast, 9000)
    network = net.network(qos_policy_id=slow["id"])
    net.subnet(network)
    plain, own = net.port(network), net.port(network, qos_policy_id=fast["id"])
    assert (plain["qos_policy_id"], plain["qos_network_policy_id"]) == (None, slow["id"])
    rates = {match.split('"')[1]: one["bandwidth"]["rate"] for match, one in rows(cloud).items()}
    assert rates == {plain["id"]: 1000, own["id"]: 9000}, "the metadata port has no limit"
    net.update("network", network["id"], qos_policy_id=None)
    assert [match.split('"')[1] for match in rows(cloud)] == [own["id"]]
    net.update("network", network["id"], qos_policy_id=fast["id"])
    assert {one["bandwidth"]["rate"] for one in rows(cloud).values()} == {9000}
    assert net.show("port", plain["id"])["qos_network_policy_id"] == fast["id"]


def outside(net: Net, cloud: Cloud, **more: Any) -> tuple[Any, Any, Any]:
    """An external network, a router with its gateway there, and a port behind it."""
    public = net.network(by=cloud.admin, **{"router:external": True}, **more)
    net.subnet(public, "198.51.100.0/24", by=cloud.admin)
    network = net.network()
    subnet = net.subnet(network)
    router = net.create("router", external_gateway_info={"network_id": public["id"]})
    net.send("PUT", f"routers/{router['id']}/add_router_interface", json={"subnet_id": subnet["id"]})
    return public, router, net.port(network)


def test_a_floating_ips_rules_stand_where_the_gateway_is(cloud: Cloud, net: Net, qos: Qos) -> None:
    public, router, port = outside(net, cloud)
    policy = qos.policy()
    qos.limit(policy, 2000)
    qos.limit(policy, 4000, direction="ingress")
    floating = net.create("floatingip", floating_network_id=public["id"], qos_policy_id=policy["id"])
    assert floating["qos_policy_id"] == policy["id"]
    assert rows(cloud) == {}, "it leads nowhere"
    net.update("floatingip", floating["id"], port_id=port["id"])
    [gateway] = net.list("ports", f"device_id={router['id']}&device_owner=network:router_gateway", by=cloud.admin)
    address, found = floating["floating_ip_address"], rows(cloud)
    egress = f'inport == "{gateway["id"]}" && ip4.src == {address}'
    ingress = f'outport == "{gateway["id"]}" && ip4.dst == {address}'
    assert {match: one["bandwidth"]["rate"] for match, one in found.items()} == {egress: 2000, ingress: 4000}
    assert {(one["priority"], one["switch"]) for one in found.values()} == {(2003, public["id"])}
    net.update("floatingip", floating["id"], qos_policy_id=None)
    assert rows(cloud) == {}


def test_a_gateways_policy_and_its_networks(cloud: Cloud, net: Net, qos: Qos) -> None:
    public, router, port = outside(net, cloud)
    policy = qos.policy()
    qos.limit(policy, 2000)
    info = {"network_id": public["id"], "qos_policy_id": policy["id"]}
    shown = net.update("router", router["id"], external_gateway_info=info)["external_gateway_info"]
    assert shown["qos_policy_id"] == policy["id"]
    [match] = rows(cloud)
    [gateway] = net.list("ports", f"device_id={router['id']}&device_owner=network:router_gateway", by=cloud.admin)
    assert match == f'inport == "{gateway["id"]}"'
    qos.send("DELETE", f"policies/{policy['id']}", 409)
    net.update("router", router["id"], external_gateway_info={"network_id": public["id"], "qos_policy_id": None})
    assert rows(cloud) == {}
    theirs = qos.policy(by=cloud.admin)
    qos.limit(theirs, 7000)
    net.update("network", public["id"], by=cloud.admin, qos_policy_id=theirs["id"])
    floating = net.create("floatingip", floating_network_id=public["id"], port_id=port["id"])
    assert (floating["qos_policy_id"], floating["qos_network_policy_id"]) == (None, theirs["id"])
    assert {(match, one["priority"]) for match, one in rows(cloud).items()} == {
        (f'inport == "{gateway["id"]}"', 2002),
        (f'inport == "{gateway["id"]}" && ip4.src == {floating["floating_ip_address"]}', 2003),
    }


def test_the_default_policy_is_that_of_new_networks(net: Net, qos: Qos) -> None:
    before = net.network()
    policy = qos.policy(is_default=True)
    assert before["qos_policy_id"] is None and net.network()["qos_policy_id"] == policy["id"]
    assert net.network(qos_policy_id=None)["qos_policy_id"] is None
    qos.send("POST", "policies", 409, policy={"name": "another", "is_default": True})
    other = qos.policy()
    qos.send("PUT", f"policies/{other['id']}", 409, policy={"is_default": True})
    qos.send("PUT", f"policies/{policy['id']}", 200, policy={"is_default": False})
    qos.send("PUT", f"policies/{other['id']}", 200, policy={"is_default": True})
    assert net.network()["qos_policy_id"] == other["id"]


def test_who_may_make_policies_and_who_may_use_them(cloud: Cloud, net: Net, qos: Qos) -> None:
    qos.send("POST", "policies", 403, by=cloud.member, policy={"name": "mine"})
    qos.send("POST", "policies", 403, policy={"name": "everybody's", "shared": True})
    policy = qos.policy()
    path = f"policies/{policy['id']}/bandwidth_limit_rules"
    qos.send("POST", path, 403, by=cloud.member, bandwidth_limit_rule={"max_kbps": 1})
    qos.send("POST", path, 404, by=cloud.stranger, bandwidth_limit_rule={"max_kbps": 1})
    network = net.network(by=cloud.stranger)
    body = {"port": {"network_id": network["id"], "qos_policy_id": policy["id"]}}
    net.refused("POST", "ports", 404, "QosPolicyNotFound", by=cloud.stranger, json=body)
    share = {
        "object_type": "qos_policy",
        "object_id": policy["id"],
        "action": "access_as_shared",
        "target_tenant": BLUE,
    }
    answer = net.send("POST", "rbac-policies", by=qos.manager, json={"rbac_policy": share})
    assert answer.status_code == 201, answer.text
    given = answer.json()["rbac_policy"]
    port = net.port(network, by=cloud.stranger, qos_policy_id=policy["id"])
    assert qos.show(policy, by=cloud.stranger)["shared"] is True and qos.show(policy)["shared"] is False
    qos.send("PUT", f"policies/{policy['id']}", 403, by=cloud.stranger, policy={"name": "theirs"})
    net.refused("DELETE", f"rbac-policies/{given['id']}", 409, "RbacPolicyInUse", by=qos.manager)
    net.update("port", port["id"], by=cloud.stranger, qos_policy_id=None)
    assert net.send("DELETE", f"rbac-policies/{given['id']}", by=qos.manager).status_code == 204


def test_what_an_operator_has_given_stays(cloud: Cloud, net: Net, qos: Qos) -> None:
    policy = cloud.admin.post(f"{BASE}/qos/policies", json={"policy": {"name": "brake", "project_id": BLUE}}).json()[
        "policy"
    ]
    port = net.port(net.network())
    net.update("port", port["id"], by=cloud.admin, qos_policy_id=policy["id"])
    change = {"port": {"qos_policy_id": None}}
    net.refused("PUT", f"ports/{port['id']}", 403, "PolicyRemoveAuthorizationError", json=change)
    net.update("port", port["id"], name="still mine", qos_policy_id=policy["id"])


def test_rule_types_tell_what_works(qos: Qos) -> None:
    types = [{"type": "bandwidth_limit"}, {"type": "dscp_marking"}, {"type": "packet_rate_limit"}]
    for query in ("", "?all_supported=true", "?all_rules=True"):
        assert qos.send("GET", f"rule-types{query}", 200, by=qos.cloud.reader)["rule_types"] == types
    assert qos.send("GET", "rule-types?type=dscp_marking", 200)["rule_types"] == types[1:2]
    qos.send("GET", "rule-types/bandwidth_limit", 403)
    for type, unit in (("bandwidth_limit", "kbps"), ("packet_rate_limit", "kpps")):
        [driver] = qos.send("GET", f"rule-types/{type}", 200, by=qos.cloud.admin)["rule_type"]["drivers"]
        named = {one["parameter_name"] for one in driver["supported_parameters"]}
        assert named == {f"max_{unit}", f"max_burst_{unit}", "direction"}


def test_the_quota_counts_policies(cloud: Cloud, net: Net, qos: Qos) -> None:
    net.send("PUT", f"quotas/{RED}", by=cloud.admin, json={"quota": {"qos_policy": 1}})
    qos.policy()
    answer = qos.send("POST", "policies", 409, policy={"name": "second"})
    assert answer["NeutronError"]["type"] == "OverQuota"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "policies", {"policy": {"name": 5}}, 400),
        ("POST", "policies", {"policy": {"rules": []}}, 400),
        ("POST", "policies", {"policy": {"is_default": "perhaps"}}, 400),
        ("POST", "policies", {}, 400),
        ("GET", "policies/none", None, 404),
        ("GET", "policies?colour=red", None, 400),
        ("GET", "policies?shared=perhaps", None, 400),
        ("PUT", "policies/none", {"policy": {"name": "x"}}, 404),
        ("GET", "policies/none/bandwidth_limit_rules", None, 404),
        ("POST", "policies/none/bandwidth_limit_rules", {"bandwidth_limit_rule": {"max_kbps": 1}}, 404),
        ("POST", "policies/ID/bandwidth_limit_rules", {"bandwidth_limit_rule": {}}, 400),
        ("POST", "policies/ID/bandwidth_limit_rules", {"bandwidth_limit_rule": {"max_kbps": -1}}, 400),
        ("POST", "policies/ID/bandwidth_limit_rules", {"bandwidth_limit_rule": {"max_kbps": 2**31}}, 400),
        ("POST", "policies/ID/bandwidth_limit_rules", {"bandwidth_limit_rule": {"max_kbps": "fast"}}, 400),
        ("POST", "policies/ID/bandwidth_limit_rules", {"bandwidth_limit_rule": {"max_kbps": None}}, 400),
        ("POST", "policies/ID/bandwidth_limit_rules", {"bandwidth_limit_rule": {"max_kbps": 1, "direction": "up"}}, 400),
        ("POST", "policies/ID/bandwidth_limit_rules", {"bandwidth_limit_rule": {"max_kbps": 1, "max_burst_kbps": -1}}, 400),
        ("POST", "policies/ID/bandwidth_limit_rules", {"bandwidth_limit_rule": {"max_kbps": 1, "colour": "red"}}, 400),
        ("POST", "policies/ID/bandwidth_limit_rules", {"bandwidth_limit_rule": {"max_kbps": 7}}, 409),
        ("POST", "policies/ID/dscp_marking_rules", {"dscp_marking_rule": {"dscp_mark": 27}}, 400),
        ("POST", "policies/ID/dscp_marking_rules", {"dscp_marking_rule": {"dscp_mark": 64}}, 400),
        ("POST", "policies/ID/dscp_marking_rules", {"dscp_marking_rule": {"dscp_mark": 26, "direction": "ingress"}}, 400),
        ("POST", "policies/ID/minimum_bandwidth_rules", {"minimum_bandwidth_rule": {"min_kbps": 1}}, 404),
        ("POST", "policies/ID/packet_rate_limit_rules", {"packet_rate_limit_rule": {}}, 400),
        ("POST", "policies/ID/packet_rate_limit_rules", {"packet_rate_limit_rule": {"max_kpps": -1}}, 400),
        ("POST", "policies/ID/packet_rate_limit_rules", {"packet_rate_limit_rule": {"max_kpps": 2**31}}, 400),
        ("POST", "policies/ID/packet_rate_limit_rules", {"packet_rate_limit_rule": {"max_kpps": 1, "direction": "any"}}, 400),
        ("POST", "policies/ID/packet_rate_limit_rules", {"packet_rate_limit_rule": {"max_kbps": 1}}, 400),
        ("GET", "policies/ID/packet_rate_limit_rules/RULE", None, 404),
        ("GET", "alias-packet-rate-limit-rules/RULE", None, 404),
        ("GET", "policies/ID/bandwidth_limit_rules/none", None, 404),
        ("GET", "policies/ID/dscp_marking_rules/RULE", None, 404),
        ("GET", "policies/ID/bandwidth_limit_rules?colour=red", None, 400),
        ("PUT", "alias-bandwidth-limit-rules/none", {"alias_bandwidth_limit_rule": {"max_kbps": 1}}, 404),
        ("PUT", "alias-bandwidth-limit-rules/RULE", {"alias_bandwidth_limit_rule": {"max_kbps": "x"}}, 400),
        ("GET", "alias-dscp-marking-rules/RULE", None, 404),
        ("GET", "rule-types?colour=red", None, 400),
        ("GET", "rule-types?all_rules=perhaps", None, 400),
        ("GET", "rule-types?all_rules=true&all_supported=true", None, 400),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_changes_nothing(
    qos: Qos, method: str, path: str, body: dict[str, Any] | None, status: int
) -> None:
    policy = qos.policy()
    rule = qos.limit(policy, 1000)
    before = qos.send("GET", "policies", 200)
    path = path.replace("ID", policy["id"]).replace("RULE", rule["id"])
    answer = qos.manager.request(method, f"{BASE}/qos/{path}", **({} if body is None else {"json": body}))
    assert answer.status_code == status, answer.text
    assert qos.send("GET", "policies", 200) == before


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "type"),
    [
        ("POST", "ports", {"port": {"network_id": "NET", "qos_policy_id": "none"}}, 404, "QosPolicyNotFound"),
        ("POST", "networks", {"network": {"qos_policy_id": "none"}}, 404, "QosPolicyNotFound"),
        ("PUT", "networks/NET", {"network": {"qos_policy_id": 5}}, 400, "HTTPBadRequest"),
        ("PUT", "networks/NET", {"network": {"qos_policy_id": "none"}}, 404, "QosPolicyNotFound"),
    ],
)
def test_policies_that_are_not_there_cannot_be_given(
    net: Net, method: str, path: str, body: dict[str, Any], status: int, type: str
) -> None:
    network = net.network()
    for inner in body.values():
        if "network_id" in inner:
            inner["network_id"] = network["id"]
    net.refused(method, path.replace("NET", network["id"]), status, type, json=body)


@pytest.mark.parametrize("holder", ["port", "network", "floatingip"])
def test_a_policy_in_use_stays(cloud: Cloud, net: Net, qos: Qos, holder: str) -> None:
    policy = qos.policy()
    if holder == "port":
        net.port(net.network(), qos_policy_id=policy["id"])
    elif holder == "network":
        net.network(qos_policy_id=policy["id"])
    else:
        public, _, _ = outside(net, cloud)
        net.create("floatingip", floating_network_id=public["id"], qos_policy_id=policy["id"])
    answer = qos.send("DELETE", f"policies/{policy['id']}", 409)
    assert answer["NeutronError"]["type"] == "QosPolicyInUse"
