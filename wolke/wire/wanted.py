"""The slice of the cloud that one host is to make true. ``GET /agent/v1/wanted?after=<revision>`` (long poll).

``tests/golden/wire.json`` holds a sample: agents of the previous release must be able to read it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Power(StrEnum):
    RUNNING = "running"
    STOPPED = "stopped"
    GONE = "gone"  # the guest, its disks and everything else of it are to be removed


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """What a root disk is cloned from; the agent fetches ``/agent/v1/images/{id}`` once and keeps it."""

    id: str
    disk_format: str  # qcow2 | raw
    size: int  # bytes of the file
    checksum: str  # sha512 in hex


@dataclass(frozen=True, kw_only=True, slots=True)
class Disk:
    """The root disk: a copy-on-write child of the image on the host's own storage."""

    image: Image
    size_gib: int  # 0: as large as the image says


@dataclass(frozen=True, kw_only=True, slots=True)
class Nic:
    port_id: str  # also the logical port's name in OVN (iface-id)
    mac: str
    mtu: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Metadata:
    """What a guest may learn about itself, from the metadata service or from the config drive."""

    hostname: str
    name: str
    project_id: str
    availability_zone: str
    launch_index: int = 0
    created_at: str = ""  # ISO 8601, UTC
    keys: dict[str, str] = field(default_factory=dict)  # name -> public key
    meta: dict[str, str] = field(default_factory=dict)  # the server's metadata items
    user_data: bytes | None = None  # decoded, at most 64 KiB
    admin_pass: str = ""
    vendor_data: dict[str, Any] = field(default_factory=dict)
    network_data: dict[str, Any] = field(default_factory=dict)  # network_data.json, whole, from the real ports
    security_groups: list[str] = field(default_factory=list)
    instance_type: str = ""
    addresses: dict[str, list[str]] = field(default_factory=dict)  # local-ipv4, public-ipv4 of the EC2 dialect


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """One guest. The agent compares each field with what it sees and takes the next step.

    ``boot`` grows by one with each reboot that is asked for. A guest that runs with a smaller one is shut down
    (``hard``: at once; else by ACPI, with ``shutdown_seconds`` of patience) and started again.
    """

    id: str
    revision: int
    name: str
    power: Power
    vcpus: int
    ram_mib: int
    disk: Disk
    nics: tuple[Nic, ...]
    metadata: Metadata
    config_drive: bool = False
    boot: int = 1
    hard: bool = True
    shutdown_seconds: int = 60
    machine: str = ""  # machine type, fixed at the first start so that a guest may migrate; "" lets the driver choose
    hints: dict[str, str] = field(default_factory=dict)  # hw_* image properties and flavor extra specs that we honour


@dataclass(frozen=True, kw_only=True, slots=True)
class MetadataPort:
    """A network that has guests on this host: where its metadata service listens.

    ``ports`` tells who asks: the fixed address a request comes from, to the server id.
    """

    network_id: str
    port_id: str  # logical port of type localport, on every host
    mac: str
    # with prefix length: 10.0.0.2/24; the service also owns 169.254.169.254/32 and fe80::a9fe:a9fe/64
    addresses: tuple[str, ...]
    mtu: int
    servers: dict[str, str]  # fixed address (v4, v6, v6 link-local) -> server id


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneSegment:
    """A network on a zone of tunnels."""

    network_id: str
    number: int  # VNI
    tag: int  # VLAN between the integration bridge and the zone's
    gateways: tuple[str, ...] = ()  # with prefix length; answered for by every host, with the zone's ``gateway_mac``


@dataclass(frozen=True, kw_only=True, slots=True)
class BgpPeer:
    address: str
    asn: int
    route_reflector: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Zone:
    """One of the site's own networks as every host is to make it. The integration bridge knows it by ``name``."""

    id: str
    name: str
    revision: str  # of all that stands here; the host tells which one it has made
    type: str  # flat | vlan | qinq | vxlan | evpn
    mtu: int
    physical_network: str = ""  # of flat, vlan and qinq: the host maps it to a bridge
    outer_tag: int = 0  # of qinq
    udp_port: int = 0  # of vxlan and evpn
    vteps: tuple[str, ...] = ()  # of all hosts, this one too
    peers: tuple[str, ...] = ()  # VTEPs that are no hosts of ours
    asn: int = 0  # from here on of evpn
    bgp_peers: tuple[BgpPeer, ...] = ()
    gateway_mac: str = ""
    route_targets: tuple[str, ...] = ()
    l3_vni: int = 0
    segments: tuple[ZoneSegment, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class BgpNeighbour:
    """A router of the operator's that a speaker talks to."""

    address: str
    asn: int
    password: str = ""  # of TCP's MD5 signatures; "" for none


@dataclass(frozen=True, kw_only=True, slots=True)
class BgpRoute:
    """A prefix and the way to it: a virtual router's gateway, never the host itself."""

    prefix: str
    next_hop: str
    link_local: str  # of the same router port, for peers on its segment


@dataclass(frozen=True, kw_only=True, slots=True)
class BgpSpeaker:
    """What one speaker tells its neighbours. It takes nothing from them."""

    id: str
    asn: int
    ip_version: int  # of the routes
    neighbours: tuple[BgpNeighbour, ...] = ()
    routes: tuple[BgpRoute, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """Conversations that were begun to an address, or to some ports of it, have lost their ground: this host forgets them.

    Where the address leads to a port that is on this host, it is announced from here, so that the way there is learnt anew.
    """

    id: str
    address: str
    protocol: str = ""  # tcp | udp; "" for all, by whatever port
    first: int = 0
    last: int = 0
    mac: str = ""  # from here on: of what is to be announced; "" for nothing
    port_id: str = ""
    localnet: str = ""  # OVN's port to the external network
    vlan: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class PacketLimit:
    """How many packets a card may send, or be sent. What is more is dropped."""

    port_id: str
    direction: str  # egress | ingress, seen from the guest
    rate: int  # packets per second
    burst: int = 0  # packets; 0: as OVS chooses
    parent: str = ""  # of a trunk's subport: the port whose device carries it
    tag: int = 0  # its VLAN there


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    revision: int
    host: str
    ovn_remote: str  # southbound database: tcp:HOST:PORT[,tcp:...]
    servers: tuple[Server, ...] = ()
    metadata_ports: tuple[MetadataPort, ...] = ()
    zones: tuple[Zone, ...] = ()
    bgp: tuple[BgpSpeaker, ...] = ()
    ended: tuple[Ended, ...] = ()  # lately
    routing_ports: tuple[str, ...] = ()  # logical ports that may advertise routers: their port security is off
    packet_limits: tuple[PacketLimit, ...] = ()  # of cards that may be here
