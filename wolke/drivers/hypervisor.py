"""What an agent asks of a hypervisor and of the host's virtual switch; promises in ``tests/drivers``.

``drivers/libvirt`` and ``drivers/vswitch.py`` do it for real, ``drivers/fake`` in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from wolke.drivers.layout import Layout
from wolke.wire import seen, wanted


class DriverError(Exception):
    """An engine refused or failed. ``str(error)`` may be shown to the project; ``hint`` is for the operator."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class WrongState(DriverError):
    """The guest's state does not allow it: nothing has been done."""


class Unreachable(DriverError):
    """The engine is not there: whatever failed for this is due as soon as it answers again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Guest:
    """A guest as the hypervisor tells it. ``boot`` and ``revision`` were written into it when it was defined."""

    id: str
    state: seen.State
    boot: int
    revision: int
    nics: tuple[str, ...]
    started_at: float = 0.0
    machine: str = ""


@dataclass(frozen=True, slots=True)
class Wrong:
    """Something of the virtual switch that is other than it should be."""

    kind: str  # setting | port | zone
    name: str  # bridge, table or port
    detail: str


class Hypervisor(Protocol):
    """Every call may be repeated: asking for what is already so is no error."""

    def observe(self) -> list[Guest]:
        """All guests that bear our mark, no others."""

    def define(self, server: wanted.Server, root: Path, config_drive: Path | None) -> None:
        """Write the definition of a guest that does not run; the next start uses it."""

    def start(self, id: str, *, paused: bool) -> None: ...
    def resume(self, id: str) -> None: ...
    def shut_down(self, id: str) -> None:
        """Ask the guest to shut down (ACPI); returns at once."""

    def power_off(self, id: str) -> None: ...
    def remove(self, id: str) -> None:
        """Forget a guest that does not run. Its disks are not the hypervisor's."""

    def plug(self, id: str, nic: wanted.Nic) -> None: ...
    def unplug(self, id: str, port_id: str) -> None: ...
    def console(self, id: str) -> Path:
        """The file that holds the serial console's output."""

    def vnc(self, id: str) -> Path:
        """The unix socket of a running guest's screen (RFB)."""

    def capacity(self) -> seen.Capacity: ...
    def kind(self) -> str:
        """``kvm`` where a guest truly ran with it, else ``qemu``."""

    def versions(self) -> dict[str, str]: ...
    def watch(self, changed: Callable[[str], None]) -> None:
        """Call ``changed(guest id)`` from a thread whenever a guest changes its state by itself."""


class Disks(Protocol):
    """Images and root disks in a directory of the host (``drivers/disks.py``)."""

    def image(self, image: wanted.Image, fetch: Callable[[Path], None]) -> Path:
        """The image's file; ``fetch(path)`` brings it when it is not here, then size and checksum are compared."""

    def made(self, id: str) -> Path | None:
        """The root disk of a server if there is one; it needs no fetching of an image any more."""

    def root(self, id: str, image: Path, disk: wanted.Disk) -> Path:
        """The root disk of a server, made on first call: a copy-on-write child of the image."""

    def config_drive(self, id: str, files: dict[str, bytes]) -> Path:
        """An ISO 9660 image (Joliet, Rock Ridge) with the label config-2; rewritten on each call."""

    def remove(self, id: str) -> None: ...
    def sweep(self, used: set[str]) -> set[str]:
        """Remove images that no disk stands on and whose id is not in ``used``, and leftovers; the removed files' names."""

    def servers(self) -> set[str]:
        """Ids that have anything here."""


class VirtualSwitch(Protocol):
    """The host's Open vSwitch."""

    def configure(self, *, host: str, ovn_remote: str, encap_ip: str, bridge_mappings: dict[str, str]) -> None:
        """br-int, the provider bridges and the external_ids that ovn-controller reads."""

    def installed(self, port_ids: set[str]) -> set[str]:
        """Those of the ports whose flows ovn-controller has installed on this host."""

    def add_port(self, bridge: str, interface: str, port_id: str) -> None:
        """Attach a device of this host as the logical port's interface."""

    def remove_port(self, interface: str) -> None: ...
    def ports(self) -> dict[str, str]:
        """Interface name -> logical port, of all that bear an iface-id."""

    def unlaid(self, layout: Layout) -> list[Wrong]:
        """What ``lay`` would change."""

    def lay(self, layout: Layout) -> dict[str, str]:
        """Have exactly these bridges and ports of zones, beside all that is not a zone's; what is wrong with a port, by its name.

        Raises
        ------
        Refused: a bridge that a port belongs to is not there, or a name is somebody else's
        Unavailable: Open vSwitch does not answer
        """

    def wrong(
        self, *, host: str, ovn_remote: str, encap_ip: str, bridge_mappings: dict[str, str], interfaces: dict[str, str]
    ) -> list[Wrong]:
        """What ``configure`` would change, devices that are not attached to their logical port, and ports of nobody's."""

    def tunnels(self) -> dict[str, bool]:
        """Other hosts (chassis) -> whether BFD hears them; those that BFD watches."""

    def attached(self) -> dict[int, str]:
        """OpenFlow port -> logical port, of all devices on the integration bridge that bear an iface-id."""

    def watch(self, changed: Callable[[], None]) -> None:
        """Call ``changed()`` from a thread when anything of this may be other. It must return quickly."""

    def leave(self) -> None:
        """Take this host out of OVN; the flows that are there stay."""

    def versions(self) -> dict[str, str]: ...
