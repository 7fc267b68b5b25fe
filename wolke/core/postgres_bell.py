"""The bell of a cloud on PostgreSQL. A module of its own: a cloud on SQLite does not load psycopg."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable

import psycopg

from wolke.core.bell import LocalBell

log = logging.getLogger(__name__)


class PostgresBell(LocalBell):
    """Rings travel by NOTIFY on a connection of their own; every process hears them, also the one that rang."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._send = psycopg.connect(url, autocommit=True)
        self._sending = threading.Lock()
        self._open = True
        self._thread = threading.Thread(target=self._serve, name="bell", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        pause = threading.Event()
        while self._open:
            try:
                with psycopg.connect(self._url, autocommit=True) as connection:
                    connection.execute("LISTEN wolke")
                    while self._open:
                        for notice in connection.notifies(timeout=1.0):
                            self._here([notice.payload])
                            if not self._open:
                                return
            except psycopg.Error as error:
                log.warning("bell: %s", error)
                pause.wait(1.0)

    def ring(self, topics: Iterable[str]) -> None:
        topics = list(topics)
        self._here(topics)
        with self._sending:
            try:
                for topic in topics:
                    self._send.execute("SELECT pg_notify('wolke', %s)", (topic,))
            except psycopg.Error as error:
                log.warning("bell: %s", error)
                try:
                    self._send = psycopg.connect(self._url, autocommit=True)
                except psycopg.Error:
                    log.warning("bell: cannot ring; waiters look by the clock")

    def close(self) -> None:
        super().close()
        self._open = False
        self.ring(["closing"])  # the thread that listens hears it and ends with its connection
        self._thread.join(1.0)
        self._send.close()
