"""The ``Hypervisor`` on libvirt."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from wolke.drivers.hypervisor import DriverError, Guest
from wolke.drivers.libvirt import domain as definition
from wolke.drivers.libvirt import kvm
from wolke.drivers.libvirt.connection import Connection
from wolke.wire import seen, wanted

MIB = 1 << 20
CONSOLE_KEEP = 1 * MIB  # a guest may write to its serial console for years
CONSOLE_LIMIT = 4 * MIB


class Libvirt:
    """Guests of this host.

    Parameters
    ----------
    state : folder of the agent; console logs lie in ``consoles/``, and its file system is the host's disk capacity
    uri : libvirt's; ``qemu:///system?socket=/path/libvirt-sock`` for a private libvirtd
    bridge : the integration bridge that NICs are attached to
    checksum_offload : False where Open vSwitch runs its userspace datapath (``datapath_type=netdev``): it passes
        partial checksums on unfinished, and TCP hangs while ping works

    Raises
    ------
    DriverError: the libvirt bindings are missing
    """

    def __init__(
        self, state: Path, *, uri: str = "qemu:///system", bridge: str = "br-int", checksum_offload: bool = True
    ) -> None:
        self.state = state
        self.bridge = bridge
        self.checksum_offload = checksum_offload
        self.connection = Connection(uri)
        self.libvirt = self.connection.libvirt
        self._powered_off: set[str] = set()  # by us: a libvirtd that is just coming back calls it DAEMON
        self.consoles = state / "consoles"
        self.consoles.mkdir(parents=True, exist_ok=True)

    # What is there -----------------------------------------------------------
    def observe(self) -> list[Guest]:
        def work(connection: Any) -> list[Guest]:
            guests = []
            for found in connection.listAllDomains():
                try:
                    guest = self._guest(found)
                except self.libvirt.libvirtError as error:
                    if error.get_error_code() == self.libvirt.VIR_ERR_NO_DOMAIN:
                        continue  # removed while we were reading
                    raise
                if guest is not None:
                    guests.append(guest)
            return guests

        guests = self.connection.call("list its guests", work)
        for guest in guests:
            _shorten(self.console(guest.id))
        return guests

    def _guest(self, found: Any) -> Guest | None:
        xml = ET.fromstring(found.XMLDesc(0))
        mark = definition.mark(xml)
        if mark is None:
            return None
        state, reason = found.state()
        return Guest(
            id=found.UUIDString(),
            state=self._state(found.UUIDString(), state, reason),
            boot=mark.boot,
            revision=mark.revision,
            nics=tuple(definition.interfaces(xml)),
            started_at=mark.started_at,
            machine=definition.machine(xml),
        )

    def _state(self, id: str, state: int, reason: int) -> seen.State:
        libvirt = self.libvirt
        if state in (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED, libvirt.VIR_DOMAIN_SHUTDOWN):
            return seen.State.RUNNING
        if state in (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PMSUSPENDED):
            return seen.State.PAUSED
        # DAEMON: the guest's process was gone when libvirtd came back.
        died = (libvirt.VIR_DOMAIN_SHUTOFF_CRASHED, libvirt.VIR_DOMAIN_SHUTOFF_DAEMON)
        if state == libvirt.VIR_DOMAIN_CRASHED or (reason in died and id not in self._powered_off):
            return seen.State.CRASHED
        return seen.State.DEFINED

    def capacity(self) -> seen.Capacity:
        info = self.connection.call("tell its capacity", lambda connection: connection.getInfo())
        memory = _memory_mib()  # libvirt's own figure misses memory that was added to a running machine
        disk = os.statvfs(self.state)
        return seen.Capacity(
            vcpus=info[2],
            ram_mib=memory["MemTotal"],
            disk_gib=disk.f_blocks * disk.f_frsize >> 30,
            ram_free_mib=memory["MemAvailable"],
            disk_free_gib=disk.f_bavail * disk.f_frsize >> 30,
        )

    def kind(self) -> str:
        return "qemu" if self.why_no_kvm() else "kvm"

    def why_no_kvm(self) -> str:
        """Why guests here run emulated; empty where KVM works."""
        return self._why_no_kvm

    @functools.cached_property
    def _why_no_kvm(self) -> str:
        if why := kvm.why_no_kvm():
            return why
        capabilities = ET.fromstring(
            self.connection.call("tell its capabilities", lambda connection: connection.getCapabilities())
        )
        if capabilities.find("guest/arch[@name='x86_64']/domain[@type='kvm']") is None:
            return "libvirtd offers no KVM although a guest runs with it: its user may not open /dev/kvm"
        return ""

    def versions(self) -> dict[str, str]:
        def work(connection: Any) -> dict[str, str]:
            return {"libvirt": _version(connection.getLibVersion()), "qemu": _version(connection.getVersion())}

        return self.connection.call("tell its versions", work)

    def watch(self, changed: Callable[[str], None]) -> None:
        self.connection.watch(changed)

    # What is wished ----------------------------------------------------------
    def define(self, server: wanted.Server, root: Path, config_drive: Path | None) -> None:
        def work(connection: Any) -> None:
            found = self._find(connection, server.id)
            if found is not None and found.isActive():
                raise DriverError("The guest is running: its definition can be changed only when it is stopped.")
            machine = server.machine or self._machine(connection, server.hints.get("hw_machine_type", "q35"))
            connection.defineXML(definition.domain(server, root, config_drive, self._host(server.id, machine, root)))

        self.connection.call("define the guest", work)

    def start(self, id: str, *, paused: bool) -> None:
        def work(connection: Any) -> None:
            found = self._lookup(connection, id)
            if found.isActive():
                if not paused:
                    self._resume(found)
                return
            # Written before the start, so that no moment exists in which a guest runs and its start is unknown.
            xml = ET.fromstring(found.XMLDesc(self.libvirt.VIR_DOMAIN_XML_INACTIVE))
            element = xml.find(f"metadata/{definition.GUEST}")
            if element is None:
                raise DriverError("The guest is not one of this cloud.", f"{found.name()} has no mark of ours")
            element.set("started", f"{time.time():.3f}")
            found = connection.defineXML(ET.tostring(xml, encoding="unicode"))
            self._powered_off.discard(id)
            found.createWithFlags(self.libvirt.VIR_DOMAIN_START_PAUSED if paused else 0)

        self.connection.call("start the guest", work)

    def resume(self, id: str) -> None:
        self.connection.call("resume the guest", lambda connection: self._resume(self._lookup(connection, id)))

    def _resume(self, found: Any) -> None:
        if found.state()[0] != self.libvirt.VIR_DOMAIN_RUNNING:
            found.resume()

    def shut_down(self, id: str) -> None:
        def work(connection: Any) -> None:
            found = self._lookup(connection, id)
            if found.isActive():
                # The guest agent would be asked first otherwise, and one that hangs delays the button by seconds.
                self._unless_stopped(
                    found, lambda: found.shutdownFlags(self.libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
                )

        self.connection.call("shut the guest down", work)

    def power_off(self, id: str) -> None:
        def work(connection: Any) -> None:
            found = self._lookup(connection, id)
            if found.isActive():
                self._powered_off.add(id)
                self._unless_stopped(found, found.destroy)

        self.connection.call("power the guest off", work)

    def remove(self, id: str) -> None:
        def work(connection: Any) -> None:
            found = self._find(connection, id)
            if found is None:
                return
            if found.isActive():
                raise DriverError("The guest is running: it can be removed only when it is stopped.")
            libvirt = self.libvirt
            found.undefineFlags(
                libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
                | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
                | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
                | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
            )

        self.connection.call("remove the guest", work)
        self._powered_off.discard(id)
        self.console(id).unlink(missing_ok=True)

    # Devices -----------------------------------------------------------------
    def plug(self, id: str, nic: wanted.Nic) -> None:
        def work(connection: Any) -> None:
            found = self._lookup(connection, id)
            missing = 0
            for flag, xml in self._sides(found):
                if nic.port_id not in definition.interfaces(xml):
                    missing |= flag
                hints, machine = definition.vif_hints(xml), definition.machine(xml)
            if missing:
                element = definition.interface(nic, hints, self._host(id, machine, self.state))
                found.attachDeviceFlags(ET.tostring(element, encoding="unicode"), missing)

        self.connection.call("attach the network interface", work)

    def unplug(self, id: str, port_id: str) -> None:
        """Asks a running guest to let go of its NIC; ``nics`` of ``observe`` tells when it did. Ask again then."""

        def work(connection: Any) -> None:
            found = self._lookup(connection, id)
            for flag, xml in self._sides(found):
                element = definition.interfaces(xml).get(port_id)
                if element is None:
                    continue
                try:
                    found.detachDeviceFlags(ET.tostring(element, encoding="unicode"), flag)
                except self.libvirt.libvirtError as error:
                    if "in the process of unplug" not in str(error):
                        raise

        self.connection.call("detach the network interface", work)

    def _sides(self, found: Any) -> list[tuple[int, ET.Element]]:
        """The stored definition and, while the guest runs, the live one, each with libvirt's flag for it."""
        libvirt = self.libvirt
        stored = ET.fromstring(found.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
        sides = [(libvirt.VIR_DOMAIN_AFFECT_CONFIG, stored)]
        if found.isActive():
            sides.append((libvirt.VIR_DOMAIN_AFFECT_LIVE, ET.fromstring(found.XMLDesc(0))))
        return sides

    # Consoles ----------------------------------------------------------------
    def console(self, id: str) -> Path:
        return self.consoles / f"{id}.log"

    def vnc(self, id: str) -> Path:
        xml = ET.fromstring(
            self.connection.call("find the screen", lambda connection: self._lookup(connection, id).XMLDesc(0))
        )
        socket = definition.vnc_socket(xml)
        if not socket:
            raise DriverError("The guest is not running: it has no screen.")
        return Path(socket)

    # Shared ------------------------------------------------------------------
    def _host(self, id: str, machine: str, disk: Path) -> definition.Host:
        return definition.Host(
            kvm=self.kind() == "kvm",
            machine=machine,
            bridge=self.bridge,
            checksum_offload=self.checksum_offload,
            cache="none" if _takes_direct(disk) else "writeback",
            console=self.console(id),
        )

    def _machine(self, connection: Any, asked: str) -> str:
        """The newest version of a machine type that this QEMU has; fixed from then on, so that a guest can migrate."""
        kind = "kvm" if self.kind() == "kvm" else "qemu"
        try:
            answer = connection.getDomainCapabilities(None, "x86_64", asked, kind, 0)
        except self.libvirt.libvirtError as error:
            if error.get_error_code() in (self.libvirt.VIR_ERR_INVALID_ARG, self.libvirt.VIR_ERR_CONFIG_UNSUPPORTED):
                raise DriverError(
                    f"The machine type {asked!r} is not known on the guest's host.", str(error)
                ) from error
            raise
        return ET.fromstring(answer).findtext("machine") or asked

    def _find(self, connection: Any, id: str) -> Any:
        try:
            return connection.lookupByUUIDString(id)
        except self.libvirt.libvirtError as error:
            if error.get_error_code() == self.libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise

    def _lookup(self, connection: Any, id: str) -> Any:
        found = self._find(connection, id)
        if found is None:
            raise DriverError("The guest is not defined on its host.", f"no domain {id}")
        return found

    def _unless_stopped(self, found: Any, work: Callable[[], Any]) -> None:
        """A guest that stopped by itself meanwhile is what was wanted."""
        try:
            work()
        except self.libvirt.libvirtError:
            if found.isActive():
                raise


def _takes_direct(path: Path) -> bool:
    """Whether files there can be opened past the page cache (not on every tmpfs, overlay or network file system)."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
    except OSError:
        return False
    return True


def _shorten(path: Path) -> None:
    """Keep the end of a console log that grew too long. QEMU appends: what it writes next lands after that end."""
    try:
        if path.stat().st_size <= CONSOLE_LIMIT:
            return
        with path.open("rb") as old:
            old.seek(-CONSOLE_KEEP, os.SEEK_END)
            end = old.read()
        os.truncate(path, 0)
        with path.open("ab") as log:
            log.write(end)
    except FileNotFoundError:
        return


def _memory_mib() -> dict[str, int]:
    """The lines of proc_meminfo(5): name -> MiB."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) // 1024 for words in lines}


def _version(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
