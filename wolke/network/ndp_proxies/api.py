"""NDP proxies.

API:  https://docs.openstack.org/api-ref/network/v2/#ndp-proxy
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, UnsetType
from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.core.bodies import take_over
from wolke.core.db import Json
from wolke.core.errors import BadRequest, Conflict
from wolke.core.http import Ctx
from wolke.core.work import wake
from wolke.network import hooks
from wolke.network.addresses import ip_address
from wolke.network.ndp_proxies import gateways
from wolke.network.ndp_proxies.table import NdpProxy
from wolke.network.ports import ipam
from wolke.network.ports.api import ports
from wolke.network.ports.make import free_mac
from wolke.network.routers.api import routers
from wolke.network.routers.errors import (
    AddressScopeConflict,
    InvalidAddress,
    NDPProxyNotFound,
    PortUnreachableRouter,
    RouterNDPProxyNotEnable,
)
from wolke.network.routers.table import Router
from wolke.network.service import Collection, CreateBody, UpdateBody, standard, taggable


# What the API takes and gives ---------------------------------------------------------------------------------------
class Create(CreateBody, kw_only=True):
    router_id: str
    port_id: str
    ip_address: str | UnsetType | None = UNSET


class Update(UpdateBody):
    pass


def view(one: Any) -> Json:
    shown = standard(one) | {"router_id": one.router_id, "port_id": one.port_id, "ip_address": one.ip_address}
    del shown["tags"]
    return shown


# What the calls do --------------------------------------------------------------------------------------------------
ndp_proxies: Collection[NdpProxy] = Collection(
    "/v2.0/ndp_proxies", "ndp_proxy", "ndp_proxies", NdpProxy, view, error=NDPProxyNotFound, title="Ndp proxy",
    private=("seen_revision", "deleting", "mac_address"),
)  # fmt: skip
taggable.pop("ndp_proxies")  # they bear no tags


@ndp_proxies.create
def create(ctx: Ctx, body: Create) -> NdpProxy:
    router = ctx.db.get(Router, routers.seen(ctx, body.router_id).id, with_for_update=True)
    port = ports.seen(ctx, body.port_id)
    assert router
    if not router.enable_ndp_proxy:
        raise RouterNDPProxyNotEnable(
            f"The enable_ndp_proxy parameter of router {router.id} must be set as True while create ndp proxy entry on it."
        )
    address, subnet_id = chosen(ctx, router, port, body.ip_address or "")
    outer = gateways.scopes_of_port(ctx.db, router.gateway_port_id) - {""}
    inner = gateways.scope_of_subnet(ctx.db, subnet_id)
    if inner not in outer:
        raise AddressScopeConflict(
            f"The IPv6 address scope {', '.join(sorted(outer)) or None} of external network conflict with internal network's"
            f" IPv6 address scope {inner or None}."
        )
    twin = select(NdpProxy.id).where(NdpProxy.router_id == router.id, NdpProxy.ip_address == address)
    if ctx.db.scalar(twin):
        raise Conflict(f"Router {router.id} has an ndp proxy for address {address} already.")
    return NdpProxy(
        project_id=ndp_proxies.project_of(ctx, body), name=body.name, description=body.description, router_id=router.id,
        port_id=port.id, ip_address=address, mac_address=free_mac(ctx.db, str(router.external_network_id)),
    )  # fmt: skip


def chosen(ctx: Ctx, router: Router, port: Any, wanted: str) -> tuple[str, str]:
    """(address, its subnet): the one asked for, else the port's first that the router reaches.

    Raises
    ------
    BadRequest: the port has no IPv6 address; InvalidAddress: not this port's, or not behind this router; PortUnreachableRouter
    """
    held, reached = gateways.held_by(ctx.db, port.id), gateways.subnets_of_router(ctx.db, router.id)
    if wanted:
        try:
            address = str(ip_address(wanted))
        except ValueError as error:
            raise BadRequest(f"Invalid input for ip_address. Reason: '{wanted}' is not a valid IP address.") from error
        if address not in held:
            raise InvalidAddress(
                f"The address {address} is invalid, reason: This address not belong to the port {port.id}."
            )
        if held[address] not in reached:
            raise InvalidAddress(
                f"The address {address} is invalid, reason: This address cannot reach the router {router.id}."
            )
        return address, held[address]
    if not held:
        raise BadRequest(f"Bad ndp_proxy request: Requested port {port.id} must allocate one IPv6 address at least.")
    for address, subnet_id in held.items():
        if subnet_id in reached:
            return address, subnet_id
    raise PortUnreachableRouter(f"The port {port.id} cannot reach the router {router.id} by IPv6 subnet.")


@ndp_proxies.update
def update(ctx: Ctx, one: NdpProxy, body: Update) -> None:
    take_over(one, body, "name", "description")


@ndp_proxies.delete
def delete(ctx: Ctx, one: NdpProxy) -> None:
    """Nothing stands on it."""


def drop(db: Session, gone: Sequence[NdpProxy]) -> None:
    for one in gone:
        wake(db, NdpProxy.__tablename__, one.id)
        db.delete(one)
    db.flush()


def ports_gone(db: Session, port_ids: Sequence[str]) -> None:
    drop(db, db.scalars(select(NdpProxy).where(NdpProxy.port_id.in_(port_ids))).all())


def ports_changed(db: Session, port_ids: Sequence[str]) -> None:
    """One goes with the address that it answers for."""
    db.flush()
    held = ipam.held(db, port_ids)
    found = db.scalars(select(NdpProxy).where(NdpProxy.port_id.in_(port_ids))).all()
    drop(db, [one for one in found if (one.port_id, one.ip_address) not in held])


hooks.port_goes.append(ports_gone)
hooks.port_changed.append(ports_changed)
