"""Flavors: the sizes that servers come in, whom they are open to, and their extra specs.

API: https://docs.openstack.org/api-ref/compute/#flavors
A server keeps a copy of its flavor, so a flavor may be changed or deleted at any time.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta, field
from sqlalchemy import ForeignKey, Select, String, Text, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from wolke.compute.service import Collection, compute, links, rule
from wolke.core import policy
from wolke.core.bodies import Body
from wolke.core.db import Base, Json, Resource
from wolke.core.errors import BadRequest, Conflict, NotFound
from wolke.core.http import Ctx
from wolke.core.paging import whole_number
from wolke.core.parameters import TRUTH
from wolke.core.versions import Since


# What we keep -----------------------------------------------------------------------------------------------------
class Flavor(Resource):
    __tablename__ = "flavor"

    id: Mapped[str] = mapped_column(String(255), primary_key=True)  # an operator may choose it
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str | None] = mapped_column(Text)
    vcpus: Mapped[int]
    ram_mib: Mapped[int]
    disk_gib: Mapped[int]
    ephemeral_gib: Mapped[int] = mapped_column(default=0)
    swap_mib: Mapped[int] = mapped_column(default=0)
    rxtx_factor: Mapped[float] = mapped_column(default=1.0)
    is_public: Mapped[bool] = mapped_column(default=True)
    extra_specs: Mapped[dict[str, str]] = mapped_column(default=dict)


class FlavorAccess(Base):
    """A project that may use a flavor that is not public."""

    __tablename__ = "flavor_access"

    flavor_id: Mapped[str] = mapped_column(ForeignKey("flavor.id", ondelete="CASCADE"), primary_key=True)
    project_id: Mapped[str] = mapped_column(primary_key=True, index=True)


# What the API takes and gives -------------------------------------------------------------------------------------
Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^(?! )[^\x00-\x1f\x7f]*(?<! )$")]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Positive = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Description = Annotated[str, Meta(max_length=65535, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]*$")]


class Create(Body, kw_only=True):
    name: Name
    id: Annotated[str, Meta(max_length=255, pattern=r"^(?! )[a-zA-Z0-9. _-]*(?<! )$")] | Count | None = None
    ram: Positive
    vcpus: Positive
    disk: Count
    ephemeral: Count = field(name="OS-FLV-EXT-DATA:ephemeral", default=0)
    swap: Count = 0
    rxtx_factor: Annotated[float, Meta(gt=0, le=3.40282e38)] = 1.0
    is_public: bool = field(name="os-flavor-access:is_public", default=True)
    description: Annotated[Description | None, Since((2, 55))] = None


class Update(Body):
    description: Description | None


SHOW_SPECS = rule("os-flavor-extra-specs", "index", policy.reader)


def brief(ctx: Ctx, flavors: Sequence[Any]) -> list[Json]:
    shown = [{"id": flavor.id, "name": flavor.name, "links": links(ctx, "flavors", flavor.id)} for flavor in flavors]
    if ctx.version >= (2, 55):
        for item, flavor in zip(shown, flavors, strict=True):
            item["description"] = flavor.description
    return shown


def views(ctx: Ctx, flavors: Sequence[Any]) -> list[Json]:
    specs = ctx.version >= (2, 61) and ctx.allows(SHOW_SPECS, policy.Target(ctx.caller.project_id))
    return [view(ctx, flavor, specs) for flavor in flavors]


def view(ctx: Ctx, flavor: Any, specs: bool) -> Json:
    nothing: Any = 0 if ctx.version >= (2, 75) else ""
    shown = {
        "id": flavor.id, "name": flavor.name, "ram": flavor.ram_mib, "disk": flavor.disk_gib, "vcpus": flavor.vcpus,
        "swap": flavor.swap_mib or nothing, "OS-FLV-EXT-DATA:ephemeral": flavor.ephemeral_gib,
        "OS-FLV-DISABLED:disabled": False, "os-flavor-access:is_public": flavor.is_public,
        "rxtx_factor": flavor.rxtx_factor, "links": links(ctx, "flavors", flavor.id),
    }  # fmt: skip
    if ctx.version >= (2, 55):
        shown["description"] = flavor.description
    if specs:
        shown["extra_specs"] = flavor.extra_specs
    return shown


# What the calls do ------------------------------------------------------------------------------------------------
class Flavors(Collection[Flavor]):
    reserved = Collection.reserved | {"is_public"}

    def select(self, ctx: Ctx) -> Select[Any]:
        """Public ones and those opened to the caller's project; an admin sees each one that he names."""
        query = select(Flavor.__table__)
        ctx.require(self.rule("get"), policy.Target(ctx.caller.project_id))
        return query if ctx.caller.is_admin else query.where(open_to(ctx.caller.project_id))

    def filtered(self, ctx: Ctx, query: Select[Any]) -> Select[Any]:
        query = super().filtered(ctx, query)
        asked = ctx.query.get("is_public", "true").lower()
        if not ctx.caller.is_admin or asked == "none":
            return query
        if asked not in TRUTH:
            raise BadRequest(f"Invalid is_public filter [{asked}]")
        return query.where(open_to(ctx.caller.project_id) if TRUTH[asked] else Flavor.is_public.is_(False))


def open_to(project_id: str) -> Any:
    given = select(FlavorAccess.flavor_id).where(FlavorAccess.project_id == project_id)
    return or_(Flavor.is_public, Flavor.id.in_(given))


def at_least(column: Any) -> Any:
    def condition(ctx: Ctx, values: list[str]) -> Any:
        least = whole_number(values[0])
        if least is None:
            raise BadRequest(f"Invalid min filter [{values[0]}]")
        return column >= least

    return condition


flavors = Flavors(
    "/v2.1/flavors", "flavor", "flavors", Flavor, area="flavors", read=policy.logged_in, views=views, briefly=brief,
    wakes="", private=("seen_revision", "deleting", "project_id"),
    filters={"minDisk": at_least(Flavor.disk_gib), "minRam": at_least(Flavor.ram_mib)},
    columns={"flavorid": "id", "memory_mb": "ram_mib", "root_gb": "disk_gib"},
)  # fmt: skip

MANAGE = {name: rule("os-flavor-manage", name, policy.admin) for name in ("create", "update", "delete")}


def named(ctx: Ctx) -> Any:
    """The row of the flavor that the path names, if the caller may use it."""
    return flavors.seen(ctx, ctx.path["flavor_id"])


def find(ctx: Ctx) -> Flavor:
    """The same, to be changed."""
    flavor = ctx.db.get(Flavor, named(ctx).id, with_for_update=True)
    assert flavor
    ctx.about(flavor)
    return flavor


def chosen(ctx: Ctx, id: str) -> Flavor:
    """The flavor of a new server. Raises BadRequest as Nova does for a reference inside a body."""
    row = ctx.db.scalar(flavors.select(ctx).with_only_columns(Flavor.id).where(Flavor.id == id))
    flavor = ctx.db.get(Flavor, id) if row is not None else None
    if flavor is None:
        raise BadRequest(f"Flavor {id} could not be found.")
    return flavor


def kept(flavor: Flavor) -> Json:
    """What a server remembers of its flavor."""
    return {
        "name": flavor.name, "vcpus": flavor.vcpus, "ram": flavor.ram_mib, "disk": flavor.disk_gib,
        "ephemeral": flavor.ephemeral_gib, "swap": flavor.swap_mib, "extra_specs": dict(flavor.extra_specs),
    }  # fmt: skip


class OneFlavor(Body):
    flavor: Create


@compute.call("POST", "/v2.1/flavors", rule=MANAGE["create"], body=OneFlavor)
def create(ctx: Ctx, whole: OneFlavor) -> Json:
    """Create a flavor."""
    ctx.require(MANAGE["create"], policy.Target(ctx.caller.project_id))
    body = whole.flavor
    id = str(uuid.uuid4()) if body.id in (None, "", "auto") else str(body.id)
    if ctx.db.get(Flavor, id):
        raise Conflict(f"Flavor with ID {id} already exists.")
    if ctx.db.scalar(select(Flavor.id).where(Flavor.name == body.name)):
        raise Conflict(f"Flavor with name {body.name} already exists.")
    flavor = Flavor(
        id=id, name=body.name, description=body.description, vcpus=body.vcpus, ram_mib=body.ram, disk_gib=body.disk,
        ephemeral_gib=body.ephemeral, swap_mib=body.swap, rxtx_factor=body.rxtx_factor, is_public=body.is_public,
        created_at=ctx.now, updated_at=ctx.now, extra_specs={},
    )  # fmt: skip
    ctx.db.add(flavor)
    ctx.db.flush()
    ctx.about(flavor)
    return {"flavor": views(ctx, [flavor])[0]}


class Described(Body):
    flavor: Update


@compute.call("PUT", "/v2.1/flavors/{flavor_id}", rule=MANAGE["update"], body=Described, since=(2, 55))
def update(ctx: Ctx, whole: Described) -> Json:
    """Change a flavor's description."""
    ctx.require(MANAGE["update"], policy.Target(ctx.caller.project_id))
    flavor = find(ctx)
    flavor.description = whole.flavor.description
    return {"flavor": views(ctx, [flavor])[0]}


@compute.call("DELETE", "/v2.1/flavors/{flavor_id}", rule=MANAGE["delete"], status=202)
def remove(ctx: Ctx) -> None:
    """Delete a flavor; servers made from it keep what they know of it."""
    ctx.require(MANAGE["delete"], policy.Target(ctx.caller.project_id))
    ctx.db.delete(find(ctx))


# Access -----------------------------------------------------------------------------------------------------------
ACCESS = rule("os-flavor-access", "", policy.admin)
ADD_ACCESS = rule("os-flavor-access", "add_tenant_access", policy.admin)
REMOVE_ACCESS = rule("os-flavor-access", "remove_tenant_access", policy.admin)


class Tenant(Body):
    tenant: Annotated[str, Meta(min_length=1, max_length=255)]


class AccessAction(Body):
    add: Tenant | None = field(name="addTenantAccess", default=None)
    remove: Tenant | None = field(name="removeTenantAccess", default=None)


def shown_access(ctx: Ctx, flavor: Any) -> Json:
    ids = ctx.db.scalars(select(FlavorAccess.project_id).where(FlavorAccess.flavor_id == flavor.id))
    return {"flavor_access": [{"flavor_id": flavor.id, "tenant_id": id} for id in sorted(ids)]}


@compute.call("GET", "/v2.1/flavors/{flavor_id}/os-flavor-access", rule=ACCESS)
def list_access(ctx: Ctx) -> Json:
    """The projects that a private flavor is open to."""
    ctx.require(ACCESS, policy.Target(ctx.caller.project_id))
    flavor = named(ctx)
    if flavor.is_public:
        raise NotFound("Access list not available for public flavors.")
    return shown_access(ctx, flavor)


@compute.call("POST", "/v2.1/flavors/{flavor_id}/action", rule=ACCESS, body=AccessAction)
def change_access(ctx: Ctx, body: AccessAction) -> Json:
    """Open a private flavor to a project, or close it."""
    if (body.add is None) == (body.remove is None):
        raise BadRequest("Invalid input: one of addTenantAccess, removeTenantAccess is required")
    ctx.did = REMOVE_ACCESS if body.add is None else ADD_ACCESS
    ctx.require(ctx.did, policy.Target(ctx.caller.project_id))
    flavor = find(ctx)
    if body.add:
        if flavor.is_public and ctx.version >= (2, 7):
            raise Conflict("Can not add access to a public flavor.")
        if ctx.db.get(FlavorAccess, (flavor.id, body.add.tenant)):
            raise Conflict(f"Flavor access already exists for flavor {flavor.id} and project {body.add.tenant}.")
        ctx.db.add(FlavorAccess(flavor_id=flavor.id, project_id=body.add.tenant))
    if body.remove:
        access = ctx.db.get(FlavorAccess, (flavor.id, body.remove.tenant))
        if access is None:
            raise NotFound(f"Flavor access not found for {flavor.id} / {body.remove.tenant} combination.")
        ctx.db.delete(access)
    ctx.db.flush()
    return shown_access(ctx, flavor)


# What a new cloud has ---------------------------------------------------------------------------------------------
DEFAULTS = (  # id, name, vcpus, ram in MiB, disk in GiB
    ("1", "m1.tiny", 1, 512, 1),
    ("2", "m1.small", 1, 2048, 20),
    ("3", "m1.medium", 2, 4096, 40),
    ("4", "m1.large", 4, 8192, 80),
    ("42", "m1.nano", 1, 256, 1),
    ("84", "m1.micro", 1, 384, 1),
)


def bootstrap(db: Session, now: float) -> None:
    """The sizes that DevStack made everybody know, on a cloud that has none."""
    if db.scalar(select(Flavor.id).limit(1)):
        return
    for id, name, vcpus, ram, disk in DEFAULTS:
        db.add(Flavor(id=id, name=name, vcpus=vcpus, ram_mib=ram, disk_gib=disk, created_at=now, updated_at=now))
