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
from wolke.core.work import Done, Failed, Item, Lane, Next, Work
from wolke.drivers.rows import Change, Northbound, Row, Unavailable, plan

BATCH = 1000  # items per transaction: some ten thousand operations at most
CHUNK = 500  # resources per step of the sweep
SWEEP_SECONDS = 300.0
SWEEP = ("network_sweep", "northbound")


@dataclass(frozen=True, slots=True)
class Site:
    """What rows depend on beside the database."""

    config: Config
    has: Callable[[str, str | None], bool]  # whether the running OVN knows a table, or its column


Thing = tuple[str, str]  # kind, id
Rows = Callable[[Session, Sequence[str], Site], list[Row]]


@dataclass(frozen=True, slots=True)
class Kind:
    """What has rows in OVN: the resources of a table, or (``single``) one thing that is always there.

    ``rows(db, ids, site)`` : all rows of those of the ids that exist, each with owner ``<kind>/<id>``.
    """

    rows: Rows
    table: type[Resource] | None = None
    single: str = ""

    def revisions(self, db: Session, ids: Sequence[str]) -> dict[str, int]:
        """Of those of the ids that exist."""
        table = self.table
        if table is None:
            return {}
        alive = select(table.id, table.revision).where(table.id.in_(ids), table.deleting.is_(False))
        return {row.id: row.revision for row in db.execute(alive)}

    def after(self, db: Session, last: str) -> list[str]:
        """The next ids of all that exist."""
        if self.table is None:
            return [] if last else [self.single]
        return list(db.scalars(select(self.table.id).where(self.table.id > last).order_by(self.table.id).limit(CHUNK)))


KINDS: dict[str, Kind] = {}
GROUND = (  # what others' rows stand on
    "security_group_drop", "guard", "network", "subnet", "door", "address_group", "security_group", "router",
)  # fmt: skip
# in which rows need each other; what is not named comes last
ORDER = (*GROUND[:-1], "port", "network_log", "router", "floating_ip")


def kind(table: type[Resource], rows: Rows) -> None:
    """Declare the rows of a table's resources."""
    KINDS[table.__tablename__] = Kind(rows, table)


def single(name: str, id: str, rows: Rows) -> None:
    """Declare rows that are always there, as item ``(name, id)``; its domain wakes it once in ``bootstrap``."""
    KINDS[name] = Kind(rows, single=id)


def wanted(db: Session, name: str, ids: Sequence[str], site: Site) -> dict[str, list[Row]]:
    """The rows of each of some resources of a kind; none where a resource is no more."""
    found: dict[str, list[Row]] = {id: [] for id in ids}
    for row in KINDS[name].rows(db, ids, site):
        found[row.owner.partition("/")[2]].append(row)
    return found


def by_kind(items: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Ids of each kind."""
    found: dict[str, list[str]] = {}
    for name, id in items:
        found.setdefault(name, []).append(id)
    return found


Plans = dict[Thing, list[Change]]  # what is to be changed


class Reconciler:
    """Makes due items true."""

    def __init__(self, database: Database, north: Northbound, site: Site) -> None:
        self.database, self.north, self.site = database, north, site

    def __call__(self, items: Sequence[Item]) -> Mapping[Item, Next]:
        """Read, drive, record: no transaction is open while the network is spoken to."""
        revisions: dict[str, dict[str, int]] = {}
        changes: Plans = {}
        ground: Plans = {}
        with self.database.read() as db:
            for name, ids in by_kind((item.kind, item.id) for item in items).items():
                revisions[name] = KINDS[name].revisions(db, ids)
                changes |= self._plans(db, name, ids)
            for name, ids in by_kind(self._waiting(db)).items():
                ground |= self._plans(db, name, [id for id in ids if (name, id) not in changes])
        ordered = sorted(items, key=lambda item: ORDER.index(item.kind) if item.kind in ORDER else len(ORDER))
        failed = self._apply(ordered, changes, [change for some in ground.values() for change in some])
        for item in failed:
            revisions[item.kind].pop(item.id, None)
        self._record(revisions)
        return {item: failed.get(item, Done()) for item in items}

    def _plans(self, db: Session, name: str, ids: Sequence[str]) -> Plans:
        rows = wanted(db, name, ids, self.site) if ids else {}
        return {(name, id): plan(rows[id], self.north.rows(f"{name}/{id}")) for id in ids}

    def _waiting(self, db: Session) -> list[tuple[str, str]]:
        """What other rows stand on and is not done yet, due or not: it goes along, so that nothing waits for it in vain."""
        query = select(Work.kind, Work.id).where(Work.kind.in_(GROUND)).order_by(Work.due).limit(BATCH)
        return [(kind, id) for kind, id in db.execute(query)]

    def _apply(self, items: Sequence[Item], changes: Plans, ground: Sequence[Change] = ()) -> dict[Item, Next]:
        """One transaction for all; where it is refused, halves, so that one bad item stops no other."""
        together = [*ground, *(change for item in items for change in changes[item.kind, item.id])]
        try:
            if together:
                self.north.apply(together)
            return {}
        except Unavailable as error:
            return {item: Failed(error) for item in items}
        except Exception as error:
            if ground:
                return self._apply(items, changes)
            if len(items) > 1:
                middle = len(items) // 2
                return self._apply(items[:middle], changes) | self._apply(items[middle:], changes)
            return {items[0]: Failed(error)}

    def _record(self, revisions: Mapping[str, Mapping[str, int]]) -> None:
        with self.database.transaction() as db:
            for name, found in revisions.items():
                table = KINDS[name].table
                if table is None:
                    continue
                by_revision: dict[int, list[str]] = {}
                for id, revision in found.items():
                    by_revision.setdefault(revision, []).append(id)
                for revision, ids in by_revision.items():
                    stale = table.id.in_(ids) & (table.seen_revision != revision)
                    db.execute(update(table).where(stale).values(seen_revision=revision))


# Everything ----------------------------------------------------------------------------------------------------------
def drift(database: Database, north: Northbound, site: Site) -> Iterator[list[Thing]]:
    """Kind and id of what is other in OVN than the database says, chunk by chunk; also of owners that are no more."""
    living: set[str] = set()
    for name, one in KINDS.items():
        last = ""
        while True:
            with database.read() as db:
                ids = one.after(db, last)
                rows = wanted(db, name, ids, site) if ids else {}
            if not ids:
                break
            last = ids[-1]
            living |= {f"{name}/{id}" for id in ids}
            yield [(name, id) for id in ids if plan(rows[id], north.rows(f"{name}/{id}"))]
    strays = [owner.partition("/") for owner in north.owners() - living]
    yield [(name, id) for name, _, id in strays if name in KINDS]


def northbound_lanes(database: Database, north: Northbound, config: Config) -> list[Lane]:
    return [Lane("northbound", list(KINDS), Reconciler(database, north, Site(config, north.has)), batch=BATCH)]
