"""Exceptions from the doorman's rules: for a project, a floating IP or a prefix, with a reason and an end.

API:  /wolke/v1/doorman/exceptions. An exception passes over one rule; the rules behind it still count. One that has expired has no
effect and stays listed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import ColumnElement, event, false, func, or_, select, update
from sqlalchemy.orm import Session

from wolke.core import policy
from wolke.core.bodies import Body, Text255, take_over
from wolke.core.collection import Rules
from wolke.core.db import Database, Json, iso, lock, unix
from wolke.core.errors import BadRequest
from wolke.core.events import told
from wolke.core.http import Ctx
from wolke.core.work import Again, Done, Item, Lane, Next, wake
from wolke.network import hooks
from wolke.network.addresses import ip_network
from wolke.network.doorman.places import DOOR, at_door
from wolke.network.doorman.rules import Id, changed, doorman_rules
from wolke.network.doorman.table import DoormanException, DoormanRule
from wolke.network.floating_ips.table import FloatingIp
from wolke.network.networks.table import Network
from wolke.network.owners import GATEWAY, INTERFACE
from wolke.network.ports.table import Port
from wolke.network.routers.table import Router
from wolke.network.subnetpools.table import SubnetPool
from wolke.network.subnets.table import Subnet
from wolke.v1 import Collection

KIND = DoormanException.__tablename__
Reason = Annotated[str, Meta(min_length=1, max_length=255)]


# What the API takes and gives ---------------------------------------------------------------------------------------
class Create(Body):
    rule_id: Id
    reason: Reason
    expires_at: Text255  # ISO 8601
    project_id: Id | UnsetType | None = UNSET
    floatingip_id: Id | UnsetType | None = UNSET
    local_ip_prefix: Text255 | UnsetType | None = UNSET
    remote_ip_prefix: Text255 | UnsetType | None = UNSET
    name: Text255 = ""
    description: Text255 = ""


class Update(Body):
    name: Text255 | UnsetType = UNSET
    description: Text255 | UnsetType = UNSET
    reason: Reason | UnsetType = UNSET
    expires_at: Text255 | UnsetType = UNSET


def view(ctx: Ctx, one: Any) -> Json:
    return {
        "id": one.id,
        "name": one.name,
        "description": one.description,
        "rule_id": one.rule_id,
        "project_id": one.project_id or None,
        "floatingip_id": one.floatingip_id,
        "local_ip_prefix": one.local_ip_prefix,
        "remote_ip_prefix": one.remote_ip_prefix,
        "reason": one.reason,
        "expires_at": iso(one.expires_at),
        "status": "EXPIRED" if is_over(one, ctx.now) else "ACTIVE",
        "granted_by": one.granted,
        "created_at": iso(one.created_at),
        "updated_at": iso(one.updated_at),
    }


def views(ctx: Ctx, found: Sequence[Any]) -> list[Json]:
    return [view(ctx, one) for one in found]


def is_over(one: Any, now: float) -> bool:
    return bool(one.expired or one.expires_at <= now)


def by_status(ctx: Ctx, values: list[str]) -> ColumnElement[bool]:
    over = DoormanException.expired | (DoormanException.expires_at <= ctx.now)
    known = {"ACTIVE": ~over, "EXPIRED": over}
    if unknown := set(values) - known.keys():
        raise BadRequest(f"Invalid input for status: '{min(unknown)}' is not one of ACTIVE, EXPIRED")
    return or_(false(), *(known[value] for value in values))


# What the calls do --------------------------------------------------------------------------------------------------
class Exceptions(Collection[DoormanException]):
    """A project sees those that concern it."""

    def project_of(self, ctx: Ctx, body: Any) -> str:
        return body.project_id or ""


doorman_exceptions = Exceptions(
    "/doorman/exceptions", "doorman_exception", "doorman_exceptions", DoormanException, views=views,
    rules=Rules(read=policy.reader, create=policy.admin, update=policy.admin, delete=policy.admin),
    filters={"status": by_status}, private=("seen_revision", "deleting", "tags", "expired", "scope"),
)  # fmt: skip


@doorman_exceptions.create
def create(ctx: Ctx, body: Create) -> DoormanException:
    lock(ctx.db, "doorman")
    given = [name for name in ("project_id", "floatingip_id", "local_ip_prefix") if getattr(body, name)]
    if len(given) != 1:
        raise refuse("project_id", "give just one of project_id, floatingip_id, local_ip_prefix")
    if ctx.db.get(DoormanRule, body.rule_id) is None:
        raise doorman_rules.missing(body.rule_id)
    made = DoormanException(
        name=body.name, description=body.description, rule_id=body.rule_id, reason=body.reason,
        expires_at=moment(body.expires_at, ctx.now), project_id=body.project_id or "",
        remote_ip_prefix=prefix("remote_ip_prefix", body.remote_ip_prefix), scope="project",
        granted={"user_id": ctx.caller.user_id, "user_name": ctx.caller.user_name},
    )  # fmt: skip
    if body.floatingip_id:
        floating = ctx.db.get(FloatingIp, body.floatingip_id)
        if floating is None:
            raise refuse("floatingip_id", f"there is no floating IP {body.floatingip_id}")
        made.scope, made.floatingip_id, made.project_id = "floatingip", floating.id, floating.project_id
    elif body.local_ip_prefix:
        made.scope, made.local_ip_prefix = "prefix", prefix("local_ip_prefix", body.local_ip_prefix)
    ctx.db.add(made)
    changed(ctx.db)
    return made


@doorman_exceptions.update
def change(ctx: Ctx, one: DoormanException, body: Update) -> None:
    lock(ctx.db, "doorman")
    take_over(one, body, "name", "description", "reason")
    if body.expires_at is not UNSET:
        one.expires_at, one.expired = moment(body.expires_at, ctx.now), False
    changed(ctx.db)


@doorman_exceptions.delete
def delete(ctx: Ctx, one: DoormanException) -> None:
    lock(ctx.db, "doorman")
    wake(ctx.db, *DOOR)


def refuse(field: str, why: str) -> BadRequest:
    return BadRequest(f"Invalid input for doorman_exception.{field}: {why}")


def moment(text: str, now: float) -> float:
    """Unix seconds of a time to come. Raises BadRequest."""
    try:
        seconds = unix(text)
    except ValueError as error:
        raise refuse("expires_at", f"'{text}' is not a time in ISO 8601, such as 2030-01-31T12:00:00Z") from error
    if seconds <= now:
        raise refuse("expires_at", f"{text} has passed")
    return seconds


def prefix(field: str, given: str | UnsetType | None) -> str | None:
    if not given:
        return None
    try:
        return str(ip_network(given, strict=False))
    except ValueError as error:
        raise refuse(field, f"'{given}' is not a prefix such as 198.51.100.7/32 or 2001:db8::/48") from error


# Their end ----------------------------------------------------------------------------------------------------------
class Expiry(Lane):
    """Ends exceptions when their time has come."""

    def __init__(self, database: Database) -> None:
        super().__init__("doorman exceptions", [KIND], self.handle, batch=100)
        self.database = database

    def handle(self, items: Sequence[Item]) -> Mapping[Item, Next]:
        with self.database.transaction() as db:
            lock(db, "doorman")
            return {item: self.end(db, item.id) for item in items}

    def end(self, db: Session, id: str) -> Next:
        one = db.get(DoormanException, id)
        if one is None or one.expired:
            return Done()
        left = one.expires_at - self.database.clock()
        if left > 0:
            return Again(left)
        one.expired = True
        told(
            db, "wolke:expire_doorman_exception", one, service="wolke", before={"status": "ACTIVE"}, after={"status": "EXPIRED"}
        )  # fmt: skip
        wake(db, *DOOR)
        return Done()


@event.listens_for(Session, "after_flush")
def _follow(db: Session, _context: Any) -> None:
    """What exceptions mean by a project or a floating IP follows its addresses, what rules mean by a pool its prefixes; and
    what is behind a router follows its ports, its routes and the floating IPv6 addresses that it leads to them."""
    pools = [one.id for one in (*db.dirty, *db.deleted) if isinstance(one, SubnetPool)]
    changed = (*db.new, *db.dirty, *db.deleted)
    if pools:
        naming = select(DoormanRule.id).where(DoormanRule.subnetpool_id.in_(pools)).limit(1)
        if db.connection().execute(naming).first():
            wake(db, *DOOR)
    # whose prefixes are an operator's follows from pools, and from what stands on external networks
    if (pools or any(isinstance(one, Subnet) and one.subnetpool_id for one in changed)) and concerned(db):
        wake(db, *DOOR)
    if any(isinstance(one, Port) and one.device_owner in (INTERFACE, GATEWAY) for one in changed):
        wake(db, *DOOR)
    moved = [one for one in changed if isinstance(one, FloatingIp | Router | Subnet)]
    if not moved:
        return
    gone = [one.id for one in db.deleted if isinstance(one, FloatingIp)]
    if gone:
        mine = DoormanException.floatingip_id.in_(gone)
        db.connection().execute(update(DoormanException).where(mine).values(expired=True))
    led = any(
        isinstance(one, Router) or (isinstance(one, FloatingIp) and ":" in one.floating_ip_address) for one in moved
    )
    if gone or led or concerned(db, {one.project_id for one in moved}):
        wake(db, *DOOR)


def concerned(db: Session, projects: set[str] | None = None) -> bool:
    """Whether an exception is for all that one of these projects has; of any project where none are given."""
    left = select(DoormanException.id).where(DoormanException.expired.is_(False), DoormanException.scope == "project")
    if projects is not None:
        left = left.where(DoormanException.project_id.in_(projects))
    return db.connection().execute(left.limit(1)).first() is not None


def port_comes(ctx: Ctx, network: Any, port: Any) -> None:
    """A port that stands at the door itself is known there by its own addresses."""
    ports_move(ctx.db, [port.id])


def ports_move(db: Session, port_ids: Sequence[str]) -> None:
    """A gateway itself is nobody's; it is known as its router's project."""
    owner = func.coalesce(Router.project_id, Port.project_id)
    owners = select(owner).select_from(Port).join(Network, Network.id == Port.network_id)
    owners = owners.outerjoin(Router, (Router.id == Port.device_id) & (Port.device_owner == GATEWAY))
    here = set(db.scalars(owners.where(Port.id.in_(port_ids), at_door())))
    if here and concerned(db, here):
        wake(db, *DOOR)


hooks.port_comes.append(port_comes)
hooks.port_goes.append(ports_move)
hooks.port_changed.append(ports_move)
