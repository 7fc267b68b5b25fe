"""The bytes of an image: upload, staging, import, download. Nothing is ever held whole in memory.

What comes in lies under a temporary name; a sandboxed child looks at its content (``drivers/imageformat.py``); only what is what
it claims to be, and refers to no other file, becomes the image.

API:  https://docs.openstack.org/api-ref/image/v2/#image-data
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response

from wolke.core import policy
from wolke.core.app import App
from wolke.core.auth import Caller
from wolke.core.db import Json
from wolke.core.errors import BadRequest, Conflict, Forbidden, NotFound, UnsupportedMedia, WolkeError
from wolke.core.events import Event
from wolke.core.http import Ctx, origin
from wolke.core.log import request_id
from wolke.core.work import wake
from wolke.drivers.imageformat import UnsafeImage, inspect
from wolke.image.images import find, seen
from wolke.image.service import image as service
from wolke.image.store import Incoming, Store, Written
from wolke.image.table import Image

LEASE_SECONDS = 120.0  # an upload that has not said anything for so long was cut off
PIECE = 2**20  # bytes that are gathered before a thread writes them


class TooBig(WolkeError):
    status, title = 413, "Request Entity Too Large"


def begin(db: Session, app: App, row: Image, state: str) -> None:
    """Take the right to bring the bytes, or Conflict."""
    now = app.clock()
    cut_off = row.data in ("saving", "uploading") and row.data_until < now
    if row.data not in ("queued", "uploading") and not cut_off:
        raise Conflict(f"Image status transition from {row.data} to {state} is not allowed")
    for field in ("disk_format", "container_format"):
        if getattr(row, field) is None:
            raise BadRequest(f"The image's {field} must be set before its data can be uploaded")
    set_data(db, row.id, data=state, data_until=now + LEASE_SECONDS)


def set_data(db: Session, image_id: str, **values: Any) -> None:
    """Write what was seen of the bytes; the record's revision is not touched."""
    db.execute(update(Image).where(Image.id == image_id).values(**values))


def check(path: Path, disk_format: str) -> int:
    """The virtual size in bytes of an image file that is what it claims to be.

    Raises
    ------
    UnsupportedMedia: another format, or one that refers to other files
    """
    try:
        facts = inspect(path)
    except UnsafeImage as error:
        raise UnsupportedMedia(f"The image is refused: {error}") from error
    plain = {"ami", "ari", "aki", "raw", "iso", "ploop"}
    if facts.disk_format != disk_format and not (disk_format in plain and facts.disk_format in plain):
        raise UnsupportedMedia(f"The image's content is {facts.disk_format}, but its disk_format says {disk_format}")
    return facts.virtual_size


def finish(app: App, image_id: str, disk_format: str, incoming: Incoming) -> None:
    """Check what has arrived and make it the image's data."""
    try:
        written = incoming.finish()
        virtual_size = check(incoming.part, disk_format)
        incoming.keep()
    except BaseException:
        incoming.drop()
        raise
    activate(app, image_id, written, virtual_size)


def activate(app: App, image_id: str, written: Written, virtual_size: int) -> None:
    with app.database.transaction() as db:
        set_data(
            db, image_id, data="active", data_until=0.0, size=written.size, checksum=written.md5,
            os_hash_value=written.sha512, virtual_size=virtual_size, import_uri="", import_error="",
        )  # fmt: skip


async def receive(app: App, request: Request, image_id: str, incoming: Incoming) -> None:
    """The request's body into the file, a piece at a time; renews the lease as it goes."""
    pieces: list[bytes] = []
    gathered, renewed = 0, app.clock()

    async def flush() -> None:
        nonlocal gathered
        await asyncio.to_thread(incoming.write, b"".join(pieces))
        pieces.clear()
        gathered = 0

    def renew() -> None:
        with app.database.transaction() as db:
            set_data(db, image_id, data_until=app.clock() + LEASE_SECONDS)

    async for piece in request.stream():
        pieces.append(piece)
        gathered += len(piece)
        if gathered >= PIECE:
            await flush()
            if incoming.size > app.config.max_image:
                raise TooBig(f"The image is larger than {app.config.max_image} bytes")
            if app.clock() - renewed > LEASE_SECONDS / 4:
                renewed = app.clock()
                await asyncio.to_thread(renew)
    await flush()


def asked(app: App, caller: Caller, request: Request, rule: str, then: Callable[[Session, Image], Any]) -> Image:
    """Find the image for a rule and write, with its audit event, in one transaction."""
    image_id = request.path_params["image_id"]
    with app.database.transaction() as db:
        ctx = context(app, db, caller, request)
        row = find(ctx, image_id, rule)
        then(db, row)
        db.add(
            Event(
                at=app.clock(), request_id=ctx.request_id, service="image", rule=rule, method=request.method, path=request.url.path[:255],
                user_id=caller.user_id, project_id=caller.project_id, kind="image", target_id=image_id,
                target_project_id=row.project_id, status=204, address=request.client.host if request.client else "",
            )
        )  # fmt: skip
    return row


def context(app: App, db: Session, caller: Caller, request: Request) -> Ctx:
    return Ctx(
        app, db, caller, (0, 0), request.path_params, request.query_params, request.headers, origin(request) + service.prefix,
        request_id.get(), service,
    )  # fmt: skip


async def bring(app: App, caller: Caller, request: Request, *, staged: bool) -> Response:
    """Upload into the image or into its staging area."""
    state = "uploading" if staged else "saving"
    if request.headers.get("content-type", "").split(";")[0] != "application/octet-stream":
        raise UnsupportedMedia("The image data must come as application/octet-stream")
    row = await asyncio.to_thread(
        asked, app, caller, request, "upload_image", lambda db, row: begin(db, app, row, state)
    )
    incoming = app.part(Store).incoming(row.id, staged=staged)

    def give_up() -> None:
        incoming.drop()
        with app.database.transaction() as db:
            set_data(db, row.id, data="queued", data_until=0.0)

    try:
        await receive(app, request, row.id, incoming)
        if staged:
            await asyncio.to_thread(incoming.finish)
            await asyncio.to_thread(incoming.keep)
        else:
            await asyncio.to_thread(finish, app, row.id, str(row.disk_format), incoming)
    except (WolkeError, ClientDisconnect, OSError, asyncio.CancelledError):
        await asyncio.shield(asyncio.to_thread(give_up))
        raise
    return Response(status_code=204)


@service.edge("PUT", "/v2/images/{image_id}/file", rule="upload_image", status=204)
async def upload(app: App, caller: Caller, request: Request) -> Response:
    """Upload an image's data."""
    return await bring(app, caller, request, staged=False)


@service.edge("PUT", "/v2/images/{image_id}/stage", rule="upload_image", status=204)
async def stage(app: App, caller: Caller, request: Request) -> Response:
    """Upload an image's data to be imported afterwards."""
    return await bring(app, caller, request, staged=True)


@service.edge("GET", "/v2/images/{image_id}/file", rule="download_image")
async def download(app: App, caller: Caller, request: Request) -> Response:
    """Download an image's data."""

    def look() -> Any:
        with app.database.read() as db:
            ctx = context(app, db, caller, request)
            ctx.require("download_image", policy.Target(caller.project_id))
            return seen(ctx, request.path_params["image_id"])

    row = await asyncio.to_thread(look)
    if row.data != "active":
        return Response(status_code=204)
    if row.deactivated and not caller.is_admin:
        raise Forbidden(f"The requested image {row.id} is deactivated.")
    path = app.part(Store).path(row.id)
    if not path.exists():
        raise NotFound(f"The data of image {row.id} is missing.")
    return FileResponse(path, media_type="application/octet-stream", headers={"Content-MD5": row.checksum or ""})


@service.call("POST", "/v2/images/{image_id}/import", rule="upload_image", body=dict[str, Any], status=202)
def import_image(ctx: Ctx, body: Json) -> None:
    """Import what was staged (glance-direct) or what lies at an address (web-download)."""
    row = find(ctx, ctx.path["image_id"], "upload_image")
    method: Any = body.get("method")
    name, uri = (method.get("name"), method.get("uri", "")) if isinstance(method, dict) else (None, "")
    if name not in ("glance-direct", "web-download"):
        raise BadRequest(f"Unknown import method name '{name}': it must be one of glance-direct, web-download")
    if name == "glance-direct":
        if row.data != "uploading" or not ctx.app.part(Store).staged(row.id).exists():
            raise Conflict(
                f"Only images with status 'uploading' and staged data can be imported; this one is '{row.data}'"
            )
        uri = ""
    elif not isinstance(uri, str) or not uri.startswith(("http://", "https://")):
        raise BadRequest("Invalid input for uri: web-download takes an http or https address")
    elif row.data != "queued":
        raise Conflict(f"Image status transition from {row.data} to importing is not allowed")
    for field in ("disk_format", "container_format"):
        if getattr(row, field) is None:
            raise BadRequest(f"The image's {field} must be set before its data can be imported")
    row.import_uri = uri or "staged:"
    ctx.db.flush()
    set_data(ctx.db, row.id, data="importing", import_error="")
    wake(ctx.db, "image_import", row.id)
    ctx.about(row)


def importing(db: Session, image_id: str) -> Any:
    return db.execute(select(Image.__table__).where(Image.id == image_id, Image.data == "importing")).first()
