"""Conversations that have lost their ground: a floating IP leads elsewhere, so what was begun by it is forgotten by this host.

Open vSwitch keeps on translating what comes in by a conversation that it knows, whatever has become of the rule. The slice names
the addresses whose rules have changed lately. Flows follow a moment after the slice, or before it; so each is forgotten several
times. A conversation that is still right loses nothing: its next packet is tracked anew.

Where the floating IP leads to a port of this host, it is announced from here at once: until the network outside has learnt where its MAC
is now, everything goes to the host before.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from typing import Protocol

from wolke.drivers.hypervisor import DriverError
from wolke.wire.wanted import Ended, Wanted

log = logging.getLogger(__name__)
MOMENTS = (0.0, 0.5, 1.5, 4.0, 12.0, 40.0)  # seconds after the news
# the host before may still answer; after a second ovn-controller announces by itself
ANNOUNCED = (0.0, 0.1, 0.2, 0.4, 0.7)


class Tracker(Protocol):
    """``drivers.conntrack.Conntrack``."""

    def forget(self, address: str, protocol: str = "", first: int = 0, last: int = 0) -> None: ...


class Announcer(Protocol):
    """``drivers.announce.Announcer``."""

    def announce(self, address: str, mac: str, localnet: str, vlan: int = 0) -> None: ...


class Conversations:
    """Has the tracker forget what the slice says has ended, and announces what has come here.

    Parameters
    ----------
    here : ids of the logical ports that are plugged on this host
    """

    def __init__(
        self,
        tracker: Tracker,
        announcer: Announcer | None = None,
        here: Callable[[], Collection[str]] = tuple,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tracker, self.announcer, self.here, self.clock = tracker, announcer, here, clock
        self.known: set[str] = set()  # ids that stand in the slice
        self.due: list[tuple[float, Ended]] = []  # to be forgotten
        self.arrivals: list[tuple[float, Ended]] = []  # to be announced, if they are here
        self.trouble = ""
        self.started = False  # a first slice has come
        self.lock, self.rung, self.stopping = threading.Lock(), threading.Event(), False
        self.thread = threading.Thread(target=self._keep, name="conversations", daemon=True)

    def apply(self, slice: Wanted) -> None:
        """What has ended since the last slice; all that it names, after a start."""
        now = self.clock()
        with self.lock:
            fresh = [one for one in slice.ended if one.id not in self.known]
            self.known = {one.id for one in slice.ended}
            self.due += [(now + moment, one) for one in fresh for moment in MOMENTS]
            if self.started:  # what came before this agent did has long been announced
                self.arrivals += [(now + moment, one) for one in fresh if one.mac for moment in ANNOUNCED]
            self.started = True
        if fresh:
            self.rung.set()

    def errors(self) -> dict[str, str]:
        return {"conntrack": self.trouble} if self.trouble else {}

    def work(self) -> bool:
        """Announce and forget what is due; True when something was."""
        now = self.clock()
        announced = self._announce(now)
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
        return announced or bool(now_due)

    def _announce(self, now: float) -> bool:
        with self.lock:
            now_due = {one for at, one in self.arrivals if at <= now}
            self.arrivals = [(at, one) for at, one in self.arrivals if at > now]
        if not now_due or self.announcer is None:
            return False
        here = self.here()
        for one in now_due:
            if one.port_id in here:
                try:
                    self.announcer.announce(one.address, one.mac, one.localnet, one.vlan)
                except DriverError as error:  # ovn-controller does it a second later
                    log.info("%s is not announced: %s (%s)", one.address, error, error.hint)
        return True

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
                soonest = min((at for at, _ in (*self.due, *self.arrivals)), default=self.clock() + 60.0)
            self.rung.wait(max(0.02, soonest - self.clock()))
