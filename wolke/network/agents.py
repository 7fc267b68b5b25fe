"""Network agents: one ``ovn-controller`` for each host that OVN knows. They are looked at, never managed.

API: https://docs.openstack.org/api-ref/network/v2/#agents
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from wolke.core import policy
from wolke.core.db import Json, iso
from wolke.core.errors import NotFound
from wolke.core.http import Ctx
from wolke.network.chassis import Chassis, last_heard
from wolke.network.networks.api import ZONE
from wolke.network.service import network

TYPE, BINARY = "OVN Controller agent", "ovn-controller"
rule = policy.rule("get_agent", policy.admin)


class AgentNotFound(NotFound):
    pass


def views(ctx: Ctx, found: Sequence[Any]) -> list[Json]:
    last = last_heard(ctx.db)
    shown = []
    for one in found:
        at = last.get(one.hostname, 0.0)
        shown.append(
            {
                "id": one.name,
                "agent_type": TYPE,
                "binary": BINARY,
                "host": one.hostname,
                "topic": "n/a",
                "description": "",
                "admin_state_up": True,
                "alive": one.heard and ctx.now - at < ctx.app.config.host_timeout_seconds,
                "availability_zone": ZONE,
                "heartbeat_timestamp": iso(at),
                "created_at": iso(one.seen_at),
                "started_at": iso(one.seen_at),
                "configurations": {"physical_networks": one.physical_networks},
                "resources_synced": None,
            }
        )
    return shown


@network.call("GET", "/v2.0/agents", rule=rule)
def list_agents(ctx: Ctx) -> Json:
    """The hosts' network agents; whoever is no operator sees none."""
    if not ctx.allows(rule, policy.Target(None)):
        return {"agents": []}
    query = select(Chassis.__table__).order_by(Chassis.hostname)
    if hosts := ctx.query.getlist("host"):
        query = query.where(Chassis.hostname.in_(hosts))
    shown = views(ctx, ctx.db.execute(query).all())
    wanted = {name: ctx.query.getlist(name) for name in ("agent_type", "binary", "alive") if name in ctx.query}
    return {
        "agents": [one for one in shown if all(str(one[n]).lower() in map(str.lower, v) for n, v in wanted.items())]
    }


@network.call("GET", "/v2.0/agents/{agent_id}", rule=rule)
def show_agent(ctx: Ctx) -> Json:
    """One host's network agent."""
    id = ctx.path["agent_id"]
    allowed = ctx.allows(rule, policy.Target(None))
    found = ctx.db.execute(select(Chassis.__table__).where(Chassis.name == id)).all() if allowed else []
    if not found:
        raise AgentNotFound(f"Agent {id} could not be found.")
    return {"agent": views(ctx, found)[0]}
