"""Stretches: a project's own network that reaches out onto a segment of a zone, so that servers there are its neighbours.

The network keeps its subnets, routers and security groups; frames between its ports on different hosts take the zone's way from then on.
OVN: a ``localnet`` port beside the network's others (ovn-nb(5)).
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import select

from wolke.core import policy
from wolke.core.bodies import Body, Text255
from wolke.core.db import Json, lock
from wolke.core.http import Ctx
from wolke.network import hooks
from wolke.network.networks.api import networks
from wolke.network.networks.table import Network
from wolke.network.zones.api import zones
from wolke.network.zones.errors import InvalidZone, SegmentInUse, ZoneStretchNotFound
from wolke.network.zones.segments import TUNNELS, take
from wolke.network.zones.table import Zone, ZoneSegment
from wolke.v1 import v1

PATH = "/zones/{zone_id}/stretches"
ONE = PATH + "/{network_id}"
RULE_GET = policy.rule("wolke:get_zone_stretch", policy.reader)
RULE_CREATE = policy.rule("wolke:create_zone_stretch", policy.member)  # and a right to create on the zone
RULE_DELETE = policy.rule("wolke:delete_zone_stretch", policy.member)


class Stretch(Body):
    network_id: Text255
    segmentation_id: Annotated[int, Meta(ge=0)] = 0  # 0 draws one from the zone's ranges


class Create(Body):
    stretch: Stretch


def view(segment: Any) -> Json:
    return {
        "network_id": segment.network_id,
        "zone_id": segment.zone_id,
        "segmentation_id": segment.segmentation_id or None,
        "right": segment.right or None,
    }


@v1.call("GET", PATH, rule=RULE_GET)
def list_stretches(ctx: Ctx) -> Json:
    """The networks that are stretched over a zone; a project sees its own."""
    zone = zones.seen(ctx, ctx.path["zone_id"])
    query = select(ZoneSegment.__table__).join(Network, Network.id == ZoneSegment.network_id)
    query = query.where(ZoneSegment.zone_id == zone.id, ZoneSegment.stretched)
    if not ctx.allows(RULE_GET, policy.Target(None)):
        ctx.require(RULE_GET, policy.Target(ctx.caller.project_id))
        query = query.where(Network.project_id == ctx.caller.project_id)
    return {"stretches": [view(row) for row in ctx.db.execute(query.order_by(ZoneSegment.segmentation_id))]}


@v1.call("POST", PATH, rule=RULE_CREATE, body=Create, status=201)
def create(ctx: Ctx, body: Create) -> Json:
    """Stretch a network of one's own over a segment of a zone."""
    zone = zones.seen(ctx, ctx.path["zone_id"])
    network = networks.seen(ctx, body.stretch.network_id)
    ctx.require(RULE_CREATE, network)
    lock(ctx.db, f"network/{network.id}")
    if network.network_type != "geneve":
        raise InvalidZone("stretch.network_id", f"network {network.id} stands on {network.physical_network} already")
    if ctx.db.get(ZoneSegment, network.id):
        raise SegmentInUse(f"Network {network.id} is stretched over a zone already.")
    if network.mtu > zone.mtu:
        raise InvalidZone("stretch.network_id", f"the network's MTU {network.mtu} is larger than the zone's {zone.mtu}")
    standing = ctx.db.get_one(Zone, zone.id)
    segment = take(ctx, standing, network.id, body.stretch.segmentation_id, stretched=True)
    ctx.wake("network", network.id)
    hooks.tell(hooks.network_opened, ctx.db, network.id)
    made = {"stretch": view(segment)}
    ctx.about(ctx.db.get_one(Network, network.id), before={"stretch": None}, after=made)
    return made


@v1.call("DELETE", ONE, rule=RULE_DELETE, status=204)
def remove(ctx: Ctx) -> None:
    """End a stretch: the network is the project's alone again."""
    zone = zones.seen(ctx, ctx.path["zone_id"])
    network = networks.seen(ctx, ctx.path["network_id"])
    ctx.require(RULE_DELETE, network)
    segment = ctx.db.get(ZoneSegment, network.id)
    if segment is None or segment.zone_id != zone.id or not segment.stretched:
        raise ZoneStretchNotFound(f"Network {network.id} is not stretched over zone {zone.name}.")
    before = {"stretch": view(segment)}
    ctx.db.delete(segment)
    ctx.db.flush()
    ctx.wake("network", network.id)
    hooks.tell(hooks.network_opened, ctx.db, network.id)
    if zone.type in TUNNELS:
        hooks.tell_hosts(ctx.db)
    ctx.about(ctx.db.get_one(Network, network.id), before=before, after={"stretch": None})
