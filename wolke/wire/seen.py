"""The full picture of one host. ``PUT /agent/v1/seen``: it replaces the one before."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """Of a guest, as the hypervisor tells it."""

    DEFINED = "defined"  # known, not running: never started, shut down or powered off
    RUNNING = "running"
    PAUSED = "paused"
    CRASHED = "crashed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    id: str
    state: State
    boot: int  # of the running (or last) boot
    revision: int  # of the wanted server that this state fully answers; smaller while work is under way
    nics: tuple[str, ...] = ()  # port ids that are plugged
    error: str = ""  # why the last step failed, for the project's eyes: no paths, no hosts
    hint: str = ""  # the same for the operator
    started_at: float = 0.0  # unix seconds of this boot
    machine: str = ""
    password: str = ""  # what the guest has posted to the metadata service, encrypted by it


@dataclass(frozen=True, kw_only=True, slots=True)
class Zone:
    """What the host has made of a zone."""

    id: str
    revision: str  # of the wanted zone that was worked on
    error: str = ""  # "": it is in force
    peers: dict[str, str] = field(default_factory=dict)  # of EVPN: address -> state of its BGP session, as FRR says


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    vcpus: int
    ram_mib: int
    disk_gib: int
    ram_free_mib: int = 0
    disk_free_gib: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """Something of the host's virtual switch that was other than it should be, and has been undone if it could be."""

    id: str  # uuid
    kind: str  # setting | port | zone | flows
    name: str  # of the bridge, port or table
    details: tuple[str, ...]
    noticed_at: float  # unix seconds
    undone_at: float = 0.0  # 0: not yet
    count: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    host: str
    agent: str  # version of Wolke
    revision: int  # of the wanted slice that this picture was taken after
    capacity: Capacity
    chassis: str  # system-id in OVN
    hypervisor: str  # kvm | qemu
    address: str  # of the agent's own HTTPS listener (console log, VNC), host:port
    engines: dict[str, str] = field(default_factory=dict)  # name -> version: qemu, libvirt, ovs, ovn
    cpu_model: str = ""
    booted_at: float = 0.0
    servers: tuple[Server, ...] = ()
    removed: tuple[str, ...] = ()  # wanted as GONE, and gone
    errors: dict[str, str] = field(default_factory=dict)  # of host-wide parts: "ovs" -> message
    tunnel: str = ""  # address on the underlay where this host's tunnels end
    zones: tuple[Zone, ...] = ()
    drift: tuple[Drift, ...] = ()  # the last ones
    tunnels: dict[str, bool] = field(default_factory=dict)  # chassis -> whether BFD hears it; only where BFD runs
    switching: bool = True  # whether ovs-vswitchd answers
