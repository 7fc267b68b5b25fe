"""Rows of an OVSDB database as values, and the difference between two sets of them.

Everything the control plane wants from OVN is a list of ``Row``; everything it finds there is a list of ``Row`` again;
``plan`` is the pure function between both, and ``Northbound.apply`` writes one transaction.

Tables and columns: ovn-nb(5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from wolke.drivers.hypervisor import DriverError


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Another row as a column's value: ``Ref("DHCP_Options", "subnet-1")``. Resolved to its uuid when it is written."""

    table: str
    key: str


# Sets are frozensets, maps are dicts (integers as values only in QoS); an optional column that is empty is ``None``.
Value = (
    str
    | int
    | bool
    | None
    | Ref
    | frozenset[str]
    | frozenset[int]
    | frozenset[Ref]
    | Mapping[str, str]
    | Mapping[str, int]
)


Parent = tuple[str, str, str]  # table, key, column


@dataclass(frozen=True, slots=True)
class Row:
    """One row that we own.

    Parameters
    ----------
    table : of the northbound schema, such as ``Logical_Switch_Port``
    key : unique within its table. It is the ``name`` column where the table has a unique one, and stands in
        ``external_ids:wolke-key`` in every table that has external_ids. Static_MAC_Binding has none: its key is
        ``"<logical_port> <ip>"`` and its owner that of the router port it names.
    owner : ``kind/id`` of the resource that the row belongs to; stands in ``external_ids:wolke-owner``
    columns : only what we set; columns that are not named are the engine's or another owner's and are not compared.
        A map in ``columns`` is compared whole; ``external_ids`` is merged with the two keys above.
    parents : (table, key, column) of rows that must list this one in that set column, such as
        ``("Logical_Switch", "net-1", "ports")`` or ``("Port_Group", "pg_1", "ports")``. Their membership belongs to
        this row: it is added and taken away by mutation, so the parent never has to be written whole.
        Every column that may hold many rows or none is such a membership and never stands in ``columns``; columns
        that hold one row (``dhcpv4_options``) or at least one (``Meter.bands``) are ``Ref`` values of the row itself.
    """

    table: str
    key: str
    owner: str
    columns: Mapping[str, Value] = field(default_factory=dict)
    parents: frozenset[Parent] = frozenset()


@dataclass(frozen=True, slots=True)
class Insert:
    row: Row


@dataclass(frozen=True, slots=True)
class Update:
    """Only the columns and memberships that differ."""

    row: Row
    columns: Mapping[str, Value]
    join: frozenset[Parent] = frozenset()
    leave: frozenset[Parent] = frozenset()


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


class MissingRow(DriverError):
    """A change names a row that does not exist (yet): whoever asked tries again later."""


class Refused(DriverError):
    """The database, or its schema, does not take a change; the message names the table and the key."""


class Unavailable(DriverError):
    """The database cannot be reached, or did not answer in time; whether the change was written is not known."""


class Northbound(Protocol):
    """What the control plane asks of OVN's northbound database; promises in ``tests/drivers/northbound.py``."""

    def rows(self, owner: str) -> list[Row]:
        """All rows of one owner with every column but memberships, and the parents that list them now."""

    def owners(self) -> set[str]:
        """Every owner that has a row; for the sweep."""

    def apply(self, changes: list[Change]) -> None:
        """Write all changes in one transaction, or none; may be repeated.

        A delete of an absent row is no error; an insert of a row that this owner already has writes it over.
        When it returns, ``rows`` shows the result.

        Raises
        ------
        MissingRow: a parent or ``Ref``, or the row to update, does not exist and is not inserted by the same call
        Refused: the schema, an index or another owner of the same row stands against it
        Unavailable: no connection, or no answer in time; the same call may be made again
        """

    def has(self, table: str, column: str | None = None) -> bool:
        """Whether the schema of the running OVN knows the table, or its column (older ones lack some)."""

    def set_options(self, options: Mapping[str, str | None]) -> None:
        """Set single keys of ``NB_Global.options`` (``None`` takes one away); all others stay as they are."""

    def options(self) -> dict[str, str]:
        """All of ``NB_Global.options``, those of others too."""

    def follow(self, told: Callable[[set[str]], None]) -> None:
        """Call ``told(owners)`` from a thread when rows of these owners were changed, but not by ``apply`` of this object.

        Among the owners may be ``"*"``: after a (re)connect anything may be other; ``"NB_Global"``: its options; ``""``:
        there are new strays. It must return quickly and not call this object.
        """

    def strays(self) -> list[Row]:
        """Rows without an owner that hang on rows which have one; the key of each is its uuid."""

    def evict(self, strays: list[Row]) -> None:
        """Take strays off the rows that they hang on."""

    def watch(self, changed: Callable[[str, bool], None]) -> None:
        """Call ``changed(logical port, up)`` from a thread for each change of ``up``, and for every port after a
        (re)connect, so that nothing is missed. It must return quickly and not call this object."""
