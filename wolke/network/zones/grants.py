"""Rights on a zone, for a project, a user or a group; one revoke takes back all that stands by a right.

``on_revoke`` says what happens to what runs: ``shut`` closes its ports at once (no packet passes, until the right is given again) and takes
its stretches away; ``keep`` leaves all of it until it is released. Nothing new comes by a right that is gone, in either case.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, UnsetType
from sqlalchemy import delete, select

from wolke.core import policy
from wolke.core.bodies import Body, Text255, take_over
from wolke.core.db import Json, iso, lock
from wolke.core.events import difference
from wolke.core.http import Answer, Ctx
from wolke.identity.table import Group, Project, User
from wolke.network import hooks
from wolke.network.networks.table import Network
from wolke.network.zones import rights, segments
from wolke.network.zones.api import zones
from wolke.network.zones.errors import InvalidZone, ZoneGrantExists, ZoneGrantNotFound
from wolke.network.zones.stretches import view as stretch_view
from wolke.network.zones.table import Zone, ZoneGrant, ZoneSegment
from wolke.v1 import v1

PATH = "/zones/{zone_id}/grants"
ONE = PATH + "/{grant_id}"
RULES = {name: policy.rule(f"wolke:{name}_zone_grant", policy.admin) for name in ("get", "create", "update", "delete")}
OnRevoke = Literal["shut", "keep"]


# What the API takes and gives ----------------------------------------------------------------------------------------
class Grant(Body):
    subject_type: Literal["project", "user", "group"]
    subject_id: Text255
    level: Literal["use", "create"] = "use"
    on_revoke: OnRevoke = "shut"


class Create(Body):
    grant: Grant


class Changes(Body):
    level: Literal["use", "create"] | UnsetType = UNSET
    on_revoke: OnRevoke | UnsetType = UNSET


class Update(Body):
    grant: Changes


def view(grant: Any) -> Json:
    return {
        "id": grant.id,
        "zone_id": grant.zone_id,
        "subject_type": grant.subject_type,
        "subject_id": grant.subject_id,
        "level": grant.level,
        "on_revoke": grant.on_revoke,
        "created_at": iso(grant.created_at),
    }


def zone_of(ctx: Ctx, rule: str) -> Zone:
    """The zone of the path, for a rule. Raises ZoneNotFound."""
    return zones.find(ctx, ctx.path["zone_id"], rule)


def grant_of(ctx: Ctx, zone: Any) -> ZoneGrant:
    grant = ctx.db.get(ZoneGrant, ctx.path["grant_id"], with_for_update=True)
    if grant is None or grant.zone_id != zone.id:
        raise ZoneGrantNotFound(f"Grant {ctx.path['grant_id']} of zone {zone.name} could not be found.")
    return grant


# What the calls do ---------------------------------------------------------------------------------------------------
@v1.call("GET", PATH, rule=RULES["get"])
def list_grants(ctx: Ctx) -> Json:
    """All rights on a zone."""
    zone = zones.seen(ctx, ctx.path["zone_id"])
    ctx.require(RULES["get"], zone)
    query = select(ZoneGrant.__table__).where(ZoneGrant.zone_id == zone.id)
    return {"grants": [view(grant) for grant in ctx.db.execute(query.order_by(ZoneGrant.created_at, ZoneGrant.id))]}


@v1.call("GET", ONE, rule=RULES["get"])
def show_grant(ctx: Ctx) -> Json:
    """One right on a zone."""
    zone = zones.seen(ctx, ctx.path["zone_id"])
    ctx.require(RULES["get"], zone)
    return {"grant": view(grant_of(ctx, zone))}


@v1.call("POST", PATH, rule=RULES["create"], body=Create, status=201)
def create(ctx: Ctx, body: Create) -> Json:
    """Give a project, a user or a group a right on a zone; ports that a revoke has shut open again."""
    zone, wish = zone_of(ctx, RULES["create"]), body.grant
    table: Any = {"project": Project, "user": User, "group": Group}[wish.subject_type]
    if not wish.subject_id:
        raise InvalidZone("grant.subject_id", f"the id of a {wish.subject_type} is needed")
    if ctx.db.get(table, wish.subject_id) is None:
        raise InvalidZone("grant.subject_id", f"there is no {wish.subject_type} {wish.subject_id}")
    lock(ctx.db, f"zone/{zone.id}")
    grant = ZoneGrant(zone_id=zone.id, created_at=ctx.now, updated_at=ctx.now)
    take_over(grant, wish, "subject_type", "subject_id", "level", "on_revoke")
    if rights.is_given(ctx.db, zone.id, rights.right_of(grant)):
        raise ZoneGrantExists(f"The {wish.subject_type} {wish.subject_id} has a right on zone {zone.name} already.")
    ctx.db.add(grant)
    ctx.db.flush()
    rights.shut(ctx, grant, closed=False)
    ctx.about(grant, after=view(grant))
    return {"grant": view(grant)}


@v1.call("PUT", ONE, rule=RULES["update"], body=Update)
def update(ctx: Ctx, body: Update) -> Json:
    """Change what a right allows, or what its revoke will do; what stands by it stays."""
    grant = grant_of(ctx, zone_of(ctx, RULES["update"]))
    before = view(grant)
    take_over(grant, body.grant, "level", "on_revoke")
    ctx.db.flush()
    old, new = difference(before, view(grant))
    ctx.about(grant, before=old, after=new)
    return {"grant": view(grant)}


@v1.call("DELETE", ONE, rule=RULES["delete"])
def revoke(ctx: Ctx) -> Answer:
    """Take a right back; the answer names the ports that are shut and the networks whose stretches are gone."""
    zone = zone_of(ctx, RULES["delete"])
    grant = grant_of(ctx, zone)
    lock(ctx.db, f"zone/{zone.id}")
    rights.hand_over(ctx.db, grant)
    shut: list[str] = []
    cut: list[str] = []
    if grant.on_revoke == "shut":
        shut, cut = rights.shut(ctx, grant), take_stretches(ctx, zone, grant)
    ctx.about(grant, before=view(grant))
    ctx.db.delete(grant)
    return Answer({"revoked": {"on_revoke": grant.on_revoke, "ports_shut": shut, "stretches_removed": cut}})


def take_stretches(ctx: Ctx, zone: Zone, grant: ZoneGrant) -> list[str]:
    mine = (ZoneSegment.zone_id == zone.id) & (ZoneSegment.right == rights.right_of(grant))
    taken = {
        one.network_id: stretch_view(one)
        for one in ctx.db.scalars(select(ZoneSegment).where(mine, ZoneSegment.stretched))
    }
    found = list(taken)
    ctx.db.execute(delete(ZoneSegment).where(ZoneSegment.network_id.in_(found)))
    for id in found:
        ctx.about(ctx.db.get_one(Network, id), before={"stretch": taken[id]}, after={"stretch": None})
        ctx.wake("network", id)
        hooks.tell(hooks.network_opened, ctx.db, id)
    if found and zone.type in segments.TUNNELS:
        hooks.tell_hosts(ctx.db)
    return found
