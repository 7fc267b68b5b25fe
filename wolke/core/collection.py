"""A resource's calls, declared: list, show, filters, paging, rules, quota, audit and wake-up; what differs is a plain function.

A domain subclasses ``Collection`` once for the dialect of its API (envelopes, links, rule names) and then declares one per resource.
Visibility is one SQL condition for lists and lookups alike: what is not in the list is 404, what is but may not be changed is 403.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar, get_type_hints

import msgspec
from sqlalchemy import JSON, ColumnElement, Label, Select, select
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.orm.attributes import flag_modified

from wolke.core import policy
from wolke.core.bodies import UNSET, envelope
from wolke.core.db import Json, Resource
from wolke.core.errors import BadRequest, NotFound
from wolke.core.events import difference
from wolke.core.http import Answer, Ctx, Handler, Service
from wolke.core.paging import Page, Sort, rows, whole_number
from wolke.core.parameters import TRUTH, converted

T = TypeVar("T", bound=Resource)
Filter = Callable[[Ctx, list[str]], ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Rules:
    """The default check behind each call of one collection; an operator's policy.yaml overrides them by name."""

    read: policy.Check = policy.reader
    create: policy.Check = policy.member
    update: policy.Check = policy.member
    delete: policy.Check = policy.member
    actions: Mapping[str, policy.Check] = field(default_factory=dict)


OPERATOR = Rules(read=policy.admin, create=policy.admin, update=policy.admin, delete=policy.admin)


class Collection(Generic[T]):
    """All calls on one kind of resource.

    Parameters
    ----------
    path : of the collection, below the service's prefix
    table : its rows are read with Core selects, so ``view`` gets rows and objects alike
    view : row -> what the API shows; ``views`` (all rows of a page at once) where other tables are needed
    quota : resource name that each new row counts against, "" for none
    wakes : kind of work item that each change writes; the table's name unless "" says none
    visible : condition that the caller sees a row, beside those of his own project
    filters : query parameter -> condition; columns named in ``columns`` are filters by themselves
    columns : API name -> column where both differ; every column may be filtered and sorted by, but those in ``private``
    computed : API name -> expression to sort by, of what is shown but stands in no column; it sees the table's row
    read : False when the domain declares list and show itself
    """

    service: ClassVar[Service]
    max_limit: ClassVar[int | None] = None  # rows that one answer holds at most
    reserved: ClassVar[frozenset[str]] = frozenset(
        {"limit", "marker", "sort_key", "sort_dir", "page_reverse", "fields"}
    )
    hidden_when_deleting: ClassVar[bool] = True
    told: ClassVar[bool] = False  # the audit keeps how a thing was shown before and after each change

    def __init__(
        self,
        path: str,
        singular: str,
        plural: str,
        table: type[T],
        view: Callable[[Any], Json] | None = None,
        *,
        views: Callable[[Ctx, Sequence[Any]], list[Json]] | None = None,
        rules: Rules | None = None,
        quota: str = "",
        wakes: str | None = None,
        visible: Callable[[Ctx], ColumnElement[bool]] | None = None,
        filters: Mapping[str, Filter] | None = None,
        columns: Mapping[str, str] | None = None,
        computed: Mapping[str, ColumnElement[Any]] | None = None,
        private: Sequence[str] = ("seen_revision", "deleting"),
        read: bool = True,
    ) -> None:
        self.path, self.singular, self.plural, self.table = path, singular, plural, table
        self.one_path = f"{path}/{{{singular}_id}}"
        self._view, self._views = view, views
        self.rules, self.quota, self.visible = rules or Rules(), quota, visible
        self.wakes = table.__tablename__ if wakes is None else wakes
        self.filters, self.renamed, self.private = dict(filters or {}), dict(columns or {}), private
        self.computed = {name: one.label(f"by_{name}") for name, one in (computed or {}).items()}
        policy.rule(self.rule("get"), self.rules.read)
        if read:
            self.service.call("GET", path, rule=self.rule("get"), summary=f"List {plural}")(self.list)
            self.service.call("GET", self.one_path, rule=self.rule("get"), summary=f"Show one {singular}")(self.show)

    # The dialect: what a subclass says differently -----------------------------------------------------------------
    def rule(self, action: str) -> str:
        """The policy name of ``get``, ``create``, ``update``, ``delete`` or an action."""
        return f"{action}_{self.singular}"

    def enclose(self, ctx: Ctx, item: Json) -> Json:
        return {self.singular: item}

    def enclose_all(self, ctx: Ctx, items: bytes, page: Page, ends: list[Json], full: bool) -> bytes:
        """The list's body. ``items`` : the encoded JSON array; ``ends`` : first and last item, for links; ``full`` :
        as many as were asked for, so there may be more."""
        return b'{"%s":%s}' % (self.plural.encode(), items)

    def chosen(self, ctx: Ctx, items: list[Json]) -> list[Json]:
        """What the caller wants to see of a list's items (``fields=``)."""
        return items

    def unknown_filter(self, ctx: Ctx, name: str) -> None:
        """A query parameter that is neither a filter nor reserved. Most APIs pass over it."""

    def missing(self, id: str) -> NotFound:
        """The error for a thing that is unknown or invisible."""
        return NotFound(f"{self.singular} {id} could not be found.")

    def project_of(self, ctx: Ctx, body: Any) -> str:
        """Whose the new thing is to be: the caller's own project unless the body names another."""
        for name in ("project_id", "tenant_id"):
            if (named := getattr(body, name, UNSET)) not in (UNSET, None, ""):
                return str(named)
        return ctx.caller.project_id

    def target(self, ctx: Ctx, body: Any) -> policy.Target:
        """What the rules of a create look at."""
        return policy.Target(self.project_of(ctx, body))

    def guard_new(self, ctx: Ctx, body: Any, target: policy.Target) -> None:
        """Rules of single attributes of what is to be made. Raises Forbidden."""

    def target_of(self, ctx: Ctx, thing: T) -> Any:
        """What the rules of a change look at: the thing, unless they need to know what it belongs to."""
        return thing

    # Reading -------------------------------------------------------------------------------------------------------
    def views(self, ctx: Ctx, things: Sequence[Any]) -> list[Json]:
        if self._views:
            return self._views(ctx, things)
        assert self._view
        return [self._view(thing) for thing in things]

    def select(self, ctx: Ctx) -> Select[Any]:
        """The rows that the caller may see, as a Core select.

        Raises
        ------
        Forbidden: the caller has no role that reads anything of this kind
        """
        query = select(self.table.__table__)
        if self.hidden_when_deleting:
            query = query.where(self.table.deleting.is_(False))
        if ctx.allows(self.rule("get"), policy.Target(None)):
            return query
        ctx.require(self.rule("get"), policy.Target(ctx.caller.project_id))
        mine = self.table.project_id == ctx.caller.project_id
        return query.where(mine | self.visible(ctx) if self.visible else mine)

    @cached_property
    def sortable(self) -> dict[str, InstrumentedAttribute[Any]]:
        """API name -> column, for filters and sort keys; PostgreSQL neither compares nor orders JSON."""
        plain = [column.key for column in self.table.__table__.columns if not isinstance(column.type, JSON)]
        names = [name for name in plain if name not in self.private]
        columns = {name: getattr(self.table, name) for name in names}
        aliases = {"tenant_id": "project_id", **self.renamed}
        return columns | {api: columns[column] for api, column in aliases.items() if column in columns}

    def filtered(self, ctx: Ctx, query: Select[Any]) -> Select[Any]:
        for name in dict.fromkeys(ctx.query.keys()):
            values = ctx.query.getlist(name)
            if name in self.reserved:
                continue
            if name in self.filters:
                query = query.where(self.filters[name](ctx, values))
            elif name in self.sortable:
                column = self.sortable[name]
                query = query.where(column.in_([converted(name, column, value) for value in values]))
            else:
                self.unknown_filter(ctx, name)
        return query

    def page(self, ctx: Ctx) -> Page:
        limit, asked = self.max_limit, ctx.query.get("limit")
        if asked is not None:
            if (number := whole_number(asked)) is None:
                raise BadRequest(f"Invalid input for limit: '{asked}' is not a whole number of at least 0")
            limit = min(number, limit) if limit else number
        keys, directions = ctx.query.getlist("sort_key"), ctx.query.getlist("sort_dir")
        known: dict[str, InstrumentedAttribute[Any] | Label[Any]] = {**self.sortable, **self.computed}
        sorts = []
        for at, key in enumerate(keys):
            if key not in known:
                raise BadRequest(f"Invalid input for sort_key: '{key}' is not one of {', '.join(sorted(known))}")
            direction = directions[at] if at < len(directions) else "asc"
            if direction not in ("asc", "desc"):
                raise BadRequest(f"Invalid input for sort_dir: '{direction}' is not one of asc, desc")
            sorts.append(Sort(known[key], direction == "desc"))
        reverse = TRUTH.get(ctx.query.get("page_reverse", "false").lower(), False)
        return Page(limit, ctx.query.get("marker", ""), tuple(sorts), reverse)

    def list(self, ctx: Ctx) -> Answer:
        page, query = self.page(ctx), self.filtered(ctx, self.select(ctx))
        parts: list[bytes] = []
        ends: list[Json] = []
        count = 0
        for chunk in rows(ctx.db, query, self.table, page):
            shown = self.views(ctx, chunk[::-1] if page.reverse else chunk)
            encoded = msgspec.json.encode(self.chosen(ctx, shown))[1:-1]
            parts = [encoded, *parts] if page.reverse else [*parts, encoded]
            first, last = shown[0], shown[-1]
            if ends:
                first, last = (first, ends[1]) if page.reverse else (ends[0], last)
            ends, count = [first, last], count + len(shown)
        full = page.limit is not None and count >= page.limit
        return Answer(self.enclose_all(ctx, b"[%s]" % b",".join(parts), page, ends, full))

    def show(self, ctx: Ctx) -> Json:
        return self.enclose(ctx, self.views(ctx, [self.seen(ctx, self.id_in(ctx))])[0])

    def id_in(self, ctx: Ctx) -> str:
        return ctx.path[f"{self.singular}_id"]

    def seen(self, ctx: Ctx, id: str) -> Any:
        """The row of a thing that the caller may see. Raises NotFound."""
        if row := ctx.db.execute(self.select(ctx).where(self.table.id == id)).first():
            return row
        raise self.missing(id)

    def find(self, ctx: Ctx, id: str, rule: str) -> T:
        """The object for a rule: unknown or invisible is NotFound, visible but not allowed is Forbidden."""
        self.seen(ctx, id)
        thing = ctx.db.get(self.table, id, with_for_update=True)
        if thing is None:
            raise self.missing(id)
        ctx.require(rule, self.target_of(ctx, thing))
        return thing

    # Writing: decorators for plain functions -----------------------------------------------------------------------
    def create(self, function: Callable[..., T] | None = None, *, status: int = 201, body: Any = None) -> Any:
        """``create(ctx, body) -> thing``; also several at once where the plural is sent."""

        def declare(make: Callable[..., T]) -> Callable[..., T]:
            wrapped = envelope(self.singular, body or _body_of(make), self.plural)
            name = policy.rule(self.rule("create"), self.rules.create)

            def call(ctx: Ctx, whole: Any) -> Json | Answer:
                one, many = getattr(whole, self.singular), getattr(whole, self.plural)
                if (one is UNSET) == (many is UNSET):
                    raise BadRequest(f"Invalid input: the body must hold either '{self.singular}' or '{self.plural}'")
                if many == []:
                    raise BadRequest("Resources required")
                things = [self.make(ctx, make, inner, name) for inner in ([one] if many is UNSET else many)]
                ctx.db.flush()
                for thing in things:
                    self.changed(ctx, thing)
                shown = self.views(ctx, things)
                if self.told:
                    for thing, item in zip(things, shown, strict=True):
                        ctx.about(thing, after=item)
                return self.enclose(ctx, shown[0]) if many is UNSET else {self.plural: shown}

            summary = f"Create a {self.singular}"
            self.service.call("POST", self.path, rule=name, body=wrapped, status=status, summary=summary)(call)
            return make

        return declare(function) if function else declare

    def make(self, ctx: Ctx, make: Callable[..., T], body: Any, rule: str) -> T:
        """One new thing: rule, quota, the domain's function, the row."""
        target = self.target(ctx, body)
        ctx.kept.append(target)  # a port's network stands in it
        owner = str(target.project_id)
        ctx.require(rule, target)
        self.guard_new(ctx, body, target)
        if self.quota:
            ctx.claim(owner, **{self.quota: 1})
        thing = make(ctx, body)
        thing.project_id = thing.project_id or owner
        thing.created_at = thing.updated_at = ctx.now
        ctx.db.add(thing)
        ctx.db.flush()
        return thing

    def update(self, function: Callable[..., Any] | None = None, *, method: str = "PUT", body: Any = None) -> Any:
        """``update(ctx, thing, body)``; what it changes on the thing is written."""

        def declare(change: Callable[..., Any]) -> Callable[..., Any]:
            wrapped = envelope(self.singular, body or _body_of(change))
            name = policy.rule(self.rule("update"), self.rules.update)

            def call(ctx: Ctx, whole: Any) -> Json:
                thing = self.find(ctx, self.id_in(ctx), name)
                was = self.shown(ctx, thing), thing.revision
                change(ctx, thing, getattr(whole, self.singular))
                return self.enclose(ctx, self.outcome(ctx, thing, *was))

            summary = f"Change a {self.singular}"
            self.service.call(method, self.one_path, rule=name, body=wrapped, summary=summary)(call)
            return change

        return declare(function) if function else declare

    def delete(self, function: Callable[..., Any] | None = None, *, status: int = 204) -> Any:
        """``delete(ctx, thing)`` refuses or tidies up; the row goes afterwards unless it has set ``deleting``."""

        def declare(before: Callable[..., Any]) -> Callable[..., Any]:
            name = policy.rule(self.rule("delete"), self.rules.delete)

            def call(ctx: Ctx) -> None:
                thing = self.find(ctx, self.id_in(ctx), name)
                shown = self.shown(ctx, thing)
                before(ctx, thing)
                self.changed(ctx, thing)
                ctx.about(thing, before=shown)
                if not thing.deleting:
                    ctx.db.delete(thing)

            summary = f"Delete a {self.singular}"
            self.service.call("DELETE", self.one_path, rule=name, status=status, summary=summary)(call)
            return before

        return declare(function) if function else declare

    def action(self, name: str, *, method: str = "PUT", status: int = 200) -> Callable[[Handler], Handler]:
        """``PUT path/{id}/name``: ``action(ctx, thing, body)`` returns the thing, shown as ever, or any other answer."""

        def declare(act: Handler) -> Handler:
            rule = policy.rule(self.rule(name), self.rules.actions.get(name, self.rules.update))

            def call(ctx: Ctx, body: Any) -> Any:
                thing = self.find(ctx, self.id_in(ctx), rule)
                was = self.shown(ctx, thing), thing.revision
                result = act(ctx, thing, body)
                if isinstance(result, self.table):
                    return self.enclose(ctx, self.outcome(ctx, result, *was))
                ctx.db.flush()
                self.changed(ctx, thing)
                if self.told and isinstance(result, dict):
                    ctx.about(thing, after=result)
                return result

            path, summary = f"{self.one_path}/{name}", (act.__doc__ or name).strip().split("\n")[0]
            self.service.call(method, path, rule=rule, body=_body_of(act), status=status, summary=summary)(call)
            return act

        return declare

    def shown(self, ctx: Ctx, thing: T) -> Json | None:
        """How a thing is shown before a change, where the audit wants to know."""
        return self.views(ctx, [thing])[0] if self.told else None

    def outcome(self, ctx: Ctx, thing: T, before: Json | None, revision: int) -> Json:
        """How a thing is shown after a change, which the audit is told of. What it shows of other tables counts for its revision."""
        ctx.db.flush()
        self.changed(ctx, thing)
        after = self.views(ctx, [thing])[0]
        if before is not None:
            old, new = difference(before, after)
            if (old or new) and thing.revision == revision:
                flag_modified(thing, "updated_at")
                ctx.db.flush()
                after = self.views(ctx, [thing])[0]
            ctx.about(thing, before=old, after=new)
        return after

    def changed(self, ctx: Ctx, thing: T) -> None:
        ctx.about(thing)
        if self.wakes:
            ctx.wake(self.wakes, thing.id)


def _body_of(function: Callable[..., Any]) -> Any:
    """The annotation of a handler's ``body``."""
    return get_type_hints(function, include_extras=True)["body"]
