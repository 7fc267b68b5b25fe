"""Network agents: one ``ovn-controller`` for each host that OVN knows. They are looked at, never managed.

API: https://docs.openstack.org/api-ref/network/v2/#agents
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from wolke.core import policy
from wolke.core.db import Json, iso
from wolke.core.errors import BadRequest, NotFound
from wolke.core.http import Ctx
from wolke.network.chassis import Chassis, last_heard
from wolke.network.networks.api import ZONE
from wolke.network.service import Collection, network

PLAIN = frozenset((  # what agents may be filtered and sorted by
    "id", "agent_type", "binary", "topic", "host", "admin_state_up", "created_at", "started_at", "heartbeat_timestamp",
    "alive", "description", "availability_zone", "resources_synced",
))  # fmt: skip
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
    found = views(ctx, ctx.db.execute(select(Chassis.__table__).order_by(Chassis.hostname)).all())
    for name in ctx.query:
        if name in PLAIN:
            wanted = {value.lower() for value in ctx.query.getlist(name)}
            found = [one for one in found if str(one[name]).lower() in wanted]
        elif name not in Collection.reserved:
            raise BadRequest(f"['{name}'] is invalid attribute for filtering")
    return {"agents": [Collection.cut(ctx, one) for one in in_order(ctx, found)]}


def in_order(ctx: Ctx, found: list[Json]) -> list[Json]:
    """Agents as ``sort_key`` and ``sort_dir`` want them; by host, where nobody asks."""
    keys, directions = ctx.query.getlist("sort_key"), ctx.query.getlist("sort_dir")
    for at, key in reversed(list(enumerate(keys))):
        if key not in PLAIN:
            raise BadRequest(f"Invalid input for sort_key: '{key}' is not one of {', '.join(sorted(PLAIN))}")
        direction = directions[at] if at < len(directions) else "asc"
        if direction not in ("asc", "desc"):
            raise BadRequest(f"Invalid input for sort_dir: '{direction}' is not one of asc, desc")
        found = sorted(found, key=lambda one: str(one[key]), reverse=direction == "desc")
    return found


@network.call("GET", "/v2.0/agents/{agent_id}", rule=rule)
def show_agent(ctx: Ctx) -> Json:
    """One host's network agent."""
    id = ctx.path["agent_id"]
    allowed = ctx.allows(rule, policy.Target(None))
    found = ctx.db.execute(select(Chassis.__table__).where(Chassis.name == id)).all() if allowed else []
    if not found:
        raise AgentNotFound(f"Agent {id} could not be found.")
    return {"agent": views(ctx, found)[0]}
