"""Drives the guests of one host, each by ``next_step`` and never by two threads at once.

A guest is worked when its wish changes, when the hypervisor says that it changed, and when a failed step is due again.
Between these the agent sleeps: the only clock is one look at all guests per ``LOOK_SECONDS``.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from wolke.agent.metadata import drive_files
from wolke.agent.notes import Notes
from wolke.agent.steps import ASK_AGAIN_SECONDS, Facts, Step, next_step
from wolke.drivers.hypervisor import Disks, DriverError, Guest, Hypervisor, Unreachable, VirtualSwitch, WrongState
from wolke.wire import seen, wanted
from wolke.wire.seen import State
from wolke.wire.wanted import Power

log = logging.getLogger(__name__)

LOOK_SECONDS = 30.0
TROUBLE_SECONDS = 2.0  # between two looks while the hypervisor does not answer
NETWORK_POLL_SECONDS = 0.05
UNPLUG_SECONDS = 5.0  # a guest that is still booting does not hear that a device should go
LONGEST_BACK_OFF = 600.0


@dataclass(slots=True)
class Work:
    """One wanted server and how far it is. What stands below ``ticket`` is written by the thread that works it."""

    server: wanted.Server
    due: float = 0.0
    again: bool = False  # woken while it was worked
    anew: bool = False  # woken by a new wish or by an engine that came back: the back-off is over
    ticket: int = 0  # the picture of the guest must be younger than this
    answered: int = 0  # revision that needs nothing more
    failures: int = 0
    error: str = ""
    hint: str = ""
    asked: float | None = None  # when ACPI was first asked for
    asked_last: float | None = None
    paused_since: float | None = None
    last: tuple[Step, Guest | None] | None = None  # a step that changes nothing is not repeated at once


@dataclass(slots=True)
class Guests:
    """Parameters
    ----------
    fetch : (image id, path), brings an image's bytes
    host_boot : names this boot of the host; guests that were launched in another one are started again
    changed : called without arguments when the picture may have changed; must return at once
    """

    hypervisor: Hypervisor
    disks: Disks
    switch: VirtualSwitch
    fetch: Callable[[str, Path], None]
    notes: Notes
    clock: Callable[[], float]
    host_boot: str
    changed: Callable[[], None]
    works: dict[str, Work] = field(default_factory=dict)
    found: dict[str, Guest] = field(default_factory=dict)
    trouble: str = ""  # why the hypervisor could not be looked at
    unready: dict[str, set[str]] = field(default_factory=dict)  # guests that were let run before their flows were there
    lock: threading.Lock = field(default_factory=threading.Lock)  # works, hands, fetching
    hands: set[str] = field(default_factory=set)  # guests that are being worked
    looking: threading.Lock = field(default_factory=threading.Lock)
    tickets: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    looked: int = 0  # ticket of the newest picture
    look_due: float = 0.0
    fetching: dict[str, set[str]] = field(default_factory=dict)  # image id -> guests that wait for it

    # What comes from outside ------------------------------------------------------------------------------------

    def accept(self, servers: Iterable[wanted.Server]) -> None:
        """Take a new slice. A server that is no longer named is left as it is: that is the control plane's word."""
        with self.lock:
            named = {server.id: server for server in servers}
            for id in self.works.keys() - named.keys():
                del self.works[id]
                self.unready.pop(id, None)
            ticket = next(self.tickets)
            for id, server in named.items():
                work = self.works.get(id)
                if work is None or work.server != server:
                    work = self.works.setdefault(id, Work(server))
                    work.server = server
                    self._wake(work, ticket, anew=True)
        self.changed()

    def retry(self) -> None:
        """Something that steps failed for is back: no need to sit out the back-off."""
        with self.lock:
            for work in self.works.values():
                if work.failures:
                    self._wake(work, 0, anew=True)

    def wake(self, id: str) -> None:
        """The guest changed by itself (``Hypervisor.watch``)."""
        with self.lock:
            if work := self.works.get(id):
                self._wake(work, next(self.tickets))
            else:
                self.look_due = 0.0
        self.changed()

    def _wake(self, work: Work, ticket: int, *, anew: bool = False) -> None:
        work.ticket = max(work.ticket, ticket)
        work.again, work.anew = True, work.anew or anew
        if anew or not work.failures:
            work.due = self.clock()

    # Looking ----------------------------------------------------------------------------------------------------

    def look(self, ticket: int) -> None:
        """Have a picture that was begun after ``ticket`` was drawn; one look serves all who wait for it."""
        with self.looking:
            if self.looked > ticket:
                return
            begun = next(self.tickets)
            try:
                guests = self.hypervisor.observe()
            except DriverError as error:
                self.trouble = f"{error} ({error.hint})" if error.hint else str(error)
                self.look_due = min(self.look_due, self.clock() + TROUBLE_SECONDS)
                raise
            self.found = {guest.id: guest for guest in guests}
            came_back, self.looked, self.trouble = bool(self.trouble), begun, ""
        if came_back:
            self.retry()

    def look_around(self) -> None:
        """The regular look: wakes the guests that are not as they were, and asks again for late flows."""
        before = dict(self.found)
        self.look_due = self.clock() + LOOK_SECONDS
        try:
            self.look(next(self.tickets))
        except DriverError as error:
            log.warning("cannot look at the guests: %s", error, extra={"hint": error.hint})
        else:
            with self.lock:
                for id, work in self.works.items():
                    if self.found.get(id) != before.get(id) and work.due == math.inf:
                        self._wake(work, 0)
            for id, ports in list(self.unready.items()):
                if self.switch.installed(ports) >= ports:
                    self.unready.pop(id, None)
        self.changed()

    # Working ----------------------------------------------------------------------------------------------------

    def next_due(self) -> float:
        with self.lock:
            return min([self.look_due, *(work.due for id, work in self.works.items() if id not in self.hands)])

    def take(self) -> list[str]:
        """Guests that are due now; each is the caller's until ``work(id)`` returns."""
        now = self.clock()
        with self.lock:
            due = [id for id, work in self.works.items() if id not in self.hands and work.due <= now]
            self.hands.update(due)
            for id in due:
                self.works[id].again = self.works[id].anew = False
            return due

    def work(self, id: str) -> None:
        """Take steps with a guest that ``take`` gave out, until it waits, fails or is done."""
        try:
            with self.lock:
                work = self.works.get(id)
            if work is None:
                return
            try:
                due, failed = self._work(work), False
            except Exception as error:
                due, failed = self.failed(work, error), True
            with self.lock:
                work.due = self.clock() if work.anew or (work.again and not failed) else due
        finally:
            with self.lock:
                self.hands.discard(id)
        self.changed()

    def _work(self, work: Work) -> float:
        """Steps of one guest; when it is due again."""
        while self.works.get(work.server.id) is work:
            server = work.server
            self.look(work.ticket)
            guest = self.found.get(server.id)
            facts = self.facts(work, server, guest)
            step = next_step(server, facts)
            match step:
                case None:
                    self.succeeded(work, server)
                    return math.inf
                case Step.AWAIT_NETWORK:
                    return self.clock() + NETWORK_POLL_SECONDS * (1 if facts.awaited < 2 else 10)
                case Step.AWAIT_SHUT_DOWN:
                    patience = server.shutdown_seconds - (facts.asked or 0.0)
                    return self.clock() + min(patience, ASK_AGAIN_SECONDS - (facts.asked_last or 0.0))
            if work.last == (step, guest) and step is not Step.SHUT_DOWN:
                work.last = None
                if step is Step.UNPLUG:  # the guest's system lets go when it likes; the hypervisor tells us then
                    return self.clock() + UNPLUG_SECONDS
                raise DriverError("The host did not follow", f"'{step}' changed nothing: {guest}")
            log.info("%s: %s", server.id, step)
            if not self.take_step(work, server, guest, step):
                return math.inf  # woken when the image is there
            work.last = (step, guest)
            work.ticket = next(self.tickets)
            self.changed()
        return math.inf

    def facts(self, work: Work, server: wanted.Server, guest: Guest | None) -> Facts:
        now = self.clock()
        note = self.notes.get(server.id)
        launched = note.boot if note.host_boot == self.host_boot else 0
        if guest is None or guest.state is not State.RUNNING:
            work.asked = work.asked_last = None
        if guest is None or guest.state is not State.PAUSED:
            work.paused_since = None
        elif work.paused_since is None:
            work.paused_since = now
        installed = False
        if guest and guest.state is State.PAUSED and launched < guest.boot:
            ports = set(guest.nics)
            installed = not ports or self.switch.installed(ports) >= ports
        return Facts(
            guest=guest,
            launched=launched,
            has_disks=guest is None and server.power is Power.GONE and server.id in self.disks.servers(),
            installed=installed,
            awaited=0.0 if work.paused_since is None else now - work.paused_since,
            asked=None if work.asked is None else now - work.asked,
            asked_last=None if work.asked_last is None else now - work.asked_last,
        )

    def take_step(self, work: Work, server: wanted.Server, guest: Guest | None, step: Step) -> bool:
        """Do it; False where the guest waits for an image that another one fetches."""
        id = server.id
        match step:
            case Step.DEFINE:
                return self.define(server)
            case Step.START:
                self.hypervisor.start(id, paused=True)
            case Step.RESUME:
                assert guest is not None
                ports = set(guest.nics)
                if missing := ports - self.switch.installed(ports):
                    self.unready[id] = missing
                self.notes.launched(id, guest.boot, self.host_boot)
                try:
                    self.hypervisor.resume(id)
                except WrongState:  # it ended before it ever ran: this boot is still to come
                    self.notes.launched(id, guest.boot - 1, self.host_boot)
                    raise
            case Step.PLUG:
                assert guest is not None
                for nic in server.nics:
                    if nic.port_id not in guest.nics:
                        self.hypervisor.plug(id, nic)
            case Step.UNPLUG:
                assert guest is not None
                for port_id in set(guest.nics) - {nic.port_id for nic in server.nics}:
                    self.hypervisor.unplug(id, port_id)
            case Step.SHUT_DOWN:
                self.hypervisor.shut_down(id)
                work.asked_last = self.clock()
                work.asked = work.asked_last if work.asked is None else work.asked
            case Step.POWER_OFF:
                self.hypervisor.power_off(id)
            case Step.REMOVE:
                self.hypervisor.remove(id)
            case Step.REMOVE_DISKS:
                self.notes.drop(id)
                self.disks.remove(id)
        return True

    def define(self, server: wanted.Server) -> bool:
        root = self.disks.made(server.id) or self.make_disk(server)
        if root is None:
            return False
        drive = None
        if server.config_drive:
            drive = self.disks.config_drive(server.id, drive_files(server, seed=os.urandom(512)))
        self.hypervisor.define(server, root, drive)
        return True

    def make_disk(self, server: wanted.Server) -> Path | None:
        """The root disk out of its image; None while another guest fetches that image: the server is woken then."""
        image = server.disk.image
        with self.lock:
            if image.id in self.fetching:
                self.fetching[image.id].add(server.id)
                return None
            self.fetching[image.id] = set()
        try:
            path = self.disks.image(image, lambda path: self.fetch(image.id, path))
        finally:
            with self.lock:
                for id in self.fetching.pop(image.id):
                    if waiting := self.works.get(id):
                        self._wake(waiting, 0)
        return self.disks.root(server.id, path, server.disk)

    def succeeded(self, work: Work, server: wanted.Server) -> None:
        work.answered, work.failures, work.error, work.hint, work.last = server.revision, 0, "", "", None

    def failed(self, work: Work, error: Exception) -> float:
        """Keep what went wrong in words for the project and for the operator; when to try again."""
        work.failures += 1
        work.ticket = next(self.tickets)  # the guest may not be what it was taken for
        wait = min(LONGEST_BACK_OFF, 2.0 ** min(work.failures, 10))
        work.last = None
        if isinstance(error, Unreachable):  # it may be back before anybody looks
            self.trouble, self.look_due = str(error), min(self.look_due, self.clock() + TROUBLE_SECONDS)
        if isinstance(error, DriverError):
            work.error, work.hint = str(error), error.hint
        else:
            work.error, work.hint = "The host could not do it yet", f"{type(error).__name__}: {error}"
        log.warning("%s: %s (%s); again in %d s", work.server.id, work.error, work.hint, wait)
        return self.clock() + wait

    # What is told -----------------------------------------------------------------------------------------------

    def picture(self) -> tuple[tuple[seen.Server, ...], tuple[str, ...]]:
        """All servers, wanted here or only found, and the ids of those that are gone."""
        with self.lock:  # how far each is stands before the look: never "answered" beside an older state
            works = {id: replace(work) for id, work in self.works.items()}
        found = self.found
        gone = [id for id, work in works.items() if is_gone(work)]
        told = [self.told(id, works.get(id), found.get(id)) for id in works.keys() | found.keys() if id not in gone]
        return tuple(sorted(told, key=lambda server: server.id)), tuple(sorted(gone))

    def errors(self) -> dict[str, str]:
        """Of host-wide parts, for the operator."""
        errors = {"hypervisor": self.trouble} if self.trouble else {}
        if late := sorted(self.unready):
            errors["network"] = f"started before their network was ready on this host: {', '.join(late)}"
        return errors

    def told(self, id: str, work: Work | None, guest: Guest | None) -> seen.Server:
        note = self.notes.get(id)
        lives = guest is not None and guest.state in (State.RUNNING, State.PAUSED)
        return seen.Server(
            id=id,
            state=guest.state if guest else State.DEFINED,
            boot=guest.boot if guest and lives else note.boot,
            revision=work.answered if work else guest.revision if guest else 0,
            nics=guest.nics if guest else (),
            error=work.error if work else "",
            hint=work.hint if work else "",
            started_at=guest.started_at if guest else 0.0,
            machine=guest.machine if guest else "",
            password=note.password,
        )


def is_gone(work: Work) -> bool:
    return work.server.power is Power.GONE and work.answered == work.server.revision and not work.error
