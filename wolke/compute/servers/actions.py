"""What can be done with a server: ``POST /servers/{id}/action`` with one key, the action's name.

API: https://docs.openstack.org/api-ref/compute/#servers-run-an-action-servers-action
An action is declared with ``@action``; the call itself is declared from all of them (``declare``), so the API's description lists
exactly those that there are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from wolke.compute.hosts_table import bump
from wolke.compute.servers.api import find, require_unlocked
from wolke.compute.servers.ending import end
from wolke.compute.servers.history import begin
from wolke.compute.servers.status import status_of
from wolke.compute.servers.table import Server
from wolke.compute.service import compute, rule
from wolke.core import policy
from wolke.core.bodies import Body, parse
from wolke.core.errors import BadRequest, Conflict, NotFound, NotProvided
from wolke.core.http import Answer, Ctx
from wolke.core.versions import Since, Version
from wolke.wire.wanted import Power

Handler = Callable[[Ctx, Server, Any], Answer | None]
PATH = "/v2.1/servers/{server_id}/action"

# What Nova can do and this cloud cannot: told by name, so that nobody looks for a mistake in his request
NOT_PROVIDED = frozenset({
    "addFixedIp", "addFloatingIp", "changePassword", "confirmResize", "createBackup", "createImage", "evacuate",
    "injectNetworkInfo", "migrate", "os-getRDPConsole", "os-getSPICEConsole", "os-getSerialConsole", "os-migrateLive",
    "os-resetState", "pause", "rebuild", "removeFixedIp", "removeFloatingIp", "rescue", "resetNetwork", "resize", "restore",
    "resume", "revertResize", "shelve", "shelveOffload", "suspend", "trigger_crash_dump", "unpause", "unrescue", "unshelve",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Action:
    name: str
    rule: str
    body: Any
    status: int
    since: Version
    until: Version
    handler: Handler


@dataclass(frozen=True, slots=True)
class Asked:
    action: Action
    body: Any


_actions: dict[str, Action] = {}


def action(
    name: str,
    asked: str,
    *,
    body: Any = Any,
    status: int = 202,
    since: Version = (2, 1),
    until: Version = (99, 999),
) -> Callable[[Handler], Handler]:
    """Declare ``handler(ctx, server, body)`` under the rule ``asked``."""

    def declare(handler: Handler) -> Handler:
        _actions[name] = Action(name, asked, body, status, since, until, handler)
        return handler

    return declare


def decode(raw: bytes, version: Version | None) -> Asked:
    """The action that a body names, with what it says.

    Raises
    ------
    BadRequest: no such action, or not of its form. NotFound: not in this microversion. NotProvided: not in this cloud
    """
    try:
        names = list(msgspec.json.decode(raw, type=dict[str, Any]))
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BadRequest(f"Malformed request body: {error}") from error
    if len(names) != 1:
        raise BadRequest("Malformed request body: exactly one action is required")
    name = names[0]
    if name in NOT_PROVIDED:
        raise NotProvided(f"The action {name} is not provided by this cloud.")
    found = _actions.get(name)
    if found is None:
        raise BadRequest(f"There is no such action: {name}")
    if version is not None and not found.since <= version <= found.until:
        raise NotFound(f"API version {version[0]}.{version[1]} does not know the action {name}.")
    return Asked(found, getattr(parse(enclosed(found), raw, version), "body"))  # noqa: B009 - msgspec made the field


def enclosed(one: Action) -> Any:
    fields: list[Any] = [("body", one.body)]
    return msgspec.defstruct("Enclosed", fields, rename={"body": one.name}, forbid_unknown_fields=True)


def declare() -> None:
    """Declare the call, once all actions are known."""
    fields: list[Any] = [
        (f"action_{at}", one.body | UnsetType if one.body is not Any else Any, UNSET)
        for at, one in enumerate(_actions.values())
    ]
    names = {f"action_{at}": name for at, name in enumerate(_actions)}
    body = msgspec.defstruct("ServerAction", fields, rename=names, forbid_unknown_fields=True, kw_only=True)
    compute.call("POST", PATH, rule=ANY, body=body, decode=decode, status=202, summary="Act on a server")(run)


ANY = rule("servers", "action")


def run(ctx: Ctx, asked: Asked) -> Answer:
    one = asked.action
    ctx.did = one.rule
    server = find(ctx, one.rule)
    answer = one.handler(ctx, server, asked.body) or Answer()
    answer.status = answer.status or one.status
    return answer


def require_state(server: Server, name: str, states: Collection[str], tasks: Collection[str | None] = (None,)) -> None:
    """Raises Conflict: the server is not in a state from which this can be done."""
    status = status_of(server)
    if status.vm_state not in states:
        raise Conflict(f"Cannot '{name}' instance {server.id} while it is in vm_state {status.vm_state}")
    if status.task_state not in tasks:
        raise Conflict(f"Cannot '{name}' instance {server.id} while it is in task_state {status.task_state}")


# Power ------------------------------------------------------------------------------------------------------------
START, STOP, REBOOT = rule("servers", "start"), rule("servers", "stop"), rule("servers", "reboot")


@action("os-start", START)
def start(ctx: Ctx, server: Server, body: Any) -> None:
    """Start a server that is shut off."""
    require_unlocked(ctx, server)
    require_state(server, "start", {"stopped"})
    _boot(ctx, server, "start", rebooting=False, hard=server.hard)


@action("os-stop", STOP)
def stop(ctx: Ctx, server: Server, body: Any) -> None:
    """Shut a server down: by ACPI, and the hard way when the guest does not listen."""
    require_unlocked(ctx, server)
    require_state(server, "stop", {"active", "paused", "error"})
    if not server.launched_at:
        raise Conflict(f"Cannot 'stop' instance {server.id} while it has never been active")
    server.power, server.hard, server.rebooting = Power.STOPPED.value, False, False
    begin(ctx, server, "stop")
    bump(ctx.db, server.host)


class Reboot(Body):
    type: Literal["HARD", "Hard", "hard", "SOFT", "Soft", "soft"]


@action("reboot", REBOOT, body=Reboot)
def reboot(ctx: Ctx, server: Server, body: Reboot) -> None:
    """Reboot a server, softly by ACPI or the hard way."""
    require_unlocked(ctx, server)
    hard = body.type.upper() == "HARD"
    states = {"active", "stopped", "paused", "error"} if hard else {"active"}
    require_state(server, "reboot", states, (None, "rebooting", "rebooting_hard") if hard else (None,))
    if not server.launched_at:
        raise Conflict(f"Cannot 'reboot' instance {server.id} while it has never been active")
    _boot(ctx, server, "reboot", rebooting=True, hard=hard)


def _boot(ctx: Ctx, server: Server, name: str, *, rebooting: bool, hard: bool) -> None:
    server.power, server.boot = Power.RUNNING.value, server.boot + 1
    server.rebooting, server.hard = rebooting, hard
    begin(ctx, server, name)
    bump(ctx.db, server.host)


@action("forceDelete", rule("os-deferred-delete", "force"))
def force_delete(ctx: Ctx, server: Server, body: Any) -> None:
    """Delete a server; nothing is deferred here, so this is what DELETE does."""
    require_unlocked(ctx, server)
    end(ctx, server, "force_delete")


# Lock -------------------------------------------------------------------------------------------------------------
class Locked(Body):
    locked_reason: Annotated[Annotated[str, Meta(min_length=1, max_length=255)] | UnsetType, Since((2, 73))] = UNSET


@action("lock", rule("os-lock-server", "lock"), body=Locked | None)
def lock(ctx: Ctx, server: Server, body: Locked | None) -> None:
    """Lock a server against changes by others than admins."""
    server.locked, server.locked_by = True, "admin" if ctx.caller.is_admin else "owner"
    given = body.locked_reason if body is not None else UNSET
    server.locked_reason = None if given is UNSET else given
    begin(ctx, server, "lock", done=True)
    bump(ctx.db, server.host)  # the host answers each revision


OVERRIDE = rule("os-lock-server", "unlock:unlock_override", policy.admin)


@action("unlock", rule("os-lock-server", "unlock"))
def unlock(ctx: Ctx, server: Server, body: Any) -> None:
    """Unlock a server; what an admin has locked, only an admin unlocks."""
    if server.locked_by == "admin":
        ctx.require(OVERRIDE, server)
    server.locked, server.locked_by, server.locked_reason = False, "", None
    begin(ctx, server, "unlock", done=True)
    bump(ctx.db, server.host)
