"""The loop that watches the edge: after each change of a project's network it asks the model what is open now.

What has been open before keeps its time; what is new gets the present one, and the audit's newest event of its project, so that
"what became reachable since then, and who did it" is a question to one table.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from wolke.core.db import Database, Json
from wolke.core.events import Event
from wolke.core.work import Lane
from wolke.network.doorman.spans import Spans, canonical, intersect, subtract
from wolke.network.edge.table import EdgeOpening
from wolke.network.edge.ways import DIRECT, FLOATING, FORWARDING, PREFIX, Way, ways
from wolke.network.reachability.openings import Opening, open_ports
from wolke.network.reachability.picture import Picture
from wolke.network.reachability.read import Scope, picture

log = logging.getLogger(__name__)
LOOK_SECONDS = 2.0
SHARE = 10  # times as long as a look took it rests, so that a large cloud is not kept busy by it
OPERATOR = {"doorman_rule", "doorman_exception"}  # kinds whose change may concern everybody
MOST_PROJECTS = 50  # at a time; beyond, everything is looked at


@dataclass(frozen=True, slots=True)
class Open:
    """What the world outside reaches of one way, at one address of it, by one protocol, from one source."""

    way: str
    project_id: str
    address: str
    port_id: str
    protocol: int
    source: str


Found = dict[
    Open, tuple[Spans, list[Json]]
]  # ports ((0, 0),) where the protocol has none, and the rules that open them


def openings(seen: Picture, found: Iterable[Way]) -> Found:
    """Everything that is open, by the model of ``reachability``."""
    opened: Found = {}
    for way in found:
        for port_id, one in opening_of(seen, way):
            source = str(one.sources) if one.sources else ""
            key = Open(way.key, way.project_id, str(one.address), port_id, one.protocol, source)
            spans, rules = opened.get(key, ((), []))
            ports = canonical([*spans, (one.low, one.high)])
            told = [{"type": by.thing.type, "id": by.thing.id, "name": by.thing.name} for by in one.decisions]
            opened[key] = (ports, [*rules, *(rule for rule in told if rule not in rules)])
    return opened


def opening_of(seen: Picture, way: Way) -> Iterable[tuple[str, Opening]]:
    """(port, opening) of one way."""
    if way.kind in (FLOATING, FORWARDING) and way.floatingip_id in seen.floating:
        if way.kind == FLOATING and not way.port_ids:
            return
        for one in open_ports(seen, floating_id=way.floatingip_id):
            if way.ports is None:
                yield way.port_ids[0], one
            elif (cut := forwarded(way, one)) is not None:
                yield way.port_ids[0], cut
    elif way.kind in (PREFIX, DIRECT):
        for port_id in way.port_ids:
            if port_id in seen.ports:
                for one in open_ports(seen, port_id=port_id):
                    if one.address in way.net:
                        yield port_id, one


def forwarded(way: Way, one: Opening) -> Opening | None:
    """The part of an opening that is a forwarding's."""
    numbers = {"tcp": 6, "udp": 17, "sctp": 132}
    if way.ports is None or numbers.get(way.protocol) != one.protocol:
        return None
    low, high = max(one.low, way.ports[0]), min(one.high, way.ports[1])
    return None if low > high else Opening(one.address, one.protocol, low, high, one.sources, one.decisions)


def record(db: Session, wanted: Found, before: Sequence[Any], now: float, events: Mapping[str, int]) -> bool:
    """Write what differs; what stays open keeps its time. Whether anything did."""
    held: dict[Open, list[Any]] = {}
    for row in before:
        key = Open(row.way, row.project_id, row.address, row.port_id, row.protocol, row.source)
        held.setdefault(key, []).append(row)
    going: list[int] = []
    coming: list[Json] = []

    def add(key: Open, span: tuple[int, int], rules: list[Json], since: float, event_id: int | None) -> None:
        coming.append(
            {
                "way": key.way, "project_id": key.project_id, "address": key.address, "port_id": key.port_id,
                "protocol": key.protocol, "source": key.source, "port_min": span[0], "port_max": span[1],
                "decided_by": rules, "since": since, "event_id": event_id,
            }
        )  # fmt: skip

    for key in {**wanted, **held}:
        spans, rules = wanted.get(key, ((), []))
        left = spans
        for row in held.get(key, ()):
            mine: Spans = ((row.port_min, row.port_max),)
            stays = intersect(mine, spans)
            left = subtract(left, mine)
            if stays == mine and row.decided_by == rules:
                continue
            going.append(row.id)
            for span in stays:
                add(key, span, rules, row.since, row.event_id)
        for span in left:
            add(key, span, rules, now, events.get(key.project_id))
    if going:
        db.execute(delete(EdgeOpening).where(EdgeOpening.id.in_(going)))
    if coming:
        db.execute(insert(EdgeOpening), coming)
    return bool(going or coming)


class EdgeWatch(Lane):
    """A lane whose news are the audit's events. It looks at the projects that they are about, and at all when it starts."""

    def __init__(self) -> None:
        super().__init__("edge", (), lambda items: {})
        self.last: int | None = None  # event

    def run_once(self, database: Database) -> int:
        with database.read() as db:
            newest = db.scalar(select(func.max(Event.id))) or 0
            if newest == self.last:
                return 0
            projects = None if self.last is None else self.concerned(db, self.last)
        if projects != set():
            self.look(database, projects)
        self.last = newest
        return 1

    def concerned(self, db: Session, last: int) -> set[str] | None:
        """Projects whose edge may be another now; None for all."""
        query = select(Event.kind, Event.target_project_id, Event.project_id).where(Event.id > last).distinct()
        found: set[str] = set()
        for kind, target, project in db.execute(query):
            if kind in OPERATOR:
                return None
            found |= {target, project} - {""}
        return found if len(found) <= MOST_PROJECTS else None

    def look(self, database: Database, projects: set[str] | None) -> None:
        """Read and judge in one consistent state, then write what differs."""
        with database.read() as db:
            now = database.clock()
            each: Iterable[str | None] = [None] if projects is None else sorted(projects)
            found = {way.key: way for project in each for way in ways(db, project)}
            ports = frozenset(id for way in found.values() for id in way.port_ids)
            floating = frozenset(way.floatingip_id for way in found.values() if way.floatingip_id)
            scope = None if projects is None else Scope(port_ids=ports, floating_ids=floating)
            wanted = openings(picture(db, scope), found.values())
            newest = select(Event.target_project_id, func.max(Event.id)).group_by(Event.target_project_id)
            query = select(EdgeOpening.__table__)
            if projects is not None:
                newest = newest.where(Event.target_project_id.in_(projects))
                query = query.where(EdgeOpening.project_id.in_(projects))
            events = {row.target_project_id: row[1] for row in db.execute(newest)}
            before = db.execute(query).all()
        with database.transaction() as db:
            record(db, wanted, before, now, events)

    def run(self, database: Database, stop: threading.Event) -> None:
        while not stop.is_set():
            begun = time.monotonic()
            try:
                self.run_once(database)
            except Exception:
                log.exception("edge")
            took = time.monotonic() - begun
            stop.wait(max(LOOK_SECONDS, SHARE * took))
