"""What we keep of security groups, their rules, and the templates of rules that new groups start with."""

from __future__ import annotations

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wolke.core.db import Base, Resource
from wolke.network.tables import Standard

PARENT = "PARENT"  # remote_group_id of a template: the group that the rule is made for


class SecurityGroup(Standard):
    __tablename__ = "security_group"

    stateful: Mapped[bool] = mapped_column(default=True)


class DefaultSecurityGroup(Base):
    """Which group is a project's default: one, whoever asks first."""

    __tablename__ = "default_security_group"
    __table_args__ = (UniqueConstraint("group_id"),)

    project_id: Mapped[str] = mapped_column(primary_key=True)
    group_id: Mapped[str] = mapped_column(ForeignKey("security_group.id", ondelete="CASCADE"))


class Meaning:
    """What a rule says."""

    direction: Mapped[str]  # ingress | egress
    ethertype: Mapped[str] = mapped_column(default="IPv4")  # IPv4 | IPv6
    protocol: Mapped[str | None]  # name or number, as it was given
    port_range_min: Mapped[int | None]  # or ICMP type
    port_range_max: Mapped[int | None]  # or ICMP code
    remote_ip_prefix: Mapped[str | None]
    remote_group_id: Mapped[str | None] = mapped_column(index=True)
    remote_address_group_id: Mapped[str | None] = mapped_column(index=True)


class SecurityGroupRule(Meaning, Standard):
    __tablename__ = "security_group_rule"

    security_group_id: Mapped[str] = mapped_column(ForeignKey("security_group.id", ondelete="CASCADE"), index=True)


class DefaultSecurityGroupRule(Meaning, Resource):
    """A template. One that every cloud starts with stays as ``deleting`` when it is deleted, so that it does not come back."""

    __tablename__ = "default_security_group_rule"

    description: Mapped[str] = mapped_column(default="")
    used_in_default_sg: Mapped[bool] = mapped_column(default=False)
    used_in_non_default_sg: Mapped[bool] = mapped_column(default=True)
