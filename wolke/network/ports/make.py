"""A new port in the caller's transaction: for the API, for servers, for routers and for the network's own metadata port."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from wolke.core.http import Ctx
from wolke.network import errors, hooks, security_groups
from wolke.network.owners import ROUTERS, is_trusted
from wolke.network.ports import ipam
from wolke.network.ports.table import FixedIp, Port, PortSecurityGroup
from wolke.network.subnets.checks import eui64, is_auto
from wolke.network.subnets.table import Subnet

MAC_PREFIX = "fa:16:3e"
MAX_FIXED_IPS = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """One fixed IP as it was asked for: by address, by subnet, or both."""

    subnet_id: str = ""
    ip_address: str = ""


@dataclass(frozen=True, slots=True)
class Given:
    """One fixed IP of a port."""

    subnet_id: str
    ip_address: str


@dataclass(kw_only=True, slots=True)
class Wish:
    """What a new port is to be. ``None`` lets the network choose."""

    project_id: str
    name: str = ""
    description: str = ""
    mac_address: str = ""
    admin_state_up: bool = True
    device_id: str = ""
    device_owner: str = ""
    fixed_ips: Sequence[Wanted] | None = None
    security_groups: Sequence[str] | None = None
    port_security_enabled: bool | None = None
    allowed_address_pairs: list[Any] = field(default_factory=list)
    extra_dhcp_opts: list[Any] = field(default_factory=list)
    host: str = ""
    vnic_type: str = "normal"
    profile: dict[str, Any] = field(default_factory=dict)
    dns_name: str = ""
    dns_domain: str = ""
    mac_learning: bool | None = None
    qos_policy_id: str | None = None
    tags: list[str] = field(default_factory=list)


def subnets_of(db: Session, network_id: str) -> list[Any]:
    """Rows of all subnets of a network, oldest first."""
    query = select(Subnet.__table__).where(Subnet.network_id == network_id)
    return list(db.execute(query.order_by(Subnet.created_at, Subnet.id)))


def new_port(ctx: Ctx, network: Any, wish: Wish) -> Port:
    """The port with its addresses and groups; it stands in ``ctx.db`` and its work item is written.

    Parameters
    ----------
    network : row or object; that the caller may use it has been asked
    Raises
    ------
    MacAddressInUse, IpAddressInUse, IpAddressGenerationFailure, InvalidIpForNetwork, InvalidIpForSubnet, SubnetNotFound,
    SecurityGroupNotFound
    """
    mac = wish.mac_address or free_mac(ctx.db, network.id)
    if wish.mac_address:
        check_mac(ctx.db, network.id, mac)
    secure = network.port_security_enabled if wish.port_security_enabled is None else wish.port_security_enabled
    secure = secure and not is_trusted(wish.device_owner)
    addresses = assign(ctx.db, network.id, wish.fixed_ips, mac, wish.device_owner)
    groups = groups_for(ctx, wish, secure, bool(addresses) or wish.fixed_ips is None)
    port = Port(
        id=str(uuid.uuid4()),
        project_id=wish.project_id,
        network_id=network.id,
        name=wish.name,
        description=wish.description,
        mac_address=mac,
        admin_state_up=wish.admin_state_up,
        device_id=wish.device_id,
        device_owner=wish.device_owner,
        port_security_enabled=secure,
        allowed_address_pairs=wish.allowed_address_pairs,
        extra_dhcp_opts=wish.extra_dhcp_opts,
        host=wish.host,
        vnic_type=wish.vnic_type,
        profile=wish.profile,
        dns_name=wish.dns_name,
        dns_domain=wish.dns_domain,
        mac_learning=wish.mac_learning,
        qos_policy_id=wish.qos_policy_id,
        tags=wish.tags,
        created_at=ctx.now,
        updated_at=ctx.now,
    )
    ctx.db.add(port)
    ctx.db.flush()
    add_addresses(ctx.db, port, addresses)
    ctx.db.add_all(PortSecurityGroup(port_id=port.id, group_id=group) for group in groups)
    hooks.tell(hooks.port_comes, ctx, network, port)
    ctx.wake("port", port.id)
    return port


def groups_for(ctx: Ctx, wish: Wish, secure: bool, has_address: bool) -> list[str]:
    """Security groups of a new port: those asked for, else the project's default one."""
    asked = wish.security_groups
    if asked:
        if not secure or not has_address:
            raise errors.PortSecurityAndIPRequiredForSecurityGroups(
                "Port security must be enabled and port must have an IP address in order to use security groups."
            )
        return security_groups.usable(ctx, wish.project_id, list(dict.fromkeys(asked)))
    if asked is not None or not secure or is_trusted(wish.device_owner):
        return []
    return [security_groups.default_group(ctx, wish.project_id)]


# MACs ----------------------------------------------------------------------------------------------------------------
def free_mac(db: Session, network_id: str) -> str:
    for _ in range(16):
        mac = f"{MAC_PREFIX}:{':'.join(f'{random.randrange(256):02x}' for _ in range(3))}"
        if not mac_taken(db, network_id, mac):
            return mac
    raise errors.NetworkMacAddressGenerationFailure(f"Unable to generate unique mac on network {network_id}.")


def mac_taken(db: Session, network_id: str, mac: str) -> bool:
    here = (Port.network_id == network_id) & (Port.mac_address == mac)
    return db.execute(select(Port.id).where(here)).first() is not None


def check_mac(db: Session, network_id: str, mac: str) -> None:
    if mac_taken(db, network_id, mac):
        raise errors.MacAddressInUse(
            f"Unable to complete operation for network {network_id}. The mac address {mac} is in use."
        )


# Addresses -----------------------------------------------------------------------------------------------------------
def assign(
    db: Session,
    network_id: str,
    wanted: Sequence[Wanted] | None,
    mac: str,
    device_owner: str,
    kept: Sequence[Given] = (),
) -> list[Given]:
    """Addresses for a port, beside those it keeps; nobody else can be given them before this transaction ends."""
    subnets = subnets_of(db, network_id)
    if wanted is not None and len(wanted) > MAX_FIXED_IPS:
        raise errors.InvalidInput("Exceeded maximum amount of fixed ips per port")
    if not subnets:
        if wanted:
            place_of(network_id, subnets, wanted[0])
        return []
    ipam.reserve(db, [subnet.id for subnet in subnets])
    is_router = device_owner in ROUTERS
    found: list[Given] = []
    if wanted is None:
        found += anywhere(db, network_id, subnets, device_owner)
    else:
        for one in wanted:
            found += exactly(db, network_id, subnets, one, mac, is_router)
    if not is_router and not is_trusted(device_owner):
        has = {given.subnet_id for given in (*found, *kept)}
        found += [
            Given(subnet.id, free_eui64(db, network_id, subnet, mac))
            for subnet in subnets
            if is_auto(subnet) and subnet.id not in has
        ]
    return found


def anywhere(db: Session, network_id: str, subnets: Sequence[Any], device_owner: str) -> list[Given]:
    """One address of each version, from the first subnet that has one left."""
    found = []
    for version in (4, 6):
        able = [s for s in subnets if s.ip_version == version and not is_auto(s) and serves(s, device_owner)]
        able.sort(key=lambda subnet: not subnet.service_types)
        for subnet in able:
            if address := ipam.free_address(db, subnet):
                found.append(Given(subnet.id, address))
                break
        else:
            if able:
                raise ipam.exhausted(network_id)
    return found


def serves(subnet: Any, device_owner: str) -> bool:
    """Whether a port of this owner may have addresses of the subnet without asking for it by name."""
    return not subnet.service_types or device_owner in subnet.service_types


def place_of(network_id: str, subnets: Sequence[Any], one: Wanted) -> Any:
    """The subnet that a wanted address is on."""
    if one.subnet_id:
        for subnet in subnets:
            if subnet.id == one.subnet_id:
                return subnet
        raise errors.InvalidInput(
            f"Failed to create port on network {network_id}, because fixed_ips included invalid subnet {one.subnet_id}"
        )
    for subnet in subnets:
        if ip_address(one.ip_address) in ip_network(subnet.cidr):
            return subnet
    raise errors.InvalidIpForNetwork(
        f"IP address {one.ip_address} is not a valid IP for any of the subnets on the specified network."
    )


def exactly(
    db: Session, network_id: str, subnets: Sequence[Any], one: Wanted, mac: str, is_router: bool
) -> list[Given]:
    """The address that was asked for; none yet for a subnet whose ports make their own."""
    subnet = place_of(network_id, subnets, one)
    if one.ip_address:
        address = ipam.check_on(subnet, one.ip_address)
        if is_auto(subnet) and not is_router and address != eui64(subnet.cidr, mac):
            raise errors.InvalidInput(
                f"IPv6 address {address} can not be directly assigned to a port on subnet {subnet.id} since the subnet is"
                " configured for automatic addresses"
            )
        if ipam.is_taken(db, subnet.id, address):
            raise ipam.in_use(network_id, address)
        return [Given(subnet.id, address)]
    if is_auto(subnet) and not is_router:
        return []
    if address_found := ipam.free_address(db, subnet):
        return [Given(subnet.id, address_found)]
    raise ipam.exhausted(network_id)


def free_eui64(db: Session, network_id: str, subnet: Any, mac: str) -> str:
    address = eui64(subnet.cidr, mac)
    if ipam.is_taken(db, subnet.id, address):
        raise ipam.in_use(network_id, address)
    return address


def add_addresses(db: Session, port: Any, addresses: Sequence[Given], first: int = 0) -> None:
    db.add_all(
        FixedIp(
            subnet_id=given.subnet_id,
            sort_key=ipam.sort_key(ip_address(given.ip_address)),
            port_id=port.id,
            network_id=port.network_id,
            ip_address=given.ip_address,
            position=first + at,
        )
        for at, given in enumerate(addresses)
    )
    db.flush()


def addresses_of(db: Session, port_id: str) -> list[Given]:
    rows = select(FixedIp.subnet_id, FixedIp.ip_address).where(FixedIp.port_id == port_id).order_by(FixedIp.position)
    return [Given(subnet_id, address) for subnet_id, address in db.execute(rows)]


def readdress(db: Session, port: Port, wanted: Sequence[Wanted], *, old_mac: str) -> None:
    """Give a port exactly these addresses. What it has and may keep, it keeps."""
    have = addresses_of(db, port.id)
    if port.mac_address != old_mac:  # what was made from the old MAC goes
        auto = {subnet.id for subnet in subnets_of(db, port.network_id) if is_auto(subnet)}
        have = [given for given in have if given.subnet_id not in auto]
    kept: list[Given] = []
    missing: list[Wanted] = []
    left = list(have)
    for one in sorted(wanted, key=lambda one: not one.ip_address):
        match = next((g for g in left if matches(one, g)), None)
        if match:
            left.remove(match)
            kept.append(match)
        else:
            missing.append(one)
    db.execute(delete(FixedIp).where(FixedIp.port_id == port.id))
    db.expire_all()
    added = assign(db, port.network_id, missing, port.mac_address, port.device_owner, kept)
    if len(kept) + len(missing) > MAX_FIXED_IPS:
        raise errors.InvalidInput("Exceeded maximum amount of fixed ips per port")
    add_addresses(db, port, [*kept, *added])


def matches(one: Wanted, given: Given) -> bool:
    if one.subnet_id and one.subnet_id != given.subnet_id:
        return False
    return not one.ip_address or ip_address(one.ip_address) == ip_address(given.ip_address)
