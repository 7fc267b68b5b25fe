"""Changes as the operations of one OVSDB transaction (RFC 7047, section 5.2).

Rows of the copy that the transaction builds on are guarded by ``wait`` operations: when another writer removed one of them
a moment ago, the server refuses the whole transaction and it is composed again from the newer copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from wolke.drivers.ovn.check import bearing, check, identity, refused
from wolke.drivers.ovn.index import Index
from wolke.drivers.ovn.tables import Table
from wolke.drivers.ovsdb import Operation
from wolke.drivers.rows import Change, Delete, Insert, MissingRow, Parent, Ref, Row, Update, Value

Parents = frozenset[Parent]


def compose(changes: Sequence[Change], index: Index) -> list[Operation]:
    """The operations; none where everything is already so."""
    check(changes, index.tables)
    return _Batch(changes, index).operations()


def remove(uuids: set[UUID], index: Index) -> list[Operation]:
    """Take these rows away, whoever lists them."""
    batch = _Batch((), index)
    for uuid in uuids:
        place = index.places[uuid]
        batch.delete(uuid, Row(place.table, place.key, place.owner))
    return batch.operations()


def unlist(uuids: set[UUID], index: Index) -> list[Operation]:
    """Take these rows off those that have an owner; what nobody lists then is dropped by the database."""
    batch = _Batch((), index)
    for uuid in uuids:
        for table, parent, column in index.listing(uuid):
            if index.places[parent].owner:
                batch.mutate((table, "uuid", str(parent)), column, "delete", ["uuid", str(uuid)])
    return batch.operations()


class _Batch:
    def __init__(self, changes: Sequence[Change], index: Index) -> None:
        self.index = index
        self.body: list[Operation] = []
        self.guards: dict[UUID, str] = {}
        # (table, uuid in JSON) of a parent -> (column, "insert" | "delete") -> children
        self.lists: dict[tuple[str, str, str], dict[tuple[str, str], list[Any]]] = {}
        self.new: dict[tuple[str, str], str] = {}
        self.owners: dict[str, str] = {}
        self.gone: set[tuple[str, str]] = set()
        self.referred: set[str] = set()
        for change in changes:
            place = (change.row.table, change.row.key)
            if isinstance(change, Delete):
                self.gone.add(place)
            elif isinstance(change, Insert) and place not in index.keys:
                self.new[place] = f"row{len(self.new)}"
                self.owners[self.new[place]] = change.row.owner
        for change in changes:
            self.add(change)
        for (name, _), uuid_name in self.new.items():
            if not index.tables[name].root and uuid_name not in self.referred:
                row = next(c.row for c in changes if self.new.get((c.row.table, c.row.key)) == uuid_name)
                raise refused(row, "nothing would list it, so the database would drop it at once")

    def operations(self) -> list[Operation]:
        guards = [
            Operation(
                {
                    "op": "wait",
                    "timeout": 0,
                    "table": table,
                    "where": [["_uuid", "==", ["uuid", str(uuid)]]],
                    "columns": ["_uuid"],
                    "until": "==",
                    "rows": [{"_uuid": ["uuid", str(uuid)]}],
                }
            )
            for uuid, table in self.guards.items()
        ]
        lists = [
            Operation(
                {
                    "op": "mutate",
                    "table": table,
                    "where": [["_uuid", "==", [kind, name]]],
                    "mutations": [[column, what, ["set", rows]] for (column, what), rows in columns.items()],
                },
                f"{table} {self.index.explain(name)}",
            )
            for (table, kind, name), columns in self.lists.items()
        ]
        body = self.body + lists
        return guards + body if body else []

    def add(self, change: Change) -> None:
        row, index = change.row, self.index
        table = index.tables[row.table]
        uuid = index.find(row.table, row.key)
        match change:
            case Delete():
                if uuid is not None and index.owner(uuid) == row.owner:
                    self.delete(uuid, row)
            case Insert() if uuid is None:
                self.port_owner(row, table)
                self.insert(row, table)
            case Insert():
                assert uuid is not None
                if index.owner(uuid) != row.owner:
                    raise refused(row, f"belongs to {index.owner(uuid) or 'somebody else'}")
                self.write(uuid, row, table, row.columns)
                self.members(row, ["uuid", str(uuid)], row.parents - index.parents(uuid), "insert")
            case Update():
                if uuid is None:
                    raise MissingRow(f"{row.table} {row.key} is not there to be changed")
                self.write(uuid, row, table, change.columns)
                self.members(row, ["uuid", str(uuid)], change.join, "insert")
                self.members(row, ["uuid", str(uuid)], change.leave, "delete")

    def insert(self, row: Row, table: Table) -> None:
        name = self.new[row.table, row.key]
        columns = {**row.columns, **identity(row, table)}
        self.body.append(
            Operation(
                {"op": "insert", "table": row.table, "uuid-name": name, "row": self.json(row, table, columns)},
                f"{row.table} {row.key}",
            )
        )
        self.members(row, ["named-uuid", name], row.parents, "insert")

    def write(self, uuid: UUID, row: Row, table: Table, columns: Mapping[str, Value]) -> None:
        self.guards[uuid] = row.table
        if "external_ids" in columns:
            columns = {**columns, "external_ids": bearing(row, columns["external_ids"])}
        columns = {name: value for name, value in columns.items() if name not in table.key_columns}
        if columns:
            where = [["_uuid", "==", ["uuid", str(uuid)]]]
            body = {"op": "update", "table": row.table, "where": where, "row": self.json(row, table, columns)}
            self.body.append(Operation(body, f"{row.table} {row.key}"))

    def delete(self, uuid: UUID, row: Row) -> None:
        for table, parent, column in self.index.listing(uuid):
            self.mutate((table, "uuid", str(parent)), column, "delete", ["uuid", str(uuid)])
        # Rows that go when nothing lists them are named, too: the server checks what they refer to before it drops them.
        where = [["_uuid", "==", ["uuid", str(uuid)]]]
        self.body.append(Operation({"op": "delete", "table": row.table, "where": where}, f"{row.table} {row.key}"))

    def members(self, row: Row, child: list[str], parents: Parents, what: str) -> None:
        for table, key, column in parents:
            try:
                kind, name = self.uuid_of(Ref(table, key))
            except MissingRow:
                if what == "delete":
                    continue
                raise
            if what == "insert" and self.index.tables[table].columns[column].key.strong:
                self.referred.add(child[1])
            self.mutate((table, kind, name), column, what, child)

    def mutate(self, parent: tuple[str, str, str], column: str, what: str, child: list[str]) -> None:
        self.lists.setdefault(parent, {}).setdefault((column, what), []).append(child)

    def json(self, row: Row, table: Table, columns: Mapping[str, Value]) -> dict[str, Any]:
        def uuid_of(ref: Ref) -> list[str]:
            uuid = self.uuid_of(ref)
            if table.columns[name].key.strong:
                self.referred.add(uuid[1])
            return uuid

        text = {}
        for name, value in columns.items():
            text[name] = table.columns[name].to_json(value, uuid_of)
        return text

    def uuid_of(self, ref: Ref) -> list[str]:
        place = (ref.table, ref.key)
        if place in self.new:
            return ["named-uuid", self.new[place]]
        uuid = self.index.find(*place)
        if uuid is None or place in self.gone:
            raise MissingRow(f"{ref.table} {ref.key} is not there")
        self.guards[uuid] = ref.table
        return ["uuid", str(uuid)]

    def port_owner(self, row: Row, table: Table) -> None:
        """Rows without external_ids belong to the owner of the router port that they name."""
        if table.bears_owner:
            return
        kind, name = self.uuid_of(Ref("Logical_Router_Port", str(row.columns["logical_port"])))
        owner = self.owners[name] if kind == "named-uuid" else self.index.owner(UUID(name))
        if owner != row.owner:
            raise refused(row, f"its router port belongs to {owner or 'somebody else'}")
