"""The agent of one host: what the control plane wants goes to guests and metadata, the full picture goes back.

Threads belong to ``main``; ``step()`` and ``settle()`` do the same work in the caller's thread, for clouds in one process.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

import wolke
from wolke.agent.drift import Drifts, Expected, Flows
from wolke.agent.followers import Follower, errors_of, guarded
from wolke.agent.guests import Guests
from wolke.agent.link import Dismissed, Link, LinkError
from wolke.agent.notes import Notes, write_whole
from wolke.agent.zones import Fabric, Zones
from wolke.drivers.hypervisor import Disks, DriverError, Hypervisor, VirtualSwitch
from wolke.drivers.libvirt.domain import device_name
from wolke.wire.seen import Capacity, Seen, State
from wolke.wire.wanted import Wanted

log = logging.getLogger(__name__)

REPORT_SECONDS = 30.0  # a report is due after so long even if nothing changed
COALESCE_SECONDS = 0.1  # between two reports
CONFIGURE_SECONDS = 5.0  # between two tries to configure the virtual switch
SWEEP_SECONDS = 86400.0  # an image that no disk stands on is kept for up to a day (Nova does the same)
FIRST_SWEEP_SECONDS = 3600.0
LONGEST_WAIT = 5.0  # between two tries to reach the control plane
WORKERS = 8
Setting = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What does not change while the agent runs."""

    host: str
    address: str = ""  # of the agent's own listener, host:port
    encap_ip: str = "127.0.0.1"
    bridge_mappings: dict[str, str] = field(default_factory=dict)
    host_boot: str = ""  # another word after each boot of the host
    booted_at: float = 0.0
    cpu_model: str = ""


class Agent:
    """One host's agent.

    Parameters
    ----------
    state : directory of the agent's own files, kept over reboots
    clock : seconds that only grow
    metadata : None where guests have no metadata service (hosts in memory)
    fabric : None where there is no EVPN
    routing : None where there are no routing daemons (hosts in memory)
    """

    def __init__(
        self,
        *,
        host: str,
        state: Path,
        hypervisor: Hypervisor,
        disks: Disks,
        switch: VirtualSwitch,
        link: Link,
        clock: Callable[[], float] = time.monotonic,
        about: About | None = None,
        notes: Notes | None = None,
        metadata: Follower | None = None,
        fabric: Fabric | None = None,
        routing: Follower | None = None,
        conversations: Follower | None = None,
        flows: Flows | None = None,
    ) -> None:
        state.mkdir(parents=True, exist_ok=True)
        self.about = about or About(host=host)
        self.state, self.hypervisor, self.switch, self.link, self.clock = state, hypervisor, switch, link, clock
        self.metadata, self.routing, self.conversations = metadata, routing, conversations
        self.notes = notes or Notes(state / "guests")
        self.dirty = threading.Event()
        self.awake = threading.Event()
        self.guests = Guests(
            hypervisor=hypervisor,
            disks=disks,
            switch=switch,
            fetch=link.image,
            notes=self.notes,
            clock=clock,
            host_boot=self.about.host_boot,
            changed=self.changed,
        )
        self.wanted = Wanted(revision=0, host=host, ovn_remote="")  # older than any
        self.configured: Setting | None = None  # what the virtual switch was given
        self.zones = Zones(
            switch,
            physical=self.about.bridge_mappings,
            own=self.about.encap_ip,
            clock=clock,
            changed=self.changed,
            fabric=fabric,
        )
        self.drift = Drifts(
            switch,
            expected=self.expected,
            mend=self._mend,
            changed=self.changed,
            clock=clock,
            flows=flows,
            routing=lambda: self.wanted.routing_ports,
            limits=lambda: self.wanted.packet_limits,
        )
        self.zones.undo = self.drift.undo
        self.dismissed = False
        self.configure_due = 0.0
        self.disks, self.sweep_due = disks, clock() + FIRST_SWEEP_SECONDS
        self.errors: dict[str, str] = {}
        self.link_failed = False
        self.capacity: Capacity | None = None
        self.capacity_due = 0.0
        self.engines: dict[str, str] = {}
        self.kind = ""
        self.sent: Seen | None = None
        self.report_due = 0.0
        self._recall()
        hypervisor.watch(self.guests.wake)

    def changed(self) -> None:
        """The picture may be another one, or something is due."""
        self.dirty.set()
        self.awake.set()

    # What is wanted ---------------------------------------------------------------------------------------------

    def _recall(self) -> None:
        """Go on with the last slice: guests are started after a reboot even if the control plane is down."""
        try:
            self._take(msgspec.json.decode((self.state / "wanted.json").read_bytes(), type=Wanted))
        except FileNotFoundError:
            return
        except msgspec.DecodeError as error:
            log.error("the stored slice cannot be read, waiting for the control plane: %s", error)

    def poll(self) -> bool:
        """Ask for a newer slice and take it."""
        slice = self.link.wanted(self.wanted.revision)
        self._reached()
        if slice is None:
            return False
        if slice.host != self.about.host:
            raise LinkError(f"the control plane answered with the slice of {slice.host!r}")
        write_whole(self.state / "wanted.json", msgspec.json.encode(slice))
        self._take(slice)
        return True

    def _take(self, slice: Wanted) -> None:
        self.wanted = slice
        self.guests.accept(slice.servers)
        for follower in (self.metadata, self.routing, self.conversations):
            if follower:
                follower.apply(slice)
        self.zones.accept(slice.zones)
        self.drift.rung.set()
        self.changed()

    def setting(self) -> Setting:
        """The southbound database, and the bridges that physical networks and zones stand for."""
        mappings = self.zones.mappings | self.about.bridge_mappings
        return self.wanted.ovn_remote, tuple(sorted(mappings.items()))

    def configure(self) -> bool:
        """Give the virtual switch its southbound database and bridges, once as they are; True when something was done."""
        remote, mappings = setting = self.setting()
        if not remote or setting == self.configured or self.clock() < self.configure_due:
            return False
        self.configure_due = self.clock() + CONFIGURE_SECONDS
        try:
            self.switch.configure(
                host=self.about.host,
                ovn_remote=remote,
                encap_ip=self.about.encap_ip,
                bridge_mappings=dict(mappings),
            )
        except DriverError as error:
            log.warning("cannot configure the virtual switch: %s (%s)", error, error.hint)
            self.errors = {"ovs": f"{error} {error.hint}".strip()}
        else:
            self.errors = {}
            self.configured = setting
            self.configure_due = 0.0
        self.changed()
        return True

    def expected(self) -> Expected | None:
        """What the virtual switch was given, and the devices of guests that run."""
        if self.configured is None or self.configured != self.setting() or self.dismissed:
            return None
        remote, mappings = self.configured
        servers, _ = self.guests.picture()
        running = [nic for server in servers if server.state in (State.RUNNING, State.PAUSED) for nic in server.nics]
        devices = {device_name(port_id): port_id for port_id in running}
        return Expected(self.about.host, remote, self.about.encap_ip, dict(mappings), devices)

    def _mend(self, expected: Expected) -> None:
        self.switch.configure(
            host=expected.host,
            ovn_remote=expected.ovn_remote,
            encap_ip=expected.encap_ip,
            bridge_mappings=dict(expected.bridge_mappings),
        )

    def sweep(self) -> None:
        """Give back the space of images that nothing here is made from any more."""
        self.sweep_due = self.clock() + SWEEP_SECONDS
        if removed := self.disks.sweep({server.disk.image.id for server in self.wanted.servers}):
            log.info("images that nothing is made from any more: %s", ", ".join(sorted(removed)))

    # What is seen -----------------------------------------------------------------------------------------------

    def picture(self) -> Seen:
        """The full picture. Where an engine does not answer, its last answer stands, and its error beside it."""
        revision = self.wanted.revision
        self._look_at_host()
        servers, removed = self.guests.picture()
        return Seen(
            host=self.about.host,
            agent=wolke.__version__,
            revision=revision,
            capacity=self.capacity or Capacity(vcpus=0, ram_mib=0, disk_gib=0),
            chassis=self.about.host,
            hypervisor=self.kind or "qemu",
            address=self.about.address,
            engines=self.engines,
            cpu_model=self.about.cpu_model,
            booted_at=self.about.booted_at,
            servers=servers,
            removed=removed,
            tunnel=self.about.encap_ip,
            zones=self.zones.told,
            drift=self.drift.told,
            tunnels=self.drift.tunnels,
            switching=self.drift.switching,
            errors=self.errors | errors_of(self.guests, self.drift, self.metadata, self.routing, self.conversations),
        )

    def _look_at_host(self) -> None:
        if self.capacity is not None and self.clock() < self.capacity_due:
            return
        self.capacity_due = self.clock() + REPORT_SECONDS
        try:
            self.capacity = self.hypervisor.capacity()
            self.kind = self.kind or self.hypervisor.kind()
            self.engines = self.hypervisor.versions() | self.switch.versions()
        except DriverError as error:
            log.warning("the host's engines do not answer: %s (%s)", error, error.hint)

    def report(self) -> bool:
        """Send the picture if it differs from the last one that arrived, or if that is long ago."""
        self.dirty.clear()
        if not self.guests.looked:
            return False  # nothing is known yet, and "no guests" would be a lie
        now = self.clock()
        picture = self.picture()
        if self.sent == picture and now < self.report_due:
            return False
        try:
            self.link.seen(picture)
        except LinkError:
            self.dirty.set()
            raise
        self._reached()
        self.sent, self.report_due = picture, now + REPORT_SECONDS
        return True

    # In the caller's thread -------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Poll, work what is due, report; True if anything was done."""
        done = False
        try:
            done = self.poll()
        except LinkError as error:
            self._lost(error)
        self.zones.look()
        done |= self.zones.work()
        done |= self.configure()
        done |= self.drift.work()
        if self.guests.look_due <= self.clock():
            self.guests.look_around()
        if self.sweep_due <= self.clock():
            self.sweep()
        for id in self.guests.take():
            self.guests.work(id)
            done = True
        try:
            done |= self.report()
        except LinkError as error:
            self._lost(error)
        return done

    def settle(self, limit: int = 1000) -> None:
        """Step until nothing can be done now."""
        for _ in range(limit):
            if not self.step():
                return
        raise RuntimeError(f"the agent of {self.about.host} does not come to rest")

    def _reached(self) -> None:
        if self.dismissed:
            self.dismissed, self.configured = False, None
        if self.link_failed:
            self.link_failed = False
            log.info("the control plane is back")
            self.guests.retry()

    def _lost(self, error: LinkError) -> None:
        if not self.link_failed:
            log.warning("%s", error)
        self.link_failed = True
        if isinstance(error, Dismissed) and not self.dismissed:
            log.warning("this host has been taken out of the cloud: it leaves OVN")
            self.dismissed = True
            guarded(self.switch.leave)

    # In threads -------------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set. Guests go on without us."""
        threads = [
            threading.Thread(target=work, args=(stop,), name=work.__name__, daemon=True)
            for work in (self._keep_polling, self._keep_reporting, self.zones.run, self.drift.run, self._await_end)
        ]
        for thread in threads:
            thread.start()
        pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="guest")
        while not stop.is_set():
            self.awake.clear()
            guarded(self.configure)
            if self.guests.look_due <= self.clock():
                guarded(self.guests.look_around)
            if self.sweep_due <= self.clock():
                guarded(self.sweep)
            for id in self.guests.take():
                pool.submit(guarded, self.guests.work, id)
            self.awake.wait(self._idle_seconds())
        pool.shutdown(wait=False, cancel_futures=True)  # a download may take minutes, and may be cut off anywhere

    def _await_end(self, stop: threading.Event) -> None:
        stop.wait()
        self.zones.rung.set()
        self.drift.rung.set()
        self.changed()  # whoever sleeps looks at ``stop``

    def _idle_seconds(self) -> float:
        due = self.guests.next_due()
        if self.wanted.ovn_remote and self.setting() != self.configured:
            due = min(due, self.configure_due)
        return max(0.01, min(due - self.clock(), 60.0))

    def _keep_polling(self, stop: threading.Event) -> None:
        failures = 0
        while not stop.is_set():
            begun = self.clock()
            try:
                if not self.poll() and self.clock() < begun + 1:
                    stop.wait(1)  # a control plane that is about to end holds no polls
                failures = 0
            except LinkError as error:
                self._lost(error)
                failures += 1
                stop.wait(min(LONGEST_WAIT, 2.0 ** min(failures, 10) / 2))
            except Exception:
                if not stop.is_set():
                    log.exception("taking the slice failed")
                    stop.wait(5)

    def _keep_reporting(self, stop: threading.Event) -> None:
        failures = 0
        while not stop.is_set():
            self.dirty.wait(max(0.0, self.report_due - self.clock()))
            try:
                self.report()
                failures = 0
            except LinkError as error:
                self._lost(error)
                failures += 1
            except Exception:
                log.exception("reporting failed")
                failures += 1
            stop.wait(min(LONGEST_WAIT, COALESCE_SECONDS * 2 ** min(failures, 10)))
