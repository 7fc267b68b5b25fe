"""A server's tags: words to find it by.

API: https://docs.openstack.org/api-ref/compute/#server-tags-servers-tags
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from wolke.compute.hosts_table import bump
from wolke.compute.servers.actions import require_state
from wolke.compute.servers.api import find
from wolke.compute.servers.bodies import Tag
from wolke.compute.servers.metadata import ALIVE, reading
from wolke.compute.servers.table import Server
from wolke.compute.service import compute, rule
from wolke.core import policy
from wolke.core.bodies import Body
from wolke.core.db import Json
from wolke.core.errors import BadRequest, NotFound
from wolke.core.http import Answer, Ctx

AREA, PATH, SINCE = "os-server-tags", "/v2.1/servers/{server_id}/tags", (2, 26)
INDEX, SHOW = rule(AREA, "index", policy.reader), rule(AREA, "show", policy.reader)
UPDATE, REPLACE, DELETE, CLEAR = (rule(AREA, name) for name in ("update", "update_all", "delete", "delete_all"))
MOST = 50


class Tags(Body):
    tags: Annotated[list[Tag], Meta(max_length=MOST)]


def changing(ctx: Ctx, asked: str) -> Server:
    server = find(ctx, asked)
    require_state(server, "change tags of", ALIVE, (None, "rebooting", "rebooting_hard", "powering-on", "powering-off"))
    bump(ctx.db, server.host)  # the host answers each revision
    return server


def missing(server: Server, tag: str) -> NotFound:
    return NotFound(f"Server {server.id} has no tag '{tag}'")


@compute.call("GET", PATH, rule=INDEX, since=SINCE)
def index(ctx: Ctx) -> Json:
    """A server's tags."""
    return {"tags": reading(ctx, INDEX).tags}


@compute.call("PUT", PATH, rule=REPLACE, body=Tags, since=SINCE)
def replace(ctx: Ctx, body: Tags) -> Json:
    """Give a server exactly these tags."""
    server = changing(ctx, REPLACE)
    server.tags = list(dict.fromkeys(body.tags))
    return {"tags": server.tags}


@compute.call("DELETE", PATH, rule=CLEAR, status=204, since=SINCE)
def clear(ctx: Ctx) -> None:
    """Take all tags from a server."""
    changing(ctx, CLEAR).tags = []


@compute.call("GET", PATH + "/{tag}", rule=SHOW, status=204, since=SINCE)
def show(ctx: Ctx) -> None:
    """Whether a server has a tag."""
    server = reading(ctx, SHOW)
    if ctx.path["tag"] not in server.tags:
        raise missing(server, ctx.path["tag"])


@compute.call("PUT", PATH + "/{tag}", rule=UPDATE, status=201, since=SINCE)
def add(ctx: Ctx) -> Answer:
    """Give a server one more tag."""
    server, tag = changing(ctx, UPDATE), ctx.path["tag"]
    if len(tag) > 60 or "," in tag:
        raise BadRequest(f"Tag '{tag[:80]}' is invalid. It must be 1 to 60 characters long, without ',' and '/'")
    if tag in server.tags:
        return Answer(status=204)
    if len(server.tags) >= MOST:
        raise BadRequest(f"The number of tags exceeded the per-server limit {MOST}")
    server.tags = [*server.tags, tag]
    return Answer(headers={"Location": f"{ctx.base}/v2.1/servers/{server.id}/tags/{tag}"})


@compute.call("DELETE", PATH + "/{tag}", rule=DELETE, status=204, since=SINCE)
def remove(ctx: Ctx) -> None:
    """Take one tag from a server."""
    server, tag = changing(ctx, DELETE), ctx.path["tag"]
    if tag not in server.tags:
        raise missing(server, tag)
    server.tags = [other for other in server.tags if other != tag]
