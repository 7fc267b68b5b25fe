"""Availability zones: the zones that hosts are in.

API: https://docs.openstack.org/api-ref/compute/#availability-zones-os-availability-zone
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from wolke.compute.hosts.processes import Process
from wolke.compute.hosts.services import COMPUTE, alive
from wolke.compute.hosts_table import Host
from wolke.compute.service import compute, moment, rule
from wolke.core import policy
from wolke.core.db import Json
from wolke.core.http import Ctx

LIST = rule("os-availability-zone", "list", policy.logged_in)
DETAIL = rule("os-availability-zone", "detail", policy.admin)


def zones(ctx: Ctx) -> dict[str, list[Host]]:
    found: dict[str, list[Host]] = {}
    for host in ctx.db.scalars(select(Host).order_by(Host.zone, Host.name)):
        found.setdefault(host.zone, []).append(host)
    return found


def available(hosts: list[Host]) -> Json:
    """Whether any host of a zone may take servers, as Nova judges: by what is enabled, not by what is alive."""
    return {"available": any(not host.disabled for host in hosts)}


@compute.call("GET", "/v2.1/os-availability-zone", rule=LIST)
def index(ctx: Ctx) -> Json:
    """The zones that a server may ask for."""
    ctx.require(LIST, policy.Target(ctx.caller.project_id))
    shown = [{"zoneName": n, "zoneState": available(hosts), "hosts": None} for n, hosts in zones(ctx).items()]
    return {"availabilityZoneInfo": shown}


@compute.call("GET", "/v2.1/os-availability-zone/detail", rule=DETAIL)
def detail(ctx: Ctx) -> Json:
    """The zones with their hosts and services."""
    ctx.require(DETAIL, policy.Target(ctx.caller.project_id))
    shown: list[Json] = [
        {"zoneName": name, "zoneState": available(hosts), "hosts": {h.name: {COMPUTE: of_host(ctx, h)} for h in hosts}}
        for name, hosts in zones(ctx).items()
    ]
    inside: dict[str, Any] = {}
    patience = ctx.app.config.host_timeout_seconds
    for process in ctx.db.scalars(select(Process)):
        state = {
            "available": process.seen_at > ctx.now - patience, "active": True, "updated_at": moment(process.seen_at),
        }  # fmt: skip
        inside.setdefault(process.host, {})[process.binary] = state
    if inside:
        shown.append({"zoneName": "internal", "zoneState": {"available": True}, "hosts": inside})
    return {"availabilityZoneInfo": shown}


def of_host(ctx: Ctx, host: Host) -> Json:
    return {
        "available": alive(host, ctx.app.config, ctx.now), "active": not host.disabled, "updated_at": moment(host.seen_at),
    }  # fmt: skip
