"""The ``ovs`` library's live copy of a database, made to tell who follows it; the only place that knows its insides."""

from __future__ import annotations

import select
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import ovs.db.idl
import ovs.poller

PROBE_MILLISECONDS = 5000


class _Poll:
    """poll(2) for the library, whose own choice, select(2), fails in a process with more than 1024 open files.

    Unlike ``select.poll``, a second registration of a file adds to the first one; the library counts on it.
    """

    def __init__(self) -> None:
        self._events: dict[int, int] = {}

    def register(self, file: Any, events: int) -> None:
        number = file if isinstance(file, int) else file.fileno()
        self._events[number] = self._events.get(number, 0) | events

    def poll(self, milliseconds: int) -> list[tuple[int, int]]:
        poll = select.poll()
        for number, events in self._events.items():
            poll.register(number, events)
        return poll.poll(milliseconds)


ovs.poller.SelectPoll = _Poll


class Follower(Protocol):
    """Told about the copy's changes in the link's thread, under its lock."""

    def rebuild(self, idl: Any, schema: Mapping[str, Any]) -> None:
        """The copy was read anew: forget everything and look at all rows."""

    def follow(self, event: str, row: Any, old: Any) -> None:
        """One row was created, updated (``old`` has the former values of what changed) or deleted."""

    def turn(self) -> list[Callable[[], None]]:
        """Called after each round of changes; what it returns is called without the lock."""

    def explain(self, text: str) -> str:
        """A server's error message with names instead of uuids."""


class Idl(ovs.db.idl.Idl):  # type: ignore[misc]
    def __init__(
        self, remotes: str, helper: Any, schema: Mapping[str, Any], follower: Follower, *, leader: bool
    ) -> None:
        super().__init__(remotes, helper, probe_interval=PROBE_MILLISECONDS, leader_only=leader)
        self.schema = schema
        self._session.reconnect.set_backoff(1000, 1000)
        self.follower = follower
        self.followed = -1  # the session whose rows the follower knows

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        if self.followed == self._session.get_seqno():
            self.follower.follow(event, row, updates)

    @property
    def is_reading(self) -> bool:
        """Connected, and the copy is complete."""
        return bool(self._session.is_connected()) and self.state == self.IDL_S_MONITORING

    @property
    def is_current(self) -> bool:
        return self.is_reading and self.followed == self._session.get_seqno()

    def catch_up(self) -> None:
        """After a reconnect the library clears its rows without a word: the follower starts again."""
        if self.is_reading and self.followed != self._session.get_seqno():
            self.follower.rebuild(self, self.schema)
            self.followed = self._session.get_seqno()


def one_of(row: Any, column: str) -> Any:
    """The only element of a column; an empty string where there is none, or no row."""
    return next((atom.value for atom in row._data[column].values), "") if row is not None else ""


def map_of(row: Any, column: str) -> dict[str, str]:
    """A column that is a map; an empty one where there is no row."""
    return {key.value: value.value for key, value in row._data[column].values.items()} if row is not None else {}


class Transaction(ovs.db.idl.Transaction):  # type: ignore[misc]
    """Keeps the server's answers, one per operation and perhaps one more for the commit."""

    answers: list[Any] | None = None

    def _process_reply(self, message: Any) -> None:
        self.answers = message.result if isinstance(message.result, list) else None
        super()._process_reply(message)
