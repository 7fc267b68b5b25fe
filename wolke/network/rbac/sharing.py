"""What every shareable resource asks: who sees it, whether it is shown as shared, and who would be left without it.

A resource declares itself once with ``shareable`` and then

- gives its Collection ``visible=rbac.visible_to("qos_policy", QosPolicy)`` and the filter ``{"shared": rbac.shared_filter(...)}``;
- shows ``"shared": thing.id in rbac.shown(ctx, "qos_policy", ids)``;
- calls ``rbac.share`` where ``shared`` is given in a body, and ``rbac.forget`` when a thing is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import flag_modified

from wolke.core.db import Resource
from wolke.core.errors import Conflict
from wolke.core.http import Ctx
from wolke.core.parameters import truth
from wolke.network.rbac.table import EVERYBODY, SHARED, RbacPolicy
from wolke.network.service import Collection

FEW = 50  # ids that are asked for by name
Users = Callable[[Session, str], Iterable[str]]  # id of a thing -> projects that use it


class RbacPolicyInUse(Conflict):
    """A project uses what was shared with it."""


@dataclass(frozen=True, slots=True)
class Shareable:
    """A kind of thing that may be shared.

    ``users`` : for each action that there is, which projects use a thing by its grace (ports, subnets, gateways, rules ...); the owner
    may stand among them. ``changed`` : told in the transaction when somebody is given or loses access, with whether everybody has it now.
    ``marks`` : boolean columns that say "with everybody" for an action; for clouds that are older than policies.
    """

    collection: Collection[Any]
    users: Mapping[str, Users]
    changed: Callable[[Ctx, Any, str, bool], None] | None = None
    marks: Mapping[str, ColumnElement[bool]] = field(default_factory=dict)


KINDS: dict[str, Shareable] = {}


def shareable(
    kind: str,
    collection: Collection[Any],
    users: Mapping[str, Users],
    **more: Any,
) -> None:
    """Declare that things of a collection may be shared; ``kind`` as RBAC's object_type spells it, ``more`` as of ``Shareable``."""
    KINDS[kind] = Shareable(collection, users, **more)


# Who sees what -------------------------------------------------------------------------------------------------------
def visible(ctx: Ctx, kind: str, id: Any, *actions: str) -> ColumnElement[bool]:
    """A condition on a column of ids: the thing is shared with the caller's project or with everybody.

    ``actions`` : any of these; without, ``access_as_shared``
    """
    condition: ColumnElement[bool] = id.in_(shared_ids(kind, ctx.caller.project_id, *actions))
    return condition


def shared_ids(kind: str, project_id: str, *actions: str) -> Any:
    """Select of the ids that are shared with a project, by name or with everybody."""
    query = select(RbacPolicy.object_id).where(RbacPolicy.object_type == kind)
    query = query.where(RbacPolicy.action.in_(actions or (SHARED,)))
    return query.where(RbacPolicy.target_project.in_((EVERYBODY, project_id)))


def visible_to(kind: str, table: type[Resource]) -> Callable[[Ctx], ColumnElement[bool]]:
    """``visible=`` of a Collection whose things are seen by those whom they are shared with."""
    return lambda ctx: visible(ctx, kind, table.id)


def shared_filter(kind: str, table: type[Resource]) -> Callable[[Ctx, list[str]], ColumnElement[bool]]:
    """The filter ``shared=`` of a Collection."""

    def asked(ctx: Ctx, values: list[str]) -> ColumnElement[bool]:
        wanted = [truth("shared", value) for value in values]
        condition = visible(ctx, kind, table.id)
        return condition if any(wanted) else ~condition

    return asked


def shown(ctx: Ctx, kind: str, ids: Sequence[str], action: str = SHARED) -> set[str]:
    """Which of some things are shared with the caller's project or with everybody: what ``shared`` shows."""
    return shared_with(ctx.db, kind, ids, ctx.caller.project_id, action)


def shared_with(db: Session, kind: str, ids: Sequence[str], project_id: str, action: str = SHARED) -> set[str]:
    """Which of some things are shared with a project, by name or with everybody."""
    if not ids:
        return set()
    query = shared_ids(kind, project_id, action)
    if len(ids) > FEW:  # what is shared at all is less than a page of what there is
        return set(db.scalars(query)) & set(ids)
    return set(db.scalars(query.where(RbacPolicy.object_id.in_(ids))))


# Who has access --------------------------------------------------------------------------------------------------------
def targets(db: Session, kind: str, id: str, action: str = SHARED) -> set[str]:
    """The projects that a thing is shared with, with EVERYBODY among them."""
    query = select(RbacPolicy.target_project).where(RbacPolicy.object_type == kind, RbacPolicy.object_id == id)
    return set(db.scalars(query.where(RbacPolicy.action == action)))


def share(ctx: Ctx, kind: str, thing: Any, everybody: bool, action: str = SHARED) -> None:
    """Make a thing everybody's, or take that back, as ``shared`` of its own API says.

    Raises
    ------
    RbacPolicyInUse: a project would lose what it uses
    """
    has = targets(ctx.db, kind, thing.id, action)
    if everybody and EVERYBODY not in has:
        give(ctx, kind, thing, EVERYBODY, action, thing.project_id)
    elif not everybody and EVERYBODY in has:
        refuse_in_use(ctx, kind, thing, action, EVERYBODY)
        mine = (RbacPolicy.object_type == kind) & (RbacPolicy.object_id == thing.id) & (RbacPolicy.action == action)
        ctx.db.execute(delete(RbacPolicy).where(mine & (RbacPolicy.target_project == EVERYBODY)))
        tell(ctx, kind, thing, action)


def close(ctx: Ctx, kind: str, thing: Any, action: str) -> None:
    """Take every access of a kind back; that nobody uses it has been asked."""
    mine = (RbacPolicy.object_type == kind) & (RbacPolicy.object_id == thing.id) & (RbacPolicy.action == action)
    ctx.db.execute(delete(RbacPolicy).where(mine))


def give(ctx: Ctx, kind: str, thing: Any, target: str, action: str, project_id: str) -> RbacPolicy:
    made = RbacPolicy(object_type=kind, object_id=thing.id, action=action, target_project=target, project_id=project_id)
    made.created_at = made.updated_at = ctx.now
    ctx.db.add(made)
    ctx.db.flush()
    tell(ctx, kind, thing, action)
    return made


def tell(ctx: Ctx, kind: str, thing: Any, action: str, *, without: str = "") -> None:
    """Whom a thing is shared with is a change of the thing. ``without`` : a target that is about to lose access."""
    listener = KINDS[kind].changed
    if listener:
        listener(ctx, thing, action, EVERYBODY in targets(ctx.db, kind, thing.id, action) - {without})
    flag_modified(thing, "updated_at")  # which counts its revision


def refuse_in_use(ctx: Ctx, kind: str, thing: Any, action: str, target: str, instead: str = "") -> None:
    """Raises RbacPolicyInUse: without this policy (``instead`` of it, one for another project) somebody would lose what he uses."""
    left = (targets(ctx.db, kind, thing.id, action) - {target}) | ({instead} if instead else set())
    if EVERYBODY in left:
        return
    using = {*KINDS[kind].users[action](ctx.db, thing.id)} - {thing.project_id, ""}
    losing = using - left if target == EVERYBODY else using & {target}
    if losing:
        # whoever shares with everybody does not learn who they are
        named = f", among them {min(losing)}" if ctx.caller.is_admin or target != EVERYBODY else ""
        raise RbacPolicyInUse(
            f"RBAC policy on object {thing.id} cannot be removed because other objects depend on it.\n"
            f"Details: {len(losing)} project(s) that this policy gives access to use {kind} {thing.id}{named}."
        )


def forget(db: Session, kind: str, id: str) -> None:
    """A thing is deleted: nobody has access to it any more."""
    db.execute(delete(RbacPolicy).where(RbacPolicy.object_type == kind, RbacPolicy.object_id == id))
