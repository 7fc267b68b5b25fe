"""A topology for the asking."""

from __future__ import annotations

from typing import Any

from tests.conftest import RED, Cloud
from tests.network.conftest import Net
from tests.network.test_routers import outside

__all__ = ["outside"]
PATH = f"auto-allocated-topology/{RED}"


def prepare(cloud: Cloud, net: Net, outside: Any) -> None:
    net.refused("GET", f"{PATH}?fields=dry-run", 409, "AutoAllocationFailure")
    net.update("network", outside["id"], by=cloud.admin, is_default=True)
    assert "subnetpools" in net.refused("GET", f"{PATH}?fields=dry-run", 409, "AutoAllocationFailure")
    for name, prefix, length in (("four", "10.64.0.0/16", 24), ("six", "fd00:64::/48", 64)):
        net.create(
            "subnetpool", by=cloud.admin, name=name, prefixes=[prefix], default_prefixlen=length, shared=True, is_default=True
        )  # fmt: skip


def test_it_is_made_once_and_goes_whole(cloud: Cloud, net: Net, outside: Any) -> None:
    prepare(cloud, net, outside)
    dry = net.send("GET", f"{PATH}?fields=dry-run").json()["auto_allocated_topology"]
    assert (dry["id"], net.list("routers")) == ("dry-run=pass", [])
    one = net.send("GET", PATH).json()["auto_allocated_topology"]
    assert net.send("GET", "auto-allocated-topology/None").json()["auto_allocated_topology"] == one
    network = net.show("network", one["id"])
    assert (network["project_id"], one["tenant_id"], len(network["subnets"])) == (RED, RED, 2)
    [router] = net.list("routers")
    assert router["external_gateway_info"]["network_id"] == outside["id"]
    assert len(net.list("ports", f"device_id={router['id']}&device_owner=network:router_interface")) == 2
    port = net.create("port", network_id=network["id"])
    assert {"." in fixed["ip_address"] for fixed in port["fixed_ips"]} == {True, False}
    net.refused("DELETE", PATH, 409, "NetworkInUse")
    assert net.send("GET", PATH).json()["auto_allocated_topology"] == one and len(net.list("routers")) == 1
    net.delete("port", port["id"])
    assert net.send("DELETE", PATH).status_code == 204 and net.send("DELETE", PATH).status_code == 204
    assert net.list("routers") == [] and one["id"] not in [found["id"] for found in net.list("networks")]
    cloud.settle()
    assert not [owner for owner in cloud.north.owners() if one["id"] in owner or router["id"] in owner]


def test_it_is_asked_for_by_its_own_project(cloud: Cloud, net: Net, outside: Any) -> None:
    prepare(cloud, net, outside)
    net.refused("GET", PATH, 403, "PolicyNotAuthorized", by=cloud.stranger)
    net.refused("DELETE", PATH, 403, "PolicyNotAuthorized", by=cloud.reader)
    net.refused("GET", PATH, 403, "PolicyNotAuthorized", by=cloud.reader)
    assert net.list("routers") == []
    first, second = cloud.at_once(*[lambda api: api.get(f"/network/v2.0/{PATH}")] * 2)
    assert first.json() == second.json() and len(net.list("routers")) == 1
