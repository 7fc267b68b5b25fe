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
from wolke.network.address_groups.table import AddressGroup
from wolke.network.doorman.spans import Spans, canonical, intersect, subtract
from wolke.network.edge.table import EdgeOpening
from wolke.network.edge.ways import DIRECT, FLOATING, FORWARDING, PREFIX, Way, ways
from wolke.network.ports.table import Port, PortSecurityGroup
from wolke.network.reachability.openings import Opening, open_ports
from wolke.network.reachability.picture import Picture
from wolke.network.reachability.read import Scope, picture
from wolke.network.security_groups.protocols import WITH_PORTS
from wolke.network.security_groups.table import SecurityGroup, SecurityGroupRule

log = logging.getLogger(__name__)
LOOK_SECONDS = 2.0
SHARE = 10  # times as long as a look took it rests, so that a large cloud is not kept busy by it
OPERATOR = {"doorman_rule", "doorman_exception"}  # kinds whose change may concern everybody
SINGLE = {
    "port",
    "floating_ip",
    "port_forwarding",
}  # kinds whose change concerns the ways that have to do with them, and no others
SHARED = {
    "security_group",
    "security_group_rule",
    "address_group",
}  # kinds whose change concerns whoever uses what another shares
STRANGERS = ("identity", "image")  # services that change nothing of it
MOST_PROJECTS, MOST_IDS = 50, 400  # at a time; beyond, everything is looked at


@dataclass(frozen=True, slots=True)
class Open:
    """What the world outside reaches of one way, at one address of it, by one protocol, from one source."""

    way: str
    project_id: str
    address: str
    port_id: str
    protocol: int
    source: str


# Ports, ((0, 0),) where the protocol has none, and the rules that open them
Found = dict[Open, tuple[Spans, list[Json]]]


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
    if way.ports is None or WITH_PORTS.get(one.protocol) != way.protocol:
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
                "way": key.way, "thing_id": key.way.split("/")[1], "project_id": key.project_id,
                "address": key.address, "port_id": key.port_id,
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
    """A lane whose news are the audit's events. It looks at what they are about, and at all when it starts.

    They come in the order of their places in the audit's chain: numbers of events may appear later than greater ones.
    """

    def __init__(self) -> None:
        super().__init__("edge")
        self.last: int | None = None  # place

    def run_once(self, database: Database) -> int:
        with database.read() as db:
            newest = db.scalar(select(func.max(Event.place))) or 0
            if newest == self.last:
                return 0
            concern = EVERYTHING if self.last is None else concern_of(db, self.last)
        if concern is EVERYTHING or concern.projects or concern.ids:
            look(database, concern)
        self.last = newest
        return 1

    def run(self, database: Database, stop: threading.Event) -> None:
        while not stop.is_set():
            begun = time.monotonic()
            try:
                self.run_once(database)
            except Exception:
                log.exception("edge")
            took = time.monotonic() - begun
            stop.wait(max(LOOK_SECONDS, SHARE * took))


@dataclass(frozen=True, slots=True)
class Concern:
    """What some events may have changed: everything of these projects, and whatever has to do with these things."""

    projects: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()


EVERYTHING = Concern()


def concern_of(db: Session, last: int) -> Concern:
    """Of the events after the last one that was looked at."""
    query = select(Event.kind, Event.target_id, Event.target_project_id, Event.project_id)
    query = query.where(Event.place > last, Event.service.not_in(STRANGERS))
    projects: set[str] = set()
    ids: set[str] = set()
    sharing: set[str] = set()
    for kind, id, target, project in db.execute(query):
        if kind in OPERATOR:
            return EVERYTHING
        ids.add(id)
        if kind not in SINGLE:
            projects |= {target, project} - {""}
        if kind in SHARED:
            sharing.add(target)
    projects |= using(db, sharing) if sharing else set()
    if len(projects) > MOST_PROJECTS or len(ids) > MOST_IDS:
        return EVERYTHING
    return Concern(frozenset(projects), frozenset(ids - {""}))


def using(db: Session, owners: set[str]) -> set[str]:
    """The projects whose ports are in a security group of these projects', or in one whose rules name an address group of theirs."""
    named = select(SecurityGroupRule.security_group_id).join(
        AddressGroup, AddressGroup.id == SecurityGroupRule.remote_address_group_id
    )
    groups = SecurityGroup.project_id.in_(owners) | SecurityGroup.id.in_(
        named.where(AddressGroup.project_id.in_(owners))
    )
    query = select(Port.project_id).join(PortSecurityGroup, PortSecurityGroup.port_id == Port.id)
    query = query.join(SecurityGroup, SecurityGroup.id == PortSecurityGroup.group_id).where(groups)
    return set(db.scalars(query.distinct()))


def look(database: Database, concern: Concern) -> None:
    """Read and judge in one consistent state, then write what differs."""
    with database.read() as db:
        now = database.clock()
        query = select(EdgeOpening.__table__)
        found = ways(db)
        scope = None
        if concern is not EVERYTHING:
            found = [way for way in found if way.project_id in concern.projects or way.related & concern.ids]
            mine = EdgeOpening.project_id.in_(concern.projects) | EdgeOpening.way.in_([way.key for way in found])
            mine |= EdgeOpening.port_id.in_(concern.ids) | EdgeOpening.thing_id.in_(concern.ids)
            query = query.where(mine)
            ports = frozenset(id for way in found for id in way.port_ids)
            scope = Scope(ports, frozenset(way.floatingip_id for way in found if way.floatingip_id))
        before = db.execute(query).all()
        wanted = openings(picture(db, scope), found) if found else {}
        projects = {way.project_id for way in found}
        newest = select(Event.target_project_id, func.max(Event.id)).group_by(Event.target_project_id)
        events = {
            row.target_project_id: row[1] for row in db.execute(newest.where(Event.target_project_id.in_(projects)))
        }
    if wanted or before:
        with database.transaction() as db:
            record(db, wanted, before, now, events)
