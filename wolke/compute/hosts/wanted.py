"""One host's slice of the cloud, read from the tables in a constant number of statements however many servers it has."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from ipaddress import IPv6Address
from typing import Any, cast

from sqlalchemy import Table, select
from sqlalchemy.orm import Session

from wolke.compute.hosts_table import Host
from wolke.compute.servers.table import Server, ServerPort
from wolke.core.app import App
from wolke.core.db import iso
from wolke.image.table import Image
from wolke.network import ended, facts, guard
from wolke.network.bgp import hosts as bgp
from wolke.network.facts import PortFacts
from wolke.network.qos import packets
from wolke.network.zones import hosts as zones
from wolke.wire import wanted
from wolke.wire.wanted import Power, Wanted

SERVER = cast(Table, Server.__table__)
HINTS = ("hw_", "os_")  # image properties that say how the guest's machine is to be


def slice_of(db: Session, app: App, host: str) -> Wanted:
    """What the host is to make true, with the revision that this is. A host that is not known has nothing to do."""
    here = db.execute(select(Host.wanted_revision, Host.zone).where(Host.name == host)).first()
    if here is None:
        return Wanted(revision=0, host=host, ovn_remote=app.config.southbound_remote)
    rows = db.execute(select(SERVER).where(SERVER.c.host == host).order_by(SERVER.c.id)).all()
    cards = cards_of(db, [row.id for row in rows])
    images = {
        image.id: image
        for image in db.execute(select(Image.__table__).where(Image.id.in_({row.image_id for row in rows})))
    }
    servers = tuple(server(app, row, images.get(row.image_id), cards.get(row.id, []), here.zone) for row in rows)
    living = {row.id: cards.get(row.id, []) for row in rows if not row.deleting}
    return Wanted(
        revision=here.wanted_revision,
        host=host,
        ovn_remote=app.config.southbound_remote,
        servers=servers,
        metadata_ports=metadata_ports(db, facts.with_subports(db, living)),
        zones=zones.wanted_zones(db),
        bgp=bgp.wanted_speakers(db, app.vault, host),
        ended=ended.wanted_ended(db),
        routing_ports=guard.routing_ports(db),
        packet_limits=packets.limits_on(db, host),
    )


def cards_of(db: Session, server_ids: Sequence[str]) -> dict[str, list[PortFacts]]:
    """The ports of each server, in the order of its NICs."""
    if not server_ids:
        return {}
    listed = select(ServerPort.server_id, ServerPort.port_id).where(ServerPort.server_id.in_(server_ids))
    ports = {port.id: port for cards in facts.ports_of(db, server_ids).values() for port in cards}
    found: dict[str, list[PortFacts]] = {}
    for row in db.execute(listed.order_by(ServerPort.server_id, ServerPort.position)):
        if row.port_id in ports:
            found.setdefault(row.server_id, []).append(ports[row.port_id])
    return found


def server(app: App, row: Any, image: Any, cards: Sequence[PortFacts], zone: str) -> wanted.Server:
    return wanted.Server(
        id=row.id,
        revision=row.revision,
        name=row.name,
        power=Power.GONE if row.deleting else Power(row.power),
        vcpus=row.vcpus,
        ram_mib=row.ram_mib,
        disk=wanted.Disk(image=source(row.image_id, image), size_gib=row.disk_gib),
        nics=tuple(wanted.Nic(port_id=card.id, mac=card.mac_address, mtu=card.mtu) for card in cards),
        metadata=metadata(app, row, cards, zone),
        config_drive=row.config_drive,
        boot=row.boot,
        hard=row.hard,
        machine=row.seen_machine,
        hints=hints(image.properties if image else {}, row.flavor.get("extra_specs", {})),
    )


def source(id: str, image: Any) -> wanted.Image:
    """``image`` : None where its row is gone; a guest that has its disk needs it no more."""
    if image is None:
        return wanted.Image(id=id, disk_format="qcow2", size=0, checksum="")
    return wanted.Image(id=image.id, disk_format=image.disk_format, size=image.size, checksum=image.os_hash_value)


def hints(properties: Mapping[str, str], specs: Mapping[str, str]) -> dict[str, str]:
    """Image properties, and over them what the flavor says.

    >>> hints({"hw_disk_bus": "scsi", "os_distro": "debian", "team": "red"}, {"hw:disk_bus": "virtio", "quota:cpu": "1"})
    {'hw_disk_bus': 'virtio', 'os_distro': 'debian'}
    """
    found = {name: value for name, value in properties.items() if name.startswith(HINTS)}
    return found | {
        name.replace(":", "_", 1): value for name, value in specs.items() if name.startswith(("hw:", "os:"))
    }


def metadata(app: App, row: Any, cards: Sequence[PortFacts], zone: str) -> wanted.Metadata:
    user_data = base64.b64decode(app.vault.open(row.user_data)) if row.user_data else None
    return wanted.Metadata(
        hostname=hostname(row.hostname or row.name, app.config.dns_domain),
        name=row.name,
        project_id=row.project_id,
        availability_zone=zone,
        launch_index=row.launch_index,
        created_at=iso(row.created_at),
        keys={row.key_name: row.public_key} if row.key_name else {},
        meta=row.meta,
        user_data=user_data,
        admin_pass=app.vault.open(row.admin_pass).decode() if row.admin_pass else "",
        network_data=facts.network_data(cards),
        security_groups=sorted({group.name for card in cards for group in card.security_groups}),
        instance_type=row.flavor.get("name", ""),
        addresses={
            "local-ipv4": [
                fixed.ip_address for card in cards for fixed in card.fixed_ips if ":" not in fixed.ip_address
            ],
            "public-ipv4": [address for card in cards for address in card.floating_ips.values() if ":" not in address],
        },
    )


def hostname(name: str, domain: str) -> str:
    """
    >>> hostname("web", "cloud.internal"), hostname("web.example.org", "cloud.internal")
    ('web.cloud.internal', 'web.example.org')
    """
    return f"{name}.{domain}" if domain and "." not in name else name


def link_local(mac: str) -> str:
    """The IPv6 address that a guest gives itself from its MAC (RFC 4291, appendix A).

    >>> link_local("fa:16:3e:00:00:01")
    'fe80::f816:3eff:fe00:1'
    """
    octets = bytes.fromhex(mac.replace(":", ""))
    middle = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return str(IPv6Address(b"\xfe\x80" + bytes(6) + middle))


def metadata_ports(db: Session, cards: Mapping[str, Sequence[PortFacts]]) -> tuple[wanted.MetadataPort, ...]:
    """Where the metadata service listens for these servers; who asks is told by the address a request comes from."""
    if not cards:
        return ()
    askers: dict[str, dict[str, str]] = {}
    for server_id, ports in cards.items():
        for card in ports:
            known = askers.setdefault(card.network_id, {})
            known |= dict.fromkeys(
                [*(fixed.ip_address for fixed in card.fixed_ips), link_local(card.mac_address)], server_id
            )
    found = facts.metadata_ports(db, sorted(askers))
    return tuple(
        wanted.MetadataPort(
            network_id=id,
            port_id=port.id,
            mac=port.mac,
            addresses=tuple(port.addresses),
            mtu=port.mtu,
            servers=askers[id],
        )
        for id, port in sorted(found.items())
    )
