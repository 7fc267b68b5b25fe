"""What goes on beside the guests: parts of the host that follow the slice, and work whose errors are told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from wolke.wire.wanted import Wanted

log = logging.getLogger(__name__)


class Telling(Protocol):
    def errors(self) -> dict[str, str]:
        """What is wrong, by the part that it is wrong with."""


class Follower(Telling, Protocol):
    """A part of the host that makes its part of the slice true by itself: the metadata service, the routing daemons, conversations."""

    def apply(self, slice: Wanted) -> None:
        """What this slice says and nothing else, soon; returns at once."""


def errors_of(*telling: Telling | None) -> dict[str, str]:
    """What those that this host has tell, by their parts."""
    return {part: error for one in telling if one for part, error in one.errors().items()}


def guarded(work: Callable[..., object], *arguments: object) -> None:
    """Errors in the pool are logged, not lost in a future."""
    try:
        work(*arguments)
    except Exception:
        log.exception("work on the host failed")
