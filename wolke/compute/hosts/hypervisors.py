"""What the hosts have and how much of it is taken.

API: https://docs.openstack.org/api-ref/compute/#hypervisors-os-hypervisors
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import select

from wolke.compute.hosts.scheduler import claims
from wolke.compute.hosts.services import UUIDS, alive, number
from wolke.compute.hosts_table import Host
from wolke.compute.servers.table import Server
from wolke.compute.service import compute, next_link, rule
from wolke.core import policy
from wolke.core.db import Json
from wolke.core.errors import BadRequest, NotFound
from wolke.core.http import Ctx
from wolke.core.paging import whole_number
from wolke.core.parameters import TRUTH

NO_USAGE = (2, 88)  # from here on placement tells what is used, not this API
MAX_LIMIT = 1000
LIST, DETAIL, SHOW, STATISTICS, UPTIME, SEARCH, SERVERS = (
    rule("os-hypervisors", name, policy.admin)
    for name in ("list", "list-detail", "show", "statistics", "uptime", "search", "servers")
)


# What the API gives -----------------------------------------------------------------------------------------------
def brief(ctx: Ctx, host: Host) -> Json:
    return {
        "id": host.hypervisor_id if ctx.version >= UUIDS else number(host.hypervisor_id), "hypervisor_hostname": host.name,
        "state": "up" if alive(host, ctx.app.config, ctx.now) else "down", "status": "disabled" if host.disabled else "enabled",
    }  # fmt: skip


def detailed(ctx: Ctx, host: Host, used: Mapping[str, int]) -> Json:
    facts = host.facts
    shown = {
        **brief(ctx, host), "host_ip": facts.get("address", "").rpartition(":")[0].strip("[]"), "hypervisor_type": "QEMU",
        "hypervisor_version": version(facts.get("engines", {}).get("qemu", "")),
        "service": {
            "host": host.name, "id": host.service_id if ctx.version >= UUIDS else number(host.service_id),
            "disabled_reason": host.disabled_reason,
        },
    }  # fmt: skip
    if ctx.version >= NO_USAGE:
        shown["uptime"] = uptime(facts)
        return shown
    cpu = {"arch": "x86_64", "model": facts.get("cpu_model", ""), "vendor": "", "topology": {}, "features": []}
    return {
        **shown, **amounts(host, used), "cpu_info": cpu if ctx.version >= (2, 28) else msgspec.json.encode(cpu).decode(),
        "disk_available_least": facts.get("capacity", {}).get("disk_free_gib", 0),
    }  # fmt: skip


def amounts(host: Host, used: Mapping[str, int]) -> Json:
    ram, disk, vcpus = (used.get(name, 0) for name in ("ram_used", "disk_used", "vcpus_used"))
    return {
        "vcpus": host.vcpus, "vcpus_used": vcpus, "memory_mb": host.ram_mib, "memory_mb_used": ram,
        "free_ram_mb": host.ram_mib - ram, "local_gb": host.disk_gib, "local_gb_used": disk, "free_disk_gb": host.disk_gib - disk,
        "running_vms": used.get("servers", 0), "current_workload": 0,
    }  # fmt: skip


def version(text: str) -> int:
    """
    >>> version("7.2.13"), version("")
    (7002013, 0)
    """
    parts = [int(part) for part in re.findall(r"\d+", text)[:3]]
    return sum(part * factor for part, factor in zip(parts, (1_000_000, 1000, 1), strict=False))


def uptime(facts: Mapping[str, Any]) -> str | None:
    """As uptime(1) words it."""
    seconds = int(time.time() - facts.get("booted_at", 0.0))
    if not facts.get("booted_at"):
        return None
    return f"up {seconds // 86400} days, {seconds // 3600 % 24:2d}:{seconds // 60 % 60:02d}"


# What the calls do ------------------------------------------------------------------------------------------------
def hosts(ctx: Ctx) -> list[Host]:
    return list(ctx.db.scalars(select(Host).where(Host.hypervisor_id != "").order_by(Host.hypervisor_id)))


def page(ctx: Ctx) -> tuple[list[Host], bool]:
    """The hosts that are asked for, and whether there are more."""
    found = hosts(ctx)
    if ctx.version < (2, 33):
        return found, False
    if (pattern := ctx.query.get("hypervisor_hostname_pattern")) and ctx.version >= UUIDS:
        if "limit" in ctx.query or "marker" in ctx.query:
            raise BadRequest(
                "Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported."
            )
        found = [host for host in found if pattern in host.name]
        if not found:
            raise NotFound(f"No hypervisor matching '{pattern}' could be found.")
        return found, False
    asked = ctx.query.get("limit", str(MAX_LIMIT))
    most = whole_number(asked)
    if most is None:
        raise BadRequest(f"Invalid input for limit: '{asked}' is not a whole number of at least 0")
    limit = min(most, MAX_LIMIT)
    if marker := ctx.query.get("marker"):
        ids = [str(brief(ctx, host)["id"]) for host in found]
        if marker not in ids:
            raise BadRequest(f"marker [{marker}] not found")
        found = found[ids.index(marker) + 1 :]
    return found[:limit], len(found) > limit


def listed(ctx: Ctx, path: str, shown: list[Json], more: bool) -> Json:
    answer: Json = {"hypervisors": shown}
    if more and shown:
        answer["hypervisors_links"] = next_link(ctx, path, str(shown[-1]["id"]))
    return answer


def add_servers(ctx: Ctx, shown: Sequence[Json]) -> None:
    """Beside each hypervisor, the servers on it, where they are asked for."""
    asked = ctx.query.get("with_servers", "false").lower()
    if ctx.version < UUIDS or not TRUTH.get(asked, False):
        return
    found = servers_of(ctx, [one["hypervisor_hostname"] for one in shown])
    for one in shown:
        there = found.get(one["hypervisor_hostname"], [])
        if there or ctx.version >= (2, 75):
            one["servers"] = there


def servers_of(ctx: Ctx, names: Sequence[str]) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = {}
    there = select(Server.id, Server.name, Server.host).where(Server.host.in_(names), Server.deleting.is_(False))
    for server in ctx.db.execute(there.order_by(Server.created_at)):
        found.setdefault(server.host, []).append({"uuid": server.id, "name": server.name})
    return found


@compute.call("GET", "/v2.1/os-hypervisors", rule=LIST)
def list_hypervisors(ctx: Ctx) -> Json:
    """List hypervisors briefly."""
    ctx.require(LIST, policy.Target(ctx.caller.project_id))
    found, more = page(ctx)
    shown = [brief(ctx, host) for host in found]
    add_servers(ctx, shown)
    return listed(ctx, "/v2.1/os-hypervisors", shown, more)


@compute.call("GET", "/v2.1/os-hypervisors/detail", rule=DETAIL)
def list_detailed(ctx: Ctx) -> Json:
    """List hypervisors."""
    ctx.require(DETAIL, policy.Target(ctx.caller.project_id))
    found, more = page(ctx)
    used = claims(ctx.db)
    shown = [detailed(ctx, host, used.get(host.name, {})) for host in found]
    add_servers(ctx, shown)
    return listed(ctx, "/v2.1/os-hypervisors/detail", shown, more)


@compute.call("GET", "/v2.1/os-hypervisors/statistics", rule=STATISTICS, until=(2, 87))
def statistics(ctx: Ctx) -> Json:
    """What all hypervisors have together."""
    ctx.require(STATISTICS, policy.Target(ctx.caller.project_id))
    found, used = [host for host in hosts(ctx) if not host.disabled], claims(ctx.db)
    each = [amounts(host, used.get(host.name, {})) for host in found]
    total = {name: sum(one[name] for one in each) for name in amounts(Host(vcpus=0, ram_mib=0, disk_gib=0), {})}
    least = sum(host.facts.get("capacity", {}).get("disk_free_gib", 0) for host in found)
    return {"hypervisor_statistics": {**total, "count": len(found), "disk_available_least": least}}


def find(ctx: Ctx) -> Host:
    id = ctx.path["hypervisor_id"]
    for host in hosts(ctx):
        if id == str(brief(ctx, host)["id"]):
            return host
    if ctx.version >= UUIDS and not re.fullmatch(r"[0-9a-f-]{36}", id):
        raise BadRequest(f"Invalid uuid {id}")
    raise NotFound(f"Hypervisor with ID '{id}' could not be found.")


@compute.call("GET", "/v2.1/os-hypervisors/{hypervisor_id}", rule=SHOW)
def show(ctx: Ctx) -> Json:
    """Show one hypervisor."""
    ctx.require(SHOW, policy.Target(ctx.caller.project_id))
    host = find(ctx)
    shown = detailed(ctx, host, claims(ctx.db).get(host.name, {}))
    add_servers(ctx, [shown])
    return {"hypervisor": shown}


@compute.call("GET", "/v2.1/os-hypervisors/{hypervisor_id}/uptime", rule=UPTIME, until=(2, 87))
def show_uptime(ctx: Ctx) -> Json:
    """How long a hypervisor has been up."""
    ctx.require(UPTIME, policy.Target(ctx.caller.project_id))
    host = find(ctx)
    return {"hypervisor": {**brief(ctx, host), "uptime": uptime(host.facts) or ""}}


def matching(ctx: Ctx) -> list[Host]:
    pattern = ctx.path["hypervisor_id"]
    found = [host for host in hosts(ctx) if pattern in host.name]
    if not found:
        raise NotFound(f"No hypervisor matching '{pattern}' could be found.")
    return found


@compute.call("GET", "/v2.1/os-hypervisors/{hypervisor_id}/search", rule=SEARCH, until=(2, 52))
def search(ctx: Ctx) -> Json:
    """List the hypervisors whose names hold a text."""
    ctx.require(SEARCH, policy.Target(ctx.caller.project_id))
    return {"hypervisors": [brief(ctx, host) for host in matching(ctx)]}


@compute.call("GET", "/v2.1/os-hypervisors/{hypervisor_id}/servers", rule=SERVERS, until=(2, 52))
def servers(ctx: Ctx) -> Json:
    """List the servers on the hypervisors whose names hold a text."""
    ctx.require(SERVERS, policy.Target(ctx.caller.project_id))
    found = matching(ctx)
    there = servers_of(ctx, [host.name for host in found])
    shown = [{**brief(ctx, host), **({"servers": there[host.name]} if host.name in there else {})} for host in found]
    return {"hypervisors": shown}
