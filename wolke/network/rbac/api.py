"""RBAC policies.

API: https://docs.openstack.org/api-ref/network/v2/#rbac-policies
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType
from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.core import policy
from wolke.core.bodies import Body, Text255
from wolke.core.db import Json, is_id, lock
from wolke.core.errors import BadRequest, Conflict, NotFound
from wolke.core.http import Ctx
from wolke.core.quota import quota, rows_of
from wolke.network import errors
from wolke.network.rbac import sharing
from wolke.network.rbac.table import EVERYBODY, RbacPolicy
from wolke.network.service import Collection

quota("network", "rbac_policy", 10, rows_of(RbacPolicy))


class RbacPolicyNotFound(NotFound):
    pass


class DuplicateRbacPolicy(Conflict):
    pass


# What the API takes and gives ----------------------------------------------------------------------------------------
class Create(Body):
    object_type: Text255
    object_id: Text255
    action: Text255
    target_tenant: Text255 | UnsetType = UNSET
    target_project: Text255 | UnsetType = UNSET
    project_id: Text255 | UnsetType = UNSET
    tenant_id: Text255 | UnsetType = UNSET


class Update(Body):
    target_tenant: Text255 | UnsetType = UNSET
    target_project: Text255 | UnsetType = UNSET


def view(one: Any) -> Json:
    return {
        "id": one.id,
        "project_id": one.project_id,
        "tenant_id": one.project_id,
        "object_type": one.object_type,
        "object_id": one.object_id,
        "action": one.action,
        "target_tenant": one.target_project,
    }


def target_of(body: Create | Update) -> str:
    """Raises InvalidInput: it is no project; BadRequest: none is given, or two."""
    given = {one for one in (body.target_tenant, body.target_project) if one is not UNSET}
    if len(given) != 1:
        raise BadRequest("Invalid input for target_tenant: give the id of one project, or '*' for all.")
    target = str(given.pop())
    if target != EVERYBODY and not is_id(target):
        raise errors.InvalidInput(
            f"'{target}' is not a valid target project ID; expected a UUID or '{EVERYBODY}' (target_tenant)"
        )
    return target


def kind_of(body: Create) -> str:
    """Raises InvalidInput: nothing of this type can be shared, or not in this way."""
    kind = body.object_type.strip().lower()
    if kind not in sharing.KINDS:
        raise errors.InvalidInput(
            f"'{body.object_type}' is not a valid RBAC object type: use one of {', '.join(sorted(sharing.KINDS))}"
        )
    if body.action not in (known := sharing.KINDS[kind].users):
        raise errors.InvalidInput(
            f"action must be one of {', '.join(sorted(known))} for object type {kind}, not '{body.action}'"
        )
    return kind


# What the calls do ---------------------------------------------------------------------------------------------------
class Policies(Collection[RbacPolicy]):
    def guard_new(self, ctx: Ctx, body: Any, target: policy.Target) -> None:
        if target_of(body) == EVERYBODY:
            ctx.require("create_rbac_policy:target_project", target)


policies = Policies(
    "/v2.0/rbac-policies", "rbac_policy", "rbac_policies", RbacPolicy, view, quota="rbac_policy", wakes="",
    columns={"target_tenant": "target_project"}, error=RbacPolicyNotFound, title="RBAC policy",
    private=("seen_revision", "deleting", "name", "revision", "created_at", "updated_at"),
)  # fmt: skip
# with whom: anybody may share with a project by its id, only an operator with everybody
policy.rule("create_rbac_policy:target_project", policy.admin)
policy.rule("update_rbac_policy:target_project", policy.admin)


@policies.create
def create(ctx: Ctx, body: Create) -> RbacPolicy:
    kind, target = kind_of(body), target_of(body)
    thing = owned(ctx, kind, body.object_id)
    refuse_twin(ctx, kind, thing.id, body.action, target)
    return sharing.give(ctx, kind, thing, target, body.action, policies.project_of(ctx, body))


@policies.update
def update(ctx: Ctx, one: RbacPolicy, body: Update) -> None:
    if body == Update():
        return
    target = target_of(body)
    if target == EVERYBODY:
        ctx.require("update_rbac_policy:target_project", one)
    if target == one.target_project:
        return
    thing = owned(ctx, one.object_type, one.object_id)
    refuse_twin(ctx, one.object_type, one.object_id, one.action, target)
    sharing.refuse_in_use(ctx, one.object_type, thing, one.action, one.target_project, instead=target)
    one.target_project = target
    ctx.db.flush()
    sharing.tell(ctx, one.object_type, thing, one.action)


@policies.delete
def remove(ctx: Ctx, one: RbacPolicy) -> None:
    thing = held(ctx, one.object_type, one.object_id)
    if thing is None:
        return
    sharing.refuse_in_use(ctx, one.object_type, thing, one.action, one.target_project)
    sharing.tell(ctx, one.object_type, thing, one.action, without=one.target_project)


def held(ctx: Ctx, kind: str, id: str) -> Any:
    """The thing, alone with it until the transaction ends: nobody begins to use it while it is looked at."""
    lock(ctx.db, f"{kind}/{id}")
    return ctx.db.get(sharing.KINDS[kind].collection.table, id, with_for_update=True)


def owned(ctx: Ctx, kind: str, id: str) -> Any:
    """A thing that the caller may share: his own. Raises NotFound, InvalidInput."""
    collection = sharing.KINDS[kind].collection
    collection.seen(ctx, id)
    thing = held(ctx, kind, id)
    if thing is None:
        raise collection.missing(id)
    if thing.project_id != ctx.caller.project_id and not ctx.caller.is_admin:
        raise errors.InvalidInput("Only admins can manipulate policies on objects they do not own (object_id)")
    return thing


def refuse_twin(ctx: Ctx, kind: str, id: str, action: str, target: str) -> None:
    if target in sharing.targets(ctx.db, kind, id, action):
        raise DuplicateRbacPolicy("An RBAC policy already exists with those values.")


def bootstrap(db: Session) -> None:
    """Policies of what was shared before there were any, by a mark of its own."""
    for kind, one in sharing.KINDS.items():
        table = one.collection.table
        for action, mark in one.marks.items():
            told = select(RbacPolicy.object_id).where(RbacPolicy.object_type == kind, RbacPolicy.action == action)
            marked = select(table.id, table.project_id).where(mark, table.id.not_in(told))
            db.add_all(
                RbacPolicy(object_type=kind, object_id=id, action=action, target_project=EVERYBODY, project_id=owner)
                for id, owner in db.execute(marked).all()
            )
