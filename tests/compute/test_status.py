"""A server's status is computed twice, from a row in Python and by the database for ``?status=``; both must agree on everything."""

from __future__ import annotations

from itertools import product

import pytest
from sqlalchemy import insert, select

from tests.conftest import Cloud
from wolke.compute.servers.status import CASES, NAMES, status_of, with_status
from wolke.compute.servers.table import Server

FACTS = {
    "deleted_at": (0.0, 5.0),
    "deleting": (False, True),
    "schedule_error": ("", "No valid host"),
    "seen_error": ("", "The disk could not be made"),
    "host": ("", "h1"),
    "launched_at": (0.0, 4.0),
    "seen_state": ("", "defined", "running", "paused", "crashed"),
    "power": ("running", "stopped"),
    "boot": (1, 2),
    "rebooting": (False, True),
    "hard": (False, True),
}


def test_python_and_the_database_agree_on_every_combination_of_facts(cloud: Cloud) -> None:
    rows = [
        {"id": f"s{at}", "flavor": {}, "meta": {}, "tags": [], "hints": {}, "seen_boot": 1}
        | dict(zip(FACTS, values, strict=True))
        for at, values in enumerate(product(*FACTS.values()))
    ]
    with cloud.app.database.transaction() as db:
        db.execute(insert(Server), rows)
    with cloud.app.database.read() as db:
        everything = {row.id: status_of(row).name for row in db.execute(select(Server.__table__))}
        assert len(everything) == len(rows)
        assert set(everything.values()) == NAMES
        for name in NAMES:
            found = set(db.scalars(select(Server.id).where(with_status([name]))))
            assert found == {id for id, status in everything.items() if status == name}, name


def test_every_case_can_happen() -> None:
    """A case that another one always precedes would be dead."""
    reached = set()
    for values in product(*FACTS.values()):
        server = Server(seen_boot=1, **dict(zip(FACTS, values, strict=True)))
        reached.add(next(at for at, (holds, _) in enumerate(CASES) if holds(server)))
    assert reached == set(range(len(CASES)))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, ("BUILD", "scheduling")),
        ({"host": "h1"}, ("BUILD", "spawning")),
        ({"schedule_error": "no host"}, ("ERROR", None)),
        ({"host": "h1", "seen_error": "no disk"}, ("ERROR", None)),
        ({"host": "h1", "launched_at": 1.0, "seen_boot": 1, "seen_state": "running"}, ("ACTIVE", None)),
        ({"host": "h1", "launched_at": 1.0, "seen_boot": 1, "seen_state": "defined"}, ("SHUTOFF", None)),
        ({"host": "h1", "launched_at": 1.0, "seen_boot": 1, "seen_state": "paused"}, ("PAUSED", None)),
        (
            {"host": "h1", "launched_at": 1.0, "seen_boot": 1, "seen_state": "running", "power": "stopped"},
            ("ACTIVE", "powering-off"),
        ),
        (
            {"host": "h1", "launched_at": 1.0, "seen_boot": 1, "seen_state": "defined", "boot": 2},
            ("SHUTOFF", "powering-on"),
        ),
        (
            {"host": "h1", "launched_at": 1.0, "seen_boot": 1, "seen_state": "defined", "boot": 2, "rebooting": True},
            ("REBOOT", "rebooting"),
        ),
        (
            {
                "host": "h1", "launched_at": 1.0, "seen_boot": 1, "seen_state": "running", "boot": 2, "rebooting": True,
                "hard": True,
            },
            ("HARD_REBOOT", "rebooting_hard"),
        ),
    ],
)  # fmt: skip
def test_what_each_situation_is_called(facts: dict[str, object], expected: tuple[str, str | None]) -> None:
    fresh = {
        "deleted_at": 0.0, "deleting": False, "schedule_error": "", "seen_error": "", "host": "", "launched_at": 0.0,
        "seen_state": "", "power": "running", "boot": 1, "seen_boot": 0, "rebooting": False, "hard": False,
    }  # fmt: skip
    status = status_of(Server(**{**fresh, **facts}))
    assert (status.name, status.task_state) == expected
