"""Who has to be looked at when a security group changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import flag_modified

from wolke.core.http import Ctx
from wolke.core.work import wake_all
from wolke.network.logs.table import NetworkLog
from wolke.network.ports.table import PortSecurityGroup
from wolke.network.security_groups.table import SecurityGroup


def wake_groups(db: Session, ids: Iterable[str]) -> None:
    """Have the groups' rows made anew, and those of logs of single ports that have the groups."""
    groups = sorted(set(ids))
    members = select(PortSecurityGroup.port_id).where(PortSecurityGroup.group_id.in_(groups))
    logs = db.scalars(select(NetworkLog.id).where(NetworkLog.target_id.in_(members)))
    wake_all(
        db,
        [
            *((SecurityGroup.__tablename__, id) for id in groups),
            *((NetworkLog.__tablename__, id) for id in logs),
        ],
    )


def touched(ctx: Ctx, group: Any) -> None:
    """A group whose rules change has changed."""
    flag_modified(group, "updated_at")  # which counts its revision
    wake_groups(ctx.db, [group.id])
