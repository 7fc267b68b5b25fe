"""Many topologies alive in one lab: made through the API in batches, asked by the model, probed with packets, mended where they block."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.real.matrix.topologies import OUTSIDE, Guest, Probe, Topology
from wolke.lab import Lab, wait_for
from wolke.lab.furnish import administrator

FARM = Path(__file__).with_name("farm.py")
SECONDS = 1.6  # that an answer may take
PATIENCE = 40.0  # seconds until the network has to be what the model says
Json = dict[str, Any]


def tag(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:10]


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


@dataclass
class Case:
    """One probe of a built topology, and what became of it."""

    built: Built
    probe: Probe
    id: str
    question: Json
    order: Json  # to the farm
    place: int  # number of the host it is sent from, 0 for outside
    answer: Json = field(default_factory=dict)  # of the model
    heard: list[str] | None = None

    @property
    def agrees(self) -> bool:
        return self.expected() == self.heard

    def expected(self) -> list[str] | None:
        """Who answers, and whom he sees; None for silence."""
        if not self.answer["reachable"]:
            return None
        last = self.answer["hops"][-1]
        if self.order["kind"] == "icmp":
            return ["pong", self.order["to"]]
        name = "internet" if last["at"]["type"] == "internet" else self.built.names[last["at"]["id"]]
        return [name, last["packet"]["source"]]

    def __str__(self) -> str:
        decided = self.answer["decided_by"]
        return (
            f"topology {self.built.plan.seed}: {self.probe} -> {self.order['to']}: model {self.expected()}"
            f" by {decided['kind']} {decided['id']}: {self.answer['sentence']} packets {self.heard}"
        )


@dataclass
class Built:
    """A topology as it stands in the cloud: names -> what the API made of them."""

    plan: Topology
    projects: list[str]
    nets: dict[str, Json] = field(default_factory=dict)
    subnets: dict[tuple[str, int], Json] = field(default_factory=dict)
    routers: dict[str, Json] = field(default_factory=dict)
    groups: dict[str, Json] = field(default_factory=dict)
    ports: dict[str, Json] = field(default_factory=dict)
    floating: list[Json] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)  # port id -> unique name of its guest
    cases: list[Case] = field(default_factory=list)
    plugged: set[str] = field(default_factory=set)

    def unique(self, guest: Guest) -> str:
        return f"t{self.plan.seed}.{guest.name}"

    def place(self, guest: Guest, hosts: int) -> int:
        return 1 + (guest.host + self.plan.seed) % hosts


class Arena:
    def __init__(self, lab: Lab, say: Callable[[str], None] = print) -> None:
        self.lab, self.say = lab, say
        self.api = administrator(lab).client
        [self.public] = self.call("GET", "networks?name=public")["networks"]
        self.farms = {0: Farm(lab.internet), **{host.number: Farm(host) for host in lab.hosts}}
        self.farms[0].order(do="serve", name="internet")
        self.threads = ThreadPoolExecutor(8)

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

    # Building ----------------------------------------------------------------------------------------------------------
    def build(self, plans: Iterable[Topology]) -> list[Built]:
        """All of them at once: one call for all networks, one for all subnets..."""
        every = [Built(plan, [uuid.uuid4().hex, uuid.uuid4().hex]) for plan in plans]
        self.build_networks(every)
        self.build_groups(every)
        self.build_ports(every)
        self.build_routers(every)
        self.build_floating(every)
        self.plug([(built, guest) for built in every for guest in built.plan.guests if guest.plugged])
        for built in every:
            built.cases = [case for probe in built.plan.probes if (case := self.case(built, probe))]
        return every

    def build_networks(self, every: list[Built]) -> None:
        nets = [(built, net) for built in every for net in built.plan.nets]
        made = self.bulk("network", [
            {"name": f"t{built.plan.seed}.{net.name}", "project_id": built.projects[0], "admin_state_up": net.admin_up,
             "shared": net.shared} for built, net in nets
        ])  # fmt: skip
        bodies, keys = [], []
        for (built, net), one in zip(nets, made, strict=True):
            built.nets[net.name] = one
            for version in (4, 6) if net.six else (4,):
                cidr = net.cidr if version == 4 else net.cidr6
                pool = {"start": net.address(150), "end": net.address(190)}
                if version == 6:
                    pool = {"start": net.address(0x1000, 6), "end": net.address(0x1FFF, 6)}
                more: Json = {"allocation_pools": [pool]} | ({} if net.gateway else {"gateway_ip": None})
                bodies.append(
                    {
                        "network_id": one["id"],
                        "cidr": cidr,
                        "ip_version": version,
                        "project_id": built.projects[0],
                        **more,
                    }
                )
                keys.append((built, net.name, version))
        for (built, name, version), one in zip(keys, self.bulk("subnet", bodies), strict=True):
            built.subnets[name, version] = one

    def build_groups(self, every: list[Built]) -> None:
        wanted = [
            (built, group, project)
            for built in every
            for project in sorted({guest.project for guest in built.plan.guests})
            for group in built.plan.groups
        ]
        made = self.bulk("security_group", [
            {"name": f"t{built.plan.seed}.{group.name}", "project_id": built.projects[project], "stateful": group.stateful}
            for built, group, project in wanted
        ])  # fmt: skip
        for (built, group, project), one in zip(wanted, made, strict=True):
            built.groups[f"{project}{group.name}"] = one
        stale, batches = [], []
        for built, group, project in wanted:
            one = built.groups[f"{project}{group.name}"]
            if not group.everything_out:
                stale += [rule["id"] for rule in one["security_group_rules"] if rule["direction"] == "egress"]
            bodies = []
            for rule in group.rules:
                body = {**rule, "security_group_id": one["id"], "project_id": built.projects[project]}
                if remote := body.pop("remote_group", None):
                    body["remote_group_id"] = built.groups[f"{project}{remote}"]["id"]
                bodies.append(body)
            batches.append(bodies)  # a call takes the rules of one group only
        list(self.threads.map(lambda id: self.call("DELETE", f"security-group-rules/{id}"), stale))
        list(self.threads.map(lambda bodies: self.bulk("security_group_rule", bodies), batches))

    def build_ports(self, every: list[Built]) -> None:
        wanted = [(built, guest) for built in every for guest in built.plan.guests]
        bodies = []
        for built, guest in wanted:
            net = built.plan.net(guest.net)
            versions = (4, 6) if net.six else (4,)
            fixed = [
                {"subnet_id": built.subnets[net.name, v]["id"], "ip_address": net.address(guest.host, v)}
                for v in versions
            ]
            bodies.append({
                "network_id": built.nets[guest.net]["id"], "name": built.unique(guest), "fixed_ips": fixed,
                "project_id": built.projects[guest.project], "admin_state_up": guest.admin_up, "port_security_enabled": guest.secure,
                "security_groups": [built.groups[f"{guest.project}{name}"]["id"] for name in guest.groups],
                "allowed_address_pairs": [{"ip_address": pair} for pair in guest.pairs],
            })  # fmt: skip
        for (built, guest), port in zip(wanted, self.bulk("port", bodies), strict=True):
            built.ports[guest.name] = port
            built.names[port["id"]] = built.unique(guest)

    def build_routers(self, every: list[Built]) -> None:
        wanted = [(built, router) for built in every for router in built.plan.routers]
        bodies = []
        for built, router in wanted:
            gateway = {"network_id": self.public["id"], "enable_snat": router.snat}
            more = {"external_gateway_info": gateway} if router.outside else {}
            bodies.append(
                {
                    "name": f"t{built.plan.seed}.{router.name}",
                    "project_id": built.projects[0],
                    "admin_state_up": router.admin_up,
                    **more,
                }
            )
        for (built, router), made in zip(wanted, self.bulk("router", bodies), strict=True):
            built.routers[router.name] = made
        jobs = [(built, router, leg) for built, router in wanted for leg in router.legs]
        list(self.threads.map(lambda job: self.join(*job), jobs))
        for built, router in wanted:
            if router.routes:
                self.call("PUT", f"routers/{built.routers[router.name]['id']}", router={"routes": router.routes})

    def join(self, built: Built, router: Any, leg: Any) -> None:
        path = f"routers/{built.routers[router.name]['id']}/add_router_interface"
        net = built.plan.net(leg.net)
        versions = (4, 6) if net.six else (4,)
        if not leg.host:
            for version in versions:
                self.call("PUT", path, subnet_id=built.subnets[leg.net, version]["id"])
            return
        fixed = [
            {"subnet_id": built.subnets[leg.net, v]["id"], "ip_address": net.address(leg.host, v)} for v in versions
        ]
        [port] = self.bulk(
            "port", [{"network_id": built.nets[leg.net]["id"], "fixed_ips": fixed, "project_id": built.projects[0]}]
        )
        self.call("PUT", path, port_id=port["id"])

    def build_floating(self, every: list[Built]) -> None:
        wanted = [(built, name) for built in every for name in built.plan.floating]
        made = self.bulk("floatingip", [
            {"floating_network_id": self.public["id"], "project_id": built.projects[0],
             **({"port_id": built.ports[name]["id"], "fixed_ip_address": self.address(built, name)} if name else {})}
            for built, name in wanted
        ])  # fmt: skip
        for (built, _), one in zip(wanted, made, strict=True):
            built.floating.append(one)

    def address(self, built: Built, name: str, version: int = 4) -> str:
        guest = built.plan.guest(name)
        return built.plan.net(guest.net).address(guest.host, version)

    # Guests ------------------------------------------------------------------------------------------------------------
    def plug(self, guests: list[tuple[Built, Guest]]) -> None:
        """Namespaces behind the ports, with the addresses and routes that DHCP would tell."""
        orders: dict[int, list[Json]] = {}
        for built, guest in guests:
            built.plugged.add(guest.name)
            net, port = built.plan.net(guest.net), built.ports[guest.name]
            versions = (4, 6) if net.six else (4,)
            addresses = [f"{net.address(guest.host, v)}/{24 if v == 4 else 64}" for v in versions]
            orders.setdefault(built.place(guest, len(self.lab.hosts)), []).append({
                "name": built.unique(guest), "tag": tag(port["id"]), "forwards": False, "routes": self.routes(built, guest),
                "beside": [f"{net.address(100 + guest.host)}/32"],
                "cards": [{"port_id": port["id"], "tag": tag(port["id"]), "mac": port["mac_address"], "addresses": addresses,
                           "mtu": built.nets[guest.net]["mtu"]}],
            })  # fmt: skip
        list(self.threads.map(lambda item: self.farms[item[0]].order(do="attach", guests=item[1]), orders.items()))

    def routes(self, built: Built, guest: Guest) -> list[str]:
        found = []
        for version in (4, 6) if built.plan.net(guest.net).six else (4,):
            gateway = built.subnets[guest.net, version]["gateway_ip"]
            found += [f"route replace default via {gateway} dev eth0"] if gateway else []
        return found

    def reroute(self, built: Built, guest: Guest) -> None:
        """A guest learns of another gateway."""
        farm = self.farms[built.place(guest, len(self.lab.hosts))]
        farm.order(do="routes", tag=tag(built.ports[guest.name]["id"]), lines=self.routes(built, guest))

    def quiet(self) -> None:
        """Wait until the loops have nothing left to do and every host has it, and ports are known to be up."""
        file = self.lab.directory / "state" / "wolke.db"

        def due() -> int:
            with sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=20) as db:
                kinds = "'network', 'subnet', 'security_group', 'port', 'router', 'floating_ip', 'port_forwarding', 'door', 'address_group'"
                return int(db.execute(f"select count(*) from work where kind in ({kinds})").fetchone()[0])

        assert wait_for(lambda: due() == 0, 120, every=0.1), "the loops do not come to rest"
        self.lab.ovn_nbctl("--timeout=60", "--wait=hv", "sync")

    def wait_for_ports(self, every: list[Built]) -> None:
        wanted = {
            built.ports[guest.name]["id"]
            for built in every
            for guest in built.plan.guests
            if guest.name in built.plugged
        }

        def missing() -> set[str]:
            shown = self.call("GET", "ports?status=DOWN&fields=id")["ports"]
            return wanted & {port["id"] for port in shown}

        assert wait_for(lambda: not missing(), 120, every=0.3), f"{len(missing())} ports stay down"

    # Probing -----------------------------------------------------------------------------------------------------------
    def case(self, built: Built, probe: Probe) -> Case | None:
        """A probe as a question to the model and an order to a farm."""
        match probe.target:
            case ("floating", at):
                to = built.floating[at]["floating_ip_address"]
            case ("router", name):
                router = next(router for router in built.plan.routers if router.name == name)
                if not router.legs:
                    return None
                net = built.plan.net(router.legs[0].net)
                to = net.address(router.legs[0].host or 1)
            case address:
                to = str(address)
        version = 6 if ":" in to else 4
        question: Json = {"to": {"address": to}, "protocol": probe.kind, **({"port": probe.port} if probe.port else {})}
        order: Json = {"id": uuid.uuid4().hex, "kind": probe.kind, "to": to, "port": probe.port}
        if probe.source == "outside":
            question["from"] = {"address": OUTSIDE[version]}
            return Case(built, probe, order["id"], question, order | {"guest": "", "from": OUTSIDE[version]}, 0)
        guest = built.plan.guest(probe.source)
        port = built.ports[guest.name]
        sender = probe.forged or built.plan.net(guest.net).address(guest.host, version)
        if version == 6 and not built.plan.net(guest.net).six:
            return None
        question["from"] = {"port_id": port["id"], "address": sender}
        order |= {"guest": tag(port["id"]), "from": sender}
        return Case(built, probe, order["id"], question, order, built.place(guest, len(self.lab.hosts)))

    def ask(self, cases: Iterable[Case]) -> None:
        def one(case: Case) -> None:
            case.answer = self.call("POST", "reachability", base="/wolke/v1", **case.question)["reachability"]

        list(self.threads.map(one, cases))

    def probe(self, cases: list[Case], seconds: float = SECONDS) -> None:
        by_place: dict[int, list[Case]] = {}
        for case in cases:
            by_place.setdefault(case.place, []).append(case)

        def one(place: int) -> None:
            orders = [case.order for case in by_place[place]]
            heard = self.farms[place].order(do="probe", probes=orders, seconds=seconds)
            for case in by_place[place]:
                case.heard = heard.get(case.id)

        list(self.threads.map(one, by_place))

    def judge(self, cases: list[Case]) -> list[Case]:
        """Ask and probe; those where model and packets go on to disagree."""
        self.ask(cases)
        self.probe(cases)
        wrong = [case for case in cases if not case.agrees]
        until = time.monotonic() + PATIENCE
        while wrong and time.monotonic() < until:
            time.sleep(0.5)
            self.ask(wrong)
            self.probe(wrong, 2 * SECONDS)
            wrong = [case for case in wrong if not case.agrees]
        return wrong

    # Ending ------------------------------------------------------------------------------------------------------------
    def remove(self, every: list[Built]) -> None:
        orders: dict[int, list[str]] = {}
        for built in every:
            for guest in built.plan.guests:
                if guest.name in built.plugged:
                    orders.setdefault(built.place(guest, len(self.lab.hosts)), []).append(
                        tag(built.ports[guest.name]["id"])
                    )
        list(
            self.threads.map(
                lambda item: self.farms[item[0]].order(do="detach", tags=item[1], cards=item[1]), orders.items()
            )
        )
        for built in every:
            for one in built.floating:
                self.call("DELETE", f"floatingips/{one['id']}")
        list(self.threads.map(self.remove_routers, every))
        for built in every:
            for port in self.call(
                "GET",
                f"ports?project_id={built.projects[0]}&project_id={built.projects[1]}&fields=id&fields=device_owner",
            )["ports"]:
                if not port["device_owner"].startswith("network:"):
                    self.call("DELETE", f"ports/{port['id']}")
            for net in built.nets.values():
                self.call("DELETE", f"networks/{net['id']}")
        for built in every:
            for project in built.projects:
                for group in self.call("GET", f"security-groups?project_id={project}&fields=id")["security_groups"]:
                    self.call("DELETE", f"security-groups/{group['id']}")

    def remove_routers(self, built: Built) -> None:
        for router in built.routers.values():
            self.call("PUT", f"routers/{router['id']}", router={"routes": []})
            shown = self.call("GET", f"ports?device_id={router['id']}&device_owner=network:router_interface")["ports"]
            for port in shown:
                self.call("PUT", f"routers/{router['id']}/remove_router_interface", port_id=port["id"])
            self.call("DELETE", f"routers/{router['id']}")
