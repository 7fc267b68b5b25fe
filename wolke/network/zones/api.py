"""Zones: the site's own networks that projects may build on, each declared with one call.

``POST /wolke/v1/zones {"zone": {"name": "dmz", "type": "vlan", "physical_network": "public",
"vlan_ranges": [{"minimum": 100, "maximum": 199}]}}``

Networks on a zone are made by the Network API with ``provider:physical_network`` = the zone's name. Every host makes the zone's bridge,
tunnels and BGP sessions by itself and tells whether they are in force.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET
from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.core import policy
from wolke.core.collection import Rules
from wolke.core.db import Json, iso
from wolke.core.http import Ctx
from wolke.network import hooks
from wolke.network.networks.table import Network
from wolke.network.zones import bodies, hosts, rights, segments
from wolke.network.zones.bodies import COLUMNS, FIELDS, Create, Update
from wolke.network.zones.errors import ZoneConflict, ZoneInUse, ZoneNotFound
from wolke.network.zones.segments import holds
from wolke.network.zones.table import Zone, ZoneGrant, ZoneSegment
from wolke.v1 import Collection

FIXED_IN_USE = ("name", "physical_network", "outer_tag", "udp_port", "asn")  # what networks on a zone stand on


def view(zone: Any) -> Json:
    """A zone without its hosts: what belongs to its type."""
    shown = {
        "id": zone.id,
        "name": zone.name,
        "description": zone.description,
        "type": zone.type,
        "mtu": zone.mtu,
        "created_at": iso(zone.created_at),
        "updated_at": iso(zone.updated_at),
    }
    return shown | {field: getattr(zone, COLUMNS.get(field, field)) for field in FIELDS[zone.type]}


def views(ctx: Ctx, found: Sequence[Any]) -> list[Json]:
    """Operators see hosts and networks too."""
    shown = [view(zone) for zone in found]
    if not ctx.allows("wolke:create_zone", policy.Target("")):
        return [{name: one[name] for name in one if name not in ("peers", "bgp_peers")} for one in shown]
    ids = [zone.id for zone in found]
    told = hosts.states(ctx.db, found)
    networks: dict[str, list[Json]] = {id: [] for id in ids}
    rows = select(ZoneSegment.__table__).where(ZoneSegment.zone_id.in_(ids)).order_by(ZoneSegment.segmentation_id)
    for row in ctx.db.execute(rows):
        networks[row.zone_id].append(
            {
                "network_id": row.network_id,
                "segmentation_id": row.segmentation_id or None,
                "stretched": row.stretched,
                "right": row.right or None,
            }
        )
    for one in shown:
        one["hosts"], one["networks"] = told[one["id"]], networks[one["id"]]
    return shown


class Zones(Collection[Zone]):
    """Zones belong to no project."""

    def project_of(self, ctx: Ctx, body: Any) -> str:
        return ""

    def missing(self, id: str) -> ZoneNotFound:
        return ZoneNotFound(f"Zone {id} could not be found.")


zones = Zones(
    "/zones",
    "zone",
    "zones",
    Zone,
    views=views,
    wakes="",
    visible=lambda ctx: Zone.id.in_(select(ZoneGrant.zone_id).where(rights.covers(ctx))),
    rules=Rules(create=policy.admin, update=policy.admin, delete=policy.admin),
    private=("seen_revision", "deleting", "project_id", "peers", "bgp_peers"),
)


@zones.create
def create(ctx: Ctx, body: Create) -> Zone:
    bodies.needed(body.type, body)
    config = ctx.app.config
    zone = Zone(type=body.type, **DEFAULTS.get(body.type, {}) | bodies.columns(body, body.type, config))
    zone.mtu = bodies.checked_mtu(body.mtu or 0, zone, config)
    refuse_site_name(ctx, zone)
    segments.refuse_meeting(ctx.db, zone)
    hooks.tell_hosts(ctx.db)
    return zone


DEFAULTS: dict[str, Json] = {
    "qinq": {"ranges": [{"minimum": 1, "maximum": bodies.LARGEST_VLAN}]},
    "vxlan": {"udp_port": bodies.VXLAN_PORT, "peers": []},
    "evpn": {"udp_port": bodies.VXLAN_PORT, "bgp_peers": [], "route_targets": []},
}


@zones.update
def update(ctx: Ctx, zone: Zone, body: Update) -> None:
    config = ctx.app.config
    wanted = bodies.columns(body, zone.type, config)
    changes = {name: value for name, value in wanted.items() if getattr(zone, name) != value}
    standing = list(ctx.db.execute(select(ZoneSegment.__table__).where(ZoneSegment.zone_id == zone.id)))
    if fixed := [name for name in FIXED_IN_USE if name in changes and standing]:
        raise ZoneInUse(f"Zone {zone.name} has networks: {', '.join(fixed)} cannot be changed.")
    if "ranges" in changes:
        lost = [row.segmentation_id for row in standing if not holds(changes["ranges"], row.segmentation_id)]
        if lost:
            raise ZoneInUse(f"Zone {zone.name} has networks with segments outside of the new ranges: {min(lost)}.")
    for name, value in changes.items():
        setattr(zone, name, value)
    with ctx.db.no_autoflush:
        zone.mtu = bodies.checked_mtu(zone.mtu if body.mtu is UNSET else body.mtu, zone, config)
        refuse_larger_networks(ctx.db, zone, [row.network_id for row in standing])
        refuse_site_name(ctx, zone)
        segments.refuse_meeting(ctx.db, zone)
    hooks.tell_hosts(ctx.db)


def refuse_site_name(ctx: Ctx, zone: Zone) -> None:
    """Raises ZoneConflict: hosts map the name to a bridge already."""
    if zone.name in ctx.app.config.physical_networks:
        raise ZoneConflict(f"{zone.name} is a physical network of the site (name).")


def refuse_larger_networks(db: Session, zone: Zone, ids: Sequence[str]) -> None:
    """Raises ZoneInUse: packets of a network that is there would no longer fit."""
    larger = select(Network.id).where(Network.id.in_(ids), Network.mtu > zone.mtu)
    if id := db.scalar(larger.limit(1)):
        raise ZoneInUse(f"Network {id} on zone {zone.name} has a larger MTU than {zone.mtu} (mtu).")


@zones.delete
def remove(ctx: Ctx, zone: Zone) -> None:
    if id := ctx.db.scalar(select(ZoneSegment.network_id).where(ZoneSegment.zone_id == zone.id).limit(1)):
        raise ZoneInUse(f"Zone {zone.name} is in use by network {id} and others: delete them first.")
    for grant in ctx.db.scalars(select(ZoneGrant).where(ZoneGrant.zone_id == zone.id)):
        ctx.db.delete(grant)
    ctx.db.flush()
    hooks.tell_hosts(ctx.db)
