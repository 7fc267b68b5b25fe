"""A server's console: its serial log as text, and its screen in the browser.

The screen: ``console_url`` makes a link that is good for ten minutes. It opens a page of ours with Debian's noVNC, whose websocket
comes here and is carried on to the agent of the server's host. What is kept of the link's token is its digest.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from wolke.compute.hosts.line import Line
from wolke.compute.servers.table import Server
from wolke.core.app import App
from wolke.core.db import Base
from wolke.core.errors import Conflict, Unauthorized, WolkeError

log = logging.getLogger(__name__)
TOKEN_SECONDS = 600
RUNNING = ("running", "paused")  # states that have a screen
NOVNC = Path("/usr/share/novnc")
PAGE = Path(__file__).parent / "console_page"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",  # the link holds the token
    "Cache-Control": "no-store",
}


class ConsoleToken(Base):
    __tablename__ = "console_token"

    digest: Mapped[str] = mapped_column(primary_key=True)  # SHA-256 of the token
    server_id: Mapped[str]
    expires_at: Mapped[float]  # unix seconds


# For the compute API ----------------------------------------------------------------------------------------------
def console_output(app: App, server: Any, lines: int | None = None) -> str:
    """The end of the serial console's log; empty as long as the server has no host. Speaks to the host: no transaction may be open.

    Raises
    ------
    Unavailable: the host does not answer
    """
    if not server.host:
        return ""
    query = "" if lines is None else f"?lines={lines}"
    return app.part(Line).text(server.host, f"/servers/{server.id}/console{query}")


def console_url(db: Session, origin: str, server: Any) -> str:
    """A link to the server's screen, good for ten minutes. ``origin``: scheme and host of this cloud as the caller spelt them.

    Raises
    ------
    Conflict: the server does not run
    """
    if server.seen_state not in RUNNING:
        raise Conflict(f"Instance {server.id} is not ready")
    now = db.info["clock"]()
    token = secrets.token_urlsafe(32)
    db.execute(delete(ConsoleToken).where(ConsoleToken.expires_at <= now))
    db.add(ConsoleToken(digest=digest(token), server_id=server.id, expires_at=now + TOKEN_SECONDS))
    return f"{origin}/console/?token={token}"


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def meant(app: App, token: str) -> Any:
    """``id``, ``host``, ``name`` and ``seen_state`` of the server that a token opens. Raises Unauthorized."""
    shown = select(Server.id, Server.host, Server.name, Server.seen_state)
    valid = (ConsoleToken.digest == digest(token)) & (ConsoleToken.expires_at > app.clock())
    alive = Server.deleting.is_(False) & (Server.host != "")
    with app.database.read() as db:
        row = db.execute(shown.join(ConsoleToken, ConsoleToken.server_id == Server.id).where(valid, alive)).first()
    if row is None:
        raise Unauthorized(
            "This link has expired, or its server is gone. Ask for a new one: openstack console url show SERVER"
        )
    return row


# The page and the relay -------------------------------------------------------------------------------------------
async def page(request: Request) -> Response:
    return FileResponse(PAGE / "console.html", headers=HEADERS)


async def part(request: Request) -> Response:
    return FileResponse(PAGE / request.url.path.rpartition("/")[2])


async def about(request: Request) -> Response:
    """For the page: the server's name, and what keeps it from having a screen."""
    try:
        server = await asyncio.to_thread(meant, request.app.state.control, request.query_params.get("token", ""))
    except Unauthorized as error:
        return JSONResponse({"error": str(error)}, 401, headers=HEADERS)
    told = {"name": server.name}
    if server.seen_state not in RUNNING:
        told["error"] = f"The server {server.name} is off. Its screen is back when it has been started again."
    return JSONResponse(told, headers=HEADERS)


async def relay(browser: WebSocket) -> None:
    """Carry bytes between the browser and the host's agent until one of them ends."""
    app: App = browser.app.state.control
    try:
        require_same_origin(browser)
        server = await asyncio.to_thread(meant, app, browser.query_params.get("token", ""))
        line = app.part(Line)
        address = await asyncio.to_thread(line.address, server.host)
        await asyncio.to_thread(line.context)  # made here, should it be the first one
        async with line.websocket(server.host, address, f"/servers/{server.id}/vnc") as agent:
            offered = browser.scope.get("subprotocols", [])
            await browser.accept("binary" if "binary" in offered else None)
            await carry(browser, agent)
    except WolkeError as error:
        log.warning("console: %s", error, extra={"hint": error.hint})
        await browser.close(1008 if isinstance(error, Unauthorized) else 1011, str(error))


def require_same_origin(browser: WebSocket) -> None:
    origin = browser.headers.get("origin")
    if origin and urlsplit(origin).netloc != browser.headers.get("host"):
        raise Unauthorized("The console is opened from its own page only.")


async def carry(browser: WebSocket, agent: Any) -> None:
    from websockets.exceptions import ConnectionClosed

    async def to_agent() -> None:
        while True:
            message = await browser.receive()
            if message["type"] == "websocket.disconnect":
                return
            await agent.send(message["bytes"] if message.get("bytes") is not None else message["text"].encode())

    async def to_browser() -> None:
        async for data in agent:
            await browser.send_bytes(data)

    both = [asyncio.ensure_future(to_agent()), asyncio.ensure_future(to_browser())]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    browser_left = both[0].done()
    for one in both:
        one.cancel()
    for outcome in await asyncio.gather(*both, return_exceptions=True):
        if isinstance(outcome, Exception) and not isinstance(outcome, ConnectionClosed | WebSocketDisconnect):
            log.warning("the console ended: %r", outcome)
    if not browser_left:
        await browser.close(1000, (agent.close_reason or "")[:120])


ROUTES: list[BaseRoute] = [
    Route("/console/", page),
    Route("/console/console.js", part),
    Route("/console/console.css", part),
    Route("/console/about", about),
    WebSocketRoute("/console/websockify", relay),
    Mount("/console/novnc", StaticFiles(directory=NOVNC, check_dir=False)),
]
