"""Conversations that have lost their ground: a floating IP leads elsewhere, so what was begun by it is forgotten by this host.

Open vSwitch keeps on translating what comes in by a conversation that it knows, whatever has become of the rule. The slice names
the addresses whose rules have changed lately. Flows follow a moment after the slice, or before it; so each is forgotten several
times. A conversation that is still right loses nothing: its next packet is tracked anew.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from wolke.drivers.hypervisor import DriverError
from wolke.wire.wanted import Ended, Wanted

log = logging.getLogger(__name__)
MOMENTS = (0.0, 0.5, 1.5, 4.0, 12.0, 40.0)  # seconds after the news


class Tracker(Protocol):
    """``drivers.conntrack.Conntrack``."""

    def forget(self, address: str, protocol: str = "", first: int = 0, last: int = 0) -> None: ...


class Conversations:
    """Has the tracker forget what the slice says has ended."""

    def __init__(self, tracker: Tracker, clock: Callable[[], float] = time.monotonic) -> None:
        self.tracker, self.clock = tracker, clock
        self.known: set[str] = set()  # ids that stand in the slice
        self.due: list[tuple[float, Ended]] = []
        self.trouble = ""
        self.lock, self.rung, self.stopping = threading.Lock(), threading.Event(), False
        self.thread = threading.Thread(target=self._keep, name="conversations", daemon=True)

    def apply(self, slice: Wanted) -> None:
        """What has ended since the last slice; all that it names, after a start."""
        now = self.clock()
        with self.lock:
            fresh = [one for one in slice.ended if one.id not in self.known]
            self.known = {one.id for one in slice.ended}
            self.due += [(now + moment, one) for one in fresh for moment in MOMENTS]
        if fresh:
            self.rung.set()

    def errors(self) -> dict[str, str]:
        return {"conntrack": self.trouble} if self.trouble else {}

    def work(self) -> bool:
        """Forget what is due; True when something was."""
        now = self.clock()
        with self.lock:
            now_due = {one for at, one in self.due if at <= now}
            self.due = [(at, one) for at, one in self.due if at > now]
        for one in now_due:
            try:
                self.tracker.forget(one.address, one.protocol, one.first, one.last)
                self.trouble = ""
            except DriverError as error:
                self.trouble = str(error)
                log.warning("conversations by %s are not forgotten: %s (%s)", one.address, error, error.hint)
        return bool(now_due)

    # In a thread ------------------------------------------------------------------------------------------------
    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.stopping = True
        self.rung.set()

    def _keep(self) -> None:
        while not self.stopping:
            self.rung.clear()
            try:
                self.work()
            except Exception:
                log.exception("conversations")
            with self.lock:
                soonest = min((at for at, _ in self.due), default=self.clock() + 60.0)
            self.rung.wait(max(0.05, soonest - self.clock()))
