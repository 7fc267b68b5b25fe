"""The audit log for people: who changed what, when, from where, and how it was before.

API:  ``GET /wolke/v1/events`` (members see what concerns their own project, operators everything), ``GET /wolke/v1/events/verify``.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session

from wolke.core import policy
from wolke.core.app import App
from wolke.core.db import Json, iso, unix
from wolke.core.errors import BadRequest, NotFound
from wolke.core.events import Event, verify
from wolke.core.http import Ctx
from wolke.core.paging import whole_number
from wolke.core.policy import Target, rule
from wolke.v1 import limit, unknown_parameter, v1

FILTERS = {
    "kind": Event.kind, "target_id": Event.target_id, "user_id": Event.user_id, "user_name": Event.user_name,
    "project_id": Event.project_id, "target_project_id": Event.target_project_id, "service": Event.service,
    "action": Event.rule, "request_id": Event.request_id, "address": Event.address,
}  # fmt: skip
OTHERS = ("since", "until", "limit", "marker")

_read = rule("wolke:get_event", policy.reader)
_verify = rule("wolke:verify_events", policy.admin)


def view(event: Any, viewer: str | None) -> Json:
    """``viewer`` : the project that looks, None for an operator. Where an operator has worked from is not a project's business."""
    foreign = viewer is not None and event.project_id != viewer
    return {
        "id": event.id,
        "at": iso(event.at, micro=True),
        "service": event.service,
        "action": event.rule,
        "kind": event.kind,
        "target_id": event.target_id,
        "target_project_id": event.target_project_id or None,
        "user_id": event.user_id or None,
        "user_name": event.user_name,
        "user_domain_id": event.user_domain_id or None,
        "project_id": event.project_id or None,
        "address": None if foreign else event.address or None,
        "request_id": event.request_id or None,
        "method": event.method,
        "path": event.path,
        "status": event.status,
        "before": event.before,
        "after": event.after,
        "place": event.place,
        "seal": event.seal or None,
    }


def visible(ctx: Ctx) -> ColumnElement[bool] | None:
    """What the caller may see: what was done to his project, and what he did himself; None for everything."""
    if ctx.allows(_read, Target(None)):
        return None
    ctx.require(_read, Target(ctx.caller.project_id))
    mine = Event.target_project_id == ctx.caller.project_id
    by_me = (Event.user_id == ctx.caller.user_id) & (Event.project_id == ctx.caller.project_id)
    return mine | (by_me & (Event.target_project_id == ""))


@v1.call("GET", "/events", rule=_read)
def events(ctx: Ctx) -> Json:
    """Changes, newest first: who, when, from where, before and after."""
    condition = visible(ctx)
    query = filtered(ctx, select(Event.__table__))
    if condition is not None:
        query = query.where(condition)
    viewer = None if condition is None else ctx.caller.project_id
    found = ctx.db.execute(query.order_by(Event.id.desc()).limit(limit(ctx)))
    return {"events": [view(event, viewer) for event in found]}


def filtered(ctx: Ctx, query: Select[Any]) -> Select[Any]:
    for name in dict.fromkeys(ctx.query.keys()):
        values = ctx.query.getlist(name)
        if name in FILTERS:
            query = query.where(FILTERS[name].in_(values))
        elif name == "since":
            query = query.where(Event.at >= moment(name, values[0]))
        elif name == "until":
            query = query.where(Event.at < moment(name, values[0]))
        elif name == "marker":
            if (last := whole_number(values[0])) is None:
                raise BadRequest(f"Invalid input for marker: '{values[0]}' is not the id of an event")
            query = query.where(Event.id < last)
        elif name not in OTHERS:
            raise unknown_parameter(name, sorted((*FILTERS, *OTHERS)))
    return query


def moment(name: str, text: str) -> float:
    """Unix seconds. Raises BadRequest, naming the parameter."""
    try:
        return unix(text)
    except ValueError as error:
        raise BadRequest(f"Invalid input for {name}: '{text}' is not a time in ISO 8601") from error


@v1.call("GET", "/events/verify", rule=_verify)
def check(ctx: Ctx) -> Json:
    """Whether the log is as it was written; ``expect=PLACE:SEAL`` as it was once told."""
    ctx.require(_verify, Target(None))
    return {"audit": result(ctx.app, ctx.db, expectation(ctx.query.get("expect", "")))}


def expectation(text: str) -> tuple[int, str] | None:
    if not text:
        return None
    place, _, seal = text.partition(":")
    if (number := whole_number(place)) is None or not seal:
        raise BadRequest(
            f"Invalid input for expect: '{text}' is not PLACE:SEAL, as an earlier verification has told it"
        )
    return number, seal


def result(app: App, db: Session, expected: tuple[int, str] | None = None) -> Json:
    found = verify(db, app.vault, expected)
    return {
        "intact": not found.problem, "verified": found.verified, "unsealed": found.unsealed, "broken_at": found.broken_at,
        "problem": found.problem, "head": f"{found.place}:{found.seal}" if found.place else None,
    }  # fmt: skip


@v1.call("GET", "/events/{event_id}", rule=_read)
def show(ctx: Ctx) -> Json:
    """One change."""
    condition, id = visible(ctx), ctx.path["event_id"]
    query = select(Event.__table__).where(Event.id == (whole_number(id) or 0))
    event = ctx.db.execute(query if condition is None else query.where(condition)).first()
    if event is None:
        raise NotFound(f"event {id} could not be found.")
    return {"event": view(event, None if condition is None else ctx.caller.project_id)}
