"""The recurring job that forgets servers which have been history for long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import delete
from sqlalchemy.orm import Session

from wolke.compute.servers.table import Server
from wolke.core.app import App
from wolke.core.work import Again, Item, Lane, Next, wake

KIND = "past_servers"
KEPT_SECONDS = 30 * 86400.0  # usage, instance actions and ``changes-since`` look back so far
EVERY_SECONDS = 86400.0


def sweep(db: Session) -> None:
    old = db.info["clock"]() - KEPT_SECONDS
    db.execute(delete(Server).where(Server.deleted_at > 0, Server.deleted_at < old))


def lane(app: App) -> Lane:
    def handle(items: Sequence[Item]) -> Mapping[Item, Next]:
        with app.database.transaction() as db:
            sweep(db)
        return {item: Again(EVERY_SECONDS) for item in items}

    return Lane("past servers", [KIND], handle)


def bootstrap(db: Session) -> None:
    wake(db, KIND, "all")
