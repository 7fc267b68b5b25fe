"""The agent's own HTTPS listener: console log and screen of this host's guests, for the control plane only.

``GET /healthz``; ``GET /servers/{id}/console?lines=N`` text; ``GET /servers/{id}/vnc`` a websocket that carries RFB;
``GET /counters``, ``GET /meters`` and ``GET /conversations``: what goes through the host's switch, JSON.
Whoever connects must bear a certificate of our authority with the common name ``wolke-control``.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import threading
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from wolke.agent.console import tail
from wolke.agent.link import CONTROL
from wolke.drivers.hypervisor import DriverError, Hypervisor
from wolke.drivers.traffic import Traffic

log = logging.getLogger(__name__)
websockets_log = logging.getLogger("websockets.server")
websockets_log.setLevel(logging.WARNING)  # it tells of each request and each connection

UUID = r"(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
CONSOLE, VNC = re.compile(rf"/servers/{UUID}/console"), re.compile(rf"/servers/{UUID}/vnc")
CHUNK = 64 * 1024
BINARY = Subprotocol("binary")  # what noVNC offers


class Listener:
    """``listen`` is ``ip:port``; port 0 takes a free one, ``address`` then tells which."""

    def __init__(
        self, listen: str, context: ssl.SSLContext, hypervisor: Hypervisor, traffic: Traffic | None = None
    ) -> None:
        self.listen, self.context, self.hypervisor = listen, context, hypervisor
        self.traffic = traffic or Traffic()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="listener", daemon=True)
        self.server: Server | None = None
        self.address = ""

    def start(self) -> None:
        """Returns once connections are accepted; OSError where the address is taken."""
        self.thread.start()
        self.server = asyncio.run_coroutine_threadsafe(self._begin(), self.loop).result()
        host, port = next(iter(self.server.sockets)).getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def stop(self) -> None:
        async def end() -> None:
            if self.server:
                self.server.close()
                await self.server.wait_closed()

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _begin(self) -> Server:
        host, _, port = self.listen.rpartition(":")
        return await serve(
            self._relay,
            host.strip("[]"),
            int(port),
            ssl=self.context,
            process_request=self._answer,
            select_subprotocol=lambda _, offered: BINARY if BINARY in offered else None,
            logger=websockets_log,
            server_header=None,
            compression=None,  # RFB has its own
            max_size=1 << 20,
        )

    async def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer plain requests here; None lets the websocket of a screen go on."""
        if not is_control(connection):
            return response(HTTPStatus.FORBIDDEN, "only the control plane is answered\n")
        url = urlsplit(request.path)
        if url.path == "/healthz":
            return response(HTTPStatus.OK, "ok\n")
        if found := CONSOLE.fullmatch(url.path):
            asked = parse_qs(url.query).get("lines", [""])[0]
            lines = int(asked) if asked.isdecimal() else None
            text = await asyncio.to_thread(lambda: tail(self.hypervisor.console(found["id"]), lines))
            return response(HTTPStatus.OK, text)
        if VNC.fullmatch(url.path):
            return None
        answers = {
            "/counters": self.traffic.counters, "/meters": self.traffic.meters, "/conversations": self.traffic.conversations,
        }  # fmt: skip
        if told := answers.get(url.path):
            try:
                return response(HTTPStatus.OK, await asyncio.to_thread(told))
            except DriverError as error:
                return response(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}\n")
        return response(HTTPStatus.NOT_FOUND, "no such thing here\n")

    async def _relay(self, connection: ServerConnection) -> None:
        """Carry bytes between the websocket and the guest's screen until one side ends."""
        assert connection.request is not None
        found = VNC.fullmatch(urlsplit(connection.request.path).path)
        assert found is not None
        try:
            path = await asyncio.to_thread(self.hypervisor.vnc, found["id"])
            reader, writer = await asyncio.open_unix_connection(str(path))
        except (DriverError, OSError) as error:
            log.warning("no screen of %s: %s", found["id"], error)
            await connection.close(1011, "the guest has no screen now")
            return

        async def from_guest() -> None:
            while data := await reader.read(CHUNK):
                await connection.send(data)

        async def to_guest() -> None:
            async for message in connection:
                writer.write(message if isinstance(message, bytes) else message.encode())
                await writer.drain()

        both = [asyncio.ensure_future(from_guest()), asyncio.ensure_future(to_guest())]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
            for outcome in await asyncio.gather(*both, return_exceptions=True):
                if isinstance(outcome, Exception) and not isinstance(outcome, ConnectionClosed | OSError):
                    log.warning("the screen of %s ended: %r", found["id"], outcome)
            writer.close()


def is_control(connection: ServerConnection) -> bool:
    certificate = connection.transport.get_extra_info("peercert") or {}
    names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    return names == [CONTROL]


def response(status: HTTPStatus, text: str) -> Response:
    body = text.encode()
    headers = Headers(
        {"content-type": "text/plain; charset=utf-8", "content-length": str(len(body)), "connection": "close"}
    )
    return Response(status.value, status.phrase, headers, body)
