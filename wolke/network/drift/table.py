"""What we keep of drift: one row each time that something was found other than it should be."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from wolke.core.db import Resource

NORTHBOUND = "northbound"  # a ``place``; the others are names of hosts


class Drift(Resource):
    """``name`` is what it is about: ``port/<id>`` of the network's things, ``br-int`` of a host's."""

    __tablename__ = "drift"

    place: Mapped[str] = mapped_column(index=True, default="")
    kind: Mapped[str] = mapped_column(default="")  # see ``api.KINDS``
    details: Mapped[list[Any]] = mapped_column(default=list)  # sentences, at most ``lane.MOST_DETAILS``
    rows: Mapped[int] = mapped_column(default=1)  # how many rows, flows or settings were other
    noticed_at: Mapped[float] = mapped_column(default=0.0, index=True)  # unix seconds
    undone_at: Mapped[float] = mapped_column(default=0.0, index=True)  # 0: it still stands
