"""Who may do what on a zone.

A right belongs to a project, a user or a group. ``use`` opens the networks that operators have made on the zone: they are seen, and ports
may be put on them. ``create`` is that, and networks and stretches of one's own. Each network, stretch and port notes by whose right it
is there, so that one revoke finds all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, false, or_, select
from sqlalchemy.orm import Session

from wolke.core import policy
from wolke.core.http import Ctx
from wolke.core.work import wake_all
from wolke.identity.authority import groups_of
from wolke.network import hooks
from wolke.network.networks.table import Network
from wolke.network.owners import METADATA
from wolke.network.ports.table import Port
from wolke.network.zones.errors import ZoneRightMissing
from wolke.network.zones.table import ZoneGrant, ZonePort, ZoneSegment

CREATE = "create"  # the greater of the two levels
SUBJECTS = ("project", "user", "group")
OPERATOR = ""  # the right by which an operator's things are there


def right_of(grant: Any) -> str:
    return f"{grant.subject_type}/{grant.subject_id}"


def covers(ctx: Ctx) -> ColumnElement[bool]:
    """A condition on ZoneGrant: it is for the caller, by his project, himself or one of his groups."""
    caller = ctx.caller
    if "member" not in caller.roles and not caller.is_admin:
        return false()
    groups = ZoneGrant.subject_id.in_(groups_of(caller.user_id)) | ZoneGrant.subject_id.in_(sorted(caller.groups))
    return or_(
        (ZoneGrant.subject_type == "project") & (ZoneGrant.subject_id == (caller.project_id or None)),
        (ZoneGrant.subject_type == "user") & (ZoneGrant.subject_id == caller.user_id),
        (ZoneGrant.subject_type == "group") & groups,
    )


def grant_for(ctx: Ctx, zone_id: str, *levels: str) -> Any:
    """The caller's right on a zone: his project's before his own, the greater one of two; None without any."""
    query = select(ZoneGrant.__table__).where(ZoneGrant.zone_id == zone_id, covers(ctx))
    if levels:
        query = query.where(ZoneGrant.level.in_(levels))
    found = ctx.db.execute(query).all()
    return min(found, key=lambda grant: (grant.level != CREATE, SUBJECTS.index(grant.subject_type)), default=None)


def right_to_create(ctx: Ctx, zone: Any) -> str:
    """By which right the caller makes a network or a stretch on a zone. Raises ZoneRightMissing."""
    if ctx.caller.is_admin:
        return OPERATOR
    if grant := grant_for(ctx, zone.id, CREATE):
        return right_of(grant)
    raise ZoneRightMissing(f"No right to create networks on zone {zone.name}.")


# What the rules of networks and ports ask ------------------------------------------------------------------------------
def may_create(caller: Any, target: Any) -> bool:
    """Rule of provider attributes: an operator, or whoever may create networks on the zone that they name."""
    return policy.admin(caller, target) or bool(getattr(target, "on_zone", False))


def creates_on(ctx: Ctx, zone: Any) -> bool:
    return zone is not None and grant_for(ctx, zone.id, CREATE) is not None


def opened(ctx: Ctx) -> ColumnElement[bool]:
    """A condition on Network: it is an operator's on a zone that the caller has a right on."""
    zones = select(ZoneGrant.zone_id).where(covers(ctx))
    operators = (ZoneSegment.right == OPERATOR) & ZoneSegment.stretched.is_(False)
    return Network.id.in_(select(ZoneSegment.network_id).where(operators, ZoneSegment.zone_id.in_(zones)))


def opens(ctx: Ctx, network: Any) -> bool:
    """Whether the caller may put ports on a network by a right on its zone."""
    if not network.physical_network:
        return False
    return ctx.db.execute(select(Network.id).where(Network.id == network.id, opened(ctx))).first() is not None


def own_networks(ctx: Ctx, ids: Sequence[str]) -> set[str]:
    """Those of some networks that stand on zones whose networks the caller may create: he is shown where."""
    zones = select(ZoneGrant.zone_id).where(covers(ctx), ZoneGrant.level == CREATE)
    query = select(ZoneSegment.network_id).where(ZoneSegment.network_id.in_(ids), ZoneSegment.zone_id.in_(zones))
    return set(ctx.db.scalars(query.where(ZoneSegment.stretched.is_(False))))


# Ports ---------------------------------------------------------------------------------------------------------------
def port_comes(ctx: Ctx, network: Any, port: Port) -> None:
    """Note by whose right a port is on a zone's network. Raises ZoneRightMissing: the right has been revoked."""
    segment = ctx.db.get(ZoneSegment, network.id) if network.physical_network else None
    if segment is None or port.device_owner == METADATA:
        return
    if ctx.caller.is_admin or "service" in ctx.caller.roles:
        return
    if segment.right == OPERATOR and network.project_id == ctx.caller.project_id:
        return  # an operator has made the network for this project
    if grant := grant_for(ctx, segment.zone_id):
        ctx.db.add(ZonePort(port_id=port.id, zone_id=segment.zone_id, right=right_of(grant)))
    elif segment.right != OPERATOR and not is_given(ctx.db, segment.zone_id, segment.right):
        raise ZoneRightMissing(f"The right by which network {network.id} is on its zone has been revoked.")


def is_given(db: Session, zone_id: str, right: str) -> bool:
    """Whether somebody's right still stands."""
    type, _, id = right.partition("/")
    of = (ZoneGrant.zone_id == zone_id) & (ZoneGrant.subject_type == type) & (ZoneGrant.subject_id == id)
    return db.execute(select(ZoneGrant.id).where(of)).first() is not None


hooks.port_comes.append(port_comes)


# Revoking and giving again -------------------------------------------------------------------------------------------
def ports_by(db: Session, grant: Any) -> list[Port]:
    """The ports that are there by a right: those that came by it, and all on the networks that were made by it."""
    right = right_of(grant)
    came = select(ZonePort.port_id).where(ZonePort.zone_id == grant.zone_id, ZonePort.right == right)
    made = select(ZoneSegment.network_id).where(
        ZoneSegment.zone_id == grant.zone_id, ZoneSegment.right == right, ZoneSegment.stretched.is_(False)
    )
    query = select(Port).where(Port.id.in_(came) | Port.network_id.in_(made), Port.device_owner != METADATA)
    return list(db.scalars(query.order_by(Port.id)))


def hand_over(db: Session, grant: Any) -> None:
    """What is there by a right that goes, and whose project has a right of its own on the zone, is there by that from now on."""
    right, of_zone = right_of(grant), ZoneGrant.zone_id == grant.zone_id
    query = select(ZoneGrant.subject_id, ZoneGrant.level).where(of_zone, ZoneGrant.subject_type == "project")
    levels = {row.subject_id: row.level for row in db.execute(query.where(ZoneGrant.id != grant.id))}
    ports = select(ZonePort, Port.project_id).join(Port, Port.id == ZonePort.port_id)
    for port, project in db.execute(ports.where(ZonePort.zone_id == grant.zone_id, ZonePort.right == right)):
        if project in levels:
            port.right = f"project/{project}"
    segments = select(ZoneSegment, Network.project_id).join(Network, Network.id == ZoneSegment.network_id)
    for segment, project in db.execute(
        segments.where(ZoneSegment.zone_id == grant.zone_id, ZoneSegment.right == right)
    ):
        if levels.get(project) == CREATE:
            segment.right = f"project/{project}"
    db.flush()


def shut(ctx: Ctx, grant: Any, closed: bool = True) -> list[str]:
    """Shut the ports that are there by a right, or open them again; ids of those that it changed. Each port's project is told."""
    ports = [port for port in ports_by(ctx.db, grant) if port.shut != closed]
    for port in ports:
        port.shut = closed
        ctx.about(port, before={"shut": not closed}, after={"shut": closed})
    wake_all(ctx.db, [("port", port.id) for port in ports])
    return [port.id for port in ports]
