"""Floating IPs.

API:  https://docs.openstack.org/api-ref/network/v2/#floating-ips-floatingips
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import UNSET, UnsetType
from sqlalchemy import ColumnElement, case, false, or_, select
from sqlalchemy import delete as remove
from sqlalchemy.orm import Session

from wolke.core import policy
from wolke.core.db import Json
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.core.quota import quota, rows_of
from wolke.core.work import wake, wake_all
from wolke.network import hooks, names
from wolke.network.ended import end
from wolke.network.errors import IpAddressGenerationFailure
from wolke.network.floating_ips import routed
from wolke.network.floating_ips.table import FloatingIp, PortForwarding
from wolke.network.networks.api import networks
from wolke.network.networks.table import Network
from wolke.network.owners import FLOATING, GATEWAY, INTERFACE
from wolke.network.ports import ipam
from wolke.network.ports.api import ports
from wolke.network.ports.make import Wanted, Wish, new_port, subnets_of
from wolke.network.ports.table import FixedIp, Port
from wolke.network.qos import bound
from wolke.network.qos import policies as qos
from wolke.network.routers.errors import (
    ExternalGatewayForFloatingIPNotFound,
    FipInUseByPortForwarding,
    FloatingIPNotFound,
    FloatingIPPortAlreadyAssociated,
    PortHasPortForwarding,
)
from wolke.network.routers.interfaces import drop
from wolke.network.routers.table import Router
from wolke.network.service import Collection, CreateBody, UpdateBody, standard
from wolke.network.subnets import checks
from wolke.network.subnets.table import Subnet

quota("network", "floatingip", 50, rows_of(FloatingIp))


# What the API takes and gives ---------------------------------------------------------------------------------------
Unpublished = Literal[""]  # of floating IPs a name service outside would be told, and there is none


class Create(CreateBody, kw_only=True):
    floating_network_id: str
    floating_ip_address: str | None = None
    subnet_id: str | None = None
    port_id: str | None = None
    fixed_ip_address: str | None = None
    qos_policy_id: str | None = None
    dns_name: Unpublished = ""
    dns_domain: Unpublished = ""


class Update(UpdateBody):
    port_id: str | UnsetType | None = UNSET
    fixed_ip_address: str | UnsetType | None = UNSET
    qos_policy_id: str | UnsetType | None = UNSET


def status_of(one: Any) -> str:
    """ACTIVE once OVN has the rule, DOWN while it leads nowhere or is under way."""
    return "ACTIVE" if one.router_id and one.seen_revision else "DOWN"


active = FloatingIp.router_id.is_not(None) & (FloatingIp.seen_revision > 0)


def by_status(ctx: Ctx, values: list[str]) -> ColumnElement[bool]:
    return or_(
        false(), *({"ACTIVE": active, "DOWN": ~active}[value] for value in values if value in ("ACTIVE", "DOWN"))
    )


def views(ctx: Ctx, found: Sequence[Any]) -> list[Json]:
    ids = {one.port_id for one in found if one.port_id}
    led = {port.id: port for port in ctx.db.execute(select(Port.__table__).where(Port.id.in_(ids)))} if ids else {}
    forwarded: dict[str, list[Json]] = {}
    query = select(PortForwarding.__table__).where(PortForwarding.floating_ip_id.in_([one.id for one in found]))
    for forwarding in ctx.db.execute(query.order_by(PortForwarding.created_at, PortForwarding.id)):
        forwarded.setdefault(forwarding.floating_ip_id, []).append(forwarding_details(forwarding))
    inherited = bound.policies_of(ctx.db, {one.floating_network_id for one in found})
    shown = []
    for one in found:
        item = standard(one) | {
            "floating_network_id": one.floating_network_id,
            "floating_ip_address": one.floating_ip_address,
            "port_id": one.port_id,
            "fixed_ip_address": one.fixed_ip_address,
            "router_id": one.router_id,
            "status": status_of(one),
            "qos_policy_id": one.qos_policy_id,
            "qos_network_policy_id": inherited[one.floating_network_id],
            "dns_name": "",
            "dns_domain": "",
            "port_details": port_details(led[one.port_id]) if one.port_id in led else None,
            "port_forwardings": forwarded.get(one.id, []),
        }
        del item["name"]
        shown.append(item)
    return shown


def port_details(port: Any) -> Json:
    return {
        "name": port.name, "network_id": port.network_id, "mac_address": port.mac_address, "admin_state_up": port.admin_state_up,
        "status": "ACTIVE" if port.seen_up else "DOWN", "device_id": port.device_id, "device_owner": port.device_owner,
    }  # fmt: skip


def forwarding_details(one: Any) -> Json:
    """What a floating IP shows of one of its port forwardings."""
    shown = {"id": one.id, "protocol": one.protocol, "internal_ip_address": one.internal_ip_address}
    shown["internal_port_id"] = one.internal_port_id
    for side in ("internal", "external"):
        first, last = getattr(one, f"{side}_first"), getattr(one, f"{side}_last")
        shown |= {f"{side}_port": first if first == last else None, f"{side}_port_range": f"{first}:{last}"}
    return shown


# What the calls do --------------------------------------------------------------------------------------------------
floating_ips: Collection[FloatingIp] = Collection(
    "/v2.0/floatingips", "floatingip", "floatingips", FloatingIp, views=views, quota="floatingip", error=FloatingIPNotFound,
    title="Floating IP", create_guards={"floating_ip_address": policy.admin},
    private=("seen_revision", "deleting", "mac_address", "floating_port_id"), filters={"status": by_status},
    computed={"status": case((active, "ACTIVE"), else_="DOWN")},
)  # fmt: skip


@floating_ips.create
def create(ctx: Ctx, body: Create) -> FloatingIp:
    outside = ctx.db.get(Network, networks.seen(ctx, body.floating_network_id).id)
    assert outside
    if not outside.external:
        raise BadRequest(f"Bad floatingip request: Network {outside.id} is not a valid external network.")
    made = FloatingIp(
        project_id=floating_ips.project_of(ctx, body), description=body.description, floating_network_id=outside.id
    )
    made.qos_policy_id = qos.usable_outside(ctx, body.qos_policy_id, by="floating IPs")
    port, address = hold(ctx, outside, body)
    made.floating_port_id, made.floating_ip_address, made.mac_address = port.id, address, port.mac_address
    if body.port_id:
        lead(ctx, made, body.port_id, body.fixed_ip_address)
    elif body.fixed_ip_address:
        raise BadRequest("Bad floatingip request: fixed_ip_address cannot be given without port_id.")
    ctx.db.add(made)
    ctx.db.flush()
    port.device_id = made.id
    return made


def hold(ctx: Ctx, outside: Network, body: Create) -> tuple[Port, str]:
    """A port on the external network that holds the address asked for, or one of the subnet asked for, or any free one."""
    asked = str(checks.address(body.floating_ip_address, "floating_ip_address")) if body.floating_ip_address else ""
    version = routed.version_for(ctx.db, body.port_id, body.fixed_ip_address)
    able = [subnet.id for subnet in subnets_of(ctx.db, outside.id) if subnet.ip_version == version]
    tried = [body.subnet_id or ""] if body.subnet_id or asked else able
    for subnet_id in tried:
        wish = Wish(
            project_id="",
            device_owner=FLOATING,
            device_id="PENDING",
            fixed_ips=[Wanted(subnet_id, asked)],
        )
        try:
            port = new_port(ctx, outside, wish)
        except IpAddressGenerationFailure:
            if subnet_id == tried[-1]:
                raise
            continue
        address = ctx.db.scalar(select(FixedIp.ip_address).where(FixedIp.port_id == port.id))
        if address is None:
            raise BadRequest(
                f"Bad floatingip request: Subnet {subnet_id} gives no addresses: ports there make their own (subnet_id)."
            )
        return port, address
    raise BadRequest(f"Bad floatingip request: Network {outside.id} does not contain any IPv{version} subnet.")


@floating_ips.update
def update(ctx: Ctx, one: FloatingIp, body: Update) -> None:
    if body.description is not UNSET:
        one.description = str(body.description)
    if body.qos_policy_id is not UNSET:
        one.qos_policy_id = qos.usable_outside(ctx, body.qos_policy_id, one.qos_policy_id, by="floating IPs")
    port_id = one.port_id if body.port_id is UNSET else body.port_id
    if port_id and (body.port_id is not UNSET or body.fixed_ip_address is not UNSET):
        lead(ctx, one, port_id, body.fixed_ip_address or None)
    elif body.fixed_ip_address:
        raise BadRequest("Bad floatingip request: fixed_ip_address cannot be given without port_id.")
    elif body.port_id is not UNSET and one.port_id:
        nowhere(ctx.db, one)


@floating_ips.delete
def delete(ctx: Ctx, one: FloatingIp) -> None:
    refuse_forwarding(ctx, one)
    nowhere(ctx.db, one)
    if port := ctx.db.get(Port, one.floating_port_id):
        drop(ctx, port)


def refuse_forwarding(ctx: Ctx, one: FloatingIp) -> None:
    """Raises FipInUseByPortForwarding."""
    if ctx.db.scalar(select(PortForwarding.id).where(PortForwarding.floating_ip_id == one.id).limit(1)):
        raise FipInUseByPortForwarding(f"Floating IP {one.id} in use by Port Forwarding resources.")


def nowhere(db: Session, one: FloatingIp) -> None:
    """A floating IP leads nowhere from now on, and nothing that was begun by it goes on."""
    routed.tell_port(db, one)
    if one.port_id:
        end(db, one.floating_ip_address)
    one.port_id = one.fixed_ip_address = one.router_id = None


def lead(ctx: Ctx, one: FloatingIp, port_id: str, fixed_ip: str | None) -> None:
    """Lead a floating IP to a port that the caller may use, by the router that joins both networks."""
    port = ports.seen(ctx, port_id)
    refuse_forwarding(ctx, one)
    if port.project_id != one.project_id and not ctx.caller.is_admin:
        raise BadRequest(
            f"Bad floatingip request: Port {port_id} is associated with a different project than this floating IP."
        )
    held = ctx.db.execute(select(FixedIp.__table__).where(FixedIp.port_id == port_id).order_by(FixedIp.position)).all()
    version = routed.version_of(one.floating_ip_address)
    able = [fixed for fixed in held if routed.version_of(fixed.ip_address) == version]
    chosen = [fixed for fixed in able if fixed_ip in (None, fixed.ip_address)]
    if not able:
        raise BadRequest(
            f"Bad floatingip request: Cannot add floating IP to port {port_id} that has no fixed IPv{version} addresses."
        )
    if not chosen:
        raise BadRequest(f"Bad floatingip request: Port {port_id} does not have fixed ip {fixed_ip}.")
    if fixed_ip is None and len(able) > 1:
        raise BadRequest(
            f"Bad floatingip request: Port {port_id} has multiple fixed IPv{version} addresses. Must provide a specific"
            f" IPv{version} address."
        )
    address = chosen[0].ip_address
    twin = select(FloatingIp.id).where(
        FloatingIp.port_id == port_id, FloatingIp.fixed_ip_address == address,
        FloatingIp.floating_network_id == one.floating_network_id, FloatingIp.id != (one.id or ""),
    )  # fmt: skip
    if ctx.db.scalar(twin):
        raise FloatingIPPortAlreadyAssociated(
            f"Cannot associate floating IP {one.floating_ip_address} with port {port_id} using fixed IP {address}, as that"
            f" fixed IP already has a floating IP on external network {one.floating_network_id}."
        )
    router_id = router_between(ctx, port.project_id, chosen[0].subnet_id, one.floating_network_id)
    if (one.router_id, one.port_id, one.fixed_ip_address) != (router_id, port_id, address):
        nowhere(ctx.db, one)
        announce(ctx.db, one, router_id, port_id)
    one.router_id, one.port_id, one.fixed_ip_address = router_id, port_id, address
    routed.tell_port(ctx.db, one)
    forwarding = select(PortForwarding.id).where(PortForwarding.internal_port_id == port_id).limit(1)
    if ctx.db.scalar(forwarding) and ctx.db.scalar(select(Router.distributed).where(Router.id == one.router_id)):
        raise PortHasPortForwarding(
            f"Cannot associate floating IP to port {port_id} because it already has a Port Forwarding binding."
        )


def announce(db: Session, one: FloatingIp, router_id: str, port_id: str) -> None:
    """Have the port's host tell the external network that the address is there now; OVN would wait for a second before it does."""
    outside = db.get(Network, one.floating_network_id)
    if (
        outside
        and routed.version_of(one.floating_ip_address) == 4
        and db.scalar(select(Router.distributed).where(Router.id == router_id))
    ):
        end(
            db, one.floating_ip_address, mac=one.mac_address, port_id=port_id, localnet=names.localnet(outside.id),
            vlan=outside.segmentation_id,
        )  # fmt: skip


def router_between(ctx: Ctx, project_id: str, subnet_id: str, external_network_id: str) -> str:
    """The router that joins both for a project: the subnet's gateway before others. One that another project has put beside it, on a
    network that is shared with it, is none: what it is told of addresses and routes is that project's to say."""
    out = select(Port.device_id).where(Port.device_owner == GATEWAY, Port.network_id == external_network_id)
    query = select(Router.id).join(Port, Port.device_id == Router.id).join(FixedIp, FixedIp.port_id == Port.id)
    query = query.join(Subnet, Subnet.id == FixedIp.subnet_id).join(Network, Network.id == Subnet.network_id)
    query = query.where(FixedIp.subnet_id == subnet_id, Port.device_owner == INTERFACE, Router.id.in_(out))
    gateway = FixedIp.ip_address == Subnet.gateway_ip
    query = query.where(or_(gateway, Router.project_id == project_id, Router.project_id == Network.project_id))
    query = query.order_by(case((gateway, 0), else_=1), Router.created_at)
    if found := ctx.db.scalars(query).first():
        return found
    raise ExternalGatewayForFloatingIPNotFound(
        f"External network {external_network_id} is not reachable from subnet {subnet_id}."
        " Therefore, cannot associate Port with a Floating IP."
    )


def ports_gone(db: Session, port_ids: Sequence[str]) -> None:
    """Whatever led to ports that are being deleted leads nowhere from now on."""
    for one in db.scalars(select(FloatingIp).where(FloatingIp.port_id.in_(port_ids))):
        nowhere(db, one)
        wake(db, FloatingIp.__tablename__, one.id)


def ports_changed(db: Session, port_ids: Sequence[str]) -> None:
    """What led to an address that its port has given up leads nowhere; what leads on shows the port as it is now."""
    db.flush()
    held = ipam.held(db, port_ids)
    for one in db.scalars(select(FloatingIp).where(FloatingIp.port_id.in_(port_ids))):
        if (one.port_id, one.fixed_ip_address) not in held:
            nowhere(db, one)
            wake(db, FloatingIp.__tablename__, one.id)


def network_goes(db: Session, network_id: str) -> None:
    """Addresses of an external network that lead nowhere go with it; one that leads somewhere keeps it."""
    idle = FloatingIp.router_id.is_(None) & (FloatingIp.floating_network_id == network_id)
    for one in db.scalars(select(FloatingIp).where(idle)).all():
        wake_all(db, [(Port.__tablename__, one.floating_port_id), (FloatingIp.__tablename__, one.id)])
        db.execute(remove(Port).where(Port.id == one.floating_port_id))
        db.delete(one)
    db.flush()


hooks.port_goes.append(ports_gone)
hooks.port_changed.append(ports_changed)
hooks.network_goes.append(network_goes)
hooks.network_closes.append(network_goes)
