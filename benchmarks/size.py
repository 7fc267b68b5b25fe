"""How the network's costs grow from 10 to 5000 ports: the API alone, what the loops do for one change and for all, OVN alone.

One project with 1000 networks and 200 security groups whose rules name each other, as a busy site has them; the databases and northd
are real and nobody else's, hosts there are none.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.api import Server
from benchmarks.figures import Figure, Report, percentile, seconds_of
from wolke.core.db import Database
from wolke.core.work import Lane, wake
from wolke.drivers.ovn import Northbound
from wolke.network.lane import Site, drift, northbound_lanes, wanted

PART = "the network's growth"
STEPS, NETWORKS, GROUPS = (10, 100, 1000, 5000), 1000, 200
QUICK = (10, 1000)
ROUNDS = 15
BULK = 100
SCHEMAS = Path("/usr/share/ovn")
PATIENCE = 600


@contextmanager
def ovn(directory: Path) -> Iterator[str]:
    """Both databases and northd; the northbound one's address."""
    processes: list[subprocess.Popen[bytes]] = []
    remotes: dict[str, str] = {}
    try:
        for name in ("nb", "sb"):
            remotes[name] = f"unix:{directory}/{name}.sock"
            file = f"{directory}/{name}.db"
            subprocess.run(["ovsdb-tool", "create", file, str(SCHEMAS / f"ovn-{name}.ovsschema")], check=True)
            words = [
                "ovsdb-server",
                f"--remote=p{remotes[name]}",
                f"--unixctl={directory}/{name}.ctl",
                "--no-chdir",
                file,
            ]
            processes.append(quiet(words))
        words = [f"--ovnnb-db={remotes['nb']}", f"--ovnsb-db={remotes['sb']}", f"--unixctl={directory}/northd.ctl"]
        processes.append(quiet(["ovn-northd", *words]))
        yield remotes["nb"]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def quiet(words: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def rss_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


class Growth:
    """One site that grows, and what each step costs."""

    def __init__(self, server: Server, remote: str, report: Report, rounds: int) -> None:
        self.api, self.report, self.rounds, self.remote, self.ports = server.client, report, rounds, remote, 0
        self.server = server
        before = rss_mib()
        self.database = Database(server.config.database_url)
        self.north = Northbound(remote, patience=PATIENCE)
        self.north.start()
        self.site = Site(server.config, self.north.has)
        self.lane: Lane = northbound_lanes(self.database, self.north, server.config)[0]
        self.empty = before

    def add(self, what: str, value: float, unit: str = "ms", **more: Any) -> None:
        self.report.add(Figure(PART, what, value, unit, self.ports, **more))

    def timed(self, what: str, call: Callable[[], object], after: Callable[[Any], object] = lambda _: None) -> None:
        took = []
        for at in range(self.rounds + 1):
            made: list[object] = []
            seconds = seconds_of(lambda made=made: made.append(call()))
            after(made[0])
            if at:  # the first one warms up
                took.append(seconds * 1000)
        self.add(what, percentile(took, 0.5), best=min(took), p95=percentile(took, 0.95))

    # Filling -----------------------------------------------------------------------------------------------------
    def make(self, kind: str, **body: Any) -> Any:
        return self.api.post(f"/network/v2.0/{kind.replace('_', '-')}s", {kind: body})[kind]

    def many(self, kind: str, bodies: list[dict[str, Any]]) -> list[Any]:
        made: list[Any] = []
        for at in range(0, len(bodies), BULK):
            made += self.api.post(f"/network/v2.0/{kind.replace('_', '-')}s", {f"{kind}s": bodies[at : at + BULK]})[
                f"{kind}s"
            ]
        return made

    def furnish(self, networks: int, groups: int) -> None:
        unlimited = ("port", "network", "subnet", "router", "security_group", "security_group_rule")
        self.api.put(f"/network/v2.0/quotas/{self.api.project_id}", {"quota": dict.fromkeys(unlimited, -1)})
        self.networks = [one["id"] for one in self.many("network", [{"name": f"n{at}"} for at in range(networks)])]
        subnets = [{"network_id": id, "ip_version": 4, "cidr": "10.0.0.0/16"} for id in self.networks]
        self.many("subnet", subnets)
        self.groups = [one["id"] for one in self.many("security_group", [{"name": f"g{at}"} for at in range(groups)])]
        rule = {"direction": "ingress", "ethertype": "IPv4", "protocol": "tcp"}
        for at, id in enumerate(self.groups):  # the rules of one call are of one group
            remote = {"remote_group_id": self.groups[at - 1], "port_range_min": 80, "port_range_max": 80}
            self.make("security_group_rule", security_group_id=id, **rule, **remote)

    def fill(self, until: int) -> None:
        bodies = [
            {
                "network_id": self.networks[at % len(self.networks)],
                "security_groups": [self.groups[at % len(self.groups)]],
            }
            for at in range(self.ports, until)
        ]
        took = seconds_of(lambda: self.many("port", bodies))
        new, self.ports = until - self.ports, until
        self.add(f"a port, {BULK} in one call", took / new * 1000)
        self.add("everything new into OVN, by the lane", seconds_of(self.settle), "s", note=f"{new} ports")
        self.add("northd until it has followed", seconds_of(self.follow), "s")

    def settle(self) -> None:
        while self.lane.run_once(self.database):
            pass

    def follow(self) -> None:
        words = ["ovn-nbctl", f"--db={self.remote}", f"--timeout={PATIENCE}", "--wait=sb", "sync"]
        subprocess.run(words, check=True)

    # Measuring ---------------------------------------------------------------------------------------------------
    def measure(self) -> None:
        network, group = self.networks[0], self.groups[0]
        self.timed("API: create a port", lambda: self.make("port", network_id=network), partial(self.drop, "ports"))
        self.timed("API: create a network", lambda: self.make("network", name="one"), partial(self.drop, "networks"))
        numbers = iter(range(1000, 60000))
        rule = {"security_group_id": group, "direction": "ingress", "protocol": "tcp", "remote_group_id": group}
        self.timed(
            "API: create a rule with a remote group",
            lambda: self.make("security_group_rule", port_range_min=(at := next(numbers)), port_range_max=at, **rule),
            partial(self.drop, "security-group-rules"),
        )
        self.timed("API: list a page of 100 ports", lambda: self.api.raw("GET", "/network/v2.0/ports?limit=100"))
        self.settle()
        port = self.make("port", network_id=network, security_groups=[group])["id"]
        self.settle()
        self.timed("compile: rows of one port", lambda: self.rows("port", [port]))
        self.timed("compile: rows of one group", lambda: self.rows("security_group", [group]))
        self.timed("lane: one port, nothing to change", lambda: self.sync(port))
        self.timed("API and lane: one port changed", lambda: self.changed(port))
        turns = cycle(("disabled", "enabled"))  # each round changes something
        self.timed("OVN alone: the same change written, northd follows", lambda: self.by_hand(port, next(turns)))
        self.api.delete(f"/network/v2.0/ports/{port}")
        self.settle()
        self.add("full comparison of wanted and found", seconds_of(self.compare), "s")
        self.add("memory of a loops' copy and database layer", rss_mib() - self.empty, "MiB")
        self.add("memory of the api", self.server.memory_mib(), "MiB")

    def drop(self, kind: str, made: Any) -> None:
        self.api.delete(f"/network/v2.0/{kind}/{made['id']}")

    def rows(self, kind: str, ids: list[str]) -> None:
        with self.database.read() as db:
            wanted(db, kind, ids, self.site)

    def sync(self, port: str) -> None:
        with self.database.transaction() as db:
            wake(db, "port", port)
        self.settle()

    def changed(self, port: str) -> None:
        up = self.api.get(f"/network/v2.0/ports/{port}")["port"]["admin_state_up"]
        self.api.put(f"/network/v2.0/ports/{port}", {"port": {"admin_state_up": not up}})
        self.settle()

    def by_hand(self, port: str, state: str) -> None:
        words = ["ovn-nbctl", f"--db={self.remote}", f"--timeout={PATIENCE}", "--wait=sb"]
        subprocess.run([*words, "lsp-set-enabled", port, state], check=True)

    def compare(self) -> None:
        found = [item for chunk in drift(self.database, self.north, self.site) for item in chunk]
        assert not found, f"{len(found)} differ from what the database says, such as {found[:3]}"


def run(report: Report, *, quick: bool) -> None:
    with TemporaryDirectory(prefix="wolke-bench-") as directory, ovn(Path(directory)) as remote:
        server = Server(Path(directory), "")
        try:
            growth = Growth(server, remote, report, 5 if quick else ROUNDS)
            growth.furnish(NETWORKS, GROUPS)
            growth.add("1000 networks and 200 groups into OVN", seconds_of(growth.settle), "s")
            growth.add("northd until it has followed them", seconds_of(growth.follow), "s")
            for ports in QUICK if quick else STEPS:
                growth.fill(ports)
                growth.measure()
            growth.north.close()
            growth.database.close()
        finally:
            server.process.terminate()
            server.process.wait()
