"""What we keep of a segment. Each network has a first one, which is the network's own provider attributes."""

from __future__ import annotations

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wolke.network.tables import Standard


class Segment(Standard):
    __tablename__ = "segment"
    __table_args__ = (UniqueConstraint("network_type", "physical_network", "segmentation_id"),)

    network_id: Mapped[str] = mapped_column(ForeignKey("network.id", ondelete="CASCADE"), index=True)
    network_type: Mapped[str]
    physical_network: Mapped[str] = mapped_column(default="")
    segmentation_id: Mapped[int] = mapped_column(default=0)
    is_first: Mapped[bool] = mapped_column(default=False)
