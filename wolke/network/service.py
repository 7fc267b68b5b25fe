"""Network v2.0: how this API words errors, lists, pages, filters and guards its attributes.

API: https://docs.openstack.org/api-ref/network/v2/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

import msgspec
from msgspec import UNSET, Struct, structs
from sqlalchemy import JSON, ColumnElement, String, and_, cast, false, func, not_, or_
from sqlalchemy.orm import InstrumentedAttribute

from wolke.core import collection, policy
from wolke.core.bodies import Body, Text255, UnsetType
from wolke.core.db import Json, Resource, iso, unix
from wolke.core.errors import BadRequest, Forbidden, MethodNotAllowed, NotFound, Unauthorized, WolkeError
from wolke.core.errors import OverQuota as CoreOverQuota
from wolke.core.http import Ctx, Service
from wolke.core.paging import Page
from wolke.network import errors
from wolke.network.tables import Standard

T = TypeVar("T", bound=Resource)

# Neutron's names for errors that the core raises
_CORE_TYPES: dict[type[WolkeError], str] = {
    BadRequest: "HTTPBadRequest",
    NotFound: "HTTPNotFound",
    MethodNotAllowed: "HTTPMethodNotAllowed",
    Forbidden: "PolicyNotAuthorized",
    WolkeError: "HTTPInternalServerError",
}


def dialect(error: WolkeError, status: int) -> Json:
    if isinstance(error, Unauthorized):  # keystonemiddleware answers these before Neutron is asked
        return {"error": {"code": 401, "title": "Unauthorized", "message": str(error)}}
    name = _CORE_TYPES.get(type(error), type(error).__name__)
    message = str(error)
    if isinstance(error, CoreOverQuota):
        message = f"Quota exceeded for resources: ['{error.resource}']."
    return {"NeutronError": {"type": name, "message": message, "detail": ""}}


network = Service("network", "/network", dialect, told=True)


class CreateBody(Body):
    """What every create takes."""

    name: Text255 = ""
    description: Text255 = ""
    project_id: Text255 | UnsetType = UNSET
    tenant_id: Text255 | UnsetType = UNSET


class UpdateBody(Body):
    name: Text255 | UnsetType = UNSET
    description: Text255 | UnsetType = UNSET


def standard(thing: Any) -> Json:
    """What every resource shows."""
    created = iso(thing.created_at)
    return {
        "id": thing.id,
        "name": thing.name,
        "project_id": thing.project_id,
        "tenant_id": thing.project_id,
        "description": thing.description,
        "tags": thing.tags,
        "revision_number": thing.revision,
        "created_at": created,
        # most things of a long list have never been changed
        "updated_at": created if thing.updated_at == thing.created_at else iso(thing.updated_at),
    }


class Collection(collection.Collection[T], Generic[T]):
    """A resource of this API. Beside the core's parameters:

    Parameters
    ----------
    create_guards, update_guards : attribute as the API spells it -> who may give it. A create that gives what is the
        default anyway needs no rule. Rules are named ``create_network:shared``.
    show_guards : attribute -> who sees it
    error : of an unknown id
    """

    service = network
    told = True

    def __init__(
        self,
        *args: Any,
        create_guards: Mapping[str, policy.Check] | None = None,
        update_guards: Mapping[str, policy.Check] | None = None,
        show_guards: Mapping[str, policy.Check] | None = None,
        error: type[NotFound] = NotFound,
        title: str = "",
        columns: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, columns={"revision_number": "revision", **(columns or {})}, **options)
        self.error, self.title = error, title or self.singular.replace("_", " ").capitalize()
        self.guards = {"create": dict(create_guards or {}), "update": dict(update_guards or {})}
        self.show_guards = dict(show_guards or {})
        for action, guards in (*self.guards.items(), ("get", self.show_guards)):
            for attribute, check in guards.items():
                policy.rule(f"{action}_{self.singular}:{attribute}", check)
        collections.setdefault(self.path.removeprefix("/v2.0/"), self)
        if issubclass(self.table, Standard):
            for name, condition in _TAG_FILTERS.items():
                self.filters.setdefault(name, self._tag_filter(condition))
            self.filters.setdefault("changed_since", self._changed_since)
            taggable.setdefault(self.path.removeprefix("/v2.0/"), self)

    # Words -----------------------------------------------------------------------------------------------------------
    def missing(self, id: str) -> NotFound:
        return self.error(f"{self.title} {id} could not be found.")

    def enclose(self, ctx: Ctx, item: Json) -> Json:
        return {self.singular: self.cut(ctx, item)}

    def enclose_all(self, ctx: Ctx, items: bytes, page: Page, ends: list[Json], full: bool) -> bytes:
        name, links = (
            self.plural.encode(),
            self._links(ctx, page, ends, full) if page.limit and "limit" in ctx.query else [],
        )
        if not links:
            return b'{"%s":%s}' % (name, items)
        return b'{"%s":%s,"%s_links":%s}' % (name, items, name, msgspec.json.encode(links))

    def _links(self, ctx: Ctx, page: Page, ends: list[Json], full: bool) -> list[Json]:
        """Next and previous; the one in reading direction only when the page is full. Beyond the last page, the way back."""
        kept = [(key, value) for key, value in ctx.query.multi_items() if key not in ("marker", "page_reverse")]

        def link(rel: str, marker: str, *more: tuple[str, str]) -> Json:
            path = self.path.format(**ctx.path)
            asked = [*kept, *([("marker", marker)] if marker else []), *more]
            return {"rel": rel, "href": f"{ctx.base}{path}?{urlencode(asked)}"}

        if not ends:
            return [] if page.reverse or not page.marker else [link("previous", "", ("page_reverse", "True"))]
        links = [link("next", ends[-1]["id"])] if full or page.reverse else []
        return (
            [*links, link("previous", ends[0]["id"], ("page_reverse", "True"))] if full or not page.reverse else links
        )

    # Reading ---------------------------------------------------------------------------------------------------------
    def chosen(self, ctx: Ctx, shown: list[Json]) -> list[Json]:
        return [self.cut(ctx, item) for item in shown] if "fields" in ctx.query else shown

    @staticmethod
    def cut(ctx: Ctx, item: Json) -> Json:
        """What the caller wants to see of an item (``fields=``)."""
        wanted = {name for given in ctx.query.getlist("fields") for name in given.split(",")} - {""}
        return {name: value for name, value in item.items() if name in wanted} if wanted else item

    @cached_property
    def sortable(self) -> dict[str, InstrumentedAttribute[Any]]:
        found = super().sortable
        hidden = set(self.renamed.values()) - set(self.renamed)
        return {n: c for n, c in found.items() if n not in hidden and not isinstance(c.type, JSON)}

    def unknown_filter(self, ctx: Ctx, name: str) -> None:
        raise BadRequest(f"['{name}'] is invalid attribute for filtering")

    def filtered(self, ctx: Ctx, query: Any) -> Any:
        if "tenant_id" in ctx.query and "project_id" in ctx.query:
            raise errors.TenantIdProjectIdFilterConflict("Both tenant_id and project_id passed as filters.")
        if any(self._secret(ctx, name) for name in ctx.query):
            query = query.where(false())  # a list that says whether a guess was right shows the attribute, too
        return super().filtered(ctx, query)

    def page(self, ctx: Ctx) -> Page:
        for name in ctx.query.getlist("sort_key"):
            if self._secret(ctx, name):
                raise BadRequest(f"Invalid input for sort_key: '{name}' is not shown to you")
        page = super().page(ctx)
        return replace(page, limit=None) if page.limit == 0 else page  # as Neutron reads it: no pages

    def _secret(self, ctx: Ctx, name: str) -> bool:
        return name in self.show_guards and not self.sees(ctx, name)

    def _tag_filter(self, condition: Callable[[list[ColumnElement[bool]]], ColumnElement[bool]]) -> collection.Filter:
        def asked(ctx: Ctx, values: list[str]) -> ColumnElement[bool]:
            tags = [tag for value in values for tag in value.split(",")]
            table: Any = self.table  # of a Standard: others have no tags
            return condition([tagged(ctx, table, tag) for tag in tags])

        return asked

    def _changed_since(self, ctx: Ctx, values: list[str]) -> ColumnElement[bool]:
        try:
            since = unix(values[0])
        except ValueError as error:
            raise BadRequest(f"Invalid input for changed_since. Reason: '{values[0]}' is not in ISO 8601.") from error
        return self.table.updated_at >= since

    def sees(self, ctx: Ctx, attribute: str, target: Any = None) -> bool:
        """Whether the caller is shown a guarded attribute."""
        return ctx.allows(f"get_{self.singular}:{attribute}", target or policy.Target(ctx.caller.project_id))

    # Writing ---------------------------------------------------------------------------------------------------------
    def project_of(self, ctx: Ctx, body: Any) -> str:
        owner = super().project_of(ctx, body)
        if owner != ctx.caller.project_id and not ctx.caller.is_admin and "service" not in ctx.caller.roles:
            raise BadRequest(
                "Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin"
                " privileges"
            )
        return owner

    def guard_new(self, ctx: Ctx, body: Any, target: policy.Target) -> None:
        self.guard(ctx, "create", body, target)

    def guard(self, ctx: Ctx, action: str, body: Struct, target: Any) -> None:
        """Ask the rule of every guarded attribute that the body gives. Raises Forbidden."""
        guards = self.guards[action]
        for field in structs.fields(body):
            value = getattr(body, field.name)
            if field.encode_name not in guards or value is UNSET:
                continue
            if action == "update" or (value is not None and value != default_of(field)):
                ctx.require(f"{action}_{self.singular}:{field.encode_name}", target)

    def find(self, ctx: Ctx, id: str, rule: str) -> T:
        thing = super().find(ctx, id, rule)
        if (wanted := ctx.headers.get("if-match")) is not None:
            match = re.fullmatch(r'"?revision_number=(\d+)"?', wanted.strip())
            if not match:
                raise BadRequest("Revision number etag must be in the format of revision_number=<int>")
            if int(match[1]) != thing.revision:
                raise errors.RevisionNumberConstraintFailed(
                    f"Constrained to {match[1]}, but current revision is {thing.revision}"
                )
        return thing


def default_of(field: structs.FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


collections: dict[str, Collection[Any]] = {}  # path below /v2.0 -> collection
taggable: dict[str, Collection[Any]] = {}  # those whose things have Neutron's standard attributes


def tagged(ctx: Ctx, table: type[Standard], tag: str) -> ColumnElement[bool]:
    """Rows that bear a tag. The column is JSON text on both databases, so its encoded form is searched for."""
    text, wanted = cast(table.tags, String), msgspec.json.encode(tag).decode()
    if ctx.app.database.is_sqlite:
        return func.instr(text, wanted) > 0
    return func.strpos(text, wanted) > 0


_TAG_FILTERS: dict[str, Callable[[list[ColumnElement[bool]]], ColumnElement[bool]]] = {
    "tags": lambda conditions: and_(*conditions),
    "tags-any": lambda conditions: or_(*conditions),
    "not-tags": lambda conditions: not_(and_(*conditions)),
    "not-tags-any": lambda conditions: not_(or_(*conditions)),
}
