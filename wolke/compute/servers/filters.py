"""How lists of servers are filtered and sorted. What Nova lets only an admin filter by is passed over for others.

API: https://docs.openstack.org/api-ref/compute/#list-servers
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import inf
from re import _parser as grammar  # type: ignore[attr-defined]
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, String, and_, cast, false, func, not_, or_, select, true

from wolke.compute.hosts_table import Host
from wolke.compute.servers.history import instant
from wolke.compute.servers.status import KNOWN, where, with_status
from wolke.compute.servers.table import Server, ServerPort
from wolke.core.errors import BadRequest, Forbidden
from wolke.core.http import Ctx
from wolke.core.paging import Sort, whole_number
from wolke.core.parameters import TRUTH
from wolke.network.ports.table import FixedIp

Condition = ColumnElement[bool]
Filter = Callable[[Ctx, Sequence[str]], Condition]
MAX_PATTERN, REPEAT_WAYS, MAX_WAYS = 255, 40, 3200  # two open repeats and one choice


# Kinds of filters -------------------------------------------------------------------------------------------------
def exact(column: Any) -> Filter:
    return lambda ctx, values: column.in_(values)


def pattern(name: str, column: Any) -> Filter:
    return lambda ctx, values: and_(*(column.regexp_match(harmless(name, value)) for value in values))


def harmless(name: str, text: str) -> str:
    """A regular expression that cannot keep a thread busy. SQLite has Python's, which tries one way after another.

    >>> harmless("name", "^web-[0-9]+$")
    '^web-[0-9]+$'
    """
    try:
        parsed = grammar.parse(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise BadRequest(
            f"Invalid input for query parameters {name}. Value: {text}. '{text}' is not a 'regex'"
        ) from error
    if len(text) > MAX_PATTERN or ways(parsed) > MAX_WAYS:
        raise BadRequest(
            f"Invalid input for query parameters {name}. Value: {text[:80]}. The expression is too complex"
        )
    return text


def ways(parsed: Any) -> float:
    """About how many ways to match are tried from one place of a text; infinite where they may grow with a power of its length.

    >>> [ways(grammar.parse(text)) for text in ("web", "web?", "a|b|cd", "a+b", "(ab|b)+", "(a+)+", "(a)" + chr(92) + "1")]
    [1, 2, 3, 40, inf, inf, inf]
    """
    total: float = 1
    for operation, argument in parsed:
        match str(operation):
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN" | "AT":
                pass
            case "SUBPATTERN":
                total *= ways(argument[-1])
            case "BRANCH":
                total *= sum(ways(one) for one in argument[1])
            case "MAX_REPEAT" | "MIN_REPEAT" if argument[1] <= 1:
                total *= ways(argument[2]) + 1
            case "MAX_REPEAT" | "MIN_REPEAT" if ways(argument[2]) == 1:
                total *= 1 if argument[0] == argument[1] else REPEAT_WAYS
            case _:
                return inf
    return total


def boolean(column: Any, name: str) -> Filter:
    def condition(ctx: Ctx, values: Sequence[str]) -> Condition:
        return column.is_(truth(name, values[-1]))  # type: ignore[no-any-return]

    return condition


def truth(name: str, value: str) -> bool:
    if value.lower() not in TRUTH:
        raise BadRequest(f"Invalid input for query parameters {name}. Value: {value}. It is not a boolean")
    return TRUTH[value.lower()]


def state(attribute: str) -> Filter:
    return lambda ctx, values: where(lambda status: str(getattr(status, attribute)) in values)


def address(version: int) -> Filter:
    def condition(ctx: Ctx, values: Sequence[str]) -> Condition:
        query = select(ServerPort.server_id).join(FixedIp, FixedIp.port_id == ServerPort.port_id)
        six = FixedIp.ip_address.contains(":")
        query = query.where(six if version == 6 else not_(six))
        for value in values:
            query = query.where(FixedIp.ip_address.regexp_match(harmless("ip", value)))
        return Server.id.in_(query)

    return condition


def whole(column: Any) -> Filter:
    def condition(ctx: Ctx, values: Sequence[str]) -> Condition:
        return column.in_([number for number in map(whole_number, values) if number is not None])  # type: ignore[no-any-return]

    return condition


def tagged(ctx: Ctx, tag: str) -> Condition:
    """The column is JSON text on both databases, so its encoded form is searched for."""
    text, wanted = cast(Server.tags, String), msgspec.json.encode(tag).decode()
    return (func.instr if ctx.app.database.is_sqlite else func.strpos)(text, wanted) > 0


def tags(combine: Callable[[list[Condition]], Condition]) -> Filter:
    def condition(ctx: Ctx, values: Sequence[str]) -> Condition:
        return combine([tagged(ctx, tag) for value in values for tag in value.split(",")])

    return condition


def in_zone(ctx: Ctx, values: Sequence[str]) -> Condition:
    return Server.host.in_(select(Host.name).where(Host.zone.in_(values)))


def status(ctx: Ctx, values: Sequence[str]) -> Condition:
    asked = {value.upper() for value in values}
    if not asked & KNOWN:
        if ctx.version >= (2, 38):
            raise BadRequest("Invalid status value")
        return false()
    if asked == {"DELETED"} and not ctx.caller.is_admin:
        raise Forbidden("Only administrators may list deleted instances")
    return with_status(asked)


def passed_over(ctx: Ctx, values: Sequence[str]) -> Condition:
    return true()


# The filters ------------------------------------------------------------------------------------------------------
ANYBODY: dict[str, Filter] = {
    "name": pattern("name", Server.name), "display_name": pattern("display_name", Server.name), "status": status,
    "image": exact(Server.image_id), "image_ref": exact(Server.image_id), "flavor": exact(Server.flavor_id),
    "ip": address(4), "reservation_id": exact(Server.reservation_id),
}  # fmt: skip
SINCE: dict[str, tuple[tuple[int, int], Filter]] = {
    "ip6": ((2, 5), address(6)),
    "tags": ((2, 26), tags(lambda found: and_(*found))),
    "tags-any": ((2, 26), tags(lambda found: or_(*found))),
    "not-tags": ((2, 26), tags(lambda found: not_(and_(*found)))),
    "not-tags-any": ((2, 26), tags(lambda found: not_(or_(*found)))),
    "locked": ((2, 73), boolean(Server.locked, "locked")),
}
SINCE_2_83: dict[str, Filter] = {  # before, only an admin may
    "availability_zone": in_zone, "config_drive": boolean(Server.config_drive, "config_drive"),
    "key_name": exact(Server.key_name), "power_state": state("power_state"), "task_state": state("task_state"),
    "vm_state": state("vm_state"), "user_id": exact(Server.user_id), "created_at": passed_over,
    "launched_at": passed_over, "terminated_at": passed_over, "progress": passed_over,
}  # fmt: skip
ADMIN: dict[str, Filter] = {
    **SINCE_2_83, "host": exact(Server.host), "node": exact(Server.host), "uuid": exact(Server.id),
    "hostname": pattern("hostname", Server.hostname), "description": pattern("description", Server.description),
    "display_description": pattern("description", Server.description), "launch_index": whole(Server.launch_index),
    "locked_by": exact(Server.locked_by), "access_ip_v4": exact(Server.access_ipv4), "ip6": address(6),
    "access_ip_v6": exact(Server.access_ipv6), "kernel_id": passed_over, "ramdisk_id": passed_over,
    "root_device_name": passed_over, "auto_disk_config": passed_over, "soft_deleted": passed_over,
}  # fmt: skip
ELSEWHERE = frozenset({  # read by ``filtered`` or by the page
    "all_tenants", "project_id", "tenant_id", "deleted", "changes-since", "changes-before", "limit", "marker", "sort_key",
    "sort_dir",
})  # fmt: skip
JOINED = frozenset({
    "block_device_mapping", "services", "metadata", "system_metadata", "info_cache", "security_groups", "pci_devices",
})  # fmt: skip


def chosen(ctx: Ctx, name: str) -> Filter | None:
    """The filter of a query parameter, None where it is none for this caller at this version."""
    if name in ANYBODY:
        return ANYBODY[name]
    if name in SINCE and ctx.version >= SINCE[name][0]:
        return SINCE[name][1]
    if name in SINCE_2_83 and ctx.version >= (2, 83):
        return SINCE_2_83[name]
    return ADMIN.get(name) if ctx.caller.is_admin else None


def known(ctx: Ctx, name: str) -> bool:
    since = SINCE.get(name)
    return name in ELSEWHERE or name in ANYBODY or name in ADMIN or (since is not None and ctx.version >= since[0])


def filtered(ctx: Ctx, query: Select[Any]) -> Select[Any]:
    for name in dict.fromkeys(ctx.query.keys()):
        if name in JOINED or name.startswith("_"):
            raise BadRequest(f"Invalid filter field: {name}.")
        if not known(ctx, name) and ctx.version >= (2, 75):
            raise BadRequest(f"Additional properties are not allowed ('{name}' was unexpected)")
        if found := chosen(ctx, name):
            query = query.where(found(ctx, ctx.query.getlist(name)))
    since, before = instant(ctx, "changes-since"), None
    if ctx.version >= (2, 66):
        before = instant(ctx, "changes-before")
    if since is not None and before is not None and before < since:
        raise BadRequest("The value of changes-since must be less than or equal to changes-before.")
    if since is not None:
        query = query.where(or_(Server.updated_at >= since, Server.seen_at >= since, Server.deleted_at >= since))
    if before is not None:
        query = query.where(Server.updated_at <= before, Server.seen_at <= before, Server.deleted_at <= before)
    return query.where(_deleted(ctx, since is not None or before is not None))


def _deleted(ctx: Ctx, changes: bool) -> Condition:
    """Servers that are gone are listed for an admin who asks, and among changes."""
    asked = {value.upper() for value in ctx.query.getlist("status")}
    if ctx.caller.is_admin and (asked == {"DELETED"} or TRUTH.get(ctx.query.get("deleted", "").lower(), False)):
        return Server.deleted_at > 0
    return true() if changes and "deleted" not in ctx.query else Server.deleted_at == 0


# Sorting ----------------------------------------------------------------------------------------------------------
SORTS = {
    "access_ip_v4": Server.access_ipv4, "access_ip_v6": Server.access_ipv6, "auto_disk_config": Server.disk_config,
    "availability_zone": Server.availability_zone, "config_drive": Server.config_drive, "created_at": Server.created_at,
    "display_description": Server.description, "display_name": Server.name, "host": Server.host, "node": Server.host,
    "hostname": Server.hostname, "image_ref": Server.image_id, "instance_type_id": Server.flavor_id,
    "key_name": Server.key_name, "launch_index": Server.launch_index, "launched_at": Server.launched_at,
    "locked_by": Server.locked_by, "locked": Server.locked, "project_id": Server.project_id,
    "terminated_at": Server.deleted_at, "updated_at": Server.updated_at, "user_id": Server.user_id, "uuid": Server.id,
}  # fmt: skip
IGNORED = frozenset({  # Nova passes over most of these too; the states are computed, so there is no column to page by
    "architecture", "cell_name", "cleaned", "default_ephemeral_device", "default_swap_device", "deleted", "deleted_at",
    "disable_terminate", "ephemeral_gb", "ephemeral_key_uuid", "id", "key_data", "launched_on", "memory_mb", "os_type",
    "reservation_id", "root_gb", "shutdown_terminate", "user_data", "vcpus", "vm_mode", "kernel_id", "ramdisk_id",
    "root_device_name", "progress", "power_state", "task_state", "vm_state",
})  # fmt: skip
NEWEST_FIRST = (Sort(Server.created_at, True), Sort(Server.id, True))


def sorts(ctx: Ctx) -> tuple[Sort, ...]:
    keys, directions = ctx.query.getlist("sort_key"), ctx.query.getlist("sort_dir")
    found: list[Sort] = []
    for at, key in enumerate(keys):
        direction = directions[at] if at < len(directions) else directions[0] if directions else "desc"
        if direction not in ("asc", "desc"):
            raise BadRequest(f"Unknown sort direction, must be one of: asc, desc; not '{direction}'")
        if key in IGNORED:
            continue
        if key not in SORTS:
            raise BadRequest(f"Invalid input for query parameters sort_key. Value: {key}. It is not a sort key")
        if key in ("host", "node") and not ctx.caller.is_admin:
            continue
        found.append(Sort(SORTS[key], direction == "desc"))
    return (*found, *NEWEST_FIRST) if found else NEWEST_FIRST
