"""Subnets.

API: https://docs.openstack.org/api-ref/network/v2/#subnets
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from wolke.core import policy
from wolke.core.auth import Caller
from wolke.core.bodies import Body, Text255, take_over
from wolke.core.collection import Rules
from wolke.core.db import Json, lock
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.core.parameters import converted
from wolke.core.quota import quota, rows_of
from wolke.core.work import wake_all
from wolke.network import errors, rbac
from wolke.network.lane import kind
from wolke.network.networks.api import MANAGED, usable
from wolke.network.networks.table import Network
from wolke.network.owners import INTERFACE, METADATA, ROUTERS, is_trusted
from wolke.network.ports import metadata
from wolke.network.ports.make import Given, add_addresses, addresses_of, free_eui64
from wolke.network.ports.table import FixedIp, Port
from wolke.network.routed import published
from wolke.network.service import Collection, CreateBody, UpdateBody, standard
from wolke.network.subnetpools.cutting import allocate, check_affinity, pool_for
from wolke.network.subnets import checks
from wolke.network.subnets.rows import rows
from wolke.network.subnets.table import Subnet
from wolke.network.zones.hosts import gateways_change

IPV6_MIN_MTU = 1280


# What the API takes and gives ----------------------------------------------------------------------------------------
class Pool(Body):
    start: str
    end: str


class Route(Body):
    destination: str
    nexthop: str


Pools = Annotated[list[Pool], Meta(max_length=64)]  # each new port looks at them
ServiceTypes = Annotated[list[Text255], Meta(max_length=64)]


class Create(CreateBody, kw_only=True):
    network_id: Text255
    ip_version: Literal[4, 6]
    cidr: str | UnsetType | None = UNSET
    gateway_ip: str | UnsetType | None = UNSET
    allocation_pools: Pools | UnsetType = UNSET
    dns_nameservers: list[str] = []
    host_routes: list[Route] = []
    enable_dhcp: bool = True
    ipv6_ra_mode: str | UnsetType | None = UNSET
    ipv6_address_mode: str | UnsetType | None = UNSET
    subnetpool_id: Text255 | None = None
    use_default_subnetpool: bool = False
    prefixlen: Annotated[int, Meta(ge=0, le=128)] | UnsetType = UNSET
    service_types: ServiceTypes = []


class Update(UpdateBody):
    gateway_ip: str | UnsetType | None = UNSET
    allocation_pools: Pools | UnsetType = UNSET
    dns_nameservers: list[str] | UnsetType = UNSET
    host_routes: list[Route] | UnsetType = UNSET
    enable_dhcp: bool | UnsetType = UNSET
    service_types: ServiceTypes | UnsetType = UNSET


def views(ctx: Ctx, found: Sequence[Any]) -> list[Json]:
    ids = {subnet.network_id for subnet in found}
    external = set(ctx.db.scalars(select(Network.id).where(Network.id.in_(ids), Network.external)))
    return [view(subnet) | {"router:external": subnet.network_id in external} for subnet in found]


def view(subnet: Any) -> Json:
    return standard(subnet) | {
        "network_id": subnet.network_id,
        "ip_version": subnet.ip_version,
        "cidr": subnet.cidr,
        "gateway_ip": subnet.gateway_ip,
        "enable_dhcp": subnet.enable_dhcp,
        "ipv6_ra_mode": subnet.ipv6_ra_mode,
        "ipv6_address_mode": subnet.ipv6_address_mode,
        "allocation_pools": subnet.allocation_pools,
        "dns_nameservers": subnet.dns_nameservers,
        "host_routes": subnet.host_routes,
        "subnetpool_id": subnet.subnetpool_id,
        "service_types": subnet.service_types,
    }


def visible(ctx: Ctx) -> ColumnElement[bool]:
    opened = rbac.visible(ctx, "network", Network.id, rbac.SHARED, rbac.EXTERNAL)
    return Subnet.network_id.in_(select(Network.id).where(opened | (Network.project_id == ctx.caller.project_id)))


def by_external(ctx: Ctx, values: list[str]) -> ColumnElement[bool]:
    """Subnets of external networks, or of the others."""
    external = Network.external.in_([converted("router:external", Network.external, value) for value in values])
    return Subnet.network_id.in_(select(Network.id).where(external))


def by_shared(ctx: Ctx, values: list[str]) -> ColumnElement[bool]:
    """Subnets of networks that are shared with the caller, or of the others."""
    return Subnet.network_id.in_(select(Network.id).where(rbac.shared_filter("network", Network)(ctx, values)))


def of_network(caller: Caller, target: Any) -> bool:
    """A member of the project that owns the network."""
    return policy.member(caller, target.network)


# What the calls do ---------------------------------------------------------------------------------------------------
quota("network", "subnet", 100, rows_of(Subnet))


class Subnets(Collection[Subnet]):
    """Whether a subnet may be made is asked of its network."""

    def target(self, ctx: Ctx, body: Any) -> policy.Target:
        return policy.Target(self.project_of(ctx, body), network=usable(ctx, body.network_id))


subnets = Subnets(
    "/v2.0/subnets",
    "subnet",
    "subnets",
    Subnet,
    views=views,
    quota="subnet",
    visible=visible,
    filters={"router:external": by_external, "shared": by_shared},
    rules=Rules(create=of_network),
    create_guards={"service_types": policy.admin},
    update_guards={"service_types": policy.admin},
    error=errors.SubnetNotFound,
)
kind(Subnet, rows)


@subnets.create
def create(ctx: Ctx, body: Create) -> Subnet:
    lock(ctx.db, f"network/{body.network_id}")
    network = ctx.db.get(Network, body.network_id)
    assert network  # its rules have been asked
    ra = body.ipv6_ra_mode or None
    addressing = body.ipv6_address_mode or None
    siblings = list(ctx.db.execute(select(Subnet.cidr).where(Subnet.network_id == network.id)).scalars())
    net, subnetpool_id = place(ctx, body, network)
    if subnetpool_id and not network.external and published.is_counted(ctx.db, subnetpool_id):
        ctx.claim(subnets.project_of(ctx, body), routed_prefix=1)
    checks.check_cidr(net, siblings, network.id, dhcp=body.enable_dhcp)
    checks.check_modes(net, ra, addressing, dhcp=body.enable_dhcp)
    if net.version == 6 and network.mtu < IPV6_MIN_MTU:
        raise errors.NetworkMTUSubnetConflict(
            f"Subnet MTU {IPV6_MIN_MTU} is too small for network {network.id}: its mtu is {network.mtu}."
        )
    gateway = gateway_of(net, body.gateway_ip)
    if body.allocation_pools is UNSET:
        pools = checks.default_pools(net, gateway)
    else:
        pools = checks.check_pools(net, body.allocation_pools)
        checks.check_gateway_outside(gateway, pools)
    subnet = Subnet(
        project_id=subnets.project_of(ctx, body),
        network_id=network.id,
        name=body.name,
        description=body.description,
        ip_version=net.version,
        cidr=str(net),
        gateway_ip=gateway,
        enable_dhcp=body.enable_dhcp,
        ipv6_ra_mode=ra,
        ipv6_address_mode=addressing,
        allocation_pools=pools,
        dns_nameservers=checks.check_nameservers(net.version, body.dns_nameservers),
        host_routes=checks.check_routes(net.version, body.host_routes),
        subnetpool_id=subnetpool_id,
        service_types=body.service_types,
        created_at=ctx.now,
        updated_at=ctx.now,
    )
    ctx.db.add(subnet)
    ctx.db.flush()
    gateways_change(ctx.db, [network.id])
    if checks.is_auto(subnet):
        address_ports(ctx, subnet)
    if subnet.enable_dhcp:
        metadata.keep(ctx, network)
    return subnet


def place(ctx: Ctx, body: Create, network: Network) -> tuple[checks.Net, str | None]:
    """The CIDR: as it was given, or cut from a pool."""
    pool = pool_for(ctx, body)
    check_affinity(ctx, network.id, body.ip_version, pool)
    if body.cidr and body.prefixlen is not UNSET:
        raise BadRequest("Bad subnets request: cidr and prefixlen must not be supplied together.")
    if pool is None and not body.cidr:
        raise BadRequest("Bad subnets request: a subnetpool must be specified in the absence of a cidr.")
    net = checks.network_of(body.cidr) if body.cidr else None
    if net and net.version != body.ip_version:
        raise errors.InvalidInput(f"cidr '{body.cidr}' does not match the ip_version '{body.ip_version}'")
    if pool is None:
        assert net
        return net, None
    if net is None and body.allocation_pools is not UNSET:
        raise BadRequest("Bad subnets request: allocation_pools allowed only for specific subnet requests.")
    if body.ip_version != pool.ip_version:
        raise BadRequest(
            f"Bad subnets request: Cannot allocate IPv{body.ip_version} subnet from IPv{pool.ip_version} subnet pool."
        )
    prefixlen = None if body.prefixlen is UNSET else body.prefixlen
    return allocate(ctx, pool, net, prefixlen, subnets.project_of(ctx, body)), pool.id


def gateway_of(net: checks.Net, asked: str | UnsetType | None) -> str | None:
    if asked is UNSET:
        return checks.default_gateway(net)
    return checks.check_gateway(net, asked) if asked else None


def address_ports(ctx: Ctx, subnet: Subnet) -> None:
    """Ports that are there already make themselves an address on a new subnet of that kind."""
    ports = ctx.db.execute(
        select(Port.id, Port.mac_address, Port.network_id, Port.device_owner).where(
            Port.network_id == subnet.network_id
        )
    ).all()
    touched = [port for port in ports if not is_trusted(port.device_owner)]
    for port in touched:
        given = Given(subnet.id, free_eui64(ctx.db, subnet.network_id, subnet, port.mac_address))
        add_addresses(ctx.db, port, [given], len(addresses_of(ctx.db, port.id)))
    wake_all(ctx.db, [("port", port.id) for port in touched])


@subnets.update
def update(ctx: Ctx, subnet: Subnet, body: Update) -> None:
    subnets.guard(ctx, "update", body, subnet)
    net = ip_network(subnet.cidr)
    if body.gateway_ip is not UNSET:
        gateway = gateway_of(net, body.gateway_ip)
        if gateway != subnet.gateway_ip:
            gateway_is_free(ctx.db, subnet)
            subnet.gateway_ip = gateway
            gateways_change(ctx.db, [subnet.network_id])
            if body.allocation_pools is UNSET:
                checks.check_gateway_outside(gateway, subnet.allocation_pools)
    if body.allocation_pools is not UNSET:
        subnet.allocation_pools = checks.check_pools(net, body.allocation_pools)
        checks.check_gateway_outside(subnet.gateway_ip, subnet.allocation_pools)
    if body.dns_nameservers is not UNSET:
        subnet.dns_nameservers = checks.check_nameservers(net.version, body.dns_nameservers)
    if body.host_routes is not UNSET:
        subnet.host_routes = checks.check_routes(net.version, body.host_routes)
    take_over(subnet, body, "name", "description", "service_types")
    switched = body.enable_dhcp is not UNSET and body.enable_dhcp != subnet.enable_dhcp
    if switched:
        switch_dhcp(ctx, subnet, bool(body.enable_dhcp))
    wake_ports(ctx, subnet, everyone=switched)


def switch_dhcp(ctx: Ctx, subnet: Subnet, on: bool) -> None:
    if on:
        checks.check_dhcp(ip_network(subnet.cidr))
    elif subnet.ipv6_ra_mode or subnet.ipv6_address_mode:
        raise errors.InvalidInput("Cannot disable enable_dhcp with ipv6 attributes set")
    subnet.enable_dhcp = on
    ctx.db.flush()
    metadata.keep(ctx, ctx.db.get(Network, subnet.network_id))


def wake_ports(ctx: Ctx, subnet: Subnet, *, everyone: bool) -> None:
    """Ports whose rows tell what the subnet says: those with DHCP options of their own, and routers' (advertisements)."""
    ports = select(Port.id, Port.extra_dhcp_opts, Port.device_owner, Port.device_id).join(
        FixedIp, FixedIp.port_id == Port.id
    )
    found = ctx.db.execute(ports.where(FixedIp.subnet_id == subnet.id)).all()
    woken = [("port", port.id) for port in found if everyone or port.extra_dhcp_opts]
    woken += [("router", port.device_id) for port in found if port.device_owner in ROUTERS]
    wake_all(ctx.db, woken)


def gateway_is_free(db: Session, subnet: Subnet) -> None:
    """Raises GatewayIpInUse: a router stands at the present gateway address."""
    at = select(Port.id).join(FixedIp, FixedIp.port_id == Port.id)
    at = at.where(FixedIp.subnet_id == subnet.id, FixedIp.ip_address == (subnet.gateway_ip or ""))
    if port_id := db.scalar(at.where(Port.device_owner == INTERFACE)):
        raise errors.GatewayIpInUse(
            f"Current gateway ip {subnet.gateway_ip} already in use by port {port_id}. Unable to update."
        )


@subnets.delete
def remove(ctx: Ctx, subnet: Subnet) -> None:
    lock(ctx.db, f"network/{subnet.network_id}")
    users = select(Port.id, Port.device_owner).join(FixedIp, FixedIp.port_id == Port.id)
    ports = ctx.db.execute(users.where(FixedIp.subnet_id == subnet.id)).all()
    stuck = [port for port in ports if holds(subnet, port.device_owner)]
    if stuck:
        raise errors.SubnetInUse(
            f"Unable to complete operation on subnet {subnet.id}: One or more ports have an IP allocation from this subnet."
        )
    ctx.db.execute(delete(FixedIp).where(FixedIp.subnet_id == subnet.id))
    wake_all(ctx.db, [("port", port.id) for port in ports])
    gateways_change(ctx.db, [subnet.network_id])
    drop_metadata(ctx, subnet)


def holds(subnet: Subnet, device_owner: str) -> bool:
    """Whether a port of this owner keeps the subnet from being deleted; addresses that ports made themselves do not."""
    if device_owner in MANAGED:
        return False
    return not checks.is_auto(subnet) or device_owner in ROUTERS


def drop_metadata(ctx: Ctx, subnet: Subnet) -> None:
    """The metadata port goes with the last subnet that has DHCP."""
    others = (Subnet.network_id == subnet.network_id) & (Subnet.id != subnet.id) & Subnet.enable_dhcp
    if ctx.db.execute(select(Subnet.id).where(others).limit(1)).first() is None:
        mine = (Port.network_id == subnet.network_id) & (Port.device_owner == METADATA)
        ids: Sequence[str] = ctx.db.scalars(select(Port.id).where(mine)).all()
        ctx.db.execute(delete(Port).where(Port.id.in_(ids)))
        wake_all(ctx.db, [("port", id) for id in ids])
