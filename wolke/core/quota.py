"""Allowances per project. Usage is counted from the tables themselves, under a lock, in the transaction that adds to it.

A limit of -1 is none. Limits: the project's own row, else the default class's row, else the default in code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import String, bindparam, delete, func, literal, select
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
    counting: Callable[[str], Any]  # project id -> a select of the one number that it uses


_quotas: dict[tuple[str, str], Quota] = {}


def quota(service: str, resource: str, default: int, counting: Callable[[str], Any]) -> Quota:
    """Declare an allowance."""
    made = Quota(service, resource, default, counting)
    _quotas[service, resource] = made
    return made


def rows_of(table: type[Resource]) -> Callable[[str], Any]:
    """Usage that is the number of a project's rows in a table."""

    def counting(project_id: str) -> Any:
        alive = (table.project_id == project_id) & table.deleting.is_(False)
        return select(func.count()).select_from(table).where(alive)

    return counting


def each_alone(project_id: str) -> Any:
    """Limits of one server, one group or one user: a project as a whole uses nothing of them."""
    return select(literal(0))


def quotas(service: str) -> list[Quota]:
    return [one for one in _quotas.values() if one.service == service]


def used(db: Session, project_id: str, counted: Iterable[Quota]) -> dict[str, int]:
    """What one project uses of each resource, in one statement."""
    each = list(counted)
    row = db.execute(select(*(one.counting(project_id).scalar_subquery() for one in each))).one()
    return {one.resource: number or 0 for one, number in zip(each, row, strict=True)}


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
    asked = tuple(resource for resource, amount in amounts.items() if amount > 0)
    if not asked:
        return
    row = db.execute(used_and_limits(service, asked), {"project_id": project_id}).one()
    for resource, have, most in zip(asked, row[::2], row[1::2], strict=True):
        if 0 <= most < (have or 0) + amounts[resource]:
            raise OverQuota(resource, limit=most, used=have or 0, requested=amounts[resource])


@cache
def used_and_limits(service: str, resources: tuple[str, ...]) -> Any:
    """A select of two numbers for each resource: what the project ``:project_id`` uses, and its limit."""
    # To build it costs more than to ask
    project_id: Any = bindparam("project_id", type_=String)
    each = [_quotas[service, resource] for resource in resources]
    return select(
        *(column for one in each for column in (one.counting(project_id).scalar_subquery(), limit_of(one, project_id)))
    )


def limit_of(one: Quota, project_id: Any) -> Any:
    """A column: the project's limit of one resource."""

    def of(owner: Any) -> Any:
        mine = (QuotaLimit.service == one.service) & (QuotaLimit.resource == one.resource)
        return select(QuotaLimit.limit).where(mine, QuotaLimit.project_id == owner).scalar_subquery()

    return func.coalesce(of(project_id), of(DEFAULT_CLASS), one.default)
