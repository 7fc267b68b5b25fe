"""Tokens: short sealed statements of who was let in for what, and the checks that turn one into a caller.

A token names its user, its scope, and their *generations*, numbers that grow when a password changes or something is disabled: so an
older token is void at once and for good, whatever the clocks say. What a token means (roles, names) is looked up and cached for one
*epoch*, a counter that every write which could change that meaning moves on: a check costs one tiny SELECT and a dict lookup.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec
from anyio import CapacityLimiter
from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.core.app import App
from wolke.core.auth import AccessRule, Caller
from wolke.core.errors import Unauthorized
from wolke.identity.authority import Scope, closure, groups_of, implications, roles_in
from wolke.identity.keys import EXPIRED_WINDOW, Ring
from wolke.identity.service import refused
from wolke.identity.table import (
    AccessRuleRow,
    ApplicationCredential,
    Epoch,
    Project,
    Revocation,
    User,
)

T = TypeVar("T")
METHODS = ("password", "token", "application_credential", "totp")
KINDS = ("", "project", "domain", "system")
CACHED = 4096  # callers that one process remembers
SHOWN = 512  # tokens as the API shows them, some kilobytes each


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What stands in a token; ``audit_ids``: its own and, of a rescoped one, that of the first."""

    user_id: str
    generation: int
    scope: Scope
    scope_generation: int
    methods: tuple[str, ...]
    issued_at: float
    expires_at: float  # unix seconds
    audit_ids: tuple[str, ...]
    credential_id: str = ""

    @property
    def payload(self) -> bytes:
        known = sum(1 << METHODS.index(method) for method in self.methods)
        audits = [base64.urlsafe_b64decode(f"{audit}==") for audit in self.audit_ids]
        return msgspec.msgpack.encode(
            (
                packed(self.user_id), self.generation, KINDS.index(self.scope.kind), packed(self.scope.id),
                self.scope_generation, known, self.expires_at, audits, packed(self.credential_id),
            )
        )  # fmt: skip

    @classmethod
    def parse(cls, payload: bytes, issued_at: float) -> Token:
        user, generation, kind, scope, scope_generation, known, expires, audits, credential = msgspec.msgpack.decode(
            payload
        )
        return cls(
            user_id=unpacked(user), generation=generation, scope=Scope(KINDS[kind], unpacked(scope)),
            scope_generation=scope_generation, credential_id=unpacked(credential), issued_at=issued_at, expires_at=expires,
            methods=tuple(method for at, method in enumerate(METHODS) if known >> at & 1),
            audit_ids=tuple(base64.urlsafe_b64encode(audit).rstrip(b"=").decode() for audit in audits),
        )  # fmt: skip


def packed(id: str) -> bytes | str:
    """An id as 16 bytes where it is 32 hex digits, else as it is.

    >>> packed("default"), unpacked(packed("00" * 16))
    ('default', '00000000000000000000000000000000')
    """
    try:
        return bytes.fromhex(id) if len(id) == 32 and id == id.lower() else id
    except ValueError:
        return id


def unpacked(id: bytes | str) -> str:
    return id if isinstance(id, str) else id.hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """A token with everything that it stands for, as the database says it now."""

    token: Token
    user: User
    user_domain: Project
    project: Project | None = None
    domain: Project | None = None  # of the scope: the domain itself, or the project's
    roles: dict[str, str] = field(default_factory=dict)  # id -> name
    credential: ApplicationCredential | None = None
    access_rules: tuple[AccessRuleRow, ...] | None = None
    groups: frozenset[str] = frozenset()

    def caller(self) -> Caller:
        token, project = self.token, self.project
        rules = self.access_rules
        return Caller(
            user_id=self.user.id, user_name=self.user.name, user_domain_id=self.user.domain_id,
            project_id=project.id if project else "", project_name=project.name if project else "",
            project_domain_id=project.domain_id or project.id if project else "",
            domain_id=token.scope.id if token.scope.kind == "domain" else "", system=token.scope.kind == "system",
            roles=frozenset(self.roles.values()), audit_id=token.audit_ids[0], expires_at=token.expires_at,
            credential_id=token.credential_id, groups=self.groups,
            access_rules=None if rules is None else tuple(
                AccessRule(service=rule.service, method=rule.method, path=rule.path) for rule in rules
            ),
        )  # fmt: skip


class Remembered(Generic[T]):
    """What was found out in one epoch, by the token it is about; good in no other epoch."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[str, tuple[int, T]] = {}

    def of(self, epoch: int, key: str, find: Callable[[], T]) -> T:
        known = self._known.get(key)
        if known is None or known[0] != epoch:
            known = (epoch, find())
            while len(self._known) >= self._most:
                self._known.pop(next(iter(self._known)), None)
            self._known[key] = known
        return known[1]


class Tokens:
    """Issues and checks. One per process; what it remembers is good for one epoch only."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.logins = CapacityLimiter(8)  # that hash or wait for their turn at a time
        self._callers: Remembered[Caller] = Remembered(CACHED)
        self._meanings: Remembered[Meaning] = Remembered(SHOWN)
        self.shown: Remembered[bytes] = Remembered(SHOWN)  # bodies of checks
        self._ring: tuple[int, Ring] = (-1, None)  # type: ignore[assignment]

    # Checking ------------------------------------------------------------------------------------------------------
    def authenticate(self, token: str) -> Caller:
        """The caller behind a token. Raises Unauthorized."""
        with self.app.database.read() as db:
            epoch = self.epoch(db)
            caller = self._callers.of(epoch, token, lambda: meaning(db, self.read(db, token, epoch)).caller())
        self._in_time(caller.expires_at)
        return caller

    def meaning(self, db: Session, token: str, epoch: int, *, late: bool = False) -> Meaning:
        """What a token stands for. ``late``: also one that ended within the last two days. Raises Unauthorized."""
        means = self._meanings.of(epoch, token, lambda: meaning(db, self.read(db, token, epoch, late=late)))
        self._in_time(means.token.expires_at, late=late)
        return means

    def _in_time(self, expires_at: float, *, late: bool = False) -> None:
        if expires_at + (EXPIRED_WINDOW if late else 0) <= self.app.clock():
            raise refused()

    @staticmethod
    def epoch(db: Session) -> int:
        return db.scalar(select(Epoch.number)) or 0

    def ring(self, db: Session, epoch: int) -> Ring:
        if self._ring[0] != epoch:
            self._ring = (epoch, Ring.load(db, self.app.vault))
        return self._ring[1]

    def read(self, db: Session, token: str, epoch: int | None = None, *, late: bool = False) -> Token:
        """What a token says, its seal and time checked. ``late``: also one that ended within the last two days.

        Raises
        ------
        Unauthorized: not ours, or expired
        """
        ring = self.ring(db, self.epoch(db) if epoch is None else epoch)
        found = ring.read(token)
        if found is None:
            raise refused()
        said = Token.parse(*found)
        self._in_time(said.expires_at, late=late)
        return said

    # Issuing -------------------------------------------------------------------------------------------------------
    def issue(
        self,
        db: Session,
        user: User,
        scope: Scope,
        methods: tuple[str, ...],
        *,
        before: Token | None = None,
        credential: ApplicationCredential | None = None,
    ) -> tuple[str, Meaning]:
        """A token and what it means. ``before``: the token that it was got with, whose end it keeps.

        Raises
        ------
        Unauthorized: the user has no role in the scope, or one of them is disabled
        """
        now = self.app.clock()
        until = before.expires_at if before else now + self.app.config.token_seconds
        if credential and credential.expires_at:
            until = min(until, credential.expires_at)
        audits = (base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode(),)
        place = db.get(Project, scope.id) if scope.id else None
        token = Token(
            user_id=user.id, generation=user.generation, scope=scope, scope_generation=place.generation if place else 0,
            methods=tuple(dict.fromkeys((*(before.methods if before else ()), *methods))), issued_at=float(int(now)),
            expires_at=until, audit_ids=audits + (before.audit_ids[-1:] if before else ()),
            credential_id=credential.id if credential else "",
        )  # fmt: skip
        means = meaning(db, token)
        return self.ring(db, self.epoch(db)).sign(token.payload, now), means


def meaning(db: Session, token: Token) -> Meaning:
    """What a token stands for now.

    Raises
    ------
    Unauthorized: revoked, or something it names is gone, disabled or has moved on since
    """
    user = db.get(User, token.user_id)
    user_domain = db.get(Project, user.domain_id) if user else None
    if not user or not user_domain or not user.enabled or not user_domain.enabled:
        raise refused()
    if user.generation != token.generation or db.get(Revocation, token.audit_ids[0]) is not None:
        raise refused()
    groups = frozenset(db.scalars(groups_of(user.id)))
    if not token.scope.kind:
        return Meaning(token=token, user=user, user_domain=user_domain, groups=groups)
    project, domain = placed(db, token)
    roles = roles_in(db, user.id, token.scope)
    credential, rules = None, None
    if token.credential_id:
        credential, rules = credential_of(db, token)
        if not set(credential.role_ids) <= set(roles):
            raise refused()  # a role that it was made with has been taken away
        lent = closure(credential.role_ids, implications(db))
        roles = {id: name for id, name in roles.items() if id in lent}
    if not roles:
        raise Unauthorized(f"User {user.id} has no access to {token.scope.kind} {token.scope.id}".rstrip())
    return Meaning(
        token=token, user=user, user_domain=user_domain, project=project, domain=domain, roles=roles, groups=groups,
        credential=credential, access_rules=rules,
    )  # fmt: skip


def placed(db: Session, token: Token) -> tuple[Project | None, Project | None]:
    """The project and the domain of a token's scope. Raises Unauthorized when one is gone or disabled."""
    if token.scope.kind == "system":
        return None, None
    place = db.get(Project, token.scope.id)
    domain = db.get(Project, place.domain_id) if place and place.domain_id else place
    if not place or not domain or not place.enabled or not domain.enabled:
        raise refused()
    if place.generation != token.scope_generation or (token.scope.kind == "domain" and not place.is_domain):
        raise refused()
    return (place if token.scope.kind == "project" else None), domain


def credential_of(db: Session, token: Token) -> tuple[ApplicationCredential, tuple[AccessRuleRow, ...] | None]:
    found = db.get(ApplicationCredential, token.credential_id)
    if not found or token.scope != Scope("project", found.project_id):
        raise refused()
    if found.access_rule_ids is None:
        return found, None
    rules = db.scalars(select(AccessRuleRow).where(AccessRuleRow.id.in_(found.access_rule_ids)))
    return found, tuple(rules)


def issue(app: App, *, user_id: str, project_id: str = "", domain_id: str = "", system: bool = False) -> str:
    """A token without a login: for tests, benchmarks and the control plane's own use.

    Raises
    ------
    Unauthorized: no such user, or he has no role there
    """
    scope = Scope(
        "system" if system else "project" if project_id else "domain" if domain_id else "", project_id or domain_id
    )
    with app.database.read() as db:
        user = db.get(User, user_id)
        if user is None:
            raise refused()
        return app.part(Tokens).issue(db, user, scope, ("password",))[0]
