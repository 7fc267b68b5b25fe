"""What must go along when a project, a domain, a user or a group goes and no foreign key says so."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from wolke.core.errors import Forbidden
from wolke.core.quota import QuotaLimit
from wolke.identity.table import Assignment, Credential, Group, Limit, Project, Role, User


def forget(db: Session, ids: Sequence[str]) -> None:
    """Take away what refers to projects that are to be deleted."""
    db.execute(delete(Assignment).where(Assignment.target == "project", Assignment.target_id.in_(ids)))
    db.execute(delete(Credential).where(Credential.project_id.in_(ids)))
    db.execute(delete(Limit).where(Limit.project_id.in_(ids)))
    db.execute(delete(QuotaLimit).where(QuotaLimit.project_id.in_(ids)))
    for user in db.scalars(select(User).where(User.default_project_id.in_(ids))):
        user.default_project_id = ""


def empty(db: Session, domain: Project) -> None:
    """Delete all that is in a domain. Raises Forbidden while it is enabled."""
    if domain.enabled:
        raise Forbidden(f"Cannot delete a domain that is enabled, please disable it first: {domain.id}.")
    inside = list(db.scalars(select(Project.id).where(Project.domain_id == domain.id)))
    forget(db, [*inside, domain.id])
    clear_actors(db, "user", list(db.scalars(select(User.id).where(User.domain_id == domain.id))))
    clear_actors(db, "group", list(db.scalars(select(Group.id).where(Group.domain_id == domain.id))))
    db.execute(delete(Assignment).where(Assignment.target == "domain", Assignment.target_id == domain.id))
    db.execute(delete(Limit).where(Limit.domain_id == domain.id))
    for table in (Role, Project):
        db.execute(delete(table).where(table.domain_id == domain.id))


def clear_actors(db: Session, actor: str, ids: Sequence[str]) -> None:
    """Take all roles from users or groups that are to be deleted."""
    db.execute(delete(Assignment).where(Assignment.actor == actor, Assignment.actor_id.in_(ids)))
