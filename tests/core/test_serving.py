"""Strangers on the line: heads that are too large or never end, links that must not stand in the log."""

from __future__ import annotations

import asyncio
import io
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.sync.client import connect

from wolke.core import log
from wolke.core.serving import HEAD_BYTES, Listening, server


async def screen(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()


WEB = Starlette(routes=[Route("/", lambda request: PlainTextResponse("hello")), WebSocketRoute("/screen", screen)])


@contextmanager
def listening(**options: float) -> Iterator[int]:
    """The port of a server that lives as long as the block."""
    handle = socket.create_server(("127.0.0.1", 0))
    made = server(Listening(WEB, [handle], **options))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(made.serve(sockets=[handle])))
    thread.start()
    try:
        yield handle.getsockname()[1]
    finally:
        loop.call_soon_threadsafe(made.end)
        thread.join(20)
        loop.close()


def answer(port: int, *pieces: bytes) -> bytes:
    """What comes back for these bytes until the server hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        try:
            for piece in pieces:
                line.sendall(piece)
            return b"".join(iter(lambda: line.recv(65536), b""))
        except ConnectionError:  # aborted
            return b"cut off"


GET = b"GET / HTTP/1.1\r\nhost: a\r\n"


def test_requests_on_one_connection_are_answered() -> None:
    with listening() as port:
        assert answer(port, (GET + b"\r\n") * 2 + GET + b"connection: close\r\n\r\n").count(b"hello") == 3


ENDLESS = {"path": b"GET /", "value": GET + b"x: ", "name": GET, "lines": GET + b"a: b\r\n" * (HEAD_BYTES // 6)}


@pytest.mark.parametrize("head", ENDLESS.values(), ids=ENDLESS)
@pytest.mark.parametrize("before", [b"", GET + b"\r\n"], ids=["first", "second"])
def test_a_head_without_end_is_cut_off(before: bytes, head: bytes) -> None:
    """The server hangs up long before the time for a head is over."""
    with listening(head_seconds=600) as port:
        assert answer(port, before, head, b"a" * HEAD_BYTES, b"a" * HEAD_BYTES) in (b"cut off", b"")


def test_a_head_that_does_not_come_is_not_waited_for() -> None:
    with listening(head_seconds=0.2) as port:
        assert answer(port) in (b"", b"cut off")
        assert answer(port, GET) in (b"", b"cut off")
        assert b"hello" in answer(port, GET + b"\r\n", GET)


def test_the_log_does_not_tell_what_opens_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    written, quiet = io.StringIO(), logging.getLogger("test.client")
    quiet.setLevel(logging.WARNING)
    monkeypatch.setattr("sys.stderr", written)
    before = logging.getLogger().handlers[:]
    try:
        log.start("debug")
        with listening() as port, connect(f"ws://127.0.0.1:{port}/screen?token=hunter2", proxy=None, logger=quiet):
            pass
    finally:
        logging.getLogger().handlers[:] = before
        logging.getLogger().setLevel(logging.WARNING)
    assert "hunter2" not in written.getvalue()
