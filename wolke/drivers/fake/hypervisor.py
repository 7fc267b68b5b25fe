"""A hypervisor in memory: guests that change state at once, fail on demand, and refuse what libvirt refuses."""

from __future__ import annotations

import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from wolke.drivers.fake.disks import FakeDisks
from wolke.drivers.hypervisor import DriverError, Guest, Unreachable, WrongState
from wolke.drivers.libvirt import domain as definition
from wolke.wire import seen, wanted

MACHINES = {"q35": "pc-q35-7.2", "pc": "pc-i440fx-7.2"}


@dataclass
class Machine:
    """One guest, defined and perhaps running."""

    server: wanted.Server
    root: Path
    config_drive: Path | None
    machine: str
    state: seen.State = seen.State.DEFINED
    started_at: float = 0.0
    nics: list[str] = field(default_factory=list)


class FakeHypervisor:
    """Switches for tests stand below the promise.

    Parameters
    ----------
    capacity : of the host
    disks : where root disks must be for a guest to start; without, every path is taken for good
    clock : unix seconds, for ``started_at``
    """

    def __init__(
        self,
        *,
        capacity: seen.Capacity = seen.Capacity(
            vcpus=64, ram_mib=262144, disk_gib=4096, ram_free_mib=262144, disk_free_gib=4096
        ),
        disks: FakeDisks | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.machines: dict[str, Machine] = {}
        self.reachable = True
        self.ignores_acpi: set[str] = set()
        self.ignores_unplug: set[str] = set()
        self.calls: list[tuple[str, str]] = []  # name of the call and guest, of all that change something
        self._capacity = capacity
        self._disks = disks
        self._clock = clock
        self._lock = threading.RLock()
        self._failures: defaultdict[str, list[DriverError]] = defaultdict(list)
        self._changed: Callable[[str], None] = lambda id: None
        self._consoles = tempfile.TemporaryDirectory(prefix="wolke-fake-")

    # The promise -------------------------------------------------------------
    def observe(self) -> list[Guest]:
        with self._lock:
            self._reach()
            return [
                Guest(
                    id=id,
                    state=machine.state,
                    boot=machine.server.boot,
                    revision=machine.server.revision,
                    nics=tuple(machine.nics),
                    started_at=machine.started_at,
                    machine=machine.machine,
                )
                for id, machine in self.machines.items()
            ]

    def define(self, server: wanted.Server, root: Path, config_drive: Path | None) -> None:
        with self._call("define", server.id):
            old = self.machines.get(server.id)
            if old is not None and self._active(old):
                raise DriverError("The guest is running: its definition can be changed only when it is stopped.")
            asked = server.hints.get("hw_machine_type", "q35")
            if not server.machine and asked not in {*MACHINES, *MACHINES.values()}:
                raise DriverError(f"The machine type {asked!r} is not known on the guest's host.")
            machine = server.machine or MACHINES.get(asked, asked)
            # The real definition is built for the sake of what it refuses.
            host = definition.Host(
                kvm=False,
                machine=machine,
                bridge="br-int",
                checksum_offload=False,
                cache="none",
                console=self.console(server.id),
            )
            definition.domain(server, root, config_drive, host)
            state = old.state if old is not None else seen.State.DEFINED
            nics = [nic.port_id for nic in server.nics]
            self.machines[server.id] = Machine(server, root, config_drive, machine, state, nics=nics)

    def start(self, id: str, *, paused: bool) -> None:
        with self._call("start", id):
            machine = self._lookup(id)
            if self._active(machine):
                if not paused:
                    machine.state = seen.State.RUNNING
                return
            if self._disks is not None and machine.root not in {path for path, _, _ in self._disks.roots.values()}:
                raise DriverError("The hypervisor could not start the guest.", f"no {machine.root}")
            machine.state = seen.State.PAUSED if paused else seen.State.RUNNING
            machine.started_at = self._clock()
            with self.console(id).open("a") as console:
                console.write(f"{machine.server.metadata.hostname} boots\n")

    def resume(self, id: str) -> None:
        with self._call("resume", id):
            machine = self._lookup(id)
            if not self._active(machine):
                raise WrongState("The hypervisor could not resume the guest: the guest's state does not allow it.")
            machine.state = seen.State.RUNNING

    def shut_down(self, id: str) -> None:
        with self._call("shut_down", id):
            machine = self._lookup(id)
            obeys = machine.state is seen.State.RUNNING and id not in self.ignores_acpi
        if obeys:
            self._become(id, seen.State.DEFINED)

    def power_off(self, id: str) -> None:
        with self._call("power_off", id):
            if self._active(self._lookup(id)):
                self.machines[id].state = seen.State.DEFINED

    def remove(self, id: str) -> None:
        with self._call("remove", id):
            machine = self.machines.get(id)
            if machine is not None and self._active(machine):
                raise DriverError("The guest is running: it can be removed only when it is stopped.")
            self.machines.pop(id, None)
            self.console(id).unlink(missing_ok=True)

    def plug(self, id: str, nic: wanted.Nic) -> None:
        with self._call("plug", id):
            machine = self._lookup(id)
            if nic.port_id not in machine.nics:
                machine.nics.append(nic.port_id)

    def unplug(self, id: str, port_id: str) -> None:
        with self._call("unplug", id):
            machine = self._lookup(id)
            if port_id in machine.nics and not (self._active(machine) and id in self.ignores_unplug):
                machine.nics.remove(port_id)

    def console(self, id: str) -> Path:
        return Path(self._consoles.name) / f"{id}.log"

    def vnc(self, id: str) -> Path:
        with self._lock:
            self._reach()
            if not self._active(self._lookup(id)):
                raise DriverError("The guest is not running: it has no screen.")
        return Path(self._consoles.name) / f"{id}.vnc"

    def capacity(self) -> seen.Capacity:
        self._reach()
        return self._capacity

    def kind(self) -> str:
        return "qemu"

    def versions(self) -> dict[str, str]:
        self._reach()
        return {"libvirt": "9.0.0", "qemu": "7.2.22"}

    def watch(self, changed: Callable[[str], None]) -> None:
        self._changed = changed

    # Switches for tests ------------------------------------------------------
    def fail(self, call: str, message: str = "The hypervisor failed.", *, times: int = 1) -> None:
        """The next ``times`` calls of that name change nothing and raise."""
        self._failures[call] += [DriverError(message, f"scripted failure of {call}") for _ in range(times)]

    def die(self, id: str) -> None:
        """The guest's process crashes."""
        self._become(id, seen.State.CRASHED)

    def stop(self, id: str) -> None:
        """Somebody inside the guest shuts it down."""
        self._become(id, seen.State.DEFINED)

    def reboot(self) -> None:
        """The host restarts: definitions stay, no guest runs."""
        for id in [id for id, machine in self.machines.items() if self._active(machine)]:
            self._become(id, seen.State.DEFINED)

    # Shared ------------------------------------------------------------------
    def _become(self, id: str, state: seen.State) -> None:
        with self._lock:
            self.machines[id].state = state
        self._changed(id)

    def _active(self, machine: Machine) -> bool:
        return machine.state in (seen.State.RUNNING, seen.State.PAUSED)

    def _lookup(self, id: str) -> Machine:
        if id not in self.machines:
            raise DriverError("The guest is not defined on its host.", f"no domain {id}")
        return self.machines[id]

    def _reach(self) -> None:
        if not self.reachable:
            raise Unreachable("The host's hypervisor is not reachable.", "the fake's switch `reachable`")

    def _call(self, name: str, id: str) -> threading.RLock:
        """The lock to do it under; raises where a failure is due."""
        with self._lock:
            self._reach()
            self.calls.append((name, id))
            if self._failures[name]:
                raise self._failures[name].pop(0)
        return self._lock
