"""What the kernel can do. What can be tried is tried, in a network namespace that ends with the attempt."""

from __future__ import annotations

from collections.abc import Iterator

from wolke.doctor.finding import Finding, degraded, missing, ok
from wolke.doctor.machine import Machine, Ran

PROBE = "wolke-probe"


def inside(machine: Machine, *words: str) -> Ran:
    """Run a command in a network namespace that is gone afterwards."""
    return machine.run("unshare", "--net", *words)


def namespaces(machine: Machine) -> Iterator[Finding]:
    """Namespaces, and the links that hosts and guests are joined with."""
    tried = inside(machine, "true")
    if not tried.well:
        if not machine.is_root():
            yield degraded("network namespaces", "only root can try", "run the doctor by sudo")
        else:
            cure = "a kernel with CONFIG_NET_NS; in a container, the right to make namespaces (privileged)"
            yield missing("network namespaces", tried.last, cure)
        return
    yield ok("network namespaces", "one was made and left")
    tried = inside(machine, "ip", "link", "add", PROBE, "type", "veth")
    yield ok("veth links", "one was made") if tried.well else missing("veth links", tried.last, "modprobe veth")
    tried = inside(machine, "ip", "link", "add", PROBE, "type", "bridge")
    if tried.well:
        yield ok("kernel bridges", "one was made")
    else:
        cure = "modprobe bridge; without it the lab's cables are switched by Open vSwitch in userspace"
        yield degraded("kernel bridges", tried.last, cure)
    tried = inside(machine, "ip", "tuntap", "add", PROBE, "mode", "tap")
    cure = "modprobe tun; in a container, allow the device /dev/net/tun: guests have no network without it"
    yield ok("tap devices", "one was made") if tried.well else missing("tap devices", tried.last, cure)


def cgroups(machine: Machine) -> Iterator[Finding]:
    controllers = machine.text("/sys/fs/cgroup/cgroup.controllers").split()
    lacking = [name for name in ("cpu", "memory", "io") if name not in controllers]
    if not lacking:
        yield ok("cgroups", "version 2 with cpu, memory, io")
    elif machine.exists("/sys/fs/cgroup/memory"):
        yield ok("cgroups", "version 1")
    else:
        reason = f"version 2 lacks {', '.join(lacking)}" if controllers else "none are mounted"
        cure = (
            "mount -t cgroup2 none /sys/fs/cgroup; until then a guest's shares of processor and disk are not enforced"
        )
        yield degraded("cgroups", reason, cure)


def block_devices(machine: Machine) -> Iterator[Finding]:
    if "device-mapper" in machine.text("/proc/misc"):
        yield ok("device-mapper", "in the kernel")
    elif machine.run("modinfo", "dm_mod").well:
        yield ok("device-mapper", "as a module")
    else:
        cure = "modprobe dm_mod, or a kernel that has it; volumes on LVM are not to be had until then, files are"
        yield degraded("device-mapper", "the kernel has none", cure)
    if machine.exists("/sys/block/nbd0"):
        yield ok("network block devices", "in the kernel")
    elif machine.run("modinfo", "nbd").well:
        yield ok("network block devices", "as a module")
    else:
        cure = "modprobe nbd, or a kernel that has it; volumes are attached through QEMU alone until then"
        yield degraded("network block devices", "the kernel has no nbd", cure)
