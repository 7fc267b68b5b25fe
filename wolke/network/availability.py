"""Addresses left in networks, and availability zones.

API: https://docs.openstack.org/api-ref/network/v2/#network-ip-availability-and-usage-stats
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from sqlalchemy import select

from wolke.core import policy
from wolke.core.db import Json
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.core.paging import whole_number
from wolke.network import errors
from wolke.network.networks.api import ZONE
from wolke.network.networks.table import Network
from wolke.network.ports.table import FixedIp
from wolke.network.service import Collection, network
from wolke.network.subnets.table import Subnet

availability = policy.rule("get_network_ip_availability", policy.admin)
zones = policy.rule("get_availability_zone", policy.logged_in)
DETAILS = "ip_availability_details"
COUNTS = (
    "total_ips_in_subnet", "total_ips_in_allocation_pool", "used_ips_in_subnet", "used_ips_in_allocation_pool",
)  # fmt: skip
FILTERS = {"network_id": "network_id", "network_name": "name", "tenant_id": "project_id", "project_id": "project_id"}


# Addresses -----------------------------------------------------------------------------------------------------------
def ranges(subnet: Any) -> list[tuple[int, int]]:
    """A subnet's pools: (first, last) address of each, as numbers."""
    return [(int(ip_address(pool["start"])), int(ip_address(pool["end"]))) for pool in subnet.allocation_pools]


def shown(subnet: Any, taken: Sequence[str]) -> Json:
    """One subnet's share. ``taken`` : the addresses that ports have of it, in the pools and beside them."""
    net, pools = ip_network(subnet.cidr), ranges(subnet)
    in_pools = sum(last - first + 1 for first, last in pools)
    return {
        "subnet_id": subnet.id,
        "subnet_name": subnet.name,
        "ip_version": subnet.ip_version,
        "cidr": subnet.cidr,
        "total_ips": in_pools if pools else net.num_addresses,
        "used_ips": len(taken),
        DETAILS: {
            # IPv4 gives away neither its first nor its last address, IPv6 all
            "total_ips_in_subnet": max(net.num_addresses - 2, 0) if net.version == 4 else net.num_addresses,
            "total_ips_in_allocation_pool": in_pools,
            "used_ips_in_subnet": len(taken),
            "used_ips_in_allocation_pool": sum(
                any(first <= address <= last for first, last in pools) for address in map(int, map(ip_address, taken))
            ),
        },
    }


def availabilities(ctx: Ctx, ids: Sequence[str] | None = None) -> list[Json]:
    query = select(Network.id, Network.name, Network.project_id).order_by(Network.created_at, Network.id)
    subnets = select(Subnet.__table__).order_by(Subnet.created_at, Subnet.id)
    used = select(FixedIp.subnet_id, FixedIp.ip_address)
    for name in ctx.query:
        values = ctx.query.getlist(name)
        if name == "ip_version":
            of_version = Subnet.ip_version.in_([number for number in map(whole_number, values) if number is not None])
            subnets = subnets.where(of_version)
            query = query.where(Network.id.in_(select(Subnet.network_id).where(of_version)))
        elif name in FILTERS:
            column = Network.id if name == "network_id" else getattr(Network, FILTERS[name])
            query = query.where(column.in_(values))
        elif name not in Collection.reserved:
            raise BadRequest(f"['{name}'] is invalid attribute for filtering")
    if ids is not None:
        query = query.where(Network.id.in_(ids))
    asked = query.with_only_columns(Network.id).order_by(None)
    subnets, used = subnets.where(Subnet.network_id.in_(asked)), used.where(FixedIp.network_id.in_(asked))
    taken: dict[str, list[str]] = {}
    for subnet_id, address in ctx.db.execute(used):
        taken.setdefault(subnet_id, []).append(address)
    found: dict[str, list[Json]] = {}
    for subnet in ctx.db.execute(subnets):
        found.setdefault(subnet.network_id, []).append(shown(subnet, taken.get(subnet.id, ())))
    networks = [
        {
            "network_id": row.id,
            "network_name": row.name,
            "project_id": row.project_id,
            "tenant_id": row.project_id,
            "subnet_ip_availability": (mine := found.get(row.id, [])),
            "total_ips": sum(one["total_ips"] for one in mine),
            "used_ips": sum(one["used_ips"] for one in mine),
            DETAILS: {name: sum(one[DETAILS][name] for one in mine) for name in COUNTS},
        }
        for row in ctx.db.execute(query)
    ]
    return [Collection.cut(ctx, one) for one in networks]


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
    found = [{"name": ZONE, "resource": one, "state": "available"} for one in ("network", "router")]
    for name in ctx.query:
        if name in ("name", "resource", "state"):
            found = [one for one in found if one[name] in ctx.query.getlist(name)]
        elif name not in Collection.reserved:
            raise BadRequest(f"['{name}'] is invalid attribute for filtering")
    return {"availability_zones": [Collection.cut(ctx, one) for one in found]}
