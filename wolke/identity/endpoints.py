"""Regions, services and endpoints: the rows that the catalogue is made of.

API: https://docs.openstack.org/api-ref/identity/v3/#regions and #service-catalog-and-endpoints
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select

from wolke.core.bodies import OpenBody, Text255, envelope
from wolke.core.db import Json, new_hex
from wolke.core.errors import BadRequest, Conflict, Forbidden
from wolke.core.http import Ctx
from wolke.core.policy import Target
from wolke.identity.entities import Entities, changes
from wolke.identity.service import Id, Name, admin, anybody, identity, system_reader, unknown
from wolke.identity.table import EndpointRow, Region, RegisteredLimit, ServiceRow

RegionId = Annotated[str, Meta(max_length=255)]
Url = Annotated[str, Meta(min_length=1, max_length=2048, pattern=r"^[a-zA-Z0-9+.-]+:.+")]
Interface = Literal["public", "internal", "admin"]


# Regions -------------------------------------------------------------------------------------------------------------
class CreateRegion(OpenBody):
    id: RegionId | UnsetType | None = UNSET
    description: str | None = None
    parent_region_id: RegionId | None = None


class UpdateRegion(OpenBody):
    id: RegionId | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    parent_region_id: RegionId | UnsetType | None = UNSET


def region_view(region: Any, links: Json) -> Json:
    return {
        **region.extra, "id": region.id, "description": region.description,
        "parent_region_id": region.parent_region_id or None, "links": links,
    }  # fmt: skip


regions = Entities(
    "/v3/regions", "region", "regions", Region, region_view,
    checks={"get": anybody, "list": anybody, "create": admin, "update": admin, "delete": admin},
    filters={"parent_region_id": Region.parent_region_id},
)  # fmt: skip


def in_region(ctx: Ctx, id: str | None, error: type[Exception] | None = None) -> str:
    """Raises NotFound (or another error) for a region that does not exist."""
    if id and ctx.db.get(Region, id) is None:
        raise error(f"Could not find region: {id}.") if error else unknown("region", id)
    return id or ""


@regions.create()
def create_region(ctx: Ctx, body: CreateRegion) -> Region:
    ctx.require("identity:create_region", Target())
    id = body.id if isinstance(body.id, str) and body.id else new_hex()
    if ctx.db.get(Region, id):
        raise Conflict(f"Conflict occurred attempting to store region - Duplicate ID, {id}.")
    parent = in_region(ctx, body.parent_region_id)
    return Region(id=id, description=body.description or "", parent_region_id=parent, extra=body.extra)


@identity.call(
    "PUT", "/v3/regions/{region_id}", rule="identity:create_region", body=envelope("region", CreateRegion), status=201
)
def put_region(ctx: Ctx, whole: Any) -> Json:
    """Create a region with a chosen id."""
    body: CreateRegion = whole.region
    if isinstance(body.id, str) and body.id != ctx.path["region_id"]:
        raise BadRequest("Invalid input for id: it differs from the id in the URL")
    body.id = ctx.path["region_id"]
    region = create_region(ctx, body)
    ctx.db.add(region)
    ctx.db.flush()
    ctx.about(region)
    return regions.enclose(ctx, region)


@regions.update()
def update_region(ctx: Ctx, region: Region, body: UpdateRegion) -> None:
    sent = changes(body)
    if sent.get("id", region.id) != region.id:
        raise BadRequest("Cannot change region ID")
    if "description" in sent:
        region.description = sent["description"] or ""
    if "parent_region_id" in sent:
        parent = in_region(ctx, sent["parent_region_id"])
        above: str | None = parent
        while above:
            if above == region.id:
                raise BadRequest(f"Invalid input for parent_region_id: {parent} lies below region {region.id}")
            above = ctx.db.scalar(select(Region.parent_region_id).where(Region.id == above))
        region.parent_region_id = parent


@regions.delete
def remove_region(ctx: Ctx, region: Region) -> None:
    for table, column in ((EndpointRow, "region_id"), (Region, "parent_region_id"), (RegisteredLimit, "region_id")):
        if ctx.db.scalar(select(table.id).where(getattr(table, column) == region.id).limit(1)):
            what = f"it or its child regions have associated endpoints, regions or limits ({table.__tablename__})"
            raise Forbidden(f"Unable to delete region {region.id} because {what}.")


# Services ------------------------------------------------------------------------------------------------------------
class CreateService(OpenBody):
    type: Name
    name: Text255 | None = None
    description: str | None = None
    enabled: bool = True


class UpdateService(OpenBody):
    type: Name | UnsetType = UNSET
    name: Text255 | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET


def service_view(service: Any, links: Json) -> Json:
    named = {"name": service.name} if service.name is not None else {}
    return {
        **service.extra,
        **named,
        "id": service.id,
        "type": service.type,
        "enabled": service.enabled,
        "links": links,
    }


services = Entities(
    "/v3/services", "service", "services", ServiceRow, service_view,
    checks={"get": system_reader, "list": system_reader, "create": admin, "update": admin, "delete": admin},
    filters={"name": ServiceRow.name, "type": ServiceRow.type},
)  # fmt: skip


@services.create()
def create_service(ctx: Ctx, body: CreateService) -> ServiceRow:
    ctx.require("identity:create_service", Target())
    described = {"description": body.description} if body.description is not None else {}
    return ServiceRow(type=body.type, name=body.name, enabled=body.enabled, extra={**body.extra, **described})


@services.update()
def update_service(ctx: Ctx, service: ServiceRow, body: UpdateService) -> None:
    for name, value in changes(body).items():
        setattr(service, name, value)


@services.delete
def remove_service(ctx: Ctx, service: ServiceRow) -> None:
    """Its endpoints go with it; limits hold it."""
    if ctx.db.scalar(select(RegisteredLimit.id).where(RegisteredLimit.service_id == service.id).limit(1)):
        raise Forbidden(f"Unable to delete service {service.id} because it has registered limits.")


# Endpoints -----------------------------------------------------------------------------------------------------------
class CreateEndpoint(OpenBody):
    service_id: Id
    interface: Interface
    url: Url
    region_id: RegionId | None = None
    region: RegionId | None = None  # its old name
    enabled: bool = True


class UpdateEndpoint(OpenBody):
    service_id: Id | UnsetType = UNSET
    interface: Interface | UnsetType = UNSET
    url: Url | UnsetType = UNSET
    region_id: RegionId | UnsetType | None = UNSET
    region: RegionId | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET


def endpoint_view(endpoint: Any, links: Json) -> Json:
    region = endpoint.region_id or None
    return {
        **endpoint.extra, "id": endpoint.id, "service_id": endpoint.service_id, "interface": endpoint.interface,
        "url": endpoint.url, "region": region, "region_id": region, "enabled": endpoint.enabled, "links": links,
    }  # fmt: skip


endpoints = Entities(
    "/v3/endpoints", "endpoint", "endpoints", EndpointRow, endpoint_view,
    checks={"get": system_reader, "list": system_reader, "create": admin, "update": admin, "delete": admin},
    filters={
        "interface": EndpointRow.interface, "service_id": EndpointRow.service_id, "region_id": EndpointRow.region_id,
        "region": EndpointRow.region_id,
    },
)  # fmt: skip


def of_service(ctx: Ctx, id: str) -> str:
    if ctx.db.get(ServiceRow, id) is None:
        raise BadRequest(f"Invalid input for service_id: Could not find service: {id}.")
    return id


def whole_url(url: str) -> str:
    """Raises BadRequest for blanks that nobody could fill."""
    blanks = re.findall(r"[$%]\(([^)]*)\)(s?)", url)
    known = {"project_id", "tenant_id", "user_id"}
    if any(name not in known or not end for name, end in blanks):
        raise BadRequest(f"Invalid input for url: {url} may only hold $(project_id)s, $(tenant_id)s and $(user_id)s")
    return url


def placed(ctx: Ctx, region_id: str | None, region: str | None) -> str:
    """The region of an endpoint. Under its old name, ``region``, one that is new is made."""
    if region and not region_id and ctx.db.get(Region, region) is None:
        ctx.db.add(Region(id=region, extra={}))
        ctx.db.flush()
    return in_region(ctx, region_id or region, BadRequest)


@endpoints.create()
def create_endpoint(ctx: Ctx, body: CreateEndpoint) -> EndpointRow:
    ctx.require("identity:create_endpoint", Target())
    return EndpointRow(
        service_id=of_service(ctx, body.service_id), interface=body.interface, url=whole_url(body.url), extra=body.extra,
        region_id=placed(ctx, body.region_id, body.region), enabled=body.enabled,
    )  # fmt: skip


@endpoints.update()
def update_endpoint(ctx: Ctx, endpoint: EndpointRow, body: UpdateEndpoint) -> None:
    sent = changes(body)
    if "service_id" in sent:
        endpoint.service_id = of_service(ctx, sent["service_id"])
    if "url" in sent:
        endpoint.url = whole_url(sent["url"])
    if "region_id" in sent or "region" in sent:
        endpoint.region_id = placed(ctx, sent.get("region_id"), sent.get("region"))
    endpoint.interface = sent.get("interface", endpoint.interface)
    endpoint.enabled = sent.get("enabled", endpoint.enabled)


@endpoints.delete
def remove_endpoint(ctx: Ctx, endpoint: EndpointRow) -> None:
    """Nothing else depends on it."""
