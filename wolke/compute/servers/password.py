"""The password that a guest has posted to the metadata service, encrypted with the server's key.

API: https://docs.openstack.org/api-ref/compute/#servers-password-servers-os-server-password
"""

from __future__ import annotations

from sqlalchemy import select

from wolke.compute.servers.api import find
from wolke.compute.servers.metadata import reading
from wolke.compute.servers.table import Server
from wolke.compute.service import compute, rule
from wolke.core import policy
from wolke.core.db import Json
from wolke.core.http import Ctx

PATH = "/v2.1/servers/{server_id}/os-server-password"
SHOW, CLEAR = rule("os-server-password", "show", policy.reader), rule("os-server-password", "clear")


@compute.call("GET", PATH, rule=SHOW)
def show(ctx: Ctx) -> Json:
    """The encrypted password, empty where there is none."""
    id = reading(ctx, SHOW).id
    seen, cleared = ctx.db.execute(select(Server.seen_password, Server.cleared_password).where(Server.id == id)).one()
    return {"password": "" if seen == cleared else seen}


@compute.call("DELETE", PATH, rule=CLEAR, status=204)
def clear(ctx: Ctx) -> None:
    """Show this password no more; the guest may post another one."""
    server = find(ctx, CLEAR)
    server.cleared_password = server.seen_password
