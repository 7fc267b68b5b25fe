"""Groups: users who share roles.

API: https://docs.openstack.org/api-ref/identity/v3/#groups
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType
from sqlalchemy import Select, select

from wolke.core import policy
from wolke.core.bodies import OpenBody
from wolke.core.db import Json
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.core.policy import Target
from wolke.identity.entities import Entities, changes, home_of
from wolke.identity.leaving import clear_actors
from wolke.identity.service import (
    Id,
    Name,
    domain_manager,
    domain_reader,
    identity,
    owner_or_domain_reader,
    taken,
    unknown,
)
from wolke.identity.table import Group, Membership, Project, User
from wolke.identity.users import users


# What the API takes and gives ----------------------------------------------------------------------------------------
class Create(OpenBody):
    name: Name
    description: str | None = None
    domain_id: Id | UnsetType | None = UNSET


class Update(OpenBody):
    name: Name | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    domain_id: str | UnsetType = UNSET


def view(group: Any, links: Json) -> Json:
    return {
        **group.extra, "id": group.id, "name": group.name, "domain_id": group.domain_id, "description": group.description,
        "links": links,
    }  # fmt: skip


groups = Entities(
    "/v3/groups", "group", "groups", Group, view,
    checks={
        "get": domain_reader, "list": domain_reader, "create": domain_manager, "update": domain_manager,
        "delete": domain_manager,
    },
    filters={"name": Group.name, "domain_id": Group.domain_id},
)  # fmt: skip
policy.rules(
    {
        "identity:list_users_in_group": domain_reader,
        "identity:list_groups_for_user": owner_or_domain_reader,
        "identity:check_user_in_group": domain_reader,
        "identity:add_user_to_group": domain_manager,
        "identity:remove_user_from_group": domain_manager,
    }
)


# What the calls do ---------------------------------------------------------------------------------------------------
@groups.create()
def create(ctx: Ctx, body: Create) -> Group:
    home = home_of(ctx, body.domain_id)
    ctx.require("identity:create_group", Target(domain_id=home))
    domain = ctx.db.get(Project, home)
    if domain is None or not domain.is_domain:
        raise unknown("domain", home)
    unique(ctx, body.name, home)
    return Group(name=body.name, domain_id=home, description=body.description or "", extra=body.extra)


def unique(ctx: Ctx, name: str, domain_id: str, id: str = "") -> None:
    here = (Group.name == name) & (Group.domain_id == domain_id) & (Group.id != id)
    if ctx.db.scalar(select(Group.id).where(here)):
        raise taken("group", name, domain_id)


@groups.update()
def update(ctx: Ctx, group: Group, body: Update) -> None:
    sent = changes(body)
    if sent.get("domain_id", group.domain_id) != group.domain_id:
        raise BadRequest("Cannot change Domain ID")
    if "name" in sent:
        unique(ctx, sent["name"], group.domain_id, group.id)
        group.name = sent["name"]
    if "description" in sent:
        group.description = sent["description"] or ""


@groups.delete
def remove(ctx: Ctx, group: Group) -> None:
    clear_actors(ctx.db, "group", [group.id])


# Membership ----------------------------------------------------------------------------------------------------------
MEMBERS = "/v3/groups/{group_id}/users"


def filtered(ctx: Ctx, query: Select[Any], name: Any) -> Select[Any]:
    return query.where(name == ctx.query["name"]) if "name" in ctx.query else query


@identity.call("GET", MEMBERS, rule="identity:list_users_in_group")
def members(ctx: Ctx) -> Json:
    """List the users of a group."""
    group = groups.find(ctx, "identity:list_users_in_group")
    inside = select(Membership.user_id).where(Membership.group_id == group.id)
    query = filtered(ctx, select(User).where(User.id.in_(inside)).order_by(User.name), User.name)
    shown = users.enclosed(ctx, list(ctx.db.scalars(query)))
    return shown | {"links": {"self": f"{ctx.base}/v3/groups/{group.id}/users", "next": None, "previous": None}}


@identity.call("GET", "/v3/users/{user_id}/groups", rule="identity:list_groups_for_user")
def of_user(ctx: Ctx) -> Json:
    """List the groups of a user."""
    user = users.find(ctx, "identity:list_groups_for_user")
    mine = select(Membership.group_id).where(Membership.user_id == user.id)
    query = filtered(ctx, select(Group).where(Group.id.in_(mine)).order_by(Group.name), Group.name)
    shown = groups.enclosed(ctx, list(ctx.db.scalars(query)))
    return shown | {"links": {"self": f"{ctx.base}/v3/users/{user.id}/groups", "next": None, "previous": None}}


def pair(ctx: Ctx, rule: str) -> tuple[Group, User]:
    """The group and the user of the path; the rule must hold for both."""
    return groups.find(ctx, rule), users.find(ctx, rule)


@identity.call("GET", MEMBERS + "/{user_id}", rule="identity:check_user_in_group", status=204)
def check(ctx: Ctx) -> None:
    """Whether a user is in a group."""
    group, user = pair(ctx, "identity:check_user_in_group")
    if ctx.db.get(Membership, (group.id, user.id)) is None:
        raise unknown(f"user in group {group.id}", user.id)


@identity.call("PUT", MEMBERS + "/{user_id}", rule="identity:add_user_to_group", status=204)
def add(ctx: Ctx) -> None:
    """Put a user into a group."""
    group, user = pair(ctx, "identity:add_user_to_group")
    ctx.db.merge(Membership(group_id=group.id, user_id=user.id))
    ctx.about(group)


@identity.call("DELETE", MEMBERS + "/{user_id}", rule="identity:remove_user_from_group", status=204)
def take_out(ctx: Ctx) -> None:
    """Take a user out of a group."""
    group, user = pair(ctx, "identity:remove_user_from_group")
    membership = ctx.db.get(Membership, (group.id, user.id))
    if membership is None:
        raise unknown(f"user in group {group.id}", user.id)
    ctx.db.delete(membership)
    ctx.about(group)
