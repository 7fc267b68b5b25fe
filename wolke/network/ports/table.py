"""What we keep of a port: the card, its addresses, its security groups."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wolke.core.db import Base
from wolke.network.tables import Standard


class Port(Standard):
    __tablename__ = "port"
    __table_args__ = (UniqueConstraint("network_id", "mac_address"),)

    # wanted: by the API
    network_id: Mapped[str] = mapped_column(ForeignKey("network.id"), index=True)
    mac_address: Mapped[str]
    admin_state_up: Mapped[bool] = mapped_column(default=True)
    device_id: Mapped[str] = mapped_column(default="", index=True)
    device_owner: Mapped[str] = mapped_column(default="", index=True)
    port_security_enabled: Mapped[bool] = mapped_column(default=True)
    allowed_address_pairs: Mapped[list[Any]] = mapped_column(default=list)  # {"ip_address", "mac_address"}
    extra_dhcp_opts: Mapped[list[Any]] = mapped_column(default=list)  # {"opt_name", "opt_value", "ip_version"}
    host: Mapped[str] = mapped_column(default="", index=True)  # binding:host_id
    vnic_type: Mapped[str] = mapped_column(default="normal")
    profile: Mapped[dict[str, Any]] = mapped_column(default=dict)
    dns_name: Mapped[str] = mapped_column(default="")
    dns_domain: Mapped[str] = mapped_column(default="")  # with a dot at its end; "": the network's, else the cloud's
    mac_learning: Mapped[bool | None]  # None: where port security is off
    qos_policy_id: Mapped[str | None] = mapped_column(index=True)
    data_plane_status: Mapped[str | None]  # what a monitor of the operator's says of the host's network
    shut: Mapped[bool] = mapped_column(default=False)  # a right on its zone was revoked: nothing passes
    # seen: by the northbound lane
    seen_up: Mapped[bool] = mapped_column(default=False)  # a chassis has plugged it


class FixedIp(Base):
    """One address of one port. An address is there once per subnet, whoever asks at the same time."""

    __tablename__ = "fixed_ip"

    subnet_id: Mapped[str] = mapped_column(ForeignKey("subnet.id"), primary_key=True)
    sort_key: Mapped[str] = mapped_column(String(32), primary_key=True)  # hex digits of the address: sorts as it counts
    port_id: Mapped[str] = mapped_column(ForeignKey("port.id", ondelete="CASCADE"), index=True)
    network_id: Mapped[str] = mapped_column(index=True)
    ip_address: Mapped[str] = mapped_column(index=True)
    position: Mapped[int] = mapped_column(default=0)  # order within the port


class PortSecurityGroup(Base):
    __tablename__ = "port_security_group"

    port_id: Mapped[str] = mapped_column(ForeignKey("port.id", ondelete="CASCADE"), primary_key=True)
    group_id: Mapped[str] = mapped_column(primary_key=True, index=True)


class PortBinding(Base):
    """Another host that a port is made ready for (live migration); the one where it is stands in the port."""

    __tablename__ = "port_binding"

    port_id: Mapped[str] = mapped_column(ForeignKey("port.id", ondelete="CASCADE"), primary_key=True)
    host: Mapped[str] = mapped_column(primary_key=True)
    vnic_type: Mapped[str] = mapped_column(default="normal")
    profile: Mapped[dict[str, Any]] = mapped_column(default=dict)
