"""A router's gateways: its ports on external networks. The first is the one that ``external_gateway_info`` tells of.

API:  https://docs.openstack.org/api-ref/network/v2/#add-external-gateways-to-router
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network

from sqlalchemy import select

from wolke.core.bodies import UNSET
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.network import hooks, security_groups
from wolke.network.floating_ips.table import FloatingIp
from wolke.network.ndp_proxies import gateways as ndp
from wolke.network.networks.api import networks
from wolke.network.networks.table import Network
from wolke.network.owners import GATEWAY
from wolke.network.ports.make import Wanted, Wish, new_port, readdress
from wolke.network.ports.table import FixedIp, Port
from wolke.network.qos import policies
from wolke.network.routers import interfaces
from wolke.network.routers.bodies import Gateway
from wolke.network.routers.errors import (
    RouterExternalGatewayInUseByFloatingIp,
    UnableToMatchGateways,
    UnableToRemoveGateways,
)
from wolke.network.routers.table import Router
from wolke.network.routers.wakes import rewake
from wolke.network.subnets.table import Subnet


# One gateway: external_gateway_info --------------------------------------------------------------------------------
def set_gateway(ctx: Ctx, router: Router, wanted: Gateway, rule: str) -> None:
    """The first gateway is to be this one. ``rule`` : policy name of the attribute, for rules of what is inside it."""
    outside = allowed(ctx, router, wanted, rule)
    translate(router, wanted)
    port = ctx.db.get(Port, router.gateway_port_id) if router.gateway_port_id else None
    if port and port.network_id == outside.id:
        change(ctx, router, port, wanted)
        return
    if port:
        drop(ctx, router, port)
    first(router, add(ctx, router, outside, wanted))
    refuse_stranded(ctx, router)


def clear_gateway(ctx: Ctx, router: Router) -> None:
    """The first gateway goes; another one, where there is one, is the first then."""
    if router.gateway_port_id and (port := ctx.db.get(Port, router.gateway_port_id)):
        drop(ctx, router, port)
    refuse_stranded(ctx, router)


# Several: external_gateways ----------------------------------------------------------------------------------------
def add_gateways(ctx: Ctx, router: Router, wanted: Sequence[Gateway], rule: str) -> None:
    for one in wanted:
        port = add(ctx, router, allowed(ctx, router, one, rule), one)
        translate(router, one)
        if not router.gateway_port_id:
            first(router, port)


def remove_gateways(ctx: Ctx, router: Router, wanted: Sequence[Gateway], rule: str) -> None:
    """
    Raises
    ------
    UnableToRemoveGateways: the router has none; UnableToMatchGateways: none or several answer a description
    """
    if wanted and not present(ctx, router):
        raise UnableToRemoveGateways(
            f"Unable to remove extra gateways from a router {router.id}: the router does not have any external gateways."
        )
    going = {}
    for one in wanted:
        allowed(ctx, router, one, "")
        port = match(one, present(ctx, router))
        if port is None or not holds(ctx, port, one):
            raise unmatched(router, f"could not match a gateway port attached to network {one.network_id}")
        going[port.id] = port
    for port in going.values():
        drop(ctx, router, port)
    refuse_stranded(ctx, router)


def update_gateways(ctx: Ctx, router: Router, wanted: Sequence[Gateway], rule: str) -> None:
    """Exactly these gateways, in this order; those that are there and match are kept."""
    left = present(ctx, router)
    matched: list[tuple[Gateway, Network, Port | None]] = []
    for one in wanted:
        outside = allowed(ctx, router, one, rule)
        port = match(one, left)
        left = [other for other in left if other is not port]
        matched.append((one, outside, port))
    for port in left:
        drop(ctx, router, port)
    router.gateway_port_id = router.external_network_id = None
    for one, outside, kept in matched:
        translate(router, one)
        if kept:
            change(ctx, router, kept, one)
        port = kept or add(ctx, router, outside, one)
        if not router.gateway_port_id:
            first(router, port)
    refuse_stranded(ctx, router)


def present(ctx: Ctx, router: Router) -> list[Port]:
    """Gateway ports, the first gateway first."""
    query = select(Port).where(Port.device_id == router.id, Port.device_owner == GATEWAY)
    ports = ctx.db.scalars(query.order_by(Port.created_at, Port.id))
    return sorted(ports, key=lambda port: port.id != router.gateway_port_id)


def match(wanted: Gateway, among: Sequence[Port]) -> Port | None:
    """The gateway on the network that a description names."""
    return next((port for port in among if port.network_id == wanted.network_id), None)


def holds(ctx: Ctx, port: Port, wanted: Gateway) -> bool:
    """Whether a gateway has one of the addresses that a description names, if it names any."""
    addresses = {one.ip_address for one in wanted.addresses() if one.ip_address}
    query = select(FixedIp.port_id).where(FixedIp.port_id == port.id, FixedIp.ip_address.in_(addresses))
    return not addresses or ctx.db.execute(query.limit(1)).first() is not None


def unmatched(router: Router, reason: str) -> UnableToMatchGateways:
    return UnableToMatchGateways(
        f"Unable to match a requested gateway port to existing gateway ports for router {router.id}: {reason}."
    )


def translate(router: Router, wanted: Gateway) -> None:
    """Source NAT is switched for a whole router, whichever of its gateways says so."""
    if wanted.enable_snat is not UNSET:
        router.enable_snat = bool(wanted.enable_snat)


# Steps of all of them ------------------------------------------------------------------------------------------------
def allowed(ctx: Ctx, router: Router, wanted: Gateway, rule: str) -> Network:
    """The external network of a gateway that the caller may have so. ``rule`` "" asks for no rights to its attributes.

    Raises
    ------
    NetworkNotFound; BadRequest: not external; Forbidden: enable_snat or external_fixed_ips are not the caller's to choose
    """
    if not wanted.network_id:
        raise BadRequest("Invalid input for external_gateways. Reason: network_id is missing.")
    outside = ctx.db.get(Network, networks.seen(ctx, wanted.network_id).id)
    assert outside
    if not outside.external:
        raise BadRequest(f"Bad router request: Network {outside.id} is not an external network.")
    if rule and wanted.enable_snat not in (UNSET, True):
        ctx.require(f"{rule}:enable_snat", router)
    if rule and wanted.addresses():
        ctx.require(f"{rule}:external_fixed_ips", router)
    return outside


def add(ctx: Ctx, router: Router, outside: Network, wanted: Gateway) -> Port:
    """A new gateway port.

    Raises
    ------
    BadRequest: the router has one there already, and knows one way to a network; or the subnets overlap others of the router
    """
    if match(wanted, present(ctx, router)):
        raise BadRequest(f"Bad router request: Router {router.id} already has a gateway on network {outside.id}.")
    its = ctx.db.scalars(select(Subnet).where(Subnet.network_id == outside.id)).all()
    for _, subnet, _ in interfaces.legs(ctx, router.id):
        for other in its:
            one, two = ip_network(subnet.cidr), ip_network(other.cidr)
            if subnet.network_id != outside.id and one.version == two.version and one.overlaps(two):
                raise BadRequest(
                    f"Bad router request: Cidr {two} of the external network overlaps with cidr {one} of subnet {subnet.id}."
                )
    wish = Wish(project_id="", device_owner=GATEWAY, device_id=router.id, fixed_ips=wishes(wanted))
    port = new_port(ctx, outside, wish)
    if isinstance(wanted.qos_policy_id, str):
        port.qos_policy_id = policies.usable_outside(ctx, wanted.qos_policy_id, by="router gateways")
    if wanted.security_groups:
        security_groups.put_on(ctx, port, wanted.security_groups, router.project_id)
    return port


def change(ctx: Ctx, router: Router, port: Port, wanted: Gateway) -> None:
    """A gateway that stays gets the addresses and the QoS policy that were asked for."""
    if (addresses := wishes(wanted)) is not None:
        readdress(ctx.db, port, addresses, old_mac=port.mac_address)
        hooks.tell(hooks.port_changed, ctx.db, [port.id])
    ndp.refuse_unanswered(ctx.db, router)
    if wanted.qos_policy_id is not UNSET:
        asked = wanted.qos_policy_id or None
        port.qos_policy_id = policies.usable_outside(ctx, asked, port.qos_policy_id, by="router gateways")
    if wanted.security_groups is not UNSET:
        security_groups.put_on(ctx, port, wanted.security_groups or (), router.project_id)
    ctx.wake(Port.__tablename__, port.id)
    rewake(ctx.db, router.id)


def wishes(wanted: Gateway) -> list[Wanted] | None:
    return [Wanted(one.subnet_id or "", one.ip_address or "") for one in wanted.addresses()] or None


def first(router: Router, port: Port) -> None:
    router.gateway_port_id, router.external_network_id = port.id, port.network_id


def drop(ctx: Ctx, router: Router, port: Port) -> None:
    """One gateway goes; where it was the first, the oldest of the others takes its place."""
    interfaces.drop(ctx, port)
    ctx.db.flush()
    if router.gateway_port_id == port.id:
        router.gateway_port_id = router.external_network_id = None
        for other in present(ctx, router)[:1]:
            first(router, other)


def refuse_stranded(ctx: Ctx, router: Router) -> None:
    """Raises RouterExternalGatewayInUseByFloatingIp: a floating IP is left on a network where the router has no gateway."""
    ctx.db.flush()
    out = {port.network_id for port in present(ctx, router)}
    led = ctx.db.scalars(select(FloatingIp.floating_network_id).where(FloatingIp.router_id == router.id).distinct())
    for network_id in led:
        if network_id not in out:
            raise RouterExternalGatewayInUseByFloatingIp(
                f"Gateway cannot be updated for router {router.id}, since a gateway to external network {network_id}"
                " is required by one or more floating IPs."
            )
    ndp.refuse_unanswered(ctx.db, router)
    rewake(ctx.db, router.id)
