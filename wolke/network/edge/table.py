"""What we keep of the edge: which ports are open to the world outside, and since when."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from wolke.core.db import Base


class EdgeOpening(Base):
    """Written by the loop that watches the edge. Ports that are open since different times are different rows."""

    __tablename__ = "edge_opening"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    way: Mapped[str] = mapped_column(index=True)  # kind, id and prefix
    thing_id: Mapped[str] = mapped_column(default="", index=True)  # that makes the way
    project_id: Mapped[str] = mapped_column(index=True)
    address: Mapped[str]  # that the world outside sends to
    port_id: Mapped[str] = mapped_column(default="", index=True)  # that it leads to
    protocol: Mapped[int]
    port_min: Mapped[int] = mapped_column(default=0)  # 0 where the protocol has no ports
    port_max: Mapped[int] = mapped_column(default=0)
    source: Mapped[str] = mapped_column(default="")  # prefix; "" for everybody
    decided_by: Mapped[list[Any]] = mapped_column(default=list)  # {"type", "id", "name"}: the rules that open it
    since: Mapped[float] = mapped_column(index=True)  # unix seconds
    event_id: Mapped[int | None]  # the newest event of the audit that it follows
