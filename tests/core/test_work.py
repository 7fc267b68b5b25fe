"""Work items: nothing that was woken is ever lost, whoever dies when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import select

from wolke.core.db import Database
from wolke.core.work import LEASE_SECONDS, Again, Done, Failed, Item, Lane, Next, Work, wake

KIND = "thing"


class Killed(BaseException):
    """As good as SIGKILL: nothing catches it."""


@pytest.fixture
def now() -> list[float]:
    return [1000.0]


@pytest.fixture
def database(state: Path, database_url: str, now: list[float]) -> Iterator[Database]:
    made = Database(database_url or f"sqlite:///{state}/work.db", clock=lambda: now[0])
    made.create_tables()
    yield made
    made.close()


def woken(database: Database, id: str = "1", **options: float) -> None:
    with database.transaction() as db:
        wake(db, KIND, id, **options)


def left(database: Database) -> dict[str, Work]:
    with database.read() as db:
        return {work.id: work for work in db.scalars(select(Work))}


def lane(answer: Callable[[Item], Next], batch: int = 10) -> Lane:
    return Lane("test", [KIND], lambda items: {item: answer(item) for item in items}, batch=batch)


def test_done_items_go(database: Database) -> None:
    woken(database)
    assert lane(lambda item: Done()).run_once(database) == 1
    assert not left(database)


def test_what_is_woken_while_it_is_handled_is_handled_again(database: Database) -> None:
    woken(database)
    seen: list[int] = []

    def handle(item: Item) -> Next:
        seen.append(item.revision)
        if len(seen) == 1:
            woken(database)
        return Done()

    worker = lane(handle)
    while worker.run_once(database):
        pass
    assert seen == [1, 2] and not left(database)


def test_a_killed_worker_loses_nothing_and_its_lease_ends(database: Database, now: list[float]) -> None:
    woken(database)

    def die(item: Item) -> Next:
        raise Killed

    with pytest.raises(Killed):
        lane(die).run_once(database)
    assert lane(lambda item: Done()).run_once(database) == 0
    now[0] += LEASE_SECONDS + 1
    assert lane(lambda item: Done()).run_once(database) == 1
    assert not left(database)


def test_failures_are_tried_again_after_doubling_pauses(database: Database, now: list[float]) -> None:
    woken(database)
    failing = lane(lambda item: Failed(RuntimeError("the engine is away")))
    for pause in (2, 4, 8):
        assert failing.run_once(database) == 1
        assert failing.run_once(database) == 0
        [work] = left(database).values()
        assert work.error == "RuntimeError: the engine is away" and work.due == now[0] + pause
        now[0] += pause
    woken(database)
    assert left(database)["1"].attempts == 0


def test_one_bad_item_stops_no_other(database: Database) -> None:
    for id in "abc":
        woken(database, id)

    def handler(items: Sequence[Item]) -> dict[Item, Next]:
        if any(item.id == "b" for item in items):
            raise RuntimeError("b is broken")
        return {}

    Lane("test", [KIND], handler, batch=10).run_once(database)
    assert set(left(database)) == {"b"} and "b is broken" in left(database)["b"].error


def test_recurring_items_stay(database: Database, now: list[float]) -> None:
    woken(database)
    recurring = lane(lambda item: Again(60))
    assert recurring.run_once(database) == 1 and recurring.run_once(database) == 0
    now[0] += 60
    assert recurring.run_once(database) == 1


def test_later_wakes_do_not_postpone_earlier_ones(database: Database, now: list[float]) -> None:
    woken(database)
    woken(database, seconds=500.0)
    assert left(database)["1"].due == now[0]


def test_a_rolled_back_wish_wakes_nobody(database: Database) -> None:
    with pytest.raises(RuntimeError), database.transaction() as db:
        wake(db, KIND, "1")
        raise RuntimeError
    assert not left(database)
