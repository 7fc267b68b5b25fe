"""Users: who may log in, their passwords and their options.

API: https://docs.openstack.org/api-ref/identity/v3/#users
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import Select, delete, select

from wolke.core import policy
from wolke.core.app import App
from wolke.core.auth import Caller
from wolke.core.bodies import OpenBody
from wolke.core.db import Json, iso
from wolke.core.errors import BadRequest, Forbidden
from wolke.core.http import Ctx
from wolke.core.policy import Target
from wolke.identity import passwords
from wolke.identity.entities import Entities, changes, home_of, options
from wolke.identity.leaving import clear_actors
from wolke.identity.login import PasswordExpired, checked
from wolke.identity.service import (
    Id,
    Name,
    domain_manager,
    domain_reader,
    identity,
    owner_or_domain_reader,
    refused,
    taken,
    unknown,
)
from wolke.identity.table import PastPassword, Project, User

log = logging.getLogger(__name__)
Password = Annotated[str, Meta(min_length=1, max_length=4096)]
OPTIONS: dict[str, Any] = {
    "ignore_change_password_upon_first_use": bool,
    "ignore_password_expiry": bool,
    "ignore_lockout_failure_attempts": bool,
    "ignore_user_inactivity": bool,
    "lock_password": bool,
    "multi_factor_auth_enabled": bool,
    "multi_factor_auth_rules": list[list[str]],
}


# What the API takes and gives ----------------------------------------------------------------------------------------
class Create(OpenBody):
    name: Name
    domain_id: Id | UnsetType | None = UNSET
    enabled: bool = True
    default_project_id: Id | UnsetType | None = UNSET
    password: Password | UnsetType | None = UNSET
    options: dict[str, Any] = {}


class Update(OpenBody):
    name: Name | UnsetType = UNSET
    domain_id: str | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    default_project_id: Id | UnsetType | None = UNSET
    password: Password | UnsetType | None = UNSET
    options: dict[str, Any] | UnsetType = UNSET


class Passwords(Struct):
    password: Password
    original_password: str


class PasswordBody(Struct):
    user: Passwords


def view(user: Any, links: Json) -> Json:
    until = user.password_expires_at
    shown = {
        **user.extra, "id": user.id, "name": user.name, "domain_id": user.domain_id, "enabled": user.enabled,
        "options": user.options, "password_expires_at": None if until is None else iso(until, micro=True), "links": links,
    }  # fmt: skip
    return shown | ({"default_project_id": user.default_project_id} if user.default_project_id else {})


# What the calls do ---------------------------------------------------------------------------------------------------
WHEN: dict[str, Callable[[Any, float], Any]] = {
    "lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge, "eq": operator.eq, "neq": operator.ne,
}  # fmt: skip


def narrow(ctx: Ctx, query: Select[Any]) -> Select[Any]:
    """``password_expires_at=lt:2026-01-01T00:00:00Z``"""
    for asked in ctx.query.getlist("password_expires_at"):
        how, _, when = asked.partition(":")
        try:
            moment = datetime.strptime(when, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
            query = query.where(WHEN[how](User.password_expires_at, moment))
        except (KeyError, ValueError) as error:
            raise BadRequest(f"Invalid input for password_expires_at: '{asked}'") from error
    return query


def about(user: User) -> Target:
    return Target(domain_id=user.domain_id, user_id=user.id, id=user.id)


users = Entities(
    "/v3/users", "user", "users", User, view, target=about, narrow=narrow,
    checks={
        "get": owner_or_domain_reader, "list": domain_reader, "create": domain_manager, "update": domain_manager,
        "delete": domain_manager,
    },
    filters={
        "name": User.name, "domain_id": User.domain_id, "enabled": User.enabled,
        "default_project_id": User.default_project_id,
    },
)  # fmt: skip


def hash_first(app: App, caller: Caller, path: Mapping[str, str], whole: Any) -> Any:
    """The body with the password's hash in its place: that takes a hundred statements' time, so no transaction waits for it."""
    if isinstance(whole.user.password, str):
        whole.user.password = passwords.hashed(whole.user.password)
    return whole


@users.create(prepare=hash_first)
def create(ctx: Ctx, body: Create) -> User:
    home = home_of(ctx, body.domain_id)
    ctx.require("identity:create_user", Target(domain_id=home))
    domain = ctx.db.get(Project, home)
    if domain is None or not domain.is_domain:
        raise unknown("domain", home)
    unique(ctx, body.name, home)
    return User(
        name=body.name, domain_id=home, enabled=body.enabled, password_hash=body.password or "", created_at=ctx.now,
        default_project_id=default_project(ctx, body.default_project_id), extra=body.extra,
        options=options(OPTIONS, body.options, {}),
    )  # fmt: skip


def unique(ctx: Ctx, name: str, domain_id: str, id: str = "") -> None:
    if ctx.db.query(User.id).filter(User.name == name, User.domain_id == domain_id, User.id != id).first():
        raise taken("user", name, domain_id)


def default_project(ctx: Ctx, id: Any) -> str:
    """Raises BadRequest: a domain cannot be anybody's default project."""
    if not isinstance(id, str):
        return ""
    project = ctx.db.get(Project, id)
    if project is not None and project.is_domain:
        raise BadRequest("Invalid input for default_project_id: User's default project ID cannot be a domain ID")
    return id


@users.update(prepare=hash_first)
def update(ctx: Ctx, user: User, body: Update) -> None:
    sent = changes(body)
    if sent.get("domain_id", user.domain_id) != user.domain_id:
        raise BadRequest("Cannot change Domain ID")
    if "name" in sent:
        unique(ctx, sent["name"], user.domain_id, user.id)
        user.name = sent["name"]
    if "options" in sent:
        user.options = options(OPTIONS, sent["options"], user.options)
    if "default_project_id" in sent:
        user.default_project_id = default_project(ctx, sent["default_project_id"])
    if "enabled" in sent:
        user.generation += bool(user.enabled and not sent["enabled"])
        user.enabled = sent["enabled"]
    if "password" in sent:
        set_password(ctx, user, sent["password"] or "")


@users.delete
def remove(ctx: Ctx, user: User) -> None:
    clear_actors(ctx.db, "user", [user.id])


# One's own password --------------------------------------------------------------------------------------------------
policy.rules({"identity:change_password": policy.anybody})


@dataclass(frozen=True, slots=True)
class Change:
    """A change of password whose proof has held, against the hash that was there."""

    before: str
    after: str


def prove_first(app: App, caller: Caller, path: Mapping[str, str], whole: PasswordBody) -> Change:
    """Both hashes are computed before a transaction opens. Raises Unauthorized, Forbidden, BadRequest."""
    wanted, original = whole.user.password, whole.user.original_password
    with app.database.read() as db:
        user = db.get(User, path["user_id"])
        try:
            checked(app, db, user, original)
        except PasswordExpired:
            log.info("an expired password is being changed", extra={"kind": "user", "id": path["user_id"]})
    if user is None or not user.enabled:
        raise refused()
    if user.options.get("lock_password"):
        raise Forbidden("You are not authorized to perform the requested action: the password is locked.")
    if original == wanted:
        raise BadRequest("Invalid input for password: the new password must differ from the original one")
    if any(passwords.matches(wanted, past) for past in past_hashes(app, user.id)):
        unique = app.config.unique_last_password_count
        raise BadRequest(
            "Password validation error: The new password cannot be identical to a previous password. "
            f"The total number which includes the new password must be unique is {unique}."
        )
    return Change(user.password_hash, passwords.hashed(wanted))


def past_hashes(app: App, user_id: str) -> list[str]:
    """The hashes before the present one that must not come back, newest first."""
    with app.database.read() as db:
        mine = (
            select(PastPassword.password_hash).where(PastPassword.user_id == user_id).order_by(PastPassword.id.desc())
        )
        return list(db.scalars(mine.limit(max(app.config.unique_last_password_count - 1, 0))))


def set_password(ctx: Ctx, user: User, hashed: str) -> None:
    """Replace a password: older tokens are void, and the old hash is remembered as long as it must not come back."""
    kept = ctx.app.config.unique_last_password_count - 1
    if kept > 0 and user.password_hash:
        ctx.db.add(PastPassword(user_id=user.id, password_hash=user.password_hash))
        ctx.db.flush()
        newest = (
            select(PastPassword.id).where(PastPassword.user_id == user.id).order_by(PastPassword.id.desc()).limit(kept)
        )
        ctx.db.execute(delete(PastPassword).where(PastPassword.user_id == user.id, PastPassword.id.not_in(newest)))
    user.password_hash, user.password_expires_at = hashed, None
    user.generation += 1


@identity.call(
    "POST", "/v3/users/{user_id}/password", rule="identity:change_password", body=PasswordBody, status=204, public=True,
    prepare=prove_first,
)  # fmt: skip
def change_password(ctx: Ctx, change: Change) -> None:
    """Change one's own password: the old one is the proof, so an expired one can still be changed."""
    user = ctx.db.get(User, ctx.path["user_id"], with_for_update=True)
    if user is None or user.password_hash != change.before:
        raise refused()
    set_password(ctx, user, change.after)
    ctx.about(user)
