"""Identity v3: who there is, what they may do, and the tokens that say so."""

from __future__ import annotations

from sqlalchemy.orm import Session

from wolke.core.app import App
from wolke.core.http import Service
from wolke.core.work import Lane
from wolke.identity import (
    applications,
    assignments,
    auth,
    credentials,
    domains,
    endpoints,
    grants,
    groups,
    limits,
    policies,
    projects,
    roles,
    setup,
    users,
    versions,
)
from wolke.identity.keys import tend
from wolke.identity.service import identity
from wolke.identity.tokens import Tokens

CALLS = (
    applications, assignments, auth, credentials, domains, endpoints, grants, groups, limits, policies, projects, roles, users, versions,
)  # fmt: skip
SERVICES: list[Service] = [identity]


def assemble(app: App) -> None:
    """Tokens are checked by this domain from now on."""
    app.authenticate = app.add(Tokens, Tokens(app)).authenticate


def lanes(app: App) -> list[Lane]:
    """Key rotation and the sweeping of old revocations."""
    return [Lane("identity", [setup.WORK], lambda items: tend(app, items))]


def bootstrap(app: App, db: Session) -> None:
    setup.bootstrap(app, db)
