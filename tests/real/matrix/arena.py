"""Many topologies alive in one lab: asked by the model, probed with packets, until both agree or patience ends."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Iterable

from tests.real.matrix import building
from tests.real.matrix.built import Built, Case, Json, tag
from tests.real.matrix.site import Site
from tests.real.matrix.topologies import OUTSIDE, Probe
from wolke.lab import wait_for

SECONDS = 1.6  # that an answer may take
PATIENCE = 40.0  # seconds until the network has to be what the model says


class Arena(Site):
    def build(self, every: list[Built]) -> None:
        building.build(self, every)
        for built in every:
            built.cases = [case for probe in built.plan.probes if (case := self.case(built, probe))]

    def remove(self, every: list[Built]) -> None:
        building.remove(self, every)
        self.quiet()

    def quiet(self) -> None:
        """Wait until the loops have nothing left to do and every host has it, and ports are known to be up."""
        file = self.lab.directory / "state" / "wolke.db"

        def due() -> int:
            with sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=20) as db:
                kinds = "'network', 'subnet', 'security_group', 'port', 'router', 'floating_ip', 'port_forwarding', 'door', 'address_group'"
                return int(db.execute(f"select count(*) from work where kind in ({kinds})").fetchone()[0])

        assert wait_for(lambda: due() == 0, 120, every=0.1), "the loops do not come to rest"
        self.lead()
        self.lab.ovn_nbctl("--timeout=60", "--wait=hv", "sync")

    def lead(self) -> None:
        """The world outside learns the ways to what is published."""
        shown = self.call("GET", "prefixes?kind=subnet", base="/wolke/v1")["prefixes"]
        told = {one["prefix"]: one["next_hop"] for one in shown if one["ip_version"] == 6}
        lines = [f"ip -6 route delete {prefix}" for prefix in self.led.keys() - told.keys()]
        lines += [
            f"ip -6 route replace {prefix} via {hop}" for prefix, hop in told.items() if self.led.get(prefix) != hop
        ]
        if lines:
            self.lab.internet.run(["sh", "-c", "; ".join(lines)])
        self.led = told

    def wait_for_ports(self, every: list[Built]) -> None:
        wanted = {
            port["id"]
            for built in every
            for guest in built.plan.guests
            if guest.name in built.plugged
            for _, port in built.cards(guest)
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
            case ("floating6", at):
                to = built.floating6[at]["floating_ip_address"]
            case ("router", name):
                router = next(router for router in built.plan.routers if router.name == name)
                if not router.legs:
                    return None
                net = built.plan.net(router.legs[0].net)
                to = net.address(router.legs[0].host or net.told_by)
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

        list(self.farmers.map(one, by_place))

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
