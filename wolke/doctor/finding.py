"""What a check has found: one line of the doctor's table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"  # a cloud works here, with less or slower
    MISSING = "missing"  # no cloud works here without it


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    state: State
    reason: str
    cure: str = ""


def ok(what: str, reason: str) -> Finding:
    return Finding(what, State.OK, reason)


def degraded(what: str, reason: str, cure: str) -> Finding:
    return Finding(what, State.DEGRADED, reason, cure)


def missing(what: str, reason: str, cure: str) -> Finding:
    return Finding(what, State.MISSING, reason, cure)
