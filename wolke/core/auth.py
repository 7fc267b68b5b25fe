"""Who calls: what a checked token says about its bearer. ``identity`` makes these, everything else reads them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRule:
    """One call that an application credential is limited to."""

    service: str
    method: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    user_id: str
    user_name: str = ""
    user_domain_id: str = ""
    project_id: str = ""  # of a project-scoped token, else empty
    project_name: str = ""
    project_domain_id: str = ""
    domain_id: str = ""  # of a domain-scoped token
    system: bool = False  # scoped to the whole cloud
    roles: frozenset[str] = frozenset()  # names, implied ones included
    audit_id: str = ""
    expires_at: float = 0.0  # unix seconds
    access_rules: tuple[AccessRule, ...] | None = None  # None: not limited
    credential_id: str = ""  # application credential that the token was got with
    groups: frozenset[str] = field(default_factory=frozenset)

    @property
    def is_admin(self) -> bool:
        """The operator: ``admin`` anywhere, as OpenStack's default rules say (``enforce_scope`` off)."""
        return "admin" in self.roles


ANONYMOUS = Caller(user_id="")


class Authenticator(Protocol):
    def __call__(self, token: str) -> Caller:
        """The caller behind a token. Raises Unauthorized: forged, expired, revoked, or its user or project is gone."""
