"""The northbound lane: everything of this domain that is due becomes rows of OVN, in one transaction.

A kind is a table and a pure function from ids to rows. The lane takes all due items of all kinds at once, because old northd
recomputes everything at each change: one write for many items costs what one costs for one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from wolke.core.config import Config
from wolke.core.db import Database, Resource
from wolke.core.work import Again, Done, Failed, Item, Lane, Next, wake_all
from wolke.drivers.rows import Change, MissingRow, Northbound, Row, Unavailable, plan

BATCH = 1000  # items per transaction: some ten thousand operations at most
CHUNK = 500  # resources per step of the sweep
SWEEP_SECONDS = 300.0
SWEEP = ("network_sweep", "northbound")
SOON = 0.5  # seconds; until a row that another needs is there


@dataclass(frozen=True, slots=True)
class Site:
    """What rows depend on beside the database."""

    config: Config
    has: Callable[[str, str | None], bool]  # whether the running OVN knows a table, or its column


Rows = Callable[[Session, Sequence[str], Site], list[Row]]


@dataclass(frozen=True, slots=True)
class Kind:
    """``rows(db, ids, site)``: all rows of those of the ids that exist, each with owner ``<table name>/<id>``."""

    table: type[Resource]
    rows: Rows


KINDS: dict[str, Kind] = {}  # in the order in which rows need each other


def kind(table: type[Resource], rows: Rows) -> None:
    KINDS[table.__tablename__] = Kind(table, rows)


def wanted(db: Session, name: str, ids: Sequence[str], site: Site) -> tuple[list[Row], dict[str, int]]:
    """The rows of some resources of a kind, and the revision of each resource that exists."""
    table = KINDS[name].table
    revisions = select(table.id, table.revision).where(table.id.in_(ids), table.deleting.is_(False))
    return KINDS[name].rows(db, ids, site), {id: revision for id, revision in db.execute(revisions)}


def by_kind(items: Iterable[Item]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in KINDS}
    for item in items:
        found[item.kind].append(item.id)
    return {name: ids for name, ids in found.items() if ids}


class Reconciler:
    """Makes due items true."""

    def __init__(self, database: Database, north: Northbound, site: Site) -> None:
        self.database, self.north, self.site = database, north, site

    def __call__(self, items: Sequence[Item]) -> Mapping[Item, Next]:
        """Read, drive, record: no transaction is open while the network is spoken to."""
        changes: dict[tuple[str, str], list[Change]] = {}
        revisions: dict[str, dict[str, int]] = {}
        with self.database.read() as db:
            for name, ids in by_kind(items).items():
                rows, revisions[name] = wanted(db, name, ids, self.site)
                mine: dict[str, list[Row]] = {f"{name}/{id}": [] for id in ids}
                for row in rows:
                    mine[row.owner].append(row)
                for id in ids:
                    owner = f"{name}/{id}"
                    changes[name, id] = plan(mine[owner], self.north.rows(owner))
        order = list(KINDS)
        ordered = sorted(items, key=lambda item: order.index(item.kind))
        failed = self._apply(ordered, changes)
        for item in failed:
            revisions[item.kind].pop(item.id, None)
        self._record(revisions)
        return {item: failed.get(item, Done()) for item in items}

    def _apply(self, items: Sequence[Item], changes: Mapping[tuple[str, str], list[Change]]) -> dict[Item, Next]:
        """One transaction for all; where it is refused, halves, so that one bad item stops no other."""
        together = [change for item in items for change in changes[item.kind, item.id]]
        try:
            if together:
                self.north.apply(together)
            return {}
        except Unavailable as error:
            return {item: Failed(error) for item in items}
        except Exception as error:
            if len(items) > 1:
                middle = len(items) // 2
                return self._apply(items[:middle], changes) | self._apply(items[middle:], changes)
            soon = isinstance(error, MissingRow) and items[0].attempts == 0
            return {items[0]: Again(SOON) if soon else Failed(error)}

    def _record(self, revisions: Mapping[str, Mapping[str, int]]) -> None:
        with self.database.transaction() as db:
            for name, found in revisions.items():
                table = KINDS[name].table
                by_revision: dict[int, list[str]] = {}
                for id, revision in found.items():
                    by_revision.setdefault(revision, []).append(id)
                for revision, ids in by_revision.items():
                    stale = table.id.in_(ids) & (table.seen_revision != revision)
                    db.execute(update(table).where(stale).values(seen_revision=revision))


# The sweep ---------------------------------------------------------------------------------------------------------
def drift(database: Database, north: Northbound, site: Site) -> Iterator[list[tuple[str, str]]]:
    """(kind, id) of what is other in OVN than the database says, chunk by chunk; also of owners that are no more."""
    living: set[str] = set()
    for name in KINDS:
        last = ""
        while True:
            with database.read() as db:
                table = KINDS[name].table
                page = select(table.id).where(table.id > last).order_by(table.id).limit(CHUNK)
                ids = list(db.scalars(page))
                rows = KINDS[name].rows(db, ids, site) if ids else []
            if not ids:
                break
            last = ids[-1]
            mine: dict[str, list[Row]] = {f"{name}/{id}": [] for id in ids}
            for row in rows:
                mine[row.owner].append(row)
            living |= mine.keys()
            yield [(name, owner.partition("/")[2]) for owner, want in mine.items() if plan(want, north.rows(owner))]
    strays = [owner.partition("/") for owner in north.owners() - living]
    yield [(name, id) for name, _, id in strays if name in KINDS]


class Sweep:
    """Has the lane look at everything that drifted; the lane alone writes to OVN, so the two never fight."""

    def __init__(self, database: Database, north: Northbound, site: Site) -> None:
        self.database, self.north, self.site = database, north, site

    def __call__(self, items: Sequence[Item]) -> Mapping[Item, Next]:
        for chunk in drift(self.database, self.north, self.site):
            if chunk:
                with self.database.transaction() as db:
                    wake_all(db, chunk)
        return {item: Again(SWEEP_SECONDS) for item in items}


def northbound_lanes(database: Database, north: Northbound, config: Config) -> list[Lane]:
    site = Site(config, north.has)
    return [
        Lane("northbound", list(KINDS), Reconciler(database, north, site), batch=BATCH),
        Lane("network sweep", [SWEEP[0]], Sweep(database, north, site)),
    ]
