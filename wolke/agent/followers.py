"""What goes on beside the guests: parts of the host that follow the slice, and work whose errors are told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from wolke.wire.wanted import Wanted

log = logging.getLogger(__name__)


class Follower(Protocol):
    """A part of the host that makes its part of the slice true by itself: the metadata service, the routing daemons, conversations."""

    def apply(self, slice: Wanted) -> None:
        """What this slice says and nothing else, soon; returns at once."""

    def errors(self) -> dict[str, str]: ...


def errors_of(*followers: Follower | None) -> dict[str, str]:
    """What the followers that this host has tell, by their parts."""
    return {part: error for one in followers if one for part, error in one.errors().items()}


def guarded(work: Callable[..., object], *arguments: object) -> None:
    """Errors in the pool are logged, not lost in a future."""
    try:
        work(*arguments)
    except Exception:
        log.exception("work on the host failed")
