"""What every ``Hypervisor`` promises, kept by the fake and by libvirt (guests that never boot: an empty disk is enough)."""

from __future__ import annotations

import dataclasses
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.private_host import PrivateHost
from wolke.drivers.disks import qemu_img
from wolke.drivers.fake.hypervisor import FakeHypervisor
from wolke.drivers.hypervisor import DriverError, Guest
from wolke.drivers.libvirt import Libvirt
from wolke.lab.waiting import wait_for
from wolke.wire import wanted
from wolke.wire.seen import State


class FakeWorld:
    def __init__(self) -> None:
        self.hypervisor = FakeHypervisor()

    def root(self, id: str) -> Path:
        return Path("/fake") / id

    def kill_guest(self, id: str) -> None:
        self.hypervisor.die(id)

    def foreign_guest(self) -> None:
        """None can be there."""

    def cut_off(self) -> None:
        self.hypervisor.reachable = False

    def join_again(self) -> None:
        self.hypervisor.reachable = True


class RealWorld:
    def __init__(self, host: PrivateHost) -> None:
        self.host = host
        self.state = host.folder / "state"
        self.hypervisor = Libvirt(self.state, uri=host.uri, checksum_offload=False)

    def root(self, id: str) -> Path:
        path = self.state / f"{id}.qcow2"
        if not path.exists():
            qemu_img("create", "-q", "-f", "qcow2", str(path), "16M")
        return path

    def kill_guest(self, id: str) -> None:
        name = f"wolke-{id}"
        self.host.run("kill", "-9", (self.host.outside("/run/libvirt") / "qemu" / f"{name}.pid").read_text())

    def foreign_guest(self) -> None:
        xml = "<domain type='qemu'><name>foreign</name><memory>65536</memory><os><type>hvm</type></os></domain>"
        (self.state / "foreign.xml").write_text(xml)
        self.host.run("virsh", "define", str(self.state / "foreign.xml"))

    def cut_off(self) -> None:
        self.host.kill_libvirtd()

    def join_again(self) -> None:
        self.host.start_libvirtd()


World = FakeWorld | RealWorld


@pytest.fixture(scope="module")
def host() -> Iterator[PrivateHost]:
    host = PrivateHost()
    try:
        host.start_switch()
        host.start_libvirtd()
        (host.folder / "state").mkdir()
        yield host
    finally:
        host.close()


@pytest.fixture(params=["fake", pytest.param("libvirt", marks=pytest.mark.real)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "fake":
        yield FakeWorld()
        return
    world = RealWorld(request.getfixturevalue("host"))
    yield world
    for guest in world.hypervisor.observe():
        world.hypervisor.power_off(guest.id)
        world.hypervisor.remove(guest.id)


def nic() -> wanted.Nic:
    port_id = str(uuid.uuid4())
    return wanted.Nic(port_id=port_id, mac="fa:16:3e:" + ":".join(port_id[at : at + 2] for at in (0, 2, 4)), mtu=1442)


def server(**changes: object) -> wanted.Server:
    id = str(uuid.uuid4())
    image = wanted.Image(id="image-1", disk_format="qcow2", size=1, checksum="0")
    plain = wanted.Server(
        id=id,
        revision=7,
        name="web \x07<&> ü",
        power=wanted.Power.RUNNING,
        vcpus=1,
        ram_mib=64,
        disk=wanted.Disk(image=image, size_gib=0),
        nics=(nic(),),
        metadata=wanted.Metadata(hostname="web", name="web", project_id="red", availability_zone="nova"),
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def define(world: World, **changes: object) -> wanted.Server:
    wish = server(**changes)
    world.hypervisor.define(wish, world.root(wish.id), None)
    return wish


def seen_guest(world: World, id: str) -> Guest | None:
    return next((guest for guest in world.hypervisor.observe() if guest.id == id), None)


def state(world: World, id: str) -> State | None:
    guest = seen_guest(world, id)
    return guest.state if guest else None


def test_a_guest_is_defined_started_resumed_stopped_and_removed(world: World) -> None:
    wish = define(world)
    assert state(world, wish.id) is State.DEFINED
    world.hypervisor.start(wish.id, paused=True)
    assert state(world, wish.id) is State.PAUSED
    world.hypervisor.resume(wish.id)
    assert state(world, wish.id) is State.RUNNING
    world.hypervisor.power_off(wish.id)
    assert state(world, wish.id) is State.DEFINED
    world.hypervisor.remove(wish.id)
    assert seen_guest(world, wish.id) is None


def test_a_guest_tells_what_was_written_into_it(world: World) -> None:
    wish = define(world, boot=3, revision=12, nics=(nic(), nic()))
    world.hypervisor.start(wish.id, paused=True)
    guest = seen_guest(world, wish.id)
    assert guest is not None
    assert (guest.boot, guest.revision) == (3, 12)
    assert guest.nics == tuple(nic.port_id for nic in wish.nics)
    assert guest.started_at > 1_700_000_000
    assert guest.machine.startswith("pc-q35-") and guest.machine != "pc-q35-"
    world.hypervisor.power_off(wish.id)
    world.hypervisor.define(dataclasses.replace(wish, boot=4, machine=guest.machine), world.root(wish.id), None)
    again = seen_guest(world, wish.id)
    assert again is not None and (again.boot, again.machine) == (4, guest.machine)


def test_asking_again_is_no_error(world: World) -> None:
    wish = define(world)
    world.hypervisor.define(wish, world.root(wish.id), None)
    for _ in range(2):
        world.hypervisor.start(wish.id, paused=False)
        world.hypervisor.resume(wish.id)
    for _ in range(2):
        world.hypervisor.power_off(wish.id)
        world.hypervisor.shut_down(wish.id)
    for _ in range(2):
        world.hypervisor.remove(wish.id)


def test_what_a_state_does_not_allow_is_refused(world: World) -> None:
    hypervisor, wish = world.hypervisor, define(world)
    with pytest.raises(DriverError, match="state"):
        hypervisor.resume(wish.id)
    with pytest.raises(DriverError, match="not running"):
        hypervisor.vnc(wish.id)
    hypervisor.start(wish.id, paused=True)
    with pytest.raises(DriverError, match="running"):
        hypervisor.define(wish, world.root(wish.id), None)
    with pytest.raises(DriverError, match="running"):
        hypervisor.remove(wish.id)
    assert state(world, wish.id) is State.PAUSED


def test_an_undefined_guest_is_refused(world: World) -> None:
    hypervisor, id = world.hypervisor, str(uuid.uuid4())
    for call in (
        lambda: hypervisor.start(id, paused=False),
        lambda: hypervisor.resume(id),
        lambda: hypervisor.shut_down(id),
        lambda: hypervisor.power_off(id),
        lambda: hypervisor.plug(id, nic()),
        lambda: hypervisor.unplug(id, "port-1"),
        lambda: hypervisor.vnc(id),
    ):
        with pytest.raises(DriverError, match="not defined"):
            call()


@pytest.mark.parametrize("power", ["stopped", "running"])
def test_nics_come_and_go(world: World, power: str) -> None:
    wish, more = define(world), nic()
    if power == "running":
        world.hypervisor.start(wish.id, paused=False)
    for _ in range(2):
        world.hypervisor.plug(wish.id, more)
    guest = seen_guest(world, wish.id)
    assert guest is not None and set(guest.nics) == {wish.nics[0].port_id, more.port_id}
    if power == "stopped" or isinstance(world, FakeWorld):  # a guest without a system never lets go of a device
        for _ in range(2):
            world.hypervisor.unplug(wish.id, more.port_id)
        guest = seen_guest(world, wish.id)
        assert guest is not None and guest.nics == (wish.nics[0].port_id,)
    world.hypervisor.power_off(wish.id)


@pytest.mark.parametrize(
    "hints",
    [
        {"hw_disk_bus": "scsi", "hw_vif_model": "e1000e", "hw_video_model": "virtio", "hw_qemu_guest_agent": "no"},
        {"hw_machine_type": "pc", "hw_disk_bus": "sata", "hw_vif_model": "e1000"},
        {"hw_firmware_type": "uefi"},
    ],
)
def test_hardware_that_an_image_asks_for_starts(world: World, hints: dict[str, str]) -> None:
    wish = server(hints=hints)
    drive = world.root(f"{wish.id}-drive")
    world.hypervisor.define(wish, world.root(wish.id), drive)
    world.hypervisor.start(wish.id, paused=True)
    assert state(world, wish.id) is State.PAUSED
    world.hypervisor.power_off(wish.id)
    world.hypervisor.remove(wish.id)
    assert seen_guest(world, wish.id) is None


@pytest.mark.parametrize("name", ["hw_disk_bus", "hw_vif_model", "hw_video_model", "hw_firmware_type"])
def test_hardware_that_nobody_knows_is_refused_by_name(world: World, name: str) -> None:
    with pytest.raises(DriverError, match=name):
        define(world, hints={name: "steam"})
    with pytest.raises(DriverError, match="machine type 'steam'"):
        define(world, hints={"hw_machine_type": "steam"})
    assert world.hypervisor.observe() == []


def test_guests_of_others_are_not_seen(world: World) -> None:
    world.foreign_guest()
    wish = define(world)
    assert [guest.id for guest in world.hypervisor.observe()] == [wish.id]


def test_a_guest_that_dies_is_told(world: World) -> None:
    told: list[str] = []
    world.hypervisor.watch(told.append)
    wish = define(world)
    world.hypervisor.start(wish.id, paused=False)
    told.clear()
    world.kill_guest(wish.id)
    assert wait_for(lambda: wish.id in told and state(world, wish.id) is State.CRASHED, 30)


def test_the_console_goes_with_its_guest(world: World) -> None:
    wish = define(world)
    world.hypervisor.start(wish.id, paused=False)
    assert wait_for(world.hypervisor.console(wish.id).exists, 30)
    world.hypervisor.power_off(wish.id)
    world.hypervisor.remove(wish.id)
    assert not world.hypervisor.console(wish.id).exists()


def test_guests_do_not_depend_on_the_daemon(world: World) -> None:
    wish = define(world)
    world.hypervisor.start(wish.id, paused=False)
    before = seen_guest(world, wish.id)
    world.cut_off()
    with pytest.raises(DriverError, match="not reachable") as caught:
        world.hypervisor.observe()
    assert "/" not in str(caught.value) and caught.value.hint
    world.join_again()
    assert seen_guest(world, wish.id) == before
    world.hypervisor.power_off(wish.id)
    assert state(world, wish.id) is State.DEFINED


def test_the_host_tells_what_it_has(world: World) -> None:
    capacity = world.hypervisor.capacity()
    assert 0 < capacity.ram_free_mib <= capacity.ram_mib and 0 < capacity.disk_free_gib <= capacity.disk_gib
    assert capacity.vcpus > 0
    assert set(world.hypervisor.versions()) == {"libvirt", "qemu"}
    assert world.hypervisor.kind() in ("kvm", "qemu")


# Only libvirt ----------------------------------------------------------------
@pytest.fixture
def real(host: PrivateHost) -> Iterator[RealWorld]:
    world = RealWorld(host)
    yield world
    for guest in world.hypervisor.observe():
        world.hypervisor.power_off(guest.id)
        world.hypervisor.remove(guest.id)


@pytest.mark.real
def test_a_nic_is_a_port_of_the_integration_bridge(real: RealWorld) -> None:
    wish = define(real)
    real.hypervisor.start(wish.id, paused=True)
    port_id = wish.nics[0].port_id
    told = real.host.run("ovs-vsctl", "get", "interface", f"tap{port_id[:11]}", "external_ids:iface-id")
    assert told.strip().strip('"') == port_id
    assert "mtu 1442" in real.host.run("ip", "link", "show", f"tap{port_id[:11]}")
    real.hypervisor.power_off(wish.id)
    assert f"tap{port_id[:11]}" not in real.host.run("ovs-vsctl", "list-ports", "br-int")


@pytest.mark.real
def test_a_watch_goes_on_after_the_daemon_was_killed(real: RealWorld) -> None:
    told: list[str] = []
    real.hypervisor.watch(told.append)
    wish = define(real)
    real.hypervisor.start(wish.id, paused=False)
    real.cut_off()
    real.kill_guest(wish.id)
    told.clear()
    real.join_again()
    assert wait_for(lambda: wish.id in told, 30)
    assert state(real, wish.id) is State.CRASHED
    told.clear()
    real.hypervisor.start(wish.id, paused=False)
    assert wait_for(lambda: wish.id in told, 30)


@pytest.mark.real
def test_a_call_that_loses_the_daemon_is_made_again(real: RealWorld) -> None:
    tries: list[int] = []

    def work(connection: Any) -> int:
        tries.append(1)
        if len(tries) == 1:
            real.cut_off()
            real.join_again()
        version: int = connection.getVersion()
        return version

    assert real.hypervisor.connection.call("tell its version", work) > 7_000_000
    assert len(tries) == 2


@pytest.mark.real
def test_a_long_console_keeps_its_end(real: RealWorld) -> None:
    wish = define(real)
    console = real.hypervisor.console(wish.id)
    console.write_bytes(b"x" * (5 << 20) + b"the end")
    real.hypervisor.observe()
    assert console.stat().st_size == 1 << 20
    with console.open("rb") as file:
        file.seek(-7, os.SEEK_END)
        assert file.read() == b"the end"
