"""The audit log: one row for each write, in the write's own transaction, so that neither exists without the other."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from wolke.core.db import Base


class Event(Base):
    __tablename__ = "audit_event"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[float] = mapped_column(index=True)  # unix seconds
    request_id: Mapped[str] = mapped_column(index=True)
    service: Mapped[str]
    rule: Mapped[str]  # what was asked, by its policy name
    method: Mapped[str]
    path: Mapped[str] = mapped_column(default="")
    user_id: Mapped[str] = mapped_column(index=True)
    project_id: Mapped[str] = mapped_column(index=True)  # that the caller acted for
    kind: Mapped[str] = mapped_column(default="")  # of what was changed
    target_id: Mapped[str] = mapped_column(default="", index=True)
    target_project_id: Mapped[str] = mapped_column(default="", index=True)
    status: Mapped[int]
    address: Mapped[str] = mapped_column(default="")  # the client's
