"""The API's operations: ``wolke api`` in a process of its own on 127.0.0.1, one client, 0, 1000 and 5000 ports present."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.client import Client, Refused
from benchmarks.counted import Counter
from benchmarks.figures import Figure, Report, cpu_seconds, percentile, seconds_of
from wolke.cli.setup import prepare
from wolke.core.config import Config, load
from wolke.core.server import listening
from wolke.identity.passwords import hashed, matches

PART = "API, one client"
BULK = 100  # things in one call that fills
LIST = 1000
UNLIMITED = ("port", "network", "subnet", "router", "floatingip", "security_group_rule")


class Server:
    """A running api with its settings."""

    def __init__(self, directory: Path, database: str) -> None:
        with listening("127.0.0.1:0") as one, listening("127.0.0.1:0") as other:
            api, agents = one.getsockname()[1], other.getsockname()[1]
        self.url = f"http://127.0.0.1:{api}"
        self.file, self.counted = directory / "wolke.toml", directory / "statements"
        self.file.write_text(
            f'state = "{directory}/state"\ndatabase = "{database}"\npublic_url = "{self.url}"\nlisten = "127.0.0.1:{api}"\n'
            f'agent_listen = "127.0.0.1:{agents}"\nlog_level = "warning"\n[physical_networks]\npublic = {{}}\n'
        )
        self.config: Config = load(self.file)
        prepare(self.config)
        self.statements = Counter(self.counted)
        self.password = (self.config.state_path / "admin.password").read_text().strip()
        begin = time.perf_counter()
        words = [sys.executable, "-m", "benchmarks.counted", str(self.file), str(self.counted)]
        self.process = subprocess.Popen(words, cwd=Path(__file__).parents[1], stdin=subprocess.DEVNULL)
        self.client = self.first_answer()
        self.start_seconds, self.start_cpu = time.perf_counter() - begin, cpu_seconds(self.process.pid)

    def first_answer(self) -> Client:
        while True:
            try:
                return Client(self.url, "admin", self.password, "admin")
            except ConnectionRefusedError:
                if self.process.poll() is not None:
                    raise RuntimeError("wolke api ended at once") from None
                time.sleep(0.01)

    def memory_mib(self) -> float:
        """Pages divided among their users (PSS)."""
        found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{self.process.pid}/smaps_rollup").read_text(), re.MULTILINE)
        return int(found[1]) / 1024 if found else 0.0


@contextmanager
def server(database: str) -> Iterator[Server]:
    with TemporaryDirectory(prefix="wolke-bench-") as directory:
        made = Server(Path(directory), database)
        try:
            yield made
        finally:
            made.process.terminate()
            made.process.wait()


class Bench:
    """Measures calls on one server."""

    def __init__(self, server: Server, report: Report, rounds: int) -> None:
        self.server, self.api, self.report, self.rounds = server, server.client, report, rounds
        self.ports = 0
        self.numbers = itertools.count(1)

    def measure(
        self,
        what: str,
        call: Callable[[], Any],
        *,
        after: Callable[[Any], None] = lambda _: None,
        budget: float | None = None,
        statements_budget: float | None = None,
        less: Callable[[], object] | None = None,
    ) -> None:
        """Latency, CPU and statements of a call. ``after`` undoes it uncounted; what ``less`` takes is not ours."""
        after(call())  # the first one is slower, and not what one sees in use
        took, aside, statements, cpu = [], [], [], 0.0
        for _ in range(self.rounds):
            if less:
                aside.append(seconds_of(less) * 1000)
            counted, used = self.server.statements.value, cpu_seconds(self.server.process.pid)
            begin = time.perf_counter()
            made = call()
            took.append((time.perf_counter() - begin) * 1000)
            cpu += cpu_seconds(self.server.process.pid) - used
            statements.append(self.server.statements.value - counted)
            after(made)
        off = percentile(aside, 0.5) if aside else 0.0
        best = min(took) - (min(aside) if aside else 0.0)
        note = f"less {off:.0f} ms for argon2id itself" if less else ""
        self.report.add(
            Figure(
                PART, what, percentile(took, 0.5) - off, "ms", self.ports, budget, best, percentile(took, 0.95) - off,
                cpu / self.rounds * 1000, percentile(statements, 0.5), statements_budget, note,
            )
        )  # fmt: skip

    def make(self, kind: str, **body: Any) -> Any:
        return self.api.post(f"/network/v2.0/{kind.replace('_', '-')}s", {kind: body})[kind]

    def drop(self, kind: str, thing: Any) -> None:
        self.api.delete(f"/network/v2.0/{kind.replace('_', '-')}s/{thing['id']}")

    # Filling -----------------------------------------------------------------------------------------------------
    def furnish(self) -> None:
        """What the calls need: no quotas, a network with room for all ports, a public one, a router, a group, a floating IP."""
        self.api.put(f"/network/v2.0/quotas/{self.api.project_id}", {"quota": dict.fromkeys(UNLIMITED, -1)})
        self.network = self.make("network", name="bulk")
        self.subnet = self.make("subnet", network_id=self.network["id"], ip_version=4, cidr="10.0.0.0/16")
        public = {"router:external": True, "provider:network_type": "flat", "provider:physical_network": "public"}
        outside = self.make("network", name="public", **public)
        self.make("subnet", network_id=outside["id"], ip_version=4, cidr="198.51.100.0/24", enable_dhcp=False)
        self.router = self.make("router", name="r", external_gateway_info={"network_id": outside["id"]})
        self.add_interface(self.router, self.subnet)
        self.group = self.make("security_group", name="bench")
        self.port = self.make("port", network_id=self.network["id"])
        self.floating = self.make("floatingip", floating_network_id=outside["id"])

    def add_interface(self, router: Any, subnet: Any) -> None:
        self.api.put(f"/network/v2.0/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})

    def fill_ports(self, until: int) -> None:
        """So many ports in all, in one network and one security group."""
        wanted, begin = until - self.ports, time.perf_counter()
        for _ in range(wanted // BULK):
            many = [{"network_id": self.network["id"], "name": "filler"}] * BULK
            self.api.post("/network/v2.0/ports", {"ports": many})
        self.ports = until
        if wanted:
            each = (time.perf_counter() - begin) / wanted * 1000
            self.report.add(Figure(PART, f"a port, {BULK} in one call", each, "ms", until))

    def fill_networks(self) -> None:
        for _ in range(LIST // BULK):
            self.api.post("/network/v2.0/networks", {"networks": [{"name": "filler"}] * BULK})

    def fill_servers(self) -> None:
        """Servers with a port each. No loops run: nobody places them."""
        quota = dict.fromkeys(("instances", "cores", "ram"), -1)
        self.api.put(f"/compute/v2.1/os-quota-sets/{self.api.project_id}", {"quota_set": quota})
        flavor = {"name": "bench", "vcpus": 1, "ram": 64, "disk": 1}
        flavor = self.api.post("/compute/v2.1/flavors", {"flavor": flavor})["flavor"]
        image = {"name": "bench", "disk_format": "raw", "container_format": "bare"}
        image = self.api.post("/image/v2/images", image)
        kind = {"Content-Type": "application/octet-stream"}
        self.api.exchange("PUT", f"/image/v2/images/{image['id']}/file", bytes(1 << 20), **kind)
        wanted = {
            "name": "filler", "flavorRef": flavor["id"], "imageRef": image["id"], "networks": [{"uuid": self.network["id"]}],
            "min_count": BULK, "max_count": BULK,
        }  # fmt: skip
        for _ in range(LIST // BULK):
            self.api.post("/compute/v2.1/servers", {"server": wanted})

    # Measuring ---------------------------------------------------------------------------------------------------
    def identity(self) -> None:
        stored = hashed("a password")
        self.measure(
            "token by password, hash cost aside", self.api.login, budget=10, less=lambda: matches("a password", stored)
        )
        token = self.api.headers["X-Auth-Token"]
        check = {"X-Subject-Token": token}
        self.measure("token check", lambda: self.api.raw("GET", "/identity/v3/auth/tokens", **check), budget=1)

    def listing(self, what: str, path: str, budget: float | None) -> None:
        self.measure(f"list {LIST} {what}", lambda: self.api.raw("GET", f"{path}?limit={LIST}"), budget=budget)

    def networking(self) -> None:
        network_id = self.network["id"]
        self.measure(
            "create port", lambda: self.make("port", network_id=network_id), after=lambda port: self.drop("port", port), budget=10,
            statements_budget=15,
        )  # fmt: skip
        self.measure("show port", lambda: self.api.raw("GET", f"/network/v2.0/ports/{self.port['id']}"))
        self.measure("network + subnet + router + interface", self.four, after=self.undo_four, budget=60)
        rule = {"security_group_id": self.group["id"], "direction": "ingress", "ethertype": "IPv4", "protocol": "tcp"}
        self.measure(
            "security group rule",
            lambda: self.make("security_group_rule", port_range_min=next(self.numbers), port_range_max=60000, **rule),
            after=lambda made: self.drop("security_group_rule", made), budget=8,
        )  # fmt: skip
        place = f"/network/v2.0/floatingips/{self.floating['id']}"

        def associate(port_id: str | None) -> None:
            self.api.put(place, {"floatingip": {"port_id": port_id}})

        self.measure("floating IP associate", lambda: associate(self.port["id"]), after=lambda _: associate(None))

    def four(self) -> tuple[Any, Any, Any]:
        network = self.make("network", name="one")
        subnet = self.make("subnet", network_id=network["id"], ip_version=4, cidr="10.9.0.0/24")
        router = self.make("router", name="one")
        self.add_interface(router, subnet)
        return network, subnet, router

    def undo_four(self, made: tuple[Any, Any, Any]) -> None:
        network, subnet, router = made
        self.api.put(f"/network/v2.0/routers/{router['id']}/remove_router_interface", {"subnet_id": subnet["id"]})
        self.drop("router", router)
        self.drop("network", network)

    def memory_of_a_long_list(self) -> None:
        """How much an answer of all ports adds to the process: it is to be flat beyond a page."""
        self.api.raw("GET", f"/network/v2.0/ports?limit={LIST}")
        before = self.server.memory_mib()
        size = len(self.api.raw("GET", "/network/v2.0/ports")) / 2**20
        more = self.server.memory_mib() - before
        self.report.add(
            Figure(
                PART, "memory more after a list of all ports", more, "MiB", self.ports, note=f"{size:.1f} MiB of JSON"
            )
        )


def run(report: Report, *, database: str, quick: bool) -> None:
    with server(database) as running:
        report.add(
            Figure(
                PART,
                "start until the first token",
                running.start_seconds * 1000,
                "ms",
                0,
                3000,
                cpu=running.start_cpu * 1000,
            )
        )
        bench = Bench(running, report, rounds=10 if quick else 30)
        bench.furnish()
        for level in (0, LIST) if quick else (0, LIST, 5 * LIST):
            bench.fill_ports(level)
            bench.identity()
            if level == LIST:
                bench.fill_networks()
            if level:
                bench.listing("ports", "/network/v2.0/ports", 36)
                bench.listing("networks", "/network/v2.0/networks", 20)
            bench.networking()
        bench.memory_of_a_long_list()
        try:
            bench.fill_servers()
        except Refused as error:
            report.say(f"servers cannot be made: {error}")
        else:
            bench.listing("servers with details", "/compute/v2.1/servers/detail", None)
