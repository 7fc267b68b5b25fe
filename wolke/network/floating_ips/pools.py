"""Floating IP pools: the subnets of external networks that floating IPs are drawn from.

API:  https://docs.openstack.org/api-ref/network/v2/#floating-ip-pools-floatingip-pools
"""

from __future__ import annotations

from sqlalchemy import select

from wolke.core import policy
from wolke.core.db import Json
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.network.networks.api import networks
from wolke.network.service import network
from wolke.network.subnets.table import Subnet

rule = policy.rule("get_floatingip_pool", policy.logged_in)
FILTERS = ("subnet_id", "subnet_name", "network_id", "cidr", "project_id", "tenant_id")


@network.call("GET", "/v2.0/floatingip_pools", rule=rule)
def list_pools(ctx: Ctx) -> Json:
    """List the pools that floating IPs can be drawn from."""
    ctx.require(rule, policy.Target(None))
    for name in ctx.query:
        if name not in (*FILTERS, "fields"):
            raise BadRequest(f"['{name}'] is invalid attribute for filtering")
    outside = networks.select(ctx).with_only_columns(networks.table.id).where(networks.table.external)
    query = select(Subnet.__table__).where(Subnet.network_id.in_(outside), Subnet.ip_version == 4)
    pools = [
        {
            "subnet_id": subnet.id, "subnet_name": subnet.name, "network_id": subnet.network_id, "cidr": subnet.cidr,
            "project_id": subnet.project_id, "tenant_id": subnet.project_id,
        }
        for subnet in ctx.db.execute(query.order_by(Subnet.created_at, Subnet.id))
    ]  # fmt: skip
    for name in FILTERS:
        if wanted := ctx.query.getlist(name):
            pools = [pool for pool in pools if pool[name] in wanted]
    return {"floatingip_pools": pools}
