"""ovn-controller computes everything anew once it has come to rest.

It follows changes one by one, and not all that a change touches is computed with it: in 23.03 the flows of
``is_chassis_resident()`` depend on the order of a gateway's candidates and on BFD, and are looked at again only when the gateway's port
changes. Where gateways move under load, a host keeps the flows of some that another host carries, until something makes it compute all.

Source: ovn-controller(8), ``inc-engine/recompute``; OVN, controller/lport.c, ``lport_is_chassis_resident`` up to 25.03.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

CALM_SECONDS = 3.0  # that nothing must have moved
PATIENCE_SECONDS = 15.0  # that it is put off where there is no calm
SHARE = 0.1  # of ovn-controller's time, at most


class Controller(Protocol):
    """``wolke.drivers.flows.Flows``."""

    def activity(self) -> str | None: ...
    def recompute(self) -> bool: ...


class Settling:
    """Not a thread of its own: whoever looks at ovn-controller's activity tells it here."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.activity = ""  # the last that was told
        self.first = self.last = 0.0  # when something moved since the last time that all was computed; 0: nothing has
        self.earliest = 0.0

    def stir(self) -> None:
        """Something moved that ovn-controller goes by."""
        self.last = self.clock()
        self.first = self.first or self.last

    def look(self, controller: Controller, activity: str) -> bool:
        """Tell what ovn-controller's activity is now; True when everything was computed anew."""
        if activity != self.activity:
            if self.activity:
                self.stir()
            self.activity = activity
        now = self.clock()
        if not self.first or now < self.earliest:
            return False
        if now - self.last < CALM_SECONDS and now - self.first < PATIENCE_SECONDS:
            return False
        if not controller.recompute():
            return False
        # Its own work is no reason to do it again
        self.activity, self.first = controller.activity() or self.activity, 0.0
        done = self.clock()
        self.earliest = done + (done - now) / SHARE
        return True
