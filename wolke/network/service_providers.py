"""Who provides services to networks. There is one: OVN routes.

API: https://docs.openstack.org/api-ref/network/v2/#service-providers
"""

from __future__ import annotations

from wolke.core import policy
from wolke.core.db import Json
from wolke.core.http import Ctx
from wolke.network.service import network

PROVIDERS = [{"service_type": "L3_ROUTER_NAT", "name": "ovn", "default": True}]
rule = policy.rule("get_service_provider", policy.logged_in)


@network.call("GET", "/v2.0/service-providers", rule=rule)
def list_providers(ctx: Ctx) -> Json:
    """List service providers."""
    ctx.require(rule, policy.Target(None))
    asked = {name: ctx.query.getlist(name) for name in ("service_type", "name") if name in ctx.query}
    found = [one for one in PROVIDERS if all(one[name] in values for name, values in asked.items())]
    return {"service_providers": found}
