"""The cloud's own services as operators see them: one nova-compute per host, and the control plane's processes.

API: https://docs.openstack.org/api-ref/compute/#compute-services-os-services
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wolke.compute.hosts.processes import Process
from wolke.compute.hosts_table import Host
from wolke.compute.servers.table import Server
from wolke.compute.service import compute, moment, rule
from wolke.core import policy
from wolke.core.bodies import Body
from wolke.core.config import Config
from wolke.core.db import Json
from wolke.core.errors import BadRequest, Conflict, NotFound
from wolke.core.http import Ctx
from wolke.network import chassis

COMPUTE = "nova-compute"
UUIDS = (2, 53)
AREA = "os-services"
LIST, UPDATE, DELETE = (rule(AREA, name, policy.admin) for name in ("list", "update", "delete"))


def number(uuid: str) -> int:
    """The whole number that stands for an id before microversion 2.53.

    >>> number("00000102-0000-0000-0000-000000000000")
    16
    """
    return int(uuid[:7], 16)


def alive(host: Host, config: Config, now: float) -> bool:
    return not host.forced_down and host.seen_at > now - config.host_timeout_seconds


# What the API takes and gives -------------------------------------------------------------------------------------
Reason = Annotated[str, Meta(min_length=1, max_length=255)]


class Named(Body):
    """Which service, before 2.53."""

    host: Annotated[str, Meta(min_length=1, max_length=255)]
    binary: Annotated[str, Meta(min_length=1, max_length=255)]


class Disabled(Named):
    disabled_reason: Reason


class Forced(Named):
    forced_down: bool


class Update(Body):
    status: Literal["enabled", "disabled"] | UnsetType = UNSET
    disabled_reason: Reason | UnsetType = UNSET
    forced_down: bool | UnsetType = UNSET


def of_host(ctx: Ctx, host: Host) -> Json:
    shown = {
        "id": host.service_id if ctx.version >= UUIDS else number(host.service_id), "binary": COMPUTE, "host": host.name,
        "zone": host.zone, "status": "disabled" if host.disabled else "enabled",
        "state": "up" if alive(host, ctx.app.config, ctx.now) else "down", "updated_at": moment(host.seen_at),
        "disabled_reason": host.disabled_reason,
    }  # fmt: skip
    return with_forced(ctx, shown, host.forced_down)


def of_process(ctx: Ctx, process: Process) -> Json:
    lives = process.seen_at > ctx.now - ctx.app.config.host_timeout_seconds
    shown = {
        "id": process.service_id if ctx.version >= UUIDS else number(process.service_id), "binary": process.binary,
        "host": process.host, "zone": "internal", "status": "enabled", "state": "up" if lives else "down",
        "updated_at": moment(process.seen_at), "disabled_reason": None,
    }  # fmt: skip
    return with_forced(ctx, shown, False)


def with_forced(ctx: Ctx, shown: Json, forced: bool) -> Json:
    return shown | ({"forced_down": forced} if ctx.version >= (2, 11) else {})


# What the calls do ------------------------------------------------------------------------------------------------
@compute.call("GET", "/v2.1/os-services", rule=LIST)
def services(ctx: Ctx) -> Json:
    """List services."""
    ctx.require(LIST, policy.Target(ctx.caller.project_id))
    with_service = select(Host).where(Host.service_id != "").order_by(Host.name)
    shown = [of_process(ctx, one) for one in ctx.db.scalars(select(Process).order_by(Process.binary, Process.host))]
    shown += [of_host(ctx, host) for host in ctx.db.scalars(with_service)]
    for name in ("binary", "host"):
        if wanted := ctx.query.get(name):
            shown = [one for one in shown if one[name] == wanted]
    return {"services": shown}


def by_name(db: Session, named: Named) -> Host:
    host = db.get(Host, named.host, with_for_update=True)
    if named.binary != COMPUTE or host is None:
        raise NotFound(f"Could not find binary {named.binary} on host {named.host}.")
    return host


def before_uuids(path: str, body: type[Named], since: tuple[int, int] = (2, 1)) -> Callable[..., Any]:
    def declare(change: Callable[[Host, Any], Json]) -> Callable[[Host, Any], Json]:
        def call(ctx: Ctx, asked: Named) -> Json:
            ctx.require(UPDATE, policy.Target(ctx.caller.project_id))
            return {"service": {"host": asked.host, "binary": asked.binary, **change(by_name(ctx.db, asked), asked)}}

        summary = (change.__doc__ or "").strip()
        compute.call("PUT", path, rule=UPDATE, body=body, since=since, until=(2, 52), summary=summary)(call)
        return change

    return declare


@before_uuids("/v2.1/os-services/enable", Named)
def enable(host: Host, asked: Named) -> Json:
    """Let a host take servers again."""
    host.disabled, host.disabled_reason = False, None
    return {"status": "enabled"}


@before_uuids("/v2.1/os-services/disable", Named)
def disable(host: Host, asked: Named) -> Json:
    """Let a host take no further servers."""
    host.disabled, host.disabled_reason = True, None
    return {"status": "disabled"}


@before_uuids("/v2.1/os-services/disable-log-reason", Disabled)
def disable_for(host: Host, asked: Disabled) -> Json:
    """Let a host take no further servers, and say why."""
    host.disabled, host.disabled_reason = True, asked.disabled_reason
    return {"status": "disabled", "disabled_reason": asked.disabled_reason}


@before_uuids("/v2.1/os-services/force-down", Forced, since=(2, 11))
def force_down(host: Host, asked: Forced) -> Json:
    """Say that a host is down, whatever it tells."""
    host.forced_down = asked.forced_down
    return {"forced_down": host.forced_down}


def by_id(ctx: Ctx, id: str) -> Host:
    if ctx.version < UUIDS and not id.isdecimal():
        raise BadRequest(f"Invalid service id {id}")
    for host in ctx.db.scalars(select(Host).where(Host.service_id != "")):
        if id == (host.service_id if ctx.version >= UUIDS else str(number(host.service_id))):
            return host
    raise NotFound(f"Service {id} could not be found.")


@compute.call("PUT", "/v2.1/os-services/{service_id}", rule=UPDATE, body=Update, since=UUIDS)
def update(ctx: Ctx, body: Update) -> Json:
    """Enable, disable or force down the service of a host."""
    ctx.require(UPDATE, policy.Target(ctx.caller.project_id))
    host = by_id(ctx, ctx.path["service_id"])
    if body.status is UNSET and body.disabled_reason is UNSET and body.forced_down is UNSET:
        raise BadRequest("No updates were requested. Fields 'status' or 'forced_down' should be specified.")
    if body.disabled_reason is not UNSET and body.status != "disabled":
        raise BadRequest("Specifying disabled_reason requires that status is 'disabled'.")
    if body.status is not UNSET:
        host.disabled = body.status == "disabled"
        host.disabled_reason = None if body.disabled_reason is UNSET else body.disabled_reason
    if body.forced_down is not UNSET:
        host.forced_down = body.forced_down
    return {"service": of_host(ctx, host)}


@compute.call("DELETE", "/v2.1/os-services/{service_id}", rule=DELETE, status=204)
def delete(ctx: Ctx) -> None:
    """Take a host out of the cloud: its certificate is not valid any more."""
    ctx.require(DELETE, policy.Target(ctx.caller.project_id))
    host = by_id(ctx, ctx.path["service_id"])
    if ctx.db.scalar(select(func.count()).select_from(Server).where(Server.host == host.name)):
        raise Conflict(
            "Unable to delete compute service that is hosting instances. Migrate or delete the instances first."
        )
    chassis.leave(ctx.db, host.name)
    ctx.db.delete(host)
