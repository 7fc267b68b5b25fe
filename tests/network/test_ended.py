"""What was begun by a floating IP that leads elsewhere is told to the hosts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cloud
from tests.network.conftest import Net
from tests.network.test_floating_ips import floating, router
from tests.network.test_port_forwardings import forward
from tests.network.test_routers import inside, outside
from wolke.network import hooks
from wolke.network.ended import TOLD_SECONDS, wanted_ended

__all__ = ["floating", "inside", "outside", "router"]


def told(cloud: Cloud) -> list[tuple[str, str, int, int]]:
    with cloud.app.database.read() as db:
        return [(one.address, one.protocol, one.first, one.last) for one in wanted_ended(db)]


def test_only_what_had_a_ground_before_ends(
    cloud: Cloud, net: Net, inside: Any, floating: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts: list[None] = []
    monkeypatch.setattr(hooks, "hosts_change", [lambda db: hosts.append(None)])
    address = floating["floating_ip_address"]
    assert told(cloud) == [(address, "", 0, 0)], "it has just come to its port"
    cloud.now += TOLD_SECONDS + 1
    net.update("floatingip", floating["id"], description="x")
    net.update("floatingip", floating["id"], port_id=floating["port_id"])
    assert told(cloud) == [] and not hosts
    other = net.create("port", network_id=inside["network_id"])
    net.update("floatingip", floating["id"], port_id=other["id"])
    assert told(cloud) == [(address, "", 0, 0)] and hosts
    with cloud.app.database.read() as db:
        [one] = wanted_ended(db)
    assert (one.port_id, one.vlan) == (other["id"], 0) and one.mac and one.localnet.startswith("provnet-")
    cloud.now += TOLD_SECONDS + 1
    assert told(cloud) == []
    net.delete("port", other["id"])
    assert told(cloud) == [(address, "", 0, 0)]
    net.delete("floatingip", floating["id"])
    assert len(told(cloud)) == 1, "it led nowhere when it went"


def test_a_forwarding_ends_for_its_ports_alone(cloud: Cloud, net: Net, outside: Any, inside: Any, router: Any) -> None:
    shared = net.create("floatingip", floating_network_id=outside["id"])
    port = net.create("port", network_id=inside["network_id"])
    made = forward(net, shared, port, "2000:2001", "2000:2001")
    url = f"floatingips/{shared['id']}/port_forwardings/{made['id']}"
    assert net.send("PUT", url, json={"port_forwarding": {"description": "x"}}).status_code == 200
    assert told(cloud) == []
    change = {"internal_port_range": "3000:3001", "external_port_range": "2100:2101"}
    assert net.send("PUT", url, json={"port_forwarding": change}).status_code == 200
    address = shared["floating_ip_address"]
    assert told(cloud) == [(address, "tcp", 2000, 2001)]
    assert net.send("DELETE", url).status_code == 204
    assert sorted(told(cloud)) == [(address, "tcp", 2000, 2001), (address, "tcp", 2100, 2101)]
