"""Security groups.

API:  https://docs.openstack.org/api-ref/network/v2/#security-groups-security-groups
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from wolke.core.bodies import UNSET, UnsetType, take_over
from wolke.core.db import Json, is_id
from wolke.core.errors import Conflict, NotFound
from wolke.core.http import Ctx
from wolke.core.quota import quota, rows_of
from wolke.core.work import wake_all
from wolke.network import errors, rbac
from wolke.network.logs.table import NetworkLog
from wolke.network.owners import GATEWAY, INTERFACE
from wolke.network.ports.table import Port, PortSecurityGroup
from wolke.network.routers.table import Router
from wolke.network.security_groups import rules
from wolke.network.security_groups.defaults import default_group, existing, furnish, templates
from wolke.network.security_groups.statefulness import stateful_by_default
from wolke.network.security_groups.table import (
    DefaultSecurityGroup,
    DefaultSecurityGroupRule,
    SecurityGroup,
    SecurityGroupRule,
)
from wolke.network.security_groups.wakes import touched, wake_groups
from wolke.network.service import Collection, CreateBody, UpdateBody, standard

quota("network", "security_group", 10, rows_of(SecurityGroup))


ON_ROUTERS = (INTERFACE, GATEWAY)  # owners of routers' ports that groups may be on


class SecurityGroupNotFound(NotFound):
    pass


class SecurityGroupInUse(Conflict):
    pass


class SecurityGroupConflict(Conflict):
    pass


class SecurityGroupDefaultAlreadyExists(Conflict):
    pass


class SecurityGroupCannotRemoveDefault(Conflict):
    pass


class SecurityGroupCannotUpdateDefault(Conflict):
    pass


# What the API takes and gives ---------------------------------------------------------------------------------------
class Create(CreateBody):
    stateful: bool | UnsetType = UNSET


class Update(UpdateBody):
    stateful: bool | UnsetType = UNSET


def views(ctx: Ctx, groups: Sequence[Any]) -> list[Json]:
    """Groups with their rules, which come in one more statement for the whole page."""
    held: dict[str, list[Json]] = {group.id: [] for group in groups}
    query = select(SecurityGroupRule.__table__).where(SecurityGroupRule.security_group_id.in_(held))
    defaults = select(DefaultSecurityGroup.group_id).where(DefaultSecurityGroup.group_id.in_(held))
    default = set(ctx.db.scalars(defaults))
    shared = rbac.shown(ctx, "security_group", list(held))
    for rule in ctx.db.execute(query.order_by(SecurityGroupRule.created_at, SecurityGroupRule.id)):
        held[rule.security_group_id].append(rules.view(rule, rule.security_group_id in default))
    return [
        standard(group)
        | {"stateful": group.stateful, "shared": group.id in shared, "security_group_rules": held[group.id]}
        for group in groups
    ]


class Groups(Collection[SecurityGroup]):
    def select(self, ctx: Ctx) -> Any:
        for project_id in self.looked_at(ctx):
            default_group(ctx, project_id)
        return super().select(ctx)

    @staticmethod
    def looked_at(ctx: Ctx) -> list[str]:
        """Projects whose default group has to be there now: the caller's, and one that an operator asks for."""
        asked = [ctx.query.get(name, "") for name in ("project_id", "tenant_id")] if ctx.caller.is_admin else []
        return [one for one in dict.fromkeys((ctx.caller.project_id, *asked)) if one and is_id(one)]


# What the calls do --------------------------------------------------------------------------------------------------
security_groups = Groups(
    "/v2.0/security-groups", "security_group", "security_groups", SecurityGroup, views=views, quota="security_group",
    error=SecurityGroupNotFound, title="Security group", visible=rbac.visible_to("security_group", SecurityGroup),
    filters={"shared": rbac.shared_filter("security_group", SecurityGroup)},
)  # fmt: skip


def users(db: Session, id: str) -> set[str]:
    """The projects that have ports or gateways in a group, or rules that point to it."""
    mine = PortSecurityGroup.group_id == id
    ports = select(Port.project_id).join(PortSecurityGroup, PortSecurityGroup.port_id == Port.id).where(mine)
    gateways = select(Router.project_id).join(Port, Port.device_id == Router.id)
    gateways = gateways.join(PortSecurityGroup, PortSecurityGroup.port_id == Port.id).where(mine)
    pointing = select(SecurityGroupRule.project_id).where(SecurityGroupRule.remote_group_id == id)
    return {one for query in (ports, gateways, pointing) for one in db.scalars(query.distinct())}


rbac.shareable("security_group", security_groups, {rbac.SHARED: users})


@security_groups.create
def create(ctx: Ctx, body: Create) -> SecurityGroup:
    owner = security_groups.project_of(ctx, body)
    default_group(ctx, owner)
    refuse_second_default(body.name)
    used = DefaultSecurityGroupRule.used_in_non_default_sg
    ctx.claim(owner, security_group_rule=templates(ctx.db, used))
    stateful = stateful_by_default(ctx.db, owner) if body.stateful is UNSET else body.stateful
    group = SecurityGroup(
        project_id=owner, name=body.name, description=body.description, stateful=stateful, created_at=ctx.now,
        updated_at=ctx.now,
    )  # fmt: skip
    ctx.db.add(group)
    ctx.db.flush()
    furnish(ctx.db, group, used)
    return group


@security_groups.update
def update(ctx: Ctx, group: SecurityGroup, body: Update) -> None:
    if existing(ctx.db, group.project_id) == group.id and body.name not in (UNSET, group.name):
        raise SecurityGroupCannotUpdateDefault("Updating default security group not allowed.")
    if body.name != group.name:
        refuse_second_default(body.name)
    if body.stateful not in (UNSET, group.stateful) and used(ctx, group.id):
        raise SecurityGroupInUse(f"Security Group {group.id} in use: stateful cannot be changed while ports use it.")
    take_over(group, body, "name", "description", "stateful")


@security_groups.delete
def remove(ctx: Ctx, group: SecurityGroup) -> None:
    if existing(ctx.db, group.project_id) == group.id and not ctx.caller.is_admin:
        raise SecurityGroupCannotRemoveDefault("Insufficient rights for removing default security group.")
    if used(ctx, group.id):
        raise SecurityGroupInUse(f"Security Group {group.id} in use.")
    pointing = SecurityGroupRule.remote_group_id == group.id
    others = set(ctx.db.scalars(select(SecurityGroupRule.security_group_id).where(pointing))) - {group.id}
    for other in ctx.db.scalars(select(SecurityGroup).where(SecurityGroup.id.in_(others))):
        touched(ctx, other)
    ctx.db.execute(delete(SecurityGroupRule).where(pointing | (SecurityGroupRule.security_group_id == group.id)))
    templated = DefaultSecurityGroupRule.remote_group_id == group.id
    ctx.db.execute(delete(DefaultSecurityGroupRule).where(templated))
    rbac.forget(ctx.db, "security_group", group.id)
    logs = list(ctx.db.scalars(select(NetworkLog.id).where(NetworkLog.resource_id == group.id)))
    ctx.db.execute(delete(NetworkLog).where(NetworkLog.id.in_(logs)))
    wake_all(ctx.db, [(NetworkLog.__tablename__, id) for id in logs])


def refuse_second_default(name: str | UnsetType) -> None:
    """The name belongs to the one group that each project has from the start."""
    if name is not UNSET and name.lower() == "default":
        raise SecurityGroupDefaultAlreadyExists("Default security group already exists.")


def used(ctx: Ctx, group_id: str) -> bool:
    return bool(ctx.db.scalar(select(func.count()).where(PortSecurityGroup.group_id == group_id)))


def usable(ctx: Ctx, project_id: str, ids: Sequence[str]) -> list[str]:
    """Groups that a project's port may have, as ids in the given order: its own, the caller's, and those shared with it.

    Raises
    ------
    SecurityGroupNotFound; SecurityGroupConflict: some are stateful and some are not
    """
    query = select(SecurityGroup.id, SecurityGroup.stateful).where(SecurityGroup.id.in_(ids))
    if not ctx.caller.is_admin:
        mine = SecurityGroup.project_id.in_([project_id, ctx.caller.project_id])
        query = query.where(mine | SecurityGroup.id.in_(rbac.shared_ids("security_group", project_id)))
    found = {row.id: row.stateful for row in ctx.db.execute(query)}
    for id in ids:
        if id not in found:
            raise security_groups.missing(id)
    if len(set(found.values())) > 1:
        raise mixed()
    return list(ids)


def mixed() -> SecurityGroupConflict:
    return SecurityGroupConflict(
        "Error Cannot apply both stateful and stateless security groups on the same port at the same time while attempting the"
        " operation."
    )


def refuse_mixed(db: Session, port_ids: Sequence[str]) -> None:
    """Raises SecurityGroupConflict: one of the ports has both stateful and stateless groups."""
    query = select(PortSecurityGroup.port_id).join(SecurityGroup, SecurityGroup.id == PortSecurityGroup.group_id)
    query = query.where(PortSecurityGroup.port_id.in_(port_ids)).group_by(PortSecurityGroup.port_id)
    if db.execute(query.having(func.count(SecurityGroup.stateful.distinct()) > 1).limit(1)).first():
        raise mixed()


# On ports ------------------------------------------------------------------------------------------------------------
def put_on(ctx: Ctx, port: Port, ids: Sequence[str], project_id: str = "") -> None:
    """Give a port exactly these groups. On a router's port there are none at first, and then everything may pass.

    ``project_id`` : whose groups they may be, where the port itself is nobody's (a gateway)
    Raises
    ------
    SecurityGroupNotFound, SecurityGroupConflict; PortSecurityAndIPRequiredForSecurityGroups: groups would mean nothing there
    """
    groups = list(dict.fromkeys(ids))
    router = port.device_owner in ON_ROUTERS
    if groups and not (port.port_security_enabled or router):
        raise errors.PortSecurityAndIPRequiredForSecurityGroups(
            "Port security must be enabled and port must have an IP address in order to use security groups."
        )
    usable(ctx, project_id or port.project_id, groups)
    take_off(ctx.db, port)
    ctx.db.add_all(PortSecurityGroup(port_id=port.id, group_id=group) for group in groups)
    ctx.db.flush()
    if router:
        wake_groups(ctx.db, groups)
        ctx.wake(Port.__tablename__, port.id)


def take_off(db: Session, port: Port) -> None:
    """The port has no groups any more; those that were on a router's port may have lost their last one."""
    mine = PortSecurityGroup.port_id == port.id
    if port.device_owner in ON_ROUTERS:
        wake_groups(db, db.scalars(select(PortSecurityGroup.group_id).where(mine)).all())
    db.execute(delete(PortSecurityGroup).where(mine))
