"""Allowances hold to the last unit, however many ask at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from wolke.core.db import Database
from wolke.core.errors import OverQuota
from wolke.core.quota import DEFAULT_CLASS, claim, limits, quota, reset, rows_of, set_limits
from wolke.image.table import Image

quota("quota-test", "image", 3, rows_of(Image))


@pytest.fixture
def database(state: Path, database_url: str) -> Iterator[Database]:
    made = Database(database_url or f"sqlite:///{state}/quota.db")
    made.create_tables()
    yield made
    made.close()


def make(database: Database) -> bool:
    try:
        with database.transaction() as db:
            claim(db, "quota-test", "p", image=1)
            db.add(Image(project_id="p"))
        return True
    except OverQuota:
        return False


def test_parallel_requests_get_exactly_what_is_left(database: Database) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(lambda _: make(database), range(24))) == 3


def test_limits_come_from_project_then_class_then_code(database: Database) -> None:
    with database.transaction() as db:
        assert limits(db, "quota-test", "p") == {"image": 3}
        set_limits(db, "quota-test", DEFAULT_CLASS, {"image": 7})
        assert limits(db, "quota-test", "p") == {"image": 7}
        set_limits(db, "quota-test", "p", {"image": -1})
        assert limits(db, "quota-test", "p") == {"image": -1}
        reset(db, "quota-test", "p")
        assert limits(db, "quota-test", "p") == {"image": 7}


def test_the_error_says_what_is_used(database: Database) -> None:
    for _ in range(3):
        assert make(database)
    with pytest.raises(OverQuota, match="requested 2, but already used 3 of 3 image"), database.transaction() as db:
        claim(db, "quota-test", "p", image=2)
