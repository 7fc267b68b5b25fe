"""Wolke's own API, ``/wolke/v1``: what OpenStack has no call for. Domains declare their calls on it.

Errors: ``{"error": {"code": 409, "type": "ZoneInUse", "message": "..."}}``; lists are ``{"zones": [...]}`` with ``limit`` and ``marker``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from wolke.core import collection
from wolke.core.db import Json, Resource
from wolke.core.errors import BadRequest, WolkeError
from wolke.core.http import Ctx, Service
from wolke.core.paging import Page, Sort, whole_number
from wolke.core.policy import Target, logged_in, rule

T = TypeVar("T", bound=Resource)
Entry = TypeVar("Entry")
PAGE, MOST = 100, 1000  # entries of a long list in one answer: where none are asked for, and at most


def dialect(error: WolkeError, status: int) -> Json:
    return {"error": {"code": status, "type": type(error).__name__, "message": str(error)}}


v1 = Service("wolke", "/wolke/v1", dialect, told=True)


class Collection(collection.Collection[T], Generic[T]):
    """A resource of our own API; parameters as of ``core.collection.Collection``. Rules are named ``wolke:create_zone``."""

    service = v1
    told = True
    order: tuple[Sort, ...] = ()  # of a list where the caller does not say

    def rule(self, action: str) -> str:
        return f"wolke:{action}_{self.singular}"

    def unknown_filter(self, ctx: Ctx, name: str) -> None:
        raise unknown_parameter(name, sorted({*self.sortable, *self.filters, *self.reserved}))

    def page(self, ctx: Ctx) -> Page:
        page = super().page(ctx)
        return page if page.sorts else replace(page, sorts=self.order)


def unknown_parameter(name: str, known: Sequence[str]) -> BadRequest:
    """The error of a call that is given a query parameter it does not take."""
    return BadRequest(f"Invalid query parameter '{name}': use {'one of ' if len(known) > 1 else ''}{', '.join(known)}")


def refuse_unknown(ctx: Ctx, known: Sequence[str]) -> None:
    """Raises BadRequest: the query has a parameter that the call does not take."""
    if unknown := set(ctx.query) - set(known):
        raise unknown_parameter(min(unknown), known)


def limit(ctx: Ctx, usual: int | None = PAGE) -> int | None:
    """How many entries of a list the caller wants; ``usual`` where he does not say, None for all. Raises BadRequest."""
    asked = ctx.query.get("limit")
    if asked is None:
        return usual
    number = whole_number(asked)
    if not number:
        raise BadRequest(f"Invalid input for limit: '{asked}' is not a whole number from 1 to {MOST}")
    return min(number, MOST)


def page(ctx: Ctx, found: Sequence[Entry], id: Callable[[Entry], str], usual: int | None = PAGE) -> Sequence[Entry]:
    """The part of a computed list that the caller wants. ``marker`` is the id of the last entry of the page before. Raises BadRequest."""
    if marker := ctx.query.get("marker"):
        places = [at for at, one in enumerate(found) if id(one) == marker]
        if not places:
            raise BadRequest(f"Invalid input for marker: '{marker}' is not in the list")
        found = found[places[-1] + 1 :]
    size = limit(ctx, usual)
    # entries with one id stay together: the next page begins behind all of them
    while size is not None and size < len(found) and id(found[size]) == id(found[size - 1]):
        size += 1
    return found[:size]


_discover = rule("wolke:get_versions", logged_in)


@v1.call("GET", "/", rule=_discover)
def calls(ctx: Ctx) -> Json:
    """What this API can do: method, path and one sentence for each call."""
    ctx.require(_discover, Target(None))
    listed = [{"method": call.method, "path": v1.prefix + call.path, "summary": call.summary} for call in v1.calls]
    return {"calls": sorted(listed, key=lambda one: (one["path"], one["method"]))}
