"""Routers: gateways, routes, interfaces.

API:  https://docs.openstack.org/api-ref/network/v2/#routers-routers
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import UNSET
from sqlalchemy import false, literal, select, true
from sqlalchemy.orm import Session

from wolke.core import policy
from wolke.core.bodies import envelope
from wolke.core.db import Json
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.core.quota import quota, rows_of
from wolke.core.work import wake_all
from wolke.network import hooks
from wolke.network.errors import AvailabilityZoneNotFound
from wolke.network.ndp_proxies import gateways as ndp
from wolke.network.networks.api import ZONE
from wolke.network.owners import GATEWAY, INTERFACE
from wolke.network.ports.table import Port
from wolke.network.routers import gateways, interfaces, routes, views
from wolke.network.routers.bodies import Create, Gateway, Gateways, Routes, Update
from wolke.network.routers.errors import RouterInUse, RouterNotFound
from wolke.network.routers.table import Router
from wolke.network.routers.wakes import rewake
from wolke.network.service import Collection, network

quota("network", "router", 10, rows_of(Router))
_operator = dict.fromkeys(views.OPERATORS, policy.admin)
routers: Collection[Router] = Collection(
    "/v2.0/routers", "router", "routers", Router, quota="router", error=RouterNotFound,
    views=lambda ctx, found: views.views(ctx.db, found, lambda name: routers.sees(ctx, name)),
    create_guards=_operator, update_guards=_operator, show_guards=_operator,
    private=("seen_revision", "deleting", "gateway_port_id", "external_network_id"),
    filters={"status": lambda ctx, values: true() if "ACTIVE" in values else false()}, computed={"status": literal("ACTIVE")},
)  # fmt: skip
policy.rules({
    f"{place}:{attribute}": policy.admin
    for place in (
        "create_router:external_gateway_info", "update_router:external_gateway_info",
        "add_external_gateways:external_gateways", "update_external_gateways:external_gateways",
    ) for attribute in ("enable_snat", "external_fixed_ips")
} | dict.fromkeys(
    (
        "add_router_interface", "remove_router_interface", "add_extraroutes", "remove_extraroutes",
        "add_external_gateways", "update_external_gateways", "remove_external_gateways",
    ), policy.member,
))  # fmt: skip
# Attributes that are stored as they are given; None is "not given"
_PLAIN = (
    "name", "description", "admin_state_up", "distributed", "ha", "enable_default_route_ecmp", "enable_default_route_bfd",
)  # fmt: skip


# What the calls do --------------------------------------------------------------------------------------------------
@routers.create
def create(ctx: Ctx, body: Create) -> Router:
    if unknown := set(body.availability_zone_hints) - {ZONE}:
        raise AvailabilityZoneNotFound(f"AvailabilityZone {min(unknown)} could not be found.")
    router = Router(project_id=routers.project_of(ctx, body), availability_zone_hints=body.availability_zone_hints)
    keep(router, body)
    ctx.db.add(router)
    ctx.db.flush()
    if isinstance(body.external_gateway_info, Gateway) and body.external_gateway_info.network_id:
        gateways.set_gateway(ctx, router, body.external_gateway_info, "create_router:external_gateway_info")
    ndp.switch(ctx, router, body.enable_ndp_proxy)
    return router


def keep(router: Router, body: Create | Update) -> None:
    for name in _PLAIN:
        if (value := getattr(body, name)) is not UNSET and value is not None:
            setattr(router, name, value)


@routers.update
def update(ctx: Ctx, router: Router, body: Update) -> None:
    routers.guard(ctx, "update", body, router)
    refuse_running(router, body)
    keep(router, body)
    if body.external_gateway_info is not UNSET:
        wanted = body.external_gateway_info
        if isinstance(wanted, Gateway) and wanted.network_id:
            gateways.set_gateway(ctx, router, wanted, "update_router:external_gateway_info")
        else:
            gateways.clear_gateway(ctx, router)
    if body.routes is not UNSET:
        routes.set_routes(ctx, router, routes.plain(body.routes))
    if body.enable_ndp_proxy is not UNSET:
        ndp.switch(ctx, router, body.enable_ndp_proxy)
    rewake(ctx.db, router.id)


def refuse_running(router: Router, body: Update) -> None:
    """Raises BadRequest: where floating IPs are answered, and on how many hosts, changes only while a router is down."""
    going_down = body.admin_state_up is False or (body.admin_state_up is UNSET and not router.admin_state_up)
    for name, words in (("distributed", "distributed attribute"), ("ha", "HA attribute")):
        wanted = getattr(body, name)
        if wanted in (True, False) and wanted != getattr(router, name) and not going_down:
            raise BadRequest(
                f"Bad router request: Cannot change the {words} of active routers. Please set router admin_state_up"
                " to False prior to upgrade."
            )


@routers.delete
def delete(ctx: Ctx, router: Router) -> None:
    if ctx.db.scalar(select(Port.id).where(Port.device_id == router.id, Port.device_owner == INTERFACE).limit(1)):
        raise RouterInUse(f"Router {router.id} still has ports")
    for port in gateways.present(ctx, router):
        gateways.drop(ctx, router, port)
    gateways.refuse_stranded(ctx, router)


@routers.action("add_router_interface")
def add_router_interface(ctx: Ctx, router: Router, body: interfaces.Interface) -> Json:
    """Add an interface to a router."""
    return interfaces.add(ctx, router, body)


@routers.action("remove_router_interface")
def remove_router_interface(ctx: Ctx, router: Router, body: interfaces.Interface) -> Json:
    """Remove an interface from a router."""
    return interfaces.take(ctx, router, body)


# Calls whose body is ``{"router": {...}}`` without being an update --------------------------------------------------
def declare(name: str, summary: str, inner: Any, act: Callable[[Ctx, Router, Any], None]) -> None:
    """``PUT /v2.0/routers/{id}/<name>``; the answer is the router."""

    @network.call("PUT", f"{routers.one_path}/{name}", rule=name, body=envelope("router", inner), summary=summary)
    def call(ctx: Ctx, body: Any) -> Json:
        router = routers.find(ctx, ctx.path["router_id"], name)
        was = routers.shown(ctx, router), router.revision
        act(ctx, router, body.router)
        rewake(ctx.db, router.id)
        return routers.enclose(ctx, routers.outcome(ctx, router, *was))


def add_routes(ctx: Ctx, router: Router, body: Routes) -> None:
    given = routes.plain(body.routes)
    routes.set_routes(ctx, router, [*router.routes, *(one for one in given if one not in router.routes)])


def remove_routes(ctx: Ctx, router: Router, body: Routes) -> None:
    given = routes.plain(body.routes)
    routes.set_routes(ctx, router, [one for one in router.routes if one not in given])


def of_gateways(name: str, act: Callable[[Ctx, Router, Sequence[Gateway], str], None]) -> Any:
    def call(ctx: Ctx, router: Router, body: Gateways) -> None:
        if body.external_gateways is not UNSET:
            wanted = body.external_gateways if isinstance(body.external_gateways, list) else []
            act(ctx, router, wanted, f"{name}:external_gateways")

    return call


declare("add_extraroutes", "Add routes to a router; those that are there already stay", Routes, add_routes)
declare("remove_extraroutes", "Take routes from a router", Routes, remove_routes)
for _name, _summary, _act in (
    ("add_external_gateways", "Add gateways to a router", gateways.add_gateways),
    ("update_external_gateways", "Give a router exactly these gateways", gateways.update_gateways),
    ("remove_external_gateways", "Take gateways from a router", gateways.remove_gateways),
):
    declare(_name, _summary, Gateways, of_gateways(_name, _act))


def legs_changed(db: Session, port_ids: Sequence[str]) -> None:
    """A router's rows tell the addresses of its ports."""
    legs = Port.id.in_(port_ids) & Port.device_owner.in_((INTERFACE, GATEWAY))
    wake_all(db, [(Router.__tablename__, router_id) for router_id in db.scalars(select(Port.device_id).where(legs))])


hooks.port_changed.append(legs_changed)
