"""Host aggregates: named sets of hosts; one with ``availability_zone`` in its metadata is that zone.

API: https://docs.openstack.org/api-ref/compute/#host-aggregates-os-aggregates
A host is in one zone at most; ``Host.zone`` follows the aggregates and is what the scheduler looks at.
"""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from wolke.compute.hosts_table import Host
from wolke.compute.servers.table import Server
from wolke.compute.service import compute, moment, rule
from wolke.core import policy
from wolke.core.bodies import Body
from wolke.core.db import Base, Json
from wolke.core.errors import BadRequest, Conflict, NotFound
from wolke.core.http import Ctx
from wolke.core.paging import whole_number

ZONE = "availability_zone"
DEFAULT_ZONE = "nova"


# What we keep -----------------------------------------------------------------------------------------------------
class Aggregate(Base):
    __tablename__ = "aggregate"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    uuid: Mapped[str] = mapped_column(default=lambda: str(uuid.uuid4()))
    name: Mapped[str] = mapped_column(unique=True)
    meta: Mapped[dict[str, str]] = mapped_column(default=dict)
    created_at: Mapped[float]  # unix seconds
    updated_at: Mapped[float] = mapped_column(default=0.0)

    @property
    def zone(self) -> str | None:
        return self.meta.get(ZONE)


class AggregateHost(Base):
    __tablename__ = "aggregate_host"

    aggregate_id: Mapped[int] = mapped_column(ForeignKey("aggregate.id", ondelete="CASCADE"), primary_key=True)
    host: Mapped[str] = mapped_column(primary_key=True)


# What the API takes and gives -------------------------------------------------------------------------------------
Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^(?!\s)[^\x00-\x1f\x7f]*(?<!\s)$")]
Zone = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^(?!\s)[^\x00-\x1f\x7f:]*(?<!\s)$")]
Value = Annotated[str, Meta(max_length=255)]


class Create(Body):
    name: Name
    availability_zone: Zone | None = None


class CreateBody(Body):
    aggregate: Create


class Update(Body):
    name: Name | UnsetType = UNSET
    availability_zone: Zone | UnsetType | None = UNSET


class UpdateBody(Body):
    aggregate: Update


class OfHost(Body):
    host: Name


class Metadata(Body):
    metadata: dict[Name, Value | None]


class Action(Body):
    add_host: OfHost | UnsetType = UNSET
    remove_host: OfHost | UnsetType = UNSET
    set_metadata: Metadata | UnsetType = UNSET


def view(ctx: Ctx, aggregate: Aggregate, hosts: list[str]) -> Json:
    shown = {
        "id": aggregate.id, "name": aggregate.name, "availability_zone": aggregate.zone, "hosts": hosts, "metadata": aggregate.meta,
        "created_at": moment(aggregate.created_at), "updated_at": moment(aggregate.updated_at), "deleted": False, "deleted_at": None,
    }  # fmt: skip
    return shown | ({"uuid": aggregate.uuid} if ctx.version >= (2, 41) else {})


def one(ctx: Ctx, aggregate: Aggregate) -> Json:
    return {"aggregate": view(ctx, aggregate, members(ctx.db).get(aggregate.id, []))}


# What the calls do ------------------------------------------------------------------------------------------------
INDEX, SHOW, CREATE, UPDATE, DELETE, ADD_HOST, REMOVE_HOST, SET_METADATA = (
    rule("os-aggregates", name, policy.admin)
    for name in ("index", "show", "create", "update", "delete", "add_host", "remove_host", "set_metadata")
)


def members(db: Session) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for row in db.execute(select(AggregateHost.aggregate_id, AggregateHost.host).order_by(AggregateHost.host)):
        found.setdefault(row.aggregate_id, []).append(row.host)
    return found


def find(ctx: Ctx, rule: str) -> Aggregate:
    ctx.require(rule, policy.Target(ctx.caller.project_id))
    id = ctx.path["aggregate_id"]
    number = whole_number(id)
    aggregate = ctx.db.get(Aggregate, number) if number is not None and number < 2**31 else None
    if aggregate is None:
        raise NotFound(f"Aggregate {id} could not be found.")
    return aggregate


def unique(db: Session, name: str) -> None:
    if db.scalar(select(Aggregate.id).where(Aggregate.name == name)) is not None:
        raise Conflict(f"Aggregate {name} already exists.")


def follow(db: Session, hosts: list[str]) -> None:
    """Bring these hosts' zones in line with the aggregates.

    Raises
    ------
    Conflict: a host would be in two zones, or one with servers would change its zone
    """
    db.flush()
    zones: dict[str, set[str]] = {}
    listed = select(AggregateHost.host, Aggregate.meta).join(Aggregate).where(AggregateHost.host.in_(hosts))
    for host, meta in db.execute(listed):
        if ZONE in meta:
            zones.setdefault(host, set()).add(meta[ZONE])
    for name in hosts:
        found = sorted(zones.get(name, {DEFAULT_ZONE}))
        if len(found) > 1:
            raise Conflict(f"Host {name} is already in another availability zone: {', '.join(found)}")
        row = db.get(Host, name, with_for_update=True)
        if row is None or row.zone == found[0]:
            continue
        if db.scalar(select(Server.id).where(Server.host == name).limit(1)) is not None:
            raise Conflict(f"One or more hosts contain instances in zone {row.zone}")
        row.zone = found[0]


@compute.call("GET", "/v2.1/os-aggregates", rule=INDEX)
def list_aggregates(ctx: Ctx) -> Json:
    """List aggregates."""
    ctx.require(INDEX, policy.Target(ctx.caller.project_id))
    hosts = members(ctx.db)
    found = ctx.db.scalars(select(Aggregate).order_by(Aggregate.id))
    return {"aggregates": [view(ctx, aggregate, hosts.get(aggregate.id, [])) for aggregate in found]}


@compute.call("POST", "/v2.1/os-aggregates", rule=CREATE, body=CreateBody)
def create(ctx: Ctx, body: CreateBody) -> Json:
    """Create an aggregate."""
    ctx.require(CREATE, policy.Target(ctx.caller.project_id))
    asked = body.aggregate
    unique(ctx.db, asked.name)
    aggregate = Aggregate(name=asked.name, created_at=ctx.now)
    aggregate.meta = {ZONE: asked.availability_zone} if asked.availability_zone else {}
    ctx.db.add(aggregate)
    ctx.db.flush()
    shown = view(ctx, aggregate, [])
    for name in ("hosts", "metadata"):  # Nova leaves these out here
        del shown[name]
    return {"aggregate": shown}


@compute.call("GET", "/v2.1/os-aggregates/{aggregate_id}", rule=SHOW)
def show(ctx: Ctx) -> Json:
    """Show one aggregate."""
    return one(ctx, find(ctx, SHOW))


@compute.call("PUT", "/v2.1/os-aggregates/{aggregate_id}", rule=UPDATE, body=UpdateBody)
def update(ctx: Ctx, body: UpdateBody) -> Json:
    """Change an aggregate's name or zone."""
    aggregate, asked = find(ctx, UPDATE), body.aggregate
    if asked.name is UNSET and asked.availability_zone is UNSET:
        raise BadRequest("Invalid input for aggregate: {} does not have enough properties")
    if asked.name is not UNSET and asked.name != aggregate.name:
        unique(ctx.db, asked.name)
        aggregate.name = asked.name
    if asked.availability_zone is not UNSET:
        merge(ctx, aggregate, {ZONE: asked.availability_zone})
    aggregate.updated_at = ctx.now
    return one(ctx, aggregate)


@compute.call("DELETE", "/v2.1/os-aggregates/{aggregate_id}", rule=DELETE)
def delete(ctx: Ctx) -> None:
    """Delete an aggregate without hosts."""
    aggregate = find(ctx, DELETE)
    if members(ctx.db).get(aggregate.id):
        raise BadRequest(f"Cannot remove aggregate {aggregate.id}: Host aggregate is not empty")
    ctx.db.delete(aggregate)


@compute.call("POST", "/v2.1/os-aggregates/{aggregate_id}/action", rule=ADD_HOST, body=Action)
def act(ctx: Ctx, body: Action) -> Json:
    """Add or remove a host, or change the metadata."""
    asked = [name for name in ("add_host", "remove_host", "set_metadata") if getattr(body, name) is not UNSET]
    if len(asked) != 1:
        raise BadRequest("Invalid input: the body must hold one of add_host, remove_host, set_metadata")
    aggregate = find(ctx, f"os_compute_api:os-aggregates:{asked[0]}")
    there = members(ctx.db).get(aggregate.id, [])
    if body.set_metadata is not UNSET:
        merge(ctx, aggregate, body.set_metadata.metadata)
    elif body.add_host is not UNSET:
        add_host(ctx, aggregate, body.add_host.host, there)
    elif body.remove_host is not UNSET:
        remove_host(ctx, aggregate, body.remove_host.host, there)
    aggregate.updated_at = ctx.now
    return one(ctx, aggregate)


def add_host(ctx: Ctx, aggregate: Aggregate, host: str, there: list[str]) -> None:
    known = ctx.db.get(Host, host)
    if known is None or not known.service_id:
        raise NotFound(f"Compute host {host} could not be found.")
    if host in there:
        raise Conflict(f"Cannot add host {host} in aggregate {aggregate.id}: host already exists")
    ctx.db.add(AggregateHost(aggregate_id=aggregate.id, host=host))
    follow(ctx.db, [host])


def remove_host(ctx: Ctx, aggregate: Aggregate, host: str, there: list[str]) -> None:
    if host not in there:
        raise NotFound(f"Cannot remove host {host} in aggregate {aggregate.id}: host is not in it")
    ctx.db.delete(ctx.db.get(AggregateHost, (aggregate.id, host)))
    follow(ctx.db, [host])


def merge(ctx: Ctx, aggregate: Aggregate, items: dict[str, Any]) -> None:
    """Nova's way: a null takes an item away, all others are set."""
    kept = {**aggregate.meta, **items}
    aggregate.meta = {name: value for name, value in kept.items() if value is not None}
    follow(ctx.db, members(ctx.db).get(aggregate.id, []))
