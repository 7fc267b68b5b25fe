"""A host in memory for the agent's tests, and servers to ask it for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from wolke.agent.agent import About, Agent
from wolke.agent.link import LinkError
from wolke.drivers.hypervisor import DriverError, Guest
from wolke.wire import wanted
from wolke.wire.seen import Capacity, Seen, State
from wolke.wire.wanted import Power, Wanted

ID = "5d5e7a3c-0d3b-4a3f-9a55-0a6f3a5a0001"
IMAGE = wanted.Image(id="image-1", disk_format="qcow2", size=5, checksum="00")


def nic(number: int) -> wanted.Nic:
    return wanted.Nic(port_id=f"port-{number}", mac=f"fa:16:3e:00:00:{number:02x}", mtu=1442)


def server(id: str = ID, *, revision: int = 1, power: Power = Power.RUNNING, **more: Any) -> wanted.Server:
    about = wanted.Metadata(hostname="web.cloud.internal", name="web", project_id="red", availability_zone="nova")
    fields: dict[str, Any] = {"vcpus": 1, "ram_mib": 128, "nics": (nic(1),), "metadata": about}
    fields["disk"] = wanted.Disk(image=IMAGE, size_gib=1)
    return wanted.Server(id=id, revision=revision, name="web", power=power, **fields | more)


class Host:
    """Hypervisor, disks and virtual switch of one host, which outlive the agent. Refuses what the real ones refuse."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.guests: dict[str, Guest] = {}
        self.homes: set[str] = set()
        self.drives: dict[str, dict[str, bytes]] = {}
        self.flows = True  # ovn-controller keeps up
        self.deaf = False  # guests do not hear ACPI
        self.broken: dict[str, DriverError] = {}  # by call
        self.log: list[str] = []
        self.tell: Callable[[str], None] = lambda id: None
        self.configured: dict[str, Any] = {}
        self.clock = 1000.0
        self.boot = "first"

    def _call(self, name: str, *about: object) -> None:
        if name in self.broken:
            raise self.broken[name]
        self.log.append(" ".join([name, *map(str, about)]))

    def _guest(self, id: str) -> Guest:
        if id not in self.guests:
            raise DriverError("The guest is not defined on its host.")
        return self.guests[id]

    def change(self, id: str, **fields: Any) -> None:
        self.guests[id] = replace(self._guest(id), **fields)

    def ends(self, id: str, state: State = State.DEFINED) -> None:
        """The guest ends by itself."""
        self.change(id, state=state)
        self.tell(id)

    def reboot(self) -> None:
        self.boot += "+"
        for id in self.guests:
            self.change(id, state=State.DEFINED)

    # Hypervisor
    def observe(self) -> list[Guest]:
        if "observe" in self.broken:
            raise self.broken["observe"]
        return list(self.guests.values())

    def define(self, server: wanted.Server, root: Path, config_drive: Path | None) -> None:
        self._call("define", server.id)
        assert server.id in self.homes and root.name == server.id
        old = self.guests.get(server.id)
        if old and old.state in (State.RUNNING, State.PAUSED):
            raise DriverError("The guest is running: its definition can be changed only when it is stopped.")
        nics = tuple(nic.port_id for nic in server.nics)
        guest = Guest(id=server.id, state=State.DEFINED, boot=server.boot, revision=server.revision, nics=nics)
        self.guests[server.id] = replace(guest, machine=server.machine or "pc-q35-7.2")

    def start(self, id: str, *, paused: bool) -> None:
        self._call("start", id)
        if self._guest(id).state not in (State.RUNNING, State.PAUSED):
            self.change(id, state=State.PAUSED if paused else State.RUNNING, started_at=self.clock)

    def resume(self, id: str) -> None:
        self._call("resume", id)
        if self._guest(id).state is not State.PAUSED:
            raise DriverError("The guest is not running.")
        self.change(id, state=State.RUNNING)

    def shut_down(self, id: str) -> None:
        self._call("shut_down", id)
        if not self.deaf and self._guest(id).state is State.RUNNING:
            self.ends(id)

    def power_off(self, id: str) -> None:
        self._call("power_off", id)
        self.change(id, state=State.DEFINED)

    def remove(self, id: str) -> None:
        self._call("remove", id)
        if id in self.guests and self.guests[id].state in (State.RUNNING, State.PAUSED):
            raise DriverError("The guest is running: it can be removed only when it is stopped.")
        self.guests.pop(id, None)

    def plug(self, id: str, nic: wanted.Nic) -> None:
        self._call("plug", id, nic.port_id)
        self.change(id, nics=tuple(sorted({*self._guest(id).nics, nic.port_id})))

    def unplug(self, id: str, port_id: str) -> None:
        self._call("unplug", id, port_id)
        if not self.deaf:
            self.change(id, nics=tuple(port for port in self._guest(id).nics if port != port_id))

    def console(self, id: str) -> Path:
        return self.directory / f"{id}.log"

    def vnc(self, id: str) -> Path:
        return self.directory / f"{id}.vnc"

    def capacity(self) -> Capacity:
        return Capacity(vcpus=2, ram_mib=4096, disk_gib=20)

    def kind(self) -> str:
        return "qemu"

    def versions(self) -> dict[str, str]:
        return {"memory": "1"}

    def watch(self, changed: Callable[[str], None]) -> None:
        self.tell = changed

    # Disks, in a class of their own below: both have ``remove``
    @property
    def disks(self) -> HostDisks:
        return HostDisks(self)

    # Virtual switch
    def configure(self, **fields: Any) -> None:
        self._call("configure")
        self.configured = fields

    def installed(self, port_ids: set[str]) -> set[str]:
        return port_ids if self.flows else set()

    def add_port(self, bridge: str, interface: str, port_id: str) -> None:
        self._call("add_port", interface, port_id)

    def remove_port(self, interface: str) -> None:
        self._call("remove_port", interface)

    def ports(self) -> dict[str, str]:
        return {}


class HostDisks:
    def __init__(self, host: Host) -> None:
        self.host = host

    def image(self, image: wanted.Image, fetch: Callable[[Path], None]) -> Path:
        path = self.host.directory / image.id
        if not path.exists():
            self.host._call("image", image.id)
            fetch(path)
        return path

    def root(self, id: str, image: Path, disk: wanted.Disk) -> Path:
        self.host._call("root", id)
        assert image.exists()
        self.host.homes.add(id)
        return self.host.directory / id

    def config_drive(self, id: str, files: dict[str, bytes]) -> Path:
        self.host._call("config_drive", id)
        self.host.drives[id] = files
        return self.host.directory / f"{id}.iso"

    def remove(self, id: str) -> None:
        self.host._call("remove_disks", id)
        self.host.homes.discard(id)
        self.host.drives.pop(id, None)

    def servers(self) -> set[str]:
        return set(self.host.homes)


class Control:
    """The control plane's end of the link, in memory."""

    def __init__(self, host: str = "alpha") -> None:
        self.slice = Wanted(revision=1, host=host, ovn_remote="tcp:127.0.0.1:6642")
        self.pictures: list[Seen] = []
        self.away = False
        self.images = {IMAGE.id: b"image"}

    def want(self, *servers: wanted.Server, **more: Any) -> None:
        self.slice = replace(self.slice, revision=self.slice.revision + 1, servers=servers, **more)

    @property
    def picture(self) -> Seen:
        return self.pictures[-1]

    def told(self, id: str = ID) -> Any:
        """What was last told of one server."""
        return next((server for server in self.picture.servers if server.id == id), None)

    def _reach(self) -> None:
        if self.away:
            raise LinkError("the control plane cannot be reached")

    def wanted(self, after: int) -> Wanted | None:
        self._reach()
        return self.slice if self.slice.revision != after else None

    def seen(self, picture: Seen) -> None:
        self._reach()
        self.pictures.append(picture)

    def image(self, id: str, path: Path) -> None:
        self._reach()
        if id not in self.images:
            raise LinkError("the control plane answered 404")
        path.write_bytes(self.images[id])

    def renew(self, csr: str) -> str:
        raise LinkError("not here")


def agent_of(host: Host, control: Control, state: Path) -> Agent:
    """A new agent process on the host."""
    return Agent(
        host="alpha",
        state=state,
        hypervisor=host,
        disks=host.disks,
        switch=host,
        link=control,
        clock=lambda: host.clock,
        about=About(host="alpha", address="127.0.0.1:9", host_boot=host.boot),
    )
