"""Addresses as callers spell them: what stands behind ``%`` is refused wherever one is taken, and never reaches a row."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cloud
from tests.network.conftest import Net
from tests.network.test_routers import outside

__all__ = ["outside"]

HERE, PREFIX = "fd00::5%x || 1", "fd00::%x || 1/64"
SUBNET = {"ip_version": 6, "cidr": "fd00:1::/64"}
BODIES: list[tuple[str, dict[str, Any]]] = [
    ("port", {"fixed_ips": [{"ip_address": HERE}]}),
    ("port", {"allowed_address_pairs": [{"ip_address": HERE}]}),
    ("port", {"allowed_address_pairs": [{"ip_address": PREFIX}]}),
    ("port", {"extra_dhcp_opts": [{"opt_name": "dns-server", "opt_value": HERE, "ip_version": 6}]}),
    ("subnet", {"ip_version": 6, "cidr": "fd00:1::%x/64"}),
    ("subnet", {**SUBNET, "gateway_ip": "fd00:1::1%x"}),
    ("subnet", {**SUBNET, "dns_nameservers": ["fd00:1::1%x"]}),
    ("subnet", {**SUBNET, "allocation_pools": [{"start": "fd00:1::5%x", "end": "fd00:1::9%x"}]}),
    ("subnet", {**SUBNET, "host_routes": [{"destination": PREFIX, "nexthop": "fd00:1::9"}]}),
    ("subnet", {**SUBNET, "host_routes": [{"destination": "fd00:9::/64", "nexthop": "fd00:1::9%x"}]}),
]


@pytest.mark.parametrize(("kind", "body"), BODIES)
def test_a_network_takes_no_zones(net: Net, kind: str, body: dict[str, Any]) -> None:
    network = net.network()
    net.subnet(network, "fd00::/64")
    answer = net.send("POST", f"{kind}s", json={kind: {"network_id": network["id"], **body}})
    assert answer.status_code == 400 and "%x" in answer.text, answer.text


def test_rules_groups_and_pools_take_no_zones(net: Net) -> None:
    group = net.create("security_group")
    rule = {"security_group_id": group["id"], "direction": "ingress", "ethertype": "IPv6"}
    for text in (HERE, PREFIX):
        body = {"security_group_rule": {**rule, "remote_ip_prefix": text}}
        assert "remote_ip_prefix" in net.refused("POST", "security-group-rules", 400, "InvalidInput", json=body)
    body = {"address_group": {"addresses": [PREFIX]}}
    assert "addresses" in net.refused("POST", "address-groups", 400, "HTTPBadRequest", json=body)
    body = {"subnetpool": {"name": "", "prefixes": [PREFIX], "default_prefixlen": 64}}
    assert "prefixes" in net.refused("POST", "subnetpools", 400, "HTTPBadRequest", json=body)


def test_a_router_takes_no_zones(net: Net) -> None:
    router = net.create("router")
    for route in ({"destination": PREFIX, "nexthop": "fd00::9"}, {"destination": "fd01::/64", "nexthop": HERE}):
        body = {"router": {"routes": [route]}}
        assert "routes" in net.refused("PUT", f"routers/{router['id']}", 400, "HTTPBadRequest", json=body)


def test_the_doorman_takes_no_zones(cloud: Cloud) -> None:
    for field in ("remote_ip_prefixes", "local_ip_prefixes"):
        rule = {"action": "deny", "direction": "ingress", field: [PREFIX]}
        answer = cloud.admin.post("/wolke/v1/doorman/rules", json={"doorman_rule": rule})
        assert answer.status_code == 400 and field in answer.text, answer.text


@pytest.mark.parametrize("address", ["nonsense", "2001:db8::77%x", "198.51.100.0/24"])
def test_a_floating_ip_is_asked_for_by_an_address(cloud: Cloud, net: Net, outside: Any, address: str) -> None:
    body = {"floatingip": {"floating_network_id": outside["id"], "floating_ip_address": address}}
    told = net.refused("POST", "floatingips", 400, "HTTPBadRequest", by=cloud.admin, json=body)
    assert "floating_ip_address" in told
