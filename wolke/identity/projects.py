"""Projects: what everything in the cloud belongs to. They form a tree below their domain and bear tags.

API: https://docs.openstack.org/api-ref/identity/v3/#projects
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import Select, delete, exists, func, or_, select
from sqlalchemy.orm import Session

from wolke.core import policy
from wolke.core.bodies import Body, OpenBody
from wolke.core.db import Json
from wolke.core.errors import BadRequest, Forbidden
from wolke.core.http import Ctx
from wolke.core.policy import Target
from wolke.identity.authority import above, below, projects_of
from wolke.identity.entities import Entities, changes, home_of, options
from wolke.identity.leaving import empty, forget
from wolke.identity.service import (
    Id,
    domain_manager,
    domain_reader,
    identity,
    immutable,
    of_project_or_domain_reader,
    owner_or_domain_reader,
    taken,
    unknown,
)
from wolke.identity.table import Project, ProjectTag, User

MAX_DEPTH = 5  # as keystone's max_project_tree_depth
OPTIONS = {"immutable": bool}
Tag = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^,/]*$")]
ProjectName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"\S")]


# What the API takes and gives ----------------------------------------------------------------------------------------
class Create(OpenBody):
    name: ProjectName
    description: str | None = None
    domain_id: Id | UnsetType | None = UNSET
    parent_id: Id | UnsetType | None = UNSET
    is_domain: bool = False
    enabled: bool = True
    tags: Annotated[list[Tag], Meta(max_length=80)] = []
    options: dict[str, Any] = {}


class Update(OpenBody):
    name: ProjectName | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    tags: Annotated[list[Tag], Meta(max_length=80)] | UnsetType = UNSET
    options: dict[str, Any] | UnsetType = UNSET
    domain_id: str | UnsetType | None = UNSET
    parent_id: str | UnsetType | None = UNSET
    is_domain: bool | UnsetType = UNSET


class Tags(Body):
    tags: Annotated[list[Tag], Meta(max_length=80)]


def tags_of(db: Session, ids: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    rows = (
        select(ProjectTag.project_id, ProjectTag.name).where(ProjectTag.project_id.in_(ids)).order_by(ProjectTag.name)
    )
    for id, name in db.execute(rows):
        found.setdefault(id, []).append(name)
    return found


def views(ctx: Ctx, things: Sequence[Any]) -> list[Json]:
    tags = tags_of(ctx.db, [thing.id for thing in things])
    return [
        {
            **thing.extra, "id": thing.id, "name": thing.name, "domain_id": thing.domain_id or None,
            "description": thing.description, "enabled": thing.enabled, "parent_id": thing.parent_id or None,
            "is_domain": thing.is_domain, "tags": tags.get(thing.id, []), "options": thing.options,
            "links": {"self": f"{ctx.base}/v3/projects/{thing.id}"},
        }
        for thing in things
    ]  # fmt: skip


# What the calls do ---------------------------------------------------------------------------------------------------
def narrow(ctx: Ctx, query: Select[Any]) -> Select[Any]:
    """Projects only, unless domains are asked for; tag filters."""
    wanted = ctx.query.get("is_domain", "false").lower() in ("true", "1", "")
    query = query.where(Project.is_domain.is_(wanted))

    def has(names: str) -> list[Any]:
        mine = ProjectTag.project_id == Project.id
        return [exists().where(mine, ProjectTag.name == name) for name in names.split(",") if name]

    if all_of := ctx.query.get("tags"):
        query = query.where(*has(all_of))
    if any_of := ctx.query.get("tags-any"):
        query = query.where(or_(*has(any_of)))
    if not_all := ctx.query.get("not-tags"):
        query = query.where(~(_and(has(not_all))))
    if not_any := ctx.query.get("not-tags-any"):
        query = query.where(~or_(*has(not_any)))
    return query


def _and(conditions: list[Any]) -> Any:
    whole = conditions[0]
    for condition in conditions[1:]:
        whole &= condition
    return whole


def about(project: Project) -> Target:
    return Target(project.id, domain_id=project.domain_id or project.id, id=project.id)


projects = Entities(
    "/v3/projects", "project", "projects", Project, lambda thing, links: {}, views=views, narrow=narrow, target=about,
    checks={
        "list": domain_reader, "create": domain_manager, "update": domain_manager,
        "delete": domain_manager,
    },
    filters={
        "name": Project.name, "domain_id": Project.domain_id, "parent_id": Project.parent_id, "enabled": Project.enabled,
    },
)  # fmt: skip
policy.rules(
    {
        "identity:get_project": of_project_or_domain_reader,
        "identity:list_user_projects": owner_or_domain_reader,
        "identity:get_project_tag": of_project_or_domain_reader,
        "identity:list_project_tags": of_project_or_domain_reader,
        "identity:create_project_tag": domain_manager,
        "identity:update_project_tags": domain_manager,
        "identity:delete_project_tag": domain_manager,
        "identity:delete_project_tags": domain_manager,
    }
)


@projects.create()
def create(ctx: Ctx, body: Create) -> Project:
    if body.is_domain:
        return new_domain(ctx, body)
    parent = ctx.db.get(Project, body.parent_id) if isinstance(body.parent_id, str) else None
    domain = body.domain_id if isinstance(body.domain_id, str) else None
    if domain is None and parent is not None:
        domain = parent.domain_id or parent.id
    domain = home_of(ctx, domain)
    ctx.require("identity:create_project", Target(domain_id=domain))
    above_all = ctx.db.get(Project, domain)
    if above_all is None or not above_all.is_domain:
        raise unknown("domain", domain)
    if parent is None and isinstance(body.parent_id, str):
        raise unknown("project", body.parent_id)
    parent = parent or above_all
    if (parent.domain_id or parent.id) != domain:
        raise BadRequest("Invalid input for parent_id: the parent belongs to another domain")
    if not parent.is_domain and len(above(ctx.db, parent)) + 2 > MAX_DEPTH:
        raise Forbidden(f"Max hierarchy depth reached for {parent.id} branch.")
    if not parent.enabled:
        raise Forbidden(f"Cannot create a project below {parent.id}: it is disabled.")
    unique(ctx.db, body.name, domain)
    return made(ctx, body, domain, parent.id)


def made(ctx: Ctx, body: Create, domain_id: str, parent_id: str) -> Project:
    project = Project(
        name=body.name.strip(), domain_id=domain_id, parent_id=parent_id, is_domain=not domain_id,
        description=body.description or "", enabled=body.enabled, options=options(OPTIONS, body.options, {}),
        extra=body.extra,
    )  # fmt: skip
    ctx.db.add(project)
    ctx.db.flush()
    ctx.db.add_all([ProjectTag(project_id=project.id, name=name) for name in dict.fromkeys(body.tags)])
    ctx.db.flush()
    return project


def new_domain(ctx: Ctx, body: Create) -> Project:
    """A project that acts as a domain is a domain."""
    ctx.require("identity:create_project", Target())
    if isinstance(body.domain_id, str) or isinstance(body.parent_id, str):
        raise BadRequest("Invalid input for is_domain: a domain has neither domain_id nor parent_id")
    unique(ctx.db, body.name, "")
    return made(ctx, body, "", "")


def unique(db: Session, name: str, domain_id: str, id: str = "") -> None:
    here = (Project.name == name.strip()) & (Project.domain_id == domain_id) & (Project.id != id)
    if db.scalar(select(Project.id).where(here, Project.is_domain.is_(not domain_id))):
        raise taken("project" if domain_id else "domain", name, domain_id)


@projects.update()
def update(ctx: Ctx, project: Project, body: Update) -> None:
    sent = changes(body)
    immutable(project, "project", {**sent, **body.extra})
    for name in ("domain_id", "parent_id", "is_domain"):
        if name in sent and sent[name] != (getattr(project, name) or (False if name == "is_domain" else None)):
            raise (Forbidden if name == "parent_id" else BadRequest)(f"Update of `{name}` is not allowed.")
    if "name" in sent:
        unique(ctx.db, sent["name"], project.domain_id, project.id)
        project.name = sent["name"].strip()
    if "description" in sent:
        project.description = sent["description"] or ""
    if "options" in sent:
        project.options = options(OPTIONS, sent["options"], project.options)
    if "tags" in sent:
        replace_tags(ctx.db, project.id, sent["tags"])
    if "enabled" in sent and sent["enabled"] != project.enabled:
        switch(ctx.db, project, sent["enabled"])


def switch(db: Session, project: Project, enabled: bool) -> None:
    """Enable or disable; tokens of what is disabled stay void even when it is enabled again."""
    project.enabled = enabled
    if enabled:
        closed = select(Project.id).where(Project.id.in_(above(db, project)), Project.enabled.is_(False))
        if not project.is_domain and db.scalar(closed):
            raise Forbidden(f"Cannot enable project {project.id} since it has disabled parents.")
        return
    project.generation += 1
    if project.is_domain:
        for project_inside in db.scalars(select(Project).where(Project.domain_id == project.id)):
            project_inside.generation += 1
        for user in db.scalars(select(User).where(User.domain_id == project.id)):
            user.generation += 1
    elif db.scalar(
        select(Project.id).where(Project.id.in_(below(db, [project.id])), Project.enabled.is_(True)).limit(1)
    ):
        raise Forbidden(f"Cannot disable project {project.id} since its subtree contains enabled projects.")


@projects.delete
def remove(ctx: Ctx, project: Project) -> None:
    immutable(project, "project")
    if project.is_domain:
        empty(ctx.db, project)
        return
    if ctx.db.scalar(select(Project.id).where(Project.parent_id == project.id).limit(1)):
        raise Forbidden(f"Cannot delete the project {project.id} since it is not a leaf in the hierarchy.")
    forget(ctx.db, [project.id])


@identity.call("GET", "/v3/projects/{project_id}", rule="identity:get_project")
def show(ctx: Ctx) -> Json:
    """Show one project, with the tree above and below it where that is asked for."""
    project = projects.find(ctx, "identity:get_project")
    shown = projects.enclose(ctx, project)
    asked = ctx.query
    for way, as_list, as_ids in (
        ("parents", "parents_as_list", "parents_as_ids"),
        ("subtree", "subtree_as_list", "subtree_as_ids"),
    ):
        if as_list in asked and as_ids in asked:
            raise BadRequest(f"Invalid input: use either {as_list} or {as_ids}, not both")
        if as_ids in asked:
            shown["project"][way] = (parent_ids if way == "parents" else subtree_ids)(ctx.db, project)
        elif as_list in asked:
            ids = [*above(ctx.db, project), project.domain_id] if way == "parents" else below(ctx.db, [project.id])
            mine = set(ids) if ctx.caller.is_admin else set(ids) & projects_of(ctx.db, ctx.caller.user_id)
            found = ctx.db.scalars(select(Project).where(Project.id.in_(mine)))
            shown["project"][way] = [{"project": one} for one in views(ctx, list(found))]
    return shown


def parent_ids(db: Session, project: Project) -> Json | None:
    """The ids above a project as nested objects: ``{"parent": {"domain": null}}``."""
    tree: Json | None = None
    for id in reversed([*above(db, project), project.domain_id]):
        tree = {id: tree} if id else tree
    return tree


def subtree_ids(db: Session, project: Project) -> Json | None:
    children = db.scalars(select(Project).where(Project.parent_id == project.id, Project.is_domain.is_(False)))
    return {child.id: subtree_ids(db, child) for child in children} or None


@identity.call("GET", "/v3/users/{user_id}/projects", rule="identity:list_user_projects")
def of_user(ctx: Ctx) -> Json:
    """List the projects on which a user has a role."""
    id = ctx.path["user_id"]
    user = ctx.db.get(User, id)
    ctx.require("identity:list_user_projects", Target(domain_id=user.domain_id if user else None, user_id=id))
    if user is None:
        raise unknown("user", id)
    query = select(Project).where(Project.id.in_(projects_of(ctx.db, id)))
    for name in ("name", "domain_id", "enabled"):
        if name in ctx.query:
            value = ctx.query[name]
            query = query.where(projects.filters[name] == (value.lower() != "false" if name == "enabled" else value))
    return projects.enclosed(ctx, list(ctx.db.scalars(query.order_by(Project.name, Project.id))))


# Tags ----------------------------------------------------------------------------------------------------------------
def replace_tags(db: Session, id: str, names: Sequence[str]) -> None:
    db.execute(delete(ProjectTag).where(ProjectTag.project_id == id))
    db.add_all([ProjectTag(project_id=id, name=name) for name in dict.fromkeys(names)])
    db.flush()


def shown_tags(ctx: Ctx, project: Project) -> Json:
    here = f"{ctx.base}/v3/projects/{project.id}/tags"
    tags = tags_of(ctx.db, [project.id]).get(project.id, [])
    return {"tags": tags, "links": {"self": here, "next": None, "previous": None}}


@identity.call("GET", "/v3/projects/{project_id}/tags", rule="identity:list_project_tags")
def list_tags(ctx: Ctx) -> Json:
    """List a project's tags."""
    return shown_tags(ctx, projects.find(ctx, "identity:list_project_tags"))


@identity.call("PUT", "/v3/projects/{project_id}/tags", rule="identity:update_project_tags", body=Tags)
def put_tags(ctx: Ctx, body: Tags) -> Json:
    """Replace all tags of a project."""
    project = changing(ctx, "identity:update_project_tags")
    replace_tags(ctx.db, project.id, body.tags)
    return shown_tags(ctx, project)


@identity.call("DELETE", "/v3/projects/{project_id}/tags", rule="identity:delete_project_tags", status=204)
def delete_tags(ctx: Ctx) -> None:
    """Take all tags from a project."""
    replace_tags(ctx.db, changing(ctx, "identity:delete_project_tags").id, [])


@identity.call("GET", "/v3/projects/{project_id}/tags/{tag}", rule="identity:get_project_tag", status=204)
def check_tag(ctx: Ctx) -> None:
    """Whether a project bears a tag."""
    project = projects.find(ctx, "identity:get_project_tag")
    if ctx.db.get(ProjectTag, (project.id, ctx.path["tag"])) is None:
        raise unknown("project tag", ctx.path["tag"])


@identity.call("PUT", "/v3/projects/{project_id}/tags/{tag}", rule="identity:create_project_tag", status=201)
def add_tag(ctx: Ctx) -> None:
    """Give a project one more tag."""
    project, name = changing(ctx, "identity:create_project_tag"), ctx.path["tag"]
    if not 0 < len(name) <= 255 or "," in name:
        raise BadRequest("Invalid input for tag: 1 to 255 characters without , and /")
    if (ctx.db.scalar(select(func.count()).where(ProjectTag.project_id == project.id)) or 0) >= 80:
        raise BadRequest("Invalid input for tags: a project has at most 80")
    ctx.db.merge(ProjectTag(project_id=project.id, name=name))


@identity.call("DELETE", "/v3/projects/{project_id}/tags/{tag}", rule="identity:delete_project_tag", status=204)
def remove_tag(ctx: Ctx) -> None:
    """Take one tag from a project."""
    project = changing(ctx, "identity:delete_project_tag")
    tag = ctx.db.get(ProjectTag, (project.id, ctx.path["tag"]))
    if tag is None:
        raise unknown("project tag", ctx.path["tag"])
    ctx.db.delete(tag)


def changing(ctx: Ctx, rule: str) -> Project:
    project = projects.find(ctx, rule)
    immutable(project, "project")
    ctx.about(project)
    return project
