"""Zones as an operator declares them, and the site around the cloud, for the tests of zones with packets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.real.tenants import Server, Tenant
from wolke.lab import Lab, wait_for
from wolke.lab.furnish import administrator
from wolke.lab.site import ADDRESS, Machine, Site

SECONDS = 40
VLAN = {"name": "dmz", "type": "vlan", "physical_network": "public", "vlan_ranges": [{"minimum": 100, "maximum": 199}]}
QINQ = {"name": "metro", "type": "qinq", "physical_network": "public", "outer_tag": 900}
VXLAN = {"name": "fabric", "type": "vxlan", "vni_ranges": [{"minimum": 5000, "maximum": 5099}], "peers": [ADDRESS]}
EVPN = {
    "name": "evpn", "type": "evpn", "vni_ranges": [{"minimum": 7000, "maximum": 7099}], "asn": 64512, "udp_port": 4790,
    "bgp_peers": [{"address": ADDRESS, "asn": 64600}], "gateway_mac": "00:00:5e:00:01:01", "l3_vni": 7999,
}  # fmt: skip


class Operator:
    """The operator's calls, the site around the cloud, and what of both is to be taken away."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.api, self.site = lab, administrator(lab), Site(lab).up()
        self.machines: list[Machine] = []
        self.tenants: list[Tenant] = []
        self.zones: list[str] = []

    def call(self, method: str, path: str, **body: Any) -> Any:
        return self.api.call(method, f"/wolke/v1/{path}", **body)

    def declare(self, **zone: Any) -> Any:
        """A zone; returns when every host says that it is in force."""
        made = self.call("POST", "zones", zone=zone)["zone"]
        self.zones.append(made["id"])
        self.in_force(made)
        return made

    def in_force(self, zone: Any) -> None:
        hosts = {host.name for host in self.lab.hosts}

        def states() -> dict[str, Any]:
            return {one["host"]: one for one in self.call("GET", f"zones/{zone['id']}")["zone"]["hosts"]}

        ready = wait_for(
            lambda: hosts <= {name for name, one in states().items() if one["state"] == "ACTIVE"}, SECONDS, every=0.2
        )
        assert ready, states()

    def grant(self, zone: Any, tenant: Tenant, level: str = "create", **more: Any) -> Any:
        [project] = self.api.get("/identity/v3/projects", name=tenant.name)["projects"]
        body = {"subject_type": "project", "subject_id": project["id"], "level": level, **more}
        return self.call("POST", f"zones/{zone['id']}/grants", grant=body)["grant"]

    def tenant(self, name: str) -> Tenant:
        self.tenants.append(Tenant(self.lab, name))
        return self.tenants[-1]

    def machine(self, made: Machine) -> Machine:
        self.machines.append(made)
        return made

    def end(self) -> None:
        for machine in self.machines:
            self.site.remove(machine)
        for tenant in self.tenants:
            tenant.end()
        for id in self.zones:
            self.call("DELETE", f"zones/{id}")
        for router in self.site.routers.values():
            router.down()


def soon(condition: Callable[[], Any]) -> bool:
    return bool(wait_for(condition, SECONDS, every=0.2))


def on(zone: Any) -> dict[str, str]:
    return {"provider:physical_network": zone["name"]}


def guests(tenant: Tenant, network: Any) -> tuple[Server, Server]:
    """One on each host, open to all."""
    group = tenant.group({}, {"ethertype": "IPv6"})
    return tenant.server(network, 1, group), tenant.server(network, 2, group)


def whole(source: Any, address: str, size: int) -> bool:
    """Whether a packet of this size passes in one piece."""
    words = ["ping", "-c", "1", "-W", "2", "-M", "do", "-s", str(size - 28), address]
    return source.run(words, check=False).returncode == 0


def neighbour(source: Any, address: str) -> str:
    """The MAC that it knows for a neighbour; "" for none. Under load the kernel may leave one out of its answer."""
    told = json.loads(source.run(["ip", "-j", "neigh", "show", address]).stdout or "[]")
    return str(told[0].get("lladdr", "")) if told else ""
