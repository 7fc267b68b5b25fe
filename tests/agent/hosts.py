"""A host in memory for the agent's tests, and servers to ask it for."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha512
from pathlib import Path
from typing import Any

from wolke.agent.agent import About, Agent
from wolke.agent.link import LinkError
from wolke.drivers.fake.disks import FakeDisks
from wolke.drivers.fake.hypervisor import FakeHypervisor
from wolke.drivers.fake.vswitch import VirtualSwitch
from wolke.drivers.hypervisor import Guest
from wolke.wire import wanted
from wolke.wire.seen import Seen
from wolke.wire.wanted import Power, Wanted

ID = "5d5e7a3c-0d3b-4a3f-9a55-0a6f3a5a0001"
BYTES = b"image"
IMAGE = wanted.Image(id="image-1", disk_format="raw", size=len(BYTES), checksum=sha512(BYTES).hexdigest())


def nic(number: int) -> wanted.Nic:
    return wanted.Nic(port_id=f"port-{number}", mac=f"fa:16:3e:00:00:{number:02x}", mtu=1442)


def server(id: str = ID, *, revision: int = 1, power: Power = Power.RUNNING, **more: Any) -> wanted.Server:
    about = wanted.Metadata(hostname="web.cloud.internal", name="web", project_id="red", availability_zone="nova")
    fields: dict[str, Any] = {"vcpus": 1, "ram_mib": 128, "nics": (nic(1),), "metadata": about}
    fields["disk"] = wanted.Disk(image=IMAGE, size_gib=1)
    return wanted.Server(id=id, revision=revision, name="web", power=power, **fields | more)


class Switch(VirtualSwitch):
    """``flows``: ovn-controller keeps up."""

    flows = True

    def installed(self, port_ids: set[str]) -> set[str]:
        return port_ids if self.flows else set()


class Host:
    """Hypervisor, disks and virtual switch of one host, which outlive the agent."""

    def __init__(self, hypervisor: type[FakeHypervisor] = FakeHypervisor) -> None:
        self.clock = 1000.0
        self.boot = "first"
        self.disks, self.switch = FakeDisks(), Switch()
        self.hypervisor = hypervisor(disks=self.disks, clock=lambda: self.clock)

    @property
    def guests(self) -> dict[str, Guest]:
        return {guest.id: guest for guest in self.hypervisor.observe()}

    def reboot(self) -> None:
        self.boot += "+"
        self.hypervisor.reboot()


class Control:
    """The control plane's end of the link, in memory."""

    def __init__(self, host: str = "alpha") -> None:
        self.slice = Wanted(revision=1, host=host, ovn_remote="tcp:127.0.0.1:6642")
        self.pictures: list[Seen] = []
        self.away = False
        self.images = {IMAGE.id: BYTES}

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
        hypervisor=host.hypervisor,
        disks=host.disks,
        switch=host.switch,
        link=control,
        clock=lambda: host.clock,
        about=About(host="alpha", address="127.0.0.1:9", host_boot=host.boot),
    )
