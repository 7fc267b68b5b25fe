"""What can be said about changes from the schema alone, before any database is asked; real and fake refuse alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wolke.drivers.ovn.tables import Base, Table
from wolke.drivers.rows import Change, Insert, Refused, Row, Update, Value

OWNER, KEY = "wolke-owner", "wolke-key"
TEXT = Base("string", low=1)
# The one row of this table has many writers: see ``Northbound.set_options``.
SHARED = "NB_Global"


def check(changes: Sequence[Change], tables: Mapping[str, Table]) -> None:
    """Raise ``Refused`` for the first change that the schema, or the rules of ``Row``, do not allow."""
    seen: set[tuple[str, str]] = set()
    for change in changes:
        row = change.row
        if (row.table, row.key) in seen:
            raise refused(row, "two changes of one row")
        seen.add((row.table, row.key))
        table = tables.get(row.table)
        if row.table == SHARED:
            raise refused(row, "has many writers; use set_options")
        if table is None:
            raise refused(row, "no such table")
        match change:
            case Insert():
                _check_row(row, table)
                _check_columns(row, row.columns, table)
                _check_parents(row, row.parents, tables)
                for name, column in table.columns.items():
                    if name not in row.columns and column.least > 0 and name not in table.key_columns:
                        problem = column.problem(column.default()) if not column.key.table else "may not be empty"
                        if problem:
                            raise refused(row, f"column {name}: {problem}")
            case Update():
                _check_row(row, table)
                _check_columns(row, change.columns, table)
                _check_parents(row, change.join | change.leave, tables)


def refused(row: Row, why: str) -> Refused:
    return Refused(f"{row.table} {row.key}: {why}", hint=f"owner {row.owner}")


def bearing(row: Row, given: Value) -> Mapping[str, str]:
    """``external_ids`` with our two keys in them."""
    ids = {key: str(value) for key, value in given.items()} if isinstance(given, Mapping) else {}
    return {**ids, OWNER: row.owner, KEY: row.key}


def identity(row: Row, table: Table) -> dict[str, Value]:
    """The columns that say which row it is and whose."""
    columns: dict[str, Value] = {}
    if table.bears_owner:
        columns["external_ids"] = bearing(row, row.columns.get("external_ids"))
    if table.key_columns == ("name",):
        columns["name"] = row.key
    return columns


def _check_row(row: Row, table: Table) -> None:
    for text in (row.key, row.owner):
        if problem := TEXT.problem(text):
            raise refused(row, f"key or owner: {problem}")
    if table.key_columns == ("name",):
        if row.columns.get("name", row.key) != row.key:
            raise refused(row, f"column name: {row.columns['name']!r} is not the key")
    elif table.key_columns and row.key != " ".join(str(row.columns.get(name)) for name in table.key_columns):
        raise refused(row, f"the key must be made of {' '.join(table.key_columns)}")
    if not table.bears_owner and "logical_port" not in table.columns:
        raise refused(row, "rows of this table cannot bear an owner")


def _check_columns(row: Row, columns: Mapping[str, Value], table: Table) -> None:
    for name, value in columns.items():
        column = table.columns.get(name)
        if column is None:
            raise refused(row, f"no column {name}")
        if column.is_membership:
            raise refused(row, f"column {name}: belongs to the rows it lists (Row.parents)")
        if problem := column.problem(value):
            raise refused(row, f"column {name}: {problem}")
        if name == "external_ids" and isinstance(value, Mapping) and not {OWNER, KEY}.isdisjoint(value):
            raise refused(row, f"column external_ids: {OWNER} and {KEY} are ours")


def _check_parents(row: Row, parents: frozenset[tuple[str, str, str]], tables: Mapping[str, Table]) -> None:
    for name, key, column_name in parents:
        parent = tables.get(name)
        column = parent.columns.get(column_name) if parent else None
        if column is None or not column.is_membership or column.key.table != row.table:
            raise refused(row, f"{name} {key} cannot list it in {column_name}")
