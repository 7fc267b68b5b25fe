"""The control plane's own processes, as ``os-services`` shows them: each writes that it lives."""

from __future__ import annotations

import logging
import socket
import uuid

from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, mapped_column

from wolke.core.app import App
from wolke.core.db import Base, matched

log = logging.getLogger(__name__)
BEAT_SECONDS = 20.0


class Process(Base):
    __tablename__ = "process"

    binary: Mapped[str] = mapped_column(primary_key=True)  # nova-conductor (api), nova-scheduler (loops)
    host: Mapped[str] = mapped_column(primary_key=True)
    service_id: Mapped[str] = mapped_column(default=lambda: str(uuid.uuid4()))
    seen_at: Mapped[float] = mapped_column(default=0.0)  # unix seconds


def beat(app: App, binary: str) -> None:
    """Write that a process of this kind lives on this machine; a database that is away is no reason to die."""
    host = socket.gethostname()
    here = (Process.binary == binary) & (Process.host == host)
    try:
        with app.database.transaction() as db:
            if not matched(db, update(Process).where(here).values(seen_at=app.clock())):
                db.add(Process(binary=binary, host=host, seen_at=app.clock()))
    except SQLAlchemyError as error:
        log.warning("cannot write that %s lives: %s", binary, error)
