"""Addresses left in networks, and availability zones.

API: https://docs.openstack.org/api-ref/network/v2/#network-ip-availability-and-usage-stats
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from sqlalchemy import func, select

from wolke.core import policy
from wolke.core.db import Json
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.core.paging import whole_number
from wolke.network import errors
from wolke.network.networks.api import ZONE
from wolke.network.networks.table import Network
from wolke.network.ports.table import FixedIp
from wolke.network.service import network
from wolke.network.subnets.table import Subnet

availability = policy.rule("get_network_ip_availability", policy.admin)
zones = policy.rule("get_availability_zone", policy.logged_in)
FILTERS = {"network_id": "network_id", "network_name": "name", "tenant_id": "project_id", "project_id": "project_id"}


# Addresses -----------------------------------------------------------------------------------------------------------
def total(subnet: Any) -> int:
    """Addresses in a subnet's pools."""
    return sum(int(ip_address(p["end"])) - int(ip_address(p["start"])) + 1 for p in subnet.allocation_pools)


def availabilities(ctx: Ctx, ids: Sequence[str] | None = None) -> list[Json]:
    query = select(Network.id, Network.name, Network.project_id).order_by(Network.created_at, Network.id)
    subnets = select(Subnet.__table__).order_by(Subnet.created_at, Subnet.id)
    used = select(FixedIp.subnet_id, func.count()).group_by(FixedIp.subnet_id)
    for name in ctx.query:
        values = ctx.query.getlist(name)
        if name == "ip_version":
            subnets = subnets.where(
                Subnet.ip_version.in_([number for number in map(whole_number, values) if number is not None])
            )
        elif name in FILTERS:
            column = Network.id if name == "network_id" else getattr(Network, FILTERS[name])
            query = query.where(column.in_(values))
        elif name not in ("fields", "limit", "marker"):
            raise BadRequest(f"['{name}'] is invalid attribute for filtering")
    if ids is not None:
        query, subnets = query.where(Network.id.in_(ids)), subnets.where(Subnet.network_id.in_(ids))
        used = used.where(FixedIp.network_id.in_(ids))
    taken = {row[0]: row[1] for row in ctx.db.execute(used)}
    shown: dict[str, list[Json]] = {}
    for subnet in ctx.db.execute(subnets):
        shown.setdefault(subnet.network_id, []).append(
            {
                "subnet_id": subnet.id,
                "subnet_name": subnet.name,
                "ip_version": subnet.ip_version,
                "cidr": subnet.cidr,
                "total_ips": total(subnet),
                "used_ips": taken.get(subnet.id, 0),
            }
        )
    return [
        {
            "network_id": row.id,
            "network_name": row.name,
            "project_id": row.project_id,
            "tenant_id": row.project_id,
            "subnet_ip_availability": (mine := shown.get(row.id, [])),
            "total_ips": sum(one["total_ips"] for one in mine),
            "used_ips": sum(one["used_ips"] for one in mine),
        }
        for row in ctx.db.execute(query)
    ]


@network.call("GET", "/v2.0/network-ip-availabilities", rule=availability)
def list_availabilities(ctx: Ctx) -> Json:
    """Addresses there are and addresses used, of every network."""
    ctx.require(availability, policy.Target(None))
    return {"network_ip_availabilities": availabilities(ctx)}


@network.call("GET", "/v2.0/network-ip-availabilities/{network_id}", rule=availability)
def show_availability(ctx: Ctx) -> Json:
    """Addresses there are and addresses used, of one network."""
    ctx.require(availability, policy.Target(None))
    found = availabilities(ctx, [ctx.path["network_id"]])
    if not found:
        raise errors.NetworkNotFound(f"Network {ctx.path['network_id']} could not be found.")
    return {"network_ip_availability": found[0]}


# Zones ---------------------------------------------------------------------------------------------------------------
@network.call("GET", "/v2.0/availability_zones", rule=zones)
def list_zones(ctx: Ctx) -> Json:
    """The availability zones of networks and routers."""
    ctx.require(zones, policy.Target(None))
    return {
        "availability_zones": [{"name": ZONE, "resource": one, "state": "available"} for one in ("network", "router")]
    }
