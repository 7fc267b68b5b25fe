"""``GET /wolke/v1/edge``: every way in and out, whose it is, what is open there and since when, who changed it last, what went through.

Members see their own, operators all. ``since=`` lists only what has become reachable since then.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.audit.api import moment
from wolke.core import policy
from wolke.core.db import Json, iso
from wolke.core.errors import BadRequest
from wolke.core.events import Event
from wolke.core.http import Answer, Ctx
from wolke.core.parameters import truth
from wolke.network.edge.table import EdgeOpening
from wolke.network.edge.traffic import Counters, counted
from wolke.network.edge.ways import KINDS, PREFIX, Way, ways
from wolke.network.edge.witness import Witness
from wolke.network.security_groups import protocols
from wolke.v1 import page, refuse_unknown, v1

PARAMETERS = ("kind", "project_id", "network_id", "address", "open", "since", "limit", "marker", "counters")
_read = policy.rule("wolke:get_edge", policy.reader)


@v1.call("GET", "/edge", rule=_read)
def edge(ctx: Ctx) -> Answer:
    """Every way in and out of the cloud."""
    refuse_unknown(ctx, PARAMETERS)
    everything = ctx.allows(_read, policy.Target(None))
    if not everything:
        ctx.require(_read, policy.Target(ctx.caller.project_id))
    asked = ctx.query.get("project_id") if everything else ctx.caller.project_id
    since = moment("since", ctx.query["since"]) if "since" in ctx.query else None
    found = chosen(ctx, ways(ctx.db, asked))
    opened = openings_of(ctx.db, asked, since)
    if since is not None:
        found = [way for way in found if way.key in opened]
    if "open" in ctx.query:
        wanted = truth("open", ctx.query["open"])
        found = [way for way in found if (way.key in opened) == wanted]
    found.sort(key=lambda way: (KINDS.index(way.kind), way.id, way.prefix))
    shown = page(ctx, found, lambda way: f"{way.kind}/{way.id}")
    changes = last_changes(ctx.db, shown, None if everything else ctx.caller.project_id)
    items = [view(way, opened.get(way.key, []), changes.get(way.key)) for way in shown]
    body: Json = {"edge": items}
    if not truth("counters", ctx.query.get("counters", "true")):
        return Answer(body)
    return Answer(later=partial(with_counters, ctx.app.part(Witness), body, shown))  # type: ignore[type-abstract]


async def with_counters(witness: Witness, body: Json, shown: Sequence[Way]) -> Json:
    """The inventory with what the hosts have counted; a host that does not answer is named."""
    told = await witness.ask("/counters")
    counters = Counters(text for text in told.values() if text is not None)
    for item, way in zip(body["edge"], shown, strict=True):
        item["counters"] = counted(counters, way)
    return body | {"silent_hosts": sorted(host for host, text in told.items() if text is None)}


# What is shown ------------------------------------------------------------------------------------------------------
def view(way: Way, opened: Sequence[Any], change: Any) -> Json:
    return {
        "id": f"{way.kind}/{way.id}",
        "kind": way.kind,
        "project_id": way.project_id,
        "network_id": way.network_id,
        "address": way.prefix,
        "router_id": way.router_id or None,
        "subnet_id": way.subnet_id or None,
        "floatingip_id": way.floatingip_id or None,
        "target": {"port_ids": list(way.port_ids), "fixed_ip_address": way.fixed_ip_address or None},
        "protocol": way.protocol or None,
        "external_ports": list(way.ports) if way.ports else None,
        "internal_ports": list(way.internal_ports) if way.internal_ports else None,
        "source_nat": way.snat,
        "published": way.published if way.kind == PREFIX else None,
        "open": [opening(one) for one in opened],
        "last_change": change and {
            "at": iso(change.at), "user_id": change.user_id or None, "user_name": change.user_name, "action": change.rule,
            "event_id": change.id,
        },
    }  # fmt: skip


def opening(one: Any) -> Json:
    return {
        "address": one.address,
        "port_id": one.port_id or None,
        "protocol": protocols.shown(one.protocol),
        "port_min": one.port_min or None,
        "port_max": one.port_max or None,
        "source": one.source or None,
        "decided_by": one.decided_by,
        "since": iso(one.since),
        "event_id": one.event_id,
    }


def openings_of(db: Session, project_id: str | None, since: float | None) -> dict[str, list[Any]]:
    """What is open, by way."""
    query = select(EdgeOpening.__table__).order_by(
        EdgeOpening.address, EdgeOpening.protocol, EdgeOpening.source, EdgeOpening.port_min
    )
    if project_id is not None:
        query = query.where(EdgeOpening.project_id == project_id)
    if since is not None:
        query = query.where(EdgeOpening.since >= since)
    found: dict[str, list[Any]] = {}
    for one in db.execute(query):
        found.setdefault(one.way, []).append(one)
    return found


def last_changes(db: Session, shown: Sequence[Way], viewer: str | None) -> dict[str, Any]:
    """The newest event about each way or what it leads to; to a project (``viewer``) only what was done to its own things, for a network
    or a router that its ways lead by may be another's."""
    ids = {id for way in shown for id in way.related}
    newest: dict[str, Any] = {}
    wanted = select(Event.id, Event.at, Event.user_id, Event.user_name, Event.rule, Event.target_id)
    if viewer is not None:
        wanted = wanted.where(Event.target_project_id == viewer)
    for some in chunks(sorted(ids)):
        for event in db.execute(wanted.where(Event.target_id.in_(some)).order_by(Event.id)):
            newest[event.target_id] = event
    found = {}
    for way in shown:
        mine = [newest[id] for id in way.related if id in newest]
        if mine:
            found[way.key] = max(mine, key=lambda event: event.id)
    return found


def chunks(ids: Sequence[str], size: int = 500) -> list[Sequence[str]]:
    return [ids[at : at + size] for at in range(0, len(ids), size)]


# What was asked -----------------------------------------------------------------------------------------------------
def chosen(ctx: Ctx, found: Sequence[Way]) -> list[Way]:
    kinds = ctx.query.getlist("kind")
    if unknown := set(kinds) - set(KINDS):
        raise BadRequest(f"Invalid input for kind: '{min(unknown)}' is not one of {', '.join(KINDS)}")
    networks, addresses = ctx.query.getlist("network_id"), ctx.query.getlist("address")
    return [
        way for way in found
        if (not kinds or way.kind in kinds) and (not networks or way.network_id in networks)
        and (not addresses or way.prefix in addresses)
    ]  # fmt: skip
