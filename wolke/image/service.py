"""The dialect of Image v2: flat bodies, errors as glance words them.

API:  https://docs.openstack.org/api-ref/image/v2/
"""

from __future__ import annotations

from http import HTTPStatus

from wolke.core import policy
from wolke.core.auth import Caller
from wolke.core.db import Json
from wolke.core.errors import WolkeError
from wolke.core.http import Answer, Ctx, Service


def error(error: WolkeError, status: int) -> Json:
    return {"message": str(error), "code": f"{status} {HTTPStatus(status).phrase}", "title": HTTPStatus(status).phrase}


image = Service("image", "/image", error, type="image")


def _known(caller: Caller, target: object) -> bool:
    return policy.admin(caller, target) or (bool(caller.project_id) and "reader" in caller.roles)


def _can_use(caller: Caller, target: object) -> bool:
    """Whoever sees an image may download it; what is visible is decided by the lookup."""
    return _known(caller, target)


policy.rules({
    "get_images": _known,
    "get_image": _known,
    "download_image": _can_use,
    "add_image": policy.member,
    "modify_image": policy.member,
    "delete_image": policy.member,
    "upload_image": policy.member,
    "publicize_image": policy.admin,
    "communitize_image": policy.member,
    "deactivate": policy.member,
    "reactivate": policy.member,
    "get_members": _known,
    "get_member": _known,
    "add_member": policy.member,
    "delete_member": policy.member,
    "modify_member": _known,
    "stores_info_detail": policy.admin,
})  # fmt: skip


def versions(ctx: Ctx) -> list[Json]:
    return [
        {
            "id": f"v2.{minor}",
            "status": "CURRENT" if minor == 17 else "SUPPORTED",
            "links": [{"rel": "self", "href": f"{ctx.base}/v2/"}],
        }
        for minor in (17, 16, 15, 9, 7, 6, 5, 4, 3, 2, 1, 0)
    ]


@image.call("GET", "/", rule="", public=True, status=300)
def choices(ctx: Ctx) -> Json:
    """The versions of this API."""
    return {"versions": versions(ctx)}


@image.call("GET", "", rule="", public=True, status=300)
def root(ctx: Ctx) -> Json:
    """The versions of this API."""
    return {"versions": versions(ctx)}


@image.call("GET", "/versions", rule="", public=True)
def all_versions(ctx: Ctx) -> Json:
    """The versions of this API."""
    return {"versions": versions(ctx)}


@image.call("GET", "/v2/info/import", rule="get_images")
def info_import(ctx: Ctx) -> Json:
    """The ways in which an image may be brought."""
    ctx.require("get_images", policy.Target(ctx.caller.project_id))
    methods = ["glance-direct", "web-download"]
    return {"import-methods": {"description": "Import methods available.", "type": "array", "value": methods}}


@image.call("GET", "/v2/info/stores", rule="get_images")
def info_stores(ctx: Ctx) -> Answer:
    """The stores that hold images."""
    ctx.require("get_images", policy.Target(ctx.caller.project_id))
    return Answer({"stores": [{"id": "local", "description": "files of the control plane", "default": "true"}]})
