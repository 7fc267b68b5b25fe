"""All role assignments at once: as they were made, or (``effective``) as they work out for users on projects.

API: https://docs.openstack.org/api-ref/identity/v3/#list-role-assignments
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, or_, select

from wolke.core import policy
from wolke.core.db import Json
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.core.policy import Target
from wolke.identity.authority import above, acts_for, below, implications
from wolke.identity.service import domain_reader, identity, unknown
from wolke.identity.table import Assignment, Group, Membership, Project, Role, User

policy.rules(
    {
        "identity:list_role_assignments": domain_reader,
        "identity:list_role_assignments_for_tree": domain_reader,
    }
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the answer; ``made`` is the assignment that it comes from."""

    actor: str
    actor_id: str
    target: str
    target_id: str
    role_id: str
    made: Assignment
    group_id: str = ""  # by membership of which
    prior_id: str = ""  # role that implies this one


@dataclass(frozen=True, slots=True)
class Asked:
    """The filters of one call."""

    user: str
    group: str
    role: str
    project: str
    domain: str
    system: bool
    inherited: bool
    effective: bool
    names: bool
    subtree: bool


def flag(ctx: Ctx, name: str) -> bool:
    return name in ctx.query and ctx.query[name].lower() not in ("0", "false", "no", "off")


def asked(ctx: Ctx) -> Asked:
    """Raises BadRequest for filters that exclude each other."""
    get = ctx.query.get
    found = Asked(
        user=get("user.id", ""), group=get("group.id", ""), role=get("role.id", ""), project=get("scope.project.id", ""),
        domain=get("scope.domain.id", ""), system="scope.system" in ctx.query, names=flag(ctx, "include_names"),
        inherited="scope.OS-INHERIT:inherited_to" in ctx.query, effective=flag(ctx, "effective"),
        subtree=flag(ctx, "include_subtree"),
    )  # fmt: skip
    if found.user and found.group:
        raise BadRequest("Invalid input: specify a user or group, not both")
    if bool(found.project) + bool(found.domain) + found.system > 1:
        raise BadRequest("Invalid input: specify one of scope.project.id, scope.domain.id and scope.system")
    if found.effective and found.group:
        raise BadRequest("Combining effective and group filter will always result in an empty list.")
    if found.effective and found.inherited and found.domain:
        raise BadRequest("Combining effective, domain and inherited filters will always result in an empty list.")
    if found.subtree and not found.project:
        raise BadRequest("scope.project.id must be specified if include_subtree is also specified")
    return found


# From rows to lines --------------------------------------------------------------------------------------------------
def as_made(ctx: Ctx, wanted: Asked) -> list[Entry]:
    """The rows that fit the filters."""
    query = select(Assignment)
    for actor, id in (("user", wanted.user), ("group", wanted.group)):
        if id:
            query = query.where(Assignment.actor == actor, Assignment.actor_id == id)
    if wanted.role:
        query = query.where(Assignment.role_id == wanted.role)
    if wanted.inherited:
        query = query.where(Assignment.inherited.is_(True))
    if wanted.project:
        ids = [wanted.project, *(below(ctx.db, [wanted.project]) if wanted.subtree else [])]
        query = query.where(Assignment.target == "project", Assignment.target_id.in_(ids))
    if wanted.domain:
        query = query.where(Assignment.target == "domain", Assignment.target_id == wanted.domain)
    if wanted.system:
        query = query.where(Assignment.target == "system")
    return [plain(row) for row in ctx.db.scalars(query)]


def plain(row: Assignment) -> Entry:
    return Entry(row.actor, row.actor_id, row.target, row.target_id, row.role_id, row)


def effective(ctx: Ctx, wanted: Asked) -> list[Entry]:
    """What works out: users for groups, projects for inheritance, implied roles beside their priors."""
    query = select(Assignment)
    if wanted.user:
        query = query.where(acts_for(wanted.user))
    if wanted.inherited:
        query = query.where(Assignment.inherited.is_(True))
    places = set(reached(ctx, wanted))
    if wanted.project:
        query = query.where(or_(Assignment.target_id.in_(places), on_the_way(ctx, places)))
    elif wanted.domain:
        query = query.where(
            Assignment.target == "domain", Assignment.target_id == wanted.domain, Assignment.inherited.is_(False)
        )
    elif wanted.system:
        query = query.where(Assignment.target == "system")
    found: Iterable[Entry] = [plain(row) for row in ctx.db.scalars(query)]
    found = members(ctx, found)
    found = spread(ctx, found)
    found = implied(ctx, found)
    private = set(ctx.db.scalars(select(Role.id).where(Role.domain_id != "")))  # they count by what they imply
    kept = dict.fromkeys(
        entry for entry in found
        if entry.role_id not in private
        and (not wanted.user or entry.actor_id == wanted.user) and (not wanted.role or entry.role_id == wanted.role)
        and (not wanted.project or (entry.target == "project" and entry.target_id in places))
    )  # fmt: skip
    return list(kept)


def reached(ctx: Ctx, wanted: Asked) -> list[str]:
    if not wanted.project:
        return []
    return [wanted.project, *(below(ctx.db, [wanted.project]) if wanted.subtree else [])]


def on_the_way(ctx: Ctx, places: set[str]) -> ColumnElement[bool]:
    """Inherited assignments above some projects."""
    higher: set[str] = set()
    for project in ctx.db.scalars(select(Project).where(Project.id.in_(places))):
        higher |= {*above(ctx.db, project), project.domain_id}
    return Assignment.inherited.is_(True) & Assignment.target_id.in_(higher)


def members(ctx: Ctx, entries: Iterable[Entry]) -> Iterator[Entry]:
    for entry in entries:
        if entry.actor == "user":
            yield entry
            continue
        for user_id in ctx.db.scalars(select(Membership.user_id).where(Membership.group_id == entry.actor_id)):
            yield replace(entry, actor="user", actor_id=user_id, group_id=entry.actor_id)


def spread(ctx: Ctx, entries: Iterable[Entry]) -> Iterator[Entry]:
    for entry in entries:
        if not entry.made.inherited:
            yield entry
            continue
        if entry.target == "domain":
            ids = list(ctx.db.scalars(select(Project.id).where(Project.domain_id == entry.target_id)))
        else:
            ids = below(ctx.db, [entry.target_id])
        for id in ids:
            yield replace(entry, target="project", target_id=id)


def implied(ctx: Ctx, entries: Iterable[Entry]) -> Iterator[Entry]:
    known = implications(ctx.db)
    for entry in entries:
        yield entry
        seen, queue = {entry.role_id}, [entry.role_id]
        while queue:
            prior = queue.pop(0)
            for role_id in sorted(known.get(prior, ())):
                if role_id not in seen:
                    seen.add(role_id)
                    queue.append(role_id)
                    yield replace(entry, role_id=role_id, prior_id=prior)


# From lines to the answer --------------------------------------------------------------------------------------------
class Names:
    """Names of what the lines mention; each is read once."""

    def __init__(self, ctx: Ctx) -> None:
        self.ctx = ctx

    def of(self, table: type[Any], id: str) -> Json:
        thing = self.ctx.db.get(table, id)
        if thing is None:
            return {"id": id, "name": ""}
        shown: Json = {"id": id, "name": thing.name}
        if thing.domain_id:
            domain = self.ctx.db.get(Project, thing.domain_id)
            shown["domain"] = {"id": thing.domain_id, "name": domain.name if domain else ""}
        return shown


def link(ctx: Ctx, entry: Entry) -> str:
    made = entry.made
    place = "system" if made.target == "system" else f"{made.target}s/{made.target_id}"
    inner = f"{place}/{made.actor}s/{made.actor_id}/roles/{made.role_id}"
    return f"{ctx.base}/v3/OS-INHERIT/{inner}/inherited_to_projects" if made.inherited else f"{ctx.base}/v3/{inner}"


def view(ctx: Ctx, entry: Entry, names: Names | None) -> Json:
    def named(table: type[Any], id: str) -> Json:
        return names.of(table, id) if names else {"id": id}

    scope: Json = (
        {"system": {"all": True}} if entry.target == "system" else {entry.target: named(Project, entry.target_id)}
    )
    if entry.made.inherited:
        scope["OS-INHERIT:inherited_to"] = "projects"
    links = {"assignment": link(ctx, entry)}
    if entry.group_id:
        links["membership"] = f"{ctx.base}/v3/groups/{entry.group_id}/users/{entry.actor_id}"
    if entry.prior_id:
        links["prior_role"] = f"{ctx.base}/v3/prior_role/{entry.prior_id}/implies/{entry.role_id}"
    who = named(User if entry.actor == "user" else Group, entry.actor_id)
    return {"scope": scope, entry.actor: who, "role": named(Role, entry.role_id), "links": links}


@identity.call("GET", "/v3/role_assignments", rule="identity:list_role_assignments")
def assignments(ctx: Ctx) -> Json:
    """List role assignments."""
    wanted = asked(ctx)
    rule = "identity:list_role_assignments" + ("_for_tree" if wanted.subtree else "")
    everything = ctx.allows(rule, Target())
    if not everything:
        ctx.require(rule, Target(domain_id=ctx.caller.domain_id, project_id=wanted.project))
    if wanted.subtree and ctx.db.get(Project, wanted.project) is None:
        raise unknown("project", wanted.project)
    found = effective(ctx, wanted) if wanted.effective else as_made(ctx, wanted)
    if not everything:
        found = [entry for entry in found if inside(ctx, entry, ctx.caller.domain_id)]
    names = Names(ctx) if wanted.names else None
    asked_for = f"?{ctx.query}" if str(ctx.query) else ""
    links = {"self": f"{ctx.base}/v3/role_assignments{asked_for}", "next": None, "previous": None}
    return {"role_assignments": [view(ctx, entry, names) for entry in found], "links": links}


def inside(ctx: Ctx, entry: Entry, domain_id: str) -> bool:
    place = ctx.db.get(Project, entry.target_id)
    return place is not None and domain_id in (place.id, place.domain_id)
