"""Hosts fetch their slices when what they are to announce has changed, whatever changed it."""

from __future__ import annotations

import logging
import threading

from sqlalchemy import select

from wolke.core.db import Database
from wolke.core.work import LOOK_SECONDS, Lane
from wolke.network import hooks
from wolke.network.bgp.hosts import announcements
from wolke.network.bgp.table import BgpSpeaker
from wolke.network.routed.published import Published

log = logging.getLogger(__name__)
SOURCES = ("router", "port", "floating_ip", "subnet", "network")  # kinds of work items that may change it
PAUSE_SECONDS = 0.2  # many changes at once are one

Told = dict[str, list[Published]]  # by speaker


class AnnouncementWatch(Lane):
    """A lane that looks whenever routers, ports or floating IPs change; without speakers it costs one small statement."""

    def __init__(self) -> None:
        super().__init__("announcements")
        self.last: Told | None = None

    def run_once(self, database: Database) -> int:
        with database.read() as db:
            speakers = db.execute(select(BgpSpeaker.__table__)).all()
            told = announcements(db, speakers) if speakers else {}
        if told == (self.last or {}):
            self.last = told
            return 0
        with database.transaction() as db:
            hooks.tell_hosts(db)
        self.last = told
        return 1

    def run(self, database: Database, stop: threading.Event) -> None:
        rung = threading.Event()
        quiet = [database.bell.listen(f"work:{kind}", rung.set) for kind in SOURCES]
        try:
            while not stop.is_set():
                rung.clear()
                try:
                    self.run_once(database)
                except Exception:
                    log.exception("announcements")
                rung.wait(LOOK_SECONDS)
                stop.wait(PAUSE_SECONDS)
        finally:
            for forget in quiet:
                forget()
