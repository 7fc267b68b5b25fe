"""A router is its project's: no port of another's becomes a part of it."""

from __future__ import annotations

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
