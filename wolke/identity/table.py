"""What identity keeps: one room for all tables, because deleting a domain, a user or a role reaches across them.

Ids are 32 hex digits, as keystone draws them; the first domain's id is ``default``.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar

from sqlalchemy import JSON, ForeignKey, Text, UniqueConstraint, event, insert, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from wolke.core.db import Base, matched, new_hex


def _parent(column: str) -> ForeignKey:
    return ForeignKey(column, ondelete="CASCADE")


class Entity(Base):
    """Whatever has an id of its own. ``extra`` holds attributes that the API stores without knowing them."""

    __abstract__ = True
    id: Mapped[str] = mapped_column(primary_key=True, default=new_hex)
    extra: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class Weighty:
    """Rows that a token's meaning depends on: any change of one ends the epoch in which cached callers are good."""


class Epoch(Base):
    """One row that grows with every change of a weighty row, in the same transaction."""

    __tablename__ = "identity_epoch"
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(default=0)


def bump(db: Session) -> None:
    """Make every cached caller be looked up again; for changes that do not pass through the ORM."""
    if not matched(db, update(Epoch).values(number=Epoch.number + 1)):
        db.execute(insert(Epoch).values(id=1, number=1))


@event.listens_for(Session, "before_flush")
def _end_epoch(session: Session, _context: Any, _instances: Any) -> None:
    changed = (thing for thing in session.dirty if session.is_modified(thing))
    if any(isinstance(thing, Weighty) for thing in (*session.new, *session.deleted, *changed)):
        bump(session)


# Who there is ------------------------------------------------------------------------------------------------------
class Project(Weighty, Entity):
    """A project, or a domain, which is a project with ``is_domain`` and no domain above it."""

    __tablename__ = "project"
    __table_args__ = (UniqueConstraint("domain_id", "name", "is_domain"),)
    name: Mapped[str]
    domain_id: Mapped[str] = mapped_column(index=True, default="")  # empty for a domain
    parent_id: Mapped[str] = mapped_column(index=True, default="")  # a project or the domain; empty for a domain
    is_domain: Mapped[bool] = mapped_column(default=False)
    description: Mapped[str] = mapped_column(Text, default="")
    enabled: Mapped[bool] = mapped_column(default=True)
    options: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    generation: Mapped[int] = mapped_column(default=0)  # grows when it is disabled: older tokens are void for good


class ProjectTag(Base):
    __tablename__ = "project_tag"
    project_id: Mapped[str] = mapped_column(_parent("project.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)


class User(Weighty, Entity):
    __tablename__ = "user"
    __table_args__ = (UniqueConstraint("domain_id", "name"),)
    name: Mapped[str]
    domain_id: Mapped[str] = mapped_column(_parent("project.id"), index=True)
    enabled: Mapped[bool] = mapped_column(default=True)
    default_project_id: Mapped[str] = mapped_column(default="")
    options: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    password_hash: Mapped[str] = mapped_column(default="")  # empty: no login by password
    password_expires_at: Mapped[float | None]  # unix seconds
    created_at: Mapped[float] = mapped_column(default=time.time)
    generation: Mapped[int] = mapped_column(default=0)  # grows with the password and when disabled


class Failure(Base):
    """Logins of one user that failed one after the other; no row, no failure."""

    __tablename__ = "login_failure"
    user_id: Mapped[str] = mapped_column(_parent("user.id"), primary_key=True)
    count: Mapped[int]
    at: Mapped[float]  # unix seconds of the last one


class PastPassword(Base):
    """Hashes that a user's password had before, as many as ``unique_last_password_count`` asks for."""

    __tablename__ = "past_password"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    user_id: Mapped[str] = mapped_column(_parent("user.id"), index=True)
    password_hash: Mapped[str]


class Group(Weighty, Entity):
    __tablename__ = "group"
    __table_args__ = (UniqueConstraint("domain_id", "name"),)
    name: Mapped[str]
    domain_id: Mapped[str] = mapped_column(_parent("project.id"), index=True)
    description: Mapped[str] = mapped_column(Text, default="")


class Membership(Weighty, Base):
    __tablename__ = "membership"
    group_id: Mapped[str] = mapped_column(_parent("group.id"), primary_key=True)
    user_id: Mapped[str] = mapped_column(_parent("user.id"), primary_key=True, index=True)


# What they may do --------------------------------------------------------------------------------------------------
class Role(Weighty, Entity):
    __tablename__ = "role"
    __table_args__ = (UniqueConstraint("domain_id", "name"),)
    name: Mapped[str]
    domain_id: Mapped[str] = mapped_column(index=True, default="")  # empty for a role of the whole cloud
    description: Mapped[str] = mapped_column(Text, default="")
    options: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class ImpliedRole(Weighty, Base):
    __tablename__ = "implied_role"
    prior_id: Mapped[str] = mapped_column(_parent("role.id"), primary_key=True)
    implied_id: Mapped[str] = mapped_column(_parent("role.id"), primary_key=True)


class Assignment(Weighty, Base):
    """A role that a user or group has on a project, a domain or the system; inherited: on the projects below it."""

    __tablename__ = "assignment"
    actor: Mapped[str] = mapped_column(primary_key=True)  # "user" or "group"
    actor_id: Mapped[str] = mapped_column(primary_key=True)
    target: Mapped[str] = mapped_column(primary_key=True)  # "project", "domain" or "system"
    target_id: Mapped[str] = mapped_column(primary_key=True, index=True)  # "all" for the system
    role_id: Mapped[str] = mapped_column(_parent("role.id"), primary_key=True, index=True)
    inherited: Mapped[bool] = mapped_column(primary_key=True, default=False)


class ApplicationCredential(Weighty, Base):
    __tablename__ = "application_credential"
    __table_args__ = (UniqueConstraint("user_id", "name"),)
    id: Mapped[str] = mapped_column(primary_key=True, default=new_hex)
    name: Mapped[str]
    user_id: Mapped[str] = mapped_column(_parent("user.id"), index=True)
    project_id: Mapped[str] = mapped_column(_parent("project.id"), index=True)
    description: Mapped[str] = mapped_column(Text, default="")
    secret_hash: Mapped[str]
    expires_at: Mapped[float | None]
    unrestricted: Mapped[bool] = mapped_column(default=False)
    role_ids: Mapped[list[str]] = mapped_column(JSON, default=list)
    access_rule_ids: Mapped[list[str] | None] = mapped_column(JSON)  # None: not limited


class AccessRuleRow(Weighty, Base):
    __tablename__ = "access_rule"
    __table_args__ = (UniqueConstraint("user_id", "service", "method", "path"),)
    id: Mapped[str] = mapped_column(primary_key=True, default=new_hex)
    user_id: Mapped[str] = mapped_column(_parent("user.id"), index=True)
    service: Mapped[str]
    method: Mapped[str]
    path: Mapped[str]


class Credential(Entity):
    """A secret that users keep here (EC2 keys, TOTP seeds), sealed by the vault."""

    __tablename__ = "credential"
    user_id: Mapped[str] = mapped_column(_parent("user.id"), index=True)
    project_id: Mapped[str] = mapped_column(index=True, default="")
    type: Mapped[str]
    sealed: Mapped[str] = mapped_column(Text)


class PolicyRow(Entity):
    __tablename__ = "policy"
    type: Mapped[str]
    blob: Mapped[str] = mapped_column(Text)


# Where things are --------------------------------------------------------------------------------------------------
class Region(Weighty, Entity):
    __tablename__ = "region"
    description: Mapped[str] = mapped_column(Text, default="")
    parent_region_id: Mapped[str] = mapped_column(default="")


class ServiceRow(Weighty, Entity):
    __tablename__ = "service"
    type: Mapped[str]
    name: Mapped[str | None]
    enabled: Mapped[bool] = mapped_column(default=True)


class EndpointRow(Weighty, Entity):
    __tablename__ = "endpoint"
    service_id: Mapped[str] = mapped_column(_parent("service.id"), index=True)
    region_id: Mapped[str] = mapped_column(index=True, default="")
    interface: Mapped[str]
    url: Mapped[str] = mapped_column(Text)
    enabled: Mapped[bool] = mapped_column(default=True)


class RegisteredLimit(Base):
    __tablename__ = "registered_limit"
    id: Mapped[str] = mapped_column(primary_key=True, default=new_hex)
    service_id: Mapped[str] = mapped_column(_parent("service.id"), index=True)
    region_id: Mapped[str] = mapped_column(default="")
    resource_name: Mapped[str]
    default_limit: Mapped[int]
    description: Mapped[str | None] = mapped_column(Text)
    __table_args__ = (UniqueConstraint("service_id", "region_id", "resource_name"),)


class Limit(Base):
    __tablename__ = "limit"
    id: Mapped[str] = mapped_column(primary_key=True, default=new_hex)
    registered_limit_id: Mapped[str] = mapped_column(ForeignKey("registered_limit.id"), index=True)
    project_id: Mapped[str] = mapped_column(index=True, default="")
    domain_id: Mapped[str] = mapped_column(index=True, default="")
    service_id: Mapped[str]
    region_id: Mapped[str] = mapped_column(default="")
    resource_name: Mapped[str]
    resource_limit: Mapped[int]
    description: Mapped[str | None] = mapped_column(Text)
    __table_args__ = (UniqueConstraint("registered_limit_id", "project_id", "domain_id"),)


# Tokens ------------------------------------------------------------------------------------------------------------
class FernetKey(Weighty, Base):
    """``state``: "staged" (checks, will sign next), "primary" (signs), "secondary" (only checks)."""

    __tablename__ = "fernet_key"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    sealed: Mapped[str] = mapped_column(Text)
    state: Mapped[str]
    since: Mapped[float]  # unix seconds at which it came into this state

    STATES: ClassVar = ("primary", "staged", "secondary")


class Revocation(Weighty, Base):
    __tablename__ = "revoked_token"
    audit_id: Mapped[str] = mapped_column(primary_key=True)
    expires_at: Mapped[float] = mapped_column(index=True)  # of the token; then the row may go
