"""What we keep of a log: whose packets are written down, and which."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from wolke.network.tables import Standard

ACCEPT, DROP, ALL = "ACCEPT", "DROP", "ALL"  # events


class NetworkLog(Standard):
    __tablename__ = "network_log"

    event: Mapped[str] = mapped_column(default=ALL)
    resource_type: Mapped[str] = mapped_column(default="security_group")
    resource_id: Mapped[str | None] = mapped_column(index=True)  # a security group; None: all of the project
    target_id: Mapped[str | None] = mapped_column(index=True)  # a port; None: all that have the group
    enabled: Mapped[bool] = mapped_column(default=True)
