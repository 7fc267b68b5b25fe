"""What we keep of sharing: one row for each project, or everybody, that a thing is shared with."""

from __future__ import annotations

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wolke.core.db import Resource

SHARED, EXTERNAL = "access_as_shared", "access_as_external"  # actions
EVERYBODY = "*"


class RbacPolicy(Resource):
    __tablename__ = "rbac_policy"
    __table_args__ = (UniqueConstraint("object_type", "object_id", "action", "target_project"),)

    object_type: Mapped[str]  # as the API spells it: network, qos_policy
    object_id: Mapped[str] = mapped_column(index=True)
    action: Mapped[str] = mapped_column(default=SHARED)
    target_project: Mapped[str] = mapped_column(index=True)  # or EVERYBODY
