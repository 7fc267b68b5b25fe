"""Ports.

API: https://docs.openstack.org/api-ref/network/v2/#ports
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, Struct
from sqlalchemy import func, select

from wolke.core import policy
from wolke.core.bodies import take_over
from wolke.core.collection import Rules
from wolke.core.db import Json, lock
from wolke.core.http import Ctx
from wolke.core.quota import quota
from wolke.core.work import wake_all
from wolke.network import dns, errors, hooks, rbac, security_groups
from wolke.network.lane import kind
from wolke.network.networks.api import target as on_network
from wolke.network.networks.api import usable
from wolke.network.networks.table import Network
from wolke.network.owners import CLOUDS, FLOATING, GATEWAY, INTERFACE, METADATA, is_trusted
from wolke.network.ports import guards, views
from wolke.network.ports.bodies import Create, DhcpOption, Update
from wolke.network.ports.checks import check_pairs, learning_of, mac_of, options_of, pairs_of, vnic_type_of, wanted_of
from wolke.network.ports.make import Given, Wanted, Wish, addresses_of, check_mac, free_mac, new_port, readdress
from wolke.network.ports.rows import rows
from wolke.network.ports.table import FixedIp, Port, PortSecurityGroup
from wolke.network.qos import policies as qos
from wolke.network.service import Collection
from wolke.network.subnets.checks import is_auto
from wolke.network.subnets.table import Subnet
from wolke.network.trunks.facts import refuse_member

SERVICE_OWNERS = (INTERFACE, GATEWAY, FLOATING, METADATA)
DEVICE = ("device_id", "device_owner")


# What the API gives ---------------------------------------------------------------------------------------------------
def shown(ctx: Ctx, found: Sequence[Any]) -> list[Json]:
    beside = views.beside(ctx.db, found, new=ports.rule("create") in ctx.asked)
    domain = ctx.app.config.dns_domain
    operator = ports.sees(ctx, "binding:host_id")
    return [views.one(port, beside[port.id], domain, operator) for port in found]


# What the calls do ---------------------------------------------------------------------------------------------------
def counting(project_id: str) -> Any:
    """Ports that count: those that the cloud has made for the network itself do not."""
    mine = (Port.project_id == project_id) & (Port.device_owner != METADATA)
    return select(func.count()).select_from(Port).where(mine)


quota("network", "port", 500, counting)


class Ports(Collection[Port]):
    """Rules of ports look at the port's network too."""

    def target(self, ctx: Ctx, body: Any) -> policy.Target:
        return on_network(ctx, self.project_of(ctx, body), usable(ctx, body.network_id))

    def target_of(self, ctx: Ctx, thing: Port) -> guards.Owned:
        network = ctx.db.get(Network, thing.network_id)
        shared = rbac.shared_with(ctx.db, "network", [thing.network_id], thing.project_id)
        return guards.Owned(thing, network, bool(shared))

    def guard(self, ctx: Ctx, action: str, body: Struct, target: Any) -> None:
        super().guard(ctx, action, body, target)
        assert isinstance(body, Create | Update)
        owner, fixed = body.device_owner, body.fixed_ips
        if owner is not UNSET and is_trusted(owner):
            ctx.require(f"{action}_port:device_owner", target)
        # a port is a part of the router that it names: whoever named another project's would stand in it
        of_cloud = owner in CLOUDS or getattr(target, "device_owner", "") in CLOUDS
        if of_cloud and any(getattr(body, name) not in (UNSET, getattr(target, name, "")) for name in DEVICE):
            ctx.require(f"{action}_port:device_of_cloud", target)
        if fixed is not UNSET and any(one.ip_address for one in fixed):
            ctx.require(f"{action}_port:fixed_ips:ip_address", target)


ports = Ports(
    "/v2.0/ports",
    "port",
    "ports",
    Port,
    views=shown,
    quota="port",
    visible=views.visible,
    rules=Rules(
        read=guards.seer, create=guards.net_user, update=guards.owner_or_net_owner, delete=guards.owner_or_net_owner
    ),
    columns={"binding:host_id": "host", "binding:vnic_type": "vnic_type"},
    filters=views.FILTERS,
    computed=views.COMPUTED,
    private=("seen_revision", "deleting", "seen_up", "mac_learning", "shut"),
    create_guards=guards.CREATE,
    update_guards=guards.UPDATE,
    show_guards=guards.SHOW,
    error=errors.PortNotFound,
)
for action in ("create", "update"):
    policy.rule(f"{action}_port:device_owner", guards.NETWORK_DEVICE)
    policy.rule(f"{action}_port:device_of_cloud", guards.operator)
    policy.rule(f"{action}_port:fixed_ips:ip_address", guards.net_owner)
kind(Port, rows)


@ports.create
def create(ctx: Ctx, body: Create) -> Port:
    network = ctx.db.get(Network, body.network_id)
    assert network  # its rules have been asked
    lock(ctx.db, f"network/{network.id}")
    mac = mac_of(body.mac_address) if body.mac_address else ""
    secure = network.port_security_enabled if body.port_security_enabled is UNSET else body.port_security_enabled
    check_pairs(body.allowed_address_pairs, secure)
    dns_domain = dns.domain_of(body.dns_domain)
    domain = dns.domain(dns_domain, network.dns_domain, ctx.app.config.dns_domain)
    groups = None if body.security_groups is UNSET else list(body.security_groups or ())
    wish = Wish(
        project_id=ports.project_of(ctx, body),
        name=body.name,
        description=body.description,
        mac_address=mac,
        admin_state_up=body.admin_state_up,
        device_id=body.device_id,
        device_owner=body.device_owner,
        fixed_ips=None if body.fixed_ips is UNSET else wanted_of(body.fixed_ips),
        security_groups=groups,
        port_security_enabled=secure,
        extra_dhcp_opts=options_of(body.extra_dhcp_opts),
        host=body.host_id or "",
        vnic_type=vnic_type_of(body.vnic_type),
        profile=body.profile or {},
        dns_name=dns.name_of(body.dns_name, domain),
        dns_domain=dns_domain,
        mac_learning=learning_of(body.mac_learning_enabled, secure),
        qos_policy_id=qos.usable(ctx, body.qos_policy_id),
        tags=sorted(set(body.tags)),
    )
    port = new_port(ctx, network, wish)
    if pairs := pairs_of(body.allowed_address_pairs, port.mac_address):
        port.allowed_address_pairs = pairs
    return port


@ports.update
def update(ctx: Ctx, port: Port, body: Update) -> None:
    ports.guard(ctx, "update", body, ports.target_of(ctx, port))
    old_mac, old_owner = port.mac_address, port.device_owner
    mac = old_mac
    if body.mac_address is not UNSET:
        mac = mac_of(body.mac_address) if body.mac_address else free_mac(ctx.db, port.network_id)
    if mac != old_mac:
        if port.host:
            raise errors.PortBound(
                f"Unable to complete operation on port {port.id}, port is already bound, port type: ovs, "
                f"old_mac {old_mac}, new_mac {mac}."
            )
        check_mac(ctx.db, port.network_id, mac)
        port.mac_address = mac
    if body.vnic_type is not UNSET:
        port.vnic_type = vnic_type_of(body.vnic_type)
    take_over(port, body, "name", "description", "admin_state_up", "device_id", "device_owner", "data_plane_status")
    if port.device_owner != old_owner and METADATA in (port.device_owner, old_owner):
        wake_dhcp(ctx, port.network_id)
    if body.host_id is not UNSET:
        port.host = body.host_id or ""
    if body.profile is not UNSET:
        port.profile = body.profile or {}
    rename(ctx, port, body)
    if body.qos_policy_id is not UNSET:
        port.qos_policy_id = qos.usable(ctx, body.qos_policy_id, port.qos_policy_id)
    if body.extra_dhcp_opts is not UNSET:
        port.extra_dhcp_opts = merged(port.extra_dhcp_opts, body.extra_dhcp_opts or ())
    if body.fixed_ips is not UNSET or port.mac_address != old_mac:
        wanted, held = addresses_wanted(ctx, port, body), addresses_of(ctx.db, port.id)
        ctx.db.flush()
        readdress(ctx.db, port, wanted, old_mac=old_mac)
        if port.device_owner == INTERFACE:
            refuse_new_ipv4(port.id, held, addresses_of(ctx.db, port.id))
        touch(ctx, port)
        if port.device_owner == METADATA:
            wake_dhcp(ctx, port.network_id)
    protect(ctx, port, body)
    hooks.tell(hooks.port_changed, ctx.db, [port.id])


def rename(ctx: Ctx, port: Port, body: Update) -> None:
    if body.dns_domain is not UNSET:
        port.dns_domain = dns.domain_of(body.dns_domain)
    if body.dns_name is not UNSET:
        network = ctx.db.get_one(Network, port.network_id)
        below = dns.domain(port.dns_domain, network.dns_domain, ctx.app.config.dns_domain)
        port.dns_name = dns.name_of(body.dns_name, below)


def wake_dhcp(ctx: Ctx, network_id: str) -> None:
    """DHCP tells the way to the metadata service."""
    subnets = select(Subnet.id).where(Subnet.network_id == network_id)
    own = select(Port.id, Port.extra_dhcp_opts).where(Port.network_id == network_id)
    woken = [("port", row.id) for row in ctx.db.execute(own) if row.extra_dhcp_opts]
    wake_all(ctx.db, [*woken, *(("subnet", id) for id in ctx.db.scalars(subnets))])


def addresses_wanted(ctx: Ctx, port: Port, body: Update) -> list[Wanted]:
    if body.fixed_ips is not UNSET:
        return wanted_of(body.fixed_ips)
    query = select(FixedIp.subnet_id, FixedIp.ip_address, Subnet.ipv6_address_mode).join(Subnet)
    held = ctx.db.execute(query.where(FixedIp.port_id == port.id).order_by(FixedIp.position))
    # what is made from the MAC is made anew
    return [Wanted(one.subnet_id, "" if is_auto(one) else one.ip_address) for one in held]


def refuse_new_ipv4(port_id: str, before: Sequence[Given], after: Sequence[Given]) -> None:
    """Raises IPAddressChangeNotAllowed: a router's interface would have other IPv4 addresses; guests look for it at those it has."""
    had, has = ({one.ip_address for one in side if ":" not in one.ip_address} for side in (before, after))
    if had != has:
        raise errors.IPAddressChangeNotAllowed(f"IP updates for port {port_id} are not allowed")


def merged(have: Sequence[dict[str, Any]], asked: Sequence[DhcpOption]) -> list[dict[str, Any]]:
    """The options after an update: those that are named are replaced, or taken away by a null value."""
    named = {(option.opt_name, option.ip_version) for option in asked}
    kept = [option for option in have if (option["opt_name"], option["ip_version"]) not in named]
    return [*kept, *options_of(asked)]


def protect(ctx: Ctx, port: Port, body: Update) -> None:
    """Port security, allowed pairs and security groups after an update: what does not go together is refused."""
    if body.port_security_enabled is not UNSET:
        port.port_security_enabled = body.port_security_enabled
    if body.mac_learning_enabled is not UNSET:
        port.mac_learning = learning_of(body.mac_learning_enabled, port.port_security_enabled)
    elif port.port_security_enabled and port.mac_learning:
        port.mac_learning = None
    if body.allowed_address_pairs is not UNSET:
        port.allowed_address_pairs = pairs_of(body.allowed_address_pairs, port.mac_address)
    check_pairs(port.allowed_address_pairs, port.port_security_enabled)
    mine = PortSecurityGroup.port_id == port.id
    if body.security_groups is not UNSET:
        security_groups.put_on(ctx, port, body.security_groups or ())
        touch(ctx, port)
    elif body.port_security_enabled is False and ctx.db.execute(select(PortSecurityGroup.group_id).where(mine)).first():
        raise errors.PortSecurityPortHasSecurityGroup(
            "Port has security group associated. Cannot disable port security or IP address until security group is"
            " removed."
        )


def touch(ctx: Ctx, port: Port) -> None:
    """Addresses and groups stand in tables of their own; their change is a change of the port."""
    if not ctx.db.is_modified(port):
        port.revision += 1
        port.updated_at = ctx.now


@ports.delete
def remove(ctx: Ctx, port: Port) -> None:
    if port.device_owner in SERVICE_OWNERS:
        raise errors.ServicePortInUse(
            f"Port {port.id} cannot be deleted directly via the port API: has device owner {port.device_owner}."
        )
    refuse_member(ctx.db, port.id)
    hooks.tell(hooks.port_goes, ctx.db, [port.id])
