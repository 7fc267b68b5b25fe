"""Which ports are up: OVN tells of each change, the database is written in batches."""

from __future__ import annotations

import logging
import threading

from sqlalchemy import update

from wolke.core.db import Database
from wolke.core.work import Lane
from wolke.drivers.rows import Northbound
from wolke.network.ports.table import Port

log = logging.getLogger(__name__)
BATCH = 500


class PortStatus(Lane):
    """A lane whose work does not come from the database but from OVN: ``seen_up`` of ports."""

    def __init__(self, north: Northbound) -> None:
        super().__init__("port status")
        self.news: dict[str, bool] = {}
        self.lock, self.rung = threading.Lock(), threading.Event()
        north.watch(self.changed)

    def changed(self, port_id: str, up: bool) -> None:
        with self.lock:
            self.news[port_id] = up
        self.rung.set()

    def run_once(self, database: Database) -> int:
        with self.lock:
            news, self.news = self.news, {}
        try:
            for up in (True, False):
                ids = [port for port, is_up in news.items() if is_up == up]
                for at in range(0, len(ids), BATCH):
                    changed = Port.id.in_(ids[at : at + BATCH]) & (Port.seen_up != up)
                    with database.transaction() as db:
                        db.execute(update(Port).where(changed).values(seen_up=up))
        except Exception:
            with self.lock:
                self.news = news | self.news  # what came meanwhile is newer
            raise
        return len(news)

    def run(self, database: Database, stop: threading.Event) -> None:
        while not stop.is_set():
            self.rung.wait(1.0)
            self.rung.clear()
            try:
                self.run_once(database)
            except Exception:
                log.exception("port status")
                stop.wait(1.0)
