"""A server's metadata items: the guest sees them in ``meta_data.json``.

API: https://docs.openstack.org/api-ref/compute/#server-metadata-servers-metadata
"""

from __future__ import annotations

from typing import Any

from wolke.compute.hosts_table import bump
from wolke.compute.servers import checks
from wolke.compute.servers.actions import require_state
from wolke.compute.servers.api import find, require_unlocked, servers
from wolke.compute.servers.bodies import Metadata
from wolke.compute.servers.table import Server
from wolke.compute.service import compute, rule
from wolke.core import policy
from wolke.core.bodies import Body
from wolke.core.db import Json
from wolke.core.errors import BadRequest, NotFound
from wolke.core.http import Ctx

AREA, PATH = "server-metadata", "/v2.1/servers/{server_id}/metadata"
INDEX, SHOW = rule(AREA, "index", policy.reader), rule(AREA, "show", policy.reader)
CREATE, UPDATE, REPLACE, DELETE = (rule(AREA, name) for name in ("create", "update", "update_all", "delete"))
ALIVE = ("active", "paused", "stopped", "suspended")


class Items(Body):
    metadata: Metadata


class Item(Body):
    meta: Metadata


def reading(ctx: Ctx, asked: str) -> Any:
    """The row of the server that the path names, for a rule that only reads."""
    row = servers.seen(ctx, ctx.path["server_id"])
    ctx.require(asked, row)
    return row


def changing(ctx: Ctx, asked: str) -> Server:
    server = find(ctx, asked)
    require_unlocked(ctx, server)
    require_state(server, "update metadata of", ALIVE, (None, "rebooting", "rebooting_hard", "powering-off"))
    return server


def write(ctx: Ctx, server: Server, items: dict[str, str]) -> None:
    checks.metadata(ctx, items)
    server.meta = items
    ctx.db.flush()
    bump(ctx.db, server.host)


def value_of(items: dict[str, str], key: str) -> Json:
    if key not in items:
        raise NotFound("Metadata item was not found")
    return {key: items[key]}


@compute.call("GET", PATH, rule=INDEX)
def index(ctx: Ctx) -> Json:
    """A server's metadata."""
    return {"metadata": reading(ctx, INDEX).meta}


@compute.call("POST", PATH, rule=CREATE, body=Items)
def create(ctx: Ctx, body: Items) -> Json:
    """Set metadata items of a server, beside those that it has."""
    server = changing(ctx, CREATE)
    write(ctx, server, {**server.meta, **body.metadata})
    return {"metadata": server.meta}


@compute.call("PUT", PATH, rule=REPLACE, body=Items)
def replace(ctx: Ctx, body: Items) -> Json:
    """Give a server exactly these metadata items."""
    server = changing(ctx, REPLACE)
    write(ctx, server, dict(body.metadata))
    return {"metadata": server.meta}


@compute.call("GET", PATH + "/{key}", rule=SHOW)
def show(ctx: Ctx) -> Json:
    """One metadata item of a server."""
    return {"meta": value_of(reading(ctx, SHOW).meta, ctx.path["key"])}


@compute.call("PUT", PATH + "/{key}", rule=UPDATE, body=Item)
def update(ctx: Ctx, body: Item) -> Json:
    """Set one metadata item of a server."""
    if len(body.meta) != 1:
        raise BadRequest("Invalid input for field/attribute meta. Exactly one item is required")
    if [*body.meta] != [ctx.path["key"]]:
        raise BadRequest("Request body and URI mismatch")
    server = changing(ctx, UPDATE)
    write(ctx, server, {**server.meta, **body.meta})
    return {"meta": dict(body.meta)}


@compute.call("DELETE", PATH + "/{key}", rule=DELETE, status=204)
def remove(ctx: Ctx) -> None:
    """Take one metadata item from a server."""
    server = changing(ctx, DELETE)
    value_of(server.meta, ctx.path["key"])
    write(ctx, server, {key: value for key, value in server.meta.items() if key != ctx.path["key"]})
