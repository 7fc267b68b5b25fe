"""What clients ask first: the versions below ``/identity``.

API: https://docs.openstack.org/api-ref/identity/v3/#api-versions
"""

from __future__ import annotations

from wolke.core.db import Json
from wolke.core.http import Ctx
from wolke.identity.service import identity


def version(base: str) -> Json:
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{base}/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


def every(ctx: Ctx) -> Json:
    """List the versions of this API."""
    return {"versions": {"values": [version(ctx.base)]}}


def one(ctx: Ctx) -> Json:
    """Show version 3."""
    return {"version": version(ctx.base)}


identity.call("GET", "/", rule="", public=True, status=300)(every)
identity.call("GET", "/v3", rule="", public=True)(one)
identity.call("GET", "/v3/", rule="", public=True)(one)
