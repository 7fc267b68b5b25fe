"""What we keep of a host: what it has told, and the revision of the slice that it is to make true."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Text, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from wolke.core.db import Base, ring


class Host(Base):
    __tablename__ = "host"

    name: Mapped[str] = mapped_column(primary_key=True)
    service_id: Mapped[str] = mapped_column(default="")  # uuid of its nova-compute service
    hypervisor_id: Mapped[str] = mapped_column(default="")  # uuid of its hypervisor
    # wanted
    wanted_revision: Mapped[int] = mapped_column(default=1)  # grows with each change of its slice
    zone: Mapped[str] = mapped_column(default="nova")  # availability zone
    disabled: Mapped[bool] = mapped_column(default=False)
    disabled_reason: Mapped[str | None]
    forced_down: Mapped[bool] = mapped_column(default=False)
    certificate: Mapped[str] = mapped_column(Text, default="")  # fingerprint of the one that is valid
    # seen
    seen_revision: Mapped[int] = mapped_column(default=0)
    seen_at: Mapped[float] = mapped_column(default=0.0)  # unix seconds of the last picture
    joined_at: Mapped[float] = mapped_column(default=0.0)
    vcpus: Mapped[int] = mapped_column(default=0)
    ram_mib: Mapped[int] = mapped_column(default=0)
    disk_gib: Mapped[int] = mapped_column(default=0)
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)  # the rest of wire.seen.Seen, without its servers


def bump(db: Session, host: str) -> None:
    """Have a host fetch its slice again, after this transaction. Whoever changes something in it calls this."""
    if host:
        db.execute(update(Host).where(Host.name == host).values(wanted_revision=Host.wanted_revision + 1))
        ring(db, f"host:{host}")


def bump_all(db: Session) -> None:
    """Have every host fetch its slice again."""
    for name in db.scalars(select(Host.name)).all():
        bump(db, name)


def last_seen(db: Session) -> dict[str, float]:
    """When each host was last heard of, in unix seconds."""
    return {row.name: row.seen_at for row in db.execute(select(Host.name, Host.seen_at))}
