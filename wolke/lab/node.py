"""Nodes: what looks like a machine to the programs in it, and is a bundle of namespaces.

A node owns a network, mount, pid and host name namespace. Its first process (``HOLDER``) does nothing but hold them; whatever
runs in the node dies with it, however it was started, which is why a lab can always be taken down without a list of processes.
The network namespace also has a name for ``ip netns``. See namespaces(7), pid_namespaces(7).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyroute2 import netns

from wolke.lab.waiting import wait_for

NETNS = Path("/run/netns")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# The first process of a node. It ignores SIGCHLD, so the kernel reaps every orphan for it. $1 marker, $2 host name, $3... "DIR TARGET".
HOLDER = r"""
set -e
mark=$1 name=$2; shift 2
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755,size=64m tmpfs /run
mkdir -p /run/lock
mkdir -p /var/tmp/frr # where FRR leaves what it would have logged at a crash
mount -t tmpfs -o mode=1777,size=16m tmpfs /var/tmp/frr
cat /proc/sys/kernel/random/uuid >/run/boot-id
mount --bind /run/boot-id /proc/sys/kernel/random/boot_id
for pair in "$@"; do mkdir -p "${pair% *}" "${pair#* }"; mount --bind "${pair% *}" "${pair#* }"; done
hostname "$name"
ip link set lo up
trap '' CHLD
exec -a "$mark" sleep infinity
"""


class LabError(Exception):
    """What went wrong in the lab, and where to look."""


def check_root() -> None:
    if os.geteuid() != 0:
        raise LabError("the lab makes namespaces and needs root: run it with sudo")


def run(*words: str) -> str:
    """Run a command on the machine itself; what it printed."""
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"{' '.join(words)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def netns_mounted() -> bool:
    """Whether ``ip netns`` has mounted its directory (onto itself, which stat(2) does not show)."""
    return any(line.split()[4] == str(NETNS) for line in Path("/proc/self/mountinfo").read_text().splitlines())


def processes() -> dict[int, list[str]]:
    """All living processes of this machine: pid -> command line."""
    found: dict[int, list[str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")[:-1]
            except OSError:
                continue
            if words:  # zombies and kernel threads have none
                found[int(entry.name)] = [word.decode(errors="replace") for word in words]
    return found


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def inner_pid(pid: int) -> int | None:
    """The pid that a process has in its own pid namespace; None when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    match = re.search(r"^NSpid:.*?(\d+)$", status, re.MULTILINE)
    return int(match[1]) if match else None


class Node:
    """One machine of the lab.

    Parameters
    ----------
    lab : the lab's directory, which is also part of the mark by which the node's holder is found again
    name : "control", "internet", "wires", "h1"...
    netns : name of its network namespace
    private : directories the node has to itself, target -> source
    """

    def __init__(self, lab: Path, name: str, netns: str, private: Mapping[str, Path] | None = None) -> None:
        self.lab = lab
        self.name = name
        self.netns = netns
        self.private = dict(private or {})
        self.mark = f"wolke-lab {lab} {name}"
        self.environment = {"OVS_RUNDIR": "/run/openvswitch", "OVN_RUNDIR": "/run/ovn", "PATH": PATH}
        self._pid = 0

    @property
    def pid(self) -> int:
        """The holder's pid in this machine, 0 when the node is down."""
        if not (self._pid and self._holds(self._pid)):
            self._pid = next((pid for pid, words in processes().items() if words[0] == self.mark), 0)
        return self._pid

    def _holds(self, pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(self.mark.encode() + b"\0")
        except OSError:
            return False

    # Life ---------------------------------------------------------------------
    def create(self) -> None:
        """Make the namespaces; a node that is up is left alone, the remains of a broken one are removed."""
        if self.pid:
            return
        self.destroy()
        run("ip", "netns", "add", self.netns)
        log = self.lab / "log" / f"{self.name}-holder.log"
        pairs = [f"{source} {target}" for target, source in self.private.items()]
        words = ["nsenter", f"--net={NETNS / self.netns}", "unshare", "--mount", "--uts", "--pid", "--fork"]
        words += ["--propagation", "private", "bash", "-c", HOLDER, "bash", self.mark, self.name, *pairs]
        subprocess.run(["sh", "-c", 'setsid "$@" >"$0" 2>&1 </dev/null &', str(log), *words], check=True)
        if not wait_for(lambda: self.pid, 10):
            raise LabError(f"node {self.name} did not start: {log.read_text().strip() or 'no message'}")
        with contextlib.suppress(ProcessLookupError):
            os.kill(parent_of(self.pid), signal.SIGKILL)  # unshare, which only waits

    def destroy(self) -> None:
        """End every process of the node and remove its namespaces. Works on half of a node too."""
        if pid := self.pid:
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not self.pid, 10)
        if (NETNS / self.netns).exists():
            run("ip", "netns", "delete", self.netns)

    # Work in it ---------------------------------------------------------------
    def enter(self, *words: str) -> list[str]:
        """The command line that runs ``words`` inside the node."""
        pid = self.pid
        if not pid:
            raise LabError(f"node {self.name} is not up")
        return ["nsenter", "--target", str(pid), "--mount", "--uts", "--net", "--pid", "--root", "--wd", "--", *words]

    def run(
        self,
        words: Sequence[str],
        *,
        check: bool = True,
        timeout: float = 60,
        env: Mapping[str, str] | None = None,
        **more: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the node and wait for it; output is captured as text unless asked otherwise."""
        if not {"stdout", "stderr", "capture_output"} & more.keys():
            more["capture_output"] = True
        bounded = ["timeout", "-k", "2", str(timeout), *map(str, words)]
        done = subprocess.run(
            self.enter(*bounded), check=False, text=True, env={**os.environ, **self.environment, **(env or {})}, **more
        )
        if check and done.returncode:
            said = (done.stderr or done.stdout or "").strip()
            raise LabError(f"{self.name}: {' '.join(map(str, words))}: exit {done.returncode}: {said}")
        return done

    def popen(
        self, words: Sequence[str], *, env: Mapping[str, str] | None = None, **more: Any
    ) -> subprocess.Popen[Any]:
        """Start a command in the node; it ends when the handle is terminated."""
        leashed = ["setpriv", "--pdeathsig", "TERM", *map(str, words)]
        return subprocess.Popen(self.enter(*leashed), env={**os.environ, **self.environment, **(env or {})}, **more)

    def launch(
        self,
        words: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        sockets: Sequence[tuple[str, socket.socket]] = (),
    ) -> int:
        """Start a daemon in the node and return its pid in this machine.

        ``sockets`` (name, listening socket) are handed over as systemd does: descriptors from 3 on, LISTEN_FDS, LISTEN_FDNAMES,
        LISTEN_PID (sd_listen_fds(3)).
        """
        script = 'exec setsid sh -c \'[ -z "$LISTEN_FDS" ] || export LISTEN_PID=$$; exec "$@"\' sh "$@" </dev/null >>"$0" 2>&1 & echo $!'
        environment = {**os.environ, **self.environment, **(env or {})}
        fds = [fcntl.fcntl(handed, fcntl.F_DUPFD, 100) for _, handed in sockets]  # out of the way of 3, 4, 5
        if sockets:
            environment |= {"LISTEN_FDS": str(len(fds)), "LISTEN_FDNAMES": ":".join(name for name, _ in sockets)}
        moves = "".join(f"exec {3 + n}<&{high}-; " for n, high in enumerate(fds))
        command = self.enter("bash", "-c", moves + script, str(log), *map(str, words))
        try:
            started = subprocess.run(
                command, check=False, text=True, capture_output=True, env=environment, pass_fds=fds
            )
        finally:
            for high in fds:
                os.close(high)
        if started.returncode or not started.stdout.strip():
            raise LabError(f"{self.name}: {words[0]} could not be started: {started.stderr.strip()}")
        return self.outer_pid(int(started.stdout))

    def find(self, words: Sequence[str]) -> int:
        """This machine's pid of the node's process with exactly this command line, 0 without one."""
        namespace = Path(f"/proc/{self.pid}/ns/pid").readlink()
        for pid, found in processes().items():
            with contextlib.suppress(OSError):  # gone meanwhile
                if found == list(words) and Path(f"/proc/{pid}/ns/pid").readlink() == namespace:
                    return pid
        return 0

    def outer_pid(self, inner: int) -> int:
        """This machine's pid of the process that the node knows as ``inner``; 0 when it is gone."""
        namespace = Path(f"/proc/{self.pid}/ns/pid").readlink()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if (entry / "ns/pid").readlink() == namespace and inner_pid(int(entry.name)) == inner:
                    return int(entry.name)
            except OSError:
                continue  # gone meanwhile
        return 0

    def path(self, inside: str) -> Path:
        """A file of the node as this machine sees it."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def listen(self, address: str, port: int) -> socket.socket:
        """A TCP socket that listens inside the node."""
        try:
            made = netns.create_socket(f"/proc/{self.pid}/ns/net", socket.AF_INET, socket.SOCK_STREAM)
            return listening(made, address, port)
        except OSError as error:
            raise LabError(f"{self.name}: cannot listen on {address}:{port}: {error}") from error


def listening(made: socket.socket, address: str, port: int) -> socket.socket:
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    made.listen(1024)
    return made
