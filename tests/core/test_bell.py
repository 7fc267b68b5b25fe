"""Bells reach the other processes of the cloud."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests import postgres
from wolke.core.bell import Bell, SocketBell
from wolke.core.postgres_bell import PostgresBell


def rings(one: Bell, other: Bell) -> bool:
    """Whether a ring of ``one`` reaches ``other``; rung until it is heard, as listening starts in a thread."""
    heard = threading.Event()
    stop = other.listen("topic", heard.set)
    try:
        for _ in range(100):
            one.ring(["elsewhere", "topic"])
            if heard.wait(0.1):
                return True
        return False
    finally:
        stop()


def test_sockets_reach_another_bell_and_forget_dead_ones(state: Path) -> None:
    one, other = SocketBell(state / "bells"), SocketBell(state / "bells")
    assert rings(one, other) and rings(other, one) and rings(one, one)
    dead = state / "bells" / "1-dead"
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as gone:
        gone.bind(str(dead))
    one.ring(["topic"])
    assert not dead.exists()
    one.close()
    other.close()


@pytest.mark.postgres
def test_notify_reaches_another_bell(postgresql: postgres.Server) -> None:
    with postgresql.database() as url:
        one, other = PostgresBell(url), PostgresBell(url)
        assert rings(one, other) and rings(other, other)
        one.close()
        other.close()
