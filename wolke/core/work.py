"""Work items: what has to be looked at until the world agrees with the database.

``wake`` writes ``(kind, id)`` in the caller's transaction. A lane takes the due items of its kinds under a lease, hands them to its
handler, and removes those whose revision is still the one it read. A lease is no fence: two processes may handle the same item,
so every handler is idempotent, and what was handled beyond its lease is handled again. A recurring job is an item whose handler
always answers ``Again``.
"""

from __future__ import annotations

import logging
import math
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import delete, func, select, tuple_, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from wolke.core.db import Base, Database, matched, ring

log = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
LOOK_SECONDS = 5.0  # by the clock, should a ring be lost


class Work(Base):
    __tablename__ = "work"

    kind: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(default=1)
    due: Mapped[float] = mapped_column(index=True)  # unix seconds
    lease: Mapped[float] = mapped_column(default=0.0)  # unix seconds until which somebody works on it
    worker: Mapped[str] = mapped_column(default="")
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str] = mapped_column(default="")


@dataclass(frozen=True, slots=True)
class Item:
    kind: str
    id: str
    revision: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Done:
    pass


@dataclass(frozen=True, slots=True)
class Again:
    """Look again in so many seconds; nothing failed."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """Look again after a pause that doubles; the error stands beside the item."""

    error: Exception


Next = Done | Again | Failed
Handler = Callable[[Sequence[Item]], Mapping[Item, Next]]


def wake(db: Session, kind: str, id: str, *, seconds: float = 0.0) -> None:
    """Have one thing looked at, now or in some seconds; commits with the caller's transaction."""
    wake_all(db, [(kind, id)], seconds=seconds)


def wake_all(db: Session, things: Iterable[tuple[str, str]], *, seconds: float = 0.0) -> None:
    due = db.info["clock"]() + seconds
    woken: dict[tuple[str, str], float] = db.info.setdefault("woken", {})  # in this transaction: once is enough
    new = [one for one in dict.fromkeys(things) if due < woken.get(one, math.inf)]
    if not new:
        return
    woken |= dict.fromkeys(new, due)
    rows = [{"kind": kind, "id": id, "revision": 1, "due": due, "lease": 0.0, "worker": "", "attempts": 0, "error": ""}
            for kind, id in new]  # fmt: skip
    db.connection().execute(_upsert(db.get_bind().dialect.name), rows)
    for kind in {row["kind"] for row in rows}:
        ring(db, f"work:{kind}")


@cache
def _upsert(dialect: str) -> Any:
    """The statement that makes an item, or has it looked at again, and sooner; made and compiled once."""
    insert: Any
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert

        earlier: Any = func.least
    else:  # a cloud on SQLite loads nothing of the other
        from sqlalchemy.dialects.sqlite import insert

        earlier = func.min
    made = insert(Work.__table__)
    return made.on_conflict_do_update(
        index_elements=[Work.kind, Work.id],
        set_={"revision": Work.revision + 1, "due": earlier(Work.due, made.excluded.due), "attempts": 0},
    )


def pause(attempts: int) -> float:
    """Seconds before the next try: 2, 4, 8 ... 600.

    >>> pause(1), pause(3), pause(20)
    (2.0, 8.0, 600.0)
    """
    return min(2.0 ** min(attempts, 10), 600.0)


class Lane:
    """One thread's worth of work: items of some kinds, as many at a time as are due (at most ``batch``).

    One without kinds gets its news elsewhere: it has a ``run_once`` and a ``run`` of its own.
    """

    def __init__(
        self, name: str, kinds: Sequence[str] = (), handler: Handler = lambda items: {}, *, batch: int = 1
    ) -> None:
        self.name, self.kinds, self.handler, self.batch = name, tuple(kinds), handler, batch
        self.worker = f"{socket.gethostname()}/{name}/{uuid.uuid4().hex[:8]}"

    def take(self, database: Database) -> list[Item]:
        with database.transaction() as db:
            now = database.clock()
            due = (
                select(Work.__table__)
                .where(Work.kind.in_(self.kinds), Work.due <= now, Work.lease <= now)
                .order_by(Work.due)
                .limit(self.batch)
                .with_for_update(skip_locked=True)
            )
            items = [Item(row.kind, row.id, row.revision, row.attempts) for row in db.execute(due)]
            if items:
                chosen = tuple_(Work.kind, Work.id).in_([(item.kind, item.id) for item in items])
                db.execute(update(Work).where(chosen).values(lease=now + LEASE_SECONDS, worker=self.worker))
        return items

    def run_once(self, database: Database) -> int:
        """Handle what is due; how many items that were."""
        if not self._anything(database):
            return 0
        items = self.take(database)
        if items:
            self._record(database, items, self._handled(items))
        return len(items)

    def _anything(self, database: Database) -> bool:
        with database.read() as db:
            now = database.clock()
            due = select(Work.id).where(Work.kind.in_(self.kinds), Work.due <= now, Work.lease <= now).limit(1)
            return db.execute(due).first() is not None

    def _handled(self, items: Sequence[Item]) -> dict[Item, Next]:
        try:
            return {**dict.fromkeys(items, Done()), **self.handler(items)}
        except Exception as error:
            if len(items) == 1:
                return {items[0]: Failed(error)}
            log.warning("lane %s: batch of %d failed (%s), one by one", self.name, len(items), error)
            return {item: result for item in items for result in self._handled([item]).values()}

    def _record(self, database: Database, items: Sequence[Item], results: Mapping[Item, Next]) -> None:
        with database.transaction() as db:
            now = database.clock()
            mine = Work.worker == self.worker
            held = 0
            done = [(item.kind, item.id, item.revision) for item in items if isinstance(results[item], Done)]
            if done:
                held += matched(db, delete(Work).where(tuple_(Work.kind, Work.id, Work.revision).in_(done), mine))
            left = tuple_(Work.kind, Work.id).in_([(item.kind, item.id) for item in items])
            held += matched(db, update(Work).where(left, mine).values(lease=0.0, worker=""))
            for item in items:
                if changes := self._changes(item, results[item], now):  # not for what was woken meanwhile: it is due
                    same = (Work.kind == item.kind) & (Work.id == item.id) & (Work.revision == item.revision)
                    db.execute(update(Work).where(same).values(**changes))
            if held < len(items):  # another took some: ours came from older facts and may have undone what it did
                wake_all(db, [(item.kind, item.id) for item in items])

    @staticmethod
    def _changes(item: Item, result: Next, now: float) -> dict[str, Any]:
        match result:
            case Done():
                return {}
            case Again(seconds):
                return {"due": now + seconds, "error": "", "attempts": 0}
            case Failed(error):
                attempts = item.attempts + 1
                log.warning(
                    "%s/%s: %s", item.kind, item.id, error, exc_info=error, extra={"kind": item.kind, "id": item.id}
                )
                message = f"{type(error).__name__}: {error}"[:255]
                return {"due": now + pause(attempts), "error": message, "attempts": attempts}

    def run(self, database: Database, stop: threading.Event) -> None:
        """Until ``stop``: at each ring of a kind, when an item falls due, and by the clock."""
        rung = threading.Event()
        quiet = [database.bell.listen(f"work:{kind}", rung.set) for kind in self.kinds]
        try:
            while not stop.is_set():
                rung.clear()
                try:
                    if self.run_once(database):
                        continue
                    rest = self._rest(database)
                except Exception:
                    log.exception("lane %s", self.name)
                    rest = 1.0
                rung.wait(rest)
        finally:
            for forget in quiet:
                forget()

    def _rest(self, database: Database) -> float:
        with database.read() as db:
            later = func.max if database.is_sqlite else func.greatest
            soonest = db.scalar(select(func.min(later(Work.due, Work.lease))).where(Work.kind.in_(self.kinds)))
        return LOOK_SECONDS if soonest is None else min(max(soonest - database.clock(), 0.01), LOOK_SECONDS)
