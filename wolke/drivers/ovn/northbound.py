"""OVN's northbound database: what the network shall be. Tables and columns: ovn-nb(5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from wolke.drivers.ovn.check import SHARED
from wolke.drivers.ovn.compose import compose, remove
from wolke.drivers.ovn.index import Index
from wolke.drivers.ovsdb import Link, Operation, Tls
from wolke.drivers.rows import Change, Row

Changed = Callable[[str, bool], None]
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
        self._link.transact(lambda: compose(changes, self._index))

    def set_options(self, options: Mapping[str, str | None]) -> None:
        taken = ["options", "delete", ["set", list(options)]]
        given = ["map", [[key, value] for key, value in options.items() if value is not None]]
        self._link.transact(
            lambda: [*self._shared(), self._mutate_shared(taken, ["options", "insert", given])] if options else []
        )

    def options(self) -> dict[str, str]:
        """All of ``NB_Global.options``, those of others too."""
        with self._link.reading() as idl:
            return {
                key.value: value.value
                for row in idl.tables[SHARED].rows.values()
                for key, value in row._data["options"].values.items()
            }

    def sync(self, seconds: float) -> bool:
        return self._sync("hv_cfg", seconds)

    def sync_southbound(self, seconds: float) -> bool:
        """Wait until northd has translated what was written before (``sb_cfg``); False when time is up."""
        return self._sync("sb_cfg", seconds)

    def watch(self, changed: Changed) -> None:
        with self._link.lock:
            self._index.watchers.append(changed)
            self._index.replay()
        self._link.ring()

    def _sync(self, column: str, seconds: float) -> bool:
        where: list[Any] = []
        select = Operation({"op": "select", "table": SHARED, "where": where, "columns": ["nb_cfg"]})
        answers = self._link.transact(lambda: [*self._shared(), self._mutate_shared(["nb_cfg", "+=", 1]), select])
        [row] = answers[-1]["rows"]
        return self._link.wait_for(lambda: self._index.counter(column) >= row["nb_cfg"], seconds)

    def _shared(self) -> list[Operation]:
        """Makes the only row of NB_Global where northd has not yet done so."""
        empty = not self._index.idl.tables[SHARED].rows
        return [Operation({"op": "insert", "table": SHARED, "row": {}}, SHARED)] if empty else []

    def _mutate_shared(self, *mutations: list[Any]) -> Operation:
        return Operation({"op": "mutate", "table": SHARED, "where": [], "mutations": list(mutations)}, SHARED)


class _Index(Index):
    """The index, and who wants to hear of ports going up and down."""

    def __init__(self) -> None:
        super().__init__()
        self.watchers: list[Changed] = []
        self.news: list[tuple[str, bool]] = []
        self.heal: Callable[[set[Any]], object] = lambda twins: None
        self.healing: set[Any] = set()

    def rebuild(self, idl: Any, schema: Mapping[str, Any]) -> None:
        super().rebuild(idl, schema)
        self.healing = set()
        self.replay()

    def replay(self) -> None:
        if self.idl is not None:
            self.news = [(place.key, self._up(uuid)) for uuid, place in self.places.items() if place.table == PORT]

    def follow(self, event: str, row: Any, old: Any) -> None:
        super().follow(event, row, old)
        if row._table.name == PORT and event != "delete" and (event == "create" or "up" in old._data):
            self.news.append((self.places[row.uuid].key, self._up(row.uuid)))

    def turn(self) -> list[Callable[[], None]]:
        if self.twins - self.healing:
            self.healing = set(self.twins)
            self.heal(self.healing)
        news, self.news = self.news, []
        if not self.watchers:
            return []
        watchers = list(self.watchers)

        def tell() -> None:
            for port, up in news:
                for watcher in watchers:
                    watcher(port, up)

        return [tell] if news else []

    def counter(self, column: str) -> int:
        for row in self.idl.tables[SHARED].rows.values():
            for atom in row._data[column].values:
                return int(atom.value)
        return 0

    def _up(self, uuid: Any) -> bool:
        return any(atom.value for atom in self.idl.tables[PORT].rows[uuid]._data["up"].values)
