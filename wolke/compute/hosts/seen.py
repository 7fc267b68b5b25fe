"""What a host has told goes into the seen columns. ``PUT /agent/v1/seen`` brings the full picture; most of it is as it was.

Only what differs is written, by Core updates: a picture that says nothing new costs one row. A server counts as gone when its host
says that it has removed it, and not before, because until then the row is what makes the host remove it.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from sqlalchemy import Table, bindparam, delete, select, update
from sqlalchemy.orm import Session

from wolke.compute.hosts_table import Host, bump
from wolke.compute.servers.table import Server, ServerAction, ServerPort
from wolke.network import facts, hooks
from wolke.wire import seen
from wolke.wire.seen import Seen, State

log = logging.getLogger(__name__)
SERVER = cast(Table, Server.__table__)
SEEN_COLUMNS = (
    SERVER.c.id, SERVER.c.revision, SERVER.c.deleting, SERVER.c.seen_revision, SERVER.c.seen_state, SERVER.c.seen_boot,
    SERVER.c.seen_error, SERVER.c.seen_hint, SERVER.c.seen_machine, SERVER.c.seen_password, SERVER.c.launched_at,
)  # fmt: skip


def record(db: Session, picture: Seen) -> None:
    """Write what differs; forget the servers that are gone. One transaction of the caller's."""
    now = db.info["clock"]()
    record_host(db, picture, now)
    hooks.tell(hooks.host_told, db, picture)
    known = {row.id: row for row in db.execute(select(*SEEN_COLUMNS).where(SERVER.c.host == picture.host))}
    changes: list[dict[str, Any]] = []
    for server in picture.servers:
        if (row := known.get(server.id)) is None:
            log.warning(
                "host %s runs server %s, which is not its own", picture.host, server.id, extra={"id": server.id}
            )
        elif new := differing(row, server, now):
            changes.append({"which": server.id, "at": now, **new})
    if changes:
        columns: dict[str, Any] = {name: bindparam(name) for name in changes[0] if name not in ("which", "at")}
        statement = update(SERVER).where(SERVER.c.id == bindparam("which")).values(seen_at=bindparam("at"), **columns)
        db.connection().execute(statement, changes)
    end_actions(db, picture, {id: row.revision for id, row in known.items()}, now)
    if gone := [id for id in picture.removed if id in known and known[id].deleting]:
        forget(db, gone)
        bump(db, picture.host)


def record_host(db: Session, picture: Seen, now: float) -> None:
    host = db.get(Host, picture.host)
    if host is None:
        host = Host(name=picture.host, joined_at=now)
        db.add(host)
        db.flush()
    if not host.service_id:
        host.service_id, host.hypervisor_id = str(uuid.uuid4()), str(uuid.uuid4())
    told = msgspec.to_builtins(picture)
    for name in ("host", "revision", "servers", "removed", "drift", "tunnels", "zones"):
        del told[name]
    if host.facts != told:
        has = picture.capacity
        host.facts, host.vcpus, host.ram_mib, host.disk_gib = told, has.vcpus, has.ram_mib, has.disk_gib
    host.seen_revision, host.seen_at = picture.revision, now


def differing(row: Any, told: seen.Server, now: float) -> dict[str, Any]:
    """The seen columns of one server, if any of them differs."""
    launched_at = row.launched_at
    if not launched_at and told.state is State.RUNNING:
        launched_at = told.started_at or now
    new = {
        "seen_revision": told.revision,
        "seen_state": str(told.state),
        "seen_boot": told.boot,
        "seen_error": told.error[:255],
        "seen_hint": told.hint[:255],
        "seen_machine": told.machine or row.seen_machine,
        "seen_password": told.password or row.seen_password,
        "launched_at": launched_at,
    }
    return {} if all(getattr(row, name) == value for name, value in new.items()) else new


def end_actions(db: Session, picture: Seen, revisions: Mapping[str, int], now: float) -> None:
    """What was asked of a server has ended when its host has answered the newest wish, or cannot."""
    open_now = select(ServerAction.id, ServerAction.server_id).join(Server, Server.id == ServerAction.server_id)
    waiting = db.execute(open_now.where(Server.host == picture.host, ServerAction.finished_at == 0.0)).all()
    if not waiting:
        return
    told = {server.id: server for server in picture.servers}
    wanted: dict[str, set[str]] = {}
    ports = select(ServerPort.server_id, ServerPort.port_id).where(
        ServerPort.server_id.in_([row.server_id for row in waiting])
    )
    for server_id, port_id in db.execute(ports):
        wanted.setdefault(server_id, set()).add(port_id)
    for action in waiting:
        server = told.get(action.server_id)
        if server is None:
            continue
        answered = server.revision >= revisions[server.id] and set(server.nics) == wanted.get(server.id, set())
        if answered or server.error:
            mine = ServerAction.id == action.id
            db.execute(update(ServerAction).where(mine).values(finished_at=now, error=server.error))


def forget(db: Session, ids: Sequence[str]) -> None:
    """Servers that are nowhere any more: their ports are released; the rows stay for those who ask what was."""
    now = db.info["clock"]()
    mine = ServerPort.server_id.in_(ids)
    cards = select(ServerPort.port_id, ServerPort.owned, Server.hostname).join(
        Server, Server.id == ServerPort.server_id
    )
    held = db.execute(cards.where(mine)).all()
    facts.release(db, {row.port_id: row.owned for row in held}, {row.port_id: row.hostname for row in held})
    db.execute(delete(ServerPort).where(mine))
    db.execute(update(Server).where(Server.id.in_(ids)).values(deleted_at=now, host=""))
    end(db, ids, "")


def end(db: Session, ids: Sequence[str], error: str) -> None:
    """End every action that is under way on these servers."""
    waiting = ServerAction.server_id.in_(ids) & (ServerAction.finished_at == 0.0)
    db.execute(update(ServerAction).where(waiting).values(finished_at=db.info["clock"](), error=error))
