"""Security groups.

API:  https://docs.openstack.org/api-ref/network/v2/#security-groups-security-groups
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, false, func, select, true

from wolke.core.bodies import UNSET, UnsetType
from wolke.core.db import Json
from wolke.core.errors import Conflict, NotFound
from wolke.core.http import Ctx
from wolke.core.quota import quota, rows_of
from wolke.network.ports.table import PortSecurityGroup
from wolke.network.security_groups import rules
from wolke.network.security_groups.defaults import add_egress, default_group, existing
from wolke.network.security_groups.table import SecurityGroup, SecurityGroupRule
from wolke.network.service import Collection, CreateBody, UpdateBody, standard

quota("network", "security_group", 10, rows_of(SecurityGroup))


class SecurityGroupNotFound(NotFound):
    pass


class SecurityGroupInUse(Conflict):
    pass


class SecurityGroupDefaultAlreadyExists(Conflict):
    pass


class SecurityGroupCannotRemoveDefault(Conflict):
    pass


class SecurityGroupCannotUpdateDefault(Conflict):
    pass


# What the API takes and gives ---------------------------------------------------------------------------------------
class Create(CreateBody):
    stateful: bool = True


class Update(UpdateBody):
    stateful: bool | UnsetType = UNSET


def views(ctx: Ctx, groups: Sequence[Any]) -> list[Json]:
    """Groups with their rules, which come in one more statement for the whole page."""
    held: dict[str, list[Json]] = {group.id: [] for group in groups}
    query = select(SecurityGroupRule.__table__).where(SecurityGroupRule.security_group_id.in_(held))
    for rule in ctx.db.execute(query.order_by(SecurityGroupRule.created_at, SecurityGroupRule.id)):
        held[rule.security_group_id].append(rules.view(rule))
    return [
        standard(group) | {"stateful": group.stateful, "shared": False, "security_group_rules": held[group.id]}
        for group in groups
    ]


class Groups(Collection[SecurityGroup]):
    def select(self, ctx: Ctx) -> Any:
        if ctx.caller.project_id:
            default_group(ctx, ctx.caller.project_id)
        return super().select(ctx)


# What the calls do --------------------------------------------------------------------------------------------------
security_groups = Groups(
    "/v2.0/security-groups", "security_group", "security_groups", SecurityGroup, views=views, quota="security_group",
    error=SecurityGroupNotFound, title="Security group",
    filters={"shared": lambda ctx, values: false() if "true" in map(str.lower, values) else true()},
)  # fmt: skip


@security_groups.create
def create(ctx: Ctx, body: Create) -> SecurityGroup:
    owner = security_groups.project_of(ctx, body)
    default_group(ctx, owner)
    refuse_second_default(body.name)
    group = SecurityGroup(project_id=owner, name=body.name, description=body.description, stateful=body.stateful)
    group.created_at = ctx.now
    ctx.db.add(group)
    ctx.db.flush()
    add_egress(ctx.db, group)
    return group


@security_groups.update
def update(ctx: Ctx, group: SecurityGroup, body: Update) -> None:
    if existing(ctx.db, group.project_id) == group.id and body.name not in (UNSET, group.name):
        raise SecurityGroupCannotUpdateDefault("Updating default security group not allowed.")
    if body.name != group.name:
        refuse_second_default(body.name)
    if body.stateful not in (UNSET, group.stateful) and used(ctx, group.id):
        raise SecurityGroupInUse(f"Security Group {group.id} in use: stateful cannot be changed while ports use it.")
    for name in ("name", "description", "stateful"):
        if (value := getattr(body, name)) is not UNSET:
            setattr(group, name, value)


@security_groups.delete
def remove(ctx: Ctx, group: SecurityGroup) -> None:
    if existing(ctx.db, group.project_id) == group.id and not ctx.caller.is_admin:
        raise SecurityGroupCannotRemoveDefault("Insufficient rights for removing default security group.")
    if used(ctx, group.id):
        raise SecurityGroupInUse(f"Security Group {group.id} in use.")
    pointing = SecurityGroupRule.remote_group_id == group.id
    for other in set(ctx.db.scalars(select(SecurityGroupRule.security_group_id).where(pointing))) - {group.id}:
        ctx.wake(SecurityGroup.__tablename__, other)
    ctx.db.execute(delete(SecurityGroupRule).where(pointing | (SecurityGroupRule.security_group_id == group.id)))


def refuse_second_default(name: str | UnsetType) -> None:
    """The name belongs to the one group that each project has from the start."""
    if name is not UNSET and name.lower() == "default":
        raise SecurityGroupDefaultAlreadyExists("Default security group already exists.")


def used(ctx: Ctx, group_id: str) -> bool:
    return bool(ctx.db.scalar(select(func.count()).where(PortSecurityGroup.group_id == group_id)))


def usable(ctx: Ctx, project_id: str, ids: Sequence[str]) -> list[str]:
    """Groups that a project's port may have, as ids in the given order. Raises SecurityGroupNotFound."""
    query = select(SecurityGroup.id).where(SecurityGroup.id.in_(ids))
    if not ctx.caller.is_admin:
        query = query.where(SecurityGroup.project_id.in_([project_id, ctx.caller.project_id]))
    found = set(ctx.db.scalars(query))
    for id in ids:
        if id not in found:
            raise security_groups.missing(id)
    return list(ids)
