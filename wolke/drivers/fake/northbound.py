"""OVN's northbound database in memory: keeps the promises of the real one and refuses what it refuses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from wolke.drivers.fake.tables import northbound_tables
from wolke.drivers.ovn.check import check, refused
from wolke.drivers.rows import Change, Delete, Insert, MissingRow, Parent, Ref, Refused, Row, Unavailable, Update, Value

Place = tuple[str, str]
Parents = frozenset[Parent]
PORT = "Logical_Switch_Port"


class Northbound:
    """``wolke.drivers.rows.Northbound`` without OVN.

    ``table`` holds every row by (table, key), with all its columns; tests read it. ``reachable = False`` makes every call
    raise ``Unavailable``. ``set_up`` plays a host that has bound a port.
    """

    def __init__(self) -> None:
        self.tables = northbound_tables()
        self.table: dict[Place, Row] = {}
        self.nb_options: dict[str, str] = {}
        self.reachable = True
        self._owned: dict[str, set[Place]] = {}
        self._watchers: list[Callable[[str, bool], None]] = []
        self._followers: list[Callable[[set[str]], None]] = []
        self._lock = threading.RLock()

    def start(self) -> None:
        """Nothing to connect to."""

    def close(self) -> None:
        """Nothing to disconnect from."""

    def rows(self, owner: str) -> list[Row]:
        with self._reached():
            return [self.table[place] for place in self._owned.get(owner, ()) if self._bears(self.table[place])]

    def owners(self) -> set[str]:
        with self._reached():
            return {owner for owner, places in self._owned.items() if any(self._bears(self.table[p]) for p in places)}

    def has(self, table: str, column: str | None = None) -> bool:
        with self._reached():
            return table in self.tables and (column is None or column in self.tables[table].columns)

    def apply(self, changes: list[Change]) -> None:
        with self._reached():
            check(changes, self.tables)
            draft = _Draft(self, changes)
            touched = draft.touched
            for place in touched:
                if old := self.table.get(place):
                    self._owned[old.owner].discard(place)
                    if not self._owned[old.owner]:
                        del self._owned[old.owner]
                if row := draft.rows.get(place):
                    self._owned.setdefault(row.owner, set()).add(place)
            inserted = [place[1] for place in touched if place[0] == PORT and place not in self.table]
            self.table = draft.rows
            self._tell((port, False) for port in inserted)

    def set_options(self, options: Mapping[str, str | None]) -> None:
        with self._reached():
            kept = {key: value for key, value in self.nb_options.items() if key not in options}
            self.nb_options = {**kept, **{key: value for key, value in options.items() if value is not None}}

    def options(self) -> dict[str, str]:
        with self._reached():
            return dict(self.nb_options)

    def follow(self, told: Callable[[set[str]], None]) -> None:
        with self._lock:
            self._followers.append(told)
        told({"*"})

    def strays(self) -> list[Row]:
        with self._reached():
            return [row for row in self.table.values() if not row.owner and self._hangs(row)]

    def evict(self, strays: list[Row]) -> None:
        with self._reached():
            for row in strays:
                self.table.pop((row.table, row.key), None)

    def by_hand(self, *changes: Change) -> None:
        """What an operator does with ovn-nbctl: the followers are told. A row without an owner is nobody's."""
        with self._reached():
            for change in changes:
                if not change.row.owner:
                    self.table[change.row.table, change.row.key] = change.row
            self.apply([change for change in changes if change.row.owner])
            self._tell_followers({change.row.owner for change in changes})

    def forget_all(self, kept: Mapping[Place, Row]) -> None:
        """What a restored backup does: everything is as it was then, and every connection is made anew."""
        with self._reached():
            self.table = dict(kept)
            self._owned = {}
            for place, row in self.table.items():
                self._owned.setdefault(row.owner, set()).add(place)
            self._tell_followers({"*"})

    def _tell_followers(self, owners: set[str]) -> None:
        for told in self._followers:
            told(owners)

    def _hangs(self, row: Row) -> bool:
        return any((parent := self.table.get(place[:2])) and parent.owner for place in row.parents)

    def watch(self, changed: Callable[[str, bool], None]) -> None:
        with self._lock:
            self._watchers.append(changed)
            ports = [(key, row.columns["up"] is True) for (table, key), row in self.table.items() if table == PORT]
            self._tell(ports)

    def set_up(self, port_id: str, up: bool) -> None:
        """What northd does when a host has bound the port, or let it go."""
        with self._lock:
            row = self.table[PORT, port_id]
            self.table[PORT, port_id] = replace(row, columns={**row.columns, "up": up})
            if row.columns["up"] is not up:
                self._tell([(port_id, up)])

    def _tell(self, news: Iterable[tuple[str, bool]]) -> None:
        for port, up in news:
            for watcher in self._watchers:
                watcher(port, up)

    def _bears(self, row: Row) -> bool:
        """Rows without external_ids belong to the owner of the router port that they name."""
        if self.tables[row.table].bears_owner:
            return True
        port = self.table.get(("Logical_Router_Port", str(row.columns["logical_port"])))
        return port is not None and port.owner == row.owner

    def _reached(self) -> threading.RLock:
        if not self.reachable:
            raise Unavailable("OVN_Northbound does not answer", hint="fake")
        return self._lock


class _Draft:
    """The tables after the changes; raises where the real database would not take them."""

    def __init__(self, north: Northbound, changes: list[Change]) -> None:
        self.north, self.tables = north, north.tables
        self.rows = dict(north.table)
        self.touched: set[Place] = {(change.row.table, change.row.key) for change in changes}
        self.gone = {(change.row.table, change.row.key) for change in changes if isinstance(change, Delete)}
        inserts = [change.row for change in changes if isinstance(change, Insert)]
        new = [row for row in inserts if (row.table, row.key) not in north.table]
        self.owners = {(row.table, row.key): row.owner for row in [*north.table.values(), *new]} if new else {}
        self.known = {(row.table, row.key) for row in new}
        for change in changes:
            self._add(change)
        for row in new:
            if not self.tables[row.table].root and not self._is_listed((row.table, row.key)):
                raise refused(row, "nothing would list it, so the database would drop it at once")
        self._collect()
        self._check_indexes()

    def _add(self, change: Change) -> None:
        row = change.row
        place = (row.table, row.key)
        old = self.north.table.get(place)
        match change:
            case Delete():
                if old and old.owner == row.owner and self.north._bears(old):
                    del self.rows[place]
            case Insert() if old is None:
                self._port_owner(row)
                columns = {
                    name: column.default()
                    for name, column in self.tables[row.table].columns.items()
                    if not column.is_membership and not (column.key.table and column.least)
                }
                if self.tables[row.table].key_columns == ("name",):
                    columns["name"] = row.key
                self._write(replace(row, columns=columns, parents=frozenset()), row.columns, row.parents)
            case Insert():
                assert old is not None
                if old.owner != row.owner:
                    raise refused(row, f"belongs to {old.owner}")
                self._write(old, row.columns, row.parents)
            case Update():
                if old is None:
                    raise MissingRow(f"{row.table} {row.key} is not there to be changed")
                owner = row.owner if "external_ids" in change.columns else old.owner
                self._write(replace(old, owner=owner), change.columns, change.join, change.leave)

    def _write(self, old: Row, columns: Mapping[str, Value], join: Parents, leave: Parents = frozenset()) -> None:
        for value in columns.values():
            for ref in refs(value):
                self._exists((ref.table, ref.key))
        for table, key, _ in join:
            self._exists((table, key))
        # What is no longer named may be dropped.
        former = {(ref.table, ref.key) for name in columns for ref in refs(old.columns.get(name))}
        self.touched |= former & self.north.table.keys()
        self.rows[old.table, old.key] = replace(
            old, columns={**old.columns, **columns}, parents=(old.parents | join) - leave
        )

    def _exists(self, place: Place) -> None:
        if place in self.gone or (place not in self.north.table and place not in self.known):
            raise MissingRow(f"{place[0]} {place[1]} is not there")

    def _port_owner(self, row: Row) -> None:
        if self.tables[row.table].bears_owner:
            return
        port = ("Logical_Router_Port", str(row.columns["logical_port"]))
        self._exists(port)
        if self.owners[port] != row.owner:
            raise refused(row, f"its router port belongs to {self.owners[port]}")

    def _is_listed(self, place: Place) -> bool:
        """Whether a strong reference holds the row."""
        for table, key, column in self.rows[place].parents:
            if (table, key) in self.rows and self.tables[table].columns[column].key.strong:
                return True
        return any(True for _ in self._holders(place, strong=True))

    def _holders(self, place: Place, *, strong: bool) -> Iterable[tuple[Place, str]]:
        """Rows that name this one in a column of their own."""
        columns = [
            (table.name, name)
            for table in self.tables.values()
            for name, column in table.columns.items()
            if column.key.table == place[0] and not column.is_membership and column.key.strong is strong
        ]
        if not columns:
            return
        for other, row in self.rows.items():
            for table, name in columns:
                if other[0] == table and Ref(*place) in refs(row.columns.get(name)):
                    yield other, name

    def _collect(self) -> None:
        """Drop what nobody lists any more, as the database does at the end of a transaction."""
        for place in self.touched - self.rows.keys():
            for holder, _ in self._holders(place, strong=True):
                raise Refused(f"{place[0]} {place[1]}: {holder[0]} {holder[1]} still refers to it")
        pending = {place for place in self.touched if place not in self.rows or not self.tables[place[0]].root}
        gone: set[Place] = set()
        while pending:
            place = pending.pop()
            if place in self.rows:
                if self.tables[place[0]].root or self._is_listed(place):
                    continue
                former = self.rows.pop(place)
            elif place in self.north.table and place not in gone:
                former = self.north.table[place]
            else:
                continue
            gone.add(place)
            for holder, name in list(self._holders(place, strong=False)):
                self._forget(holder, name, Ref(*place))
            if self.tables[place[0]].memberships:
                pending |= self._orphan(place)
            pending |= {(ref.table, ref.key) for value in former.columns.values() for ref in refs(value)}
        self.touched |= gone

    def _forget(self, holder: Place, name: str, ref: Ref) -> None:
        row = self.rows[holder]
        value = row.columns[name]
        rest: Value = None if not isinstance(value, frozenset) else frozenset(refs(value)) - {ref}
        self.rows[holder] = replace(row, columns={**row.columns, name: rest})

    def _orphan(self, parent: Place) -> set[Place]:
        """The children of a row that went; they are no longer listed by it."""
        children = {}
        for place, row in self.rows.items():
            left = frozenset(one for one in row.parents if one[:2] != parent)
            if left != row.parents:
                children[place] = replace(row, parents=left)
        self.rows.update(children)
        self.touched |= set(children)
        return set(children)

    def _check_indexes(self) -> None:
        for name in {place[0] for place in self.touched}:
            for index in self.tables[name].indexes:
                if index == self.tables[name].key_columns:
                    continue
                seen: dict[tuple[Value, ...], str] = {}
                for (table, key), row in self.rows.items():
                    if table == name:
                        values = tuple(row.columns[column] for column in index)
                        if values in seen:
                            raise refused(row, f"has the same {', '.join(index)} as {seen[values]}")
                        seen[values] = key


def refs(value: object) -> list[Ref]:
    """The references in a column's value."""
    elements = value if isinstance(value, frozenset) else (value,)
    return [one for one in elements if isinstance(one, Ref)]
