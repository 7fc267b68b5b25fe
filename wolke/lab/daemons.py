"""Daemons: the processes of a lab that have a name, and can be killed and started by it.

Records ``DIR/pids/NAME.json`` hold pid and start time, so that a pid which now belongs to somebody else is never touched.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wolke.lab.node import LabError, Node
from wolke.lab.waiting import wait_for


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """How one process is started, and how one knows that it serves."""

    name: str  # "northd", "h1/vswitchd"
    node: Node
    words: Callable[[], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    sockets: Callable[[], list[tuple[str, socket.socket]]] = list
    before: Callable[[], object] = lambda: None
    ready: Callable[[], bool] = lambda: True
    after: Callable[[], None] = lambda: None
    patience: float = 30  # seconds until it must serve


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot; 0 when it is gone or only waits to be reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if stat[0] == "Z" else int(stat[19])


def pss_kib(pid: int) -> int:
    """Memory of a process, and of what a monitoring shell has started, with shared pages divided among their users, KiB."""
    here = Path(f"/proc/{pid}")
    try:
        children = (here / f"task/{pid}/children").read_text().split() if (here / "comm").read_text() == "sh\n" else []
        found = re.search(r"^Pss:\s+(\d+)", (here / "smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return (int(found[1]) if found else 0) + sum(map(pss_kib, map(int, children)))


class Daemons:
    """Start, kill and look at daemons; what runs is known across runs of the lab's own program."""

    def __init__(self, directory: Path) -> None:
        self.records = directory / "pids"
        self.logs = directory / "log"

    def _record(self, name: str) -> Path:
        return self.records / f"{name.replace('/', '-')}.json"

    def log(self, name: str) -> Path:
        return self.logs / f"{name.replace('/', '-')}.log"

    def pid(self, name: str) -> int:
        """The daemon's pid in this machine, 0 when it does not run."""
        try:
            record = json.loads(self._record(name).read_bytes())
        except (OSError, ValueError):
            return 0
        return int(record["pid"]) if record["started"] and start_time(record["pid"]) == record["started"] else 0

    def start(self, daemon: Daemon) -> None:
        """Start it unless it runs, and wait until it serves."""
        if self.pid(daemon.name):
            return
        # one that was started, and its starter killed before the record was written
        pid = daemon.node.find(daemon.words())
        if not pid:
            daemon.before()
            pid = self._launch(daemon)
        started = start_time(pid)
        temporary = self._record(daemon.name).with_suffix(".new")
        temporary.write_text(json.dumps({"pid": pid, "started": started}))
        temporary.replace(self._record(daemon.name))
        wait_for(lambda: daemon.ready() or not self.pid(daemon.name), daemon.patience)
        if not (self.pid(daemon.name) and daemon.ready()):
            log = self.log(daemon.name)
            raise LabError(f"{daemon.name} does not serve; the end of {log}:\n{tail(log)}")
        daemon.after()

    def _launch(self, daemon: Daemon) -> int:
        sockets = daemon.sockets()
        try:
            return daemon.node.launch(daemon.words(), self.log(daemon.name), env=daemon.environment, sockets=sockets)
        finally:
            for _, handed in sockets:
                handed.close()

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send the signal; with SIGKILL the process is gone when this returns."""
        pid = self.pid(name)
        if not pid:
            raise LabError(f"{name} does not run")
        os.kill(pid, number)
        if number == signal.SIGKILL and not wait_for(lambda: not self.pid(name), 10):
            raise LabError(f"{name} (pid {pid}) does not die")


def tail(path: Path, lines: int = 15) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return str(error)
