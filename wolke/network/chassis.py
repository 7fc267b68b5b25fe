"""The hosts as OVN knows them: which can carry a gateway to which physical network.

OVN:  ovn-sb(5), table Chassis. Copied into a table of ours, so that the rows of a router follow from the database alone.

OVN moves a gateway by itself when its host dies (BFD), but for one case: a host that hears no other at all takes none, because it
might be the one that is cut off. With two hosts that is every case. So a host whose agent has fallen silent while others are heard
is no candidate any more, and OVN gives its gateways to the rest.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from sqlalchemy import delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from wolke.core.db import Base, Database
from wolke.core.work import Lane, wake_all
from wolke.network.routers.table import Router

log = logging.getLogger(__name__)
Facts = tuple[str, list[str], bool]  # host name, physical networks, heard
LOOK_SECONDS = 2.0


class Chassis(Base):
    __tablename__ = "chassis"

    name: Mapped[str] = mapped_column(primary_key=True)  # system-id
    hostname: Mapped[str] = mapped_column(default="")
    physical_networks: Mapped[list[str]] = mapped_column(default=list)
    heard: Mapped[bool] = mapped_column(default=True)  # of its agent; one that never had any counts as heard
    seen_at: Mapped[float] = mapped_column(default=0.0)  # unix seconds of the last change


# When each host's agent was last heard of (unix seconds), by host name. Whoever hears of agents adds a function here.
heard: list[Callable[[Session], Mapping[str, float]]] = []


def last_heard(db: Session) -> dict[str, float]:
    found: dict[str, float] = {}
    for tell in heard:
        found |= tell(db)
    return found


class Told(Protocol):
    """A host as the southbound database tells it."""

    @property
    def name(self) -> str: ...
    @property
    def hostname(self) -> str: ...
    @property
    def bridge_mappings(self) -> Mapping[str, str]: ...


class Hosts(Protocol):
    """Where the hosts are read from: OVN's southbound database, or memory in tests."""

    def chassis(self) -> list[Told]: ...


class ChassisWatch(Lane):
    """A lane whose news come from OVN: hosts that come, go or change their bridges; gateways are placed anew then."""

    def __init__(self, hosts: Hosts, patience: float) -> None:
        super().__init__("chassis", (), lambda items: {})
        self.hosts, self.patience = hosts, patience  # seconds that an agent may be silent
        self.last: dict[str, Facts] | None = None

    def told(self, database: Database) -> dict[str, Facts]:
        """What is known of each host now. Where all are silent, it is we who hear nothing."""
        present = self.hosts.chassis()
        with database.read() as db:
            last = last_heard(db)
        since = database.clock() - self.patience
        silent = {one.hostname for one in present if last.get(one.hostname, since) < since}
        if len(silent) == len(present):
            silent = set()
        return {one.name: (one.hostname, sorted(one.bridge_mappings), one.hostname not in silent) for one in present}

    def run_once(self, database: Database) -> int:
        told = self.told(database)
        if told == self.last:
            return 0
        with database.transaction() as db:
            rows = db.execute(select(Chassis.__table__))
            known = {row.name: (row.hostname, row.physical_networks, row.heard) for row in rows}
            db.execute(delete(Chassis).where(Chassis.name.in_(known.keys() - told.keys())))
            for name, facts in told.items():
                if known.get(name) != facts:
                    hostname, physical, is_heard = facts
                    made = Chassis(name=name, hostname=hostname, physical_networks=physical, heard=is_heard)
                    made.seen_at = database.clock()
                    db.merge(made)
            if known != told:
                gateways = db.scalars(select(Router.id).where(Router.gateway_port_id.is_not(None)))
                wake_all(db, [(Router.__tablename__, id) for id in gateways])
        self.last = told
        return 1

    def run(self, database: Database, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self.run_once(database)
            except Exception:
                log.exception("chassis")
            stop.wait(LOOK_SECONDS)
