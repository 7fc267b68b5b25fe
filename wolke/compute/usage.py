"""How much each project's servers have used: hours times cores, memory and disk, from when they ran until they were deleted.

API: https://docs.openstack.org/api-ref/compute/#usage-reports-os-simple-tenant-usage
Servers that are gone count as long as their rows are kept (``servers/past.py``).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import or_, select

from wolke.compute.servers.status import status_of
from wolke.compute.servers.table import Server
from wolke.compute.service import compute, moment, next_link, rule, whole
from wolke.core import policy
from wolke.core.db import Json
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx

AREA, PATH = "os-simple-tenant-usage", "/v2.1/os-simple-tenant-usage"
LIST, SHOW = rule(AREA, "list", policy.admin), rule(AREA, "show", policy.reader)
FORMS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S.%f")
MOST = 1000


def instant(text: str | None, now: float) -> float:
    if not text:
        return now
    for form in FORMS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    raise BadRequest("Datetime is in invalid format")


def period(ctx: Ctx) -> tuple[float, float]:
    start, stop = (instant(ctx.query.get(name), ctx.now) for name in ("start", "end"))
    if not start < stop:
        raise BadRequest("Invalid start time. The start time cannot occur after the end time.")
    return start, min(stop, ctx.now)


def servers_in(ctx: Ctx, start: float, stop: float, project_id: str = "") -> list[Any]:
    """Rows of the servers that ran within a period; since 2.40 a page of them."""
    ran = (Server.launched_at > 0) & (Server.launched_at <= stop)
    query = select(Server.__table__).where(ran, or_(Server.deleted_at == 0, Server.deleted_at > start))
    if project_id:
        query = query.where(Server.project_id == project_id)
    query = query.order_by(Server.id)
    if ctx.version >= (2, 40):
        if marker := ctx.query.get("marker"):
            if ctx.db.scalar(select(Server.id).where(Server.id == marker)) is None:
                raise BadRequest(f"Marker {marker} could not be found.")
            query = query.where(Server.id > marker)
        query = query.limit(limit(ctx))
    return list(ctx.db.execute(query))


def limit(ctx: Ctx) -> int:
    return min(whole(ctx, "limit") or MOST, MOST)


def of_server(server: Any, start: float, stop: float, now: float) -> Json:
    until = server.deleted_at or stop
    hours = max(0.0, min(stop, until) - max(start, server.launched_at)) / 3600.0
    flavor = server.flavor
    return {
        "hours": hours, "flavor": flavor["name"], "instance_id": server.id, "name": server.name,
        "tenant_id": server.project_id, "memory_mb": flavor["ram"], "local_gb": flavor["disk"] + flavor["ephemeral"],
        "vcpus": flavor["vcpus"], "started_at": moment(server.launched_at), "ended_at": moment(server.deleted_at),
        "state": "terminated" if server.deleted_at else status_of(server).vm_state,
        "uptime": int((server.deleted_at or now) - server.launched_at),
    }  # fmt: skip


def summed(project_id: str, each: list[Json], start: float, stop: float, detailed: bool) -> Json:
    def total(name: str) -> float:
        return float(sum(one[name] * one["hours"] for one in each))

    shown: Json = {
        "tenant_id": project_id, "total_local_gb_usage": total("local_gb"), "total_vcpus_usage": total("vcpus"),
        "total_memory_mb_usage": total("memory_mb"), "total_hours": sum(one["hours"] for one in each),
        "start": moment(start), "stop": moment(stop),
    }  # fmt: skip
    return {**shown, "server_usages": each} if detailed else shown


@compute.call("GET", PATH, rule=LIST)
def index(ctx: Ctx) -> Json:
    """What all projects have used."""
    ctx.require(LIST, policy.Target(ctx.caller.project_id))
    start, stop = period(ctx)
    rows = servers_in(ctx, start, stop)
    projects: dict[str, list[Json]] = {}
    for row in rows:
        projects.setdefault(row.project_id, []).append(of_server(row, start, stop, ctx.now))
    detailed = ctx.query.get("detailed") == "1"
    answer: Json = {"tenant_usages": [summed(id, each, start, stop, detailed) for id, each in projects.items()]}
    return more(ctx, answer, "tenant_usages_links", PATH, rows)


@compute.call("GET", PATH + "/{project_id}", rule=SHOW)
def show(ctx: Ctx) -> Json:
    """What one project has used."""
    id = ctx.path["project_id"]
    ctx.require(SHOW, policy.Target(id))
    start, stop = period(ctx)
    rows = servers_in(ctx, start, stop, id)
    each = [of_server(row, start, stop, ctx.now) for row in rows]
    answer: Json = {"tenant_usage": summed(id, each, start, stop, True) if each else {}}
    return more(ctx, answer, "tenant_usage_links", f"{PATH}/{id}", rows)


def more(ctx: Ctx, answer: Json, name: str, path: str, rows: list[Any]) -> Json:
    if ctx.version >= (2, 40) and rows and len(rows) == limit(ctx):
        answer[name] = next_link(ctx, path, rows[-1].id)
    return answer
