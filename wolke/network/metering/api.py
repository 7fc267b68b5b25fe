"""``GET /wolke/v1/metering``: what each label has counted, on which router, in which direction, since when.

Members see what their own project's labels have counted, operators everything. Counts only grow; they are sampled twice a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.core import metrics, policy
from wolke.core.db import Json, iso
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.network.metering.table import EGRESS, INGRESS, MeteringCount, MeteringLabel
from wolke.v1 import page, v1

PARAMETERS = ("label_id", "project_id", "router_id", "limit", "marker")
FIGURES = ("packets_in", "bytes_in", "packets_out", "bytes_out")
_read = policy.rule("wolke:get_metering", policy.reader)


@v1.call("GET", "/metering", rule=_read)
def metering(ctx: Ctx) -> Json:
    """What metering labels have counted at the gateways of routers."""
    if unknown := set(ctx.query) - set(PARAMETERS):
        raise BadRequest(f"Invalid query parameter '{min(unknown)}': use one of {', '.join(PARAMETERS)}")
    everything = ctx.allows(_read, policy.Target(None))
    if not everything:
        ctx.require(_read, policy.Target(ctx.caller.project_id))
    asked = ctx.query.get("project_id") if everything else ctx.caller.project_id
    query = select(MeteringLabel.__table__).order_by(MeteringLabel.created_at, MeteringLabel.id)
    if asked is not None:
        query = query.where(MeteringLabel.project_id == asked)
    if ids := ctx.query.getlist("label_id"):
        query = query.where(MeteringLabel.id.in_(ids))
    shown = page(ctx, ctx.db.execute(query).all(), lambda label: str(label.id))
    counts = counts_of(ctx.db, [label.id for label in shown], ctx.query.getlist("router_id"))
    return {"metering": [view(label, counts.get(label.id, [])) for label in shown]}


def counts_of(db: Session, label_ids: Sequence[str], router_ids: Sequence[str]) -> dict[str, list[Any]]:
    query = select(MeteringCount.__table__).where(MeteringCount.label_id.in_(label_ids))
    if router_ids:
        query = query.where(MeteringCount.router_id.in_(router_ids))
    found: dict[str, list[Any]] = {}
    for count in db.execute(query.order_by(MeteringCount.since, MeteringCount.router_id)):
        found.setdefault(count.label_id, []).append(count)
    return found


def view(label: Any, counts: Sequence[Any]) -> Json:
    """A label with its sums, and each router's part of them."""
    return {
        "id": label.id,
        "name": label.name,
        "project_id": label.project_id,
        "shared": label.shared,
        **{figure: sum(getattr(count, figure) for count in counts) for figure in FIGURES},
        "since": iso(label.created_at),
        "counted_at": iso(max(count.counted_at for count in counts)) if counts else None,
        "routers": [
            {
                "router_id": count.router_id,
                **{figure: getattr(count, figure) for figure in FIGURES},
                "since": iso(count.since),
                "counted_at": iso(count.counted_at),
            }
            for count in counts
        ],
    }


def measure(db: Session) -> None:
    """The gauges of the metrics page."""
    metrics.metered_packets.clear()
    metrics.metered_bytes.clear()
    for count in db.execute(select(MeteringCount.__table__)):
        for direction, packets, size in (
            (INGRESS, count.packets_in, count.bytes_in),
            (EGRESS, count.packets_out, count.bytes_out),
        ):
            metrics.metered_packets.labels(count.label_id, count.router_id, direction).set(packets)
            metrics.metered_bytes.labels(count.label_id, count.router_id, direction).set(size)


metrics.measures.append(measure)
