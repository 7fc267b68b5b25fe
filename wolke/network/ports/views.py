"""How ports are shown, and what they are filtered by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, false, or_, select
from sqlalchemy.orm import Session

from wolke.core.db import Json
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.network.networks.table import Network
from wolke.network.ports.table import FixedIp, Port, PortSecurityGroup
from wolke.network.service import standard

VIF_DETAILS = {"port_filter": True, "connectivity": "l2", "bound_drivers": {"0": "ovn"}}
NO_STATUS = "network:floatingip"  # its address is all there is of it: OVN has no port that could be up


def status_of(port: Any) -> str:
    """ACTIVE once a host has plugged the port."""
    if port.device_owner == NO_STATUS:
        return "N/A"
    return "ACTIVE" if port.seen_up else "DOWN"


def hostname(port: Any, ip: str) -> str:
    """
    >>> from types import SimpleNamespace
    >>> hostname(SimpleNamespace(dns_name=""), "10.0.0.5")
    'host-10-0-0-5'
    """
    return port.dns_name or "host-" + ip.replace(".", "-").replace(":", "-")


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


def one(port: Any, ips: Sequence[Mapping[str, str]], members: Sequence[str], domain: str, operator: bool) -> Json:
    shown = standard(port) | {
        "network_id": port.network_id,
        "mac_address": port.mac_address,
        "admin_state_up": port.admin_state_up,
        "status": status_of(port),
        "device_id": port.device_id,
        "device_owner": port.device_owner,
        "fixed_ips": ips,
        "security_groups": members,
        "port_security_enabled": port.port_security_enabled,
        "allowed_address_pairs": port.allowed_address_pairs,
        "extra_dhcp_opts": port.extra_dhcp_opts,
        "binding:vnic_type": port.vnic_type,
        "dns_name": port.dns_name,
        "dns_assignment": [
            {
                "ip_address": ip["ip_address"],
                "hostname": (name := hostname(port, ip["ip_address"])),
                "fqdn": f"{name}.{domain}.",
            }
            for ip in ips
        ],
        "ip_allocation": "immediate" if ips else "none",
    }
    if operator:
        shown["binding:host_id"] = port.host
        shown["binding:profile"] = port.profile
        shown["binding:vif_type"] = "ovs" if port.host else "unbound"
        shown["binding:vif_details"] = VIF_DETAILS if port.host else {}
    return shown


# Filters -------------------------------------------------------------------------------------------------------------
def by_status(ctx: Ctx, values: list[str]) -> ColumnElement[bool]:
    bare = Port.device_owner == NO_STATUS
    meant = {"ACTIVE": Port.seen_up & ~bare, "DOWN": ~Port.seen_up & ~bare, "N/A": bare}
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


FILTERS = {"status": by_status, "fixed_ips": by_fixed_ips, "security_groups": by_groups, "mac_address": by_mac}


def visible(ctx: Ctx) -> ColumnElement[bool]:
    """Whoever owns the network sees every port on it."""
    return Port.network_id.in_(select(Network.id).where(Network.project_id == ctx.caller.project_id))
