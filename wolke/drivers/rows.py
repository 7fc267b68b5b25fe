"""Rows of an OVSDB database as values, and the difference between two sets of them.

Everything the control plane wants from OVN is a list of ``Row``; everything it finds there is a list of ``Row`` again;
``plan`` is the pure function between both, and ``Northbound.apply`` writes one transaction.

Tables and columns: ovn-nb(5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Another row as a column's value: ``Ref("DHCP_Options", "subnet-1")``. Resolved to its uuid when it is written."""

    table: str
    key: str


# Sets are frozensets, maps are dicts with string keys and values; an optional column that is empty is ``None``.
Value = str | int | bool | None | Ref | frozenset[str] | frozenset[int] | frozenset[Ref] | Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One row that we own.

    Parameters
    ----------
    table : of the northbound schema, such as ``Logical_Switch_Port``
    key : unique within its table. It is the ``name`` column where the table has a unique one, and stands in
        ``external_ids:wolke-key`` in every table.
    owner : ``kind/id`` of the resource that the row belongs to; stands in ``external_ids:wolke-owner``
    columns : only what we set; columns that are not named are the engine's or another owner's and are not compared.
        A map in ``columns`` is compared whole; ``external_ids`` is merged with the two keys above.
    parents : (table, key, column) of rows that must list this one in that set column, such as
        ``("Logical_Switch", "net-1", "ports")`` or ``("Port_Group", "pg_1", "ports")``. Their membership belongs to
        this row: it is added and taken away by mutation, so the parent never has to be written whole.
    """

    table: str
    key: str
    owner: str
    columns: Mapping[str, Value] = field(default_factory=dict)
    parents: frozenset[tuple[str, str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Insert:
    row: Row


@dataclass(frozen=True, slots=True)
class Update:
    """Only the columns and memberships that differ."""

    row: Row
    columns: Mapping[str, Value]
    join: frozenset[tuple[str, str, str]] = frozenset()
    leave: frozenset[tuple[str, str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Delete:
    row: Row


Change = Insert | Update | Delete


def plan(wanted: Iterable[Row], found: Iterable[Row]) -> list[Change]:
    """Changes that turn ``found`` into ``wanted``, deletes first; none where they agree."""
    want = {(row.table, row.key): row for row in wanted}
    have = {(row.table, row.key): row for row in found}
    changes: list[Change] = [Delete(row) for place, row in have.items() if place not in want]
    for place, row in want.items():
        old = have.get(place)
        if old is None:
            changes.append(Insert(row))
            continue
        columns = {name: value for name, value in row.columns.items() if old.columns.get(name) != value}
        if old.owner != row.owner:
            columns["external_ids"] = row.columns.get("external_ids", {})
        join, leave = row.parents - old.parents, old.parents - row.parents
        if columns or join or leave:
            changes.append(Update(row, columns, join, leave))
    return changes


class MissingRow(Exception):
    """A change names a row that does not exist (yet): whoever asked tries again later."""


class Northbound(Protocol):
    """What the control plane asks of OVN's northbound database; promises in ``tests/drivers/northbound.py``."""

    def rows(self, owner: str) -> list[Row]:
        """All rows of one owner with every column they were given and the parents that list them now."""

    def owners(self) -> set[str]:
        """Every owner that has a row; for the sweep."""

    def apply(self, changes: list[Change]) -> None:
        """Write all changes in one transaction, or none. A delete of an absent row is no error.

        Raises
        ------
        MissingRow: a parent or ``Ref`` does not exist and is not inserted by the same call
        """

    def sync(self, seconds: float) -> bool:
        """Wait until every chassis has applied what was written before (``hv_cfg``); False when time is up."""
