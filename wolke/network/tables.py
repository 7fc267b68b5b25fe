"""What every resource of this API has beside the core's columns."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from wolke.core.db import Resource


class Standard(Resource):
    """Neutron's standard attributes: ``revision`` is shown as revision_number."""

    __abstract__ = True

    description: Mapped[str] = mapped_column(default="")
    tags: Mapped[list[str]] = mapped_column(default=list)
