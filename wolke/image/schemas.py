"""JSON schemas of what this API shows; clients read them to know the fields.

API:  https://docs.openstack.org/api-ref/image/v2/#image-schemas
"""

from __future__ import annotations

from typing import Any

from wolke.core import policy
from wolke.core.db import Json
from wolke.core.http import Ctx, Handler
from wolke.image.images import FIXED, SETTABLE
from wolke.image.service import image as service
from wolke.image.table import CONTAINER_FORMATS, DISK_FORMATS, VISIBILITIES

_ENUMS = {
    "container_format": [None, *CONTAINER_FORMATS],
    "disk_format": [None, *DISK_FORMATS],
    "visibility": list(VISIBILITIES),
    "status": [
        "queued",
        "saving",
        "active",
        "killed",
        "deleted",
        "uploading",
        "importing",
        "pending_delete",
        "deactivated",
    ],
}
_NUMBERS = ("min_disk", "min_ram", "size", "virtual_size")


def _field(name: str) -> Json:
    if name in ("protected", "os_hidden"):
        shape: Json = {"type": "boolean"}
    elif name == "tags":
        shape = {"type": "array", "items": {"type": "string", "maxLength": 255}}
    elif name in _NUMBERS:
        shape = {"type": ["null", "integer"] if "size" in name else "integer"}
    else:
        shape = {"type": ["null", "string"], "maxLength": 255}
    if name in _ENUMS:
        shape["enum"] = _ENUMS[name]
    if name in FIXED and name != "id":
        shape["readOnly"] = True
    return shape


IMAGE: Json = {
    "name": "image",
    "properties": {
        name: _field(name)
        for name in sorted((FIXED | SETTABLE) - {"import_error", "locations", "stores", "direct_url"})
    },
    "additionalProperties": {"type": "string"},
    "links": [
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}
MEMBER: Json = {
    "name": "member",
    "properties": {
        "image_id": {"type": "string"},
        "member_id": {"type": "string"},
        "status": {"type": "string", "enum": ["pending", "accepted", "rejected"]},
        "created_at": {"type": "string"},
        "updated_at": {"type": "string"},
        "schema": {"type": "string", "readOnly": True},
    },
}


def _many(plural: str, one: Json) -> Json:
    links: list[Any] = [{"rel": "describedby", "href": "{schema}"}]
    fields: Json = {plural: {"type": "array", "items": one}, "schema": {"type": "string"}}
    if plural == "images":
        fields |= {"first": {"type": "string"}, "next": {"type": "string"}}
        links += [{"rel": "first", "href": "{first}"}, {"rel": "next", "href": "{next}"}]
    return {"name": plural, "properties": fields, "links": links}


SCHEMAS = {"image": IMAGE, "images": _many("images", IMAGE), "member": MEMBER, "members": _many("members", MEMBER)}


def _served(name: str) -> Handler:
    def schema(ctx: Ctx) -> Json:
        ctx.require("get_images", policy.Target(ctx.caller.project_id))
        return SCHEMAS[name]

    return schema


for _name in SCHEMAS:
    service.call("GET", f"/v2/schemas/{_name}", rule="get_images", summary=f"The schema of {_name}")(_served(_name))
