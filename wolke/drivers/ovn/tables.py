"""What an OVSDB schema allows: tables, columns, and the check of a value against them.

The real northbound takes it from the running server, the fake from ``drivers/fake/tables.py``; both refuse by the same rules.
Schema format: RFC 7047, section 3.2.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wolke.drivers.rows import Ref, Value

MANY = sys.maxsize  # "unlimited" of RFC 7047
INTEGERS = (-(2**63), 2**63 - 1)


@dataclass(frozen=True, slots=True)
class Base:
    """What one element of a column may be. ``low`` and ``high`` bound an integer, or the length of a string."""

    kind: str
    enum: frozenset[str] = frozenset()
    low: int | None = None
    high: int | None = None
    table: str = ""
    strong: bool = True

    def problem(self, value: object) -> str | None:
        """Why the server would not take this element; None if it would."""
        match self.kind:
            case "string":
                if not isinstance(value, str):
                    return f"{value!r} is not a string"
                if "\0" in value or not _is_text(value):
                    return f"{value!r} is not text"  # the server would drop the connection
                size, what = len(value), f"length of {value!r}"
            case "boolean":
                return None if isinstance(value, bool) else f"{value!r} is not a boolean"
            case "integer":
                if not isinstance(value, int) or isinstance(value, bool):
                    return f"{value!r} is not an integer"
                size, what = value, str(value)
                if not INTEGERS[0] <= value <= INTEGERS[1]:
                    return f"{value} does not fit into 64 bits"
            case _:
                if not isinstance(value, Ref) or value.table != self.table:
                    return f"{value!r} is not a Ref to {self.table or 'a known table'}"
                return None
        if self.enum and value not in self.enum:
            return f"{value!r} is none of {', '.join(sorted(self.enum))}"
        if (self.low is not None and size < self.low) or (self.high is not None and size > self.high):
            return f"{what} is outside {self.low if self.low is not None else ''}..{self.high if self.high is not None else ''}"
        return None

    def default(self) -> str | int | bool:
        match self.kind:
            case "integer":
                return 0
            case "boolean":
                return False
        return ""


@dataclass(frozen=True, slots=True)
class Column:
    """One column; with ``value`` it is a map from ``key``. ``least``..``most`` elements, ``MANY`` for no bound."""

    key: Base
    value: Base | None = None
    least: int = 1
    most: int = 1

    @property
    def is_membership(self) -> bool:
        """Lists other rows, any number of them: belongs to the listed rows (``Row.parents``)."""
        return bool(self.key.table) and self.value is None and self.least == 0 and self.most > 1

    def problem(self, value: object) -> str | None:
        """Why the server would not take this value; None if it would."""
        if self.value is not None:
            if not isinstance(value, Mapping):
                return f"{value!r} is not a map"
            found = [self.key.problem(one) or self.value.problem(other) for one, other in value.items()]
        elif self.most > 1:
            if not isinstance(value, frozenset):
                return f"{value!r} is not a frozenset"
            found = [self.key.problem(one) for one in value]
        elif value is None:
            return None if self.least == 0 else "may not be empty"
        else:
            return self.key.problem(value)
        if not self.least <= len(found) <= self.most:
            return f"holds {len(found)} elements, needs {self.least}..{'' if self.most == MANY else self.most}"
        return next((text for text in found if text), None)

    def default(self) -> Value:
        """What the server stores when an insert does not name the column."""
        if self.value is not None:
            return {}
        if self.most > 1:
            return frozenset() if self.least == 0 else frozenset({self.key.default()})  # type: ignore[return-value]
        return None if self.least == 0 else self.key.default()

    def to_json(self, value: Value, uuid_of: Callable[[Ref], Any]) -> Any:
        """The value as RFC 7047, section 5.1, writes it."""
        if self.value is not None:
            assert isinstance(value, Mapping)
            return ["map", [[one, other] for one, other in value.items()]]
        elements = [] if value is None else value if isinstance(value, frozenset) else [value]
        return ["set", [uuid_of(one) if isinstance(one, Ref) else one for one in elements]]

    def from_atoms(self, atoms: Mapping[Any, Any], ref_of: Callable[[str, Any], Ref]) -> Value:
        """The value of an IDL datum (``ovs.db.data.Datum.values``)."""
        if self.value is not None:
            return {one.value: other.value for one, other in atoms.items()}
        table = self.key.table
        if self.most > 1:
            return frozenset(ref_of(table, one.value) if table else one.value for one in atoms)
        for one in atoms:
            value: Value = ref_of(table, one.value) if table else one.value
            return value
        return None


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    root: bool
    columns: Mapping[str, Column]
    indexes: tuple[tuple[str, ...], ...] = ()
    memberships: tuple[str, ...] = field(default=(), compare=False)

    @property
    def bears_owner(self) -> bool:
        return "external_ids" in self.columns

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns that the key is made of; none where it stands in external_ids alone."""
        if ("name",) in self.indexes:
            return ("name",)
        return () if self.bears_owner or not self.indexes else self.indexes[0]


def table(name: str, root: bool, columns: Mapping[str, Column], indexes: tuple[tuple[str, ...], ...]) -> Table:
    return Table(name, root, columns, indexes, tuple(one for one, column in columns.items() if column.is_membership))


def tables_of(schema: Mapping[str, Any]) -> dict[str, Table]:
    """All tables of a schema as ``get_schema`` answers it."""
    return {
        name: table(
            name,
            bool(one.get("isRoot")),
            {column: _column(text["type"]) for column, text in one["columns"].items()},
            tuple(tuple(index) for index in one.get("indexes", ())),
        )
        for name, one in schema["tables"].items()
    }


def _column(text: Any) -> Column:
    if isinstance(text, str):
        return Column(_base(text))
    most = text.get("max", 1)
    return Column(
        _base(text["key"]),
        _base(text["value"]) if "value" in text else None,
        text.get("min", 1),
        MANY if most == "unlimited" else most,
    )


def _base(text: Any) -> Base:
    if isinstance(text, str):
        return Base(text)
    enum = text.get("enum", ["set", []])
    return Base(
        text["type"],
        frozenset(str(one) for one in (enum[1] if isinstance(enum, list) else [enum])),
        text.get("minInteger", text.get("minLength")),
        text.get("maxInteger", text.get("maxLength")),
        text.get("refTable", ""),
        text.get("refType", "strong") == "strong",
    )


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
