"""Hosts in memory: the real agent on drivers that remember instead of doing, with a link that is a function call.

The control plane's side of the link is the same code that answers real agents (``slice_of``, ``record``).
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from wolke.agent.agent import About, Agent
from wolke.agent.link import LinkError
from wolke.compute.hosts.seen import record
from wolke.compute.hosts.wanted import slice_of
from wolke.compute.hosts_table import Host
from wolke.core.app import App
from wolke.drivers.fake.disks import FakeDisks
from wolke.drivers.fake.hypervisor import FakeHypervisor
from wolke.drivers.fake.northbound import PORT, Northbound
from wolke.drivers.fake.vswitch import VirtualSwitch
from wolke.image.store import Store
from wolke.network.chassis import Told
from wolke.wire.seen import Capacity, Seen, State
from wolke.wire.wanted import Wanted


class DirectLink:
    """``Link`` without a network between. ``away = True`` plays a control plane that cannot be reached."""

    def __init__(self, app: App, host: str, *, hold: float = 0.0) -> None:
        self.app, self.host, self.hold = app, host, hold
        self.away = False
        self.rung = threading.Event()
        app.bell.listen(f"host:{host}", self.rung.set)

    def wanted(self, after: int) -> Wanted | None:
        """``hold``: seconds that the answer may wait for news."""
        self._reach()
        self.rung.clear()
        if not self._newer(after) and not (self.hold and self.rung.wait(self.hold) and self._newer(after)):
            return None
        with self.app.database.read() as db:
            return slice_of(db, self.app, self.host)

    def _newer(self, after: int) -> bool:
        with self.app.database.read() as db:
            revision = db.scalar(select(Host.wanted_revision).where(Host.name == self.host))
        return revision is not None and revision != after

    def seen(self, picture: Seen) -> None:
        self._reach()
        with self.app.database.transaction() as db:
            record(db, picture)

    def image(self, id: str, path: Path) -> None:
        self._reach()
        try:
            shutil.copyfile(self.app.part(Store).path(id), path)
        except FileNotFoundError as error:
            raise LinkError(f"there is no image {id}") from error

    def renew(self, csr: str) -> str:
        raise LinkError("hosts in memory have no certificate")

    def _reach(self) -> None:
        if self.away:
            raise LinkError("the control plane cannot be reached")


@dataclass(frozen=True)
class FakeChassis:
    """A host as OVN's southbound database tells it: one that reaches the physical network ``public``."""

    name: str
    hostname: str
    bridge_mappings: Mapping[str, str] = field(default_factory=lambda: {"public": "br-ex"})


class FakeSouthbound:
    """``wolke.network.chassis.Hosts`` without OVN."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)

    def chassis(self) -> list[Told]:
        return [FakeChassis(name, name) for name in self.names]

    def remove(self, name: str) -> bool:
        known = name in self.names
        self.names = [one for one in self.names if one != name]
        return known

    def flows(self, priorities: Sequence[range]) -> dict[str, str]:
        return {}


class ReadySwitch(VirtualSwitch):
    """A virtual switch that has every flow in place at once."""

    def installed(self, port_ids: set[str]) -> set[str]:
        return port_ids


class FakeHost:
    """One host. ``agent`` may die and be made anew (``restart``); guests, disks and switch outlive it."""

    def __init__(
        self,
        app: App,
        name: str,
        directory: Path,
        *,
        north: Northbound | None = None,
        capacity: Capacity | None = None,
        clock: Callable[[], float],
        hold: float = 0.0,
    ) -> None:
        self.name, self.directory, self.north, self.clock = name, directory, north, clock
        self.disks = FakeDisks()
        capacity = capacity or Capacity(vcpus=16, ram_mib=65536, disk_gib=1000, ram_free_mib=65536, disk_free_gib=1000)
        self.hypervisor = FakeHypervisor(capacity=capacity, disks=self.disks, clock=app.clock)
        self.switch = ReadySwitch()
        self.link = DirectLink(app, name, hold=hold)
        self.boots = 1
        self.bound: set[str] = set()
        self.agent = self.restart()

    def restart(self) -> Agent:
        """A new agent process."""
        self.agent = Agent(
            host=self.name, state=self.directory, hypervisor=self.hypervisor, disks=self.disks, switch=self.switch, link=self.link,
            clock=self.clock,
            about=About(
                host=self.name, address="127.0.0.1:9", host_boot=str(self.boots), bridge_mappings={"public": "br-ex"},
            ),
        )  # fmt: skip
        return self.agent

    def step(self) -> bool:
        """What the agent and ovn-controller do when something is due; True if anything was."""
        done = self.agent.step()
        return self.bind() or done

    @staticmethod
    def northd(north: Northbound) -> None:
        """What northd does without any host: a router's ports are up as soon as they are there."""
        for (table, key), row in list(north.table.items()):
            if table == PORT and row.columns.get("type") == "router" and not row.columns.get("up"):
                north.set_up(key, True)

    def bind(self) -> bool:
        """Tell OVN of the ports of guests that run here, as ovn-controller does."""
        if self.north is None:
            return False
        self.northd(self.north)
        living = (State.RUNNING, State.PAUSED)
        plugged = {nic for guest in self.hypervisor.observe() if guest.state in living for nic in guest.nics}
        here = {port for port in plugged if (PORT, port) in self.north.table}
        gone = {port for port in self.bound - plugged if (PORT, port) in self.north.table}
        changed = [(port, True) for port in here - self.bound] + [(port, False) for port in gone]
        for port, up in changed:
            self.north.set_up(port, up)
        self.bound = here
        return bool(changed)
