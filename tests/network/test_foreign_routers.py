"""A router is its project's: no port of another's becomes a part of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cloud
from tests.network.conftest import Net
from wolke.network.owners import CLOUDS, INTERFACE


def legs(cloud: Cloud, router: str) -> int:
    cloud.settle()
    return len([row for row in cloud.north.rows(f"router/{router}") if row.table == "Logical_Router_Port"])


@pytest.mark.parametrize("owner", CLOUDS)
def test_no_port_is_put_into_a_foreign_router(net: Net, cloud: Cloud, owner: str) -> None:
    foreign = net.create("router", name="foreign", by=cloud.stranger)
    mine = net.network()
    net.subnet(mine)
    port = net.port(mine)
    named = {"device_owner": owner, "device_id": foreign["id"]}
    for method, path, more in (("POST", "ports", {"network_id": mine["id"]}), ("PUT", f"ports/{port['id']}", {})):
        answer = net.send(method, path, json={"port": named | more})
        assert answer.status_code == 403, answer.text
    net.update("router", foreign["id"], name="still mine", by=cloud.stranger)
    assert legs(cloud, foreign["id"]) == 0


def test_an_interface_stays_with_its_router(net: Net, cloud: Cloud) -> None:
    foreign = net.create("router", name="foreign", by=cloud.stranger)
    router, network = net.create("router", name="mine"), net.network()
    subnet = net.subnet(network)
    net.send("PUT", f"routers/{router['id']}/add_router_interface", json={"subnet_id": subnet["id"]})
    [interface] = net.list("ports", f"device_owner={INTERFACE}")
    for changes in ({"device_id": foreign["id"]}, {"device_owner": ""}, {"device_owner": "compute:nova"}):
        answer = net.send("PUT", f"ports/{interface['id']}", json={"port": changes})
        assert answer.status_code == 403, answer.text
    # what a client sends back unchanged is no change
    same = {name: interface[name] for name in ("device_id", "device_owner")}
    assert net.update("port", interface["id"], name="named", **same)["name"] == "named"
    assert (legs(cloud, foreign["id"]), legs(cloud, router["id"])) == (0, 1)


def test_a_server_s_port_does_not_become_the_network_s_own(net: Net) -> None:
    """Which would take it out of the operator's door and of port security."""
    port = net.port(net.network())
    for owner in CLOUDS:
        assert net.send("PUT", f"ports/{port['id']}", json={"port": {"device_owner": owner}}).status_code == 403


# On a network that is shared ------------------------------------------------------------------------------------------
SLAAC = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}


def beside(net: Net, cloud: Cloud, network: Any, public: Any) -> Any:
    """A stranger's router with a way out, older than others, that stands on a shared network by a port of the stranger's."""
    router = net.create("router", by=cloud.stranger, external_gateway_info={"network_id": public["id"]})
    port = net.port(network, by=cloud.stranger)
    answer = net.send(
        "PUT", f"routers/{router['id']}/add_router_interface", by=cloud.stranger, json={"port_id": port["id"]}
    )
    assert answer.status_code == 200, answer.text
    return router | {"leg": port["id"]}


def test_a_floating_ip_does_not_lead_by_a_neighbour_s_router(net: Net, cloud: Cloud) -> None:
    """Whose routes could lead it on to a server of the neighbour's."""
    public = net.network(by=cloud.admin, name="public", **{"router:external": True})
    net.subnet(public, "198.51.100.0/24", by=cloud.admin)
    common = net.network(by=cloud.admin, shared=True, project_id="0" * 32)
    subnet = net.subnet(common, "10.5.0.0/24", by=cloud.admin, project_id="0" * 32)
    foreign = beside(net, cloud, common, public)
    mine = net.port(common)
    floating = net.create("floatingip", floating_network_id=public["id"])
    wish = {"floatingip": {"port_id": mine["id"]}}
    path = f"floatingips/{floating['id']}"
    net.refused("PUT", path, 404, "ExternalGatewayForFloatingIPNotFound", json=wish)
    forwarding = {
        "protocol": "tcp", "external_port": 80, "internal_port": 80, "internal_port_id": mine["id"],
        "internal_ip_address": mine["fixed_ips"][0]["ip_address"],
    }  # fmt: skip
    answer = net.send("POST", f"{path}/port_forwardings", json={"port_forwarding": forwarding})
    assert answer.status_code == 400, answer.text
    its = net.port(common, by=cloud.stranger)
    led = net.create("floatingip", by=cloud.stranger, floating_network_id=public["id"], port_id=its["id"])
    assert led["router_id"] == foreign["id"], "its own project may"
    router = net.create("router", by=cloud.admin, external_gateway_info={"network_id": public["id"]})
    net.send("PUT", f"routers/{router['id']}/add_router_interface", by=cloud.admin, json={"subnet_id": subnet["id"]})
    assert net.update("floatingip", floating["id"], port_id=mine["id"])["router_id"] == router["id"]


def test_a_neighbour_s_router_advertises_nothing_on_a_shared_network(net: Net, cloud: Cloud) -> None:
    public = net.network(by=cloud.admin, name="public", **{"router:external": True})
    net.subnet(public, "198.51.100.0/24", by=cloud.admin)
    common = net.network(by=cloud.admin, shared=True, project_id="0" * 32)
    subnet = net.subnet(common, "2001:db8:1::/64", by=cloud.admin, project_id="0" * 32, **SLAAC)
    foreign = beside(net, cloud, common, public)
    router = net.create("router", by=cloud.admin)
    interface = f"routers/{router['id']}/add_router_interface"
    added = net.send("PUT", interface, by=cloud.admin, json={"subnet_id": subnet["id"]}).json()
    cloud.settle()
    ports = cloud.north.table
    told = [
        ports["Logical_Router_Port", f"lrp-{id}"].columns.get("ipv6_ra_configs")
        for id in (foreign["leg"], added["port_id"])
    ]
    assert [bool(one) for one in told] == [False, True]
