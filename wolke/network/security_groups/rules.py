"""Security group rules.

API:  https://docs.openstack.org/api-ref/network/v2/#security-group-rules-security-group-rules
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, exists, or_, select

from wolke.core.bodies import UNSET, Text255, UnsetType
from wolke.core.db import Json
from wolke.core.errors import BadRequest, Conflict, NotFound
from wolke.core.http import Ctx
from wolke.core.parameters import truth
from wolke.core.quota import quota, rows_of
from wolke.network import rbac
from wolke.network.security_groups import spec
from wolke.network.security_groups.table import DefaultSecurityGroup, SecurityGroup, SecurityGroupRule
from wolke.network.security_groups.wakes import touched
from wolke.network.service import Collection, standard

quota("network", "security_group_rule", 100, rows_of(SecurityGroupRule))


class SecurityGroupRuleNotFound(NotFound):
    pass


class SecurityGroupRuleExists(Conflict):
    pass


class DuplicateSecurityGroupRuleInPost(Conflict):
    pass


class SecurityGroupNotSingleGroupRules(BadRequest):
    pass


# What the API takes and gives ---------------------------------------------------------------------------------------
class Create(spec.Spec, kw_only=True):
    security_group_id: Text255
    description: Text255 = ""
    project_id: Text255 | UnsetType = UNSET
    tenant_id: Text255 | UnsetType = UNSET


def views(ctx: Ctx, rules: Sequence[Any]) -> list[Json]:
    groups = {rule.security_group_id for rule in rules}
    defaults = select(DefaultSecurityGroup.group_id).where(DefaultSecurityGroup.group_id.in_(groups))
    default = set(ctx.db.scalars(defaults)) if groups else set()
    return [view(rule, rule.security_group_id in default) for rule in rules]


def view(rule: Any, of_default: bool) -> Json:
    shown = standard(rule)
    del shown["name"], shown["tags"]
    return shown | spec.shown(rule) | {
        "security_group_id": rule.security_group_id,
        "normalized_cidr": spec.normalized(rule.remote_ip_prefix),
        "belongs_to_default_sg": of_default,
    }  # fmt: skip


def by_default(ctx: Ctx, values: list[str]) -> ColumnElement[bool]:
    """``belongs_to_default_sg=``"""
    asked = [truth("belongs_to_default_sg", value) for value in values]
    within = exists().where(DefaultSecurityGroup.group_id == SecurityGroupRule.security_group_id)
    return or_(*(within if one else ~within for one in asked))


def by_cidr(ctx: Ctx, values: list[str]) -> ColumnElement[bool]:
    """``normalized_cidr=``: whichever of its addresses a rule's prefix was given with."""
    prefix = SecurityGroupRule.remote_ip_prefix
    given = ctx.db.scalars(select(prefix).where(prefix.is_not(None)).distinct())
    return prefix.in_([one for one in given if spec.normalized(one) in values])


def visible(ctx: Ctx) -> ColumnElement[bool]:
    """Who may use a group may read what it says."""
    return rbac.visible(ctx, "security_group", SecurityGroupRule.security_group_id)


# What the calls do --------------------------------------------------------------------------------------------------
class Rules(Collection[SecurityGroupRule]):
    def select(self, ctx: Ctx) -> Any:
        from wolke.network.security_groups.defaults import default_group

        if ctx.caller.project_id:
            default_group(ctx, ctx.caller.project_id)
        return super().select(ctx)


security_group_rules = Rules(
    "/v2.0/security-group-rules", "security_group_rule", "security_group_rules", SecurityGroupRule, views=views, wakes="",
    error=SecurityGroupRuleNotFound, title="Security group rule", quota="security_group_rule", visible=visible,
    filters={"belongs_to_default_sg": by_default, "normalized_cidr": by_cidr},
)  # fmt: skip


@security_group_rules.create
def create(ctx: Ctx, body: Create) -> SecurityGroupRule:
    from wolke.network.security_groups.groups import security_groups

    meaning = spec.canonical(body)
    group = security_groups.find(ctx, body.security_group_id, "update_security_group")
    one_group_only(ctx, group.id)
    check_remotes(ctx, body)
    mine = SecurityGroupRule.security_group_id == group.id
    made: set[str] = ctx.db.info.setdefault("rules made", set())
    if twin := spec.twin(ctx, SecurityGroupRule, meaning, mine):
        if twin in made:
            raise DuplicateSecurityGroupRuleInPost("Duplicate Security Group Rule in POST.")
        raise SecurityGroupRuleExists(f"Security group rule already exists. Rule id is {twin}.")
    rule = SecurityGroupRule(
        project_id=group.project_id, description=body.description, security_group_id=group.id, created_at=ctx.now,
        updated_at=ctx.now, **meaning,
    )  # fmt: skip
    ctx.db.add(rule)
    ctx.db.flush()
    made.add(rule.id)
    touched(ctx, group)
    return rule


def one_group_only(ctx: Ctx, group_id: str) -> None:
    """Raises SecurityGroupNotSingleGroupRules: one call makes rules of several groups."""
    if ctx.db.info.setdefault("rules of", group_id) != group_id:
        raise SecurityGroupNotSingleGroupRules(
            "Only allowed to update rules for one security profile at a time (security_group_id)"
        )


def check_remotes(ctx: Ctx, body: spec.Spec) -> None:
    """Raises SecurityGroupNotFound, AddressGroupNotFound: the caller sees no such group."""
    from wolke.network.address_groups.api import address_groups
    from wolke.network.security_groups.groups import security_groups

    for collection, id in ((security_groups, body.remote_group_id), (address_groups, body.remote_address_group_id)):
        if id and not isinstance(id, UnsetType):
            collection.seen(ctx, id)


@security_group_rules.delete
def remove(ctx: Ctx, rule: SecurityGroupRule) -> None:
    group = ctx.db.get(SecurityGroup, rule.security_group_id, with_for_update=True)
    assert group
    touched(ctx, group)
