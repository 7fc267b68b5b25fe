"""The audit log as a domain: its calls, and the loop that seals it."""

from __future__ import annotations

from sqlalchemy.orm import Session

from wolke.audit import api
from wolke.core.app import App
from wolke.core.events import Sealer
from wolke.core.http import Service
from wolke.core.work import Lane

CALLS = (api,)  # declared by import
SERVICES: list[Service] = []  # they stand on Wolke's own


def assemble(app: App) -> None:
    """Nothing to add."""


def lanes(app: App) -> list[Lane]:
    return [Sealer(app.vault)]


def bootstrap(app: App, db: Session) -> None:
    """The log starts empty."""
