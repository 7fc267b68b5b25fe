"""A live copy of one OVSDB database and a way to write it: RFC 7047 through the ``ovs`` IDL.

One thread per ``Link`` runs the IDL. Callers read the copy under a lock and hand in transactions, which the thread composes
against the copy as it is at that moment, and composes again when the server answers "try again" or the connection was lost.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import ovs.db.idl
import ovs.jsonrpc
import ovs.poller
import ovs.stream

from wolke.drivers.ovsdb.idl import Follower, Idl, Transaction
from wolke.drivers.rows import Refused, Unavailable

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.05
TRIES = 3
SCHEMA_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a transaction, and the row (``table key``) that an error message names for it."""

    json: Mapping[str, Any]
    place: str = ""


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files for ``ssl:`` remotes. The library keeps one set for the whole process."""

    key: str
    certificate: str
    authority: str


@dataclass(slots=True)
class _Wish:
    compose: Callable[[], list[Operation]]
    deadline: float
    answer: Future[list[Any]] = field(default_factory=Future)
    operations: list[Operation] = field(default_factory=list)
    transaction: Transaction | None = None
    not_before: float = 0.0
    seqno: int = -1  # of the copy that the operations were composed from
    tries: int = 0


class Link:
    """A database as it is now.

    Parameters
    ----------
    remote : ``unix:PATH``, ``tcp:HOST:PORT`` or ``ssl:HOST:PORT``, several with commas between them
    database : name of the schema, such as ``OVN_Northbound``
    follower : keeps whatever index its user needs
    tables : table -> columns to copy (an empty list: all); what the server's schema lacks is left out. None copies everything.
    leader_only : of a RAFT cluster, speak to the leader alone: its copy is never behind
    patience : seconds until a call without a connection raises ``Unavailable``
    """

    def __init__(
        self,
        remote: str,
        database: str,
        follower: Follower,
        *,
        tables: Mapping[str, Iterable[str]] | None = None,
        leader_only: bool = True,
        patience: float = 5.0,
        tls: Tls | None = None,
    ) -> None:
        self.remotes = remote.split(",")
        self.database = database
        self.patience = patience
        self._follower = follower
        self._tables = tables
        self._leader_only = leader_only
        self._tls = tls
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._idl: Idl | None = None
        self._waiting: deque[_Wish] = deque()
        self._sent: list[_Wish] = []
        self._closing = threading.Event()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name=f"ovsdb-{database}", daemon=True)

    def start(self) -> None:
        """Return at once; the first call that needs the copy waits for it."""
        if self._tls:
            ovs.stream.Stream.ssl_set_private_key_file(self._tls.key)
            ovs.stream.Stream.ssl_set_certificate_file(self._tls.certificate)
            ovs.stream.Stream.ssl_set_ca_cert_file(self._tls.authority)
        self._thread.start()

    def close(self) -> None:
        with self._changed:
            self._closing.set()
            self._changed.notify_all()
        self.ring()
        if self._thread.is_alive():
            self._thread.join()
        if self._bell >= 0:
            os.close(self._bell)
            self._bell = -1

    @contextlib.contextmanager
    def reading(self) -> Iterator[Any]:
        """The IDL with a copy that is current; nothing changes inside the ``with``."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_current() or self._closing.is_set(), self.patience)
            if not self._is_current() or self._closing.is_set():
                raise self._unavailable()
            yield self._idl

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until a condition on the copy holds; False when time is up. Others read and write meanwhile."""
        with self._changed:
            return self._changed.wait_for(condition, seconds)

    def transact(self, compose: Callable[[], list[Operation]]) -> list[Any]:
        """Write what ``compose`` says and return the server's answers, one per operation.

        ``compose`` runs in the link's thread with a current copy, perhaps more than once; what it raises is raised here.
        """
        try:
            return self.ask(compose).result(self.patience + 1.0)
        except TimeoutError:
            raise self._unavailable() from None

    def ask(self, compose: Callable[[], list[Operation]]) -> Future[list[Any]]:
        """As ``transact``, without waiting."""
        wish = _Wish(compose, time.monotonic() + self.patience)
        with self.lock:
            if self._closing.is_set():
                raise self._unavailable()
            self._waiting.append(wish)
        self.ring()
        return wish.answer

    # The thread ------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._serve()
            except Exception:
                log.exception("%s: starting again", self.database)
                self._closing.wait(1.0)
        with self._changed:
            self._idl = None
            for wish in [*self._sent, *self._waiting]:
                wish.answer.set_exception(self._unavailable())
            self._waiting.clear()
            self._sent.clear()
            self._changed.notify_all()

    def _serve(self) -> None:
        schema = self._fetch_schema()
        if schema is None:
            with self._changed:
                self._expire()
            self._closing.wait(0.1)
            return
        idl = Idl(",".join(self.remotes), self._helper(schema), schema, self._follower, leader=self._leader_only)
        with self._changed:
            self._idl = idl
        try:
            while not self._closing.is_set():
                with self._changed:
                    seqno, was_current = idl.change_seqno, idl.is_current
                    idl.run()
                    idl.catch_up()
                    self._finish()
                    self._begin(idl)
                    calls = self._follower.turn()
                    if idl.change_seqno != seqno or idl.is_current != was_current:
                        self._changed.notify_all()
                    pause = self._expire()
                for call in calls:
                    call()
                poller = ovs.poller.Poller()
                idl.wait(poller)
                poller.fd_wait(self._bell, select.POLLIN)
                if pause is not None:
                    poller.timer_wait(int(pause * 1000) + 1)
                poller.block()
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(self._bell)
        finally:
            with self._changed:
                self._idl = None
                self._waiting.extendleft(reversed(self._sent))
                self._sent.clear()
            idl.close()

    def _begin(self, idl: Idl) -> None:
        now = time.monotonic()
        later: list[_Wish] = []
        while self._waiting and idl.is_current:
            wish = self._waiting.popleft()
            if wish.not_before > now:
                later.append(wish)
                continue
            try:
                wish.operations = wish.compose()
            except Exception as error:
                wish.answer.set_exception(error)
                continue
            if not wish.operations:
                wish.answer.set_result([])
                continue
            wish.seqno, wish.tries = idl.change_seqno, wish.tries + 1
            wish.transaction = Transaction(idl)
            for operation in wish.operations:
                wish.transaction.add_op(operation.json)
            wish.transaction.commit()
            self._sent.append(wish)
        self._waiting.extendleft(reversed(later))

    def _finish(self) -> None:
        sent, self._sent = self._sent, []
        for wish in sent:
            transaction = wish.transaction
            assert transaction is not None
            status = transaction.commit()
            if status == transaction.INCOMPLETE:
                self._sent.append(wish)
            elif status == transaction.SUCCESS:
                wish.answer.set_result(transaction.answers or [])
            elif status == transaction.TRY_AGAIN:
                wish.not_before = time.monotonic() + RETRY_SECONDS
                self._waiting.append(wish)
            elif wish.tries < TRIES and transaction.idl.change_seqno != wish.seqno:
                # Perhaps another writer was faster, and the newer copy gives other operations.
                self._waiting.append(wish)
            else:
                wish.answer.set_exception(self._refusal(wish, transaction))

    def _refusal(self, wish: _Wish, transaction: Transaction) -> Refused:
        for number, answer in enumerate(transaction.answers or []):
            if isinstance(answer, dict) and answer.get("error") not in (None, "aborted"):
                place = wish.operations[number].place if number < len(wish.operations) else ""
                text = self._follower.explain(answer.get("details") or answer["error"])
                return Refused(f"{place}: {text}" if place else text, hint=str(answer["error"]))
        return Refused(f"{self.database}: {transaction.get_error()}")

    def _expire(self) -> float | None:
        """Give up on what has waited too long; seconds until the next one must be looked at."""
        now = time.monotonic()
        for queue in (self._waiting, self._sent):
            for wish in [wish for wish in queue if wish.deadline <= now]:
                queue.remove(wish)
                wish.answer.set_exception(self._unavailable())
        current = self._is_current()
        due = [max(wish.not_before, now) if current else wish.deadline for wish in self._waiting]
        due += [wish.deadline for wish in self._sent]
        return min(due) - now if due else None

    def _fetch_schema(self) -> dict[str, Any] | None:
        for remote in self.remotes:
            error, stream = ovs.stream.Stream.open_block(ovs.stream.Stream.open(remote), int(SCHEMA_SECONDS * 1000))
            if error:
                continue
            connection = ovs.jsonrpc.Connection(stream)
            request = ovs.jsonrpc.Message.create_request("get_schema", [self.database])
            connection.send(request)
            end = time.monotonic() + SCHEMA_SECONDS
            while not connection.get_status() and time.monotonic() < end and not self._closing.is_set():
                connection.run()
                _, message = connection.recv()
                if message is not None and message.id == request.id:
                    connection.close()
                    if isinstance(message.result, dict):
                        return message.result
                    break
                poller = ovs.poller.Poller()
                connection.wait(poller)
                connection.recv_wait(poller)
                poller.timer_wait(100)
                poller.block()
            else:
                connection.close()
        return None

    def _helper(self, schema: dict[str, Any]) -> Any:
        helper = ovs.db.idl.SchemaHelper(schema_json=schema)
        if self._tables is None:
            helper.register_all()
            return helper
        for table, columns in self._tables.items():
            known = schema["tables"].get(table, {"columns": {}})["columns"]
            wanted = [column for column in columns if column in known] if columns else list(known)
            if wanted:
                helper.register_columns(table, wanted)
        return helper

    def _is_current(self) -> bool:
        return self._idl is not None and self._idl.is_current

    def ring(self) -> None:
        """Wake the thread: there is something to do."""
        if self._bell >= 0:
            os.eventfd_write(self._bell, 1)

    def _unavailable(self) -> Unavailable:
        return Unavailable(f"{self.database} does not answer", hint=",".join(self.remotes))
