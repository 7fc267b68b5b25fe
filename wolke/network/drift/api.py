"""Drift as an operator sees it: what was changed by hand in OVN or on a host, when that was noticed and when it was undone.

API:  ``GET /wolke/v1/drift``, newest first; filters ``place`` (``northbound`` or a host), ``kind``, ``name``, ``standing=true``.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from wolke.core import metrics, policy
from wolke.core.collection import Rules
from wolke.core.db import Json, iso
from wolke.core.http import Ctx
from wolke.core.paging import Page, Sort
from wolke.core.parameters import truth
from wolke.network import hooks
from wolke.network.drift.table import NORTHBOUND, Drift
from wolke.v1 import Collection
from wolke.wire.seen import Seen

KINDS = {
    "differs": "a row has other values than it should",
    "missing": "rows are missing",
    "stray": "rows of a thing that is no more, or that the thing should not have",
    "foreign": "something that is nobody's hung on a row of ours",
    "setting": "a setting of a host's virtual switch",
    "port": "a port on a host's bridge",
    "zone": "a bridge or port of a zone on a host",
    "flows": "OpenFlow flows of a host's bridge",
}
MOST = 100  # in one answer, unless ``limit`` asks for fewer


def view(one: Any) -> Json:
    return {
        "id": one.id, "place": one.place, "name": one.name, "kind": one.kind, "details": one.details, "count": one.rows,
        "noticed_at": iso(one.noticed_at, micro=True), "undone_at": iso(one.undone_at, micro=True) if one.undone_at else None,
    }  # fmt: skip


def standing(ctx: Ctx, values: list[str]) -> ColumnElement[bool]:
    return Drift.undone_at == 0.0 if truth("standing", values[-1]) else Drift.undone_at > 0.0


class Drifts(Collection[Drift]):
    max_limit = MOST
    order = (Sort(Drift.noticed_at, descending=True),)

    def enclose_all(self, ctx: Ctx, items: bytes, page: Page, ends: list[Json], full: bool) -> bytes:
        counts = msgspec.json.encode(counted(ctx.db))
        return b'{"drift":%s,"places":%s}' % (items, counts)


drifts = Drifts(
    "/drift", "drift", "drift", Drift, view, rules=Rules(read=policy.admin), wakes="", filters={"standing": standing},
    private=("seen_revision", "deleting", "revision", "project_id", "rows", "created_at", "updated_at"),
)  # fmt: skip


def counted(db: Session) -> Json:
    """Of each place: how much stands, how much was noticed in all that is kept, and when last."""
    query = select(
        Drift.place, func.count(), func.count().filter(Drift.undone_at == 0.0), func.max(Drift.noticed_at)
    ).group_by(Drift.place)
    found: Json = {NORTHBOUND: {"standing": 0, "noticed": 0, "last_noticed_at": None}}
    for place, noticed, stands, last in db.execute(query):
        found[place] = {"standing": stands, "noticed": noticed, "last_noticed_at": iso(last)}
    return found


def measure(db: Session) -> None:
    """The gauges of the metrics page."""
    metrics.standing.clear()
    for place, count in counted(db).items():
        metrics.standing.labels(place).set(count["standing"])


metrics.measures.append(measure)


# What hosts tell ----------------------------------------------------------------------------------------------------
def told(db: Session, picture: Seen) -> None:
    """A host repeats its last ones with each picture; what is new, and what has been undone, is written."""
    ids = [one.id for one in picture.drift]
    known = {row.id: row for row in db.scalars(select(Drift).where(Drift.id.in_(ids)))} if ids else {}
    for one in picture.drift:
        if (row := known.get(one.id)) is None:
            made = Drift(
                id=one.id, place=picture.host, name=one.name, kind=one.kind, details=list(one.details), rows=one.count,
                noticed_at=one.noticed_at, undone_at=one.undone_at,
            )  # fmt: skip
            db.add(made)
            metrics.drift.labels(picture.host, one.kind).inc()
        elif row.place == picture.host and row.undone_at != one.undone_at:
            row.undone_at = one.undone_at


hooks.host_told.append(told)
