"""Hosts of the cloud: which there are, a token with which another joins, and taking one out for good.

API:  ``GET /wolke/v1/hosts``, ``POST /wolke/v1/hosts`` {"host": {"name": ...}} -> the join token, ``DELETE /wolke/v1/hosts/{name}``
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from wolke.compute.hosts.joining import JoinToken, issue
from wolke.compute.hosts.services import alive
from wolke.compute.hosts_table import Host
from wolke.compute.servers.table import Server
from wolke.core import policy
from wolke.core.bodies import Body, envelope
from wolke.core.db import Json, iso
from wolke.core.errors import Conflict, NotFound
from wolke.core.http import Answer, Ctx
from wolke.network import chassis
from wolke.v1 import v1

READ, ADD, REMOVE = (policy.rule(f"wolke:{name}_host", policy.admin) for name in ("get", "create", "delete"))


class HostInUse(Conflict):
    """Servers are on the host."""


class HostNotFound(NotFound):
    pass


class New(Body):
    name: Annotated[str, Meta(min_length=1, max_length=63)]


def views(ctx: Ctx, found: Sequence[Host]) -> list[Json]:
    """What is known of some hosts; a chassis bears its host's name."""
    told = {row.name: row for row in ctx.db.execute(select(chassis.Chassis.__table__))}
    said = {row.name: row for row in ctx.db.execute(select(chassis.ToldByHost.__table__))}
    counts = dict(ctx.db.execute(select(Server.host, func.count()).group_by(Server.host)).all())
    shown = []
    for host in found:
        row, own = told.get(host.name), said.get(host.name)
        lives = alive(host, ctx.app.config, ctx.now) and (row is None or row.heard)
        shown.append(
            {
                "name": host.name,
                "state": "up" if lives else "down",
                "enabled": not host.disabled,
                "in_ovn": row is not None,
                "gateways": "none" if row is None or not lives else "last" if row.resting else "yes",
                "isolated": bool(row and row.isolated),
                "physical_networks": row.physical_networks if row else [],
                "tunnels": own.tunnels if own else {},
                "servers": counts.get(host.name, 0),
                "joined_at": iso(host.joined_at),
                "seen_at": iso(host.seen_at) if host.seen_at else None,
                "converged": host.seen_revision == host.wanted_revision,
                "errors": host.facts.get("errors", {}),
                "engines": host.facts.get("engines", {}),
            }
        )
    return shown


@v1.call("GET", "/hosts", rule=READ)
def list_hosts(ctx: Ctx) -> Json:
    """The hosts of the cloud, with what they have told of themselves."""
    ctx.require(READ, policy.Target(None))
    return {"hosts": views(ctx, ctx.db.scalars(select(Host).order_by(Host.name)).all())}


@v1.call("GET", "/hosts/{host_name}", rule=READ)
def show_host(ctx: Ctx) -> Json:
    """One host."""
    ctx.require(READ, policy.Target(None))
    return {"host": views(ctx, [find(ctx)])[0]}


def find(ctx: Ctx) -> Host:
    host = ctx.db.get(Host, ctx.path["host_name"])
    if host is None:
        raise HostNotFound(f"Host {ctx.path['host_name']} could not be found.")
    return host


@v1.call("POST", "/hosts", rule=ADD, body=envelope("host", New), status=201)
def add_host(ctx: Ctx, body: Any) -> Answer:
    """A token with which a host of this name may join, once, within an hour; shown here and never again."""
    ctx.require(ADD, policy.Target(None))
    token = issue(ctx.db, ctx.app, body.host.name)
    ctx.note(Host.__tablename__, body.host.name, "")
    return Answer({"host": {"name": body.host.name, "join_token": token, "control": ctx.app.config.agent_url}})


@v1.call("DELETE", "/hosts/{host_name}", rule=REMOVE, status=204)
def remove_host(ctx: Ctx) -> None:
    """Take a host out of the cloud for good: its certificate, what OVN knows of it, its rows."""
    ctx.require(REMOVE, policy.Target(None))
    host = find(ctx)
    take_out(ctx.db, host)
    ctx.note(Host.__tablename__, host.name, "")


def take_out(db: Session, host: Host) -> None:
    """Raises HostInUse while servers are on it."""
    count = db.scalar(select(func.count()).select_from(Server).where(Server.host == host.name))
    if count:
        raise HostInUse(f"{count} server(s) are on host {host.name}. Migrate or delete them first.")
    db.execute(delete(JoinToken).where(JoinToken.host == host.name))
    chassis.leave(db, host.name)
    db.delete(host)
