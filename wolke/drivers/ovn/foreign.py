"""Whose rows somebody else has changed, and rows of nobody's that hang on ours: kept up with every change of the copy."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from wolke.drivers.ovn.check import SHARED
from wolke.drivers.ovn.index import Index, Place

EVERYTHING = "*"  # told after a (re)connect: whatever there is may be other than it was
# What ovn-northd writes into the northbound database; no hand has been there.
ENGINES = {
    "Logical_Switch_Port": {"up", "dynamic_addresses"},
    "Logical_Router_Port": {"status"},
    "BFD": {"status"},
    "HA_Chassis": {"status"},
}


class Foreign:
    """Owners of rows that were changed, unless ``writing`` says that the change is our own; and ``strays``."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.writing: dict[str, int] = {}  # owner -> transactions of ours that are under way
        self.owners: set[str] = set()  # to be told
        self.strays: set[UUID] = set()
        self.touched: set[UUID] = set()  # rows that may have become strays, or ceased to be

    def restart(self) -> None:
        self.owners = {EVERYTHING}
        self.strays = set()
        self.touched = {uuid for uuid, place in self.index.places.items() if not place.owner}

    def before(self, event: str, row: Any, old: Any) -> None:
        """What was there until now."""
        if event != "create":
            self._note(row, set(old._data) if event == "update" else set())

    def after(self, event: str, row: Any, old: Any) -> None:
        if event == "delete":
            self.strays.discard(row.uuid)
            return
        self.touched.add(row.uuid)
        self._note(row, set(old._data) if event == "update" else set())
        table = self.index.tables[row._table.name]
        for column in table.memberships:
            former = old._data[column].values if event == "update" and column in old._data else {}
            if event == "create" or column in old._data:
                for atom in set(row._data[column].values).symmetric_difference(former):
                    self.touched.add(atom.value)
                    self._tell(self.index.places.get(atom.value))

    def _note(self, row: Any, columns: set[str]) -> None:
        table = self.index.tables[row._table.name]
        if table.name == SHARED:
            self.owners |= {SHARED} if "options" in columns else set()
            return
        if columns and not columns - ENGINES.get(table.name, set()) - set(table.memberships):
            return  # memberships are their children's
        if row.uuid in self.index.places:
            self._tell(self.index.places[row.uuid], self.index.owner(row.uuid))

    def _tell(self, place: Place | None, owner: str = "") -> None:
        owner = owner or (place.owner if place else "")
        if owner and owner not in self.writing:
            self.owners.add(owner)

    def take(self) -> set[str]:
        """Owners whose rows others have changed since the last time; ``""`` among them where strays have come."""
        for uuid in self.touched:
            if self._is_stray(uuid):
                if uuid not in self.strays:
                    self.owners.add("")
                self.strays.add(uuid)
            else:
                self.strays.discard(uuid)
        self.touched = set()
        owners, self.owners = self.owners, set()
        return owners

    def _is_stray(self, uuid: UUID) -> bool:
        place = self.index.places.get(uuid)
        if place is None or place.owner or not self.index.tables[place.table].bears_owner:
            return False
        return any(self.index.places[parent].owner for _, parent, _ in self.index.listing(uuid))

    def begin(self, owners: set[str]) -> None:
        for owner in owners:
            self.writing[owner] = self.writing.get(owner, 0) + 1

    def end(self, owners: set[str]) -> None:
        for owner in owners:
            self.writing[owner] -= 1
            if not self.writing[owner]:
                del self.writing[owner]
