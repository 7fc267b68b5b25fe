"""Waiting for a state instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T], seconds: float, *, every: float = 0.02) -> T:
    """What ``condition`` gave when it became true, or the last untrue thing it gave when the time was over."""
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(every)
    return found
