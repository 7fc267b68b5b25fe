"""Zones as an operator declares them, for the tests of zones."""

from __future__ import annotations

from typing import Any

from tests.conftest import BLUE, RED, Cloud
from tests.network.conftest import Net
from wolke.core.config import PhysicalNetwork
from wolke.identity.table import Group, Project, User

ZONES = "/wolke/v1/zones"
OPERATORS = "0" * 32
VLAN = {"name": "dmz", "type": "vlan", "physical_network": "site", "vlan_ranges": [{"minimum": 100, "maximum": 103}]}
QINQ = {"name": "metro", "type": "qinq", "physical_network": "site", "outer_tag": 900}
FLAT = {"name": "lab", "type": "flat", "physical_network": "site"}
VXLAN = {
    "name": "fabric",
    "type": "vxlan",
    "vni_ranges": [{"minimum": 5000, "maximum": 5099}],
    "peers": ["198.51.100.7"],
}
EVPN = {
    "name": "evpn",
    "type": "evpn",
    "vni_ranges": [{"minimum": 7000, "maximum": 7009}],
    "asn": 64512,
    "udp_port": 4790,
}


class Zones:
    """``zones.make(**VLAN)`` as the operator."""

    def __init__(self, cloud: Cloud, net: Net) -> None:
        self.cloud, self.net = cloud, net
        cloud.app.config.physical_networks["site"] = PhysicalNetwork(mtu=1500)
        with cloud.app.database.transaction() as db:
            for id in (RED, BLUE):
                if not db.get(Project, id):
                    db.add(Project(id=id, name=f"project-{id[:1]}", domain_id="default"))
            for name in ("member", "stranger"):
                db.add(User(id=f"user-{name}", name=name, domain_id="default"))
            db.add(Group(id="group-guests", name="guests", domain_id="default"))

    def make(self, **body: Any) -> Any:
        answer = self.cloud.admin.post(ZONES, json={"zone": body})
        assert answer.status_code == 201, answer.text
        return answer.json()["zone"]

    def show(self, id: str) -> Any:
        return self.cloud.admin.get(f"{ZONES}/{id}").json()["zone"]

    def grant(self, zone: Any, type: str = "project", id: str = RED, **more: Any) -> Any:
        body = {"grant": {"subject_type": type, "subject_id": id, **more}}
        answer = self.cloud.admin.post(f"{ZONES}/{zone['id']}/grants", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()["grant"]

    def revoke(self, grant: Any) -> Any:
        answer = self.cloud.admin.delete(f"{ZONES}/{grant['zone_id']}/grants/{grant['id']}")
        assert answer.status_code == 200, answer.text
        return answer.json()["revoked"]

    def network(self, zone: Any, by: Any = None, **more: Any) -> Any:
        """By the operator, for a project of his own, unless a member makes it."""
        owner = {} if by else {"project_id": OPERATORS}
        body = {"provider:physical_network": zone["name"], **owner, **more}
        return self.net.network(by=by or self.cloud.admin, **body)

    def localnet(self, network: Any) -> Any:
        self.cloud.settle()
        return self.cloud.north.table["Logical_Switch_Port", f"provnet-{network['id']}"].columns

    def enabled(self, port: Any) -> Any:
        self.cloud.settle()
        return self.cloud.north.table["Logical_Switch_Port", port["id"]].columns["enabled"]
