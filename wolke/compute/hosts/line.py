"""The control plane's line to its hosts' agents: HTTPS with mutual TLS, for what only the host has (console log, screen).

What is checked is the host's name in the certificate, not the address that it has told: another host may have got that by now.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sqlalchemy import select

from wolke.compute.hosts_table import Host
from wolke.core import pki
from wolke.core.app import App
from wolke.core.errors import Unavailable

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

log = logging.getLogger(__name__)

FRESH_SECONDS = pki.CONTROL_DAYS * 86400 / 3
SECONDS = 10.0


class Line:
    """One per process; its certificate is made when it is first needed."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.lock = threading.Lock()
        self._context: ssl.SSLContext | None = None
        self.made = 0.0  # seconds, monotonic

    def context(self) -> ssl.SSLContext:
        with self.lock:
            if self._context is None or time.monotonic() - self.made > FRESH_SECONDS:
                with self.app.database.transaction() as db:
                    ca = pki.authority(db, self.app.vault)
                self._context = pki.client_context(ca, ca.control([], time.time()))
                self.made = time.monotonic()
            return self._context

    def address(self, host: str) -> str:
        """Where the host's agent listens, as it has told. Raises Unavailable."""
        with self.app.database.read() as db:
            told = db.scalar(select(Host.facts).where(Host.name == host)) or {}
        if not told.get("address"):
            raise Unavailable("The server's host cannot be reached now.", hint=f"{host} has not told its address")
        return str(told["address"])

    def text(self, host: str, path: str) -> str:
        """``GET path`` from the host's agent.

        Raises
        ------
        Unavailable: the host does not answer, or another one answers in its place
        """
        import httpx2  # 4 MiB that most processes never need

        url = f"https://{self.address(host)}{path}"
        timeout = httpx2.Timeout(SECONDS, connect=3.0)
        with httpx2.Client(verify=self.context(), timeout=timeout, trust_env=False) as client:
            try:
                reply = client.get(url, extensions={"sni_hostname": host})
            except httpx2.HTTPError as error:
                raise Unavailable("The server's host cannot be reached now.", hint=f"{url}: {error}") from error
        if reply.status_code != 200:
            raise Unavailable(
                "The server's host cannot answer now.", hint=f"{url}: {reply.status_code} {reply.text[:200]}"
            )
        return reply.text

    @asynccontextmanager
    async def websocket(self, host: str, address: str, path: str) -> AsyncIterator[ClientConnection]:
        """A websocket to the host's agent. Raises Unavailable."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException
        from websockets.typing import Subprotocol

        url = f"wss://{address}{path}"
        opening = connect(
            url, ssl=self.context(), server_hostname=host, subprotocols=[Subprotocol("binary")], compression=None, max_size=1 << 20,
            open_timeout=SECONDS, proxy=None,
        )  # fmt: skip
        try:
            connection = await opening
        except (OSError, WebSocketException, TimeoutError) as error:
            raise Unavailable("The server's host cannot be reached now.", hint=f"{url}: {error}") from error
        async with connection:
            yield connection


class EveryHost:
    """The network's ``Witness``: the same question to all agents at once."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def ask(self, path: str) -> dict[str, str | None]:
        """What each host answers; one that has been silent for long is not waited for."""
        hosts = await asyncio.to_thread(self._hosts)
        heard = [host for host, lately in hosts.items() if lately]
        told = await asyncio.gather(*(asyncio.to_thread(self._one, host, path) for host in heard))
        return dict.fromkeys(hosts) | dict(zip(heard, told, strict=True))

    def _hosts(self) -> dict[str, bool]:
        """Each host, and whether it has been heard of lately."""
        since = self.app.clock() - self.app.config.host_timeout_seconds
        with self.app.database.read() as db:
            return {row.name: row.seen_at >= since for row in db.execute(select(Host.name, Host.seen_at))}

    def _one(self, host: str, path: str) -> str | None:
        try:
            return self.app.part(Line).text(host, path)
        except Unavailable as error:
            log.info("%s%s: %s", host, path, error.hint or error)
            return None
