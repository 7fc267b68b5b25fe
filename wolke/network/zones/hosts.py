"""Hosts and zones: what goes into each host's slice, and what hosts tell of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from wolke.core.db import Json
from wolke.core.http import Ctx
from wolke.network import hooks
from wolke.network.chassis import Chassis
from wolke.network.ports.table import FixedIp, Port
from wolke.network.subnets.table import Subnet
from wolke.network.zones.segments import TUNNELS
from wolke.network.zones.table import Vtep, Zone, ZoneHost, ZoneSegment
from wolke.wire import wanted
from wolke.wire.seen import Seen


# Down ----------------------------------------------------------------------------------------------------------------
def wanted_zones(db: Session) -> tuple[wanted.Zone, ...]:
    """All zones as every host is to make them; a host leaves out its own address among the VTEPs."""
    zones = db.execute(select(Zone.__table__).order_by(Zone.id)).all()
    if not zones:
        return ()
    tunnels = [zone.id for zone in zones if zone.type in TUNNELS]
    vteps = tuple(db.scalars(select(Vtep.address).order_by(Vtep.address))) if tunnels else ()
    found = segments_of(db, tunnels) if tunnels else {}
    return tuple(one(zone, vteps if zone.type in TUNNELS else (), found.get(zone.id, ())) for zone in zones)


def one(zone: Any, vteps: tuple[str, ...], standing: tuple[wanted.ZoneSegment, ...]) -> wanted.Zone:
    made = wanted.Zone(
        id=zone.id,
        name=zone.name,
        revision="",
        type=zone.type,
        physical_network=zone.physical_network,
        outer_tag=zone.outer_tag,
        mtu=zone.mtu,
        udp_port=zone.udp_port,
        vteps=vteps,
        peers=tuple(zone.peers),
        asn=zone.asn,
        bgp_peers=tuple(
            wanted.BgpPeer(
                address=peer["address"], asn=peer["asn"] or zone.asn, route_reflector=peer["route_reflector"]
            )
            for peer in zone.bgp_peers
        ),
        gateway_mac=zone.gateway_mac,
        route_targets=tuple(zone.route_targets),
        l3_vni=zone.l3_vni,
        segments=standing,
    )
    digest = hashlib.sha256(msgspec.json.encode(made)).hexdigest()[:16]
    return replace(made, revision=digest)


def segments_of(db: Session, zone_ids: Sequence[str]) -> dict[str, tuple[wanted.ZoneSegment, ...]]:
    """The networks that tunnels are needed for, with the gateways that hosts answer for."""
    query = select(ZoneSegment.__table__, Zone.gateway_mac).join(Zone, Zone.id == ZoneSegment.zone_id)
    rows = db.execute(query.where(ZoneSegment.zone_id.in_(zone_ids)).order_by(ZoneSegment.tag)).all()
    gateways = gateways_of(db, [row.network_id for row in rows if row.gateway_mac and not row.stretched])
    found: dict[str, list[wanted.ZoneSegment]] = {}
    for row in rows:
        made = wanted.ZoneSegment(
            network_id=row.network_id, number=row.segmentation_id, tag=row.tag,
            gateways=tuple(gateways.get(row.network_id, ())),
        )  # fmt: skip
        found.setdefault(row.zone_id, []).append(made)
    return {id: tuple(several) for id, several in found.items()}


def gateways_of(db: Session, network_ids: Sequence[str]) -> dict[str, list[str]]:
    """Network -> gateways of its subnets that no port has, with prefix length: those are the zone's to answer for."""
    if not network_ids:
        return {}
    held = select(FixedIp.subnet_id, FixedIp.ip_address).join(Port, Port.id == FixedIp.port_id)
    taken = {(row.subnet_id, row.ip_address) for row in db.execute(held.where(FixedIp.network_id.in_(network_ids)))}
    subnets = select(Subnet.id, Subnet.network_id, Subnet.gateway_ip, Subnet.cidr)
    found: dict[str, list[str]] = {}
    for subnet in db.execute(subnets.where(Subnet.network_id.in_(network_ids)).order_by(Subnet.created_at, Subnet.id)):
        if subnet.gateway_ip and (subnet.id, subnet.gateway_ip) not in taken:
            prefix = subnet.cidr.partition("/")[2]
            found.setdefault(subnet.network_id, []).append(f"{subnet.gateway_ip}/{prefix}")
    return found


def gateways_change(db: Session, network_ids: Sequence[str]) -> None:
    """Subnets or router ports of some networks have changed: hosts may have to answer for other gateways."""
    query = select(ZoneSegment.network_id).join(Zone, Zone.id == ZoneSegment.zone_id)
    query = query.where(ZoneSegment.network_id.in_(network_ids), Zone.gateway_mac != "")
    if db.execute(query.limit(1)).first():
        hooks.tell_hosts(db)


def port_comes(ctx: Ctx, network: Any, port: Port) -> None:
    """A port may take a gateway's address."""
    if network.physical_network:
        gateways_change(ctx.db, [network.id])


def port_goes(db: Session, ids: Sequence[str]) -> None:
    query = select(Port.network_id).join(ZoneSegment, ZoneSegment.network_id == Port.network_id)
    if found := list(db.scalars(query.where(Port.id.in_(ids)).distinct())):
        gateways_change(db, found)


hooks.port_comes.append(port_comes)
hooks.port_goes.append(port_goes)
hooks.port_changed.append(port_goes)


# Up ------------------------------------------------------------------------------------------------------------------
def host_told(db: Session, picture: Seen) -> None:
    """Keep what a host tells of each zone; a new end of tunnels is told to all others."""
    vtep = db.get(Vtep, picture.host)
    if picture.tunnel and (vtep is None or vtep.address != picture.tunnel):
        db.merge(Vtep(host=picture.host, address=picture.tunnel))
        db.flush()
        if db.execute(select(Zone.id).where(Zone.type.in_(TUNNELS)).limit(1)).first():
            hooks.tell_hosts(db)
    known = {row.zone_id: row for row in db.scalars(select(ZoneHost).where(ZoneHost.host == picture.host))}
    if not picture.zones and not known:
        return
    living = set(db.scalars(select(Zone.id)))
    for told in picture.zones:
        if told.id not in living:
            continue
        row = known.pop(told.id, None)
        if row is None:
            row = ZoneHost(zone_id=told.id, host=picture.host)
            db.add(row)
        new = (told.revision, told.error[:255], told.peers)
        if (row.revision, row.error, row.peers) != new:
            row.revision, row.error, row.peers = new
    for row in known.values():
        db.delete(row)


hooks.host_told.append(host_told)


def host_goes(db: Session, host: str) -> None:
    """A host leaves the cloud: nobody sends to it any more."""
    db.execute(delete(ZoneHost).where(ZoneHost.host == host))
    db.execute(delete(Vtep).where(Vtep.host == host))
    hooks.tell_hosts(db)


hooks.host_goes.append(host_goes)


def states(db: Session, zones: Sequence[Any]) -> dict[str, list[Json]]:
    """Zone -> each host's state: ACTIVE (in force), BUILD (not told yet) or ERROR, with what the host says."""
    names = {*db.scalars(select(Chassis.hostname)), *db.scalars(select(Vtep.host))}
    ids = [zone.id for zone in zones]
    told = {
        (row.zone_id, row.host): row for row in db.execute(select(ZoneHost.__table__).where(ZoneHost.zone_id.in_(ids)))
    }
    newest = {zone.id: zone.revision for zone in wanted_zones(db)}
    return {
        zone.id: [state(host, told.get((zone.id, host)), newest[zone.id]) for host in sorted(names)] for zone in zones
    }


def state(host: str, told: Any, newest: str) -> Json:
    shown: Json = {"host": host, "state": "BUILD", "error": ""}
    if told is None:
        return shown
    if told.error:
        shown |= {"state": "ERROR", "error": told.error}
    elif told.revision == newest:
        shown["state"] = "ACTIVE"
    return shown | {"bgp_peers": told.peers} if told.peers else shown
