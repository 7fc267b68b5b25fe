"""The API that agents speak to, on a listener of its own with mutual TLS. A host's certificate decides what it sees: its own slice.

``POST /agent/v1/join`` {token, host, csr} -> {certificate}: the only call without a certificate
``POST /agent/v1/renew`` {csr} -> {certificate}
``GET /agent/v1/wanted?after=N`` -> ``wire.wanted.Wanted``, or 204 when revision N is still the newest after 30 s
``PUT /agent/v1/seen`` ``wire.seen.Seen`` -> 204
``GET /agent/v1/images/{id}/file`` the bytes of an image that one of the host's servers is made from
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, TypeVar

import anyio.to_thread
import msgspec
from anyio import CapacityLimiter
from cryptography import x509
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from wolke.compute.hosts import joining
from wolke.compute.hosts.seen import record
from wolke.compute.hosts.wanted import slice_of
from wolke.compute.hosts_table import Host
from wolke.compute.servers.table import Server
from wolke.core.app import App
from wolke.core.bell import heard
from wolke.core.bodies import Body, parse
from wolke.core.errors import BadRequest, Forbidden, NotFound, WolkeError
from wolke.core.http import whole
from wolke.core.paging import whole_number
from wolke.core.pki import Authority
from wolke.image.store import Store
from wolke.wire.seen import Seen

log = logging.getLogger(__name__)
Result = TypeVar("Result")

POLL_SECONDS = 30.0
MAX_PICTURE = 16 * 2**20  # bytes, of a host with thousands of guests
MAX_REQUEST = 2**16  # bytes of what strangers may send too


class Join(Body):
    token: str
    host: str
    csr: str


class Renew(Body):
    csr: str


@lru_cache(maxsize=1024)
def certificate(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def peer(request: Request) -> x509.Certificate | None:
    chain = request.scope.get("extensions", {}).get("tls", {}).get("client_cert_chain", [])
    return certificate(chain[0]) if chain else None


class Agents:
    """The calls. ``app`` : its ASGI app; ``end()`` lets go of polls that are held, so that the process may stop."""

    def __init__(self, app: App, authority: Authority) -> None:
        self.control, self.authority = app, authority
        self.threads = CapacityLimiter(app.config.threads)
        self.polling: dict[str, int] = {}
        self.ending = False
        routes = [
            Route("/agent/v1/join", self.join, methods=["POST"]),
            Route("/agent/v1/renew", self.renew, methods=["POST"]),
            Route("/agent/v1/wanted", self.wanted, methods=["GET"]),
            Route("/agent/v1/seen", self.seen, methods=["PUT"]),
            Route("/agent/v1/images/{image_id}/file", self.image, methods=["GET"]),
        ]
        handlers: dict[Any, Any] = {WolkeError: refused, HTTPException: unknown}
        self.app = Starlette(routes=routes, exception_handlers=handlers)

    def end(self) -> None:
        self.ending = True
        self.control.bell.ring([f"host:{host}" for host in self.polling])

    async def _thread(self, call: Callable[..., Result], *arguments: object) -> Result:
        return await anyio.to_thread.run_sync(partial(call, *arguments), limiter=self.threads)

    async def _host(self, request: Request) -> str:
        return await self._thread(joining.host_of, self.control, peer(request))

    async def join(self, request: Request) -> Response:
        asked: Join = parse(Join, await whole(request, MAX_REQUEST))
        made = await self._thread(joining.join, self.control, self.authority, asked.token, asked.host, asked.csr)
        log.info("host %s has joined", asked.host)
        return JSONResponse({"certificate": made}, 201)

    async def renew(self, request: Request) -> Response:
        await self._host(request)
        asked: Renew = parse(Renew, await whole(request, MAX_REQUEST))
        made = await self._thread(joining.renew, self.control, self.authority, peer(request), asked.csr)
        return JSONResponse({"certificate": made})

    async def wanted(self, request: Request) -> Response:
        """Held on the event loop: a waiting host costs no thread."""
        host = await self._host(request)
        after = request.query_params.get("after", "0")
        known = whole_number(after)
        if known is None:
            raise BadRequest(f"Invalid input for after: '{after}' is not a number")
        self.polling[host] = self.polling.get(host, 0) + 1
        try:
            newer = await heard(self.control.bell, f"host:{host}", POLL_SECONDS, lambda: self._newer(host, known))
        finally:
            self.polling[host] -= 1
            if not self.polling[host]:
                del self.polling[host]
        if not newer or self.ending:
            return Response(status_code=204)
        return Response(await self._thread(self._slice, host), media_type="application/json")

    def _newer(self, host: str, after: int) -> bool:
        """Another revision than the host has; a smaller one after a database was restored."""
        with self.control.database.read() as db:
            revision = db.scalar(select(Host.wanted_revision).where(Host.name == host))
        return self.ending or revision != after

    def _slice(self, host: str) -> bytes:
        with self.control.database.read() as db:
            return msgspec.json.encode(slice_of(db, self.control, host))

    async def seen(self, request: Request) -> Response:
        host = await self._host(request)
        picture: Seen = parse(Seen, await whole(request, MAX_PICTURE))
        if picture.host != host:
            raise Forbidden(f"The certificate is of host '{host}', the picture of '{picture.host}'.")
        await self._thread(self._record, picture)
        return Response(status_code=204)

    def _record(self, picture: Seen) -> None:
        with self.control.database.transaction() as db:
            # taken out since the certificate was looked at: its last word makes no new host
            if db.get(Host, picture.host) is None:
                raise joining.HostGone("This certificate is not of a host of this cloud.")
            record(db, picture)

    async def image(self, request: Request) -> Response:
        host = await self._host(request)
        image_id = request.path_params["image_id"]
        await self._thread(self._require_image, host, image_id)
        return FileResponse(self.control.part(Store).path(image_id), media_type="application/octet-stream")

    def _require_image(self, host: str, image_id: str) -> None:
        used = select(Server.id).where(Server.host == host, Server.image_id == image_id, Server.deleting.is_(False))
        with self.control.database.read() as db:
            found = db.execute(used.limit(1)).first() is not None
        if not found or not self.control.part(Store).path(image_id).is_file():
            raise NotFound(f"No server of this host is made from image {image_id}.")


def refused(request: Request, error: WolkeError) -> Response:
    log.warning("%s %s: %s", request.method, request.url.path, error, extra={"hint": error.hint})
    return JSONResponse({"error": {"code": error.status, "message": str(error)}}, error.status)


def unknown(request: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": {"code": error.status_code, "message": error.detail}}, error.status_code)
