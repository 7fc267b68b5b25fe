"""Who is it: the methods of a login (password, token, application credential, one-time code) and the scope that is asked for.

API: https://docs.openstack.org/api-ref/identity/v3/#authentication-and-token-management
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import struct
from dataclasses import dataclass
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from wolke.core.app import App
from wolke.core.errors import BadRequest, NotFound, Unauthorized
from wolke.identity import passwords
from wolke.identity.authority import Scope
from wolke.identity.service import refused
from wolke.identity.table import ApplicationCredential, Credential, Failure, Project, User
from wolke.identity.tokens import Meaning, Token, Tokens, meaning

log = logging.getLogger(__name__)


class PasswordExpired(Unauthorized):
    """Right, but too old to log in with; good enough to change it."""


# What the API takes --------------------------------------------------------------------------------------------------
class DomainRef(Struct):
    id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET


class UserRef(Struct):
    id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    domain: DomainRef | UnsetType = UNSET
    password: str | UnsetType = UNSET
    passcode: str | UnsetType = UNSET


class ByUser(Struct):
    user: UserRef


class ByToken(Struct):
    id: str


class ByCredential(Struct):
    secret: str
    id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    user: UserRef | UnsetType = UNSET


class Identity(Struct):
    methods: list[str]
    password: ByUser | UnsetType = UNSET
    token: ByToken | UnsetType = UNSET
    totp: ByUser | UnsetType = UNSET
    application_credential: ByCredential | UnsetType = UNSET


class ProjectRef(Struct):
    id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    domain: DomainRef | UnsetType = UNSET


class ScopeRef(Struct):
    project: ProjectRef | UnsetType = UNSET
    domain: DomainRef | UnsetType = UNSET
    system: dict[str, Any] | UnsetType = UNSET
    unscoped: dict[str, Any] | UnsetType = UNSET


class Login(Struct):
    identity: Identity
    scope: ScopeRef | Literal["unscoped"] | UnsetType = UNSET


class LoginBody(Struct):
    auth: Login


# Who is named --------------------------------------------------------------------------------------------------------
def domain_named(db: Session, ref: DomainRef | UnsetType) -> str:
    """The id of a domain that is named by id or name; "" when there is none."""
    if ref is UNSET or (ref.id is UNSET and ref.name is UNSET):
        raise BadRequest("Invalid input for domain: give its id or name")
    if ref.id is not UNSET:
        return ref.id
    return db.scalar(select(Project.id).where(Project.name == ref.name, Project.is_domain.is_(True))) or ""


def user_named(db: Session, ref: UserRef) -> User | None:
    if ref.id is not UNSET:
        return db.get(User, ref.id)
    if ref.name is UNSET:
        raise BadRequest("Invalid input for user: give its id, or its name and domain")
    domain = domain_named(db, ref.domain)
    return db.scalars(select(User).where(User.name == ref.name, User.domain_id == domain)).first()


@dataclass(slots=True)
class Proof:
    """What the methods of one login have shown."""

    user: User | None = None
    before: Token | None = None
    credential: ApplicationCredential | None = None

    def of(self, user: User) -> None:
        if self.user is not None and self.user.id != user.id:
            raise refused()
        self.user = user


# The methods ---------------------------------------------------------------------------------------------------------
def by_password(app: App, db: Session, proof: Proof, given: ByUser) -> None:
    if given.user.password is UNSET:
        raise BadRequest("Invalid input for auth.identity.password.user: Object missing required field `password`")
    proof.of(checked(app, db, user_named(db, given.user), given.user.password))


def checked(app: App, db: Session, user: User | None, password: str) -> User:
    """The user, when the password is his. An unknown user costs the same time.

    Raises
    ------
    Unauthorized: unknown, wrong, locked out or expired
    """
    attempts = app.config.lockout_failure_attempts
    exempt = user is None or not attempts or user.options.get("ignore_lockout_failure_attempts")
    failure = None if exempt or user is None else db.get(Failure, user.id)
    locked = failure is not None and failure.count >= attempts and failure.at + app.config.lockout_seconds > app.clock()
    good = passwords.matches(password, user.password_hash if user else "") and not locked
    if user is None or not good:
        log.info("login refused", extra={"kind": "user", "id": user.id if user else ""})
        if user is not None and not exempt and not locked:
            count_failure(app, user.id)
        raise refused()
    if failure is not None:
        forget_failures(app, user.id)
    until = user.password_expires_at
    if until is not None and until <= app.clock() and not user.options.get("ignore_password_expiry"):
        raise PasswordExpired(f"The password is expired and needs to be changed for user: {user.id}.")
    return user


def count_failure(app: App, user_id: str) -> None:
    with app.database.transaction() as db:
        failure = db.get(Failure, user_id, with_for_update=True)
        stale = failure is not None and failure.at + app.config.lockout_seconds <= app.clock()
        count = 1 if failure is None or stale else failure.count + 1
        db.merge(Failure(user_id=user_id, count=count, at=app.clock()))


def forget_failures(app: App, user_id: str) -> None:
    with app.database.transaction() as db:
        db.execute(delete(Failure).where(Failure.user_id == user_id))


def by_token(app: App, db: Session, proof: Proof, given: ByToken) -> None:
    tokens = app.part(Tokens)
    try:
        means = meaning(db, tokens.read(db, given.id))
    except Unauthorized as error:  # as Keystone: a token that is no proof any more is one that is not found
        raise NotFound("Could not find token.") from error
    proof.of(means.user)
    proof.before, proof.credential = means.token, means.credential


def by_credential(app: App, db: Session, proof: Proof, given: ByCredential) -> None:
    if given.id is not UNSET:
        found = db.get(ApplicationCredential, given.id)
    elif given.name is UNSET or given.user is UNSET:
        raise BadRequest("Invalid input for application_credential: give its id, or its name and user")
    else:
        user = user_named(db, given.user)
        mine = (ApplicationCredential.user_id == (user.id if user else "")) & (ApplicationCredential.name == given.name)
        found = db.scalars(select(ApplicationCredential).where(mine)).first()
    good = passwords.matches(given.secret, found.secret_hash if found else "")
    if found is None or not good or (found.expires_at is not None and found.expires_at <= app.clock()):
        raise refused()
    owner = db.get(User, found.user_id)
    assert owner
    proof.of(owner)
    proof.credential = found


def by_totp(app: App, db: Session, proof: Proof, given: ByUser) -> None:
    user = user_named(db, given.user)
    if user is None or given.user.passcode is UNSET:
        raise refused()
    seeds = db.scalars(select(Credential).where(Credential.user_id == user.id, Credential.type == "totp"))
    codes = {totp(app.vault.open(seed.sealed).decode(), app.clock() - back) for seed in seeds for back in (0, 30)}
    if not any(hmac.compare_digest(code, given.user.passcode) for code in codes):
        raise refused()
    proof.of(user)


def totp(seed: str, at: float) -> str:
    """The six digits of a base32 seed (RFC 6238).

    >>> totp("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", 59)
    '287082'
    """
    key = base64.b32decode(seed.upper() + "=" * (-len(seed) % 8))
    digest = hmac.digest(key, struct.pack(">Q", int(at) // 30), hashlib.sha1)
    start = digest[-1] & 15
    return f"{(int.from_bytes(digest[start : start + 4], 'big') & 0x7FFFFFFF) % 10**6:06d}"


HOW: dict[str, Any] = {
    "token": by_token,
    "application_credential": by_credential,
    "totp": by_totp,
    "password": by_password,  # last: the dearest
}


def proven(app: App, db: Session, identity: Identity) -> Proof:
    """What the given methods prove.

    Raises
    ------
    BadRequest: a method without its part; Unauthorized: unknown method, or one that fails
    """
    if not identity.methods:
        raise BadRequest("Invalid input for auth.identity.methods: at least one method is needed")
    if unknown := set(identity.methods) - set(HOW):
        raise Unauthorized(f"Attempted to authenticate with an unsupported method: {', '.join(sorted(unknown))}.")
    proof = Proof()
    for name in (name for name in HOW if name in identity.methods):
        given = getattr(identity, name)
        if given is UNSET:
            raise BadRequest(f"Expecting to find {name} in identity. The server could not comply with the request.")
        HOW[name](app, db, proof, given)
    assert proof.user
    enough(proof.user, {*identity.methods, *(proof.before.methods if proof.before else ())})
    return proof


def enough(user: User, methods: set[str]) -> None:
    """Several factors where the user's options ask for them."""
    rules = user.options.get("multi_factor_auth_rules") or []
    if user.options.get("multi_factor_auth_enabled", True) and rules:
        known = [set(rule) & set(HOW) for rule in rules]
        if not any(rule and rule <= methods for rule in known):
            raise refused()


# What for ------------------------------------------------------------------------------------------------------------
def asked(db: Session, login: Login) -> Scope | None:
    """The scope that is asked for; None when the login leaves it open."""
    ref = login.scope
    if ref is UNSET:
        return None
    if ref == "unscoped" or (isinstance(ref, ScopeRef) and ref.unscoped is not UNSET):
        return Scope()
    assert isinstance(ref, ScopeRef)
    kinds = [kind for kind in ("project", "domain", "system") if getattr(ref, kind) is not UNSET]
    if len(kinds) != 1:
        raise BadRequest("Invalid input for auth.scope: give one of project, domain, system, unscoped")
    if ref.system is not UNSET:
        if not ref.system.get("all"):
            raise BadRequest("Invalid input for auth.scope.system: only {'all': true} is known")
        return Scope("system")
    if ref.domain is not UNSET:
        return Scope("domain", domain_named(db, ref.domain) or "?")
    assert ref.project is not UNSET
    return Scope("project", project_named(db, ref.project) or "?")


def project_named(db: Session, ref: ProjectRef) -> str:
    if ref.id is not UNSET:
        return ref.id
    if ref.name is UNSET:
        raise BadRequest("Invalid input for auth.scope.project: give its id, or its name and domain")
    domain = domain_named(db, ref.domain)
    here = (Project.name == ref.name) & (Project.domain_id == domain) & Project.is_domain.is_(False)
    return db.scalar(select(Project.id).where(here)) or ""


def let_in(app: App, db: Session, login: Login) -> tuple[str, Meaning]:
    """A token for a login. Raises BadRequest, Unauthorized."""
    proof = proven(app, db, login.identity)
    user = proof.user
    assert user
    scope = asked(db, login)
    credential = proof.credential
    if credential is not None:
        mine = Scope("project", credential.project_id)
        if scope is not None and scope != mine:
            raise Unauthorized("Application credentials cannot request another scope.")
        scope = mine
    tokens = app.part(Tokens)
    methods = tuple(login.identity.methods)
    if scope is not None or not user.default_project_id:
        return tokens.issue(db, user, scope or Scope(), methods, before=proof.before, credential=credential)
    try:
        return tokens.issue(db, user, Scope("project", user.default_project_id), methods, before=proof.before)
    except Unauthorized:  # a default project that is gone or closed to him does not keep him out
        return tokens.issue(db, user, Scope(), methods, before=proof.before)
