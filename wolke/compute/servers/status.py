"""What a server's status is, computed from what is wanted and what is seen; nothing of it is stored.

The states are an ordered list of conditions, the first that holds counts. A condition is written with ``& | == > <`` only, so that
the same one judges a row in Python and makes the SQL of ``?status=``: a list filtered by status shows exactly those servers whose
view says that status.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, case, false

from wolke.compute.servers.table import Server
from wolke.wire.seen import State
from wolke.wire.wanted import Power

NOSTATE, RUNNING, PAUSED, SHUTDOWN, CRASHED = 0, 1, 3, 4, 6  # nova.objects.fields.InstancePowerState


@dataclass(frozen=True, slots=True)
class Status:
    name: str  # the API's status
    vm_state: str
    task_state: str | None = None
    power_state: int = NOSTATE


def dead(s: Any) -> Any:
    """The guest does not run: never started, shut down, powered off, crashed, or unknown to its host."""
    return (s.seen_state != State.RUNNING.value) & (s.seen_state != State.PAUSED.value)


def pending(s: Any) -> Any:
    """A boot has been asked for that the host has not done yet."""
    return (s.power == Power.RUNNING.value) & (s.boot > s.seen_boot)


CASES: tuple[tuple[Callable[[Any], Any], Status], ...] = (
    (lambda s: s.deleted_at > 0, Status("DELETED", "deleted")),
    (lambda s: s.deleting & (s.launched_at == 0) & (s.schedule_error != ""), Status("ERROR", "error", "deleting")),
    (lambda s: s.deleting & (s.launched_at == 0), Status("BUILD", "building", "deleting")),
    (lambda s: s.deleting & dead(s), Status("SHUTOFF", "stopped", "deleting", SHUTDOWN)),
    (lambda s: s.deleting, Status("ACTIVE", "active", "deleting", RUNNING)),
    (lambda s: s.schedule_error != "", Status("ERROR", "error")),
    (lambda s: (s.launched_at == 0) & (s.seen_error != ""), Status("ERROR", "error")),
    (lambda s: (s.launched_at == 0) & (s.host == ""), Status("BUILD", "building", "scheduling")),
    (lambda s: s.launched_at == 0, Status("BUILD", "building", "spawning")),
    # it has run at least once
    (lambda s: dead(s) & pending(s) & (s.seen_error != ""), Status("ERROR", "error", None, SHUTDOWN)),
    (lambda s: pending(s) & s.rebooting & s.hard, Status("HARD_REBOOT", "active", "rebooting_hard", RUNNING)),
    (lambda s: pending(s) & s.rebooting, Status("REBOOT", "active", "rebooting", RUNNING)),
    (pending, Status("SHUTOFF", "stopped", "powering-on", SHUTDOWN)),
    (lambda s: (s.power == Power.STOPPED.value) & dead(s), Status("SHUTOFF", "stopped", None, SHUTDOWN)),
    (lambda s: s.power == Power.STOPPED.value, Status("ACTIVE", "active", "powering-off", RUNNING)),
    (lambda s: s.seen_state == State.PAUSED.value, Status("PAUSED", "paused", None, PAUSED)),
    (lambda s: s.seen_state == State.CRASHED.value, Status("SHUTOFF", "stopped", None, CRASHED)),
    (dead, Status("SHUTOFF", "stopped", None, SHUTDOWN)),  # by itself, or from inside
    (lambda s: s.seen_state == State.RUNNING.value, Status("ACTIVE", "active", None, RUNNING)),
)
NAMES = frozenset(status.name for _, status in CASES)
# What Nova knows beside; a filter by one of these finds nothing here, yet it is no mistake
KNOWN = NAMES | {
    "MIGRATING", "PASSWORD", "REBUILD", "RESCUE", "RESIZE", "REVERT_RESIZE", "SHELVED", "SHELVED_OFFLOADED",
    "SOFT_DELETED", "SUSPENDED", "UNKNOWN", "VERIFY_RESIZE",
}  # fmt: skip


def status_of(server: Any) -> Status:
    """Of a row or an object."""
    for holds, status in CASES:
        if holds(server):
            return status
    raise AssertionError("the last cases cover everything")


def where(wanted: Callable[[Status], bool]) -> ColumnElement[bool]:
    """Servers whose status is as wanted, in SQL."""
    numbers = [at for at, (_, status) in enumerate(CASES) if wanted(status)]
    if not numbers:
        return false()
    return case(*((holds(Server), at) for at, (holds, _) in enumerate(CASES)), else_=-1).in_(numbers)


def with_status(names: Iterable[str]) -> ColumnElement[bool]:
    asked = {name.upper() for name in names}
    return where(lambda status: status.name in asked)


def fault(server: Any) -> str:
    """Why a server is in ERROR, for the project's eyes."""
    return str(server.schedule_error or server.seen_error)
