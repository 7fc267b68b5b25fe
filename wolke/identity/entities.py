"""One kind of thing in Identity v3: list, show, create, change and delete, in keystone's words.

The core's ``Collection`` belongs to things of a project; identity's belong to domains, keep attributes that nobody declared, are
changed by PATCH and filtered by ``name__contains``. The same thing said once here serves users, groups, projects, roles and the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar, get_type_hints

import msgspec
from sqlalchemy import Boolean, ColumnElement, Select, func, select
from sqlalchemy.orm import InstrumentedAttribute

from wolke.core import policy
from wolke.core.app import App
from wolke.core.auth import Caller
from wolke.core.bodies import OpenBody, envelope, given
from wolke.core.db import Json
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.core.paging import Page, rows, whole_number
from wolke.core.policy import Check, Target
from wolke.identity.service import identity, unknown

T = TypeVar("T")
Column = InstrumentedAttribute[Any]
Prepare = Callable[[App, Caller, Mapping[str, str], Any], Any]
Compare = Callable[[Any, str], ColumnElement[bool]]
COMPARE: dict[str, Compare] = {
    "equals": lambda column, value: column == value,
    "contains": lambda column, value: column.contains(value, autoescape=True),
    "startswith": lambda column, value: column.startswith(value, autoescape=True),
    "endswith": lambda column, value: column.endswith(value, autoescape=True),
    "iequals": lambda column, value: func.lower(column) == value.lower(),
    "icontains": lambda column, value: func.lower(column).contains(value.lower(), autoescape=True),
    "istartswith": lambda column, value: func.lower(column).startswith(value.lower(), autoescape=True),
    "iendswith": lambda column, value: func.lower(column).endswith(value.lower(), autoescape=True),
}


def owned(thing: Any) -> Target:
    """What rules look at when they are asked about a thing."""
    return Target(
        getattr(thing, "project_id", None), domain_id=getattr(thing, "domain_id", None),
        user_id=getattr(thing, "user_id", None), id=thing.id,
    )  # fmt: skip


class Entities(Generic[T]):
    """All calls on one kind of thing.

    Parameters
    ----------
    view : (thing, url of its page) -> what the API shows; ``views`` (ctx, things) where other tables are needed
    checks : the default checks of ``get``, ``list``, ``create``, ``update`` and ``delete``
    filters : query parameter -> column
    target : thing -> what rules look at
    narrow : (ctx, query) -> the query, with what only this kind knows
    """

    def __init__(
        self,
        path: str,
        singular: str,
        plural: str,
        table: type[T],
        view: Callable[[Any, Json], Json],
        *,
        checks: Mapping[str, Check],
        filters: Mapping[str, Column] | None = None,
        target: Callable[[Any], Target] = owned,
        narrow: Callable[[Ctx, Select[Any]], Select[Any]] | None = None,
        views: Callable[[Ctx, Sequence[Any]], list[Json]] | None = None,
        seen: Callable[[Ctx], ColumnElement[bool]] | None = None,
    ) -> None:
        self.path, self.singular, self.plural, self.table, self._view = path, singular, plural, table, view
        self.one_path, self.target, self.narrow, self._views, self._seen = (
            f"{path}/{{{singular}_id}}", target, narrow, views, seen,
        )  # fmt: skip
        self.filters = dict(filters or {})
        self.id: Column = table.id  # type: ignore[attr-defined]
        for action, check in checks.items():
            policy.rule(self.rule(action), check)
        if "list" in checks:
            identity.call("GET", path, rule=self.rule("list"), summary=f"List {plural}")(self.list)
        if "get" in checks:
            identity.call("GET", self.one_path, rule=self.rule("get"), summary=f"Show one {singular}")(self.show)

    def rule(self, action: str) -> str:
        return f"identity:{action}_{self.plural if action == 'list' else self.singular}"

    # Reading -------------------------------------------------------------------------------------------------------
    def links(self, ctx: Ctx, thing: Any) -> Json:
        return {"self": f"{ctx.base}{self.path.format(**ctx.path)}/{thing.id}"}

    def views(self, ctx: Ctx, things: Sequence[Any]) -> list[Json]:
        if self._views:
            return self._views(ctx, things)
        return [self._view(thing, self.links(ctx, thing)) for thing in things]

    def enclose(self, ctx: Ctx, thing: Any) -> Json:
        return {self.singular: self.views(ctx, [thing])[0]}

    def enclosed(self, ctx: Ctx, things: Sequence[Any]) -> Json:
        """A list that is complete."""
        return {self.plural: self.views(ctx, things), "links": self.list_links(ctx)}

    def list_links(self, ctx: Ctx, following: str | None = None) -> Json:
        asked = str(ctx.query)
        here = f"{ctx.base}{ctx_path(ctx, self.path)}"
        return {"self": f"{here}?{asked}" if asked else here, "next": following, "previous": None}

    def visible(self, ctx: Ctx) -> ColumnElement[bool] | None:
        """What the caller may list; None is everything. Raises Forbidden."""
        rule = self.rule("list")
        if ctx.allows(rule, Target()):
            return None
        if self._seen:
            ctx.require(rule, Target(ctx.caller.project_id, domain_id=ctx.caller.domain_id, user_id=ctx.caller.user_id))
            return self._seen(ctx)
        ctx.require(rule, Target(domain_id=ctx.caller.domain_id))
        mine: Column = self.table.domain_id  # type: ignore[attr-defined]
        return mine == ctx.caller.domain_id

    def select(self, ctx: Ctx) -> Select[Any]:
        query = select(self.table.__table__)  # type: ignore[attr-defined]
        only = self.visible(ctx)
        if only is not None:
            query = query.where(only)
        for name, value in ctx.query.multi_items():
            base, _, how = name.partition("__")
            if base in self.filters and (not how or how in COMPARE):
                query = query.where(compared(self.filters[base], base, how, value))
        return self.narrow(ctx, query) if self.narrow else query

    def list(self, ctx: Ctx) -> Json:
        asked = ctx.query.get("limit")
        limit = None if asked is None else whole_number(asked)
        if asked is not None and not limit:
            raise BadRequest(f"Invalid input for limit: '{asked}' is not a whole number above 0")
        page = Page(limit, ctx.query.get("marker", ""))
        found = [row for chunk in rows(ctx.db, self.select(ctx), self.table, page) for row in chunk]
        following = None
        if page.limit and len(found) == page.limit:
            following = f"{ctx.base}{ctx_path(ctx, self.path)}?limit={limit}&marker={found[-1].id}"
        return {self.plural: self.views(ctx, found), "links": self.list_links(ctx, following)}

    def find(self, ctx: Ctx, rule: str, id: str | None = None) -> T:
        """The thing that the path names, for a rule.

        Raises
        ------
        Forbidden: also when there is no such thing, unless the caller might see any; NotFound
        """
        id = ctx.path[f"{self.singular}_id"] if id is None else id
        thing = ctx.db.get(self.table, id)
        if thing is None or not self.is_one(thing):
            ctx.require(rule, Target())
            raise unknown(self.singular, id)
        ctx.require(rule, self.target(thing))
        return thing

    def is_one(self, thing: T) -> bool:
        return True

    def show(self, ctx: Ctx) -> Json:
        return self.enclose(ctx, self.find(ctx, self.rule("get")))

    # Writing: decorators for plain functions -----------------------------------------------------------------------
    def create(
        self, *, status: int = 201, prepare: Prepare | None = None
    ) -> Callable[[Callable[[Ctx, Any], T]], Callable[[Ctx, Any], T]]:
        """``create(ctx, body) -> thing``; it asks the rule itself, once it knows whose the thing is to be."""

        def declare(make: Callable[[Ctx, Any], T]) -> Callable[[Ctx, Any], T]:
            def call(ctx: Ctx, whole: Any) -> Json:
                thing = make(ctx, getattr(whole, self.singular))
                ctx.db.add(thing)
                ctx.db.flush()
                ctx.about(thing)
                return self.enclose(ctx, thing)

            identity.call(
                "POST", self.path, rule=self.rule("create"), body=envelope(self.singular, body_of(make)), status=status,
                prepare=prepare, summary=f"Create a {self.singular}",
            )(call)  # fmt: skip
            return make

        return declare

    def update(
        self, *, prepare: Prepare | None = None
    ) -> Callable[[Callable[[Ctx, T, Any], None]], Callable[[Ctx, T, Any], None]]:
        """``update(ctx, thing, body)``; attributes that are not declared are merged into ``extra`` here."""

        def declare(change: Callable[[Ctx, T, Any], None]) -> Callable[[Ctx, T, Any], None]:
            def call(ctx: Ctx, whole: Any) -> Json:
                thing, body = self.find(ctx, self.rule("update")), getattr(whole, self.singular)
                change(ctx, thing, body)
                if isinstance(body, OpenBody) and body.extra:
                    thing.extra = {**thing.extra, **body.extra}  # type: ignore[attr-defined]
                ctx.db.flush()
                ctx.about(thing)
                return self.enclose(ctx, thing)

            identity.call(
                "PATCH", self.one_path, rule=self.rule("update"), body=envelope(self.singular, body_of(change)),
                prepare=prepare, summary=f"Change a {self.singular}",
            )(call)  # fmt: skip
            return change

        return declare

    def delete(self, before: Callable[[Ctx, T], None]) -> Callable[[Ctx, T], None]:
        """``delete(ctx, thing)`` refuses or tidies up; the row goes afterwards."""

        def call(ctx: Ctx) -> None:
            thing = self.find(ctx, self.rule("delete"))
            before(ctx, thing)
            ctx.about(thing)
            ctx.db.delete(thing)

        rule, summary = self.rule("delete"), f"Delete a {self.singular}"
        identity.call("DELETE", self.one_path, rule=rule, status=204, summary=summary)(call)
        return before


def body_of(function: Callable[..., Any]) -> Any:
    return get_type_hints(function, include_extras=True)["body"]


def ctx_path(ctx: Ctx, path: str) -> str:
    return path.format(**ctx.path) if "{" in path else path


def changes(body: OpenBody) -> dict[str, Any]:
    """The declared fields that the caller has sent."""
    return {name: value for name, value in given(body).items() if name != "extra"}


def compared(column: Column, name: str, how: str, value: str) -> ColumnElement[bool]:
    if isinstance(column.type, Boolean):
        return column.is_(value.lower() not in ("false", "0", "no", "off"))
    return COMPARE[how or "equals"](column, value)


def home_of(ctx: Ctx, named: Any) -> str:
    """The domain that a new thing is to belong to: the named one, else that of the caller's token."""
    if isinstance(named, str):
        return named
    return ctx.caller.domain_id or ctx.caller.project_domain_id or "default"


def options(known: Mapping[str, Any], asked: Json, now: Json) -> Json:
    """Options merged: ``null`` takes one away. Raises BadRequest for a wrong type; unknown ones are passed over."""
    merged = dict(now)
    for name, value in asked.items():
        if name not in known:
            raise BadRequest(f"Invalid input for options: '{name}' is not one of {', '.join(sorted(known))}")
        if value is None:
            merged.pop(name, None)
            continue
        try:
            merged[name] = msgspec.convert(value, known[name])
        except msgspec.ValidationError as error:
            raise BadRequest(f"Invalid input for options.{name}: {error}") from error
    return merged
