"""Processor, memory, clock, rights."""

from __future__ import annotations

from collections.abc import Iterator

from wolke.doctor.finding import Finding, degraded, missing, ok
from wolke.doctor.machine import SYSTEM_FOLDERS, Machine

GIB_IN_KIB = 1 << 20
LEAST_MEMORY_GIB, USEFUL_MEMORY_GIB = 1.0, 4.0
FLAGS = {"vmx": "Intel VT-x", "svm": "AMD-V"}
SKEW_SECONDS = 3600.0


def virtualisation(machine: Machine) -> Iterator[Finding]:
    lines = machine.text("/proc/cpuinfo").splitlines()
    words = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    found = [name for flag, name in FLAGS.items() if flag in words]
    if found:
        yield ok("processor", f"virtualisation by {found[0]}")
    else:
        cure = "switch virtualisation on in the firmware; in a virtual machine, switch nested virtualisation on outside"
        yield degraded(
            "processor", "it shows no virtualisation (vmx or svm): guests are emulated, 10 to 50 times slower", cure
        )


def kvm(machine: Machine) -> Iterator[Finding]:
    why = machine.why_no_kvm()
    if not why:
        yield ok("KVM", "a guest ran in it")
        return
    cure = "cure the cause and start the agent anew; until then guests are emulated (TCG), 10 to 50 times slower"
    yield degraded("KVM", why, cure)


def memory(machine: Machine) -> Iterator[Finding]:
    facts = {line.split(":")[0]: line.split()[1] for line in machine.text("/proc/meminfo").splitlines() if ":" in line}
    total, free = (int(facts.get(name, 0)) / GIB_IN_KIB for name in ("MemTotal", "MemAvailable"))
    said = f"{free:.1f} of {total:.1f} GiB available"
    if total < LEAST_MEMORY_GIB:
        yield missing("memory", said, f"Wolke and its engines need {LEAST_MEMORY_GIB:.0f} GiB beside the guests")
    elif total < USEFUL_MEMORY_GIB:
        yield degraded("memory", said, f"{USEFUL_MEMORY_GIB:.0f} GiB leave room for more than a few tiny guests")
    else:
        yield ok("memory", said)


def clock(machine: Machine, state: str) -> Iterator[Finding]:
    """A clock that is wrong ends tokens and certificates early, or never."""
    ahead = machine.changed_at(state) - machine.now()
    if ahead > SKEW_SECONDS:
        cure = "set the clock; install chrony or systemd-timesyncd"
        yield missing("clock", f"{state} was written {ahead / 3600:.0f} h after now: the clock is late", cure)
    elif not machine.clock_is_kept():
        cure = "install chrony or systemd-timesyncd: hosts whose clocks differ refuse each other's certificates"
        yield degraded("clock", "nothing keeps it right (adjtimex(2) says unsynchronised)", cure)
    else:
        yield ok("clock", "is kept right")


def rights(machine: Machine) -> Iterator[Finding]:
    if not machine.is_root():
        cure = "run it by sudo; the agent and the lab need root"
        yield degraded("rights", "not root: namespaces, bridges and other users' sockets cannot be examined", cure)
    else:
        yield ok("rights", "root")
    lacking = [folder for folder in SYSTEM_FOLDERS.split(":")[1:2] if folder not in machine.path()]
    if lacking:
        yield degraded("PATH", f"lacks {lacking[0]}, where Debian keeps daemons", f"export PATH=$PATH:{lacking[0]}")
    else:
        yield ok("PATH", "holds the folders of daemons")
