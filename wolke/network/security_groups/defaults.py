"""A project's default security group: made when somebody first looks for it.

Rules: what leaves is allowed; what comes in is allowed from members of the same group.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.core.db import lock
from wolke.core.http import Ctx, NeedsWrite
from wolke.core.work import wake
from wolke.network.security_groups.table import DefaultSecurityGroup, SecurityGroup, SecurityGroupRule


def existing(db: Session, project_id: str) -> str | None:
    return db.scalar(select(DefaultSecurityGroup.group_id).where(DefaultSecurityGroup.project_id == project_id))


def default_group(ctx: Ctx, project_id: str) -> str:
    """The id of a project's default group, which is made now if it is not there."""
    if found := existing(ctx.db, project_id):
        return found
    if not ctx.writing:
        raise NeedsWrite
    return make_default(ctx.db, project_id, ctx.now)


def make_default(db: Session, project_id: str, now: float) -> str:
    lock(db, f"default_security_group/{project_id}")
    if found := existing(db, project_id):
        return found
    group = SecurityGroup(
        project_id=project_id, name="default", description="Default security group", created_at=now, updated_at=now
    )
    db.add(group)
    db.flush()
    db.add(DefaultSecurityGroup(project_id=project_id, group_id=group.id))
    add_egress(db, group)
    for ethertype in ("IPv4", "IPv6"):
        db.add(rule_of(group, "ingress", ethertype, remote_group_id=group.id))
    db.flush()
    wake(db, SecurityGroup.__tablename__, group.id)
    return group.id


def add_egress(db: Session, group: SecurityGroup) -> None:
    """What every new group starts with."""
    for ethertype in ("IPv4", "IPv6"):
        db.add(rule_of(group, "egress", ethertype))


def rule_of(
    group: SecurityGroup, direction: str, ethertype: str, *, remote_group_id: str | None = None
) -> SecurityGroupRule:
    return SecurityGroupRule(
        project_id=group.project_id, security_group_id=group.id, direction=direction, ethertype=ethertype,
        remote_group_id=remote_group_id, created_at=group.created_at, updated_at=group.created_at,
    )  # fmt: skip
