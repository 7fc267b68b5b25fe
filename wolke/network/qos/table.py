"""What we keep of a QoS policy and its rules."""

from __future__ import annotations

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wolke.core.db import Resource
from wolke.network.tables import Standard

# Types of rules, as the API spells them
BANDWIDTH, DSCP, PACKETS = "bandwidth_limit", "dscp_marking", "packet_rate_limit"
EGRESS, INGRESS = "egress", "ingress"  # seen from the server


class QosPolicy(Standard):
    __tablename__ = "qos_policy"

    is_default: Mapped[bool] = mapped_column(default=False)  # of its project: what new networks get


class QosRule(Resource):
    """One rule. A policy has at most one of each type and direction."""

    __tablename__ = "qos_rule"
    __table_args__ = (UniqueConstraint("qos_policy_id", "type", "direction"),)

    qos_policy_id: Mapped[str] = mapped_column(ForeignKey("qos_policy.id", ondelete="CASCADE"))
    type: Mapped[str]
    direction: Mapped[str] = mapped_column(default=EGRESS)
    max_kbps: Mapped[int] = mapped_column(default=0)  # kilobits per second, 1000 bits each; 0: no limit
    max_burst_kbps: Mapped[int] = mapped_column(default=0)  # kilobits; 0: as OVS chooses
    dscp_mark: Mapped[int] = mapped_column(default=0)
    max_kpps: Mapped[int] = mapped_column(default=0)  # thousands of packets per second; 0: no limit
    max_burst_kpps: Mapped[int] = mapped_column(default=0)  # thousands of packets; 0: as OVS chooses
