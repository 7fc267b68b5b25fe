"""The cloud that the matrix uses: its API, its nodes with a process each that has the guests, the operator's things."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.real.matrix.built import Built, Json, tag
from tests.real.matrix.topologies import Guest
from wolke.lab import Lab
from wolke.lab.furnish import administrator

FARM = Path(__file__).with_name("farm.py")


class Farm:
    """The process that has the guests of one node."""

    def __init__(self, node: Any) -> None:
        words = [sys.executable, "-u", str(FARM)]
        self.process = node.popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lock = threading.Lock()

    def order(self, **order: Any) -> Any:
        assert self.process.stdin and self.process.stdout
        with self.lock:
            print(json.dumps(order), file=self.process.stdin, flush=True)
            answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["answer"]

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(20)


class Site:
    def __init__(self, lab: Lab, say: Callable[[str], None] = print) -> None:
        self.lab, self.say = lab, say
        self.api = administrator(lab).client
        [self.public] = self.call("GET", "networks?name=public")["networks"]
        self.farms = {0: Farm(lab.internet), **{host.number: Farm(host) for host in lab.hosts}}
        self.farms[0].order(do="serve", name="internet")
        self.threads = ThreadPoolExecutor(8)
        self.farmers = ThreadPoolExecutor(4)  # for orders to farms, also those that ``threads`` give
        subnets = self.call("GET", f"subnets?network_id={self.public['id']}&ip_version=6")["subnets"]
        self.public6 = subnets[0]["id"]
        self.pool = self.routed_pool()
        self.led: dict[str, str] = {}  # prefix -> next hop, as the world outside knows them
        self.rules: list[str] = []  # of the doorman

    def end(self) -> None:
        for farm in self.farms.values():
            farm.end()

    # The API -----------------------------------------------------------------------------------------------------------
    def call(self, method: str, path: str, base: str = "/network/v2.0", **body: Any) -> Any:
        reply = self.api.request(method, f"{base}/{path}", json=body or None)
        assert reply.is_success, f"{method} {path} {str(body)[:500]}: {reply.status_code} {reply.text[:500]}"
        return reply.json() if reply.content else None

    def bulk(self, kind: str, bodies: list[Json]) -> list[Json]:
        """Many things of a kind in one call."""
        path = kind.replace("_", "-")
        wrapped: Json = {f"{kind}s": bodies}
        made: Json = self.call("POST", f"{path}s", **wrapped) if bodies else wrapped
        return list(made[f"{kind}s"])

    def routed_pool(self) -> str:
        """Of the operator: what is cut from it, the world outside has a way to."""
        if found := self.call("GET", "subnetpools?name=matrix")["subnetpools"]:
            return str(found[0]["id"])
        pool = {
            "name": "matrix",
            "prefixes": ["2001:db8:1000::/36"],
            "default_prefixlen": 64,
            "min_prefixlen": 64,
            "shared": True,
        }
        return str(self.call("POST", "subnetpools", subnetpool=pool)["subnetpool"]["id"])

    def set_door(self, rules: list[Json]) -> None:
        """The doorman's rules for the next topologies, instead of the last ones'."""
        for id in self.rules:
            self.call("DELETE", f"doorman/rules/{id}", base="/wolke/v1")
        made = [
            self.call("POST", "doorman/rules", base="/wolke/v1", doorman_rule=rule)["doorman_rule"] for rule in rules
        ]
        self.rules = [rule["id"] for rule in made]

    # Guests ------------------------------------------------------------------------------------------------------------
    def plug(self, guests: list[tuple[Built, Guest]]) -> None:
        """Namespaces behind the ports, with the addresses and routes that DHCP would tell."""
        orders: dict[int, list[Json]] = {}
        for built, guest in guests:
            built.plugged.add(guest.name)
            beside = [f"{built.plan.net(guest.net).address(100 + guest.host)}/32"]
            beside += [
                f"{one['floating_ip_address']}/128"
                for name, one in zip(built.plan.floating6, built.floating6, strict=False)
                if name == guest.name
            ]
            cards = [
                {
                    "port_id": port["id"], "tag": tag(port["id"]), "mac": port["mac_address"], "mtu": built.nets[net.name]["mtu"],
                    "addresses": [f"{net.address(guest.host, v)}/{24 if v == 4 else 64}" for v in net.versions],
                }
                for net, port in ((built.plan.net(name), port) for name, port in built.cards(guest))
            ]  # fmt: skip
            orders.setdefault(built.place(guest, len(self.lab.hosts)), []).append({
                "name": built.unique(guest), "tag": cards[0]["tag"], "forwards": bool(guest.second), "beside": beside, "cards": cards,
                "routes": self.routes(built, guest),
            })  # fmt: skip
        list(self.farmers.map(lambda item: self.farms[item[0]].order(do="attach", guests=item[1]), orders.items()))

    def routes(self, built: Built, guest: Guest) -> list[str]:
        found = []
        for version in built.plan.net(guest.net).versions:
            gateway = built.subnets[guest.net, version]["gateway_ip"]
            found += [f"route replace default via {gateway} dev eth0"] if gateway else []
        return found

    def reroute(self, built: Built, guest: Guest) -> None:
        """A guest learns of another gateway."""
        farm = self.farms[built.place(guest, len(self.lab.hosts))]
        farm.order(do="routes", tag=tag(built.ports[guest.name]["id"]), lines=self.routes(built, guest))
