"""A cloud of one host with all engines real: memory and CPU at rest, the time from a call to packets, servers."""

from __future__ import annotations

import contextlib
import itertools
import re
import signal
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.client import Client, Refused
from benchmarks.figures import Figure, Report, cpu_seconds, percentile, seconds_of
from wolke.drivers.ovn import Northbound
from wolke.drivers.rows import Insert, plan
from wolke.lab import Lab, LabError, images, wait_for
from wolke.lab.furnish import admin_password
from wolke.lab.guests import Guest

PART = "a lab of one host"
ROOT = Path(__file__).parents[1]
PROBE = str(ROOT / "benchmarks" / "probe.py")
PATIENCE = 120.0  # seconds for one change to reach packets
REST_SECONDS = 20.0
ECHO_PORT = 7007
BULK = 100
ROUNDS = {0: 5, 1000: 3, 5000: 2}  # ports present -> rounds; northd needs seconds for a change among 5000
# A kernel asks for a neighbour once a second and soon gives up: that is not what is measured.
EAGER = {"retrans_time_ms": 5, "mcast_solicit": 1000000}
LATE_SECONDS = 300.0  # of the whole run; 5000 ports are not begun after it
OURS = ("api", "loops", "h1/agent")
UNLIMITED = ("port", "network", "subnet", "router", "floatingip", "security_group_rule")


@dataclass
class Bench:
    lab: Lab
    api: Client
    report: Report
    rounds: int = 1
    ports: int = 0

    def __post_init__(self) -> None:
        self.numbers = itertools.count(20000)
        self.north = Northbound(f"unix:{self.lab.directory}/ovn/nb.sock")
        self.north.start()

    # Calls -------------------------------------------------------------------------------------------------------
    def make(self, kind: str, **body: Any) -> Any:
        return self.api.post(f"/network/v2.0/{kind.replace('_', '-')}s", {kind: body})[kind]

    def drop(self, kind: str, id: str) -> None:
        self.api.delete(f"/network/v2.0/{kind.replace('_', '-')}s/{id}")

    def add_interface(self, router: Any, subnet: Any) -> None:
        self.api.put(f"/network/v2.0/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})

    def pids(self) -> dict[str, int]:
        status = self.lab.status()
        return {name: status[name]["pid"] for name in OURS}

    def add(self, what: str, value: float, unit: str, budget: float | None = None, **more: Any) -> None:
        self.report.add(Figure(PART, what, value, unit, self.ports, budget, **more))

    def settle(self) -> None:
        """Return when no work waits, and OVN has brought everything to the host."""
        waiting = re.compile(r'^wolke_work_waiting\{kind="(\w+)"\} ([\d.]+)', re.MULTILINE)

        def quiet() -> bool:
            with urllib.request.urlopen(f"{self.lab.url}/metrics") as page:
                left = {kind: float(count) for kind, count in waiting.findall(page.read().decode())}
            return not sum(
                left.get(kind, 0) for kind in ("network", "subnet", "port", "router", "security_group", "floating_ip")
            )

        if not wait_for(quiet, PATIENCE, every=0.1):
            raise LabError("the loops do not come to rest")
        self.lab.control.run(["ovn-nbctl", f"--timeout={PATIENCE:.0f}", "--wait=hv", "sync"], timeout=PATIENCE + 5)

    # At rest -----------------------------------------------------------------------------------------------------
    def at_rest(self, what: str = "") -> dict[str, float]:
        """Memory and CPU of our processes while nobody calls; the CPU of each, in % of a core."""
        pids = self.pids()
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        time.sleep(REST_SECONDS)  # measuring is waiting here
        used = {name: (cpu_seconds(pid) - before[name]) / REST_SECONDS * 100 for name, pid in pids.items()}
        memory = {name: process["pss_kib"] / 1024 for name, process in self.lab.status().items()}
        for name in OURS:
            self.add(f"{name}: memory{what}", memory[name], "MiB")
            self.add(f"{name}: CPU{what}", used[name], "%")
        self.add(f"memory of our processes{what}", sum(memory[name] for name in OURS), "MiB", None if what else 180)
        engines = sum(size for name, size in memory.items() if name not in OURS)
        self.add(f"memory of the engines{what}", engines, "MiB")
        return used

    def restart_api(self) -> None:
        self.lab.kill("api", signal.SIGTERM)
        wait_for(lambda: not self.lab.status()["api"]["running"], 20)
        self.add("start of the api until it answers", seconds_of(lambda: self.lab.start("api")) * 1000, "ms", 3000)

    # Packets -----------------------------------------------------------------------------------------------------
    def furnish(self) -> None:
        """A network behind a router, a namespace guest that answers datagrams, a free floating IP."""
        self.api.put(f"/network/v2.0/quotas/{self.api.project_id}", {"quota": dict.fromkeys(UNLIMITED, -1)})
        [public] = self.api.get("/network/v2.0/networks?name=public")["networks"]
        self.network = self.make("network", name="bench")
        self.subnet = self.make("subnet", network_id=self.network["id"], ip_version=4, cidr="10.0.0.0/16")
        self.router = self.make("router", name="bench", external_gateway_info={"network_id": public["id"]})
        self.add_interface(self.router, self.subnet)
        self.group = self.make("security_group", name="bench")
        self.open_port(ECHO_PORT)
        self.port = self.make("port", network_id=self.network["id"], security_groups=[self.group["id"]])
        self.floating = self.make("floatingip", floating_network_id=public["id"])
        self.address = self.floating["floating_ip_address"]
        for name, value in EAGER.items():
            self.lab.internet.run(["sysctl", "-qw", f"net.ipv4.neigh.provider.{name}={value}"])
        fixed = self.port["fixed_ips"][0]["ip_address"]
        self.guest = self.lab.host(1).attach(self.port["id"], self.port["mac_address"], f"{fixed}/16", "10.0.0.1")

    def open_port(self, number: int) -> Any:
        return self.make(
            "security_group_rule", security_group_id=self.group["id"], direction="ingress", ethertype="IPv4", protocol="udp",
            port_range_min=number, port_range_max=number,
        )  # fmt: skip

    def close_port(self, number: int) -> None:
        place = f"/network/v2.0/security-group-rules?security_group_id={self.group['id']}&port_range_min={number}"
        [rule] = self.api.get(place)["security_group_rules"]
        self.drop("security_group_rule", rule["id"])

    def associate(self, port_id: str | None) -> None:
        self.api.put(f"/network/v2.0/floatingips/{self.floating['id']}", {"floatingip": {"port_id": port_id}})

    def until_packets(self, change: Callable[[], Any], port: int, sender: Any = None, address: str = "") -> float:
        """Milliseconds from the start of a change to the first answer to a datagram."""
        words = ["python3", PROBE, "until", address or self.address, str(port), str(PATIENCE)]
        probe = (sender or self.lab.internet).popen(words, stdout=subprocess.PIPE, text=True)
        assert probe.stdout
        probe.stdout.readline()
        begin = time.monotonic()
        change()
        answered = probe.communicate()[0]
        if not answered:
            raise LabError(f"no packet passed within {PATIENCE:.0f} s")
        return (float(answered) - begin) * 1000

    def change(self, what: str, rounds: Iterator[tuple[float, float]]) -> None:
        """A change's way to packets, beside the same rows written by hand: (through Wolke, bare OVN) per round, ms."""
        ours, bare = zip(*rounds, strict=True)
        alone = percentile(bare, 0.5)
        budget = 100.0 if not self.ports else 1.3 * alone
        note = f"bare OVN: {alone:.0f} ms, best {min(bare):.0f}"
        self.add(
            f"{what} until packets",
            percentile(ours, 0.5),
            "ms",
            budget,
            best=min(ours),
            p95=percentile(ours, 0.95),
            note=note,
        )

    def by_hand(self, owner: str, before: list[Any]) -> Callable[[], None]:
        """A writer of the rows that ``owner`` has got since ``before``; they are to be gone when it is called."""
        changes = [Insert(row) for row in self.north.rows(owner) if row not in before]
        return lambda: self.north.apply(list(changes))

    def floating_ip(self) -> Iterator[tuple[float, float]]:
        owner = f"floating_ip/{self.floating['id']}"
        for _ in range(self.rounds):
            ours = self.until_packets(lambda: self.associate(self.port["id"]), ECHO_PORT)
            write = self.by_hand(owner, [])
            self.associate(None)
            self.gone(owner, [])
            bare = self.until_packets(write, ECHO_PORT)
            self.north.apply(plan([], self.north.rows(owner)))
            self.gone(owner, [])
            yield ours, bare

    def rule(self) -> Iterator[tuple[float, float]]:
        owner = f"security_group/{self.group['id']}"
        before = self.north.rows(owner)
        for _ in range(self.rounds):
            number = next(self.numbers)
            with echo(self.guest, number):
                ours = self.until_packets(partial(self.open_port, number), number)
                write = self.by_hand(owner, before)
                self.close_port(number)
                self.gone(owner, before)
                bare = self.until_packets(write, number)
                self.north.apply(plan(before, self.north.rows(owner)))
                self.gone(owner, before)
            yield ours, bare

    def gone(self, owner: str, before: list[Any]) -> None:
        """Return when the rows are those of before, and the host knows."""
        same = {row.key for row in before}
        if not wait_for(lambda: {row.key for row in self.north.rows(owner)} == same, PATIENCE):
            raise LabError(f"{owner} keeps its rows")
        self.settle()
        self.lab.internet.run(["ip", "neigh", "del", self.address, "dev", "provider"], check=False)

    def whole_network(self) -> float:
        """From the first call for a network to an answer of its router to a guest on it, ms.

        The guest stands ready with its addresses; only which logical port it is cannot be known before the call.
        """
        number = next(self.numbers)
        cidr, mac = f"10.{number % 200 + 20}.0", f"02:00:00:00:{number >> 8 & 255:02x}:{number & 255:02x}"
        host = self.lab.host(1)
        guest = host.attach(f"later-{number}", mac, f"{cidr}.9/24", f"{cidr}.1", seconds=0)
        for name, value in EAGER.items():
            guest.run(["sysctl", "-qw", f"net.ipv4.neigh.eth0.{name}={value}"])
        ping = guest.popen(["ping", "-n", "-i", "0.01", f"{cidr}.1"], stdout=subprocess.PIPE, text=True)
        try:
            begin = time.monotonic()
            network = self.make("network", name="usable")
            subnet = self.make("subnet", network_id=network["id"], ip_version=4, cidr=f"{cidr}.0/24")
            router = self.make("router", name="usable")
            self.add_interface(router, subnet)
            fixed = [{"ip_address": f"{cidr}.9"}]
            port = self.make("port", network_id=network["id"], mac_address=mac, fixed_ips=fixed)
            place = ["interface", f"o{guest.tag}", f"external_ids:iface-id={port['id']}"]
            host.run(["ovs-vsctl", "--timeout=20", "set", *place])
            took = self.first_answer(ping) - begin
        finally:
            ping.kill()
            ping.wait()
            guest.detach()
        self.api.put(f"/network/v2.0/routers/{router['id']}/remove_router_interface", {"subnet_id": subnet["id"]})
        self.drop("port", port["id"])
        self.drop("router", router["id"])
        self.drop("network", network["id"])
        self.settle()
        return took * 1000

    @staticmethod
    def first_answer(ping: subprocess.Popen[str]) -> float:
        """When a ping that runs was first answered; seconds, monotonic."""
        assert ping.stdout
        end = time.monotonic() + PATIENCE
        for said in ping.stdout:
            if "bytes from" in said:
                return time.monotonic()
            if time.monotonic() > end:
                break
        raise LabError(f"no answer from the router within {PATIENCE:.0f} s")

    def fill(self, until: int) -> None:
        """So many ports of the network, in its default group, all the way to the host."""
        wanted, begin = until - self.ports, time.monotonic()
        pids = list(self.pids().values())
        used = cpu_seconds(*pids)
        for _ in range(wanted // BULK):
            self.api.post("/network/v2.0/ports", {"ports": [{"network_id": self.network["id"]}] * BULK})
        called = time.monotonic() - begin
        self.settle()
        self.ports = until
        if wanted:
            cpu = (cpu_seconds(*pids) - used) / wanted * 1000
            whole = (time.monotonic() - begin) / wanted * 1000
            note = f"{called / wanted * 1000:.1f} ms until the answer"
            self.add("a port of many, until it is on the host", whole, "ms", cpu=cpu, note=note)

    def cpu_of_a_port(self) -> None:
        """Of all our processes, for one port and its end."""
        pids, count = list(self.pids().values()), 10
        used = cpu_seconds(*pids)
        for _ in range(count):
            self.drop("port", self.make("port", network_id=self.network["id"])["id"])
        self.settle()
        self.add("create and delete a port, all our processes", (cpu_seconds(*pids) - used) / count * 1000, "ms CPU")

    # Servers -----------------------------------------------------------------------------------------------------
    def furnish_servers(self) -> None:
        image = {"name": "tiny", "disk_format": "qcow2", "container_format": "bare"}
        image = self.api.post("/image/v2/images", image)
        data = images.built().read_bytes()
        kind = {"Content-Type": "application/octet-stream"}
        self.api.exchange("PUT", f"/image/v2/images/{image['id']}/file", data, **kind)
        flavor = {"name": "bench", "vcpus": 1, "ram": 128, "disk": 1}
        flavor = self.api.post("/compute/v2.1/flavors", {"flavor": flavor})["flavor"]
        self.wanted = {
            "name": "bench",
            "imageRef": image["id"],
            "flavorRef": flavor["id"],
            "networks": [{"uuid": self.network["id"]}],
        }

    def reached(self, id: str, status: str) -> None:
        def now() -> str:
            found = self.api.get(f"/compute/v2.1/servers/{id}")["server"]
            if found["status"] == "ERROR":
                raise LabError(f"server {id}: {found.get('fault')}")
            return str(found["status"])

        if not wait_for(lambda: now() == status, PATIENCE):
            raise LabError(f"server {id} did not become {status}: {now()}")

    def server(self) -> tuple[str, float, float]:
        """Its id; seconds from the call to ACTIVE; seconds that libvirt and QEMU alone need for the same guest."""
        begin = time.monotonic()
        id = str(self.api.post("/compute/v2.1/servers", {"server": self.wanted})["server"]["id"])
        self.reached(id, "ACTIVE")
        active = time.monotonic() - begin
        virsh, host = ["virsh", "-c", "qemu:///system"], self.lab.host(1)
        xml = host.run([*virsh, "dumpxml", "--inactive", id]).stdout.replace(id, str(uuid.uuid4()))
        # without network and disk, so that it disturbs nobody; without our mark, so that the agent passes it over
        bare = re.sub(r"<(interface|disk|metadata)\b.*?</\1>", "", xml, flags=re.DOTALL)
        file = self.lab.directory / "alone.xml"
        file.write_text(re.sub(r"<name>[^<]*", "<name>alone", bare))
        alone = seconds_of(lambda: host.run([*virsh, "create", str(file)]))
        host.run([*virsh, "destroy", "alone"])
        return id, active, alone

    def servers(self, idle: dict[str, float]) -> None:
        self.furnish_servers()
        made = [self.server() for _ in range(2)]
        self.report.say("guests boot and come to rest")
        beyond = [(active - alone) * 1000 for _, active, alone in made[1:]]
        note = f"{made[1][1]:.1f} s, of which libvirt and QEMU {made[1][2]:.1f} s; the first of an image {made[0][1]:.1f} s"
        self.add("server create until ACTIVE, beyond QEMU", percentile(beyond, 0.5), "ms", 1000, note=note)
        used = self.at_rest(f", {len(made)} guests")
        each = max(0.0, used["h1/agent"] - idle["h1/agent"]) / len(made)
        self.add("agent work per idle guest", each, "%", 0.1)
        for id, _, _ in made:
            self.api.delete(f"/compute/v2.1/servers/{id}")


@contextlib.contextmanager
def echo(guest: Guest, port: int) -> Iterator[None]:
    """The guest answers datagrams on a port."""
    server = guest.popen(["python3", PROBE, "echo", str(port)])
    try:
        if not wait_for(lambda: f":{port} " in guest.run(["ss", "-uln"]).stdout, 20):
            raise LabError("the guest does not listen")
        yield
    finally:
        server.terminate()
        server.wait()


def run(report: Report, *, quick: bool) -> None:
    lab = Lab("bench", hosts=1, say=report.say)
    try:
        took = seconds_of(lab.up)
        bench = Bench(lab, Client(lab.url, "admin", admin_password(lab), "admin"), report)
        bench.add("cloud up, from nothing", took, "s")
        bench.restart_api()
        bench.api = Client(lab.url, "admin", admin_password(lab), "admin")
        idle = bench.at_rest()
        bench.furnish()
        try:
            with echo(bench.guest, ECHO_PORT):
                for level, rounds in ROUNDS.items():
                    late = time.monotonic() - report.begin > LATE_SECONDS
                    if level == max(ROUNDS) and (quick or late):
                        report.say(f"no {level} ports this time" + (": this machine is too busy" if late else ""))
                        break
                    bench.rounds = min(rounds, 3) if quick else rounds
                    bench.fill(level)
                    bench.change("floating IP", bench.floating_ip())
                    bench.associate(bench.port["id"])
                    bench.settle()
                    bench.change("security group rule", bench.rule())
                    bench.associate(None)
                    usable = [bench.whole_network() for _ in range(bench.rounds)]
                    budget = None if level else 1000.0  # with many ports northd's three recomputations are most of it
                    bench.add(
                        "network + router + port usable by packets",
                        percentile(usable, 0.5),
                        "ms",
                        budget,
                        best=min(usable),
                    )
                    bench.cpu_of_a_port()
                    if not level:
                        with contextlib.suppress(Refused):
                            bench.servers(idle)
        finally:
            bench.guest.detach()
            bench.north.close()
    finally:
        lab.down()
