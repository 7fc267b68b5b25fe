"""As ``test_wakes``, with what security groups stand on and are made of: routers, logs, address groups."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cloud
from tests.network.conftest import Net
from tests.network.test_wakes import Mischief, differences, drifted

CALLS = 40  # per seed


class Guards(Mischief):
    """The calls of ``Mischief``, and these thrice as often."""

    def __init__(self, cloud: Cloud, net: Net, seed: int) -> None:
        super().__init__(cloud, net, seed)
        own = sorted(name for name in vars(Guards) if name.startswith("do_"))
        self.calls += [getattr(self, name) for name in own * 5]

    def groups(self) -> list[str]:
        found = [one["id"] for one in self.net.list("security-groups", by=self.cloud.admin)]
        return self.draw.sample(sorted(found), min(len(found), self.draw.randint(0, 2)))

    def logs(self) -> list[Any]:
        return list(self.net.send("GET", "log/logs", by=self.cloud.admin).json()["logs"]) or [{"id": "nowhere"}]

    def do_guard_an_interface(self) -> None:
        port = self.any("ports", device_owner="network:router_interface")
        self.send("PUT", f"ports/{port['id']}", {"port": {"security_groups": self.groups()}})

    def do_guard_a_gateway(self) -> None:
        info = {"network_id": self.any("networks", **{"router:external": True})["id"], "security_groups": self.groups()}
        self.send("PUT", f"routers/{self.any('routers')['id']}", {"router": {"external_gateway_info": info}})

    def do_guard_a_server(self) -> None:
        self.send("PUT", f"ports/{self.any('ports')['id']}", {"port": {"security_groups": self.groups()}})

    def do_make_rules(self) -> None:
        rule = {
            "security_group_id": self.any("security-groups")["id"],
            "direction": self.draw.choice(["ingress", "egress"]),
        }
        rule |= self.draw.choice([{"protocol": "udp"}, {"protocol": "gre"}, {"ethertype": "IPv6", "protocol": "icmp"}])
        rule |= self.draw.choice([{}, {"remote_address_group_id": self.any("address-groups")["id"]}])
        self.send("POST", "security-group-rules", {"security_group_rule": rule})

    def do_log(self) -> None:
        log = {"resource_type": "security_group", "event": self.draw.choice(["ALL", "ACCEPT", "DROP"])}
        if self.maybe():
            log["resource_id"] = self.any("security-groups")["id"]
        if self.maybe():
            log["target_id"] = self.any("ports")["id"]
        self.send("POST", "log/logs", {"log": log})

    def do_change_a_log(self) -> None:
        self.send("PUT", f"log/logs/{self.draw.choice(self.logs())['id']}", {"log": {"enabled": self.maybe()}})

    def do_delete_a_log(self) -> None:
        self.send("DELETE", f"log/logs/{self.draw.choice(self.logs())['id']}")

    def do_make_an_address_group(self) -> None:
        self.send("POST", "address-groups", {"address_group": {"addresses": [f"10.{self.fresh()}.0.0/16", "fd00::/8"]}})

    def do_change_an_address_group(self) -> None:
        path, prefix = f"address-groups/{self.any('address-groups')['id']}", f"10.{self.draw.randint(1, 9)}.0.0/16"
        self.send("PUT", f"{path}/{self.draw.choice(['add', 'remove'])}_addresses", {"addresses": [prefix]})

    def do_delete_an_address_group(self) -> None:
        self.send("DELETE", f"address-groups/{self.any('address-groups')['id']}")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_left_for_the_sweep(cloud: Cloud, net: Net, seed: int) -> None:
    public = {"router:external": True, "provider:network_type": "flat", "provider:physical_network": "public"}
    outside = net.create("network", by=cloud.admin, name="public", **public)
    net.create("subnet", by=cloud.admin, network_id=outside["id"], ip_version=4, cidr="198.51.100.0/24")
    for kind in ("security_group", "address_group", "security_group_rule", "router", "log"):
        cloud.admin.put(f"/network/v2.0/quotas/{outside['project_id']}", json={"quota": {kind: -1}})
    guards = Guards(cloud, net, seed)
    for make in (guards.do_create_network, guards.do_create_network, guards.do_create_router, guards.do_create_port):
        make()
    guards.send(
        "PUT", f"routers/{guards.any('routers')['id']}/add_router_interface", {"subnet_id": guards.any("subnets")["id"]}
    )
    for _ in range(CALLS):
        guards.draw.choice(guards.calls)()
        cloud.settle()
        assert drifted(cloud) == [], "\n".join([*guards.done[-8:], *differences(cloud)])
    assert sum("-> 2" in one for one in guards.done) > CALLS / 3, "too little of it was done"
