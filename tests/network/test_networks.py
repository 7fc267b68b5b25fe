"""Networks: what the API page says, and the logical switch that follows."""

from __future__ import annotations

from tests.conftest import Cloud
from tests.network.conftest import Net


def test_a_network_is_made_and_shown(net: Net) -> None:
    network = net.network(name="red", description="for red things")
    assert network["status"] == "ACTIVE"
    assert network["mtu"] == 1442  # 58 bytes less than the hosts' 1500
    assert network["admin_state_up"] is True and network["shared"] is False
    assert network["subnets"] == [] and network["revision_number"] >= 1
    assert network["tenant_id"] == network["project_id"]
    assert net.show("network", network["id"]) == network


def test_its_switch_follows_and_goes(cloud: Cloud, net: Net) -> None:
    network = net.network()
    cloud.settle()
    assert ("Logical_Switch", network["id"]) in cloud.north.table
    net.delete("network", network["id"])
    cloud.settle()
    assert ("Logical_Switch", network["id"]) not in cloud.north.table


def test_only_an_operator_sees_how_it_is_made(cloud: Cloud, net: Net) -> None:
    network = net.network()
    assert not [name for name in network if name.startswith("provider:")]
    seen = net.show("network", network["id"], by=cloud.admin)
    assert seen["provider:network_type"] == "geneve" and seen["provider:segmentation_id"] > 0
