"""Waiting for a state, with a limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from wolke.lab import waiting

T = TypeVar("T")


def wait_for(condition: Callable[[], T], seconds: float = 30) -> T:
    """What the condition gave when it held; the test fails when it does not within a generous time."""
    found = waiting.wait_for(condition, seconds, every=0.005)
    assert found, f"waited {seconds} s in vain"
    return found
