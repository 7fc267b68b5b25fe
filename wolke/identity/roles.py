"""Roles, of the whole cloud or of one domain, and what they imply.

API: https://docs.openstack.org/api-ref/identity/v3/#roles
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType
from sqlalchemy import Select, select

from wolke.core import policy
from wolke.core.bodies import OpenBody
from wolke.core.db import Json
from wolke.core.errors import BadRequest, Conflict, Forbidden
from wolke.core.http import Answer, Ctx
from wolke.core.policy import Target
from wolke.identity.authority import closure, implications
from wolke.identity.entities import Entities, changes, options
from wolke.identity.service import (
    Id,
    Name,
    admin,
    domain_role_reader,
    identity,
    immutable,
    system_reader,
    taken,
    unknown,
)
from wolke.identity.table import ApplicationCredential, ImpliedRole, Project, Role

OPTIONS = {"immutable": bool}


# What the API takes and gives ----------------------------------------------------------------------------------------
class Create(OpenBody):
    name: Name
    description: str | None = None
    domain_id: Id | UnsetType | None = UNSET
    options: dict[str, Any] = {}


class Update(OpenBody):
    name: Name | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    options: dict[str, Any] | UnsetType = UNSET
    domain_id: str | UnsetType | None = UNSET


def view(role: Any, links: Json) -> Json:
    return {
        **role.extra, "id": role.id, "name": role.name, "domain_id": role.domain_id or None,
        "description": role.description or None, "options": role.options, "links": links,
    }  # fmt: skip


def narrow(ctx: Ctx, query: Select[Any]) -> Select[Any]:
    """Without ``domain_id``: the roles of the whole cloud."""
    return query if "domain_id" in ctx.query else query.where(Role.domain_id == "")


roles = Entities(
    "/v3/roles", "role", "roles", Role, view, narrow=narrow,
    seen=lambda ctx: Role.domain_id.in_(("", ctx.caller.domain_id)),
    checks={
        "get": domain_role_reader, "list": domain_role_reader, "create": admin, "update": admin, "delete": admin,
    },
    filters={"name": Role.name, "domain_id": Role.domain_id},
)  # fmt: skip
policy.rules(
    {
        "identity:list_role_inference_rules": system_reader,
        "identity:list_implied_roles": system_reader,
        "identity:get_implied_role": system_reader,
        "identity:check_implied_role": system_reader,
        "identity:create_implied_role": admin,
        "identity:delete_implied_role": admin,
    }
)


# What the calls do ---------------------------------------------------------------------------------------------------
@roles.create()
def create(ctx: Ctx, body: Create) -> Role:
    domain = body.domain_id if isinstance(body.domain_id, str) else ""
    ctx.require("identity:create_role", Target(domain_id=domain))
    found = ctx.db.get(Project, domain) if domain else None
    if domain and (found is None or not found.is_domain):
        raise unknown("domain", domain)
    unique(ctx, body.name, domain)
    return Role(
        name=body.name, domain_id=domain, description=body.description or "", extra=body.extra,
        options=options(OPTIONS, body.options, {}),
    )  # fmt: skip


def unique(ctx: Ctx, name: str, domain_id: str, id: str = "") -> None:
    if ctx.db.scalar(select(Role.id).where(Role.name == name, Role.domain_id == domain_id, Role.id != id)):
        raise taken("role", name, domain_id)


@roles.update()
def update(ctx: Ctx, role: Role, body: Update) -> None:
    sent = changes(body)
    immutable(role, "role", {**sent, **body.extra})
    if (sent.get("domain_id", role.domain_id) or "") != role.domain_id:
        raise BadRequest("Cannot change Domain ID")
    if "name" in sent:
        unique(ctx, sent["name"], role.domain_id, role.id)
        role.name = sent["name"]
    if "description" in sent:
        role.description = sent["description"] or ""
    if "options" in sent:
        role.options = options(OPTIONS, sent["options"], role.options)


@roles.delete
def remove(ctx: Ctx, role: Role) -> None:
    """Application credentials that were made with the role would never be good again: they go too."""
    immutable(role, "role")
    for credential in ctx.db.scalars(select(ApplicationCredential)):
        if role.id in credential.role_ids:
            ctx.db.delete(credential)


# Implied roles -------------------------------------------------------------------------------------------------------
IMPLIES = "/v3/roles/{role_id}/implies"


def brief(ctx: Ctx, role: Role) -> Json:
    return {
        "id": role.id, "name": role.name, "description": role.description or None, "domain_id": role.domain_id or None,
        "links": {"self": f"{ctx.base}/v3/roles/{role.id}"},
    }  # fmt: skip


def inference(ctx: Ctx, prior: Role, implied: Role) -> Json:
    return {
        "role_inference": {"prior_role": brief(ctx, prior), "implies": brief(ctx, implied)},
        "links": {"self": f"{ctx.base}/v3/roles/{prior.id}/implies/{implied.id}"},
    }


def implied_by(ctx: Ctx, prior: Role) -> list[Role]:
    ids = select(ImpliedRole.implied_id).where(ImpliedRole.prior_id == prior.id)
    return list(ctx.db.scalars(select(Role).where(Role.id.in_(ids)).order_by(Role.name)))


@identity.call("GET", "/v3/role_inferences", rule="identity:list_role_inference_rules")
def inferences(ctx: Ctx) -> Json:
    """List what all roles imply."""
    ctx.require("identity:list_role_inference_rules", Target())
    priors = ctx.db.scalars(select(Role).where(Role.id.in_(select(ImpliedRole.prior_id))).order_by(Role.name))
    shown = [
        {"prior_role": brief(ctx, prior), "implies": [brief(ctx, one) for one in implied_by(ctx, prior)]}
        for prior in priors
    ]
    return {"role_inferences": shown, "links": {"self": f"{ctx.base}/v3/role_inferences"}}


@identity.call("GET", IMPLIES, rule="identity:list_implied_roles")
def list_implied(ctx: Ctx) -> Json:
    """List what a role implies."""
    prior = roles.find(ctx, "identity:list_implied_roles")
    shown = {"prior_role": brief(ctx, prior), "implies": [brief(ctx, one) for one in implied_by(ctx, prior)]}
    return {"role_inference": shown, "links": {"self": f"{ctx.base}/v3/roles/{prior.id}/implies"}}


def both(ctx: Ctx, rule: str) -> tuple[Role, Role]:
    return roles.find(ctx, rule), roles.find(ctx, rule, ctx.path["implied_role_id"])


@identity.call("PUT", IMPLIES + "/{implied_role_id}", rule="identity:create_implied_role", status=201)
def imply(ctx: Ctx) -> Json:
    """Let one role imply another."""
    prior, implied = both(ctx, "identity:create_implied_role")
    if implied.name == "admin" and not implied.domain_id:
        raise Forbidden(f"Role {implied.id} (admin) cannot be an implied role.")
    if implied.domain_id and not prior.domain_id:
        raise Forbidden(
            f"Role {implied.id} cannot be implied by role {prior.id} of the whole cloud: it belongs to a domain."
        )
    if prior.id in closure([implied.id], implications(ctx.db)):
        raise BadRequest(f"Invalid input for implied_role_id: role {implied.id} implies role {prior.id} already")
    if ctx.db.get(ImpliedRole, (prior.id, implied.id)):
        raise Conflict(f"Role {prior.id} implies role {implied.id} already.")
    ctx.db.add(ImpliedRole(prior_id=prior.id, implied_id=implied.id))
    ctx.about(prior)
    return inference(ctx, prior, implied)


def rule_of(ctx: Ctx, name: str) -> tuple[Role, Role, ImpliedRole]:
    prior, implied = both(ctx, name)
    found = ctx.db.get(ImpliedRole, (prior.id, implied.id))
    if found is None:
        raise unknown(f"implied role of {prior.id}", implied.id)
    return prior, implied, found


@identity.call("GET", IMPLIES + "/{implied_role_id}", rule="identity:get_implied_role")
def show_implied(ctx: Ctx) -> Json:
    """Show that a role implies another."""
    prior, implied, _ = rule_of(ctx, "identity:get_implied_role")
    return inference(ctx, prior, implied)


@identity.call("HEAD", IMPLIES + "/{implied_role_id}", rule="identity:check_implied_role", status=204)
def check_implied(ctx: Ctx) -> Answer:
    """Whether a role implies another."""
    rule_of(ctx, "identity:check_implied_role")
    return Answer(None)


@identity.call("DELETE", IMPLIES + "/{implied_role_id}", rule="identity:delete_implied_role", status=204)
def imply_no_more(ctx: Ctx) -> None:
    """Let a role no longer imply another."""
    prior, _, found = rule_of(ctx, "identity:delete_implied_role")
    ctx.db.delete(found)
    ctx.about(prior)
