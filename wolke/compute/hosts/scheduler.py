"""Which host a server goes to: filter, weigh, claim, in one transaction.

What is taken is counted from the servers' rows under one lock, so two claims never see the same room. A server for which there is
no room gets an error that stays: the caller deletes it or makes another one, as with Nova.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from wolke.compute.hosts.seen import end, forget
from wolke.compute.hosts_table import Host, bump
from wolke.compute.server_groups import ServerGroup
from wolke.compute.servers.table import Server, ServerPort
from wolke.core.app import App
from wolke.core.config import Config
from wolke.core.db import lock
from wolke.core.work import Again, Done, Item, Lane, Next
from wolke.network import facts

log = logging.getLogger(__name__)
NO_VALID_HOST = "No valid host was found. There are not enough hosts available."
KIND = Server.__tablename__
PATIENCE_SECONDS = 60.0  # of a new server with hosts that have been silent for a while
SILENT_SECONDS = 600.0  # a host that has been silent for longer is not waited for


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """One host as the scheduler sees it: what it has, times the ratios, and what servers have claimed of it."""

    name: str
    zone: str
    vcpus: int  # of the machine
    ram_mib: int
    disk_gib: int
    vcpus_allowed: float
    ram_allowed: float
    disk_allowed: float
    servers: int = 0
    vcpus_used: int = 0
    ram_used: int = 0
    disk_used: int = 0

    @property
    def ram_free(self) -> float:
        return self.ram_allowed - self.ram_used


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """What one server wants of its host."""

    vcpus: int
    ram_mib: int
    disk_gib: int
    zone: str = ""
    host: str = ""
    policy: str = ""  # of its group: affinity anti-affinity soft-affinity soft-anti-affinity
    max_per_host: int = 1  # of an anti-affinity group
    members: Mapping[str, int] = field(default_factory=dict)  # host -> members of the group there
    same: frozenset[str] | None = None  # hosts of the servers that it is to be beside, if any are named
    different: frozenset[str] | None = None  # hosts of those that it is not to be beside


def fits(room: Room, ask: Ask) -> bool:
    """Whether the host may take the server. One server never gets more CPUs or memory than the machine has."""
    if ask.host and room.name != ask.host:
        return False
    if ask.zone and room.zone != ask.zone:
        return False
    if ask.vcpus > room.vcpus or ask.ram_mib > room.ram_mib:
        return False
    if room.vcpus_used + ask.vcpus > room.vcpus_allowed or room.disk_used + ask.disk_gib > room.disk_allowed:
        return False
    if room.ram_used + ask.ram_mib > room.ram_allowed:
        return False
    if room.name in (ask.different or ()) or (ask.same is not None and room.name not in ask.same):
        return False
    if ask.policy == "affinity" and ask.members:
        return room.name in ask.members
    if ask.policy == "anti-affinity":
        return ask.members.get(room.name, 0) < ask.max_per_host
    return True


def choose(rooms: Iterable[Room], ask: Ask) -> Room | None:
    """The best host, or None: soft group wishes first, then free memory, then the name so that equals are no lottery."""

    def weight(room: Room) -> tuple[float, float, str]:
        members = ask.members.get(room.name, 0)
        wish = {"soft-affinity": -members, "soft-anti-affinity": members}.get(ask.policy, 0)
        return (wish, -room.ram_free, room.name)

    return min((room for room in rooms if fits(room, ask)), key=weight, default=None)


def rooms(db: Session, config: Config, since: float) -> list[Room]:
    """The hosts that may take servers and have been heard of since then, with what is claimed of each."""
    alive = (Host.seen_at > since) & Host.disabled.is_(False) & Host.forced_down.is_(False)
    hosts = db.execute(select(Host.name, Host.zone, Host.vcpus, Host.ram_mib, Host.disk_gib).where(alive)).all()
    found = {
        row.name: Room(
            name=row.name, zone=row.zone, vcpus=row.vcpus, ram_mib=row.ram_mib, disk_gib=row.disk_gib,
            vcpus_allowed=row.vcpus * config.cpu_allocation_ratio, ram_allowed=row.ram_mib * config.ram_allocation_ratio,
            disk_allowed=row.disk_gib * config.disk_allocation_ratio,
        )
        for row in hosts
    }  # fmt: skip
    for name, used in claims(db).items():
        if name in found:
            found[name] = replace(found[name], **used)
    return list(found.values())


def claims(db: Session) -> dict[str, dict[str, Any]]:
    """What servers have claimed of each host. One that is being deleted holds its room until its host has removed it."""
    sums = (
        select(
            Server.host,
            func.count().label("servers"),
            func.sum(Server.vcpus).label("vcpus_used"),
            func.sum(Server.ram_mib).label("ram_used"),
            func.sum(Server.disk_gib).label("disk_used"),
        )
        .where(Server.host != "")
        .group_by(Server.host)
    )
    return {
        row.host: {
            "servers": row.servers, "vcpus_used": int(row.vcpus_used), "ram_used": int(row.ram_used), "disk_used": int(row.disk_used),
        }
        for row in db.execute(sums)
    }  # fmt: skip


# The lane -----------------------------------------------------------------------------------------------------------
def schedule(app: App, id: str) -> Next:
    """Give a server a host, or the reason why it gets none. Nothing is done twice: a server that has either is left alone."""
    now = app.clock()
    with app.database.transaction() as db:
        lock(db, "scheduler")
        server = db.get(Server, id)
        if server is None or server.host or server.deleted_at or (server.schedule_error and not server.deleting):
            return Done()
        if server.deleting:  # before it went anywhere
            forget(db, [id])
            return Done()
        ask = asked(db, server)
        chosen = choose(rooms(db, app.config, now - app.config.host_timeout_seconds), ask)
        new = now < server.created_at + PATIENCE_SECONDS
        if chosen is None and new and choose(rooms(db, app.config, now - SILENT_SECONDS), ask):
            return Again(1.0)  # the host that could take it may only wait for an api that was restarted
        if chosen is None:
            log.warning("no host has room for server %s", id, extra={"kind": KIND, "id": id})
            db.execute(update(Server).where(Server.id == id).values(schedule_error=NO_VALID_HOST))
            end(db, [id], NO_VALID_HOST)
            return Done()
        db.execute(update(Server).where(Server.id == id).values(host=chosen.name))
        facts.bind(db, list(db.scalars(select(ServerPort.port_id).where(ServerPort.server_id == id))), chosen.name)
        bump(db, chosen.name)
    return Done()


def asked(db: Session, server: Server) -> Ask:
    group = db.get(ServerGroup, server.group_id) if server.group_id else None
    beside = {name: server.hints.get(name) for name in ("same_host", "different_host")}
    hosts = {name: hosts_of(db, ids) for name, ids in beside.items() if ids}
    return Ask(
        vcpus=server.vcpus, ram_mib=server.ram_mib, disk_gib=server.disk_gib, zone=server.availability_zone or "",
        host=server.host_wanted, policy=group.policy if group else "", max_per_host=(group.max_server_per_host or 1) if group else 1,
        members=members_of(db, group.id) if group else {}, same=hosts.get("same_host"), different=hosts.get("different_host"),
    )  # fmt: skip


def members_of(db: Session, group_id: str) -> dict[str, int]:
    """How many servers of a group are on each host."""
    placed = (Server.group_id == group_id) & (Server.host != "") & Server.deleting.is_(False)
    rows = db.execute(select(Server.host, func.count().label("members")).where(placed).group_by(Server.host))
    return {row.host: row.members for row in rows}


def hosts_of(db: Session, ids: str | list[str]) -> frozenset[str]:
    named = [ids] if isinstance(ids, str) else ids
    return frozenset(db.scalars(select(Server.host).where(Server.id.in_(named), Server.host != "")))


def lane(app: App) -> Lane:
    def handle(items: Sequence[Item]) -> Mapping[Item, Next]:
        return {item: schedule(app, item.id) for item in items}

    return Lane("scheduler", [KIND], handle)
