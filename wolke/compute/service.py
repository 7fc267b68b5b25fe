"""Compute v2.1: how this API words errors, links, pages and names its rules.

API: https://docs.openstack.org/api-ref/compute/
Microversions: https://docs.openstack.org/nova/latest/reference/api-microversion-history.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode

import msgspec

from wolke.core import collection, policy
from wolke.core.bodies import envelope
from wolke.core.db import Json, Resource, iso
from wolke.core.errors import BadRequest, Forbidden, NotFound, OverQuota, Unauthorized, WolkeError
from wolke.core.http import Answer, Ctx, Service
from wolke.core.paging import Page, Sort, whole_number
from wolke.core.versions import Versions

T = TypeVar("T", bound=Resource)

VERSIONS = Versions("compute", (2, 1), (2, 96), "X-OpenStack-Nova-API-Version")

# nova/api/openstack/wsgi.py: the key around an error's code and message
_FAULTS = {
    400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 405: "badMethod",
    409: "conflictingRequest", 413: "overLimit", 415: "badMediaType", 429: "overLimit", 501: "notImplemented",
    503: "serviceUnavailable",
}  # fmt: skip


def dialect(error: WolkeError, status: int) -> Json:
    if isinstance(error, Unauthorized):  # keystonemiddleware answers these before Nova is asked
        return {"error": {"code": 401, "title": "Unauthorized", "message": str(error)}}
    message = str(error)
    if isinstance(error, OverQuota):
        status = 403
        if error.resource:
            message = (
                f"Quota exceeded for {error.resource}: Requested {error.requested}, but already used {error.used}"
                f" of {error.limit} {error.resource}"
            )
    return {_FAULTS.get(status, "computeFault"): {"code": status, "message": message}, "__status__": status}


compute = Service("compute", "/compute", dialect, endpoint="/v2.1", versions=VERSIONS, id_header="x-compute-request-id")


class QuotaExceeded(Forbidden):
    """More than the API allows of one thing, whatever the project's usage is."""


def rule(area: str, action: str = "", check: policy.Check = policy.member) -> str:
    """Declare a rule by Nova's name: ``os_compute_api:os-keypairs:index``."""
    return policy.rule(f"os_compute_api:{area}:{action}" if action else f"os_compute_api:{area}", check)


def whole(ctx: Ctx, name: str, default: int = 0) -> int:
    """A whole number in the query. Raises BadRequest."""
    asked = ctx.query.get(name, str(default))
    number = whole_number(asked)
    if number is None:
        raise BadRequest(
            f"Invalid input for query parameters {name}. Value: {asked}. '{asked}' does not match '^[0-9]*$'"
        )
    return number


def links(ctx: Ctx, path: str, id: str) -> list[Json]:
    """``path`` : of the collection without the version, such as ``servers``"""
    return [
        {"rel": "self", "href": f"{ctx.base}/v2.1/{path}/{id}"},
        {"rel": "bookmark", "href": f"{ctx.base}/{path}/{id}"},
    ]


def next_link(ctx: Ctx, path: str, marker: str) -> list[Json]:
    """``path`` : of the list, below the service's prefix"""
    kept = [(key, value) for key, value in ctx.query.multi_items() if key != "marker"]
    return [{"rel": "next", "href": f"{ctx.base}{path}?{urlencode([*kept, ('marker', marker)])}"}]


class Collection(collection.Collection[T]):
    """Nova's lists: a brief one and, where ``briefly`` is given, one with ``/detail``; links; newest first.

    ``area`` : the middle of its rules' names. ``guard`` : caller's check that reads, as two rules ``index`` and ``show``
    """

    service = compute
    max_limit: ClassVar[int] = 1000

    def __init__(
        self,
        path: str,
        singular: str,
        plural: str,
        table: type[T],
        view: Callable[[Any], Json] | None = None,
        *,
        area: str,
        read: policy.Check = policy.reader,
        views: Callable[[Ctx, Sequence[Any]], list[Json]] | None = None,
        briefly: Callable[[Ctx, Sequence[Any]], list[Json]] | None = None,
        sorts: Sequence[Sort] = (),
        **options: Any,
    ) -> None:
        self.area, self.sorts, self.list_path = area, tuple(sorts), path
        rules = collection.Rules(read=read)
        super().__init__(path, singular, plural, table, view, views=views, rules=rules, read=False, **options)
        rule(area, "show", read)
        self.service.call("GET", self.one_path, rule=self.rule("show"), summary=f"Show one {singular}")(self.show)
        if briefly:
            brief = copy(self)
            brief._views = briefly
            self.list_path = f"{path}/detail"
            self.service.call("GET", path, rule=self.rule("get"), summary=f"List {plural} briefly")(brief.list)
        self.service.call("GET", self.list_path, rule=self.rule("get"), summary=f"List {plural}")(self.list)

    def rule(self, action: str) -> str:
        return f"os_compute_api:{self.area}:{'index' if action == 'get' else action}"

    def page(self, ctx: Ctx) -> Page:
        page = super().page(ctx)
        return Page(page.limit, page.marker, page.sorts or self.sorts)

    def limits(self, ctx: Ctx) -> Page:
        """Limit and marker, for a collection that sorts in its own way."""
        return Page(min(whole(ctx, "limit", self.max_limit), self.max_limit), ctx.query.get("marker", ""))

    def enclose_all(self, ctx: Ctx, items: bytes, page: Page, ends: list[Json], full: bool) -> bytes:
        name = self.plural.encode()
        if not full or not ends:
            return b'{"%s":%s}' % (name, items)
        more = msgspec.json.encode(next_link(ctx, self.list_path, ends[-1]["id"]))
        return b'{"%s":%s,"%s_links":%s}' % (name, items, name, more)

    def make_with(
        self, body: Any, *, status: int = 200, check: policy.Check = policy.member
    ) -> Callable[[Callable[[Ctx, Any], T]], Callable[[Ctx, Any], T]]:
        """Declare the create: ``create(ctx, body) -> thing``. Nova takes one at a time."""

        def declare(make: Callable[[Ctx, Any], T]) -> Callable[[Ctx, Any], T]:
            name = rule(self.area, "create", check)

            def call(ctx: Ctx, whole: Any) -> Json:
                thing = self.make(ctx, make, getattr(whole, self.singular), name)
                self.changed(ctx, thing)
                return self.enclose(ctx, self.views(ctx, [thing])[0])

            self.service.call(
                "POST", self.path, rule=name, body=envelope(self.singular, body), status=status,
                summary=f"Create a {self.singular}",
            )(call)  # fmt: skip
            return make

        return declare

    def missing(self, id: str) -> NotFound:
        return NotFound(f"{self.singular.replace('_', ' ').capitalize()} {id} could not be found.")


def moment(seconds: float) -> str | None:
    """As Python prints a naive datetime, which is what Nova shows in some places."""
    return iso(seconds, micro=True).removesuffix("Z") if seconds else None


def answer(status: int, body: Json | None = None, **headers: str) -> Answer:
    return Answer(body, status, headers)
