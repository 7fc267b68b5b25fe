"""A cloud whose processes die, or meet a second one, at a chosen moment; and what of it must be the same in the end.

Moments are where the world is left half done: before and after each call of a driver (OVN's northbound database, the image store), and
after each transaction; dying within one is dying before it. The sweep does not run: it would mend what the lanes must do right.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from tests.conftest import Cloud
from wolke import cloud as control
from wolke.agent.link import LinkError
from wolke.core.db import Base
from wolke.core.work import LEASE_SECONDS, Work, wake
from wolke.drivers import rows
from wolke.image.store import Store
from wolke.network.lane import SWEEP, Site, drift

STORE_CALLS = ("incoming", "remove")
DOMAINS = ("wolke.network", "wolke.image", "wolke.compute")
OTHERS = {"process", "host"}  # bookkeeping that counts how often somebody looked
OTHERS |= {"ended_conversation"}  # notes of some minutes, one each time that something ends
CLOCKS = {
    "created_at",
    "updated_at",
    "seen_at",
    "launched_at",
    "deleted_at",
    "started_at",
    "finished_at",
    "data_until",
    "request_id",
}
CLOCKS |= {"sort_key", "admin_pass", "reservation_id"}  # drawn by lot, in a form of their own
CLOCKS |= {"allocation_pools"}  # whose ends may be drawn
CLOCKS |= {"revision", "seen_revision"}  # a wish that is told twice counts twice
# What is drawn by lot: ids, MACs, addresses
NAMES = re.compile(
    r"[0-9a-f]{8}([-_])[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}|\b[0-9a-f]{2}(?::[0-9a-f]{2}){5}\b|\b\d+\.\d+\.\d+\.\d+\b"
)


class Killed(BaseException):
    """No ``except Exception`` catches it, as none catches SIGKILL."""


BEFORE, AFTER, COMMITTED = "before a driver", "after a driver", "after a transaction"


class Moments:
    """Counts moments of some kinds, and does something at one of them, once."""

    def __init__(
        self, at: int = -1, do: Callable[[], None] = lambda: None, kinds: tuple[str, ...] = (BEFORE, AFTER, COMMITTED)
    ) -> None:
        self.at, self.do, self.kinds = at, do, kinds
        self.count = 0
        self.struck = False
        self._lock = threading.Lock()
        self._busy = threading.local()

    def pass_by(self, kind: str) -> None:
        if kind not in self.kinds or getattr(self._busy, "doing", False):
            return
        with self._lock:
            self.count += 1
            now = self.count - 1 == self.at
            self.struck = self.struck or now
        if now:
            self._busy.doing = True
            try:
                self.do()
            finally:
                self._busy.doing = False


class World(Cloud):
    """``settle`` runs loops and hosts; a control plane that was killed is followed by the next one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        super().__init__(directory)
        self.moments = Moments()
        self._begin()

    # Moments ----------------------------------------------------------------------------------------------------------
    def _begin(self) -> None:
        self.lanes = [lane for lane in self.lanes if SWEEP[0] not in lane.kinds]
        begin = self.app.database.transaction

        @contextmanager
        def transaction() -> Iterator[Any]:
            with begin() as db:
                yield db
            self.moments.pass_by(COMMITTED)

        self.app.database.transaction = transaction  # type: ignore[method-assign]
        self.north.apply = self._watched(type(self.north).apply.__get__(self.north))  # type: ignore[method-assign]
        store = self.app.part(Store)
        for name in STORE_CALLS:
            setattr(store, name, self._watched(getattr(store, name)))

    def _watched(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **more: Any) -> Any:
            self.moments.pass_by(BEFORE)
            result = call(*arguments, **more)
            self.moments.pass_by(AFTER)
            return result

        return watched

    # Life and death ---------------------------------------------------------------------------------------------------
    def restart(self) -> None:
        """The next control plane: nothing is left of the old one but its database, its files, OVN and the hosts."""
        old, north, hosts, now = self.app, self.north, self.hosts, self.now
        super().__init__(self.directory)
        old.close()
        self.now, self.hosts = now, hosts
        self.north = self.app.add(rows.Northbound, north)
        self.lanes = control.lanes(self.app)
        for host in hosts.values():
            host.link.app = self.app
            self.app.bell.listen(f"host:{host.name}", host.link.rung.set)
        self._begin()

    def another_process(self) -> None:
        """A second ``wolke loops`` finds every lease expired and does all that is due, in the middle of what the first one does."""
        with self.app.database.transaction() as db:
            db.execute(update(Work).values(lease=0.0))
        second = [lane for lane in control.lanes(self.app) if SWEEP[0] not in lane.kinds]
        for _ in range(20):
            if not sum(lane.run_once(self.app.database) for lane in second):
                return
        raise AssertionError("the second process does not come to rest")

    def add_host(self, name: str, **capacity: int) -> Any:
        host = super().add_host(name, **capacity)
        tell = host.link.seen

        def seen(picture: Any) -> None:
            """An agent whose control plane dies sees a broken connection."""
            try:
                tell(picture)
            except Killed as death:
                raise LinkError("the control plane has gone away") from death

        host.link.seen = seen
        return host

    def rest(self) -> None:
        """Let the time pass that leases and first pauses take, and have the files looked through that belong to nobody."""
        self.now += LEASE_SECONDS + 1
        with self.app.database.transaction() as db:
            wake(db, "image_clean", "store")
        for host in self.hosts.values():
            host.step()
        self.settle()

    # What is compared -------------------------------------------------------------------------------------------------
    def drift(self) -> list[tuple[str, str]]:
        site = Site(self.app.config, self.north.has)
        return [item for chunk in drift(self.app.database, self.north, site) for item in chunk]

    def end(self) -> list[str]:
        """Every row of OVN and of the tables, and the hosts' guests, as lines; ids and MACs are named by what is said of them."""
        lines = [line for row in self.north.table.values() for line in shown(row)]
        with self.app.database.read() as db:
            for mapper in Base.registry.mappers:
                table = mapper.local_table
                if not mapper.class_.__module__.startswith(DOMAINS) or table.name in OTHERS:
                    continue
                lines += [f"{table.name} {kept(row._asdict())}" for row in db.execute(select(table))]
        for host in self.hosts.values():
            guests = host.hypervisor.observe()
            lines += [f"{host.name} {guest.id} {guest.state}" for guest in guests]
            lines += [f"{host.name} {guest.id} has {nic}" for guest in guests for nic in guest.nics]
            lines += [f"{host.name} disk {id}" for id in sorted(host.disks.servers())]
        files = [
            path for path in self.app.part(Store).directory.iterdir() if path.suffix != ".part"
        ]  # the next upload removes those
        lines += [f"image {path.name} {path.stat().st_size}" for path in files]
        return named(lines)


def kept(columns: dict[str, Any]) -> dict[str, Any]:
    """A table's row without what counts or was drawn; of its revision only whether it has been seen."""
    seen = {"seen": columns["seen_revision"] == columns["revision"]} if "seen_revision" in columns else {}
    return {name: value for name, value in columns.items() if name not in CLOCKS} | seen


def shown(row: rows.Row) -> Iterator[str]:
    """A line for each column of a row, for each element of a set, and for each parent."""
    for name, value in row.columns.items():
        for one in value if isinstance(value, frozenset) else [value]:
            yield f"ovn {row.table} {row.key} {row.owner} {name}={one}"
    for parent in row.parents:
        yield f"ovn {row.table} {row.key} {row.owner} in {parent}"


def named(lines: list[str]) -> list[str]:
    """The lines with each random name replaced by a digest of where it occurs, so that two runs can be compared."""
    plain = [NAMES.sub(lambda found: found[0].replace("_", "-"), line) for line in lines]
    names = {found[0] for line in plain for found in NAMES.finditer(line)}
    labels = dict.fromkeys(names, "?")
    where: dict[str, list[str]] = {name: [] for name in names}
    for line in plain:
        for name in {found[0] for found in NAMES.finditer(line)}:
            where[name].append(line)
    for _ in range(4):
        labels = {
            name: digest(sorted(relabelled(line, {**labels, name: "self"}) for line in where[name])) for name in names
        }
    return sorted(relabelled(line, labels) for line in plain)


def relabelled(line: str, labels: dict[str, str]) -> str:
    return NAMES.sub(lambda found: f"<{labels[found[0]]}>", line)


def digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:8]
