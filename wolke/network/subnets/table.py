"""What we keep of a subnet."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from wolke.network.tables import Standard


class Subnet(Standard):
    __tablename__ = "subnet"

    network_id: Mapped[str] = mapped_column(ForeignKey("network.id"), index=True)
    ip_version: Mapped[int] = mapped_column(default=4)
    cidr: Mapped[str] = mapped_column(index=True)
    gateway_ip: Mapped[str | None]
    enable_dhcp: Mapped[bool] = mapped_column(default=True)
    ipv6_ra_mode: Mapped[str | None]  # slaac | dhcpv6-stateful | dhcpv6-stateless
    ipv6_address_mode: Mapped[str | None]
    allocation_pools: Mapped[list[Any]] = mapped_column(default=list)  # {"start", "end"}, ascending, no overlaps
    dns_nameservers: Mapped[list[str]] = mapped_column(default=list)
    host_routes: Mapped[list[Any]] = mapped_column(default=list)  # {"destination", "nexthop"}
    subnetpool_id: Mapped[str | None] = mapped_column(index=True)
    service_types: Mapped[list[str]] = mapped_column(default=list)
