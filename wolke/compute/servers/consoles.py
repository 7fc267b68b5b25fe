"""A server's console: its log as text, its screen as a link for the browser.

API: https://docs.openstack.org/api-ref/compute/#server-consoles
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import anyio.to_thread

from wolke.compute.hosts.console import console_output, console_url
from wolke.compute.servers.actions import action, require_state
from wolke.compute.servers.api import find
from wolke.compute.servers.table import Server
from wolke.compute.service import compute, rule
from wolke.core.bodies import Body
from wolke.core.db import Json
from wolke.core.errors import BadRequest
from wolke.core.http import Answer, Ctx

OUTPUT, REMOTE = rule("os-console-output"), rule("os-remote-consoles")


class Length(Body):
    length: int | None = None


@action("os-getConsoleOutput", OUTPUT, body=Length | None, status=200)
def output(ctx: Ctx, server: Server, body: Length | None) -> Answer:
    """The end of the console's log."""
    lines = body.length if body else None
    if lines is not None and lines < -1:
        raise BadRequest("Invalid input for field/attribute length. It must be at least -1")
    if not server.launched_at and not server.seen_state:
        require_state(server, "get_console_output", {"active", "error", "stopped", "paused"})
    wanted = None if lines in (None, -1) else lines

    async def asked() -> Json:
        """Of the host, once this transaction is over."""
        text = await anyio.to_thread.run_sync(partial(console_output, ctx.app, server, wanted))
        return {"output": text}

    return Answer(later=asked)


class Vnc(Body):
    type: Literal["novnc", "xvpvnc"]


def link(ctx: Ctx, server: Server) -> str:
    require_state(server, "get_vnc_console", {"active", "paused", "error"}, (None, "rebooting", "powering-off"))
    return console_url(ctx.db, ctx.base.removesuffix(ctx.service.prefix), server)


@action("os-getVNCConsole", REMOTE, body=Vnc, status=200, until=(2, 5))
def vnc(ctx: Ctx, server: Server, body: Vnc) -> Answer:
    """A link to the screen."""
    if body.type != "novnc":
        raise BadRequest(f"Unavailable console type {body.type}.")
    return Answer({"console": {"type": body.type, "url": link(ctx, server)}})


class Remote(Body):
    protocol: Literal["vnc", "spice", "rdp", "serial", "mks"]
    type: Literal["novnc", "xvpvnc", "spice-html5", "rdp-html5", "serial", "webmks"]


class RemoteConsole(Body):
    remote_console: Remote


@compute.call("POST", "/v2.1/servers/{server_id}/remote-consoles", rule=REMOTE, body=RemoteConsole, since=(2, 6))
def remote(ctx: Ctx, whole: RemoteConsole) -> Json:
    """A link to the screen."""
    body, server = whole.remote_console, find(ctx, REMOTE)
    if body.protocol == "mks" and ctx.version < (2, 8):
        raise BadRequest("Invalid input for field/attribute protocol. Value: mks.")
    if (body.protocol, body.type) != ("vnc", "novnc"):
        raise BadRequest(f"Unavailable console type {body.type}.")
    return {"remote_console": {"protocol": "vnc", "type": "novnc", "url": link(ctx, server)}}
