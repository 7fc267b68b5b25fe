"""Waking whoever waits for a topic, in this process and in the others of this cloud.

SQLite: every process binds a datagram socket in ``STATE/bells``. PostgreSQL: ``LISTEN/NOTIFY``. A ring that is lost costs
time and never truth: who waits looks again by the clock.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

log = logging.getLogger(__name__)


class Bell(Protocol):
    def ring(self, topics: Iterable[str]) -> None:
        """Wake everybody who waits for one of the topics; called after the commit."""

    def listen(self, topic: str, ears: Callable[[], object]) -> Callable[[], None]:
        """Call ``ears`` (from any thread) at each ring of the topic, until what is returned is called."""

    def close(self) -> None: ...


class LocalBell:
    """Within one process; the other two add the rest of the cloud."""

    def __init__(self) -> None:
        self._ears: dict[str, set[Callable[[], object]]] = {}
        self._lock = threading.Lock()

    def ring(self, topics: Iterable[str]) -> None:
        self._here(topics)

    def _here(self, topics: Iterable[str]) -> None:
        for topic in topics:
            with self._lock:
                ears = list(self._ears.get(topic, ()))
            for hear in ears:
                hear()

    def listen(self, topic: str, ears: Callable[[], object]) -> Callable[[], None]:
        with self._lock:
            self._ears.setdefault(topic, set()).add(ears)

        def stop() -> None:
            with self._lock:
                heard = self._ears.get(topic, set())
                heard.discard(ears)
                if not heard:
                    self._ears.pop(topic, None)

        return stop

    def close(self) -> None:
        self._ears.clear()


class SocketBell(LocalBell):
    def __init__(self, directory: Path) -> None:
        super().__init__()
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._path = directory / f"{os.getpid()}-{id(self):x}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._path.unlink(missing_ok=True)
        self._socket.bind(str(self._path))
        self._open = True
        threading.Thread(target=self._serve, name="bell", daemon=True).start()

    def _serve(self) -> None:
        while self._open:
            try:
                heard = self._socket.recv(65536).decode()
            except OSError:
                return
            self._here(topic for topic in heard.split("\n") if topic)

    def ring(self, topics: Iterable[str]) -> None:
        topics = list(topics)
        self._here(topics)
        message = "\n".join(topics).encode()
        for path in self._directory.iterdir():
            if path == self._path:
                continue
            try:
                self._socket.sendto(message, socket.MSG_DONTWAIT, str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)  # its process is gone
            except OSError as error:  # a full queue: that process is about to look anyway
                log.debug("bell: %s: %s", path.name, error)

    def close(self) -> None:
        super().close()
        self._open = False
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            log.debug("bell: was closed already")
        self._socket.close()
        self._path.unlink(missing_ok=True)


async def heard(bell: Bell, topic: str, seconds: float, already: Callable[[], bool]) -> bool:
    """Wait on the event loop until ``already()`` holds; it is asked first, at each ring, and when time is up."""
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    stop = bell.listen(topic, lambda: loop.call_soon_threadsafe(event.set))
    end = loop.time() + seconds
    try:
        while not await asyncio.to_thread(already):
            remaining = end - loop.time()
            if remaining <= 0:
                return False
            try:
                await asyncio.wait_for(event.wait(), remaining)
            except TimeoutError:
                return await asyncio.to_thread(already)
            event.clear()
        return True
    finally:
        stop()
