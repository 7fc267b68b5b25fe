"""What we keep of metering: labels, their rules, what was counted for them, and what each host's counters stood at."""

from __future__ import annotations

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from wolke.core.db import Base, Resource

INGRESS, EGRESS = "ingress", "egress"  # seen from the router: in by its gateway, out of it


class MeteringLabel(Resource):
    __tablename__ = "metering_label"

    description: Mapped[str] = mapped_column(String(1024), default="")
    shared: Mapped[bool] = mapped_column(default=False)  # counts on all routers, not on its project's alone


class MeteringLabelRule(Resource):
    """Prefixes as they were asked for: an address with the length of its prefix. One of them at least is there."""

    __tablename__ = "metering_label_rule"

    metering_label_id: Mapped[str] = mapped_column(ForeignKey("metering_label.id", ondelete="CASCADE"), index=True)
    direction: Mapped[str]
    remote_ip_prefix: Mapped[str | None]  # stands alone; in spite of its name, of the addresses behind the router
    source_ip_prefix: Mapped[str | None]
    destination_ip_prefix: Mapped[str | None]
    excluded: Mapped[bool] = mapped_column(default=False)


class MeteringCount(Base):
    """What one label has counted on one router; written by the loop that samples. It never decreases, and outlives the router."""

    __tablename__ = "metering_count"

    label_id: Mapped[str] = mapped_column(ForeignKey("metering_label.id", ondelete="CASCADE"), primary_key=True)
    router_id: Mapped[str] = mapped_column(primary_key=True)
    packets_in: Mapped[int] = mapped_column(default=0)
    bytes_in: Mapped[int] = mapped_column(default=0)
    packets_out: Mapped[int] = mapped_column(default=0)
    bytes_out: Mapped[int] = mapped_column(default=0)
    since: Mapped[float]  # unix seconds: the first sample with traffic
    counted_at: Mapped[float]  # the last sample


class MeteringFlow(Base):
    """Where one host's counter of one piece stood at the last sample, and for whom it counted."""

    __tablename__ = "metering_flow"

    host: Mapped[str] = mapped_column(primary_key=True)
    meter: Mapped[str] = mapped_column(String(64), primary_key=True)  # its key
    router_id: Mapped[str]
    direction: Mapped[str]
    packets: Mapped[int]
    bytes: Mapped[int]
    born: Mapped[float]  # seconds since the host's start: when the flow was written
    labels: Mapped[list[str]] = mapped_column(default=list)
