"""How ports are shown, and what they are filtered by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, case, exists, false, func, or_, select
from sqlalchemy.orm import Session

from wolke.core.db import Json
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.core.parameters import truth
from wolke.network import dns
from wolke.network.networks.table import Network
from wolke.network.owners import FLOATING
from wolke.network.ports.table import FixedIp, Port, PortSecurityGroup
from wolke.network.service import standard
from wolke.network.trunks.facts import Part, parts

VIF_DETAILS = {"port_filter": True, "connectivity": "l2", "bound_drivers": {"0": "ovn"}}


def status_of(port: Any) -> str:
    """ACTIVE once a host has plugged the port."""
    if port.device_owner == FLOATING:
        return "N/A"
    return "ACTIVE" if port.seen_up and not port.shut else "DOWN"


def fixed_ips(db: Session, port_ids: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    of = FixedIp.__table__.c
    query = select(of.port_id, of.subnet_id, of.ip_address).where(of.port_id.in_(port_ids))
    for port_id, subnet_id, ip in db.execute(query.order_by(of.port_id, of.position)):
        found.setdefault(port_id, []).append({"subnet_id": subnet_id, "ip_address": ip})
    return found


def groups(db: Session, port_ids: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    of = PortSecurityGroup.__table__.c
    for port_id, group_id in db.execute(select(of.port_id, of.group_id).where(of.port_id.in_(port_ids))):
        found.setdefault(port_id, []).append(group_id)
    return found


def learns(port: Any) -> bool:
    """Whether MACs are learnt behind a port: by itself where port security is off."""
    return not port.port_security_enabled if port.mac_learning is None else port.mac_learning


@dataclass(frozen=True, slots=True)
class Beside:
    """What a port shows that stands elsewhere."""

    fixed_ips: Sequence[Mapping[str, str]]
    groups: Sequence[str]
    qos_policy_id: str | None  # its network's
    dns_domain: str  # its network's
    trunk: Json | None  # of a parent port
    host: str  # where it is, or its parent where it is a trunk's subport
    guest: bool  # on another project's network


def beside(db: Session, found: Sequence[Any], *, new: bool = False) -> dict[str, Beside]:
    """For a page of ports in a constant number of statements. ``new`` : this call makes them, so they are in no trunk yet."""
    ids = [port.id for port in found]
    ips, members, under = fixed_ips(db, ids), groups(db, ids), networks_of(db, found)
    trunks = {} if new else parts(db, ids)
    shown = {}
    for port in found:
        part, network = trunks.get(port.id, Part()), under[port.network_id]
        shown[port.id] = Beside(
            ips.get(port.id, ()), members.get(port.id, ()), network.qos_policy_id, network.dns_domain, part.details,
            port.host if part.host is None else part.host, port.project_id != network.project_id,
        )  # fmt: skip
    return shown


def networks_of(db: Session, found: Sequence[Any]) -> dict[str, Any]:
    """The networks of ports; a call on one port has its network at hand."""
    ids = {port.network_id for port in found}
    if len(ids) == 1:
        return {id: db.get_one(Network, id) for id in ids}
    of = select(Network.id, Network.project_id, Network.qos_policy_id, Network.dns_domain).where(Network.id.in_(ids))
    return {row.id: row for row in db.execute(of)}


def one(port: Any, beside: Beside, cloud_domain: str, operator: bool) -> Json:
    ips = beside.fixed_ips
    domain = dns.domain("" if beside.guest else port.dns_domain, beside.dns_domain, cloud_domain)
    shown = standard(port) | {
        "network_id": port.network_id,
        "mac_address": port.mac_address,
        "admin_state_up": port.admin_state_up,
        "status": status_of(port),
        "device_id": port.device_id,
        "device_owner": port.device_owner,
        "fixed_ips": ips,
        "security_groups": beside.groups,
        "port_security_enabled": port.port_security_enabled,
        "allowed_address_pairs": port.allowed_address_pairs,
        "extra_dhcp_opts": port.extra_dhcp_opts,
        "binding:vnic_type": port.vnic_type,
        "mac_learning_enabled": learns(port),
        "data_plane_status": port.data_plane_status,
        "qos_policy_id": port.qos_policy_id,
        "qos_network_policy_id": beside.qos_policy_id,
        "dns_name": port.dns_name,
        "dns_domain": port.dns_domain,
        "dns_assignment": [
            {
                "ip_address": ip["ip_address"],
                "hostname": (name := dns.hostname(port.dns_name, ip["ip_address"])),
                "fqdn": f"{name}.{domain}.",
            }
            for ip in ips
        ],
        "ip_allocation": "immediate" if ips else "none",
    }
    if beside.trunk:
        shown["trunk_details"] = beside.trunk
    if operator:
        shown["binding:host_id"] = beside.host
        shown["binding:profile"] = port.profile
        shown["binding:vif_type"] = vif_type(beside.host)
        shown["binding:vif_details"] = VIF_DETAILS if beside.host else {}
    return shown


def vif_type(host: str) -> str:
    return "ovs" if host else "unbound"


# Filters -------------------------------------------------------------------------------------------------------------
def by_status(ctx: Ctx, values: list[str]) -> ColumnElement[bool]:
    bare, up = Port.device_owner == FLOATING, Port.seen_up & ~Port.shut
    meant = {"ACTIVE": up & ~bare, "DOWN": ~up & ~bare, "N/A": bare}
    return or_(false(), *(meant[value] for value in values if value in meant))


def by_fixed_ips(ctx: Ctx, values: list[str]) -> ColumnElement[bool]:
    """``ip_address=``, ``subnet_id=`` and ``ip_address_substr=``; several of one are alternatives."""
    asked: dict[str, list[str]] = {}
    for value in values:
        for part in value.split(","):
            name, equals, wanted = part.partition("=")
            if name not in ("ip_address", "subnet_id", "ip_address_substr") or not equals:
                raise BadRequest(
                    f"Invalid input for fixed_ips. Reason: '{part}' is not ip_address=, subnet_id= or ip_address_substr=."
                )
            asked.setdefault(name, []).append(wanted)
    query = select(FixedIp.port_id)
    if "subnet_id" in asked:
        query = query.where(FixedIp.subnet_id.in_(asked["subnet_id"]))
    if "ip_address" in asked:
        query = query.where(FixedIp.ip_address.in_(asked["ip_address"]))
    if "ip_address_substr" in asked:
        parts = [FixedIp.ip_address.contains(part, autoescape=True) for part in asked["ip_address_substr"]]
        query = query.where(or_(*parts))
    return Port.id.in_(query)


def by_groups(ctx: Ctx, values: list[str]) -> ColumnElement[bool]:
    return Port.id.in_(select(PortSecurityGroup.port_id).where(PortSecurityGroup.group_id.in_(values)))


def by_mac(ctx: Ctx, values: list[str]) -> ColumnElement[bool]:
    return Port.mac_address.in_([value.lower() for value in values])


def by_learning(ctx: Ctx, values: list[str]) -> ColumnElement[bool]:
    learns = func.coalesce(Port.mac_learning, ~Port.port_security_enabled)
    return learns.in_([truth("mac_learning_enabled", value) for value in values])


def by_allocation(ctx: Ctx, values: list[str]) -> ColumnElement[bool]:
    """``ip_allocation=``"""
    meant = {"immediate": has_addresses, "none": ~has_addresses}
    return or_(false(), *(meant[value] for value in values if value in meant))


has_addresses = exists().where(FixedIp.port_id == Port.id)
COMPUTED = {
    "status": case((Port.device_owner == FLOATING, "N/A"), (Port.seen_up & ~Port.shut, "ACTIVE"), else_="DOWN"),
    "ip_allocation": case((has_addresses, "immediate"), else_="none"),
}
FILTERS = {
    "ip_allocation": by_allocation,
    "mac_learning_enabled": by_learning,
    "status": by_status,
    "fixed_ips": by_fixed_ips,
    "security_groups": by_groups,
    "mac_address": by_mac,
}


def visible(ctx: Ctx) -> ColumnElement[bool]:
    """Whoever owns the network sees every port on it."""
    return Port.network_id.in_(select(Network.id).where(Network.project_id == ctx.caller.project_id))
