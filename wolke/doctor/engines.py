"""The engines' versions beside the oldest that are supported, which are Debian 12's."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from wolke.doctor.finding import Finding, degraded, missing, ok
from wolke.doctor.machine import Machine

Version = tuple[int, ...]
INSTALL = "apt-get install "


@dataclass(frozen=True, slots=True)
class Engine:
    what: str
    program: str
    least: Version
    package: str


ENGINES = (
    Engine("Open vSwitch", "ovs-vswitchd", (3, 1), "openvswitch-switch"),
    Engine("OVN central", "ovn-northd", (23, 3), "ovn-central"),
    Engine("OVN host", "ovn-controller", (23, 3), "ovn-host"),
    Engine("libvirt", "libvirtd", (9, 0), "libvirt-daemon-system"),
    Engine("QEMU", "qemu-system-x86_64", (7, 2), "qemu-system-x86"),
    Engine("qemu-img", "qemu-img", (7, 2), "qemu-utils"),
)
FIRMWARE = ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE.fd")
CONSOLE = "/usr/share/novnc/core/rfb.js"
ROUTING = ("/usr/lib/frr/bgpd", "/usr/lib/frr/frr-reload.py")
OLD = "versions before Debian 12's are not tested"


def numbers(text: str) -> Version:
    """The first version number in a text.

    >>> numbers("ovs-vswitchd (Open vSwitch) 3.1.0")
    (3, 1, 0)
    """
    match = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(map(int, match[0].split("."))) if match else ()


def dotted(version: Version) -> str:
    return ".".join(map(str, version))


def judged(what: str, version: Version, least: Version, package: str) -> Finding:
    if not version:
        return degraded(what, "it does not tell its version", f"{INSTALL}--reinstall {package}")
    if version < least:
        return degraded(what, f"{dotted(version)}; at least {dotted(least)} is supported", f"a newer {package}: {OLD}")
    return ok(what, dotted(version))


def programs(machine: Machine) -> Iterator[Finding]:
    for engine in ENGINES:
        ran = machine.run(engine.program, "--version")
        if not machine.program(engine.program):
            yield missing(engine.what, f"{engine.program} is not installed", INSTALL + engine.package)
        elif not ran.well:
            yield missing(engine.what, ran.last, f"{INSTALL}--reinstall {engine.package}")
        else:
            yield judged(engine.what, numbers(ran.output), engine.least, engine.package)


def bindings(machine: Machine) -> Iterator[Finding]:
    from wolke.drivers.hypervisor import DriverError

    try:
        version = numbers(machine.libvirt_bindings())
    except DriverError as error:
        yield missing("libvirt for Python", str(error), error.hint)
    else:
        yield judged("libvirt for Python", version, (9, 0), "python3-libvirt")


def files(machine: Machine) -> Iterator[Finding]:
    firmware = next((file for file in FIRMWARE if machine.exists(file)), "")
    if firmware:
        yield ok("UEFI firmware", firmware)
    else:
        yield degraded("UEFI firmware", "OVMF is not installed: guests start by BIOS only", INSTALL + "ovmf")
    if machine.exists(CONSOLE):
        yield ok("noVNC", "/usr/share/novnc")
    else:
        yield degraded("noVNC", "not installed: no console in the browser", INSTALL + "novnc")
    if all(map(machine.exists, ROUTING)):
        yield ok("FRR", "/usr/lib/frr")
    else:
        yield degraded("FRR", "not installed: no BGP, no EVPN zones on this host", INSTALL + "frr frr-pythontools")


def python(machine: Machine) -> Iterator[Finding]:
    """The interpreter, and the packages that Wolke names."""
    version = tuple(sys.version_info[:3])
    if version < (3, 11):
        yield missing(
            "Python", f"{dotted(version)}; at least 3.11 is needed", INSTALL + "python3 of Debian 12 or newer"
        )
    else:
        yield ok("Python", dotted(version))
    lacking = machine.lacking_packages()
    if lacking:
        cure = "sudo ./run cloud up installs them; by hand: pip install --require-hashes -r requirements.lock"
        yield missing("Python packages", f"not installed: {', '.join(lacking)}", cure)
    else:
        yield ok("Python packages", "all there")
