"""What we keep of the operator's rules, and of the exceptions from them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from wolke.network.tables import Standard


class DoormanRule(Standard):
    """Belongs to no project: the operator's alone."""

    __tablename__ = "doorman_rule"

    position: Mapped[int] = mapped_column(default=0, index=True)  # from 1, without gaps
    enabled: Mapped[bool] = mapped_column(default=True)
    action: Mapped[str] = mapped_column(default="deny")  # allow | deny
    direction: Mapped[str] = mapped_column(default="ingress")  # ingress | egress
    ethertype: Mapped[str | None]  # IPv4 | IPv6; None: both
    protocol: Mapped[str | None]  # name or number, as it was given
    port_range_min: Mapped[int | None]  # or ICMP type
    port_range_max: Mapped[int | None]  # or ICMP code
    source_port_range_min: Mapped[int | None]
    source_port_range_max: Mapped[int | None]
    remote_ip_prefixes: Mapped[list[str]] = mapped_column(default=list)  # empty: any
    local_ip_prefixes: Mapped[list[str]] = mapped_column(default=list)
    network_id: Mapped[str | None] = mapped_column(index=True)  # stands at this network's door only
    subnetpool_id: Mapped[str | None] = mapped_column(index=True)  # for addresses of this pool only


class DoormanException(Standard):
    """``project_id`` : whose things are let through; of a floating IP its project, of a prefix nobody's."""

    __tablename__ = "doorman_exception"

    rule_id: Mapped[str] = mapped_column(ForeignKey("doorman_rule.id", ondelete="CASCADE"), index=True)
    scope: Mapped[str] = mapped_column(default="project")  # project | floatingip | prefix
    floatingip_id: Mapped[str | None] = mapped_column(index=True)
    local_ip_prefix: Mapped[str | None]
    remote_ip_prefix: Mapped[str | None]  # narrows: only for this other side
    reason: Mapped[str] = mapped_column(default="")
    expires_at: Mapped[float] = mapped_column(default=0.0)  # unix seconds
    expired: Mapped[bool] = mapped_column(default=False, index=True)  # written by the loop that ends it
    granted: Mapped[dict[str, Any]] = mapped_column(default=dict)  # {"user_id", "user_name"} of whoever made it
