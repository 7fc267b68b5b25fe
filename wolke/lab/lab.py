"""A lab: a whole cloud's hosts on one machine, all engines real.

``Lab("demo", hosts=2).up()`` makes the nodes (control, internet, h1, h2), their cables and engines, and starts Wolke on them.
Everything can be asked again: what runs stays, what is missing is started, what is broken is made anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from wolke.lab import cloud, engines, furnish, wires
from wolke.lab.daemons import Daemon, Daemons, pss_kib, tail
from wolke.lab.host import Host
from wolke.lab.node import NETNS, LabError, Node, check_root, listening, netns_mounted, processes, run

FIRST_PORT = 7770  # of the API on 127.0.0.1; the next free one is taken
NODES = r"(control|internet|wires|site|h\d+)"


@dataclass
class Facts:
    """What a lab remembers in ``lab.json``."""

    hosts: int = 0
    port: int = 0
    database: str = ""
    control_plane: bool = False
    made_netns: bool = False  # /run/netns was not a mount before us
    kernel_bridges: bool = True  # else the segments are bridges of userspace OVS
    parted: list[tuple[str, str]] = field(default_factory=list)


class Lab:
    """One lab. ``directory`` (default /var/lib/wolke-lab/NAME, or WOLKE_LAB_DIR/NAME) must be short: it holds unix sockets.

    ``kernel_bridges=False`` joins the nodes by userspace OVS, as happens by itself where the kernel has no bridges.
    ``say(text)`` is told what is being done.
    """

    def __init__(
        self,
        name: str = "demo",
        hosts: int = 1,
        directory: Path | None = None,
        database: str = "",
        kernel_bridges: bool = True,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9]{0,11}", name):
            raise LabError(f"lab name {name!r}: small letters and digits only, at most 12")
        base = Path(os.environ.get("WOLKE_LAB_DIR", "/var/lib/wolke-lab"))
        self.name = name
        self.directory = directory or base / name
        self.say = say
        self._asked = (hosts, database, kernel_bridges)
        self.daemons = Daemons(self.directory)
        self.facts = self._read()
        self.control = self._node("control")
        files = self.directory / "ovn"
        self.control.environment |= {"OVN_NB_DB": f"unix:{files}/nb.sock", "OVN_SB_DB": f"unix:{files}/sb.sock"}
        self.internet = self._node("internet")
        self.wires = self._node("wires")

    def _node(self, name: str) -> Node:
        private = engines.private(self.directory, name) if name.startswith(("h", "wires", "site")) else {}
        return Node(self.directory, name, f"wolke-{self.name}-{name}", private)

    def node_named(self, name: str) -> Node:
        """The node of that name, whether it is up or not."""
        return self._node(name)

    def node(self, name: str) -> Node:
        """The node of that name: control, internet, wires, h1..."""
        known = {
            node.name: node for node in (self.control, self.internet, self.wires, *(host.node for host in self.hosts))
        }
        if name not in known:
            raise LabError(f"no node {name!r}; there are {', '.join(known)}")
        return known[name]

    def host(self, number: int) -> Host:
        return Host(self._node(f"h{number}"), number)

    @property
    def hosts(self) -> list[Host]:
        return [self.host(number) for number in range(1, self.facts.hosts + 1)]

    # Up and down --------------------------------------------------------------
    def up(self, *, control_plane: bool = True) -> None:
        """Everything runs and serves when this returns; may be called again at any time."""
        check_root()
        with self._locked():
            for folder in ("log", "pids", "ovn"):
                (self.directory / folder).mkdir(parents=True, exist_ok=True)
            self.facts = self._read()
            self.facts.hosts = max(self.facts.hosts, self._asked[0], 1)
            self.facts.control_plane = self.facts.control_plane or control_plane
            self.facts.database = self.facts.database or self._asked[1]
            self.facts.kernel_bridges = self.facts.kernel_bridges and self._asked[2]
            self.facts.made_netns = self.facts.made_netns or not netns_mounted()
            with locked(self.directory.parent / "ports.lock"):  # two labs that start together do not choose the same
                if not self.daemons.pid(cloud.KEEPER):
                    self.facts.port = free_port(ports_of(self.directory.parent) - {self.facts.port}, self.facts.port)
                self._write()
            with self._step("nodes and cables"):
                self._nodes()
            parts = ["control", *(host.name for host in self.hosts)]
            title = f"engines of {len(self.hosts)} host(s), {engines.datapath()} datapath"
            with self._step(title + (", Wolke's database" if self.facts.control_plane else "")):
                together(partial(self._engines, part) for part in parts)
            if self.facts.control_plane:
                self._wolke()
            for name, process in self.status().items():  # one that dies of what it finds only later
                if not process["running"]:
                    raise LabError(f"{name} ended; the end of its log:\n{tail(self.daemons.log(name))}")

    def join(self) -> Host:
        """One more host. It gets a join token, and everything else by itself."""
        if not self.facts.control_plane:
            raise LabError(f"the cloud {self.name} is not up: ./run cloud up")
        self._asked = (self.facts.hosts + 1, *self._asked[1:])
        self.up()
        return self.hosts[-1]

    def leave(self) -> str:
        """The last host goes for good: out of the cloud first, then its node; its name."""
        check_root()
        if self.facts.hosts < 2:
            raise LabError("the only host cannot leave")
        host = self.hosts[-1]
        with self._locked(), self._step(f"{host.name} leaves"):
            furnish.administrator(self).delete(f"/wolke/v1/hosts/{host.name}")
            host.node.destroy()
            self.facts.hosts -= 1
            self.facts.parted = [pair for pair in self.facts.parted if host.name not in pair]
            self._write()
            shutil.rmtree(self.directory / host.name, ignore_errors=True)
        return host.name

    def _wolke(self) -> None:
        with self._step("api, loops, agents"):
            together(
                [
                    partial(self.start, "api"),
                    partial(self.start, "loops"),
                    *(partial(self._agent, host) for host in self.hosts),
                ]
            )
            furnish.wait_for_hosts(self)
        with self._step("demo project, public network, clouds.yaml"):
            furnish.furnish(self)

    def _agent(self, host: Host) -> None:
        """An agent waits for the api by itself."""
        if not self.daemons.pid(f"{host.name}/agent"):
            cloud.prepare_host(self, host.number)
            self.start(f"{host.name}/agent")

    def _nodes(self) -> None:
        nodes = [self.wires, self.control, self.internet, *(host.node for host in self.hosts)]
        if not self.wires.pid:  # the cables ended there
            for node in nodes:
                node.destroy()
        for host in self.hosts:
            engines.configure(self.directory, host.name)
        for node in nodes:
            node.create()
        self.facts.kernel_bridges = self.facts.kernel_bridges and wires.bridges(self.wires)
        self._write()
        if not self.facts.kernel_bridges:
            for daemon in self._segments():
                self.daemons.start(daemon)
        wires.cable(self.wires, "underlay", self.control, "underlay")
        self.control.run(["ip", "address", "replace", f"{wires.CONTROL_ADDRESS}/24", "dev", "underlay"])
        wires.cable(self.wires, "provider", self.internet, "provider")
        wires.internet(self.internet)
        for host in self.hosts:
            wires.cable(self.wires, "underlay", host.node, "uplink", bare=True)
            wires.cable(self.wires, "provider", host.node, "provider", bare=True)

    def _engines(self, part: str) -> None:
        """Start the engines of one node; Wolke's database is made beside them."""
        if (
            part == "control"
            and self.facts.control_plane
            and not (self.daemons.pid("api") and self.daemons.pid("loops"))
        ):
            cloud.prepare(self)
        for daemon in self._daemons().values():
            if daemon.node.name == part and daemon.name not in ("api", "loops", f"{part}/agent"):
                self.daemons.start(daemon)
        if part != "control" and not self.facts.control_plane:
            engines.join_southbound(self.node(part), int(part[1:]))

    def down(self, *, keep: bool = False) -> None:
        """End everything of this lab, also what is left of a broken one; the directory goes too unless ``keep``."""
        check_root()
        with self._locked():
            names = {path.name for path in NETNS.glob(f"wolke-{self.name}-*")} if NETNS.is_dir() else set()
            marks = f"wolke-lab {self.directory} "
            names |= {
                f"wolke-{self.name}-{words[0].removeprefix(marks)}"
                for words in processes().values()
                if words[0].startswith(marks)
            }
            nodes = [
                self._node(name.rpartition("-")[2])
                for name in sorted(names)
                if re.fullmatch(f"wolke-{self.name}-{NODES}", name)
            ]
            with self._step("ending the lab's nodes"):
                together(node.destroy for node in nodes)
            if self.facts.made_netns and netns_mounted() and not any(NETNS.iterdir()):
                run("umount", str(NETNS))
            if keep:
                shutil.rmtree(self.daemons.records, ignore_errors=True)
            else:
                shutil.rmtree(self.directory, ignore_errors=True)
        if not keep:
            self._lock.unlink(missing_ok=True)
            base = self.directory.parent
            if not any(base.glob("*/lab.json")) and {path.name for path in base.iterdir()} <= {"ports.lock"}:
                (base / "ports.lock").unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # another lab begins there
                    base.rmdir()
        self.facts = self._read()

    # Processes ----------------------------------------------------------------
    def _segments(self) -> list[Daemon]:
        return engines.switch(self.wires, partial(wires.switch_bridges, self.wires))

    def _daemons(self) -> dict[str, Daemon]:
        made = [] if self.facts.kernel_bridges else self._segments()
        made += engines.control(self.control, self.directory)
        for host in self.hosts:
            made += engines.host(host.node, host.number, partial(self._parted_from, host.name))
        if self.facts.control_plane:
            made += cloud.daemons(self)
        return {daemon.name: daemon for daemon in made}

    def start(self, name: str) -> None:
        """Start one process by its name in ``status()``, wait until it serves; nothing happens when it runs."""
        daemons = self._daemons()
        if name not in daemons:
            raise LabError(f"no process {name!r}; there are {', '.join(daemons)}")
        self.daemons.start(daemons[name])

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        self.daemons.kill(name, number)

    def status(self) -> dict[str, dict[str, Any]]:
        """Per process: running, pid (in this machine), pss_kib."""
        shown = {}
        for name in self._daemons() if self.facts.hosts else ():
            pid = self.daemons.pid(name)
            shown[name] = {"running": bool(pid), "pid": pid, "pss_kib": pss_kib(pid) if pid else 0}
        return shown

    @property
    def url(self) -> str:
        """The API, from the machine and from the internet node alike."""
        return f"http://127.0.0.1:{self.facts.port}"

    # The underlay -------------------------------------------------------------
    def partition(self, one: int | str, other: int | str | None = None) -> None:
        """Drop all traffic between two hosts (or a host and "control"); without ``other`` pull the node's cable."""
        first, second = node_name(one), node_name(other) if other is not None else ""
        if first == "control" and second:
            first, second = second, first
        self.facts.parted.append((first, second))
        self._write()
        self._apply_partitions()

    def heal(self) -> None:
        """Undo every partition."""
        self.facts.parted.clear()
        self._write()
        self._apply_partitions()

    def _parted_from(self, name: str) -> list[str]:
        others = [b if a == name else a for a, b in self.facts.parted if b and name in (a, b)]
        return [wires.CONTROL_ADDRESS if other == "control" else wires.host_address(int(other[1:])) for other in others]

    def _apply_partitions(self) -> None:
        for node in (self.control, *(host.node for host in self.hosts)):
            wires.pull(self.wires, node, plugged=(node.name, "") not in self.facts.parted)
        for host in self.hosts:
            if self.daemons.pid(f"{host.name}/vswitchd"):
                engines.part(host.node, self._parted_from(host.name))

    # OVN ----------------------------------------------------------------------
    def ovn_nbctl(self, *words: str) -> str:
        return self.control.run(["ovn-nbctl", "--timeout=20", *words]).stdout

    def ovn_sbctl(self, *words: str) -> str:
        return self.control.run(["ovn-sbctl", "--timeout=20", *words]).stdout

    # State --------------------------------------------------------------------
    def _read(self) -> Facts:
        try:
            kept = json.loads((self.directory / "lab.json").read_bytes())
        except (OSError, ValueError):
            return Facts()
        kept["parted"] = [(a, b) for a, b in kept["parted"]]
        return Facts(**kept)

    def _write(self) -> None:
        temporary = self.directory / "lab.json.new"
        temporary.write_text(json.dumps(asdict(self.facts), indent=1))
        temporary.replace(self.directory / "lab.json")

    @property
    def _lock(self) -> Path:
        return self.directory.with_name(f"{self.directory.name}.lock")

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        """One ``up`` or ``down`` at a time."""
        return locked(self._lock, lambda: self.say(f"waiting: another process works on lab {self.name}"))

    @contextlib.contextmanager
    def _step(self, title: str) -> Iterator[None]:
        begin = time.monotonic()
        self.say(f"{title} ...")
        yield
        self.say(f"{title}: {time.monotonic() - begin:.1f} s")


def together(calls: Iterable[Callable[[], None]]) -> None:
    """Make the calls at the same time; the first error is raised when all have ended."""
    with ThreadPoolExecutor() as pool:
        pending = [pool.submit(call) for call in calls]
    for call in pending:
        call.result()


def node_name(given: int | str) -> str:
    return f"h{given}" if isinstance(given, int) else given


def free_port(taken: set[int], former: int) -> int:
    """A port of 127.0.0.1 that nobody listens on and no other lab has chosen: the former one if possible."""
    candidates: list[int] = [*([former] if former else []), *range(FIRST_PORT, FIRST_PORT + 200)]
    for port in candidates:
        if port not in taken:
            with contextlib.suppress(OSError), socket.socket() as probe:
                listening(probe, "127.0.0.1", port)
                return port
    raise LabError(f"no free port on 127.0.0.1 from {FIRST_PORT} on")


def ports_of(base: Path) -> set[int]:
    """Ports that the labs of a directory have chosen, also while they do not run."""
    found = set()
    for facts in base.glob("*/lab.json"):
        with contextlib.suppress(OSError, ValueError):  # removed, or not written yet
            found.add(int(json.loads(facts.read_bytes())["port"]))
    return found


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a lock file; the lock goes with the process that holds it, however it ends."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(held, fcntl.LOCK_EX)
            if path.exists() and os.path.samestat(
                path.stat(), os.fstat(held.fileno())
            ):  # else its former holder has removed it
                yield
                return
