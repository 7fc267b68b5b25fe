"""Which roles a user has where: direct, by group, inherited from above, and implied by other roles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, or_, select
from sqlalchemy.orm import Session

from wolke.identity.table import Assignment, ImpliedRole, Membership, Project, Role


@dataclass(frozen=True, slots=True)
class Scope:
    """What a token is good for. ``kind`` : "" (nothing), "project", "domain" or "system"."""

    kind: str = ""
    id: str = ""  # of the project or domain


def groups_of(user_id: str) -> Select[str]:
    return select(Membership.group_id).where(Membership.user_id == user_id)


def acts_for(user_id: str) -> ColumnElement[bool]:
    """Assignments of the user or of one of his groups."""
    return or_(
        and_(Assignment.actor == "user", Assignment.actor_id == user_id),
        and_(Assignment.actor == "group", Assignment.actor_id.in_(groups_of(user_id))),
    )


def above(db: Session, project: Project) -> list[str]:
    """Ids of the projects above one, nearest first; its domain is not among them."""
    found: list[str] = []
    parent = project.parent_id
    while parent and parent != project.domain_id:
        found.append(parent)
        parent = db.scalar(select(Project.parent_id).where(Project.id == parent)) or ""
    return found


def below(db: Session, ids: Iterable[str]) -> list[str]:
    """Ids of all projects below some projects."""
    found: list[str] = []
    level = list(ids)
    while level:
        level = list(db.scalars(select(Project.id).where(Project.parent_id.in_(level), Project.is_domain.is_(False))))
        found += level
    return found


def applies_to(db: Session, scope: Scope) -> ColumnElement[bool]:
    """Assignments that give roles in a scope."""
    if scope.kind == "system":
        return Assignment.target == "system"
    here = and_(Assignment.target == scope.kind, Assignment.target_id == scope.id, Assignment.inherited.is_(False))
    project = db.get(Project, scope.id) if scope.kind == "project" else None
    if project is None:
        return here
    from_domain = and_(Assignment.target == "domain", Assignment.target_id == project.domain_id)
    from_above = and_(Assignment.target == "project", Assignment.target_id.in_(above(db, project)))
    return or_(here, and_(Assignment.inherited.is_(True), or_(from_domain, from_above)))


def implications(db: Session) -> dict[str, set[str]]:
    """Role id -> ids of the roles that it implies directly."""
    found: dict[str, set[str]] = {}
    for prior, implied in db.execute(select(ImpliedRole.prior_id, ImpliedRole.implied_id)):
        found.setdefault(prior, set()).add(implied)
    return found


def closure(ids: Iterable[str], implied: dict[str, set[str]]) -> set[str]:
    """The roles and all that they imply.

    >>> sorted(closure(["admin"], {"admin": {"member"}, "member": {"reader"}}))
    ['admin', 'member', 'reader']
    """
    found: set[str] = set()
    open_ids = list(ids)
    while open_ids:
        one = open_ids.pop()
        if one not in found:
            found.add(one)
            open_ids += implied.get(one, ())
    return found


def roles_in(db: Session, user_id: str, scope: Scope) -> dict[str, str]:
    """Id -> name of the roles that a token of this scope carries; a domain's own roles count by what they imply."""
    direct = db.scalars(select(Assignment.role_id).where(acts_for(user_id), applies_to(db, scope)).distinct()).all()
    if not direct:
        return {}
    every = select(Role.id, Role.name).where(Role.id.in_(closure(direct, implications(db))), Role.domain_id == "")
    return {row.id: row.name for row in db.execute(every.order_by(Role.name))}


def projects_of(db: Session, user_id: str) -> set[str]:
    """Ids of the projects on which a user has a role."""
    found: set[str] = set()
    domains, parents = [], []
    mine = select(Assignment.target, Assignment.target_id, Assignment.inherited).where(acts_for(user_id)).distinct()
    for target, id, inherited in db.execute(mine):
        if target == "project" and not inherited:
            found.add(id)
        elif target == "project":
            parents.append(id)
        elif target == "domain" and inherited:
            domains.append(id)
    if domains:
        found |= set(db.scalars(select(Project.id).where(Project.domain_id.in_(domains))))
    return found | set(below(db, parents))


def domains_of(db: Session, user_id: str) -> set[str]:
    direct = and_(Assignment.target == "domain", Assignment.inherited.is_(False))
    return set(db.scalars(select(Assignment.target_id).where(acts_for(user_id), direct)))
