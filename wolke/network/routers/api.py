"""Routers: gateway, routes, interfaces.

API:  https://docs.openstack.org/api-ref/network/v2/#routers-routers
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from msgspec import UNSET, UnsetType
from sqlalchemy import false, select, true
from sqlalchemy.orm import Session

from wolke.core import policy
from wolke.core.bodies import Body, envelope
from wolke.core.db import Json
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.core.quota import quota, rows_of
from wolke.core.work import wake_all
from wolke.network import hooks
from wolke.network.errors import AvailabilityZoneNotFound
from wolke.network.floating_ips.table import FloatingIp
from wolke.network.networks.api import ZONE, networks
from wolke.network.networks.table import Network
from wolke.network.ports.make import Wanted, Wish, new_port
from wolke.network.ports.table import FixedIp, Port
from wolke.network.routers import interfaces
from wolke.network.routers.errors import (
    InvalidRoutes,
    RouterExternalGatewayInUseByFloatingIp,
    RouterInUse,
    RouterNotFound,
)
from wolke.network.routers.table import GATEWAY, INTERFACE, Router
from wolke.network.service import Collection, CreateBody, UpdateBody, network, standard
from wolke.network.subnets.table import Subnet

quota("network", "router", 10, rows_of(Router))
MOST_ROUTES = 30


# What the API takes and gives ---------------------------------------------------------------------------------------
class FixedAddress(Body):
    subnet_id: str | None = None
    ip_address: str | None = None


class Gateway(Body):
    network_id: str | None = None
    enable_snat: bool | UnsetType = UNSET
    external_fixed_ips: list[FixedAddress] | UnsetType = UNSET
    qos_policy_id: None = None


class Route(Body):
    destination: str
    nexthop: str


class Create(CreateBody):
    admin_state_up: bool = True
    external_gateway_info: Gateway | UnsetType | None = UNSET
    distributed: bool | None = None
    ha: bool | None = None
    availability_zone_hints: list[str] = []
    flavor_id: None = None


class Update(UpdateBody):
    admin_state_up: bool | UnsetType = UNSET
    distributed: bool | UnsetType | None = UNSET
    ha: bool | UnsetType | None = UNSET
    external_gateway_info: Gateway | UnsetType | None = UNSET
    routes: list[Route] | UnsetType | None = UNSET


class Routes(Body):
    routes: list[Route]


def views(ctx: Ctx, found: Sequence[Any]) -> list[Json]:
    addresses: dict[str, list[Json]] = {}
    gateways = [router.gateway_port_id for router in found if router.gateway_port_id]
    query = select(FixedIp.__table__).where(FixedIp.port_id.in_(gateways)).order_by(FixedIp.position)
    for fixed in ctx.db.execute(query) if gateways else ():
        addresses.setdefault(fixed.port_id, []).append({"subnet_id": fixed.subnet_id, "ip_address": fixed.ip_address})
    extended = routers.sees(ctx, "ha")
    shown = []
    for router in found:
        gateway = {
            "network_id": router.external_network_id,
            "enable_snat": router.enable_snat,
            "external_fixed_ips": addresses.get(router.gateway_port_id, []),
        }
        item = standard(router) | {
            "admin_state_up": router.admin_state_up,
            "status": "ACTIVE",
            "external_gateway_info": gateway if router.gateway_port_id else None,
            "routes": router.routes,
            "availability_zone_hints": router.availability_zone_hints,
            "availability_zones": [ZONE],
            "flavor_id": None,
        }
        shown.append(item | {"ha": True, "distributed": True} if extended else item)
    return shown


# What the calls do --------------------------------------------------------------------------------------------------
_operator = {"distributed": policy.admin, "ha": policy.admin}
routers: Collection[Router] = Collection(
    "/v2.0/routers", "router", "routers", Router, views=views, quota="router", error=RouterNotFound,
    create_guards=_operator, update_guards=_operator, show_guards=_operator,
    private=("seen_revision", "deleting", "gateway_port_id", "external_network_id", "enable_snat"),
    filters={"status": lambda ctx, values: true() if "ACTIVE" in values else false()},
)  # fmt: skip
policy.rules({
    f"{action}_router:external_gateway_info:{attribute}": policy.admin
    for action in ("create", "update") for attribute in ("enable_snat", "external_fixed_ips")
} | {
    "add_router_interface": policy.member,
    "remove_router_interface": policy.member,
})  # fmt: skip


@routers.create
def create(ctx: Ctx, body: Create) -> Router:
    if unknown := set(body.availability_zone_hints) - {ZONE}:
        raise AvailabilityZoneNotFound(f"AvailabilityZone {min(unknown)} could not be found.")
    refuse_one_place(body)
    router = Router(
        project_id=routers.project_of(ctx, body), name=body.name, description=body.description,
        admin_state_up=body.admin_state_up, availability_zone_hints=body.availability_zone_hints,
    )  # fmt: skip
    ctx.db.add(router)
    ctx.db.flush()
    if isinstance(body.external_gateway_info, Gateway) and body.external_gateway_info.network_id:
        set_gateway(ctx, router, body.external_gateway_info, "create")
    return router


def refuse_one_place(body: Create | Update) -> None:
    """OVN routes on every host and moves the gateway by itself: a router cannot be told to be otherwise."""
    for name in ("distributed", "ha"):
        if getattr(body, name) is False:
            raise BadRequest(f"Invalid input for {name}. Reason: every router is distributed and highly available.")


@routers.update
def update(ctx: Ctx, router: Router, body: Update) -> None:
    routers.guard(ctx, "update", body, router)
    refuse_one_place(body)
    for name in ("name", "description", "admin_state_up"):
        if (value := getattr(body, name)) is not UNSET:
            setattr(router, name, value)
    if body.external_gateway_info is not UNSET:
        wanted = body.external_gateway_info
        if isinstance(wanted, Gateway) and wanted.network_id:
            set_gateway(ctx, router, wanted, "update")
        else:
            clear_gateway(ctx, router)
    if body.routes is not UNSET:
        set_routes(ctx, router, [{"destination": one.destination, "nexthop": one.nexthop} for one in body.routes or []])


@routers.delete
def delete(ctx: Ctx, router: Router) -> None:
    if ctx.db.scalar(select(Port.id).where(Port.device_id == router.id, Port.device_owner == INTERFACE).limit(1)):
        raise RouterInUse(f"Router {router.id} still has ports")
    clear_gateway(ctx, router)


@routers.action("add_router_interface")
def add_router_interface(ctx: Ctx, router: Router, body: interfaces.Interface) -> Json:
    """Add an interface to a router."""
    return interfaces.add(ctx, router, body)


@routers.action("remove_router_interface")
def remove_router_interface(ctx: Ctx, router: Router, body: interfaces.Interface) -> Json:
    """Remove an interface from a router."""
    return interfaces.take(ctx, router, body)


@network.call("PUT", "/v2.0/routers/{router_id}/add_extraroutes", rule="update_router", body=envelope("router", Routes))
def add_extraroutes(ctx: Ctx, body: Any) -> Json:
    """Add routes to a router; those that are there already stay."""
    return change_routes(ctx, lambda present, given: [*present, *(one for one in given if one not in present)], body)


@network.call(
    "PUT", "/v2.0/routers/{router_id}/remove_extraroutes", rule="update_router", body=envelope("router", Routes)
)
def remove_extraroutes(ctx: Ctx, body: Any) -> Json:
    """Take routes from a router."""
    return change_routes(ctx, lambda present, given: [one for one in present if one not in given], body)


def change_routes(ctx: Ctx, change: Any, body: Any) -> Json:
    router = routers.find(ctx, ctx.path["router_id"], "update_router")
    given = [{"destination": one.destination, "nexthop": one.nexthop} for one in body.router.routes]
    set_routes(ctx, router, change(router.routes, given))
    ctx.db.flush()
    routers.changed(ctx, router)
    return routers.enclose(ctx, routers.views(ctx, [router])[0])


# The gateway --------------------------------------------------------------------------------------------------------
def set_gateway(ctx: Ctx, router: Router, wanted: Gateway, action: str) -> None:
    outside = ctx.db.get(Network, networks.seen(ctx, str(wanted.network_id)).id)
    assert outside
    if not outside.external:
        raise BadRequest(f"Bad router request: Network {outside.id} is not an external network.")
    if wanted.enable_snat not in (UNSET, True):
        ctx.require(f"{action}_router:external_gateway_info:enable_snat", router)
    if isinstance(wanted.external_fixed_ips, list) and wanted.external_fixed_ips:
        ctx.require(f"{action}_router:external_gateway_info:external_fixed_ips", router)
    router.enable_snat = router.enable_snat if wanted.enable_snat is UNSET else bool(wanted.enable_snat)
    given = wanted.external_fixed_ips if isinstance(wanted.external_fixed_ips, list) else []
    if router.external_network_id == outside.id and not given:
        return
    its = ctx.db.scalars(select(Subnet).where(Subnet.network_id == outside.id)).all()
    for _, subnet, _ in interfaces.legs(ctx, router.id):
        for other in its:
            one, two = ip_network(subnet.cidr), ip_network(other.cidr)
            if subnet.network_id != router.external_network_id and one.version == two.version and one.overlaps(two):
                raise BadRequest(
                    f"Bad router request: Cidr {two} of the external network overlaps with cidr {one} of subnet {subnet.id}."
                )
    clear_gateway(ctx, router, moving_to=outside.id)
    wishes = [Wanted(one.subnet_id or "", one.ip_address or "") for one in given] or None
    wish = Wish(project_id="", device_owner=GATEWAY, device_id=router.id, fixed_ips=wishes)
    port = new_port(ctx, outside, wish)
    router.gateway_port_id, router.external_network_id = port.id, outside.id


def clear_gateway(ctx: Ctx, router: Router, *, moving_to: str = "") -> None:
    if not router.gateway_port_id:
        return
    led = ctx.db.scalar(select(FloatingIp.id).where(FloatingIp.router_id == router.id).limit(1))
    if led and moving_to != router.external_network_id:
        raise RouterExternalGatewayInUseByFloatingIp(
            f"Gateway cannot be updated for router {router.id}, since a gateway to external network {router.external_network_id}"
            " is required by one or more floating IPs."
        )
    port = ctx.db.get(Port, router.gateway_port_id)
    router.gateway_port_id = router.external_network_id = None
    if port:
        interfaces.drop(ctx, port)


# Routes -------------------------------------------------------------------------------------------------------------
def set_routes(ctx: Ctx, router: Router, wanted: list[dict[str, str]]) -> None:
    if len(wanted) > MOST_ROUTES:
        raise InvalidRoutes(
            f"Unable to complete operation for {router.id}. The number of routes exceeds the maximum {MOST_ROUTES}."
        )
    legs = interfaces.legs(ctx, router.id)
    seen = set()
    for one in wanted:
        try:
            destination, nexthop = ip_network(one["destination"]), ip_address(one["nexthop"])
        except ValueError as error:
            raise BadRequest(f"Invalid input for routes. Reason: {error}.") from error
        if destination.version != nexthop.version:
            raise InvalidRoutes(
                f"Invalid format for routes: {one}, destination and nexthop are of different IP versions"
            )
        if (destination, nexthop) in seen:
            raise BadRequest(f"Invalid input for routes. Reason: Duplicate hostroute '{one}'.")
        seen.add((destination, nexthop))
        if not any(nexthop in ip_network(subnet.cidr) for _, subnet, _ in legs):
            raise InvalidRoutes(f"Invalid format for routes: {one}, the nexthop is not connected with router")
        if any(nexthop == ip_address(address) for _, _, address in legs):
            raise InvalidRoutes(f"Invalid format for routes: {one}, the nexthop is used by router")
    router.routes = wanted


def legs_changed(db: Session, port_ids: Sequence[str]) -> None:
    """A router's rows tell the addresses of its ports."""
    legs = Port.id.in_(port_ids) & Port.device_owner.in_((INTERFACE, GATEWAY))
    wake_all(db, [(Router.__tablename__, router_id) for router_id in db.scalars(select(Port.device_id).where(legs))])


hooks.port_changed.append(legs_changed)
