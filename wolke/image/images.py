"""Images: the records. Their bytes come and go in ``data.py``.

API:  https://docs.openstack.org/api-ref/image/v2/#images
"""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, exists, false, or_, select

from wolke.core import policy
from wolke.core.bodies import known
from wolke.core.db import Json, after_commit, is_id, iso
from wolke.core.errors import BadRequest, Conflict, Forbidden, NotFound
from wolke.core.http import Answer, Ctx
from wolke.image.service import image as service
from wolke.image.store import Store
from wolke.image.table import CONTAINER_FORMATS, DISK_FORMATS, VISIBILITIES, Image, ImageMember

TEXT_LIMIT, MOST_TAGS, MOST_PROPERTIES = 255, 128, 128
FIXED = frozenset({
    "id", "status", "owner", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value", "created_at", "updated_at",
    "self", "file", "schema", "direct_url", "locations", "stores", "import_error",
})  # fmt: skip
SETTABLE = frozenset({
    "name", "visibility", "container_format", "disk_format", "min_disk", "min_ram", "protected", "os_hidden", "tags",
})  # fmt: skip


# What the API takes and gives -------------------------------------------------------------------------------------
class Create(msgspec.Struct, kw_only=True):
    """The fields with a meaning; every other one is a property."""

    id: str | None = None
    name: str | None = None
    owner: str | None = None
    visibility: str = "shared"
    container_format: str | None = None
    disk_format: str | None = None
    min_disk: int = 0
    min_ram: int = 0
    protected: bool = False
    os_hidden: bool = False
    tags: list[str] = []


def status_of(row: Any) -> str:
    return "deactivated" if row.deactivated and row.data == "active" else row.data


def view(row: Any) -> Json:
    return {
        **row.properties,
        "id": row.id,
        "name": row.name or None,
        "status": status_of(row),
        "visibility": row.visibility,
        "protected": row.protected,
        "os_hidden": row.os_hidden,
        "owner": row.project_id,
        "container_format": row.container_format,
        "disk_format": row.disk_format,
        "size": row.size,
        "virtual_size": row.virtual_size,
        "checksum": row.checksum,
        "os_hash_algo": "sha512" if row.os_hash_value else None,
        "os_hash_value": row.os_hash_value,
        "min_disk": row.min_disk,
        "min_ram": row.min_ram,
        "tags": sorted(row.tags),
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
        "self": f"/v2/images/{row.id}",
        "file": f"/v2/images/{row.id}/file",
        "schema": "/v2/schemas/image",
    }


def checked(values: dict[str, Any]) -> Create:
    """The known fields of a body or of a patched image. Raises BadRequest, naming the field and what it may be."""
    try:
        made = msgspec.convert(
            {name: value for name, value in values.items() if name in SETTABLE | {"id", "owner"}}, known(Create)
        )
    except msgspec.ValidationError as error:
        raise BadRequest(f"Invalid input: {error}") from error
    choices = (
        ("visibility", made.visibility, VISIBILITIES),
        ("container_format", made.container_format, (*CONTAINER_FORMATS, None)),
        ("disk_format", made.disk_format, (*DISK_FORMATS, None)),
    )
    for name, value, allowed in choices:
        if value not in allowed:
            raise BadRequest(
                f"Invalid value '{value}' for {name}: it must be one of {', '.join(filter(None, allowed))}"
            )
    for name, number in (("min_disk", made.min_disk), ("min_ram", made.min_ram)):
        if not 0 <= number < 2**31:
            raise BadRequest(f"Invalid value '{number}' for {name}: it must be from 0 to 2147483647")
    for name, text in (("name", made.name), ("owner", made.owner), *(("tags", tag) for tag in made.tags)):
        if text is not None and len(text) > TEXT_LIMIT:
            raise BadRequest(f"Invalid value for {name}: longer than {TEXT_LIMIT} characters")
    if len(made.tags) > MOST_TAGS:
        raise BadRequest(f"Invalid value for tags: more than {MOST_TAGS}")
    return made


def properties_of(values: dict[str, Any]) -> dict[str, str]:
    found = {name: value for name, value in values.items() if name not in SETTABLE | FIXED}
    if len(found) > MOST_PROPERTIES:
        raise BadRequest(f"Invalid input: more than {MOST_PROPERTIES} properties")
    for name, value in found.items():
        if not isinstance(value, str):
            raise BadRequest(f"Invalid value for {name}: a property must be a string")
        if not name or len(name) > TEXT_LIMIT or len(value) > 65535:
            raise BadRequest(f"Invalid input for property {name[:40]}: name or value is empty or too long")
    return found


# What the caller may see ------------------------------------------------------------------------------------------
def visible(ctx: Ctx, *, listing: bool) -> ColumnElement[bool]:
    """In lists: own, public, and shared images that were accepted; by id also community and not yet accepted ones."""
    if ctx.allows("get_images", policy.Target(None)) and ctx.caller.is_admin:
        return Image.id.is_not(None)
    mine = ctx.caller.project_id
    member = (ImageMember.image_id == Image.id) & (ImageMember.member_id == mine)
    if listing:
        member &= (
            ImageMember.status == ctx.query.get("member_status", "accepted")
            if wants_member(ctx)
            else ImageMember.member_id == mine
        )
    shared = (Image.visibility == "shared") & exists().where(member)
    if listing:
        wanted = ctx.query.get("visibility")
        community = (Image.visibility == "community") if wanted == "community" else false()
        return or_(Image.project_id == mine, Image.visibility == "public", shared, community)
    return or_(Image.project_id == mine, Image.visibility.in_(("public", "community")), shared)


def wants_member(ctx: Ctx) -> bool:
    return ctx.query.get("member_status", "accepted") != "all"


def seen(ctx: Ctx, image_id: str) -> Any:
    query = select(Image.__table__).where(Image.id == image_id, Image.deleting.is_(False), visible(ctx, listing=False))
    row = ctx.db.execute(query).first()
    if row is None:
        raise NotFound(f"No image found with ID {image_id}")
    return row


def find(ctx: Ctx, image_id: str, rule: str) -> Image:
    """The object for a rule; community and public images of others are visible but not theirs to change: 403."""
    seen(ctx, image_id)
    found = ctx.db.get(Image, image_id, with_for_update=True)
    if found is None:
        raise NotFound(f"No image found with ID {image_id}")
    ctx.require(rule, found)
    return found


def require_visibility(ctx: Ctx, wanted: str, owner: str) -> None:
    if wanted == "public":
        ctx.require("publicize_image", policy.Target(owner))
    if wanted == "community":
        ctx.require("communitize_image", policy.Target(owner))


# What the calls do ------------------------------------------------------------------------------------------------
@service.call("POST", "/v2/images", rule="add_image", body=dict[str, Any], status=201)
def create(ctx: Ctx, body: dict[str, Any]) -> Answer:
    """Create an image without bytes."""
    if fixed := sorted(set(body) & (FIXED - {"id", "owner"})):
        raise Forbidden(f"Attribute '{fixed[0]}' is read-only.")
    given = checked(body)
    owner = given.owner or ctx.caller.project_id
    ctx.require("add_image", policy.Target(owner))
    require_visibility(ctx, given.visibility, owner)
    if given.id is not None:
        if not is_id(given.id):
            raise BadRequest(f"Invalid value '{given.id}' for id: it must be a UUID")
        if ctx.db.get(Image, given.id):
            raise Conflict(f"Image ID {given.id} already exists!")
    made = Image(
        id=given.id or str(uuid.uuid4()), project_id=owner, name=given.name or "", visibility=given.visibility,
        container_format=given.container_format, disk_format=given.disk_format, min_disk=given.min_disk, min_ram=given.min_ram,
        protected=given.protected, os_hidden=given.os_hidden, tags=sorted(set(given.tags)), properties=properties_of(body),
        created_at=ctx.now, updated_at=ctx.now,
    )  # fmt: skip
    ctx.db.add(made)
    ctx.db.flush()
    ctx.about(made)
    told = {
        "Location": f"{ctx.base}/v2/images/{made.id}",
        "OpenStack-image-import-methods": "glance-direct,web-download",
    }
    return Answer(view(made), headers=told)


@service.call("GET", "/v2/images/{image_id}", rule="get_image")
def show(ctx: Ctx) -> Json:
    """Show one image."""
    ctx.require("get_image", policy.Target(ctx.caller.project_id))
    return view(seen(ctx, ctx.path["image_id"]))


@service.call("DELETE", "/v2/images/{image_id}", rule="delete_image", status=204)
def delete(ctx: Ctx) -> None:
    """Delete an image and its bytes; servers that run from it keep their disks."""
    found = find(ctx, ctx.path["image_id"], "delete_image")
    if found.protected:
        raise Forbidden(f"Image {found.id} is protected and cannot be deleted.")
    found.deleting, found.import_uri = True, ""
    store, image_id = ctx.app.part(Store), found.id
    after_commit(ctx.db, lambda: store.remove(image_id))
    ctx.about(found)


@service.call("PATCH", "/v2/images/{image_id}", rule="modify_image", body=list[dict[str, Any]])
def update(ctx: Ctx, body: list[dict[str, Any]]) -> Json:
    """Change an image by JSON patch (RFC 6902: add, replace, remove of single fields)."""
    found = find(ctx, ctx.path["image_id"], "modify_image")
    values = {name: getattr(found, name) for name in SETTABLE} | found.properties | {"name": found.name or None}
    for change in body:
        patch(values, change)
    given = checked(values)
    if found.data != "queued":
        for name in ("disk_format", "container_format"):
            if getattr(found, name) != getattr(given, name):
                raise Forbidden(f"Attribute '{name}' can be changed only as long as the image is queued.")
    if given.visibility != found.visibility:
        require_visibility(ctx, given.visibility, found.project_id)
    for name in SETTABLE - {"tags", "name"}:
        setattr(found, name, getattr(given, name))
    found.name, found.tags, found.properties = given.name or "", sorted(set(given.tags)), properties_of(values)
    ctx.db.flush()
    ctx.about(found)
    return view(found)


def patch(values: dict[str, Any], change: dict[str, Any]) -> None:
    """Apply one operation to the flat image."""
    operation, path = change.get("op"), change.get("path")
    if not isinstance(path, str) or operation not in ("add", "replace", "remove"):
        raise BadRequest("Invalid input: each change needs 'op' (add, replace, remove) and 'path'")
    name = path.removeprefix("/").replace("~1", "/").replace("~0", "~")
    if not path.startswith("/") or not name or "/" in path[1:]:
        raise BadRequest(f"Invalid input for path: '{path}' must be / and the name of a field")
    if name in FIXED:
        raise Forbidden(f"Attribute '{name}' is read-only.")
    if operation != "add" and name not in values:
        raise Conflict(f"Property {name} does not exist.")
    if operation == "remove":
        if name in SETTABLE:
            raise Forbidden(f"Attribute '{name}' cannot be removed.")
        del values[name]
        return
    if "value" not in change:
        raise BadRequest(f"Invalid input: the change of {path} lacks 'value'")
    values[name] = change["value"]
