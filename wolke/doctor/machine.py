"""Everything the checks ask of a machine, in one place, so that tests can hand in another machine."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import shutil
import socket
import subprocess
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"  # where Debian keeps daemons; not on every user's path
LISTEN, UNCONNECTED = "0A", "07"  # states in /proc/net/tcp and /proc/net/udp
TIME_ERROR = 5  # adjtimex(2): nobody keeps the clock


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended; ``status`` 127 when there is none of that name, 124 when it took too long."""

    status: int
    output: str = ""

    @property
    def well(self) -> bool:
        return self.status == 0

    @property
    def last(self) -> str:
        lines = self.output.strip().splitlines()
        return lines[-1] if lines else f"status {self.status}"


@dataclass(frozen=True, slots=True)
class Space:
    free_bytes: int
    inodes: int  # 0: the file system makes them as it needs them
    free_inodes: int


class Machine:
    """This machine."""

    def exists(self, path: str) -> bool:
        return Path(path).exists()

    def text(self, path: str) -> str:
        """A file's text; empty when it cannot be read."""
        try:
            return Path(path).read_text(errors="replace")
        except OSError:
            return ""

    def program(self, name: str) -> str:
        """Its path, also outside PATH where Debian keeps daemons; empty when there is none."""
        return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SYSTEM_FOLDERS}") or ""

    def run(self, *words: str, seconds: float = 10) -> Ran:
        program = self.program(words[0])
        if not program:
            return Ran(127, f"{words[0]} is not installed")
        try:
            done = subprocess.run(
                [program, *words[1:]], text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=seconds, check=False, errors="replace",
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Ran(124, f"no answer within {seconds:.0f} s")
        except OSError as error:
            return Ran(126, str(error))
        return Ran(done.returncode, done.stdout)

    def space(self, path: str) -> Space:
        """Of the file system that holds ``path``, or will once it is made."""
        place = Path(path).absolute()
        while not place.exists():
            place = place.parent
        found = os.statvfs(place)
        return Space(found.f_bavail * found.f_frsize, found.f_files, found.f_favail)

    def path(self) -> list[str]:
        return os.environ.get("PATH", "").split(":")

    def is_root(self) -> bool:
        return os.geteuid() == 0

    def writable(self, path: str) -> bool:
        return os.access(path, os.W_OK | os.X_OK)

    def changed_at(self, path: str) -> float:
        """Unix seconds; 0 when it is not there."""
        try:
            return Path(path).stat().st_mtime
        except OSError:
            return 0.0

    def now(self) -> float:
        return time.time()

    def clock_is_kept(self) -> bool:
        """Whether something keeps the kernel's clock right (adjtimex(2), which only looks here)."""
        whole = ctypes.create_string_buffer(512)  # struct timex with no mode set: nothing is changed
        return int(ctypes.CDLL(None).adjtimex(whole)) != TIME_ERROR

    def why_no_kvm(self) -> str:
        """Found out by running a guest; empty when one ran."""
        from wolke.drivers.libvirt import kvm

        return kvm.why_no_kvm()

    def kernel_switch(self) -> bool:
        """Whether the kernel has Open vSwitch's datapath."""
        from wolke.drivers.vswitch import kernel_datapath

        return kernel_datapath() == "system"

    def lacking_packages(self) -> list[str]:
        """Distributions that Wolke names and this Python has not."""
        wanted = [re.split(r"[^\w.-]", words)[0] for words in required()]
        return [name for name in wanted if not installed(name)]

    def libvirt_bindings(self) -> str:
        """Their version. Raises DriverError: there are none."""
        from wolke.drivers.libvirt.connection import load

        number = int(load().getVersion())
        return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"

    def holder(self, kind: str, port: int) -> str:
        """Who has a port, as ``program (pid 7)``; empty when it is free. ``kind`` : tcp or udp."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind == "tcp"))
            try:
                probe.bind(("0.0.0.0", port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    return f"not to be had: {error.strerror}"
                return self._who(kind, port)
        return ""

    def _who(self, kind: str, port: int) -> str:
        inodes = set(self._inodes(kind, port))
        for process in Path("/proc").glob("[0-9]*"):
            if held(process) & {f"socket:[{inode}]" for inode in inodes}:
                words = self.text(f"{process}/cmdline").split("\0")
                name = "wolke" if any("wolke" in word for word in words) else self.text(f"{process}/comm").strip()
                return f"{name} (pid {process.name})"
        return "the kernel" if "0" in inodes else "a program of another user"

    def _inodes(self, kind: str, port: int) -> Iterator[str]:
        """Of the sockets that wait on a port; the kernel's own have inode 0."""
        for family in ("", "6"):
            for line in self.text(f"/proc/net/{kind}{family}").splitlines()[1:]:
                words = line.split()
                if int(words[1].rpartition(":")[2], 16) == port and words[3] in (LISTEN, UNCONNECTED):
                    yield words[9]


def held(process: Path) -> set[str]:
    """What a process has open, as /proc tells it; less what is closed meanwhile or not ours to see."""
    found = set()
    with contextlib.suppress(OSError):
        for file in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(str(file.readlink()))
    return found


def required() -> list[str]:
    """Requirements of Wolke: of its source tree, else of the installed package; without those of its tests."""
    source = Path(__file__).parents[2] / "pyproject.toml"
    if source.exists():
        return list(tomllib.loads(source.read_text())["project"]["dependencies"])
    return [words for words in metadata.requires("wolke") or [] if "extra ==" not in words]


def installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
