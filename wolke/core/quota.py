"""Allowances per project. Usage is counted from the tables themselves, under a lock, in the transaction that adds to it.

A limit of -1 is none. Limits: the project's own row, else the default class's row, else the default in code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from wolke.core.db import Base, Resource, lock
from wolke.core.errors import OverQuota

DEFAULT_CLASS = "class:default"


class QuotaLimit(Base):
    __tablename__ = "quota_limit"

    project_id: Mapped[str] = mapped_column(primary_key=True)  # or DEFAULT_CLASS
    service: Mapped[str] = mapped_column(primary_key=True)
    resource: Mapped[str] = mapped_column(primary_key=True)
    limit: Mapped[int]


@dataclass(frozen=True, slots=True)
class Quota:
    service: str
    resource: str  # as the API spells it
    default: int
    used: Callable[[Session, str], int]  # of one project


_quotas: dict[tuple[str, str], Quota] = {}


def quota(service: str, resource: str, default: int, used: Callable[[Session, str], int]) -> Quota:
    """Declare an allowance."""
    made = Quota(service, resource, default, used)
    _quotas[service, resource] = made
    return made


def rows_of(table: type[Resource]) -> Callable[[Session, str], int]:
    """Usage that is the number of a project's rows in a table."""

    def used(db: Session, project_id: str) -> int:
        alive = (table.project_id == project_id) & table.deleting.is_(False)
        return db.scalar(select(func.count()).select_from(table).where(alive)) or 0

    return used


def quotas(service: str) -> list[Quota]:
    return [one for one in _quotas.values() if one.service == service]


def limits(db: Session, service: str, project_id: str) -> dict[str, int]:
    """Every limit of one service for one project (or for ``DEFAULT_CLASS``)."""
    found = {one.resource: one.default for one in quotas(service)}
    rows = select(QuotaLimit.project_id, QuotaLimit.resource, QuotaLimit.limit)
    rows = rows.where(QuotaLimit.service == service, QuotaLimit.project_id.in_((DEFAULT_CLASS, project_id)))
    for _, resource, limit in sorted(db.execute(rows), key=lambda row: row.project_id == project_id):
        if resource in found:
            found[resource] = limit
    return found


def set_limits(db: Session, service: str, project_id: str, wanted: dict[str, int]) -> None:
    for resource, limit in wanted.items():
        db.merge(QuotaLimit(project_id=project_id, service=service, resource=resource, limit=limit))
    db.flush()


def reset(db: Session, service: str, project_id: str) -> None:
    db.execute(delete(QuotaLimit).where(QuotaLimit.service == service, QuotaLimit.project_id == project_id))


def claim(db: Session, service: str, project_id: str, **amounts: int) -> None:
    """Make sure that the project may have so much more; holds until the transaction ends.

    Raises
    ------
    OverQuota: names the resource, its limit and what is used
    """
    lock(db, f"quota/{service}/{project_id}")
    allowed = limits(db, service, project_id)
    for resource, amount in amounts.items():
        limit = allowed[resource]
        if limit < 0 or amount <= 0:
            continue
        used = _quotas[service, resource].used(db, project_id)
        if used + amount > limit:
            raise OverQuota(resource, limit=limit, used=used, requested=amount)
