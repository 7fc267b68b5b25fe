"""Open vSwitch's datapath, what it means for checksums, and the ports that a cloud listens on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wolke.doctor.finding import Finding, degraded, missing, ok
from wolke.doctor.machine import Machine


@dataclass(frozen=True, slots=True)
class Port:
    what: str
    kind: str  # tcp or udp
    number: int
    owners: tuple[str, ...]  # programs that are ours: a cloud that runs has its ports
    cure: str


NORTHBOUND, SOUTHBOUND, GENEVE = 6641, 6642, 6081
OVN_PORTS = (
    Port("OVN northbound database", "tcp", NORTHBOUND, ("ovsdb-server",), "end that program, or give OVN another port"),
    Port("OVN southbound database", "tcp", SOUTHBOUND, ("ovsdb-server",), "end that program, or give OVN another port"),
    Port(
        "Geneve tunnels", "udp", GENEVE, ("ovs-vswitchd", "the kernel"), "end that program: tunnels have no other port"
    ),
)


def datapath(machine: Machine) -> Iterator[Finding]:
    if machine.kernel_switch():
        yield ok("openvswitch datapath", "the kernel's")
        yield ok("checksum offload", "guests leave checksums to the host")
        return
    cure = "modprobe openvswitch, or a kernel that has it; until then packets take the userspace datapath, which works"
    yield degraded("openvswitch datapath", "the kernel has no openvswitch: userspace (datapath_type=netdev)", cure)
    reason = "off in guests by itself: the userspace datapath would pass partial checksums on and TCP would hang"
    yield degraded("checksum offload", reason, "the kernel's datapath brings it back; guests need nothing")


def ports(machine: Machine, wanted: tuple[Port, ...]) -> Iterator[Finding]:
    for port in wanted:
        name = f"port {port.number}/{port.kind}"
        holder = machine.holder(port.kind, port.number)
        if not holder:
            yield ok(name, f"free ({port.what})")
        elif holder.partition(" (pid")[0] in port.owners:
            yield ok(name, f"{holder} has it ({port.what})")
        else:
            yield missing(name, f"{holder} has it; wanted: {port.what}", port.cure)
