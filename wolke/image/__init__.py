"""Image v2: what servers are cloned from."""

from __future__ import annotations

from sqlalchemy.orm import Session

from wolke.core.app import App
from wolke.core.work import Lane, wake
from wolke.image import data, images, listing, members, schemas, tags
from wolke.image.importer import AT_ONCE, CLEAN_SECONDS, run, tidy
from wolke.image.service import image
from wolke.image.store import Store

CALLS = (images, listing, data, members, tags, schemas)  # declared by import
SERVICES = [image]


def assemble(app: App) -> None:
    app.add(Store, Store(app.config.state_path / "images"))


def lanes(app: App) -> list[Lane]:
    imports = [Lane(f"image import {n + 1}", ["image_import"], lambda items: run(app, items)) for n in range(AT_ONCE)]
    return [*imports, Lane("image store", ["image_clean"], lambda items: tidy(app, items))]


def bootstrap(app: App, db: Session) -> None:
    wake(db, "image_clean", "store", seconds=CLEAN_SECONDS)
