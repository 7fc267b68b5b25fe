"""``/v3/auth``: tokens made, shown, checked and revoked; where their bearer may go.

API: https://docs.openstack.org/api-ref/identity/v3/#authentication-and-token-management
A login computes a password hash, so it runs on threads of its own and holds no database transaction that writes.
"""

from __future__ import annotations

import anyio.to_thread
import msgspec
from sqlalchemy import select
from starlette.responses import Response

from wolke.core import policy
from wolke.core.auth import Caller
from wolke.core.bodies import parse
from wolke.core.db import Json, iso
from wolke.core.errors import Forbidden, NotFound, Unauthorized
from wolke.core.http import Answer, Ctx, Edge, whole
from wolke.core.policy import Target
from wolke.identity import catalogue
from wolke.identity.authority import Scope, domains_of, projects_of, roles_in
from wolke.identity.domains import domains
from wolke.identity.entities import Entities
from wolke.identity.login import LoginBody, let_in
from wolke.identity.projects import projects
from wolke.identity.service import admin, anybody, identity, owner, subject_or_service
from wolke.identity.table import Project, Revocation
from wolke.identity.tokens import Meaning, Token, Tokens


def revoker(caller: Caller, target: object) -> bool:
    return admin(caller, target) or owner(caller, target)


policy.rules(
    {
        "identity:validate_token": subject_or_service,
        "identity:check_token": subject_or_service,
        "identity:revoke_token": revoker,
        "identity:get_auth_catalog": anybody,
        "identity:get_auth_projects": anybody,
        "identity:get_auth_domains": anybody,
        "identity:get_auth_system": anybody,
    }
)


# What the API gives --------------------------------------------------------------------------------------------------
def named(place: Project) -> Json:
    return {"id": place.id, "name": place.name}


def moment(seconds: float | None) -> str | None:
    return None if seconds is None else iso(seconds, micro=True)


def view(means: Meaning, catalog: list[Json] | None) -> Json:
    token, user = means.token, means.user
    shown: Json = {
        "methods": list(token.methods),
        "user": {
            "domain": named(means.user_domain), "id": user.id, "name": user.name,
            "password_expires_at": moment(user.password_expires_at),
        },
        "audit_ids": list(token.audit_ids),
        "expires_at": moment(token.expires_at),
        "issued_at": moment(token.issued_at),
    }  # fmt: skip
    if means.project and means.domain:
        shown["project"] = {"domain": named(means.domain), **named(means.project)}
        shown["is_domain"] = means.project.is_domain
    elif means.domain:
        shown["domain"] = named(means.domain)
    elif token.scope.kind == "system":
        shown["system"] = {"all": True}
    if token.scope.kind:
        shown["roles"] = [{"id": id, "name": name} for id, name in means.roles.items()]
        if catalog is not None:
            shown["catalog"] = catalog
    if means.credential:
        rules = means.access_rules
        shown["application_credential"] = {
            "id": means.credential.id, "name": means.credential.name, "restricted": not means.credential.unrestricted,
        } | ({} if rules is None else {"access_rules": [
            {"id": rule.id, "service": rule.service, "method": rule.method, "path": rule.path} for rule in rules
        ]})  # fmt: skip
    return {"token": shown}


# What the calls do ---------------------------------------------------------------------------------------------------
@identity.edge("POST", "/v3/auth/tokens", rule="", public=True, body=LoginBody, status=201)
async def login(edge: Edge) -> Response:
    """Log in: a token for a password, another token, an application credential or a one-time code."""
    app = edge.app
    raw = await whole(edge.request, app.config.max_body)
    bare = "nocatalog" in edge.request.query_params

    def work() -> Response:
        body = parse(LoginBody, raw, strict=True)
        with app.database.read() as db:
            token, means = let_in(app, db, body.auth)
            project = means.project.id if means.project else ""
            shown = view(means, None if bare else catalogue.shown(db, project, means.user.id))
        headers = {"X-Subject-Token": token, "Vary": "X-Auth-Token"}
        return Response(msgspec.json.encode(shown), 201, headers, media_type="application/json")

    return await anyio.to_thread.run_sync(work, limiter=app.part(Tokens).logins)


def subject(ctx: Ctx, rule: str, *, late: bool = False) -> tuple[str, Meaning]:
    """The token that a call is about. Raises NotFound for one that is not good (any more)."""
    token = ctx.headers.get("x-subject-token", "")
    tokens = ctx.app.part(Tokens)
    try:
        means = tokens.meaning(ctx.db, token, tokens.epoch(ctx.db), late=late)
    except Unauthorized as error:
        raise NotFound("Could not find token.") from error
    ctx.require(rule, Target(user_id=means.user.id))
    return token, means


@identity.call("GET", "/v3/auth/tokens", rule="identity:validate_token")
def show(ctx: Ctx) -> Answer:
    """Check a token and show what it stands for; ``allow_expired`` is for services with a long job under way."""
    late = ctx.query.get("allow_expired", "").lower() in ("1", "true") and bool({"service", "admin"} & ctx.caller.roles)
    token, means = subject(ctx, "identity:validate_token", late=late)
    bare = "nocatalog" in ctx.query

    def shown() -> bytes:
        project = means.project.id if means.project else ""
        return msgspec.json.encode(view(means, None if bare else catalogue.shown(ctx.db, project, means.user.id)))

    tokens = ctx.app.part(Tokens)
    body = tokens.shown.of(tokens.epoch(ctx.db), f"{token} {bare}", shown)
    return Answer(body, headers={"X-Subject-Token": token, "Vary": "X-Auth-Token"})


@identity.call("DELETE", "/v3/auth/tokens", rule="identity:revoke_token", status=204)
def revoke(ctx: Ctx) -> None:
    """Revoke a token."""
    _, means = subject(ctx, "identity:revoke_token")
    end(ctx, means.token)


def end(ctx: Ctx, token: Token) -> None:
    ctx.note("token", token.audit_ids[0], token.scope.id if token.scope.kind == "project" else "")
    ctx.db.add(Revocation(audit_id=token.audit_ids[0], expires_at=token.expires_at))


@identity.call("GET", "/v3/auth/catalog", rule="identity:get_auth_catalog")
def catalog(ctx: Ctx) -> Json:
    """The catalogue that belongs to the caller's token."""
    ctx.require("identity:get_auth_catalog", Target())
    caller = ctx.caller
    if not (caller.project_id or caller.domain_id or caller.system):
        raise Forbidden("You are not authorized to perform the requested action: identity:get_auth_catalog.")
    shown = catalogue.shown(ctx.db, caller.project_id, caller.user_id)
    return {"catalog": shown, "links": {"self": f"{ctx.base}/v3/auth/catalog"}}


@identity.call("GET", "/v3/auth/system", rule="identity:get_auth_system")
def system(ctx: Ctx) -> Json:
    """Whether the caller has a role on the whole cloud."""
    ctx.require("identity:get_auth_system", Target())
    may = roles_in(ctx.db, ctx.caller.user_id, Scope("system"))
    return {"system": [{"all": True}] if may else [], "links": {"self": f"{ctx.base}/v3/auth/system"}}


@identity.call("GET", "/v3/auth/projects", rule="identity:get_auth_projects")
def my_projects(ctx: Ctx) -> Json:
    """The projects that the caller may get a token for."""
    ctx.require("identity:get_auth_projects", Target())
    return mine(ctx, projects, projects_of(ctx.db, ctx.caller.user_id))


@identity.call("GET", "/v3/auth/domains", rule="identity:get_auth_domains")
def my_domains(ctx: Ctx) -> Json:
    """The domains that the caller may get a token for."""
    ctx.require("identity:get_auth_domains", Target())
    return mine(ctx, domains, domains_of(ctx.db, ctx.caller.user_id))


def mine(ctx: Ctx, places: Entities[Project], ids: set[str]) -> Json:
    """The enabled ones among some projects or domains, by name."""
    open_places = select(Project).where(Project.id.in_(ids), Project.enabled.is_(True))
    return places.enclosed(ctx, list(ctx.db.scalars(open_places.order_by(Project.name, Project.id))))
