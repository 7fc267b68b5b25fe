"""The bytes of an image: upload, staging, import, download. Nothing is ever held whole in memory.

What comes in lies under a temporary name; a sandboxed child looks at its content (``drivers/imageformat.py``); only what is what
it claims to be, and refers to no other file, becomes the image.

API:  https://docs.openstack.org/api-ref/image/v2/#image-data
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response

from wolke.core import policy
from wolke.core.app import App
from wolke.core.db import Json, matched
from wolke.core.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    TooLarge,
    TooSlow,
    Unavailable,
    UnsupportedMedia,
)
from wolke.core.http import Ctx, Edge
from wolke.core.work import wake
from wolke.drivers.imageformat import UnreadableImage, UnsafeImage, inspect
from wolke.image.images import find, seen
from wolke.image.service import image as service
from wolke.image.store import Incoming, Store
from wolke.image.table import Image

LEASE_SECONDS = 120.0  # an upload that has not said anything for so long was cut off
PIECE = 2**20  # bytes that are gathered before a thread writes them


@dataclass(slots=True)
class Held:
    """The right to bring an image's bytes, as long as the row says the same. Who comes after a pause finds that it says otherwise."""

    image_id: str
    disk_format: str
    state: str
    until: float  # unix seconds
    seconds: float = LEASE_SECONDS  # that it lasts without being renewed

    def write(self, db: Session, **values: Any) -> None:
        """Write what was seen of the bytes. Raises Conflict: somebody else brings them now, or the image is gone."""
        same = (Image.id == self.image_id) & (Image.data == self.state) & (Image.data_until == self.until)
        if not matched(db, update(Image).where(same, Image.deleting.is_(False)).values(**values)):
            raise Conflict(f"The data of image {self.image_id} is brought by another request, or the image is gone")

    def keep(self, app: App) -> None:
        """Renew the right before it ends; for who says so with every piece."""
        if self.until - app.clock() < self.seconds * 3 / 4:
            self.renew(app)

    def renew(self, app: App) -> None:
        until = app.clock() + self.seconds
        with app.database.transaction() as db:
            self.write(db, data_until=until)
        self.until = until


def begin(ctx: Ctx, state: str) -> Held:
    """Take the right to bring the bytes, or Conflict."""
    row = find(ctx, ctx.path["image_id"], "upload_image")
    cut_off = row.data in ("saving", "uploading") and row.data_until < ctx.now
    if row.data not in ("queued", "uploading") and not cut_off:
        raise Conflict(f"Image status transition from {row.data} to {state} is not allowed")
    require_formats(row, "uploaded")
    held = Held(row.id, str(row.disk_format), state, ctx.now + LEASE_SECONDS)
    set_data(ctx.db, row.id, data=state, data_until=held.until)
    ctx.about(row)
    return held


def require_formats(row: Image, then: str) -> None:
    for field in ("disk_format", "container_format"):
        if getattr(row, field) is None:
            raise BadRequest(f"The image's {field} must be set before its data can be {then}")


def set_data(db: Session, image_id: str, **values: Any) -> None:
    """Write what was seen of the bytes; the record's revision is not touched."""
    db.execute(update(Image).where(Image.id == image_id).values(**values))


def check(path: Path, disk_format: str) -> int:
    """The virtual size in bytes of an image file that is what it claims to be.

    Raises
    ------
    UnsupportedMedia: another format, one that refers to other files, or one that inspection cannot cope with
    """
    try:
        facts = inspect(path)
    except UnsafeImage as error:
        raise UnsupportedMedia(f"The image is refused: {error}") from error
    except UnreadableImage as error:
        raise UnsupportedMedia("The image is refused: it cannot be inspected", hint=str(error)) from error
    plain = {"ami", "ari", "aki", "raw", "iso", "ploop"}
    if facts.disk_format != disk_format and not (disk_format in plain and facts.disk_format in plain):
        raise UnsupportedMedia(f"The image's content is {facts.disk_format}, but its disk_format says {disk_format}")
    return facts.virtual_size


def finish(app: App, held: Held, incoming: Incoming) -> None:
    """Check what has arrived and make it the image's data; what is refused is dropped."""
    try:
        written = incoming.finish()
        held.renew(app)  # the inspection takes its time
        virtual_size = check(incoming.part, held.disk_format)
        with app.database.transaction() as db:
            held.write(
                db, data="active", data_until=0.0, size=written.size, checksum=written.md5, os_hash_value=written.sha512,
                virtual_size=virtual_size, import_uri="", import_error="",
            )  # fmt: skip
            incoming.keep()
    except BaseException:
        incoming.drop()
        raise


def keep_staged(app: App, held: Held, incoming: Incoming) -> None:
    incoming.finish()
    with app.database.transaction() as db:
        held.write(db, data_until=held.until)
        incoming.keep()


async def receive(app: App, request: Request, held: Held, incoming: Incoming) -> None:
    """The request's body into the file, a piece at a time; renews the right as it goes.

    Raises
    ------
    TooLarge: more than ``max_image``
    TooSlow: nothing came for as long as the right lasts
    """
    pieces: list[bytes] = []
    gathered, clock = 0, asyncio.get_running_loop().time

    async def flush() -> None:
        nonlocal gathered
        if incoming.size + gathered > app.config.max_image:
            raise TooLarge(f"The image is larger than {app.config.max_image} bytes")
        await asyncio.to_thread(incoming.write, b"".join(pieces))
        pieces.clear()
        gathered = 0

    try:
        async with asyncio.timeout(LEASE_SECONDS) as patience:
            async for piece in request.stream():
                pieces.append(piece)
                gathered += len(piece)
                if gathered >= PIECE:
                    await flush()
                    await asyncio.to_thread(held.keep, app)
                patience.reschedule(clock() + LEASE_SECONDS)
            await flush()
    except TimeoutError as error:
        raise TooSlow(f"Nothing has arrived for {LEASE_SECONDS:.0f} seconds") from error


async def bring(edge: Edge, *, staged: bool) -> Response:
    """Upload into the image or into its staging area."""
    app, request = edge.app, edge.request
    if request.headers.get("content-type", "").split(";")[0] != "application/octet-stream":
        raise UnsupportedMedia("The image data must come as application/octet-stream")
    held = await edge.write(lambda ctx: begin(ctx, "uploading" if staged else "saving"))

    def give_up(incoming: Incoming | None) -> None:
        if incoming:
            incoming.drop()
        with suppress(Conflict), app.database.transaction() as db:
            held.write(db, data="queued", data_until=0.0)

    incoming = None
    try:
        incoming = app.part(Store).incoming(held.image_id, staged=staged)
        await receive(app, request, held, incoming)
        await asyncio.to_thread(keep_staged if staged else finish, app, held, incoming)
    except BaseException as error:
        await asyncio.shield(asyncio.to_thread(give_up, incoming))
        if isinstance(error, OSError) and not isinstance(error, ClientDisconnect):
            raise Unavailable("The image store cannot take the image now", hint=str(error)) from error
        raise
    return Response(status_code=204)


@service.edge("PUT", "/v2/images/{image_id}/file", rule="upload_image", status=204)
async def upload(edge: Edge) -> Response:
    """Upload an image's data."""
    return await bring(edge, staged=False)


@service.edge("PUT", "/v2/images/{image_id}/stage", rule="upload_image", status=204)
async def stage(edge: Edge) -> Response:
    """Upload an image's data to be imported afterwards."""
    return await bring(edge, staged=True)


@service.edge("GET", "/v2/images/{image_id}/file", rule="download_image")
async def download(edge: Edge) -> Response:
    """Download an image's data."""

    def look(ctx: Ctx) -> Any:
        ctx.require("download_image", policy.Target(ctx.caller.project_id))
        return seen(ctx, ctx.path["image_id"])

    row = await edge.read(look)
    if row.data != "active":
        return Response(status_code=204)
    if row.deactivated and not edge.caller.is_admin:
        raise Forbidden(f"The requested image {row.id} is deactivated.")
    path = edge.app.part(Store).path(row.id)
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
    require_formats(row, "imported")
    row.import_uri = uri or "staged:"
    ctx.db.flush()
    set_data(ctx.db, row.id, data="importing", data_until=0.0, import_error="")
    wake(ctx.db, "image_import", row.id)
    ctx.about(row)


def importing(db: Session, image_id: str) -> Any:
    """The row of an image that is to be imported, or None."""
    return db.execute(select(Image.__table__).where(Image.id == image_id, Image.data == "importing")).first()
