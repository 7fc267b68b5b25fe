"""Lists of images: filters, operators and sorting as glance spells them.

API:  https://docs.openstack.org/api-ref/image/v2/#list-images
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, Text, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from wolke.core import policy
from wolke.core.db import Json
from wolke.core.errors import BadRequest
from wolke.core.http import Answer, Ctx
from wolke.core.paging import Page, Sort, rows, whole_number
from wolke.image.images import view, visible
from wolke.image.service import image as service
from wolke.image.table import VISIBILITIES, Image

DEFAULT_LIMIT, MAX_LIMIT = 25, 1000
SORTS = {
    "name": Image.name, "status": Image.data, "container_format": Image.container_format, "disk_format": Image.disk_format,
    "size": Image.size, "id": Image.id, "created_at": Image.created_at, "updated_at": Image.updated_at,
}  # fmt: skip
FLAGS: dict[str, InstrumentedAttribute[bool]] = {"protected": Image.protected, "os_hidden": Image.os_hidden}
NUMBERS: dict[str, InstrumentedAttribute[int]] = {"min_ram": Image.min_ram, "min_disk": Image.min_disk}


@service.call("GET", "/v2/images", rule="get_images")
def list_images(ctx: Ctx) -> Answer:
    """List images."""
    ctx.require("get_images", policy.Target(ctx.caller.project_id))
    page = _page(ctx)
    query = select(Image.__table__).where(Image.deleting.is_(False), visible(ctx, listing=True))
    for condition in _conditions(ctx):
        query = query.where(condition)
    shown = [view(row) for chunk in rows(ctx.db, query, Image, page) for row in chunk]
    asked = [(name, value) for name, value in ctx.query.multi_items() if name != "marker"]
    first = "/v2/images" + (f"?{urlencode(asked)}" if asked else "")
    body: Json = {"images": shown, "first": first, "schema": "/v2/schemas/images"}
    if shown and len(shown) == page.limit:
        body["next"] = f"/v2/images?{urlencode([*asked, ('marker', shown[-1]['id'])])}"
    return Answer(body)


def _page(ctx: Ctx) -> Page:
    asked = ctx.query.get("limit", str(DEFAULT_LIMIT))
    limit = whole_number(asked)
    if limit is None:
        raise BadRequest(f"Invalid input for limit: '{asked}' is not a whole number of at least 0")
    words = [part.partition(":")[::2] for part in ctx.query.get("sort", "").split(",") if part]
    if not words:
        directions = ctx.query.getlist("sort_dir")
        keys = ctx.query.getlist("sort_key") or ["created_at"]
        words = [
            (key, directions[min(at, len(directions) - 1)] if directions else "desc") for at, key in enumerate(keys)
        ]
    sorts = []
    for key, direction in words:
        if key not in SORTS or direction not in ("asc", "desc", ""):
            raise BadRequest(
                f"Invalid input for sort: '{key}:{direction}' is not KEY:asc or KEY:desc with KEY of {', '.join(SORTS)}"
            )
        sorts.append(Sort(SORTS[key], direction != "asc"))
    return Page(min(limit, MAX_LIMIT), ctx.query.get("marker", ""), tuple(sorts))


def _conditions(ctx: Ctx) -> Iterator[ColumnElement[bool]]:
    passed = {"limit", "marker", "sort", "sort_key", "sort_dir", "member_status"}
    if "os_hidden" not in ctx.query:
        yield Image.os_hidden.is_(False)
    for name in dict.fromkeys(ctx.query.keys()):
        if name not in passed:
            for value in ctx.query.getlist(name):
                yield _condition(name, value)


def _condition(name: str, value: str) -> ColumnElement[bool]:
    columns = {"name": Image.name, "id": Image.id, "owner": Image.project_id, "container_format": Image.container_format,
               "disk_format": Image.disk_format, "visibility": Image.visibility, "checksum": Image.checksum,
               "os_hash_value": Image.os_hash_value}  # fmt: skip
    if name == "visibility" and value == "all":
        return Image.id.is_not(None)
    if name == "visibility" and value not in VISIBILITIES:
        raise BadRequest(f"Invalid value '{value}' for visibility: it must be one of {', '.join(VISIBILITIES)}, all")
    if name in columns:
        return columns[name].in_(_words(value))
    match name:
        case "status":
            return or_(*(_has_status(word) for word in _words(value)))
        case "tag":
            tagged: ColumnElement[bool] = Image.tags.cast(Text).contains(f'"{value}"', autoescape=True)
            return tagged
        case "protected" | "os_hidden":
            if value.lower() not in ("true", "false"):
                raise BadRequest(f"Invalid value '{value}' for {name}: it must be true or false")
            return FLAGS[name].is_(value.lower() == "true")
        case "size_min" | "size_max" | "min_ram" | "min_disk":
            number = whole_number(value)
            if number is None:
                raise BadRequest(f"Invalid value '{value}' for {name}: it must be a whole number")
            if name.startswith("size"):
                return Image.size >= number if name == "size_min" else Image.size <= number
            return NUMBERS[name] == number
        case "created_at" | "updated_at":
            return _time(name, value)
        case _:
            held: ColumnElement[bool] = Image.properties[name].as_string() == value
            return held


def _words(value: str) -> list[str]:
    return [word.strip('"') for word in value[3:].split(",")] if value.startswith("in:") else [value]


def _has_status(status: str) -> ColumnElement[bool]:
    if status == "deactivated":
        return Image.deactivated.is_(True) & (Image.data == "active")
    return (Image.data == status) & (Image.deactivated.is_(False) if status == "active" else Image.id.is_not(None))


def _time(name: str, value: str) -> ColumnElement[bool]:
    column: InstrumentedAttribute[float] = getattr(Image, name)
    operator, _, moment = value.partition(":")
    if operator not in ("gt", "gte", "lt", "lte", "eq", "neq"):
        operator, moment = "eq", value
    try:
        at = datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()
    except ValueError as error:
        raise BadRequest(
            f"Invalid value '{value}' for {name}: it must be [gt:|gte:|lt:|lte:|eq:|neq:]ISO 8601"
        ) from error
    whole = (column >= at) & (column < at + 1)
    chosen: dict[str, ColumnElement[bool]] = {
        "gt": column >= at + 1, "gte": column >= at, "lt": column < at, "lte": column < at + 1, "eq": whole, "neq": ~whole,
    }  # fmt: skip
    return chosen[operator]
