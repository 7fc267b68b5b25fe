"""Drift on this host: settings, ports and flows of the virtual switch that somebody has changed by hand are noticed, undone and told."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from wolke.agent.settling import CALM_SECONDS, Settling
from wolke.drivers.hypervisor import DriverError, VirtualSwitch, Wrong
from wolke.drivers.openflow import Meter
from wolke.drivers.packet_rates import Spot
from wolke.wire import seen
from wolke.wire.wanted import PacketLimit

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # between two looks at the flows
LINES_SECONDS = 30.0  # between two looks at each single flow
BEGIN_SECONDS = 5.0  # in which BFD finds out that there is somebody
KEPT = 20  # of the last ones, in each picture
MOST_DETAILS = 10


class Flows(Protocol):
    """``wolke.drivers.flows.Flows``."""

    def count(self) -> int | None: ...
    def lines(self) -> frozenset[str] | None: ...
    def activity(self) -> str | None: ...
    def recompute(self) -> bool: ...
    def reinstall(self) -> bool: ...
    def own(self) -> int | None: ...
    def shut_routers(self, ports: Iterable[int]) -> bool: ...
    def limit_packets(self, limits: Mapping[Spot, Meter]) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Expected:
    """What the virtual switch was given."""

    host: str
    ovn_remote: str
    encap_ip: str
    bridge_mappings: Mapping[str, str]
    interfaces: Mapping[str, str]  # of running guests: device -> logical port


class Drifts:
    """Looks at the virtual switch when it changes, and at its flows all the time.

    Parameters
    ----------
    expected : None as long as nothing is known
    mend : gives the virtual switch its settings again
    flows : None where there are none to look at
    routing : logical ports that may advertise routers
    limits : how many packets cards may send and be sent
    wall : unix seconds, for whoever reads when it was
    """

    def __init__(
        self,
        switch: VirtualSwitch,
        *,
        expected: Callable[[], Expected | None],
        mend: Callable[[Expected], None],
        changed: Callable[[], None],
        clock: Callable[[], float],
        flows: Flows | None = None,
        routing: Callable[[], Iterable[str]] = tuple,
        limits: Callable[[], Iterable[PacketLimit]] = tuple,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.switch, self.expected, self.mend, self.changed = switch, expected, mend, changed
        self.clock, self.flows, self.routing, self.limits, self.wall = clock, flows, routing, limits, wall
        self.told: tuple[seen.Drift, ...] = ()
        self.tunnels: dict[str, bool] = {}
        self.up: set[str] = set()  # tunnels that have been up
        self.began: dict[str, float] = {}  # since when BFD watches them
        # flows of our own: what for, at which activity, how many
        self.kept: tuple[frozenset[int], dict[Spot, Meter], str | None] = (frozenset(), {}, None)
        self.own: int | None = -1
        self.refused = False  # packet rates, by the switch
        self.again = 0.0  # when they are tried once more
        self.switching = True
        self.settling = Settling(clock)
        self.rung = threading.Event()
        self.first: set[Wrong] = set()  # ports that were wrong at the last look: a guest may just have come
        self.activity = ""
        self.since = 0.0  # when ovn-controller was last seen to compute
        self.count = -1  # as it should be; -1: not known yet
        self.lines: frozenset[str] | None = None
        self.lines_due = 0.0
        switch.watch(self.rung.set)

    # Settings and ports -----------------------------------------------------------------------------------------
    def look(self) -> bool:
        """Compare settings and ports with what they should be; True when something was wrong."""
        expected = self.expected()
        if expected is None:
            return False
        wrong = self.switch.wrong(
            host=expected.host, ovn_remote=expected.ovn_remote, encap_ip=expected.encap_ip,
            bridge_mappings=dict(expected.bridge_mappings), interfaces=dict(expected.interfaces),
        )  # fmt: skip
        settings = [one for one in wrong if one.kind == "setting"]
        ports = {one for one in wrong if one.kind == "port"}
        sure, self.first = ports & self.first, ports
        if settings:
            self.undo("setting", settings, lambda: self.mend(expected))
        if sure:
            self.undo("port", sorted(sure, key=lambda one: one.name), lambda: self.mend_ports(expected, sure))
        if ports:
            self.rung.set()
        return bool(settings or sure)

    def mend_ports(self, expected: Expected, wrong: set[Wrong]) -> None:
        for one in wrong:
            if (port_id := expected.interfaces.get(one.name)) is not None:
                self.switch.add_port("br-int", one.name, port_id)
            else:
                self.switch.remove_port(one.name)

    def undo(self, kind: str, wrong: list[Wrong], mend: Callable[[], object]) -> None:
        details = tuple(one.detail for one in wrong[:MOST_DETAILS])
        one = self.note(kind, ", ".join(dict.fromkeys(one.name for one in wrong))[:200], details, len(wrong))
        mend()
        self.undone(one)

    def note(self, kind: str, name: str, details: tuple[str, ...], count: int) -> seen.Drift:
        """Write down what was found; what is found again and again is one."""
        for known in self.told:
            if not known.undone_at and (known.kind, known.name) == (kind, name):
                return known
        log.warning("drift: %s %s: %s", kind, name, "; ".join(details))
        made = seen.Drift(
            id=str(uuid.uuid4()), kind=kind, name=name, details=details, count=count, noticed_at=self.wall()
        )
        self.told = (*self.told, made)[-KEPT:]
        self.changed()
        return made

    def undone(self, one: seen.Drift) -> None:
        at = self.wall()
        self.told = tuple(replace(known, undone_at=at) if known.id == one.id else known for known in self.told)
        self.changed()

    # What BFD and ovs-vswitchd tell -----------------------------------------------------------------------------
    def look_at_tunnels(self) -> None:
        found = self.switch.tunnels()
        now = self.clock()
        self.up |= {name for name, up in found.items() if up}
        self.up &= found.keys()
        self.began = {name: self.began.get(name, now) for name in found}
        # BFD begins with "down": one that was never up is believed dead only after a while.
        sure = {name for name in found if name in self.up or now - self.began[name] > BEGIN_SECONDS}
        tunnels = {name: up for name, up in found.items() if name in sure}
        if tunnels != self.tunnels:
            self.tunnels = tunnels
            self.settling.stir()
            self.changed()

    # What OVN does not keep guests from -------------------------------------------------------------------------
    def look_at_guests(self) -> None:
        """Flows of our own below OVN's: router advertisements, which it lets past its ACLs, and packet rates, which it does not know.

        ovn-controller clears the bridge whenever it connects to it, which may be after it has computed: so ours are counted until there
        is calm. What takes them away afterwards is drift like any other.
        """
        if self.flows is None:
            return
        attached, allowed = self.switch.attached(), self.routing()
        shut = frozenset(number for number, port_id in attached.items() if port_id not in allowed)
        state = (shut, spots(attached, self.limits()), self.flows.activity())
        own = self.flows.own()
        if own is None or state[2] is None:
            return
        right = state == self.kept and (own == self.own or self.count >= 0)
        if (right and not (self.refused and self.clock() >= self.again)) or not self.flows.shut_routers(shut):
            return
        limiting = self.flows.limit_packets(state[1])
        if (limiting is None) != self.refused:
            self.refused = limiting is None
            self.changed()
        self.again = self.clock() + LINES_SECONDS
        self.kept, self.own = state, self.flows.own() if limiting is None else len(shut) + limiting
        self.forget()

    def errors(self) -> dict[str, str]:
        return {"packets": "packet rates are not in force: Open vSwitch takes no meters"} if self.refused else {}

    # Flows ------------------------------------------------------------------------------------------------------
    def look_at_flows(self) -> bool:
        """Compare the flows with those that were there when ovn-controller last did something; True when they were other."""
        if self.flows is None:
            return False
        count = self.flows.count()
        if (count is not None) != self.switching:
            self.switching = count is not None
            self.up, self.began = set(), {}
            self.changed()
        activity = self.flows.activity()
        if count is None or activity is None:
            self.forget()
            return False
        if self.settling.look(self.flows, activity) or activity != self.activity:
            self.activity = activity
            self.forget()
            return False
        if self.clock() - self.since < CALM_SECONDS:
            return False
        if self.count < 0:
            self.count = count
            return False
        if count == self.count and self.clock() < self.lines_due:
            return False
        return self.look_at_lines(count)

    def look_at_lines(self, count: int) -> bool:
        assert self.flows
        self.lines_due = self.clock() + LINES_SECONDS
        lines = self.flows.lines()
        if lines is None or self.flows.activity() != self.activity:
            return False
        if self.lines is None and count == self.count:
            self.lines = lines
            return False
        if lines == self.lines:
            self.count = count  # only what the switch learns by itself has changed
            return False
        self.undo_flows(lines, count)
        return True

    def undo_flows(self, lines: frozenset[str], count: int) -> None:
        assert self.flows
        if self.lines is None:
            details: tuple[str, ...] = (f"{count} flows where {self.count} were",)
            number = abs(count - self.count)
        else:
            foreign, missing = sorted(lines - self.lines), sorted(self.lines - lines)
            details = tuple(f"foreign: {line}"[:300] for line in foreign[: MOST_DETAILS // 2])
            details += tuple(f"missing: {line}"[:300] for line in missing[: MOST_DETAILS // 2])
            number = len(foreign) + len(missing)
        one = self.note("flows", "br-int", details, number)
        if self.flows.reinstall():
            self.undone(one)
        self.forget()

    def forget(self) -> None:
        """The flows are being written: what is there in a while will be right."""
        self.since, self.count, self.lines, self.lines_due = self.clock(), -1, None, 0.0

    # Threads ----------------------------------------------------------------------------------------------------
    def work(self) -> bool:
        """One look at everything, in the caller's thread."""
        try:
            found = self.look()
            self.look_at_tunnels()
            self.look_at_guests()
            return self.look_at_flows() or found
        except DriverError as error:
            log.debug("the virtual switch does not answer: %s", error)
            return False

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.rung.clear()
            try:
                self.work()
            except Exception:
                log.exception("drift")
            if not self.rung.wait(LOOK_SECONDS):
                continue
            stop.wait(0.1)  # what comes together is looked at together


def spots(attached: Mapping[int, str], limits: Iterable[PacketLimit]) -> dict[Spot, Meter]:
    """Where packets are to be counted on this host."""
    numbers = {port_id: number for number, port_id in attached.items()}
    return {
        Spot(numbers[device], one.tag, one.direction): Meter(one.rate, one.burst)
        for one in limits
        if (device := one.parent or one.port_id) in numbers
    }
