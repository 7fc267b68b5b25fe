"""Wolke's own API, ``/wolke/v1``: what OpenStack has no call for. Domains declare their calls on it.

Errors: ``{"error": {"code": 409, "type": "ZoneInUse", "message": "..."}}``; lists are ``{"zones": [...]}`` with ``limit`` and ``marker``.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from wolke.core import collection
from wolke.core.db import Json, Resource
from wolke.core.errors import BadRequest, WolkeError
from wolke.core.http import Ctx, Service
from wolke.core.policy import Target, logged_in, rule

T = TypeVar("T", bound=Resource)


def dialect(error: WolkeError, status: int) -> Json:
    return {"error": {"code": status, "type": type(error).__name__, "message": str(error)}}


v1 = Service("wolke", "/wolke/v1", dialect, told=True)


class Collection(collection.Collection[T], Generic[T]):
    """A resource of our own API; parameters as of ``core.collection.Collection``. Rules are named ``wolke:create_zone``."""

    service = v1
    told = True

    def rule(self, action: str) -> str:
        return f"wolke:{action}_{self.singular}"

    def unknown_filter(self, ctx: Ctx, name: str) -> None:
        known = sorted({*self.sortable, *self.filters, *self.reserved})
        raise BadRequest(f"Invalid query parameter '{name}': use one of {', '.join(known)}")


_discover = rule("wolke:get_versions", logged_in)


@v1.call("GET", "/", rule=_discover)
def calls(ctx: Ctx) -> Json:
    """What this API can do: method, path and one sentence for each call."""
    ctx.require(_discover, Target(None))
    listed = [{"method": call.method, "path": v1.prefix + call.path, "summary": call.summary} for call in v1.calls]
    return {"calls": sorted(listed, key=lambda one: (one["path"], one["method"]))}
