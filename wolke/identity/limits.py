"""Unified limits: what a service registers as its defaults, and what single projects or domains get instead.

API: https://docs.openstack.org/api-ref/identity/v3/#unified-limits
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import ColumnElement, select

from wolke.core import policy
from wolke.core.auth import Caller
from wolke.core.db import Json
from wolke.core.errors import BadRequest, Conflict, Forbidden
from wolke.core.http import Ctx
from wolke.core.policy import Target
from wolke.identity.entities import Entities
from wolke.identity.service import Id, admin, anybody, identity, system_reader
from wolke.identity.table import Limit, Project, Region, RegisteredLimit, ServiceRow

Amount = Annotated[int, Meta(ge=-1, le=2**31 - 1)]
Resource = Annotated[str, Meta(min_length=1, max_length=255)]


# What the API takes and gives ----------------------------------------------------------------------------------------
class Register(Struct, forbid_unknown_fields=True, kw_only=True):
    service_id: Id
    resource_name: Resource
    default_limit: Amount
    region_id: str | None = None
    description: str | None = None


class ChangeRegistered(Struct, forbid_unknown_fields=True, kw_only=True):
    service_id: Id | UnsetType = UNSET
    resource_name: Resource | UnsetType = UNSET
    default_limit: Amount | UnsetType = UNSET
    region_id: str | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET


class Create(Struct, forbid_unknown_fields=True, kw_only=True):
    service_id: Id
    resource_name: Resource
    resource_limit: Amount
    project_id: Id | None = None
    domain_id: Id | None = None
    region_id: str | None = None
    description: str | None = None


class Change(Struct, forbid_unknown_fields=True, kw_only=True):
    resource_limit: Amount | UnsetType = UNSET
    description: str | UnsetType | None = UNSET


class Registered(Struct):
    registered_limits: Annotated[list[Register], Meta(min_length=1)]


class Limits(Struct):
    limits: Annotated[list[Create], Meta(min_length=1)]


def registered_view(limit: Any, links: Json) -> Json:
    return {
        "id": limit.id, "service_id": limit.service_id, "region_id": limit.region_id or None,
        "resource_name": limit.resource_name, "default_limit": limit.default_limit, "description": limit.description,
        "links": links,
    }  # fmt: skip


def view(limit: Any, links: Json) -> Json:
    return {
        "id": limit.id, "project_id": limit.project_id or None, "domain_id": limit.domain_id or None,
        "service_id": limit.service_id, "region_id": limit.region_id or None, "resource_name": limit.resource_name,
        "resource_limit": limit.resource_limit, "description": limit.description, "links": links,
    }  # fmt: skip


def reads_own(caller: Caller, target: Any) -> bool:
    """The limits of the project or domain that one's token is for."""
    project = bool(caller.project_id) and caller.project_id == getattr(target, "project_id", None)
    domain = bool(caller.domain_id) and caller.domain_id == getattr(target, "domain_id", None)
    return system_reader(caller, target) or project or domain


def own(ctx: Ctx) -> ColumnElement[bool]:
    if ctx.caller.project_id:
        return Limit.project_id == ctx.caller.project_id
    inside = select(Project.id).where(Project.domain_id == ctx.caller.domain_id)
    return (Limit.domain_id == ctx.caller.domain_id) | Limit.project_id.in_(inside)


registered = Entities(
    "/v3/registered_limits", "registered_limit", "registered_limits", RegisteredLimit, registered_view,
    checks={"get": anybody, "list": anybody, "update": admin, "delete": admin},
    filters={
        "service_id": RegisteredLimit.service_id, "region_id": RegisteredLimit.region_id,
        "resource_name": RegisteredLimit.resource_name,
    },
)  # fmt: skip
limits = Entities(
    "/v3/limits", "limit", "limits", Limit, view, seen=own,
    checks={"get": reads_own, "list": reads_own, "update": admin, "delete": admin},
    filters={
        "service_id": Limit.service_id, "region_id": Limit.region_id, "resource_name": Limit.resource_name,
        "project_id": Limit.project_id, "domain_id": Limit.domain_id,
    },
)  # fmt: skip
policy.rules(
    {
        "identity:create_registered_limits": admin,
        "identity:create_limits": admin,
        "identity:get_limit_model": anybody,
    }
)


# What the calls do ---------------------------------------------------------------------------------------------------
def checked(ctx: Ctx, service_id: str, region_id: str | None) -> None:
    """Raises BadRequest for a service or region that does not exist."""
    if ctx.db.get(ServiceRow, service_id) is None:
        raise BadRequest(f"Invalid input for service_id: Could not find service: {service_id}.")
    if region_id and ctx.db.get(Region, region_id) is None:
        raise BadRequest(f"Invalid input for region_id: Could not find region: {region_id}.")


def found(ctx: Ctx, service_id: str, region_id: str | None, resource: str) -> RegisteredLimit | None:
    return ctx.db.scalars(
        select(RegisteredLimit).where(
            RegisteredLimit.service_id == service_id, RegisteredLimit.region_id == (region_id or ""),
            RegisteredLimit.resource_name == resource,
        )
    ).first()  # fmt: skip


@identity.call("POST", "/v3/registered_limits", rule="identity:create_registered_limits", body=Registered, status=201)
def register(ctx: Ctx, body: Registered) -> Json:
    """Register the default limits of a service."""
    ctx.require("identity:create_registered_limits", Target())
    made = []
    for one in body.registered_limits:
        checked(ctx, one.service_id, one.region_id)
        if found(ctx, one.service_id, one.region_id, one.resource_name):
            raise Conflict("Conflict occurred attempting to store registered_limit - Duplicate entry.")
        row = RegisteredLimit(
            service_id=one.service_id, region_id=one.region_id or "", resource_name=one.resource_name,
            default_limit=one.default_limit, description=one.description,
        )  # fmt: skip
        ctx.db.add(row)
        ctx.db.flush()
        made.append(row)
    ctx.about(made[0])
    return registered.enclosed(ctx, made)


def held(ctx: Ctx, row: RegisteredLimit) -> None:
    if ctx.db.scalar(select(Limit.id).where(Limit.registered_limit_id == row.id).limit(1)):
        raise Forbidden(
            f"Unable to update or delete registered limit {row.id} because there are project limits associated with it."
        )


@registered.update()
def change_registered(ctx: Ctx, row: RegisteredLimit, body: ChangeRegistered) -> None:
    sent = {name: value for name in body.__struct_fields__ if (value := getattr(body, name)) is not UNSET}
    if {"service_id", "region_id", "resource_name"} & set(sent):
        held(ctx, row)
        service, region = sent.get("service_id", row.service_id), sent.get("region_id", row.region_id)
        checked(ctx, service, region)
        other = found(ctx, service, region, sent.get("resource_name", row.resource_name))
        if other is not None and other.id != row.id:
            raise Conflict("Conflict occurred attempting to store registered_limit - Duplicate entry.")
    for name, value in sent.items():
        setattr(row, name, (value or "") if name == "region_id" else value)


@registered.delete
def unregister(ctx: Ctx, row: RegisteredLimit) -> None:
    held(ctx, row)


@identity.call("GET", "/v3/limits/model", rule="identity:get_limit_model")
def model(ctx: Ctx) -> Json:
    """How limits of a tree of projects are enforced: each project by itself."""
    ctx.require("identity:get_limit_model", Target())
    return {
        "model": {
            "name": "flat",
            "description": "Limit enforcement and validation does not take project hierarchy into consideration.",
        }
    }


@identity.call("POST", "/v3/limits", rule="identity:create_limits", body=Limits, status=201)
def create(ctx: Ctx, body: Limits) -> Json:
    """Give projects or domains limits of their own."""
    ctx.require("identity:create_limits", Target())
    made = []
    for one in body.limits:
        if bool(one.project_id) == bool(one.domain_id):
            raise BadRequest("Invalid input for limits: give either project_id or domain_id")
        place = ctx.db.get(Project, one.project_id or one.domain_id)
        if place is None or place.is_domain != bool(one.domain_id):
            kind = "domain" if one.domain_id else "project"
            raise BadRequest(f"Invalid input for {kind}_id: Could not find {kind}: {one.project_id or one.domain_id}.")
        checked(ctx, one.service_id, one.region_id)
        base = found(ctx, one.service_id, one.region_id, one.resource_name)
        if base is None:
            raise Forbidden(
                f"Unable to create a limit that has no corresponding registered limit: {one.resource_name}."
            )
        here = (Limit.project_id == (one.project_id or "")) & (Limit.domain_id == (one.domain_id or ""))
        if ctx.db.scalar(select(Limit.id).where(Limit.registered_limit_id == base.id, here)):
            raise Conflict("Conflict occurred attempting to store limit - Duplicate entry.")
        row = Limit(
            registered_limit_id=base.id, project_id=one.project_id or "", domain_id=one.domain_id or "",
            service_id=base.service_id, region_id=base.region_id, resource_name=base.resource_name,
            resource_limit=one.resource_limit, description=one.description,
        )  # fmt: skip
        ctx.db.add(row)
        ctx.db.flush()
        made.append(row)
    ctx.about(made[0])
    return limits.enclosed(ctx, made)


@limits.update()
def change(ctx: Ctx, row: Limit, body: Change) -> None:
    if body.resource_limit is not UNSET:
        row.resource_limit = body.resource_limit
    if body.description is not UNSET:
        row.description = body.description


@limits.delete
def remove(ctx: Ctx, row: Limit) -> None:
    """Nothing else depends on it: the default counts again."""
