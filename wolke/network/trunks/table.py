"""What we keep of a trunk and its subports."""

from __future__ import annotations

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wolke.core.db import Base
from wolke.network.tables import Standard


class Trunk(Standard):
    __tablename__ = "trunk"

    # the parent: its frames without a tag are its own
    port_id: Mapped[str] = mapped_column(ForeignKey("port.id"), unique=True)
    admin_state_up: Mapped[bool] = mapped_column(default=True)  # False: the trunk is locked against changes


class Subport(Base):
    """A port whose frames pass the parent port with a tag."""

    __tablename__ = "subport"
    __table_args__ = (UniqueConstraint("trunk_id", "segmentation_type", "segmentation_id"),)

    port_id: Mapped[str] = mapped_column(ForeignKey("port.id"), primary_key=True)
    trunk_id: Mapped[str] = mapped_column(ForeignKey("trunk.id", ondelete="CASCADE"), index=True)
    segmentation_type: Mapped[str] = mapped_column(default="vlan")
    segmentation_id: Mapped[int]
