"""Packet rates: rules of QoS policies that no row of OVN keeps; the hosts are told which cards they bind."""

from __future__ import annotations

import pytest

from tests.conftest import Cloud
from tests.network.conftest import Net
from tests.network.test_qos import Qos, outside, rows
from wolke.wire.wanted import PacketLimit


class Told:
    """A cloud with two hosts, and what each was told of packet rates."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.hosts = {name: cloud.add_host(name) for name in ("h1", "h2")}

    def __call__(self, host: str = "h1") -> list[tuple[str, str, int]]:
        return sorted((one.port_id, one.direction, one.rate) for one in self.limits(host))

    def limits(self, host: str = "h1") -> tuple[PacketLimit, ...]:
        self.cloud.settle()
        limits: tuple[PacketLimit, ...] = self.hosts[host].agent.wanted.packet_limits
        return limits


@pytest.fixture
def qos(cloud: Cloud) -> Qos:
    return Qos(cloud)


@pytest.fixture
def told(cloud: Cloud) -> Told:
    return Told(cloud)


def test_a_rule_is_made_changed_and_deleted(qos: Qos) -> None:
    policy = qos.policy()
    rule = qos.packets(policy, 2, max_burst_kpps=1, direction="ingress")
    assert rule == {
        "id": rule["id"], "qos_policy_id": policy["id"], "max_kpps": 2, "max_burst_kpps": 1, "direction": "ingress",
    }  # fmt: skip
    assert qos.show(policy)["rules"] == [rule | {"type": "packet_rate_limit"}]
    path = f"policies/{policy['id']}/packet_rate_limit_rules"
    assert qos.send("GET", f"{path}?max_kpps=2", 200)["packet_rate_limit_rules"] == [rule]
    qos.send("POST", path, 409, packet_rate_limit_rule={"max_kpps": 5, "direction": "ingress"})
    other = qos.packets(policy, 3)
    qos.send("PUT", f"{path}/{other['id']}", 409, packet_rate_limit_rule={"direction": "ingress"})
    changed = qos.send("PUT", f"{path}/{rule['id']}", 200, packet_rate_limit_rule={"max_kpps": "7"})
    assert changed["packet_rate_limit_rule"] == {**rule, "max_kpps": 7}
    qos.send("DELETE", f"{path}/{rule['id']}", 204)
    assert [one["id"] for one in qos.show(policy)["rules"]] == [other["id"]]


def test_hosts_hear_of_every_change(cloud: Cloud, net: Net, qos: Qos, told: Told) -> None:
    network, policy = net.network(), qos.policy()
    port = net.port(network, qos_policy_id=policy["id"])
    assert told() == []
    rule = qos.packets(policy, 1, max_burst_kpps=2)
    assert (
        told.limits()
        == told.limits("h2")
        == (PacketLimit(port_id=port["id"], direction="egress", rate=1000, burst=2000),)
    )
    assert rows(cloud) == {}, "OVN counts bits alone"
    path = f"policies/{policy['id']}/packet_rate_limit_rules/{rule['id']}"
    qos.send("PUT", path, 200, packet_rate_limit_rule={"max_kpps": 3})
    assert told() == [(port["id"], "egress", 3000)]
    qos.send("PUT", path, 200, packet_rate_limit_rule={"max_kpps": 0})
    assert told() == []
    qos.send("PUT", path, 200, packet_rate_limit_rule={"max_kpps": 2**31 - 1, "direction": "ingress"})
    assert told() == [(port["id"], "ingress", 2**32 - 1)]
    net.update("port", port["id"], qos_policy_id=None)
    assert told() == []
    net.update("port", port["id"], qos_policy_id=policy["id"])
    assert len(told()) == 1
    qos.send("DELETE", path, 204)
    assert told() == []


def test_a_networks_rate_is_its_ports_unless_they_have_their_own(net: Net, qos: Qos, told: Told) -> None:
    slow, fast = qos.policy(), qos.policy()
    qos.packets(slow, 1)
    qos.packets(fast, 9)
    network = net.network(qos_policy_id=slow["id"])
    net.subnet(network)
    plain, own = net.port(network), net.port(network, qos_policy_id=fast["id"])
    assert {id: rate for id, _, rate in told()} == {plain["id"]: 1000, own["id"]: 9000}, "the metadata port has none"
    net.update("network", network["id"], qos_policy_id=None)
    assert told() == [(own["id"], "egress", 9000)]
    net.update("network", network["id"], qos_policy_id=fast["id"])
    assert {rate for _, _, rate in told()} == {9000}
    net.delete("port", own["id"])
    other = net.port(network)
    assert {id for id, _, _ in told()} == {plain["id"], other["id"]}


def test_a_host_hears_of_its_own_cards_and_of_those_that_may_come(cloud: Cloud, net: Net, qos: Qos, told: Told) -> None:
    policy = qos.policy()
    qos.packets(policy, 1)
    port = net.port(net.network(), qos_policy_id=policy["id"])
    net.update("port", port["id"], by=cloud.admin, **{"binding:host_id": "h1"})
    assert (len(told("h1")), len(told("h2"))) == (1, 0)
    net.update("port", port["id"], by=cloud.admin, **{"binding:host_id": "h2"})
    assert (len(told("h1")), len(told("h2"))) == (0, 1)
    answer = net.send("POST", f"ports/{port['id']}/bindings", by=cloud.admin, json={"binding": {"host": "h1"}})
    assert answer.status_code == 201, answer.text
    assert (len(told("h1")), len(told("h2"))) == (1, 1)


def test_subports_are_where_their_parent_is(cloud: Cloud, net: Net, qos: Qos, told: Told) -> None:
    policy = qos.policy()
    qos.packets(policy, 1)
    parent, child = net.port(net.network()), net.port(net.network(), qos_policy_id=policy["id"])
    part = {"port_id": child["id"], "segmentation_type": "vlan", "segmentation_id": 100}
    trunk = net.create("trunk", port_id=parent["id"], sub_ports=[part])
    [limit] = told.limits()
    assert (limit.port_id, limit.parent, limit.tag) == (child["id"], parent["id"], 100)
    net.update("port", parent["id"], by=cloud.admin, **{"binding:host_id": "h2"})
    assert (told("h1"), len(told("h2"))) == ([], 1)
    net.delete("trunk", trunk["id"])
    [limit] = told.limits("h1")
    assert (limit.parent, limit.tag) == ("", 0)


def test_floating_ips_and_gateways_refuse_packet_rates(cloud: Cloud, net: Net, qos: Qos, told: Told) -> None:
    public, router, _ = outside(net, cloud)
    policy, plain = qos.policy(), qos.policy()
    qos.packets(policy, 1)
    info = {"network_id": public["id"], "qos_policy_id": policy["id"]}
    change = {"router": {"external_gateway_info": info}}
    net.refused("PUT", f"routers/{router['id']}", 409, "QosRuleNotSupported", json=change)
    body = {"floatingip": {"floating_network_id": public["id"], "qos_policy_id": policy["id"]}}
    net.refused("POST", "floatingips", 409, "QosRuleNotSupported", json=body)
    floating = net.create("floatingip", floating_network_id=public["id"], qos_policy_id=plain["id"])
    path = f"policies/{plain['id']}/packet_rate_limit_rules"
    qos.send("POST", path, 409, packet_rate_limit_rule={"max_kpps": 1})
    change = {"floatingip": {"qos_policy_id": policy["id"]}}
    net.refused("PUT", f"floatingips/{floating['id']}", 409, "QosRuleNotSupported", json=change)
    net.update("floatingip", floating["id"], qos_policy_id=None)
    info["qos_policy_id"] = plain["id"]
    net.update("router", router["id"], external_gateway_info=info)
    qos.send("POST", path, 409, packet_rate_limit_rule={"max_kpps": 1})
    theirs = qos.policy(by=cloud.admin)
    qos.send(
        "POST",
        f"policies/{theirs['id']}/packet_rate_limit_rules",
        201,
        by=cloud.admin,
        packet_rate_limit_rule={"max_kpps": 1},
    )
    net.update("network", public["id"], by=cloud.admin, qos_policy_id=theirs["id"])
    assert told() == [], "the gateway's network limits servers' cards alone"
