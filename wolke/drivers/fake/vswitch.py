"""A host's Open vSwitch in memory."""

from __future__ import annotations

from collections.abc import Callable

from wolke.drivers.hypervisor import DriverError, Wrong
from wolke.drivers.layout import Layout
from wolke.drivers.rows import Refused, Unavailable
from wolke.drivers.switchview import INTEGRATION
from wolke.drivers.vswitch import NAME_LENGTH, settings


class VirtualSwitch:
    """``wolke.drivers.hypervisor.VirtualSwitch`` without Open vSwitch.

    ``devices`` are those of the host that can be attached (None: any). ``install`` plays ovn-controller;
    ``reachable = False`` makes every call raise ``Unavailable``.
    """

    def __init__(self, devices: set[str] | None = None) -> None:
        self.devices = devices
        self.reachable = True
        self.external_ids: dict[str, str] = {}
        self.bridges: dict[str, dict[str, str]] = {}  # bridge -> interface -> logical port
        self.bfd: dict[str, bool] = {}
        self.watchers: list[Callable[[], None]] = []
        self._installed: set[str] = set()
        self.layout = Layout()

    def close(self) -> None:
        """Nothing to disconnect from."""

    def checksum_offload(self) -> bool:
        return False

    def configure(self, *, host: str, ovn_remote: str, encap_ip: str, bridge_mappings: dict[str, str]) -> None:
        self._reach()
        ids = settings(host, ovn_remote, encap_ip, bridge_mappings, "netdev")
        self.external_ids = {key: value for key, value in ids.items() if value is not None}
        for bridge in (INTEGRATION, *bridge_mappings.values()):
            self.bridges.setdefault(bridge, {})

    def installed(self, port_ids: set[str]) -> set[str]:
        return port_ids & self._installed & set(self.ports().values())

    def add_port(self, bridge: str, interface: str, port_id: str) -> None:
        self._reach()
        if not 0 < len(interface) <= NAME_LENGTH:
            raise Refused(f"{interface!r} is no name of an interface")
        if bridge not in self.bridges:
            raise Refused(f"there is no bridge {bridge} for {interface}")
        for holder, ports in self.bridges.items():
            if interface in ports and holder != bridge:
                raise Refused(f"{interface} is a port of {holder}, not of {bridge}")
        if self.devices is not None and interface not in self.devices:
            raise DriverError(f"cannot attach {interface} to {bridge}: no such device")
        former = self.bridges[bridge].get(interface)
        if former != port_id:
            self._installed.discard(former or "")
        self.bridges[bridge][interface] = port_id

    def remove_port(self, interface: str) -> None:
        self._reach()
        for ports in self.bridges.values():
            self._installed.discard(ports.pop(interface, ""))

    def ports(self) -> dict[str, str]:
        self._reach()
        return {interface: port for ports in self.bridges.values() for interface, port in ports.items()}

    def lay(self, layout: Layout) -> dict[str, str]:
        self._reach()
        for name in set(self.layout.bridges) - set(layout.bridges):
            self.bridges.pop(name, None)
        for name, zone in layout.bridges.items():
            if name in self.bridges and self.layout.bridges.get(name) != zone:
                raise Refused(f"the bridge {name} is there and no zone's")
        for port in layout.ports:
            if port.bridge not in self.bridges and port.bridge not in layout.bridges:
                raise Refused(f"there is no bridge {port.bridge} for {port.name}")
        for name in layout.bridges:
            self.bridges.setdefault(name, {})
        self.layout = layout
        missing = [port for port in layout.ports if not port.type and self.devices is not None]
        return {port.name: "no such device" for port in missing if port.name not in (self.devices or ())}

    def wrong(
        self, *, host: str, ovn_remote: str, encap_ip: str, bridge_mappings: dict[str, str], interfaces: dict[str, str]
    ) -> list[Wrong]:
        self._reach()
        wanted = settings(host, ovn_remote, encap_ip, bridge_mappings, "netdev")
        return [
            Wrong("setting", "Open_vSwitch", f"external_ids:{key} is other than {value!r}")
            for key, value in wanted.items()
            if self.external_ids.get(key) != value
        ]

    def tunnels(self) -> dict[str, bool]:
        self._reach()
        return dict(self.bfd)

    def attached(self) -> dict[int, str]:
        self._reach()
        return dict(enumerate(sorted(self.bridges.get(INTEGRATION, {}).values()), 1))

    def watch(self, changed: Callable[[], None]) -> None:
        self.watchers.append(changed)

    def leave(self) -> None:
        self._reach()
        self.external_ids.pop("ovn-remote", None)

    def unlaid(self, layout: Layout) -> list[Wrong]:
        self._reach()
        return [] if layout == self.layout else [Wrong("zone", "bridges", "other than zones need")]

    def versions(self) -> dict[str, str]:
        self._reach()
        return {"openvswitch": "3.1.0", "ovn": "23.03.1"}

    def install(self, *port_ids: str) -> None:
        """What ovn-controller says when a port's flows are in place."""
        self._installed |= set(port_ids)

    def _reach(self) -> None:
        if not self.reachable:
            raise Unavailable("Open_vSwitch does not answer", hint="fake")
