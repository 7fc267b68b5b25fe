"""``GET /wolke/v1/prefixes``: what must be routed to the cloud, and by which next hop.

An operator without BGP feeds his own routers from it; a project sees its own.
"""

from __future__ import annotations

from collections.abc import Callable

from wolke.core import policy
from wolke.core.db import Json
from wolke.core.http import Ctx
from wolke.network.routed.published import Published, published
from wolke.v1 import page, refuse_unknown, v1

rule = policy.rule("wolke:get_prefix", policy.reader)
FILTERS: dict[str, Callable[[Published], str]] = {
    "prefix": lambda one: one.prefix,
    "project_id": lambda one: one.project_id,
    "router_id": lambda one: one.router_id,
    "external_network_id": lambda one: one.external_network_id,
    "ip_version": lambda one: str(one.ip_version),
    "kind": lambda one: one.kind,
}


def view(one: Published) -> Json:
    return {
        "prefix": one.prefix,
        "ip_version": one.ip_version,
        "kind": one.kind,
        "subnet_id": one.id if one.kind == "subnet" else None,
        "floating_ip_id": one.id if one.kind == "floating_ip" else None,
        "project_id": one.project_id,
        "router_id": one.router_id,
        "external_network_id": one.external_network_id,
        "next_hop": one.next_hop,
        "next_hop_mac_address": one.mac_address,
    }


@v1.call("GET", "/prefixes", rule=rule)
def list_prefixes(ctx: Ctx) -> Json:
    """Prefixes and floating IPs that are routed to the cloud, each with its next hop."""
    everybody = ctx.allows(rule, policy.Target(None))
    if not everybody:
        ctx.require(rule, policy.Target(ctx.caller.project_id))
    refuse_unknown(ctx, sorted([*FILTERS, "limit", "marker"]))
    found = [one for one in published(ctx.db) if everybody or one.project_id == ctx.caller.project_id]
    for name, attribute in FILTERS.items():
        if values := ctx.query.getlist(name):
            found = [one for one in found if attribute(one) in values]
    return {"prefixes": [view(one) for one in page(ctx, found, lambda one: one.prefix, usual=None)]}
