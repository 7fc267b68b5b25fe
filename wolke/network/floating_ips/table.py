"""What we keep of a floating IP. Its address is held by a port of its own on the external network."""

from __future__ import annotations

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wolke.network.tables import Standard

OWNER = "network:floatingip"  # device_owner of the port that holds the address


class FloatingIp(Standard):
    __tablename__ = "floating_ip"
    __table_args__ = (UniqueConstraint("port_id", "fixed_ip_address", "floating_network_id"),)

    floating_network_id: Mapped[str] = mapped_column(ForeignKey("network.id"), index=True)
    floating_ip_address: Mapped[str] = mapped_column(index=True)
    floating_port_id: Mapped[str] = mapped_column(index=True)
    mac_address: Mapped[str]  # of that port; the address answers ARP with it
    port_id: Mapped[str | None] = mapped_column(index=True)  # that it leads to
    fixed_ip_address: Mapped[str | None]
    router_id: Mapped[str | None] = mapped_column(index=True)
