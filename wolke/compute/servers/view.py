"""How a server is shown: one function per microversion's worth of fields, and whole pages at a time.

API: https://docs.openstack.org/api-ref/compute/#show-server-details
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import select

from wolke.compute.hosts_table import Host
from wolke.compute.server_groups import groups_of
from wolke.compute.servers.status import NAMES, Status, fault, status_of
from wolke.compute.service import links, moment, rule
from wolke.core import policy
from wolke.core.db import Json, iso
from wolke.core.http import Ctx
from wolke.network import facts
from wolke.network.facts import PortFacts

ATTRIBUTES = rule("os-extended-server-attributes", "", policy.admin)
HOST_STATUS = rule("servers", "show:host_status", policy.admin)
HOST_UNKNOWN = rule("servers", "show:host_status:unknown-only", policy.admin)
FLAVOR_SPECS = rule("servers", "show:flavor-extra-specs", policy.reader)
PROGRESS = frozenset({"ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"})
assert {"ACTIVE", "BUILD"} <= NAMES


@lru_cache(maxsize=4096)
def host_id(project_id: str, host: str) -> str:
    """Tells a project which of its servers share a host, and nothing else."""
    return hashlib.sha224((project_id + host).encode()).hexdigest() if host else ""


def addresses(ports: Sequence[PortFacts]) -> dict[str, list[Json]]:
    """Network name -> its addresses, fixed ones before the floating one that leads to them."""
    found: dict[str, list[Json]] = {}
    for port in ports:
        shown = found.setdefault(port.network_name, [])
        for fixed in port.fixed_ips:
            shown.append(_address(port, fixed.ip_address, "fixed"))
            if floating := port.floating_ips.get(fixed.ip_address):
                shown.append(_address(port, floating, "floating"))
    return found


def _address(port: PortFacts, address: str, kind: str) -> Json:
    return {
        "version": 6 if ":" in address else 4,
        "addr": address,
        "OS-EXT-IPS:type": kind,
        "OS-EXT-IPS-MAC:mac_addr": port.mac_address,
    }


def security_groups(ports: Sequence[PortFacts]) -> list[Json]:
    return [{"name": name} for name in sorted({group.name for port in ports for group in port.security_groups})]


@dataclass(frozen=True, slots=True)
class Sight:
    """What this caller is shown at this version, and what a whole page needs of other tables."""

    version: tuple[int, int]
    attributes: bool
    host_status: bool | None  # None: none at all; False: only UNKNOWN
    specs: bool
    ports: dict[str, list[PortFacts]]
    zones: dict[str, str]  # host -> availability zone
    alive: dict[str, str]  # host -> host_status
    groups: dict[str, list[str]] | None  # server -> its server groups; None: not shown in lists


def sight(ctx: Ctx, servers: Sequence[Any], *, groups: bool) -> Sight:
    mine = policy.Target(ctx.caller.project_id)
    status: bool | None = None
    if ctx.version >= (2, 16):
        status = True if ctx.allows(HOST_STATUS, mine) else (False if ctx.allows(HOST_UNKNOWN, mine) else None)
    names = {server.host for server in servers if server.host}
    hosts = []
    if names:
        columns = (Host.name, Host.zone, Host.seen_at, Host.disabled, Host.forced_down)
        hosts = list(ctx.db.execute(select(*columns).where(Host.name.in_(names))))
    patience = ctx.app.config.host_timeout_seconds
    return Sight(
        version=ctx.version,
        attributes=ctx.allows(ATTRIBUTES, mine),
        host_status=status,
        specs=ctx.version >= (2, 47) and ctx.allows(FLAVOR_SPECS, mine),
        ports=facts.ports_of(ctx.db, [server.id for server in servers]),
        zones={host.name: host.zone for host in hosts},
        alive={host.name: _host_status(host, ctx.now, patience) for host in hosts},
        groups=groups_of(ctx.db, servers) if groups and ctx.version >= (2, 71) else None,
    )


def _host_status(host: Any, now: float, patience: float) -> str:
    if host.forced_down:
        return "DOWN"
    if host.seen_at <= now - patience:
        return "UNKNOWN"
    return "MAINTENANCE" if host.disabled else "UP"


def view(ctx: Ctx, server: Any, sees: Sight) -> Json:
    status = status_of(server)
    ports = sees.ports.get(server.id, [])
    shown: Json = {
        "id": server.id, "name": server.name, "status": status.name, "tenant_id": server.project_id,
        "user_id": server.user_id, "metadata": server.meta, "hostId": host_id(server.project_id, server.host),
        "image": _image(ctx, server), "flavor": _flavor(ctx, server, sees), "created": iso(server.created_at),
        "updated": iso(max(server.updated_at, server.seen_at)), "addresses": addresses(ports),
        "accessIPv4": server.access_ipv4, "accessIPv6": server.access_ipv6, "links": links(ctx, "servers", server.id),
        "OS-DCF:diskConfig": server.disk_config, "OS-EXT-AZ:availability_zone": sees.zones.get(server.host, ""),
        "config_drive": "True" if server.config_drive else "", "key_name": server.key_name,
        "OS-SRV-USG:launched_at": moment(server.launched_at), "OS-SRV-USG:terminated_at": moment(server.deleted_at),
        "OS-EXT-STS:task_state": status.task_state, "OS-EXT-STS:vm_state": status.vm_state,
        "OS-EXT-STS:power_state": status.power_state, "os-extended-volumes:volumes_attached": [],
    }  # fmt: skip
    if groups := security_groups(ports):
        shown["security_groups"] = groups
    if status.name in PROGRESS:
        shown["progress"] = 100 if status.name == "ACTIVE" else 0
    if status.name == "ERROR":
        shown["fault"] = _fault(server, sees)
    if sees.attributes:
        shown |= _attributes(ctx, server)
    _add_newer(shown, server, sees, status)
    return shown


def _add_newer(shown: Json, server: Any, sees: Sight, status: Status) -> None:
    """What microversions have added since 2.3."""
    version = sees.version
    if version >= (2, 9):
        shown["locked"] = server.locked
    if sees.host_status is not None:
        alive = sees.alive.get(server.host, "")
        if sees.host_status or alive == "UNKNOWN":
            shown["host_status"] = alive
    if version >= (2, 19):
        shown["description"] = server.description
    if version >= (2, 26):
        shown["tags"] = server.tags
    if version >= (2, 63):
        shown["trusted_image_certificates"] = None
    if sees.groups is not None:
        shown["server_groups"] = sees.groups.get(server.id, [])
    if version >= (2, 73):
        shown["locked_reason"] = server.locked_reason
    if version >= (2, 90):
        shown["OS-EXT-SRV-ATTR:hostname"] = server.hostname
    if version >= (2, 96):
        shown["pinned_availability_zone"] = server.availability_zone


def _image(ctx: Ctx, server: Any) -> Json | str:
    if not server.image_id:
        return ""
    bookmark = {"rel": "bookmark", "href": f"{ctx.base}/images/{server.image_id}"}
    return {"id": server.image_id, "links": [bookmark]}


def _flavor(ctx: Ctx, server: Any, sees: Sight) -> Json:
    if sees.version < (2, 47):
        bookmark = {"rel": "bookmark", "href": f"{ctx.base}/flavors/{server.flavor_id}"}
        return {"id": server.flavor_id, "links": [bookmark]}
    kept = server.flavor
    shown = {name: kept[name] for name in ("vcpus", "ram", "disk", "ephemeral", "swap")}
    shown["original_name"] = kept["name"]
    if sees.specs:
        shown["extra_specs"] = kept["extra_specs"]
    return shown


def _fault(server: Any, sees: Sight) -> Json:
    shown = {"code": 500, "created": iso(max(server.updated_at, server.seen_at)), "message": fault(server)}
    return {**shown, "details": server.seen_hint} if sees.attributes else shown


def _attributes(ctx: Ctx, server: Any) -> Json:
    prefix = "OS-EXT-SRV-ATTR"
    shown = {
        f"{prefix}:host": server.host or None,
        f"{prefix}:instance_name": f"instance-{server.id[:8]}",
        f"{prefix}:hypervisor_hostname": server.host or None,
    }
    if ctx.version >= (2, 3):
        shown |= {
            f"{prefix}:hostname": server.hostname,
            f"{prefix}:kernel_id": "",
            f"{prefix}:launch_index": server.launch_index,
            f"{prefix}:ramdisk_id": "",
            f"{prefix}:reservation_id": server.reservation_id,
            f"{prefix}:root_device_name": "/dev/vda",
            f"{prefix}:user_data": ctx.app.vault.open(server.user_data).decode() if server.user_data else None,
        }
    return shown


def briefs(ctx: Ctx, servers: Sequence[Any]) -> list[Json]:
    return [{"id": row.id, "name": row.name, "links": links(ctx, "servers", row.id)} for row in servers]


def details(ctx: Ctx, servers: Sequence[Any]) -> list[Json]:
    sees = sight(ctx, servers, groups=False)
    return [view(ctx, server, sees) for server in servers]


def whole(ctx: Ctx, server: Any) -> Json:
    """One server as ``GET /servers/{id}`` shows it."""
    return view(ctx, server, sight(ctx, [server], groups=True))
