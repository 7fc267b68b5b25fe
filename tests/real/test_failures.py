"""Three hosts under traffic, and one thing after the other fails: how long packets stay away, and what is left of it afterwards.

The figures are printed as a table (``-rP`` shows it); asserted are states: everything flows again, the database and OVN agree, what was
acknowledged meanwhile exists, and nothing is there that nobody owns.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.real.packets import Answers, Packets
from tests.real.tenants import SERVE, Tenant, ask, pings
from tests.real.test_drift import seconds
from tests.real.test_kills import Truth
from wolke.lab import Lab, LabError, wait_for
from wolke.lab.cloud import answers as api_answers
from wolke.lab.furnish import administrator

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
OUTSIDE, SEGMENT = (
    "198.51.100.254",
    "198.51.100.1",
)  # beyond the provider's router, which answers UDP with its own address only
PATIENCE = 90  # seconds until everything is as it should be, on a busy machine
AWAY, MINUTES = 20.0, 120.0  # seconds that a part of the control plane is down, and all of it
TABLE: list[str] = []
WAYS = ("out by the gateway", "in by floating IP", "host to host")
KINDS = ("icmp", "udp", "tcp")


class Scene:
    """A router, three guests on three hosts, and streams between them and the outside that never end."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.tenant, self.folder = lab, Tenant(lab, "failures"), folder
        self.api = administrator(lab)
        network = self.tenant.network("10.0.0.0/24")
        self.network, self.router = network, self.tenant.router(network)
        group = self.tenant.group(*({"protocol": kind} for kind in ("icmp", "tcp", "udp")))
        rested = lambda: all(one["gateways"] == "yes" for one in self.api.get("/wolke/v1/hosts")["hosts"])  # noqa: E731
        assert wait_for(rested, PATIENCE, every=0.5) and wait_for(self.carrier, PATIENCE, every=0.3)
        self.first = self.carrier()
        others = [host.number for host in lab.hosts if host.name != self.first]
        self.near, self.far = others[0], others[1]  # the host whose guest asks, and the one whose guest answers
        self.asks, self.answers = (self.tenant.server(network, number, group) for number in (self.near, self.far))
        self.answers.serve("far", "80", "53")
        self.backup = folder / "nb.db"
        shutil.copy(lab.directory / "ovn" / "nb.db", self.backup)  # of a time before the floating IP
        floating = self.tenant.create(
            "floatingip", floating_network_id=self.tenant.public["id"], port_id=self.answers.port["id"]
        )
        self.address = floating["floating_ip_address"]
        self.outside = lab.internet.popen(["python3", "-c", SERVE, "outside", "80", "53"])
        assert wait_for(lambda: ask(self.asks.guest, OUTSIDE) and ask(lab.internet, self.address), PATIENCE, every=0.5)
        ends = {
            WAYS[0]: (self.asks.guest, OUTSIDE), WAYS[1]: (lab.internet, self.address), WAYS[2]: (self.asks.guest, self.answers.address()),
        }  # fmt: skip
        self.streams: dict[tuple[str, str], Packets | Answers] = {}
        for way, (source, address) in ends.items():
            name = way.replace(" ", "-")
            self.streams[way, "icmp"] = Packets(source, address, folder / f"{name}.icmp", every=0.03)
            by_udp = SEGMENT if address == OUTSIDE else address
            self.streams[way, "udp"] = Answers(source, "udp", by_udp, 53, folder / f"{name}.udp")
            self.streams[way, "tcp"] = Answers(source, "tcp", address, 80, folder / f"{name}.tcp")
        self.made = 0

    def carrier(self) -> str:
        """The host that carries the router's gateway."""
        [port] = self.api.get(
            "/network/v2.0/ports", device_id=self.router["id"], device_owner="network:router_gateway"
        )["ports"]
        words = ["--bare", "--columns=chassis", "find", "Port_Binding", f"logical_port=cr-lrp-{port['id']}"]
        with suppress(LabError):
            if chassis := self.lab.ovn_sbctl(*words).strip():
                return self.lab.ovn_sbctl("--bare", "--columns=name", "list", "Chassis", chassis).strip()
        return ""

    def silent(self) -> list[tuple[str, str]]:
        """Streams that do not flow, whatever patience one has."""
        return [key for key, stream in self.streams.items() if not stream.flows(time.time(), PATIENCE)]

    def gaps(self, since: float) -> dict[tuple[str, str], float]:
        return {key: stream.longest(since) for key, stream in self.streams.items()}

    def order(self) -> list[tuple[str, str]]:
        """Some things that are acknowledged while something is broken."""
        made = []
        for _ in range(3):
            self.made += 1
            network = self.tenant.create("network", name=f"meanwhile-{self.made}")
            port = self.tenant.create("port", network_id=network["id"])
            made += [("networks", network["id"]), ("ports", port["id"])]
        return made

    def end(self) -> None:
        for stream in self.streams.values():
            stream.stop()
        self.outside.terminate()
        self.outside.wait()
        self.tenant.end()


@pytest.fixture(scope="module")
def scene(three: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = Scene(three, tmp_path_factory.mktemp("streams"))
    yield made
    made.end()
    head = f"{'case':44} " + " ".join(f"{way[:20]:>22}" for way in WAYS)
    print(
        "\nlongest gap in seconds: icmp udp tcp; while it is broken | when it comes back\n"
        + head
        + "\n"
        + "\n".join(TABLE)
    )


@pytest.fixture(scope="module")
def truth(three: Lab) -> Iterator[Truth]:
    made = Truth(three)
    yield made
    made.close()


# What fails ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Case:
    breaks: Callable[[Scene], object]
    mends: Callable[[Scene], object]
    seconds: float = 8.0  # that it stays broken
    drifts: bool = False  # whether it has to be told as drift
    orders: bool = True  # whether the API takes orders meanwhile
    moves: bool = False  # whether the gateway has to move


def process(name: str) -> tuple[Callable[[Scene], object], Callable[[Scene], object]]:
    """Kill a process, and start it again; ``{gateway}`` and ``{guest}`` stand for hosts."""

    def full(scene: Scene) -> str:
        return name.format(gateway=scene.first, guest=f"h{scene.near}")

    return lambda scene: scene.lab.kill(full(scene)), lambda scene: scene.lab.start(full(scene))


def exit_controller(scene: Scene) -> None:
    scene.lab.node(scene.first).run(["ovn-appctl", "-t", "ovn-controller", "exit"])


def restore(scene: Scene) -> None:
    scene.lab.kill("ovn-nb")
    shutil.copy(scene.backup, scene.lab.directory / "ovn" / "nb.db")
    scene.lab.start("ovn-nb")


def each(*names: str) -> tuple[Callable[[Scene], object], Callable[[Scene], object]]:
    return (
        lambda scene: [process(name)[0](scene) for name in names],
        lambda scene: [process(name)[1](scene) for name in reversed(names)],
    )


CASES = {
    "nothing": Case(lambda scene: None, lambda scene: None),
    "gateway's host cut off": Case(lambda s: s.lab.partition(s.first), lambda s: s.lab.heal(), moves=True),
    "gateway's host: ovn-controller killed": Case(*process("{gateway}/ovn-controller")),
    "gateway's host: ovn-controller ended": Case(exit_controller, process("{gateway}/ovn-controller")[1], moves=True),
    "gateway's host: vswitchd killed": Case(*process("{gateway}/vswitchd"), moves=True),
    "gateway's host dead": Case(*each("{gateway}/agent", "{gateway}/ovn-controller", "{gateway}/vswitchd"), moves=True),
    "guest's host: ovn-controller killed": Case(*process("{guest}/ovn-controller")),
    "guest's host: vswitchd killed": Case(*process("{guest}/vswitchd"), seconds=0),
    "northd killed": Case(*process("northd")),
    "northbound killed": Case(*process("ovn-nb")),
    "northbound restored from an older copy": Case(restore, lambda scene: None, drifts=True),
    "southbound away": Case(*process("ovn-sb"), seconds=AWAY),
    "api and loops away": Case(*each("api", "loops"), seconds=MINUTES, orders=False),
}


@pytest.mark.parametrize("name", list(CASES))
def test_packets_come_back_and_nothing_is_lost(scene: Scene, truth: Truth, name: str) -> None:
    case, lab = CASES[name], scene.lab
    assert wait_for(lambda: scene.carrier() == scene.first, PATIENCE, every=0.5), "the gateway is not where it belongs"
    assert scene.silent() == []
    broken = {key: stream.broken for key, stream in scene.streams.items() if isinstance(stream, Answers)}
    began = time.time()
    try:
        case.breaks(scene)
        made = scene.order() if case.orders else []
        if case.moves:
            assert wait_for(lambda: scene.carrier() not in ("", scene.first), PATIENCE, every=0.2), (
                "the gateway does not move"
            )
        time.sleep(max(0.0, began + case.seconds - time.time()))
        away = scene.gaps(began) if case.seconds else {}
    finally:
        mended = time.time()
        case.mends(scene)
    assert wait_for(lambda: api_answers(f"{lab.url}/healthz"), PATIENCE, every=0.2)
    assert scene.silent() == []
    assert wait_for(lambda: scene.carrier() == scene.first, PATIENCE, every=0.5), "the gateway does not come home"
    time.sleep(2)
    back = scene.gaps(mended)
    wait_for(lambda: not truth.drift(), PATIENCE, every=0.3)
    settled = time.time() - mended
    assert truth.drift() == []
    wait_for(lambda: not truth.strays(), PATIENCE, every=0.3)
    assert truth.strays() == []
    if case.drifts:
        noticed = [
            one
            for one in scene.api.get("/wolke/v1/drift", place="northbound")["drift"]
            if seconds(one["noticed_at"]) > began
        ]
        assert any(one["name"].startswith("floating_ip/") for one in noticed) and all(
            one["undone_at"] for one in noticed
        )
    for path, id in made:
        assert scene.tenant.call("GET", f"{path}/{id}")
        assert id in lab.ovn_nbctl(
            "--bare", "--columns=name", "list", "Logical_Switch" if path == "networks" else "Logical_Switch_Port"
        )
    again = sum(stream.broken - broken[key] for key, stream in scene.streams.items() if isinstance(stream, Answers))
    TABLE.append(
        f"{name:44} "
        + " ".join(f"{shown(away, back, way):>22}" for way in WAYS)
        + f"  TCP broken {again}, agreed after {settled:.1f} s"
    )
    print(TABLE[-1])


def shown(away: dict[tuple[str, str], float], back: dict[tuple[str, str], float], way: str) -> str:
    def three(gaps: dict[tuple[str, str], float]) -> str:
        return " ".join(f"{gaps[way, kind]:.1f}" for kind in KINDS) if gaps else "-"

    return f"{three(away)} | {three(back)}"


def test_of_two_hosts_the_other_takes_the_gateway(scene: Scene, truth: Truth) -> None:
    """OVN alone lets no host take a gateway that hears no other; the third host is away, so there are two."""
    lab = scene.lab
    assert wait_for(lambda: scene.carrier() == scene.first, PATIENCE, every=0.5)
    dying = [f"{scene.first}/{one}" for one in ("agent", "ovn-controller", "vswitchd")]
    out: Any = scene.streams[WAYS[0], "icmp"]
    try:
        lab.partition(f"h{scene.far}")
        time.sleep(8)
        assert out.flows(time.time())
        began = time.time()
        for one in dying:
            lab.kill(one)
        assert wait_for(lambda: scene.carrier() == f"h{scene.near}", PATIENCE, every=0.1)
        assert out.flows(time.time() + 0.5)
        gap = out.longest(began)
        agents = {one["host"]: one["alive"] for one in scene.api.get("/network/v2.0/agents")["agents"]}
        assert agents == {scene.first: False, f"h{scene.far}": False, f"h{scene.near}": True}
    finally:
        lab.heal()
        for one in reversed(dying):
            lab.start(one)
    TABLE.append(f"{'of two hosts the one with the gateway dead':44} longest gap {gap:.1f} s")
    print(TABLE[-1])
    assert scene.silent() == []
    wait_for(lambda: not truth.drift(), PATIENCE, every=0.3)
    assert truth.drift() == []


def test_a_host_joins_and_leaves_while_everything_flows(scene: Scene, truth: Truth) -> None:
    """One command each: the new one has tunnels, gateways and guests by itself; the one that leaves is nowhere any more."""
    lab, began = scene.lab, time.time()
    host = lab.join()
    joined = time.time() - began
    guest = scene.tenant.server(scene.network, host.number, scene.tenant.group({"protocol": "icmp"}))
    assert wait_for(
        lambda: pings(guest.guest, scene.answers.address()) and pings(guest.guest, OUTSIDE), PATIENCE, every=0.3
    )
    works = time.time() - began
    assert wait_for(
        lambda: host.name in lab.ovn_nbctl("--bare", "--columns=chassis_name", "list", "HA_Chassis"), PATIENCE
    )
    shown_host = scene.api.get(f"/wolke/v1/hosts/{host.name}")["host"]
    assert shown_host["state"] == "up" and shown_host["in_ovn"]
    scene.tenant.servers.remove(guest)
    guest.gone()
    assert lab.leave() == host.name
    assert wait_for(
        lambda: host.name not in lab.ovn_sbctl("--bare", "--columns=name", "list", "Chassis"), PATIENCE, every=0.3
    )
    assert wait_for(
        lambda: host.name not in lab.ovn_nbctl("--bare", "--columns=chassis_name", "list", "HA_Chassis"),
        PATIENCE,
        every=0.3,
    )
    assert host.name not in [one["name"] for one in scene.api.get("/wolke/v1/hosts")["hosts"]]
    assert wait_for(lambda: host.name not in str(scene.api.get("/network/v2.0/agents")), PATIENCE, every=0.3)
    gaps = scene.gaps(began)
    TABLE.append(
        f"{'a host joins, and leaves for good':44} joined after {joined:.1f} s, packets after {works:.1f} s; "
        f"longest gap of others {max(gaps.values()):.1f} s"
    )
    print(TABLE[-1])
    wait_for(lambda: not truth.drift() and not truth.strays(), PATIENCE, every=0.3)
    assert truth.drift() + truth.strays() == []
