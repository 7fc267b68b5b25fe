"""Domains: closed worlds of users, groups and projects. A domain is a project with ``is_domain``; this is its other face.

API: https://docs.openstack.org/api-ref/identity/v3/#domains
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, UnsetType
from sqlalchemy import Select

from wolke.core.bodies import OpenBody
from wolke.core.db import Json
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.core.policy import Target
from wolke.identity import projects
from wolke.identity.entities import Entities, changes, options
from wolke.identity.leaving import empty
from wolke.identity.service import Id, admin, immutable, inside_domain, system_reader
from wolke.identity.table import Project


# What the API takes and gives ----------------------------------------------------------------------------------------
class Create(OpenBody):
    name: projects.ProjectName
    description: str | None = None
    enabled: bool = True
    tags: list[projects.Tag] = []
    options: dict[str, Any] = {}
    explicit_domain_id: Id | UnsetType = UNSET


class Update(OpenBody):
    name: projects.ProjectName | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    tags: list[projects.Tag] | UnsetType = UNSET
    options: dict[str, Any] | UnsetType = UNSET


def views(ctx: Ctx, things: Sequence[Any]) -> list[Json]:
    tags = projects.tags_of(ctx.db, [thing.id for thing in things])
    return [
        {
            **thing.extra, "id": thing.id, "name": thing.name, "description": thing.description, "enabled": thing.enabled,
            "tags": tags.get(thing.id, []), "options": thing.options, "links": {"self": f"{ctx.base}/v3/domains/{thing.id}"},
        }
        for thing in things
    ]  # fmt: skip


def narrow(ctx: Ctx, query: Select[Any]) -> Select[Any]:
    return query.where(Project.is_domain.is_(True))


class Domains(Entities[Project]):
    def is_one(self, thing: Project) -> bool:
        return thing.is_domain


domains = Domains(
    "/v3/domains", "domain", "domains", Project, lambda thing, links: {}, views=views, narrow=narrow,
    target=lambda domain: Target(domain_id=domain.id, id=domain.id), seen=lambda ctx: Project.id == ctx.caller.domain_id,
    checks={"get": inside_domain, "list": system_reader, "create": admin, "update": admin, "delete": admin},
    filters={"name": Project.name, "enabled": Project.enabled},
)  # fmt: skip


# What the calls do ---------------------------------------------------------------------------------------------------
@domains.create()
def create(ctx: Ctx, body: Create) -> Project:
    ctx.require("identity:create_domain", Target())
    projects.unique(ctx.db, body.name, "")
    domain = Project(
        name=body.name.strip(), is_domain=True, description=body.description or "", enabled=body.enabled,
        options=options(projects.OPTIONS, body.options, {}), extra=body.extra,
    )  # fmt: skip
    if body.explicit_domain_id is not UNSET:
        if ctx.db.get(Project, body.explicit_domain_id):
            raise BadRequest(f"Invalid input for explicit_domain_id: {body.explicit_domain_id} is taken")
        domain.id = body.explicit_domain_id
    ctx.db.add(domain)
    ctx.db.flush()
    projects.replace_tags(ctx.db, domain.id, body.tags)
    return domain


@domains.update()
def update(ctx: Ctx, domain: Project, body: Update) -> None:
    sent = changes(body)
    immutable(domain, "domain", {**sent, **body.extra})
    if "name" in sent:
        projects.unique(ctx.db, sent["name"], "", domain.id)
        domain.name = sent["name"].strip()
    if "description" in sent:
        domain.description = sent["description"] or ""
    if "options" in sent:
        domain.options = options(projects.OPTIONS, sent["options"], domain.options)
    if "tags" in sent:
        projects.replace_tags(ctx.db, domain.id, sent["tags"])
    if "enabled" in sent and sent["enabled"] != domain.enabled:
        projects.switch(ctx.db, domain, sent["enabled"])


@domains.delete
def remove(ctx: Ctx, domain: Project) -> None:
    immutable(domain, "domain")
    empty(ctx.db, domain)
