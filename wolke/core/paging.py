"""Pages of a list by key, not by offset: stable while others add and delete, and as cheap at the end as at the start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Label, Row, Select, and_, false, or_
from sqlalchemy.orm import InstrumentedAttribute, Session

from wolke.core.errors import BadRequest

CHUNK = 1000  # rows in memory at a time when a list has no limit


@dataclass(frozen=True, slots=True)
class Sort:
    column: InstrumentedAttribute[Any] | Label[Any]  # each row has it by its key
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    limit: int | None = None
    marker: str = ""
    sorts: tuple[Sort, ...] = ()
    reverse: bool = False  # the page before the marker


def whole_number(text: str) -> int | None:
    """A number of at least 0 as a query spells it; None for any other text, and for one that no database holds.

    >>> whole_number("20"), whole_number("-1"), whole_number("9" * 5000)
    (20, None, None)
    """
    return int(text) if text.isdecimal() and len(text) <= 18 else None


def beyond(sorts: Sequence[Sort], values: Sequence[Any], reverse: bool) -> ColumnElement[bool]:
    """Rows that come after (or, in reverse, before) a row with these values; NULL sorts first."""
    either = []
    for at, sort in enumerate(sorts):
        same = [
            s.column.is_(None) if v is None else s.column == v for s, v in zip(sorts[:at], values[:at], strict=True)
        ]
        column, value = sort.column, values[at]
        if sort.descending == reverse:  # upwards
            further = column.is_not(None) if value is None else column > value
        else:
            further = false() if value is None else or_(column < value, column.is_(None))
        either.append(and_(*same, further))
    return or_(*either)


def rows(db: Session, query: Select[Any], table: Any, page: Page) -> Iterator[Sequence[Row[Any]]]:
    """The rows of one page, in chunks.

    Parameters
    ----------
    query : Core select of the table's columns with all filters; the marker is looked up by ``table.id``
    Raises
    ------
    BadRequest: the marker is not in the list
    """
    sorts = [*page.sorts, Sort(table.id)] if not any(sort.column.key == "id" for sort in page.sorts) else [*page.sorts]
    query = query.add_columns(*(sort.column for sort in sorts if isinstance(sort.column, Label)))
    ordered = query.order_by(*(_order(sort, page.reverse) for sort in sorts))
    last: Row[Any] | None = None
    if page.marker:
        last = db.execute(query.where(table.id == page.marker)).first()
        if last is None:
            raise BadRequest(f"Invalid input for marker: {page.marker} is not in the list")
    left = page.limit
    while left is None or left > 0:
        size = CHUNK if left is None else min(left, CHUNK)
        part = ordered if last is None else ordered.where(
            beyond(sorts, [getattr(last, sort.column.key) for sort in sorts], page.reverse)
        )  # fmt: skip
        found = db.execute(part.limit(size)).all()
        if found:
            yield found
        if len(found) < size:
            return
        last = found[-1]
        left = None if left is None else left - len(found)


def _order(sort: Sort, reverse: bool) -> Any:
    if sort.descending == reverse:
        return sort.column.asc().nulls_first()
    return sort.column.desc().nulls_last()
