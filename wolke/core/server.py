"""The origin: every service below its prefix, health and metrics beside them, on one or several sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from functools import cache

import msgspec
from anyio import CapacityLimiter
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from wolke.core import metrics
from wolke.core.app import App
from wolke.core.endpoint import Endpoint, router
from wolke.core.http import Service
from wolke.core.openapi import document


def asgi(app: App, services: Sequence[Service], extra: Sequence[BaseRoute] = ()) -> Starlette:
    threads = CapacityLimiter(app.config.threads)

    def healthz(request: Request) -> Response:
        with app.database.read() as db:
            db.execute(select(1))
        return JSONResponse({"status": "ok"})

    def metrics_page(request: Request) -> Response:
        if request.client and request.client.host not in app.config.metrics_from:
            return JSONResponse({"error": "metrics are for the operator's own network"}, 403)
        return Response(metrics.page(app.database), media_type="text/plain; version=0.0.4")

    @cache
    def described() -> bytes:  # once: anybody may ask, and it takes longer than any other call
        return msgspec.json.encode(document(services))

    def openapi(request: Request) -> Response:
        return Response(described(), media_type="application/json")

    mounted = [Mount(service.prefix, router(app, service, threads)) for service in services]
    roots = [  # a mount does not answer at its bare prefix
        Route(service.prefix, Endpoint(app, service, [call], threads))
        for service in services
        for call in service.calls
        if call.path == "/"
    ]
    facts = [Route("/healthz", healthz), Route("/metrics", metrics_page), Route("/openapi.json", openapi)]
    web = Starlette(routes=[*facts, *extra, *roots, *mounted])
    web.state.control = app  # for the domains' own routes (``extra``)
    return web


def handed_sockets() -> dict[str, list[socket.socket]]:
    """Listening sockets that the starter handed over, by name (``LISTEN_FDS``, sd_listen_fds(3))."""
    if os.environ.get("LISTEN_PID") not in (None, str(os.getpid())):
        return {}
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    found: dict[str, list[socket.socket]] = {}
    for at in range(int(os.environ.get("LISTEN_FDS", "0"))):
        found.setdefault(names[at] if at < len(names) else "api", []).append(socket.socket(fileno=3 + at))
    return found


def listening(address: str) -> socket.socket:
    """A listening socket on ``ADDRESS:PORT`` (``[::1]:PORT`` for IPv6)."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, int(port)), family=family, backlog=512, reuse_port=False)
