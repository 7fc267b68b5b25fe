"""Instance actions: what was asked of a server, by whom, and how it ended.

API: https://docs.openstack.org/api-ref/compute/#servers-actions-list-os-instance-actions
The API writes a row when it takes the wish; its host's picture ends it (``compute/hosts/seen.py``).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select

from wolke.compute.servers.table import Server, ServerAction
from wolke.compute.servers.view import host_id
from wolke.compute.service import compute, moment, next_link, rule, whole
from wolke.core import policy
from wolke.core.db import Json
from wolke.core.errors import BadRequest, NotFound
from wolke.core.http import Ctx

AREA = "os-instance-actions"
LIST, SHOW = rule(AREA, "list", policy.reader), rule(AREA, "show", policy.reader)
EVENTS, DETAILS = rule(AREA, "events", policy.admin), rule(AREA, "events:details", policy.admin)
EVENT_NAMES = {
    "create": "compute__do_build_and_run_instance",
    "delete": "compute_terminate_instance",
    "force_delete": "compute_terminate_instance",
}


# Writing ----------------------------------------------------------------------------------------------------------
def begin(ctx: Ctx, server: Server, action: str, *, done: bool = False) -> None:
    """Note that a server is to change. ``done`` : no host has to do anything for it"""
    ctx.db.add(
        ServerAction(
            server_id=server.id, action=action, request_id=ctx.request_id, user_id=ctx.caller.user_id,
            project_id=ctx.caller.project_id, host=server.host, started_at=ctx.now, finished_at=ctx.now if done else 0.0,
        )
    )  # fmt: skip


# Reading ----------------------------------------------------------------------------------------------------------
def of_server(ctx: Ctx, asked: str) -> Any:
    """The row of a server that the caller may see; since 2.21 also of one that is gone."""
    id = ctx.path["server_id"]
    query = select(Server.__table__).where(Server.id == id)
    if ctx.version < (2, 21):
        query = query.where(Server.deleted_at == 0)
    row = ctx.db.execute(query).first()
    if row is None or not ctx.allows(asked, row):
        ctx.require(asked, policy.Target(ctx.caller.project_id))
        raise NotFound(f"Instance {id} could not be found.")
    return row


def view(ctx: Ctx, action: Any) -> Json:
    shown = {
        "action": action.action, "instance_uuid": action.server_id, "request_id": action.request_id,
        "user_id": action.user_id, "project_id": action.project_id, "start_time": moment(action.started_at),
        "message": "Error" if action.error else None,
    }  # fmt: skip
    if ctx.version >= (2, 58):
        shown["updated_at"] = moment(action.finished_at or action.started_at)
    return shown


def events(ctx: Ctx, action: Any, server: Any) -> list[Json]:
    """One event per action: what the host made of it."""
    full = ctx.allows(EVENTS, server)
    if ctx.version < (2, 51) and not full:
        return []
    event: Json = {
        "event": EVENT_NAMES.get(action.action, f"compute_{action.action}_instance"),
        "start_time": moment(action.started_at), "finish_time": moment(action.finished_at),
        "result": None if not action.finished_at else "Error" if action.error else "Success",
    }  # fmt: skip
    if full:
        event["traceback"] = None
    if ctx.version >= (2, 62):
        event["hostId"] = host_id(server.project_id, action.host)
        if full:
            event["host"] = action.host
    if ctx.version >= (2, 84):
        event["details"] = action.error or None if full or ctx.allows(DETAILS, server) else None
    return [event]


def instant(ctx: Ctx, name: str) -> float | None:
    """A time in the query, as unix seconds. Raises BadRequest."""
    text = ctx.query.get(name)
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00").replace(" ", "+", 1) if "T" in text else text)
    except ValueError as error:
        raise BadRequest(f"Invalid input for query parameters {name}. Value: {text}. '{text}' is not a 'date-time'") from error  # fmt: skip
    return found.timestamp() if found.tzinfo else datetime.fromisoformat(f"{found.isoformat()}+00:00").timestamp()


@compute.call("GET", "/v2.1/servers/{server_id}/os-instance-actions", rule=LIST)
def index(ctx: Ctx) -> Json:
    """What was asked of a server, newest first."""
    server = of_server(ctx, LIST)
    query = select(ServerAction.__table__).where(ServerAction.server_id == server.id)
    query = query.order_by(ServerAction.started_at.desc(), ServerAction.id.desc())
    limit = 1000
    if ctx.version >= (2, 58):
        limit = min(whole(ctx, "limit") or limit, limit)
        if (since := instant(ctx, "changes-since")) is not None:
            query = query.where((ServerAction.finished_at >= since) | (ServerAction.started_at >= since))
        if ctx.version >= (2, 66) and (before := instant(ctx, "changes-before")) is not None:
            query = query.where(ServerAction.finished_at <= before, ServerAction.started_at <= before)
        if marker := ctx.query.get("marker"):
            last = ctx.db.execute(query.where(ServerAction.request_id == marker)).first()
            if last is None:
                raise BadRequest(f"Marker {marker} could not be found.")
            query = query.where(ServerAction.id < last.id)
    rows = ctx.db.execute(query.limit(limit)).all()
    answer: Json = {"instanceActions": [view(ctx, row) for row in rows]}
    if ctx.version >= (2, 58) and "limit" in ctx.query and len(rows) == limit:
        path = f"/v2.1/servers/{server.id}/os-instance-actions"
        answer["links"] = next_link(ctx, path, rows[-1].request_id)
    return answer


@compute.call("GET", "/v2.1/servers/{server_id}/os-instance-actions/{request_id}", rule=SHOW)
def show(ctx: Ctx) -> Json:
    """One action with its events."""
    server = of_server(ctx, SHOW)
    this = (ServerAction.server_id == server.id) & (ServerAction.request_id == ctx.path["request_id"])
    row = ctx.db.execute(select(ServerAction.__table__).where(this)).first()
    if row is None:
        raise NotFound(f"Action {ctx.path['request_id']} not found")
    shown = view(ctx, row)
    if found := events(ctx, row, server):
        shown["events"] = found
    return {"instanceAction": shown}
