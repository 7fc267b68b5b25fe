"""A project as the tests of reachability draw it, and the questions they ask about it."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

from tests.conftest import Cloud
from tests.network.conftest import Net
from wolke.network.ports.table import Port

WEB: dict[str, Any] = {"protocol": "tcp", "port": 80}
OPEN: dict[str, Any] = {"protocol": "tcp", "port_range_min": 80, "port_range_max": 80}
PUBLIC: dict[str, Any] = {
    "provider:network_type": "flat",
    "provider:physical_network": "public",
    "router:external": True,
}


class Plan:
    """A project as tests draw it: a network with a router, servers on it that are up, and questions."""

    def __init__(self, cloud: Cloud, net: Net) -> None:
        self.cloud, self.net = cloud, net
        self.public = net.create("network", by=cloud.admin, name="public", **PUBLIC)
        net.create(
            "subnet", by=cloud.admin, network_id=self.public["id"], cidr="198.51.100.0/24", ip_version=4, enable_dhcp=False
        )  # fmt: skip
        cloud.settle()

    def network(self, *cidrs: str, by: TestClient | None = None, **more: Any) -> Any:
        made = self.net.create("network", by=by, **{"name": "red", **more})
        made["subnets"] = [
            self.net.create("subnet", by=by, network_id=made["id"], cidr=cidr, ip_version=6 if ":" in cidr else 4)["id"]
            for cidr in cidrs or ("10.0.0.0/24",)
        ]
        return made

    def router(self, *networks: Any, outside: bool = True, by: TestClient | None = None, **more: Any) -> Any:
        gateway = {"external_gateway_info": {"network_id": self.public["id"]}} if outside else {}
        router = self.net.create("router", by=by, **{"name": "way", **gateway, **more})
        for network in networks:
            for subnet in network["subnets"]:
                self.join(router, by=by, subnet_id=subnet)
        return router

    def join(self, router: Any, *, by: TestClient | None = None, **body: Any) -> None:
        done = self.net.send("PUT", f"routers/{router['id']}/add_router_interface", by=by, json=body)
        assert done.status_code == 200, done.text

    def group(self, *rules: dict[str, Any], by: TestClient | None = None, **more: Any) -> Any:
        made = self.net.create("security_group", by=by, **{"name": "web", **more})
        made["rules"] = [
            self.net.create(
                "security_group_rule", by=by, security_group_id=made["id"], **{"direction": "ingress", **rule}
            )["id"]
            for rule in rules
        ]
        return made

    def server(self, network: Any, *groups: Any, up: bool = True, by: TestClient | None = None, **more: Any) -> Any:
        ids = {"security_groups": [group["id"] for group in groups]} if groups else {}
        made = self.net.create("port", by=by, network_id=network["id"], **{**ids, **more})
        with self.cloud.app.database.transaction() as db:
            port = db.get(Port, made["id"])
            assert port
            port.seen_up = up
        return made

    def floating(self, port: Any = None, by: TestClient | None = None) -> Any:
        more = {"port_id": port["id"]} if port else {}
        return self.net.create("floatingip", by=by, floating_network_id=self.public["id"], **more)

    def send(self, source: Any, target: Any, by: TestClient | None = None, **what: Any) -> Any:
        body = {"from": side(source), "to": side(target), **(what or WEB)}
        return (by or self.cloud.member).post("/wolke/v1/reachability", json=body)

    def ask(self, source: Any, target: Any, by: TestClient | None = None, **what: Any) -> Any:
        reply = self.send(source, target, by, **what)
        assert reply.status_code == 200, reply.text
        return reply.json()["reachability"]


def side(one: Any) -> Any:
    if isinstance(one, str):
        return {"internet": True} if one == "internet" else {"address": one}
    if "floating_ip_address" in one:
        return {"floatingip_id": one["id"]}
    return {"port_id": one["id"]} if "fixed_ips" in one else one


def decided(answer: Any) -> tuple[bool, str, str]:
    return answer["reachable"], answer["decided_by"]["kind"], answer["decided_by"]["id"]


def ip(port: Any, version: int = 4) -> str:
    return next(str(one["ip_address"]) for one in port["fixed_ips"] if (":" in one["ip_address"]) == (version == 6))
