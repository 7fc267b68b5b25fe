"""Notices drift in OVN's northbound database and has it undone.

OVN tells of every change; those that we did not make are compared with what the database wants, and a difference wakes the owner's
item: the northbound lane alone writes. A sweep compares everything, at each (re)connect at once: a database that was restored
from an older copy always comes with a new connection.

OVN:  ovn-nb(5); rows of nobody's that hang on ours are taken off. What stands by itself and is nobody's is left alone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, select, tuple_, update
from sqlalchemy.orm import Session

from wolke.core import metrics
from wolke.core.db import Database
from wolke.core.work import Again, Item, Lane, Next, Work, wake, wake_all
from wolke.drivers.rows import Change, Delete, Insert, Northbound, Row, Unavailable, Update, plan
from wolke.network.drift.table import NORTHBOUND, Drift
from wolke.network.lane import KINDS, SWEEP, SWEEP_SECONDS, Site, Thing, by_kind, drift, wanted

log = logging.getLogger(__name__)
COLLECT_SECONDS = 0.1  # a hand rarely changes one row alone
STANDING_SECONDS = 1.0  # between two looks at what is not undone yet
MOST_DETAILS = 20
MOST_RECORDED = 100  # of one sweep; the rest is one row
KEEP_SECONDS = 30 * 86400.0
# What OVN itself is told: a gateway's host that is silent for 3 x 200 ms is passed over (BFD between the hosts, ovn-nb(5) NB_Global).
OPTIONS = {"bfd-min-rx": "200", "bfd-min-tx": "200", "bfd-mult": "3"}
SHARED, EVERYTHING = "NB_Global", "*"


# What is other ------------------------------------------------------------------------------------------------------
def described(changes: Sequence[Change]) -> list[str]:
    """One sentence for each row that is not as it should be."""
    return [sentence(change) for change in changes[:MOST_DETAILS]]


def sentence(change: Change) -> str:
    """
    >>> sentence(Insert(Row("ACL", "a", "o/1")))
    'ACL a is missing'
    """
    place = f"{change.row.table} {change.row.key}"
    match change:
        case Insert():
            return f"{place} is missing"
        case Delete():
            return f"{place} should not be there"
        case Update(columns=columns, join=join, leave=leave):
            parts = [f"{name} is not {value!r}" for name, value in columns.items()]
            parts += [f"is not in {column} of {table} {key}" for table, key, column in sorted(join)]
            parts += [f"should not be in {column} of {table} {key}" for table, key, column in sorted(leave)]
            return f"{place}: {', '.join(parts)}"[:500]


def kind_of(changes: Sequence[Change]) -> str:
    """
    >>> kind_of([Insert(Row("ACL", "a", "o/1"))])
    'missing'
    """
    kinds = {type(change) for change in changes}
    if kinds == {Insert}:
        return "missing"
    return "stray" if kinds == {Delete} else "differs"


class Watch(Lane):
    """A lane whose news come from OVN: what others change there, until it is as the database says."""

    def __init__(self, database: Database, north: Northbound, site: Site) -> None:
        super().__init__("drift")
        self.database, self.north, self.site = database, north, site
        self.news: set[str] = set()
        self.lock, self.rung = threading.Lock(), threading.Event()
        north.follow(self.told)

    def told(self, owners: set[str]) -> None:
        self.keep(owners)
        self.rung.set()

    def run_once(self, database: Database) -> int:
        with self.lock:
            news, self.news = self.news, set()
        try:
            return self.look(news) + self.look_again()
        except Unavailable as error:
            log.debug("drift cannot be looked for: %s", error)
            self.keep(news)
            return 0
        except Exception:
            self.keep(news)
            raise

    def keep(self, owners: set[str]) -> None:
        with self.lock:
            self.news |= owners

    def look(self, owners: set[str]) -> int:
        """Notice what the changes of these owners' rows have made other."""
        noticed = 0
        if owners & {SHARED, EVERYTHING}:
            self.set_options()
        if EVERYTHING in owners:
            with self.database.transaction() as db:
                wake(db, *SWEEP)
            noticed += 1
        if owners & {"", EVERYTHING}:
            noticed += self.evict()
        things = [(name, id) for owner in owners for name, _, id in [owner.partition("/")] if name in KINDS and id]
        return noticed + len(self.notice(self.differing(things)))

    def set_options(self) -> None:
        """OVN's own settings; none of a fresh database's are there yet, which is no drift."""
        found = self.north.options()
        wrong = {name: value for name, value in OPTIONS.items() if found.get(name) != value}
        if wrong:
            if set(wrong) <= set(found):
                details = [f"{SHARED} options:{name} is not {value!r}" for name, value in wrong.items()]
                self.record([made(SHARED, "differs", details, self.database.clock(), undone=True)])
            self.north.set_options(wrong)

    def evict(self) -> int:
        """Take off what hangs on our rows and is nobody's."""
        strays = self.north.strays()
        if not strays:
            return 0
        self.north.evict(strays)
        now = self.database.clock()
        self.record(
            made(owner, "foreign", details, now, undone=True) for owner, details in self.hanging(strays).items()
        )
        return len(strays)

    def hanging(self, strays: Sequence[Row]) -> dict[str, list[str]]:
        """What was hung on which row, in words."""
        found: dict[str, list[str]] = {}
        for row in strays:
            shown = {
                name: row.columns[name]
                for name in ("name", "match", "action", "external_ip", "logical_ip")
                if row.columns.get(name)
            }
            for table, key, column in sorted(row.parents):
                found.setdefault(f"{table} {key}", []).append(f"{row.table} in {column}: {shown}")
        return found

    def differing(self, things: Iterable[Thing]) -> dict[Thing, list[Change]]:
        """Those that are other than the database says and that nobody is about to change anyway: looked at twice, because
        what is asked and done between reading the one and the other seems other, too."""
        first = self.compared(list(things))
        return {one: changes for one, changes in self.compared(list(first)).items() if changes == first[one]}

    def compared(self, things: Sequence[Thing]) -> dict[Thing, list[Change]]:
        found: dict[Thing, list[Change]] = {}
        if not things:
            return found
        with self.database.read() as db:
            busy = waiting(db, things)
            for name, ids in by_kind(one for one in things if one not in busy).items():
                rows = wanted(db, name, ids, self.site)
                for id in ids:
                    if changes := plan(rows[id], self.north.rows(f"{name}/{id}")):
                        found[name, id] = changes
        with self.database.read() as db:
            busy = waiting(db, list(found))
        return {one: changes for one, changes in found.items() if one not in busy}

    def notice(self, found: Mapping[Thing, Sequence[Change]]) -> list[Drift]:
        """Write down and have the lane mend it."""
        if not found:
            return []
        now = self.database.clock()
        some = list(found.items())
        rows = [
            made(f"{name}/{id}", kind_of(changes), described(changes), now, len(changes))
            for (name, id), changes in some[:MOST_RECORDED]
        ]
        if rest := some[MOST_RECORDED:]:
            count = sum(len(changes) for _, changes in rest)
            rows.append(
                made(
                    f"{len(rest)} more",
                    "differs",
                    [f"{name}/{id}" for (name, id), _ in rest[:MOST_DETAILS]],
                    now,
                    count,
                    undone=True,
                )
            )
        self.record(rows)
        with self.database.transaction() as db:
            wake_all(db, list(found))
        return rows

    def record(self, rows: Iterable[Drift]) -> None:
        rows = list(rows)
        with self.database.transaction() as db:
            standing = set(db.scalars(select(Drift.name).where(Drift.place == NORTHBOUND, Drift.undone_at == 0.0)))
            new = [row for row in rows if row.undone_at or row.name not in standing]
            db.add_all(new)
        for row in new:
            log.warning("drift: %s %s: %s", row.name, row.kind, "; ".join(row.details[:3]))
            metrics.drift.labels(NORTHBOUND, row.kind).inc()

    def look_again(self) -> int:
        """What was noticed before: is it undone?"""
        with self.database.read() as db:
            standing = db.execute(
                select(Drift.id, Drift.name).where(Drift.place == NORTHBOUND, Drift.undone_at == 0.0)
            ).all()
        if not standing:
            return 0
        things = {(name, id): row.id for row in standing for name, _, id in [row.name.partition("/")] if name in KINDS}
        still: set[Thing] = set()
        with self.database.read() as db:
            for name, ids in by_kind(things).items():
                rows = wanted(db, name, ids, self.site)
                still |= {(name, id) for id in ids if plan(rows[id], self.north.rows(f"{name}/{id}"))}
        undone = [row.id for row in standing if row.id not in {things[one] for one in still}]
        if undone:
            with self.database.transaction() as db:
                db.execute(update(Drift).where(Drift.id.in_(undone)).values(undone_at=self.database.clock()))
        return len(undone)

    def run(self, database: Database, stop: threading.Event) -> None:
        while not stop.is_set():
            self.rung.wait(STANDING_SECONDS)
            if self.rung.is_set():
                stop.wait(COLLECT_SECONDS)
            self.rung.clear()
            try:
                self.run_once(database)
            except Exception:
                log.exception("drift")
                stop.wait(1.0)


class Sweep:
    """Compares everything, chunk by chunk, and forgets drift of long ago."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def __call__(self, items: Sequence[Item]) -> Mapping[Item, Next]:
        watch = self.watch
        recorded: dict[Thing, list[Change]] = {}
        for chunk in drift(watch.database, watch.north, watch.site):
            recorded |= watch.differing(chunk)
            if chunk:
                with watch.database.transaction() as db:
                    wake_all(db, chunk)
        watch.notice(recorded)
        with watch.database.transaction() as db:
            db.execute(
                delete(Drift).where(Drift.undone_at > 0.0, Drift.undone_at < watch.database.clock() - KEEP_SECONDS)
            )
        return {item: Again(SWEEP_SECONDS) for item in items}


def made(name: str, kind: str, details: list[Any], now: float, rows: int = 0, *, undone: bool = False) -> Drift:
    """``undone``: it is so already."""
    return Drift(
        place=NORTHBOUND, name=name, kind=kind, details=details, rows=rows or len(details), noticed_at=now,
        undone_at=now if undone else 0.0, created_at=now, updated_at=now,
    )  # fmt: skip


def waiting(db: Session, things: Sequence[Thing]) -> set[Thing]:
    """Those that the northbound lane is about to look at."""
    query = select(Work.kind, Work.id).where(tuple_(Work.kind, Work.id).in_(things))
    return {(row.kind, row.id) for row in db.execute(query)}


def drift_lanes(database: Database, north: Northbound, site: Site) -> list[Lane]:
    watch = Watch(database, north, site)
    return [watch, Lane("network sweep", [SWEEP[0]], Sweep(watch))]
