"""Whether a router's gateway may answer for IPv6 addresses behind it.

Only within one address scope: the pools of a scope are the operator's, so nobody has a router answer for an address that is not his.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.core.http import Ctx
from wolke.network.ndp_proxies.table import NdpProxy
from wolke.network.owners import INTERFACE
from wolke.network.ports.table import FixedIp, Port
from wolke.network.routers.errors import RouterGatewayInUseByNDPProxy, RouterGatewayNotValid, RouterIPv6GatewayInUse
from wolke.network.routers.table import Router
from wolke.network.subnetpools.table import SubnetPool
from wolke.network.subnets.table import Subnet


def scopes_of_port(db: Session, port_id: str | None) -> set[str]:
    """The address scopes of a port's IPv6 addresses; "" for an address of none."""
    query = select(SubnetPool.address_scope_id).select_from(FixedIp).join(Subnet, Subnet.id == FixedIp.subnet_id)
    query = query.outerjoin(SubnetPool, SubnetPool.id == Subnet.subnetpool_id)
    return {scope or "" for scope in db.scalars(query.where(FixedIp.port_id == port_id, Subnet.ip_version == 6))}


def scope_of_subnet(db: Session, subnet_id: str) -> str:
    """The address scope of a subnet, "" for none."""
    query = select(SubnetPool.address_scope_id).join(Subnet, Subnet.subnetpool_id == SubnetPool.id)
    return db.scalar(query.where(Subnet.id == subnet_id)) or ""


def switch(ctx: Ctx, router: Router, wanted: bool | None) -> None:
    """Let the router answer, or not; ``None`` leaves it as it is.

    Raises
    ------
    RouterGatewayNotValid: its gateway has no IPv6 address in an address scope; RouterGatewayInUseByNDPProxy: it answers for some
    """
    if wanted is None or wanted == router.enable_ndp_proxy:
        return
    if wanted and not scopes_of_port(ctx.db, router.gateway_port_id) - {""}:
        raise RouterGatewayNotValid(
            f"Can not enable ndp proxy on router {router.id}, The router has no external gateway or the external gateway port"
            " has no IPv6 address or IPv6 address scope."
        )
    if not wanted and used(ctx.db, router.id):
        raise RouterGatewayInUseByNDPProxy(
            f"Unable to disable ndp proxy on router {router.id}, There are one or more ndp proxies still in use on the router."
        )
    router.enable_ndp_proxy = wanted


def used(db: Session, router_id: str) -> bool:
    return db.scalar(select(NdpProxy.id).where(NdpProxy.router_id == router_id).limit(1)) is not None


def refuse_unanswered(db: Session, router: Router) -> None:
    """After the gateway has changed.

    Raises
    ------
    RouterGatewayInUseByNDPProxy: it is gone; RouterIPv6GatewayInUse: it has no IPv6 address any more
    """
    if not router.gateway_port_id:
        if used(db, router.id):
            raise RouterGatewayInUseByNDPProxy(
                f"Unable to unset external gateway of router {router.id}, There are one or more ndp proxies still in use on"
                " the router."
            )
        router.enable_ndp_proxy = False
    elif router.enable_ndp_proxy and not scopes_of_port(db, router.gateway_port_id) - {""}:
        raise RouterIPv6GatewayInUse(
            f"Can't remove the IPv6 subnet from external gateway of router {router.id}, the IPv6 subnet in use by the"
            " router's ndp proxy."
        )


def held_by(db: Session, port_id: str) -> Mapping[str, str]:
    """IPv6 address -> subnet of a port, in their order."""
    query = select(FixedIp.ip_address, FixedIp.subnet_id).join(Subnet, Subnet.id == FixedIp.subnet_id)
    rows = db.execute(query.where(FixedIp.port_id == port_id, Subnet.ip_version == 6).order_by(FixedIp.position))
    return {row.ip_address: row.subnet_id for row in rows}


def subnets_of_router(db: Session, router_id: str) -> Sequence[str]:
    """The subnets that a router has an IPv6 leg on."""
    query = (
        select(FixedIp.subnet_id).join(Port, Port.id == FixedIp.port_id).join(Subnet, Subnet.id == FixedIp.subnet_id)
    )
    inside = Port.device_owner == INTERFACE
    return db.scalars(query.where(Port.device_id == router_id, inside, Subnet.ip_version == 6)).all()
