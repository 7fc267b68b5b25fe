"""What versions of the compute API there are.

API: https://docs.openstack.org/api-ref/compute/#api-versions
"""

from __future__ import annotations

from wolke.compute.service import VERSIONS, compute
from wolke.core.db import Json
from wolke.core.http import Ctx
from wolke.core.versions import spell


def legacy(ctx: Ctx) -> Json:
    """Clients look for it first in the list (and tempest asserts it); its calls are not served any more."""
    href = f"{ctx.base}/v2/"
    return {
        "id": "v2.0", "status": "DEPRECATED", "version": "", "min_version": "", "updated": "2011-01-21T11:33:21Z",
        "links": [{"rel": "self", "href": href}],
    }  # fmt: skip


def current(ctx: Ctx) -> Json:
    return {
        "id": "v2.1", "status": "CURRENT", "version": spell(VERSIONS.highest), "min_version": spell(VERSIONS.lowest),
        "updated": "2013-07-23T11:33:21Z", "links": [{"rel": "self", "href": f"{ctx.base}/v2.1/"}],
    }  # fmt: skip


def detailed(version: Json) -> Json:
    described = {"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"}
    kind = "application/vnd.openstack.compute+json;version=" + ("2.1" if version["id"] == "v2.1" else "2")
    media = [{"base": "application/json", "type": kind}]
    return {"version": {**version, "links": [*version["links"], described], "media-types": media}}


@compute.call("GET", "", rule="", public=True)
def root(ctx: Ctx) -> Json:
    """The versions of this API."""
    return {"versions": [legacy(ctx), current(ctx)]}


@compute.call("GET", "/", rule="", public=True)
def choices(ctx: Ctx) -> Json:
    """The versions of this API."""
    return {"versions": [legacy(ctx), current(ctx)]}


@compute.call("GET", "/v2.1/", rule="", public=True)
def newest(ctx: Ctx) -> Json:
    """Version 2.1 and its microversions."""
    return detailed(current(ctx))


@compute.call("GET", "/v2.1", rule="", public=True)
def newest_bare(ctx: Ctx) -> Json:
    """Version 2.1 and its microversions."""
    return detailed(current(ctx))


@compute.call("GET", "/v2/", rule="", public=True)
def oldest(ctx: Ctx) -> Json:
    """Version 2.0, of which only this page is left."""
    return detailed(legacy(ctx))
