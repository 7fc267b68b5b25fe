"""What we keep of an NDP proxy."""

from __future__ import annotations

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wolke.network.tables import Standard


class NdpProxy(Standard):
    __tablename__ = "ndp_proxy"
    __table_args__ = (UniqueConstraint("router_id", "ip_address"),)

    router_id: Mapped[str] = mapped_column(ForeignKey("router.id"), index=True)
    port_id: Mapped[str] = mapped_column(index=True)
    ip_address: Mapped[str]
    mac_address: Mapped[str]  # that the address is answered with, on the host of its port
