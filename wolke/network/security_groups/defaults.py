"""What groups start with: a project's default group, made when somebody first looks for it, and the templates of new groups' rules."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_OID, uuid5

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wolke.core.db import lock
from wolke.core.http import Ctx, NeedsWrite
from wolke.core.work import wake
from wolke.network.security_groups.spec import shown
from wolke.network.security_groups.table import (
    PARENT,
    DefaultSecurityGroup,
    DefaultSecurityGroupRule,
    SecurityGroup,
    SecurityGroupRule,
)


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
    furnish(db, group, DefaultSecurityGroupRule.used_in_default_sg)
    wake(db, SecurityGroup.__tablename__, group.id)
    return group.id


# Templates -----------------------------------------------------------------------------------------------------------
def templates(db: Session, used: Any) -> int:
    """How many rules a new group starts with. ``used`` : column that marks the templates of its sort."""
    alive = used & DefaultSecurityGroupRule.deleting.is_(False)
    return db.scalar(select(func.count()).select_from(DefaultSecurityGroupRule).where(alive)) or 0


def furnish(db: Session, group: SecurityGroup, used: Any) -> None:
    """Give a new group the rules of its templates."""
    alive = used & DefaultSecurityGroupRule.deleting.is_(False)
    query = select(DefaultSecurityGroupRule).where(alive)
    for one in db.scalars(query.order_by(DefaultSecurityGroupRule.created_at, DefaultSecurityGroupRule.id)):
        meaning = shown(one)
        if meaning["remote_group_id"] == PARENT:
            meaning["remote_group_id"] = group.id
        db.add(
            SecurityGroupRule(
                project_id=group.project_id, security_group_id=group.id, created_at=group.created_at,
                updated_at=group.created_at, **meaning,
            )
        )  # fmt: skip
    db.flush()


def first_templates() -> list[DefaultSecurityGroupRule]:
    """The templates of a new cloud, as Neutron's: what leaves is allowed; into a default group comes what its members send."""
    return [
        DefaultSecurityGroupRule(
            id=str(uuid5(NAMESPACE_OID, f"default security group rule {direction} {ethertype}")), direction=direction,
            ethertype=ethertype, remote_group_id=remote, used_in_default_sg=True, used_in_non_default_sg=remote is None,
        )
        for direction, remote in (("egress", None), ("ingress", PARENT)) for ethertype in ("IPv4", "IPv6")
    ]  # fmt: skip


def bootstrap(db: Session) -> None:
    """The first templates, unless an operator has deleted them."""
    db.add_all(one for one in first_templates() if db.get(DefaultSecurityGroupRule, one.id) is None)
