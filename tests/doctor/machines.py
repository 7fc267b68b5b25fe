"""A machine that is told what it is: everything is well unless a test says otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from wolke.doctor.finding import Finding
from wolke.doctor.machine import Machine, Ran, Space
from wolke.drivers.hypervisor import DriverError

GIB = 1 << 30
VERSIONS = {
    "ovs-vswitchd": "ovs-vswitchd (Open vSwitch) 3.1.0\nDPDK 22.11.4",
    "ovn-northd": "ovn-northd 23.03.1\nOpen vSwitch Library 3.1.0",
    "ovn-controller": "ovn-controller 23.03.1",
    "libvirtd": "libvirtd (libvirt) 9.0.0",
    "qemu-system-x86_64": "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)",
    "qemu-img": "qemu-img version 7.2.22",
}


class Told(Machine):
    def __init__(self, **told: Any) -> None:
        self.files = {
            "/proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu vmx sse2\n",
            "/proc/meminfo": "MemTotal:       8388608 kB\nMemAvailable:   4194304 kB\n",
            "/proc/misc": "236 device-mapper\n",
            "/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n",
            "/sys/block/nbd0": "",
            "/usr/share/OVMF/OVMF_CODE_4M.fd": "",
            "/usr/share/novnc/core/rfb.js": "",
            "/usr/lib/frr/bgpd": "",
            "/usr/lib/frr/frr-reload.py": "",
        } | told.pop("files", {})
        self.versions = VERSIONS | told.pop("versions", {})
        self.refused: dict[str, str] = {}  # words of a command -> what it prints before it fails
        self.holders: dict[tuple[str, int], str] = {}
        self.kvm, self.switch, self.root, self.kept = "", True, True, True
        self.bindings: str | None = "9.0.0"
        self.free = Space(50 * GIB, 1_000_000, 900_000)
        self.lacking: list[str] = []
        self.folders = ["/usr/sbin", "/usr/bin"]
        self.time, self.written = 1_800_000_000.0, 0.0
        self.may_write = True
        self.__dict__.update(told)

    def exists(self, path: str) -> bool:
        return path in self.files

    def text(self, path: str) -> str:
        return self.files.get(path, "")

    def program(self, name: str) -> str:
        return f"/usr/sbin/{name}" if self.versions.get(name, "there") else ""

    def run(self, *words: str, seconds: float = 10) -> Ran:
        if not self.program(words[0]):
            return Ran(127, f"{words[0]} is not installed")
        for refused, output in self.refused.items():
            if refused in " ".join(words):
                return Ran(1, output)
        return Ran(0, self.versions.get(words[0], ""))

    def space(self, path: str) -> Space:
        return self.free

    def path(self) -> list[str]:
        return self.folders

    def is_root(self) -> bool:
        return self.root

    def writable(self, path: str) -> bool:
        return self.may_write

    def changed_at(self, path: str) -> float:
        return self.written

    def now(self) -> float:
        return self.time

    def clock_is_kept(self) -> bool:
        return self.kept

    def why_no_kvm(self) -> str:
        return self.kvm

    def kernel_switch(self) -> bool:
        return self.switch

    def lacking_packages(self) -> list[str]:
        return self.lacking

    def libvirt_bindings(self) -> str:
        if self.bindings is None:
            raise DriverError("The libvirt bindings are missing.", "install the Debian package python3-libvirt")
        return self.bindings

    def holder(self, kind: str, port: int) -> str:
        return self.holders.get((kind, port), "")


def named(findings: Iterable[Finding], what: str) -> Finding:
    [one] = [finding for finding in findings if finding.what == what]
    return one
