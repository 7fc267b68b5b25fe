"""Default security group rules: the templates of what new groups start with. Groups that are there already stay as they are.

API:  https://docs.openstack.org/api-ref/network/v2/#security-group-default-rules
"""

from __future__ import annotations

from typing import Any

from wolke.core import policy
from wolke.core.auth import Caller
from wolke.core.bodies import Text255
from wolke.core.collection import Rules
from wolke.core.db import Json
from wolke.core.errors import Conflict, NotFound
from wolke.core.http import Ctx
from wolke.network.security_groups import spec
from wolke.network.security_groups.defaults import first_templates
from wolke.network.security_groups.rules import check_remotes
from wolke.network.security_groups.table import PARENT, DefaultSecurityGroupRule
from wolke.network.service import Collection


class DefaultSecurityGroupRuleNotFound(NotFound):
    pass


class DefaultSecurityGroupRuleExists(Conflict):
    pass


# What the API takes and gives ---------------------------------------------------------------------------------------
class Create(spec.Spec, kw_only=True):
    description: Text255 = ""
    used_in_default_sg: bool = False
    used_in_non_default_sg: bool = True


def view(rule: Any) -> Json:
    return {"id": rule.id, "description": rule.description} | spec.shown(rule) | {
        "used_in_default_sg": rule.used_in_default_sg,
        "used_in_non_default_sg": rule.used_in_non_default_sg,
    }  # fmt: skip


def everybody(caller: Caller, target: Any) -> bool:
    """Whoever may read anything: the templates belong to no project."""
    return policy.admin(caller, target) or "reader" in caller.roles


# What the calls do --------------------------------------------------------------------------------------------------
class Templates(Collection[DefaultSecurityGroupRule]):
    def project_of(self, ctx: Ctx, body: Any) -> str:
        return ""


rules = Templates(
    "/v2.0/default-security-group-rules", "default_security_group_rule", "default_security_group_rules",
    DefaultSecurityGroupRule, view, wakes="", error=DefaultSecurityGroupRuleNotFound, title="Default Security Group rule",
    rules=Rules(read=everybody, create=policy.admin, update=policy.admin, delete=policy.admin),
    private=("seen_revision", "deleting", "name", "project_id", "revision"),
)  # fmt: skip


@rules.create
def create(ctx: Ctx, body: Create) -> DefaultSecurityGroupRule:
    meaning = spec.canonical(body)
    if meaning["remote_group_id"] != PARENT:
        check_remotes(ctx, body)
    table = DefaultSecurityGroupRule
    for used, name in (
        (body.used_in_default_sg, "used_in_default_sg"),
        (body.used_in_non_default_sg, "used_in_non_default_sg"),
    ):
        alive = getattr(table, name) & table.deleting.is_(False)
        if used and (twin := spec.twin(ctx, table, meaning, alive)):
            raise DefaultSecurityGroupRuleExists(f"Default Security group rule already exists. Rule id is {twin}.")
    return DefaultSecurityGroupRule(
        description=body.description, used_in_default_sg=body.used_in_default_sg,
        used_in_non_default_sg=body.used_in_non_default_sg, **meaning,
    )  # fmt: skip


@rules.delete
def remove(ctx: Ctx, rule: DefaultSecurityGroupRule) -> None:
    rule.deleting = rule.id in {one.id for one in first_templates()}
