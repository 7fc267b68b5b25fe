"""Runs ASGI apps on listening sockets until it is told to stop: several uvicorn servers on one event loop, with or without TLS.

A client's certificate reaches the app in the style of the ASGI TLS extension: ``scope["extensions"]["tls"]["client_cert_chain"]``,
a list of PEM strings. https://asgi.readthedocs.io/en/latest/specs/tls.html
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 64 * 1024  # of one request's line and headers
HEAD_SECONDS = 30.0  # in which they have to arrive
GRACE_SECONDS = 5  # for answers that are under way when we are told to stop


@dataclass(frozen=True, slots=True)
class Listening:
    """One app on its sockets."""

    app: Any
    sockets: Sequence[socket.socket]
    tls: ssl.SSLContext | None = None
    head_seconds: float = HEAD_SECONDS


class Bounded(HttpToolsProtocol):
    """HTTP whose heads are small and come soon: uvicorn keeps whatever a stranger sends, for as long as he likes."""

    head_bytes: int | None = 0  # of a head that has begun; None: it was whole
    received = 0  # bytes that came together
    deadline: asyncio.TimerHandle | None = None

    def __init__(self, *arguments: Any, head_seconds: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.head_seconds = head_seconds

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.received = len(data)
        if self.head_bytes is not None:
            self.head_bytes += self.received
        super().data_received(data)
        if self.head_bytes is not None and self.head_bytes > HEAD_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self.head_bytes is None:  # the next one on this connection
            self.head_bytes = self.received
            self._expect_head()

    def on_headers_complete(self) -> None:
        self.head_bytes = None
        self._end_deadline()
        super().on_headers_complete()

    def _expect_head(self) -> None:
        self._end_deadline()
        self.deadline = self.loop.call_later(self.head_seconds, self.transport.abort)

    def _end_deadline(self) -> None:
        if self.deadline:
            self.deadline.cancel()
            self.deadline = None


class Certified(Bounded):
    """HTTP with the peer's certificate in the scope."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        der = tls.getpeercert(binary_form=True) if tls else None
        self.chain = [ssl.DER_cert_to_PEM_cert(der)] if der else []

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {"tls": {"client_cert_chain": self.chain}}


class Server(uvicorn.Server):
    """uvicorn without its own signal handling, and without waking ten times a second when nobody calls."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ended = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), 1.0)

    def end(self) -> None:
        self.should_exit = True
        self.ended.set()


def server(listening: Listening) -> Server:
    tls = listening.tls
    config = uvicorn.Config(
        listening.app, http=partial(Certified if tls else Bounded, head_seconds=listening.head_seconds),  # type: ignore[arg-type]
        ws="none" if tls else "websockets-sansio",
        lifespan="off", log_config=None, access_log=False, server_header=False, proxy_headers=False, timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_SECONDS, ws_max_size=1 << 20, ws_per_message_deflate=False,
        ssl_context_factory=(lambda _config, _default: tls) if tls else None,
    )  # fmt: skip
    return Server(config)


def serve(
    listening: Sequence[Listening],
    *,
    beside: Sequence[Callable[[], Awaitable[None]]] = (),
    ending: Callable[[], object] = lambda: None,
    started: Callable[[], object] = lambda: None,
) -> None:
    """Serve until SIGTERM or SIGINT; returns when the last answer is out or ``GRACE_SECONDS`` are over.

    Parameters
    ----------
    beside : coroutines that run as long as the servers
    ending : called when the signal has come, before connections are closed
    """

    async def run() -> None:
        servers = [server(one) for one in listening]

        def end() -> None:
            ending()
            for one in servers:
                one.end()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, end)
        others = [asyncio.ensure_future(one()) for one in beside]
        started()
        pairs = zip(servers, listening, strict=True)
        await asyncio.gather(*(one.serve(sockets=list(of.sockets)) for one, of in pairs))
        for one in others:
            one.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
