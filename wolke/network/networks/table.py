"""What we keep of a network."""

from __future__ import annotations

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wolke.network.tables import Standard


class Network(Standard):
    __tablename__ = "network"
    __table_args__ = (UniqueConstraint("network_type", "physical_network", "segmentation_id"),)

    admin_state_up: Mapped[bool] = mapped_column(default=True)
    shared: Mapped[bool] = mapped_column(default=False, index=True)  # with everybody: its RBAC policies say so
    external: Mapped[bool] = mapped_column(default=False, index=True)  # router:external
    is_default: Mapped[bool] = mapped_column(default=False)
    mtu: Mapped[int] = mapped_column(default=1442)  # bytes
    port_security_enabled: Mapped[bool] = mapped_column(default=True)
    network_type: Mapped[str] = mapped_column(default="geneve")  # geneve | flat | vlan
    physical_network: Mapped[str] = mapped_column(default="")  # "" on an overlay
    segmentation_id: Mapped[int] = mapped_column(default=0)  # VLAN tag or Geneve network identifier; 0 on flat ones
    qos_policy_id: Mapped[str | None] = mapped_column(index=True)  # of its ports that have none of their own
    dns_domain: Mapped[str] = mapped_column(default="")
    availability_zone_hints: Mapped[list[str]] = mapped_column(default=list)
