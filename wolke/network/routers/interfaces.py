"""Router interfaces: a router's ports on a project's own networks.

API:  https://docs.openstack.org/api-ref/network/v2/#add-interface-to-router
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from sqlalchemy import delete, select

from wolke.core.bodies import UNSET, Body, UnsetType
from wolke.core.db import Json
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.network import rbac, security_groups
from wolke.network.floating_ips.table import FloatingIp, PortForwarding
from wolke.network.ndp_proxies.table import NdpProxy
from wolke.network.networks.table import Network
from wolke.network.owners import INTERFACE
from wolke.network.ports.api import ports, touch
from wolke.network.ports.make import Wanted, Wish, add_addresses, assign, new_port
from wolke.network.ports.table import FixedIp, Port
from wolke.network.routers.errors import (
    RouterInterfaceInUseByFloatingIP,
    RouterInterfaceInUseByNDPProxy,
    RouterInterfaceInUseByRoute,
    RouterInterfaceNotFound,
    RouterInterfaceNotFoundForSubnet,
)
from wolke.network.routers.table import Router
from wolke.network.routers.wakes import rewake
from wolke.network.subnets.api import subnets
from wolke.network.subnets.table import Subnet
from wolke.network.zones.hosts import gateways_change


class Interface(Body):
    subnet_id: str | UnsetType = UNSET
    port_id: str | UnsetType = UNSET


def described(router: Router, port: Port, subnet_ids: list[str]) -> Json:
    """What both calls answer."""
    return {
        "id": router.id, "project_id": router.project_id, "tenant_id": router.project_id, "port_id": port.id,
        "network_id": port.network_id, "subnet_id": subnet_ids[0], "subnet_ids": subnet_ids, "tags": router.tags,
    }  # fmt: skip


def legs(ctx: Ctx, router_id: str) -> list[tuple[Port, Subnet, str]]:
    """(port, subnet, address) of all of a router's ports."""
    query = (
        select(Port, Subnet, FixedIp.ip_address)
        .join(FixedIp, FixedIp.port_id == Port.id)
        .join(Subnet, Subnet.id == FixedIp.subnet_id)
    )
    return [
        (port, subnet, address) for port, subnet, address in ctx.db.execute(query.where(Port.device_id == router_id))
    ]


def add(ctx: Ctx, router: Router, body: Interface) -> Json:
    """Add an interface to a router."""
    if (body.subnet_id is UNSET) == (body.port_id is UNSET):
        raise BadRequest("Bad router request: Either subnet_id or port_id must be specified, and not both.")
    if isinstance(body.port_id, str):
        return by_port(ctx, router, body.port_id)
    subnet = ctx.db.get(Subnet, subnets.seen(ctx, str(body.subnet_id)).id)
    assert subnet
    if not subnet.gateway_ip:
        raise BadRequest(
            f"Bad router request: Subnet for router interface must have a gateway IP (subnet {subnet.id})."
        )
    network = ctx.db.get(Network, subnet.network_id)
    assert network
    rewake(ctx.db, router.id)
    gateways_change(ctx.db, [network.id])
    if network.external and not ctx.caller.is_admin and network.project_id != ctx.caller.project_id:
        raise BadRequest(f"Bad router request: network {network.id} is not one of this project's.")
    # a network of everybody's keeps its gateway address; who is trusted by name may be the gateway, as with Neutron
    trusted = {subnet.project_id} | rbac.targets(ctx.db, "network", network.id)
    if ctx.caller.project_id not in trusted and not ctx.caller.is_admin:
        raise BadRequest(
            f"Bad router request: Cannot add interface to router because subnet {subnet.id} is not owned by project making"
            " the request."
        )
    present = legs(ctx, router.id)
    check_room(present, [subnet])
    if subnet.ip_version == 6:
        for port, other, _ in present:
            if port.network_id == subnet.network_id and other.ip_version == 6 and port.device_owner == INTERFACE:
                given = assign(ctx.db, network.id, [Wanted(subnet.id, subnet.gateway_ip)], port.mac_address, INTERFACE)
                add_addresses(ctx.db, port, given, first=len(present))
                touch(ctx, port)
                ctx.wake(Port.__tablename__, port.id)
                return described(router, port, [subnet.id])
    wish = Wish(
        project_id=router.project_id, device_owner=INTERFACE, device_id=router.id,
        fixed_ips=[Wanted(subnet.id, subnet.gateway_ip)],
    )  # fmt: skip
    port = new_port(ctx, network, wish)
    return described(router, port, [subnet.id])


def by_port(ctx: Ctx, router: Router, port_id: str) -> Json:
    port = ports.find(ctx, port_id, "update_port")
    if port.device_id and port.device_id != router.id:
        raise BadRequest(f"Bad router request: port {port.id} is in use by {port.device_owner} {port.device_id}.")
    rows = ctx.db.execute(
        select(FixedIp.subnet_id, FixedIp.ip_address).where(FixedIp.port_id == port.id).order_by(FixedIp.position)
    )
    held = [subnet_id for subnet_id, _ in rows]
    if not held:
        raise BadRequest(f"Bad router request: Router port must have at least one fixed IP (port {port.id}).")
    rewake(ctx.db, router.id)
    its = [subnet for id in held if (subnet := ctx.db.get(Subnet, id))]
    if sum(subnet.ip_version == 4 for subnet in its) > 1:
        raise BadRequest("Bad router request: Cannot have multiple IPv4 subnets on router port.")
    check_room(legs(ctx, router.id), its)
    port.device_id, port.device_owner, port.project_id = router.id, INTERFACE, port.project_id or router.project_id
    security_groups.take_off(ctx.db, port)  # what was for a server; a router's port begins open
    ctx.wake(Port.__tablename__, port.id)
    return described(router, port, held)


def check_room(present: list[tuple[Port, Subnet, str]], wanted: list[Subnet]) -> None:
    """Raises BadRequest where a subnet is there already or overlaps another."""
    for subnet in wanted:
        for _, other, _ in present:
            if other.id == subnet.id:
                raise BadRequest(f"Bad router request: Router already has a port on subnet {subnet.id}.")
            one, two = ip_network(subnet.cidr), ip_network(other.cidr)
            if one.version == two.version and one.overlaps(two):
                raise BadRequest(
                    f"Bad router request: Cidr {subnet.cidr} of subnet {subnet.id} overlaps with cidr {other.cidr} of subnet {other.id}."
                )


def take(ctx: Ctx, router: Router, body: Interface) -> Json:
    """Remove an interface from a router."""
    if body.subnet_id is UNSET and body.port_id is UNSET:
        raise BadRequest("Bad router request: Either subnet_id or port_id must be specified.")
    mine = [leg for leg in legs(ctx, router.id) if leg[0].device_owner == INTERFACE]
    chosen = [leg for leg in mine if body.port_id in (UNSET, leg[0].id) and body.subnet_id in (UNSET, leg[1].id)]
    if not chosen:
        if isinstance(body.port_id, str):
            raise RouterInterfaceNotFound(f"Router {router.id} does not have an interface with id {body.port_id}.")
        raise RouterInterfaceNotFoundForSubnet(f"Router {router.id} has no interface on subnet {body.subnet_id}.")
    port = chosen[0][0]
    leaving = [subnet for leg_port, subnet, _ in mine if leg_port.id == port.id]
    if port_has_more := body.port_id is UNSET and len(leaving) > 1:
        leaving = [subnet for _, subnet, _ in chosen]
    for subnet in leaving:
        check_unused(ctx, router, subnet)
        refuse_answered(ctx, router, subnet)
    rewake(ctx.db, router.id)
    gateways_change(ctx.db, [port.network_id])
    shown = described(router, port, [subnet.id for subnet in leaving])
    if port_has_more:
        ctx.db.execute(delete(FixedIp).where(FixedIp.port_id == port.id, FixedIp.subnet_id == leaving[0].id))
        touch(ctx, port)
        ctx.wake(Port.__tablename__, port.id)
    else:
        drop(ctx, port)
    return shown


def check_unused(ctx: Ctx, router: Router, subnet: Subnet) -> None:
    network = ip_network(subnet.cidr)
    for route in router.routes:
        if ip_address(route["nexthop"]) in network:
            raise RouterInterfaceInUseByRoute(
                f"Router interface for subnet {subnet.id} on router {router.id} cannot be deleted, as it is"
                " required by one or more routes."
            )
    leading: Any = select(FloatingIp.id).join(FixedIp, FixedIp.port_id == FloatingIp.port_id)
    leading = leading.where(
        FloatingIp.router_id == router.id,
        FixedIp.subnet_id == subnet.id,
        FixedIp.ip_address == FloatingIp.fixed_ip_address,
    )
    forwarding: Any = select(PortForwarding.id).join(FixedIp, FixedIp.port_id == PortForwarding.internal_port_id)
    forwarding = forwarding.join(FloatingIp, FloatingIp.id == PortForwarding.floating_ip_id).where(
        FloatingIp.router_id == router.id,
        FixedIp.subnet_id == subnet.id,
        FixedIp.ip_address == PortForwarding.internal_ip_address,
    )
    if any(ctx.db.scalar(query.limit(1)) for query in (leading, forwarding)):
        raise RouterInterfaceInUseByFloatingIP(
            f"Router interface for subnet {subnet.id} on router {router.id} cannot be deleted, as it is"
            " required by one or more floating IPs."
        )


def refuse_answered(ctx: Ctx, router: Router, subnet: Subnet) -> None:
    """Raises RouterInterfaceInUseByNDPProxy: the router answers for an address of the subnet."""
    answered = select(NdpProxy.id).join(FixedIp, FixedIp.port_id == NdpProxy.port_id)
    answered = answered.where(FixedIp.ip_address == NdpProxy.ip_address, FixedIp.subnet_id == subnet.id)
    if ctx.db.scalar(answered.where(NdpProxy.router_id == router.id).limit(1)):
        raise RouterInterfaceInUseByNDPProxy(
            f"Unable to remove subnet {subnet.id} from router {router.id}, There are one or more ndp proxies still in use on"
            " the subnet."
        )


def drop(ctx: Ctx, port: Port) -> None:
    """Delete a port of a router or a floating IP; its addresses go with it."""
    security_groups.take_off(ctx.db, port)
    ctx.db.delete(port)
    ctx.wake(Port.__tablename__, port.id)
