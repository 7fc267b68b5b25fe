"""What we keep of a router. Its interfaces and its gateway are ports (``device_id`` is the router's id)."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from wolke.network.tables import Standard

INTERFACE, GATEWAY = "network:router_interface", "network:router_gateway"  # device_owner


class Router(Standard):
    __tablename__ = "router"

    admin_state_up: Mapped[bool] = mapped_column(default=True)
    gateway_port_id: Mapped[str | None] = mapped_column(index=True)
    external_network_id: Mapped[str | None] = mapped_column(index=True)
    enable_snat: Mapped[bool] = mapped_column(default=True)
    routes: Mapped[list[Any]] = mapped_column(default=list)  # {"destination", "nexthop"}
    availability_zone_hints: Mapped[list[str]] = mapped_column(default=list)
