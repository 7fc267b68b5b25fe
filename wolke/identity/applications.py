"""Application credentials: a part of one's own roles on one project, lent to a program, with access rules if wanted.

API: https://docs.openstack.org/api-ref/identity/v3/#application-credentials
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from wolke.core import policy
from wolke.core.app import App
from wolke.core.auth import Caller
from wolke.core.bodies import envelope
from wolke.core.db import Json, iso, unix
from wolke.core.errors import BadRequest, Conflict, Forbidden
from wolke.core.http import Ctx
from wolke.core.policy import Target
from wolke.identity import passwords
from wolke.identity.authority import Scope, roles_in
from wolke.identity.service import Id, Name, identity, owner, owner_or_admin, owner_or_system_reader, unknown
from wolke.identity.table import AccessRuleRow, ApplicationCredential, Role, User

PATH = "/v3/users/{user_id}/application_credentials"
RULES = "/v3/users/{user_id}/access_rules"
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


# What the API takes and gives ----------------------------------------------------------------------------------------
class RoleRef(Struct):
    id: Id | UnsetType = UNSET
    name: Name | UnsetType = UNSET


class RuleRef(Struct, forbid_unknown_fields=True):
    id: Id | UnsetType = UNSET
    service: Name | UnsetType = UNSET
    method: Method | UnsetType = UNSET
    path: Annotated[str, Meta(min_length=1, max_length=128)] | UnsetType = UNSET


class Create(Struct):
    name: Name
    secret: Annotated[str, Meta(min_length=1, max_length=4096)] | UnsetType | None = UNSET
    description: str | None = None
    expires_at: str | None = None
    roles: list[RoleRef] | UnsetType = UNSET
    unrestricted: bool | None = None
    access_rules: list[RuleRef] | UnsetType = UNSET


def view(ctx: Ctx, credential: ApplicationCredential) -> Json:
    known = ctx.db.scalars(select(Role).where(Role.id.in_(credential.role_ids)).order_by(Role.name))
    shown: Json = {
        "id": credential.id, "name": credential.name, "description": credential.description or None,
        "project_id": credential.project_id, "user_id": credential.user_id, "system": None,
        "expires_at": iso(credential.expires_at, micro=True)[:-1] if credential.expires_at else None,
        "unrestricted": credential.unrestricted,
        "roles": [{"id": role.id, "name": role.name, "domain_id": role.domain_id or None} for role in known],
        "links": {"self": f"{ctx.base}/v3/users/{credential.user_id}/application_credentials/{credential.id}"},
    }  # fmt: skip
    if credential.access_rule_ids is not None:
        rules = ctx.db.scalars(select(AccessRuleRow).where(AccessRuleRow.id.in_(credential.access_rule_ids)))
        shown["access_rules"] = [plain(rule) for rule in rules]
    return shown


def plain(rule: AccessRuleRow) -> Json:
    return {"id": rule.id, "service": rule.service, "method": rule.method, "path": rule.path}


def rule_view(ctx: Ctx, rule: AccessRuleRow) -> Json:
    return {**plain(rule), "links": {"self": f"{ctx.base}/v3/users/{rule.user_id}/access_rules/{rule.id}"}}


policy.rules(
    {
        "identity:get_application_credential": owner_or_system_reader,
        "identity:list_application_credentials": owner_or_system_reader,
        "identity:create_application_credential": owner,
        "identity:delete_application_credential": owner_or_admin,
        "identity:get_access_rule": owner_or_system_reader,
        "identity:list_access_rules": owner_or_system_reader,
        "identity:delete_access_rule": owner_or_admin,
    }
)


# What the calls do ---------------------------------------------------------------------------------------------------
def whose(ctx: Ctx, rule: str) -> str:
    """The user of the path, after the rule. Raises Forbidden, NotFound."""
    id = ctx.path["user_id"]
    ctx.require(rule, Target(user_id=id))
    if ctx.db.get(User, id) is None:
        raise unknown("user", id)
    return id


def unbound(ctx: Ctx) -> None:
    """Raises Forbidden when the caller is a program whose credential must not make or delete others."""
    if ctx.caller.credential_id:
        lent = ctx.db.get(ApplicationCredential, ctx.caller.credential_id)
        if lent is None or not lent.unrestricted:
            raise Forbidden(
                "Application credentials cannot manage application credentials unless they are unrestricted."
            )


def instant(text: str, now: float) -> float:
    """Unix seconds of an ISO 8601 time. Raises BadRequest: unreadable or past."""
    try:
        seconds = unix(text)
    except ValueError as error:
        raise BadRequest(f"Invalid input for expires_at: '{text}' is not a time in ISO 8601") from error
    if seconds <= now:
        raise BadRequest(f"Invalid input for expires_at: '{text}' has passed")
    return seconds


def hash_first(app: App, caller: Caller, path: Mapping[str, str], whole: Any) -> Any:
    """The body with its secret, and the secret's hash: both exist before the transaction opens."""
    body = whole.application_credential
    plain = body.secret if isinstance(body.secret, str) else secrets.token_urlsafe(64)
    return body, plain, passwords.hashed(plain)


@identity.call(
    "POST", PATH, rule="identity:create_application_credential", status=201, prepare=hash_first,
    body=envelope("application_credential", Create),
)  # fmt: skip
def create(ctx: Ctx, told: tuple[Create, str, str]) -> Json:
    """Create an application credential; the secret is shown this once."""
    body, plain, hashed = told
    user_id = whose(ctx, "identity:create_application_credential")
    unbound(ctx)
    project_id = ctx.caller.project_id
    if not project_id:
        raise BadRequest("Application credentials belong to a project: use a token that is scoped to one")
    mine = (ApplicationCredential.user_id == user_id) & (ApplicationCredential.name == body.name)
    if ctx.db.scalar(select(ApplicationCredential.id).where(mine)):
        raise Conflict(f"Duplicate entry: application credential {body.name} exists already.")
    rules = None
    if body.access_rules is not UNSET:
        rules = [access_rule(ctx.db, user_id, rule) for rule in body.access_rules]
    credential = ApplicationCredential(
        name=body.name, user_id=user_id, project_id=project_id, description=body.description or "", secret_hash=hashed,
        expires_at=instant(body.expires_at, ctx.now) if body.expires_at else None, unrestricted=bool(body.unrestricted),
        role_ids=lent_roles(ctx, project_id, body.roles), access_rule_ids=rules,
    )  # fmt: skip
    ctx.db.add(credential)
    ctx.db.flush()
    ctx.about(credential)
    return {"application_credential": {**view(ctx, credential), "secret": plain}}


def lent_roles(ctx: Ctx, project_id: str, wanted: list[RoleRef] | UnsetType) -> list[str]:
    """Ids of the roles that the program gets. Raises BadRequest: the caller does not have one of them himself."""
    mine = roles_in(ctx.db, ctx.caller.user_id, Scope("project", project_id))
    mine = {id: name for id, name in mine.items() if name in ctx.caller.roles}
    if wanted is UNSET or not wanted:
        return sorted(mine)
    found = []
    for ref in wanted:
        id = ref.id if ref.id is not UNSET else next((id for id, name in mine.items() if name == ref.name), "")
        if id not in mine:
            named = ref.id if ref.id is not UNSET else ref.name
            raise BadRequest(f"Invalid application credential: Could not find role assignment with role: {named}.")
        found.append(id)
    return list(dict.fromkeys(found))


def access_rule(db: Session, user_id: str, ref: RuleRef) -> str:
    """The id of a user's access rule, made where it is new."""
    if ref.id is not UNSET:
        found = db.get(AccessRuleRow, ref.id)
        if found is None or found.user_id != user_id:
            raise unknown("access rule", ref.id)
        return found.id
    if UNSET in (ref.service, ref.method, ref.path):
        raise BadRequest("Invalid input for access_rules: give an id, or service, method and path")
    same = select(AccessRuleRow.id).where(
        AccessRuleRow.user_id == user_id, AccessRuleRow.service == ref.service, AccessRuleRow.method == ref.method,
        AccessRuleRow.path == ref.path,
    )  # fmt: skip
    if id := db.scalar(same):
        return id
    made = AccessRuleRow(user_id=user_id, service=ref.service, method=ref.method, path=ref.path)
    db.add(made)
    db.flush()
    return made.id


def listed(ctx: Ctx, plural: str, shown: list[Json]) -> Json:
    here = f"{ctx.base}/v3/users/{ctx.path['user_id']}/{plural}"
    return {plural: shown, "links": {"self": here, "next": None, "previous": None}}


@identity.call("GET", PATH, rule="identity:list_application_credentials")
def list_all(ctx: Ctx) -> Json:
    """List a user's application credentials."""
    user_id = whose(ctx, "identity:list_application_credentials")
    query: Select[Any] = select(ApplicationCredential).where(ApplicationCredential.user_id == user_id)
    if "name" in ctx.query:
        query = query.where(ApplicationCredential.name == ctx.query["name"])
    found = ctx.db.scalars(query.order_by(ApplicationCredential.name))
    return listed(ctx, "application_credentials", [view(ctx, one) for one in found])


def find(ctx: Ctx, rule: str) -> ApplicationCredential:
    user_id, id = whose(ctx, rule), ctx.path["application_credential_id"]
    found = ctx.db.get(ApplicationCredential, id)
    if found is None or found.user_id != user_id:
        raise unknown("application credential", id)
    return found


@identity.call("GET", PATH + "/{application_credential_id}", rule="identity:get_application_credential")
def show(ctx: Ctx) -> Json:
    """Show one application credential, without its secret."""
    return {"application_credential": view(ctx, find(ctx, "identity:get_application_credential"))}


@identity.call(
    "DELETE", PATH + "/{application_credential_id}", rule="identity:delete_application_credential", status=204
)
def remove(ctx: Ctx) -> None:
    """Delete an application credential; its tokens are void at once."""
    found = find(ctx, "identity:delete_application_credential")
    unbound(ctx)
    ctx.about(found)
    ctx.db.delete(found)


# Access rules --------------------------------------------------------------------------------------------------------
@identity.call("GET", RULES, rule="identity:list_access_rules")
def list_rules(ctx: Ctx) -> Json:
    """List a user's access rules."""
    user_id = whose(ctx, "identity:list_access_rules")
    query = select(AccessRuleRow).where(AccessRuleRow.user_id == user_id)
    for name in ("service", "method", "path"):
        if name in ctx.query:
            query = query.where(getattr(AccessRuleRow, name) == ctx.query[name])
    found = ctx.db.scalars(query.order_by(AccessRuleRow.id))
    return listed(ctx, "access_rules", [rule_view(ctx, rule) for rule in found])


def find_rule(ctx: Ctx, rule: str) -> AccessRuleRow:
    user_id, id = whose(ctx, rule), ctx.path["access_rule_id"]
    found = ctx.db.get(AccessRuleRow, id)
    if found is None or found.user_id != user_id:
        raise unknown("access rule", id)
    return found


@identity.call("GET", RULES + "/{access_rule_id}", rule="identity:get_access_rule")
def show_rule(ctx: Ctx) -> Json:
    """Show one access rule."""
    return {"access_rule": rule_view(ctx, find_rule(ctx, "identity:get_access_rule"))}


@identity.call("DELETE", RULES + "/{access_rule_id}", rule="identity:delete_access_rule", status=204)
def remove_rule(ctx: Ctx) -> None:
    """Delete an access rule that no application credential uses."""
    found = find_rule(ctx, "identity:delete_access_rule")
    unbound(ctx)
    users = ctx.db.scalars(select(ApplicationCredential).where(ApplicationCredential.user_id == found.user_id))
    if any(found.id in (one.access_rule_ids or ()) for one in users):
        raise Forbidden(f"Access rule {found.id} is in use by an application credential.")
    ctx.about(found)
    ctx.db.delete(found)
