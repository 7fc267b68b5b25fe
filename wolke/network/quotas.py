"""Quotas of projects.

API: https://docs.openstack.org/api-ref/network/v2/#quotas-extension-quotas
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select

from wolke.core import policy
from wolke.core.bodies import envelope, given
from wolke.core.db import Json
from wolke.core.errors import BadRequest
from wolke.core.events import difference
from wolke.core.http import Ctx
from wolke.core.quota import DEFAULT_CLASS, QuotaLimit, limits, quotas, reset, set_limits, used
from wolke.network.service import network

Limit = Annotated[int, Meta(ge=-1, le=2**31 - 1)]
NAME = network.name

get = policy.rule("get_quota", policy.reader)  # one's own project's
list_rule = policy.rule("get_quotas", policy.admin)
update_rule = policy.rule("update_quota", policy.admin)
delete_rule = policy.rule("delete_quota", policy.admin)


def asked(ctx: Ctx, rule: str) -> str:
    project_id = ctx.path["project_id"]
    ctx.require(rule, policy.Target(project_id))
    return project_id


def check(ctx: Ctx, project_id: str, wanted: dict[str, int]) -> None:
    """Raises BadRequest where a project already uses more than it is to have."""
    for resource, have in used(ctx.db, project_id, quotas(NAME)).items():
        if 0 <= (limit := wanted.get(resource, -1)) < have:
            raise BadRequest(f"Quota limit {limit} for {resource} must be greater than or equal to already used {have}")


def told(ctx: Ctx, project_id: str, before: Json) -> Json:
    """A project's limits now; the audit is told of what they were."""
    after = limits(ctx.db, NAME, project_id)
    old, new = difference(before, after)
    ctx.note("quota", project_id, project_id, before=old, after=new)
    return dict(after)


def declare() -> None:
    """The calls; after every resource has declared its quota, because the body names them all."""
    fields: list[Any] = [(one.resource, Limit | UnsetType, UNSET) for one in quotas(NAME)]
    fields += [("check_limit", bool, False), ("force", bool, False)]
    body = msgspec.defstruct("Quota", fields, forbid_unknown_fields=True, kw_only=True)

    @network.call("GET", "/v2.0/quotas", rule=list_rule)
    def list_all(ctx: Ctx) -> Json:
        """Quotas of all projects that have their own."""
        ctx.require(list_rule, policy.Target(None))
        own = select(QuotaLimit.project_id).where(QuotaLimit.service == NAME, QuotaLimit.project_id != DEFAULT_CLASS)
        projects = sorted(set(ctx.db.scalars(own)))
        return {"quotas": [limits(ctx.db, NAME, one) | {"project_id": one, "tenant_id": one} for one in projects]}

    @network.call("GET", "/v2.0/quotas/tenant", rule=get)
    def tenant(ctx: Ctx) -> Json:
        """The project that the caller's quotas are of."""
        ctx.require(get, policy.Target(ctx.caller.project_id))
        return {"tenant": {"tenant_id": ctx.caller.project_id, "project_id": ctx.caller.project_id}}

    @network.call("GET", "/v2.0/quotas/project", rule=get)
    def project(ctx: Ctx) -> Json:
        """The project that the caller's quotas are of, by today's name."""
        ctx.require(get, policy.Target(ctx.caller.project_id))
        return {"project": {"project_id": ctx.caller.project_id}}

    @network.call("GET", "/v2.0/quotas/{project_id}", rule=get)
    def show(ctx: Ctx) -> Json:
        """A project's quotas."""
        return {"quota": limits(ctx.db, NAME, asked(ctx, get))}

    @network.call("GET", "/v2.0/quotas/{project_id}/default", rule=get)
    def default(ctx: Ctx) -> Json:
        """What a project has that nobody has given quotas of its own."""
        asked(ctx, get)
        return {"quota": limits(ctx.db, NAME, DEFAULT_CLASS)}

    def details(ctx: Ctx) -> Json:
        """A project's quotas and what is used of them."""
        project_id = asked(ctx, get)
        allowed, have = limits(ctx.db, NAME, project_id), used(ctx.db, project_id, quotas(NAME))
        return {
            "quota": {name: {"limit": allowed[name], "used": number, "reserved": 0} for name, number in have.items()}
        }

    for path in ("/v2.0/quotas/{project_id}/details", "/v2.0/quotas/{project_id}/details.json"):
        network.call("GET", path, rule=get)(details)

    @network.call("PUT", "/v2.0/quotas/{project_id}", rule=update_rule, body=envelope("quota", body))
    def update(ctx: Ctx, whole: Any) -> Json:
        """Change a project's quotas."""
        project_id = asked(ctx, update_rule)
        wanted = given(whole.quota)
        wanted.pop("check_limit")  # what happens anyway; clients of older clouds ask for it
        if not wanted.pop("force"):
            check(ctx, project_id, wanted)
        before = limits(ctx.db, NAME, project_id)
        set_limits(ctx.db, NAME, project_id, wanted)
        return {"quota": told(ctx, project_id, before)}

    @network.call("DELETE", "/v2.0/quotas/{project_id}", rule=delete_rule, status=204)
    def delete(ctx: Ctx) -> None:
        """Give a project the defaults again."""
        project_id = asked(ctx, delete_rule)
        before = limits(ctx.db, NAME, project_id)
        reset(ctx.db, NAME, project_id)
        told(ctx, project_id, before)
