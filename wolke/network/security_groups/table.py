"""What we keep of security groups and their rules."""

from __future__ import annotations

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wolke.core.db import Base
from wolke.network.tables import Standard


class SecurityGroup(Standard):
    __tablename__ = "security_group"

    stateful: Mapped[bool] = mapped_column(default=True)


class DefaultSecurityGroup(Base):
    """Which group is a project's default: one, whoever asks first."""

    __tablename__ = "default_security_group"
    __table_args__ = (UniqueConstraint("group_id"),)

    project_id: Mapped[str] = mapped_column(primary_key=True)
    group_id: Mapped[str] = mapped_column(ForeignKey("security_group.id", ondelete="CASCADE"))


class SecurityGroupRule(Standard):
    __tablename__ = "security_group_rule"

    security_group_id: Mapped[str] = mapped_column(ForeignKey("security_group.id", ondelete="CASCADE"), index=True)
    direction: Mapped[str]  # ingress | egress
    ethertype: Mapped[str] = mapped_column(default="IPv4")  # IPv4 | IPv6
    protocol: Mapped[str | None]  # name or number, as it was given
    port_range_min: Mapped[int | None]  # or ICMP type
    port_range_max: Mapped[int | None]  # or ICMP code
    remote_ip_prefix: Mapped[str | None]
    remote_group_id: Mapped[str | None] = mapped_column(index=True)
