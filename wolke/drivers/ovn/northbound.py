"""OVN's northbound database: what the network shall be. Tables and columns: ovn-nb(5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from wolke.drivers.ovn.check import SHARED
from wolke.drivers.ovn.compose import compose, remove, unlist
from wolke.drivers.ovn.foreign import EVERYTHING, Foreign
from wolke.drivers.ovn.index import Index
from wolke.drivers.ovsdb import Link, Operation, Tls, map_of
from wolke.drivers.rows import Change, Row

Changed = Callable[[str, bool], None]
Told = Callable[[set[str]], None]
PORT = "Logical_Switch_Port"


class Northbound:
    """``wolke.drivers.rows.Northbound`` on a real OVN.

    Parameters
    ----------
    connection : ``unix:PATH``, ``tcp:HOST:PORT`` or ``ssl:HOST:PORT``; the members of a RAFT cluster with commas
    patience : seconds until a call that gets no answer raises ``Unavailable``
    """

    def __init__(self, connection: str, *, patience: float = 5.0, tls: Tls | None = None) -> None:
        self._index = _Index()
        self._link = Link(connection, "OVN_Northbound", self._index, patience=patience, tls=tls)
        self._index.heal = lambda twins: self._link.ask(lambda: remove(twins & self._index.twins, self._index))

    def start(self) -> None:
        self._link.start()

    def close(self) -> None:
        self._link.close()

    def rows(self, owner: str) -> list[Row]:
        with self._link.reading():
            return self._index.rows(owner)

    def owners(self) -> set[str]:
        with self._link.reading():
            return set(self._index.owned)

    def has(self, table: str, column: str | None = None) -> bool:
        with self._link.reading():
            found = self._index.tables.get(table)
            return found is not None and (column is None or column in found.columns)

    def apply(self, changes: list[Change]) -> None:
        owners = {change.row.owner for change in changes}
        with self._link.lock:
            self._index.foreign.begin(owners)
        try:
            self._link.transact(lambda: compose(changes, self._index))
        finally:
            with self._link.lock:
                self._index.foreign.end(owners)

    def set_options(self, options: Mapping[str, str | None]) -> None:
        taken = ["options", "delete", ["set", list(options)]]
        given = ["map", [[key, value] for key, value in options.items() if value is not None]]
        self._link.transact(
            lambda: [*self._shared(), self._mutate_shared(taken, ["options", "insert", given])] if options else []
        )

    def options(self) -> dict[str, str]:
        """All of ``NB_Global.options``, those of others too."""
        with self._link.reading() as idl:
            return map_of(next(iter(idl.tables[SHARED].rows.values()), None), "options")

    def watch(self, changed: Changed) -> None:
        with self._link.lock:
            self._index.watchers.append(changed)
            self._index.replay()
        self._link.ring()

    def follow(self, told: Told) -> None:
        with self._link.lock:
            self._index.followers.append(told)
            if self._index.idl is not None:  # else it is told when the copy is there
                self._index.foreign.owners.add(EVERYTHING)
        self._link.ring()

    def strays(self) -> list[Row]:
        with self._link.reading():
            return [self._index.stray(uuid) for uuid in sorted(self._index.foreign.strays)]

    def evict(self, strays: list[Row]) -> None:
        uuids = {UUID(row.key) for row in strays}
        self._link.transact(lambda: unlist(uuids & self._index.foreign.strays, self._index))

    def _shared(self) -> list[Operation]:
        """Makes the only row of NB_Global where northd has not yet done so."""
        empty = not self._index.idl.tables[SHARED].rows
        return [Operation({"op": "insert", "table": SHARED, "row": {}}, SHARED)] if empty else []

    def _mutate_shared(self, *mutations: list[Any]) -> Operation:
        return Operation({"op": "mutate", "table": SHARED, "where": [], "mutations": list(mutations)}, SHARED)


class _Index(Index):
    """The index, and who wants to hear of ports going up and down, and of what others change."""

    def __init__(self) -> None:
        super().__init__()
        self.foreign = Foreign(self)
        self.followers: list[Told] = []
        self.watchers: list[Changed] = []
        self.news: list[tuple[str, bool]] = []
        self.heal: Callable[[set[Any]], object] = lambda twins: None
        self.healing: set[Any] = set()

    def rebuild(self, idl: Any, schema: Mapping[str, Any]) -> None:
        super().rebuild(idl, schema)
        self.healing = set()
        self.foreign.restart()
        self.replay()

    def replay(self) -> None:
        if self.idl is not None:
            self.news = [(place.key, self._up(uuid)) for uuid, place in self.places.items() if place.table == PORT]

    def follow(self, event: str, row: Any, old: Any) -> None:
        self.foreign.before(event, row, old)
        super().follow(event, row, old)
        self.foreign.after(event, row, old)
        if row._table.name == PORT and event != "delete" and (event == "create" or "up" in old._data):
            self.news.append((self.places[row.uuid].key, self._up(row.uuid)))

    def turn(self) -> list[Callable[[], None]]:
        if self.twins - self.healing:
            self.healing = set(self.twins)
            self.heal(self.healing)
        news, self.news = self.news, []
        owners = self.foreign.take()
        watchers, followers = list(self.watchers), list(self.followers)

        def tell() -> None:
            for port, up in news:
                for watcher in watchers:
                    watcher(port, up)
            for follower in followers if owners else ():
                follower(owners)

        return [tell] if (news and watchers) or (owners and followers) else []

    def stray(self, uuid: UUID) -> Row:
        """A row of nobody's: its key is its uuid."""
        return replace(self.row(uuid, self.places[uuid], ""), key=str(uuid))

    def _up(self, uuid: Any) -> bool:
        return any(atom.value for atom in self.idl.tables[PORT].rows[uuid]._data["up"].values)
