"""The audit log: one row for each thing that a write changes, in the write's own transaction, so that neither exists without the other.

Events are chained: a loop gives each its place and a keyed digest of itself and of the one before. The key is in the vault, not in the
database, so whoever changes, inserts or takes away a row there cannot make the chain fit again. What is cut off at the end shows when
the last place is compared with one that was written down elsewhere.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import JSON, Row, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from wolke.core.db import Base, Database, Json, lock
from wolke.core.secrets import Vault
from wolke.core.work import Lane

log = logging.getLogger(__name__)

SEAL_SECONDS = 1.0
BATCH = 500
MOST_BYTES = 65536  # of what an event keeps of a thing
_SECRETS = ("password", "secret", "psk", "private_key", "adminpass", "token", "md5")
_LOOSE = ("revision_number", "updated_at")  # change with every change


class Event(Base):
    __tablename__ = "audit_event"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[float] = mapped_column(index=True)  # unix seconds
    request_id: Mapped[str] = mapped_column(index=True)
    service: Mapped[str]
    rule: Mapped[str]  # what was asked, by its policy name
    method: Mapped[str]  # "" for what the cloud did by itself
    path: Mapped[str] = mapped_column(default="")
    user_id: Mapped[str] = mapped_column(index=True)
    user_name: Mapped[str] = mapped_column(default="")
    user_domain_id: Mapped[str] = mapped_column(default="")
    project_id: Mapped[str] = mapped_column(index=True)  # that the caller acted for
    kind: Mapped[str] = mapped_column(default="")  # of what was changed
    target_id: Mapped[str] = mapped_column(default="", index=True)
    target_project_id: Mapped[str] = mapped_column(default="", index=True)
    status: Mapped[int]
    address: Mapped[str] = mapped_column(default="")  # the client's
    # as the API shows it; None: not there
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    after: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    place: Mapped[int | None] = mapped_column(unique=True)  # in the chain, from 1; None until a loop has put it there
    seal: Mapped[str] = mapped_column(default="")  # hex


# What is told -------------------------------------------------------------------------------------------------------
def kept(shown: Json | None) -> Json | None:
    """What an event keeps of a thing or a request: without secrets, and not more than fits."""
    if shown is None:
        return None
    clean: Json = _clean(shown)
    size = len(msgspec.json.encode(clean))
    return clean if size <= MOST_BYTES else {"bytes": size}


def _clean(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _clean(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(inner, name) for inner in value]
    if isinstance(value, str) and value and any(word in name.lower() for word in _SECRETS):
        return "***"
    return value


def difference(before: Json, after: Json) -> tuple[Json, Json]:
    """Only what is other than before.

    >>> difference({"name": "a", "mtu": 1442, "revision_number": 1}, {"name": "b", "mtu": 1442, "revision_number": 2})
    ({'name': 'a'}, {'name': 'b'})
    """
    names = [name for name in {**before, **after} if before.get(name) != after.get(name) and name not in _LOOSE]
    return {n: before[n] for n in names if n in before}, {n: after[n] for n in names if n in after}


def told(
    db: Session, rule: str, thing: Any, *, service: str, before: Json | None = None, after: Json | None = None
) -> None:
    """Leave an event of something that the cloud did by itself, in the transaction that does it."""
    db.add(
        Event(
            at=db.info["clock"](), request_id="", service=service, rule=rule, method="", user_id="", user_name="wolke",
            project_id="", kind=type(thing).__tablename__, target_id=str(thing.id), status=0,
            target_project_id=getattr(thing, "project_id", "") or "", before=kept(before), after=kept(after),
        )
    )  # fmt: skip


# The chain ----------------------------------------------------------------------------------------------------------
_SEALED = [column.key for column in Event.__table__.columns if column.key != "seal"]


def digest(vault: Vault, event: Any, place: int, last: str) -> str:
    """The seal of an event at its place, which depends on all before it."""
    facts = {name: getattr(event, name) for name in _SEALED} | {"place": place, "last": last}
    return vault.digest(msgspec.json.encode(facts, order="deterministic"))


class Sealer(Lane):
    """A lane of its own kind: it looks for events without a place, and asks nobody's work items for it."""

    def __init__(self, vault: Vault) -> None:
        super().__init__("audit")
        self.vault = vault

    def run_once(self, database: Database) -> int:
        """Put what is new into the chain; how many events that were."""
        with database.read() as db:
            if db.execute(select(Event.id).where(Event.place.is_(None)).limit(1)).first() is None:
                return 0
        with database.transaction() as db:
            lock(db, "audit/chain")
            last = db.execute(
                select(Event.place, Event.seal).order_by(Event.place.desc().nulls_last()).limit(1)
            ).first()
            place, seal = (last.place or 0, last.seal) if last else (0, "")
            fresh = db.execute(
                select(Event.__table__).where(Event.place.is_(None)).order_by(Event.id).limit(BATCH)
            ).all()
            for event in fresh:
                place += 1
                seal = digest(self.vault, event, place, seal)
                db.execute(update(Event).where(Event.id == event.id).values(place=place, seal=seal))
        return len(fresh)

    def run(self, database: Database, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                if self.run_once(database) == BATCH:
                    continue
            except Exception:
                log.exception("audit")
            stop.wait(SEAL_SECONDS)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is true of the chain."""

    verified: int  # events whose seal is right, from the first on
    unsealed: int  # events that have no place yet
    place: int  # of the last one that is right, with its seal: written down elsewhere, they prove later that nothing was cut off
    seal: str
    broken_at: int | None = None  # the first place that is wrong
    problem: str = ""


def verify(db: Session, vault: Vault, expected: tuple[int, str] | None = None) -> Finding:
    """Follow the whole chain. ``expected`` : a place and its seal as they once were."""
    unsealed = db.scalar(select(func.count()).where(Event.place.is_(None))) or 0
    place, seal, problem = 0, "", ""
    while not problem:
        query = select(Event.__table__).where(Event.place > place).order_by(Event.place).limit(BATCH)
        found = db.execute(query).all()
        if not found:
            break
        place, seal, problem = follow(vault, found, place, seal, expected)
    if not problem and expected and expected[0] > place:
        problem = f"events up to {expected[0]} were there, now the last is {place}"
    return Finding(place, unsealed, place, seal, place + 1 if problem else None, problem)


def follow(
    vault: Vault, events: Iterable[Row[Any]], place: int, seal: str, expected: tuple[int, str] | None
) -> tuple[int, str, str]:
    """The last place that is right, its seal, and what is wrong behind it."""
    for event in events:
        if event.place != place + 1:
            return place, seal, f"events {place + 1} to {event.place - 1} are missing"
        right = digest(vault, event, event.place, seal)
        if event.seal != right:
            return place, seal, f"event {event.place} (id {event.id}) is not what it was when it was written"
        if expected and expected[0] == event.place and expected[1] != right:
            return place, seal, f"event {event.place} is another than it once was"
        place, seal = event.place, right
    return place, seal, ""
