"""Identity v3: who there is, what they may do, and the tokens that say so."""

from __future__ import annotations

from sqlalchemy.orm import Session

from wolke.core.app import App
from wolke.core.http import Service
from wolke.core.work import Lane

SERVICES: list[Service] = []


def assemble(app: App) -> None:
    """Add what this domain brings to the app: parts that handlers find by their face."""


def lanes(app: App) -> list[Lane]:
    """The work that ``wolke loops`` does for this domain."""
    return []


def bootstrap(app: App, db: Session) -> None:
    """The rows that a new cloud starts with; run again, it changes nothing that is there."""
