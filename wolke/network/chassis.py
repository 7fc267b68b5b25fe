"""The hosts as OVN knows them: which can carry a gateway to which physical network.

OVN:  ovn-sb(5), table Chassis. Copied into a table of ours, so that the rows of a router follow from the database alone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Protocol

from sqlalchemy import delete, select
from sqlalchemy.orm import Mapped, mapped_column

from wolke.core.db import Base, Database
from wolke.core.work import Lane, wake_all
from wolke.network.routers.table import Router

log = logging.getLogger(__name__)
LOOK_SECONDS = 2.0


class Chassis(Base):
    __tablename__ = "chassis"

    name: Mapped[str] = mapped_column(primary_key=True)  # system-id
    hostname: Mapped[str] = mapped_column(default="")
    physical_networks: Mapped[list[str]] = mapped_column(default=list)
    seen_at: Mapped[float] = mapped_column(default=0.0)  # unix seconds of the last change


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

    def __init__(self, hosts: Hosts) -> None:
        super().__init__("chassis", (), lambda items: {})
        self.hosts = hosts
        self.last: dict[str, tuple[str, list[str]]] | None = None

    def run_once(self, database: Database) -> int:
        told = {one.name: (one.hostname, sorted(one.bridge_mappings)) for one in self.hosts.chassis()}
        if told == self.last:
            return 0
        with database.transaction() as db:
            known = {row.name: (row.hostname, row.physical_networks) for row in db.execute(select(Chassis.__table__))}
            db.execute(delete(Chassis).where(Chassis.name.in_(known.keys() - told.keys())))
            for name, (hostname, physical) in told.items():
                if known.get(name) != (hostname, physical):
                    db.merge(
                        Chassis(name=name, hostname=hostname, physical_networks=physical, seen_at=database.clock())
                    )
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
