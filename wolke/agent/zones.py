"""Zones on this host: bridges, tunnels and BGP as the slice says, made by themselves and made again when somebody changed them.

The integration bridge knows a zone by its name (``ovn-bridge-mappings``); frames of its networks come with their segment's tag.

- flat, vlan: the bridge that the host has for the physical network.
- qinq: a bridge of the zone whose patch to the physical network's bridge puts the outer tag (802.1ad) around the networks' own.
- vxlan: a bridge of the zone with one tunnel per network and VTEP, those of all hosts among them. What came through one tunnel goes
  through no other (a full mesh needs split horizon), which protected ports give.
- evpn: a bridge of the zone, and for each network a bridge of the kernel with its VXLAN, joined by a veth pair (``fabric``).
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from wolke.drivers.hypervisor import DriverError, VirtualSwitch, Wrong
from wolke.drivers.layout import LaidPort, Layout
from wolke.wire import seen
from wolke.wire.wanted import Zone

log = logging.getLogger(__name__)
LOOK_SECONDS = 30.0  # between two looks at what somebody may have changed by hand
REST = 9.0  # times as long as a look takes: a switch that changes all the time costs a tenth of a core at most
SESSION_SECONDS = 5.0  # between two looks at BGP sessions that are still to come
LONGEST_PAUSE = 60.0  # between two tries of what failed


class Fabric(Protocol):
    """EVPN on this host: devices of the kernel, and FRR (``wolke.agent.fabric``)."""

    def apply(self, zones: Sequence[Zone]) -> dict[str, str]:
        """Have what these zones need and no other; what is wrong with a zone, by its id."""

    def ports(self, zone: Zone, bridge: str) -> tuple[LaidPort, ...]:
        """The ends of its veth pairs on the zone's bridge."""

    def sessions(self) -> dict[str, str]:
        """The state of each BGP session, by the other end's address."""


Undo = Callable[[str, list[Wrong], Callable[[], object]], object]  # tells what is wrong, and mends it


class Missing(Exception):
    """The host lacks what a zone stands on."""


def bridge_of(zone: Zone) -> str:
    """At most 15 characters, the same at any time."""
    return f"wz{zone.id[:11]}"


def laid(zone: Zone, physical: Mapping[str, str], own: str) -> tuple[str, tuple[LaidPort, ...]]:
    """The bridge that a zone's name stands for on this host, and its ports; ``own`` is this host's end of tunnels.

    Raises
    ------
    Missing: no bridge of this host leads to the zone's physical network
    """
    if zone.type in ("flat", "vlan", "qinq") and zone.physical_network not in physical:
        known = ", ".join(sorted(physical)) or "none"
        raise Missing(f"no bridge of this host leads to the physical network {zone.physical_network}; it has: {known}")
    if zone.type in ("flat", "vlan"):
        return physical[zone.physical_network], ()
    bridge = bridge_of(zone)
    if zone.type == "qinq":
        inner, outer = f"wzp{zone.id[:11]}", f"wzx{zone.id[:11]}"
        return bridge, (
            LaidPort(name=inner, bridge=bridge, zone=zone.id, type="patch", options={"peer": outer}),
            LaidPort(
                name=outer, bridge=physical[zone.physical_network], zone=zone.id, type="patch", options={"peer": inner},
                tag=zone.outer_tag, vlan_mode="dot1q-tunnel", other_config={"qinq-ethtype": "802.1ad"},
            ),
        )  # fmt: skip
    if zone.type == "evpn":
        return bridge, ()
    ends = sorted({*zone.vteps, *zone.peers} - {own})
    return bridge, tuple(
        LaidPort(
            name=tunnel_name(zone.id, end, segment.number), bridge=bridge, zone=zone.id, type="vxlan",
            options={"local_ip": own, "remote_ip": end, "key": str(segment.number), "dst_port": str(zone.udp_port)},
            tag=segment.tag, protected=True,
        )
        for segment in zone.segments for end in ends
    )  # fmt: skip


def tunnel_name(zone_id: str, end: str, number: int) -> str:
    return "wzv" + hashlib.sha256(f"{zone_id} {end} {number}".encode()).hexdigest()[:11]


class Zones:
    """What of the slice's zones is in force on this host."""

    def __init__(
        self,
        switch: VirtualSwitch,
        *,
        physical: Mapping[str, str],
        own: str,
        clock: Callable[[], float],
        changed: Callable[[], None],
        fabric: Fabric | None = None,
    ) -> None:
        self.switch, self.physical, self.own, self.clock, self.changed = switch, dict(physical), own, clock, changed
        self.fabric = fabric
        self.wanted: tuple[Zone, ...] = ()
        self.mappings: dict[str, str] = {}  # zone name -> bridge, of those that are in force
        self.told: tuple[seen.Zone, ...] = ()
        self.lock = threading.Lock()
        self.rung = threading.Event()
        self.due = 0.0
        self.failures = 0
        self.worked = False  # once there have been zones, what is left of them is looked for
        self.cost = 0.0  # of the last look at what is laid, seconds
        self.laid: Layout | None = None  # None: whatever is there is of an agent before us
        self.undo: Undo = lambda kind, wrong, mend: mend()
        switch.watch(self.rung.set)

    def accept(self, zones: tuple[Zone, ...]) -> None:
        if zones != self.wanted or not self.worked:
            self.wanted, self.due, self.failures = zones, 0.0, 0
            self.rung.set()

    def work(self) -> bool:
        """Make true what is due; True when something may have changed."""
        with self.lock:
            if self.clock() < self.due:
                return False
            wanted, self.due = self.wanted, self.clock() + LOOK_SECONDS
            mappings, errors = self.converge(wanted)
            self.worked = True
            evpn = any(zone.type == "evpn" for zone in wanted)
            peers = self.fabric.sessions() if self.fabric and evpn else {}
            told = tuple(
                seen.Zone(
                    id=zone.id,
                    revision=zone.revision,
                    error=errors.get(zone.id, ""),
                    peers=peers if zone.type == "evpn" else {},
                )
                for zone in wanted
            )
            if evpn and set(peers.values()) != {"Established"}:
                self.due = min(self.due, self.clock() + SESSION_SECONDS)
            news = (mappings, told) != (self.mappings, self.told)
            self.mappings, self.told = mappings, told
            self.failures = self.failures + 1 if errors else 0
            if errors:
                self.due = min(self.due, self.clock() + min(2.0**self.failures, LONGEST_PAUSE))
        if news:
            for id, error in errors.items():
                log.warning("zone %s is not in force: %s", id, error)
            self.changed()
        return news

    def converge(self, zones: Sequence[Zone]) -> tuple[dict[str, str], dict[str, str]]:
        """Bridges by zone name, and what is wrong by zone id. Nothing raises: each zone's trouble is its own."""
        errors: dict[str, str] = {}
        bridges: dict[str, str] = {}
        ports: list[LaidPort] = []
        mappings: dict[str, str] = {}
        evpn = [zone for zone in zones if zone.type == "evpn"]
        errors |= self._fabric(evpn)
        for zone in zones:
            try:
                bridge, of_zone = laid(zone, self.physical, self.own)
            except Missing as error:
                errors[zone.id] = str(error)
                continue
            mappings[zone.name] = bridge
            if bridge == bridge_of(zone):
                bridges[bridge] = zone.id
            ports += of_zone
            if zone.type == "evpn" and self.fabric:
                ports += self.fabric.ports(zone, bridge)
        layout = Layout(bridges=bridges, ports=tuple(ports))
        try:
            self._mend(self.laid)  # what somebody has changed is not mixed up with what is new
            wrong = self.switch.lay(layout)
            self.laid = layout
        except DriverError as error:
            return self.mappings, errors | {zone.id: f"{error} {error.hint}".strip() for zone in zones}
        for port in ports:
            if port.name in wrong:
                errors.setdefault(port.zone, f"{port.name}: {wrong[port.name]}")
        return mappings, errors

    def _fabric(self, zones: Sequence[Zone]) -> dict[str, str]:
        if self.fabric is None:
            return dict.fromkeys((zone.id for zone in zones), "this host has no EVPN")
        try:
            return self.fabric.apply(zones)
        except (DriverError, OSError) as error:
            hint = getattr(error, "hint", "")
            return dict.fromkeys((zone.id for zone in zones), f"{error} {hint}".strip())

    def look(self) -> None:
        """Undo what somebody has changed by hand."""
        with self.lock:
            begun = time.monotonic()
            try:
                self._mend(self.laid)
            except DriverError as error:
                log.debug("the virtual switch does not answer: %s", error)
            self.cost = time.monotonic() - begun

    def _mend(self, layout: Layout | None) -> None:
        if layout is not None and (wrong := self.switch.unlaid(layout)):
            self.undo("zone", wrong, partial(self.switch.lay, layout))

    def run(self, stop: threading.Event) -> None:
        """In a thread: until ``stop`` is set and ``rung``."""
        while not stop.is_set():
            self.rung.clear()
            try:
                self.look()
                self.work()
            except Exception:
                log.exception("zones")
                self.due = self.clock() + LONGEST_PAUSE
            self.rung.wait(max(0.05, self.due - self.clock()))
            stop.wait(max(0.1, REST * self.cost))  # what comes together is looked at together
