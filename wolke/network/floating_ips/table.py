"""What we keep of a floating IP and of the port forwardings that share one. Its address is held by a port of its own on the external
network."""

from __future__ import annotations

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wolke.network.tables import Standard


class FloatingIp(Standard):
    __tablename__ = "floating_ip"
    __table_args__ = (UniqueConstraint("port_id", "fixed_ip_address", "floating_network_id"),)

    floating_network_id: Mapped[str] = mapped_column(ForeignKey("network.id"), index=True)
    floating_ip_address: Mapped[str] = mapped_column(index=True)
    floating_port_id: Mapped[str] = mapped_column(index=True)
    mac_address: Mapped[str]  # of that port; the address answers ARP with it
    port_id: Mapped[str | None] = mapped_column(index=True)  # that it leads to
    fixed_ip_address: Mapped[str | None]
    qos_policy_id: Mapped[str | None] = mapped_column(index=True)
    router_id: Mapped[str | None] = mapped_column(index=True)


class PortForwarding(Standard):
    """Some ports of a floating IP that leads nowhere as a whole: to ports of a server. It goes with either of both."""

    __tablename__ = "port_forwarding"

    floating_ip_id: Mapped[str] = mapped_column(ForeignKey("floating_ip.id"), index=True)
    protocol: Mapped[str]  # tcp | udp
    external_first: Mapped[int]
    external_last: Mapped[int]
    internal_port_id: Mapped[str] = mapped_column(index=True)
    internal_ip_address: Mapped[str]
    internal_first: Mapped[int]
    internal_last: Mapped[int]  # as many as external ones, or a single one for all of them
