"""Servers: list, show, change, delete.

API: https://docs.openstack.org/api-ref/compute/#servers-servers
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET
from sqlalchemy import Select, select

from wolke.compute.hosts_table import bump
from wolke.compute.servers import filters
from wolke.compute.servers.bodies import UpdateServer
from wolke.compute.servers.checks import address, valid_hostname
from wolke.compute.servers.ending import end
from wolke.compute.servers.table import Server
from wolke.compute.servers.view import ATTRIBUTES, briefs, details, whole
from wolke.compute.service import Collection, compute, rule
from wolke.core import policy
from wolke.core.db import Json
from wolke.core.errors import Conflict, NotFound
from wolke.core.http import Ctx
from wolke.core.paging import Page

UPDATE, DELETE = rule("servers", "update"), rule("servers", "delete")
DETAIL = rule("servers", "detail", policy.reader)
ALL_TENANTS = rule("servers", "index:get_all_tenants", policy.admin)
rule("servers", "detail:get_all_tenants", policy.admin)
SECRET = {"admin_pass", "public_key", "seen_password", "cleared_password", "user_data"}  # large, or nobody's business
COLUMNS = [column for column in Server.__table__.columns if column.key not in SECRET]


class Servers(Collection[Server]):
    """A list is of the caller's project, an admin's too, unless he asks for all of them."""

    hidden_when_deleting = False

    def select(self, ctx: Ctx) -> Select[Any]:
        """What the caller may see by id: an admin any server, others those of their project."""
        columns = [*COLUMNS, Server.user_data] if ctx.version >= (2, 3) and self.attributes(ctx) else COLUMNS
        query = select(*columns)
        if ctx.allows(self.rule("get"), policy.Target(None)):
            return query
        ctx.require(self.rule("get"), policy.Target(ctx.caller.project_id))
        return query.where(Server.project_id == ctx.caller.project_id)

    def attributes(self, ctx: Ctx) -> bool:
        return ctx.allows(ATTRIBUTES, policy.Target(ctx.caller.project_id))

    def filtered(self, ctx: Ctx, query: Select[Any]) -> Select[Any]:
        if filters.truth("all_tenants", ctx.query.get("all_tenants") or ("1" if "all_tenants" in ctx.query else "0")):
            ctx.require(ALL_TENANTS, policy.Target(ctx.caller.project_id))
            for name in ("project_id", "tenant_id"):
                if name in ctx.query:
                    query = query.where(Server.project_id == ctx.query[name])
        elif ctx.caller.project_id:
            query = query.where(Server.project_id == ctx.caller.project_id)
        return filters.filtered(ctx, query)

    def page(self, ctx: Ctx) -> Page:
        page = self.limits(ctx)
        return Page(page.limit, page.marker, filters.sorts(ctx))

    def seen(self, ctx: Ctx, id: str) -> Any:
        row = ctx.db.execute(self.select(ctx).where(Server.id == id, Server.deleted_at == 0)).first()
        if row is None:
            raise self.missing(id)
        return row

    def show(self, ctx: Ctx) -> Json:
        row = self.seen(ctx, self.id_in(ctx))
        ctx.require(self.rule("show"), row)
        return {"server": whole(ctx, row)}

    def missing(self, id: str) -> NotFound:
        return NotFound(f"Instance {id} could not be found.")


servers = Servers("/v2.1/servers", "server", "servers", Server, area="servers", views=details, briefly=briefs, wakes="")


def find(ctx: Ctx, asked: str) -> Server:
    """The server that the path names, locked, for a rule."""
    server = servers.find(ctx, ctx.path["server_id"], asked)
    ctx.about(server)
    return server


def require_unlocked(ctx: Ctx, server: Server) -> None:
    """Raises Conflict: its owner or an admin has locked it, and the caller is no admin."""
    if server.locked and not ctx.caller.is_admin:
        raise Conflict(f"Instance {server.id} is locked")


# What PUT has not shown before 2.75
LATER = ("OS-EXT-AZ:", "OS-EXT-SRV-ATTR:", "OS-SRV-USG:", "OS-EXT-STS:", "os-extended-volumes:")
LATER_NAMES = frozenset({"config_drive", "host_status", "key_name", "security_groups", "pinned_availability_zone"})


@compute.call("PUT", "/v2.1/servers/{server_id}", rule=UPDATE, body=UpdateServer)
def update(ctx: Ctx, whole_body: UpdateServer) -> Json:
    """Change a server's name, description, access addresses or host name."""
    server, body = find(ctx, UPDATE), whole_body.server
    if body.name is not UNSET:
        server.name = body.name
    if body.description is not UNSET:
        server.description = body.description
    if body.hostname is not UNSET:
        server.hostname = valid_hostname(ctx, body.hostname)
    if body.disk_config is not UNSET:
        server.disk_config = body.disk_config
    if body.access_ipv4 is not UNSET:
        server.access_ipv4 = address(body.access_ipv4, 4)
    if body.access_ipv6 is not UNSET:
        server.access_ipv6 = address(body.access_ipv6, 6)
    ctx.db.flush()
    bump(ctx.db, server.host)
    shown = whole(ctx, server)
    if ctx.version < (2, 75):
        shown = {k: v for k, v in shown.items() if k not in LATER_NAMES and not k.startswith(LATER)}
    return {"server": shown}


@compute.call("DELETE", "/v2.1/servers/{server_id}", rule=DELETE, status=204)
def remove(ctx: Ctx) -> None:
    """Delete a server."""
    server = find(ctx, DELETE)
    require_unlocked(ctx, server)
    end(ctx, server)
