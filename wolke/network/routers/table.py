"""What we keep of a router. Its interfaces and its gateways are ports (``device_id`` is the router's id)."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from wolke.network.tables import Standard


class Router(Standard):
    __tablename__ = "router"

    admin_state_up: Mapped[bool] = mapped_column(default=True)
    gateway_port_id: Mapped[str | None] = mapped_column(index=True)  # the first gateway; others are ports alone
    external_network_id: Mapped[str | None] = mapped_column(index=True)  # of the first gateway
    enable_snat: Mapped[bool] = mapped_column(default=True)
    distributed: Mapped[bool] = mapped_column(default=True)  # floating IPs on their guests' own hosts
    ha: Mapped[bool] = mapped_column(default=True)  # gateways may move to another host
    enable_default_route_ecmp: Mapped[bool] = mapped_column(default=False)  # out by every gateway, not the first alone
    enable_default_route_bfd: Mapped[bool] = mapped_column(default=False)  # but by none whose next hop is silent
    enable_ndp_proxy: Mapped[bool] = mapped_column(default=False)
    routes: Mapped[list[Any]] = mapped_column(default=list)  # {"destination", "nexthop"}
    availability_zone_hints: Mapped[list[str]] = mapped_column(default=list)
