"""The host's Open vSwitch: bridges, ports and what ovn-controller reads of it. ovs-vswitchd.conf.db(5), ovn-controller(8)."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

from pyroute2.netlink import genlmsg
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.generic import GenericNetlinkSocket

from wolke.drivers.hypervisor import DriverError, Wrong
from wolke.drivers.laying import operations
from wolke.drivers.layout import Layout
from wolke.drivers.ovsdb import Link, Operation, map_of, one_of
from wolke.drivers.rows import Refused, Unavailable
from wolke.drivers.switchview import (
    INTEGRATION,
    ROOT,
    TABLES,
    View,
    attached,
    differences,
    tunnels,
    wrong_ports,
)

IDS, CONFIG = "external_ids", "other_config"
# A gateway that moves waits for flows that the datapath remembers: 0.5 s of outage become 0.2 s.
CONFIGURED = {"max-revalidator": "200"}
PROGRAMS = {"openvswitch": "ovs-vswitchd", "ovn": "ovn-controller"}
NAME_LENGTH = 15  # IFNAMSIZ of the kernel, less the final zero


class VirtualSwitch:
    """``wolke.drivers.hypervisor.VirtualSwitch`` on a real Open vSwitch.

    Every change waits until ovs-vswitchd has taken it over; without it ``Unavailable`` is raised and the change waits there.

    Parameters
    ----------
    remote : of the local ovsdb-server
    patience : seconds until a call that gets no answer raises ``Unavailable``
    datapath : ``system`` or ``netdev``; None asks the kernel
    """

    def __init__(
        self, remote: str = "unix:/run/openvswitch/db.sock", *, patience: float = 10.0, datapath: str | None = None
    ) -> None:
        self.datapath = datapath or kernel_datapath()
        self._view = View()
        self._link = Link(remote, ROOT, self._view, tables=TABLES, patience=patience)
        self._link.start()

    def close(self) -> None:
        self._link.close()

    def checksum_offload(self) -> bool:
        """Whether guests may leave checksums to the host; the userspace datapath does not finish them."""
        return self.datapath == "system"

    def configure(self, *, host: str, ovn_remote: str, encap_ip: str, bridge_mappings: dict[str, str]) -> None:
        ids = settings(host, ovn_remote, encap_ip, bridge_mappings, self.datapath)

        def compose() -> list[Operation]:
            operations = []
            for bridge, columns in bridges(bridge_mappings).items():
                operations += self._bridge(bridge, columns)
            root = self._view.root()
            for column, wanted in ((IDS, ids), (CONFIG, CONFIGURED)):
                found = map_of(root, column)
                if any(found.get(key) != value for key, value in wanted.items()):
                    operations.append(self._keys(column, ROOT, [], wanted))
            return operations

        self._change(compose)

    def wrong(
        self, *, host: str, ovn_remote: str, encap_ip: str, bridge_mappings: dict[str, str], interfaces: dict[str, str]
    ) -> list[Wrong]:
        ids = settings(host, ovn_remote, encap_ip, bridge_mappings, self.datapath)
        with self._link.reading():
            wanted = {IDS: ids, CONFIG: CONFIGURED}
            found = [Wrong("setting", ROOT, what) for what in differences(self._view.root(), wanted)]
            for bridge, columns in bridges(bridge_mappings).items():
                found += [
                    Wrong("setting", bridge, f"{bridge}: {what}")
                    for what in differences(
                        self._view.named("Bridge", bridge), {"datapath_type": self.datapath, **columns}
                    )
                ]
            return found + wrong_ports(self._view, interfaces)

    def tunnels(self) -> dict[str, bool]:
        with self._link.reading():
            return tunnels(self._view)

    def attached(self) -> dict[int, str]:
        with self._link.reading():
            return attached(self._view)

    def watch(self, changed: Callable[[], None]) -> None:
        with self._link.lock:
            self._view.watchers.append(changed)

    def leave(self) -> None:
        def compose() -> list[Operation]:
            joined = map_of(self._view.root(), IDS).get("ovn-remote")
            return [self._keys(IDS, ROOT, [], {"ovn-remote": None})] if joined else []

        self._change(compose)

    def installed(self, port_ids: set[str]) -> set[str]:
        with self._link.reading() as idl:
            return {
                ids["iface-id"]
                for ids in (map_of(row, "external_ids") for row in idl.tables["Interface"].rows.values())
                if ids.get("iface-id") in port_ids and ids.get("ovn-installed") == "true"
            }

    def add_port(self, bridge: str, interface: str, port_id: str) -> None:
        if not 0 < len(interface) <= NAME_LENGTH:
            raise Refused(f"{interface!r} is no name of an interface")

        def compose() -> list[Operation]:
            found, holder = self._view.named("Interface", interface), self._view.holders().get(interface, "")
            target = self._view.named("Bridge", bridge)
            if target is None:
                raise Refused(f"there is no bridge {bridge} for {interface}")
            if found is not None and holder != bridge:
                raise Refused(f"{interface} is a port of {holder}, not of {bridge}")
            if found is None:
                given = {"name": interface, "external_ids": ["map", [["iface-id", port_id]]]}
                return self._port(["uuid", str(target.uuid)], interface, given)
            if map_of(found, "external_ids").get("iface-id") == port_id:
                return []
            # What ovn-controller noted for the former port is not true of this one.
            ids = {"iface-id": port_id, "ovn-installed": None}
            return [self._keys(IDS, "Interface", [["name", "==", interface]], ids)]

        self._change(compose)
        with self._link.reading():
            error = str(one_of(self._view.named("Interface", interface), "error"))
        if error:
            self.remove_port(interface)
            raise DriverError(f"cannot attach {interface} to {bridge}: {error}")

    def remove_port(self, interface: str) -> None:
        def compose() -> list[Operation]:
            found, holder = self._view.named("Port", interface), self._view.holders().get(interface, "")
            if found is None:
                return []
            gone = ["ports", "delete", ["set", [["uuid", str(found.uuid)]]]]
            where = [["name", "==", holder]]
            return [
                Operation({"op": "mutate", "table": "Bridge", "where": where, "mutations": [gone]}, f"port {interface}")
            ]

        self._change(compose)

    def ports(self) -> dict[str, str]:
        with self._link.reading() as idl:
            pairs = [
                (one_of(row, "name"), map_of(row, "external_ids")) for row in idl.tables["Interface"].rows.values()
            ]
            return {name: ids["iface-id"] for name, ids in pairs if "iface-id" in ids}

    def lay(self, layout: Layout) -> dict[str, str]:
        def compose() -> list[Operation]:
            return operations(self._view.rows, self._view.holders(), layout, self)

        self._change(compose)
        with self._link.reading():
            found = {port.name: self._view.named("Interface", port.name) for port in layout.ports}
            return {name: error for name, row in found.items() if (error := str(one_of(row, "error")))}

    def unlaid(self, layout: Layout) -> list[Wrong]:
        with self._link.reading():
            made = operations(self._view.rows, self._view.holders(), layout, self)
        return [
            Wrong("zone", place, f"{place} is other than its zone needs")
            for place in dict.fromkeys(one.place for one in made)
        ]

    def new_bridge(self, name: str, ids: Mapping[str, str]) -> list[Operation]:
        return self._bridge(name, {"external_ids": dict(ids)})

    @staticmethod
    def bridge_uuid(name: str) -> str:
        return f"bridge_{word_of(name)}"

    def new_port(
        self, bridge: list[str], name: str, interface: Mapping[str, Any], port: Mapping[str, Any]
    ) -> list[Operation]:
        return self._port(bridge, name, {"name": name, **interface}, port)

    def versions(self) -> dict[str, str]:
        return {name: text for name, program in PROGRAMS.items() if (text := version(program))}

    def _bridge(self, name: str, columns: dict[str, Any]) -> list[Operation]:
        """Makes the bridge, or mends what is other about it."""
        columns = {"datapath_type": self.datapath, **columns}
        found = self._view.named("Bridge", name)
        text = {
            key: ["map", list(value.items())] if isinstance(value, dict) else value for key, value in columns.items()
        }
        if found is not None:
            wrong = {key: text[key] for key, value in columns.items() if differences(found, {key: value})}
            if not wrong:
                return []
            where = [["_uuid", "==", ["uuid", str(found.uuid)]]]
            return [Operation({"op": "update", "table": "Bridge", "where": where, "row": wrong}, f"bridge {name}")]
        uuid_name = self.bridge_uuid(name)
        insert = {"op": "insert", "table": "Bridge", "uuid-name": uuid_name, "row": {"name": name, **text}}
        joined = ["bridges", "insert", ["set", [["named-uuid", uuid_name]]]]
        return [
            Operation(insert, f"bridge {name}"),
            Operation({"op": "mutate", "table": ROOT, "where": [], "mutations": [joined]}, f"bridge {name}"),
            *self._port(["named-uuid", uuid_name], name, {"name": name, "type": "internal"}),
        ]

    def _port(
        self, bridge: list[str], name: str, interface: Mapping[str, Any], columns: Mapping[str, Any] | None = None
    ) -> list[Operation]:
        """A port with one interface, both of that name."""
        port, device = f"port_{word_of(name)}", f"device_{word_of(name)}"
        row = {"name": name, "interfaces": ["named-uuid", device], **(columns or {})}
        joined = ["ports", "insert", ["set", [["named-uuid", port]]]]
        where = [["_uuid", "==", bridge]]
        return [
            Operation(
                {"op": "insert", "table": "Interface", "uuid-name": device, "row": dict(interface)}, f"port {name}"
            ),
            Operation({"op": "insert", "table": "Port", "uuid-name": port, "row": row}, f"port {name}"),
            Operation({"op": "mutate", "table": "Bridge", "where": where, "mutations": [joined]}, f"port {name}"),
        ]

    def _keys(self, column: str, table: str, where: list[Any], keys: Mapping[str, str | None]) -> Operation:
        """Set these keys of a map and no others; None takes one away."""
        given = [[key, value] for key, value in keys.items() if value is not None]
        mutations = [[column, "delete", ["set", list(keys)]], [column, "insert", ["map", given]]]
        return Operation({"op": "mutate", "table": table, "where": where, "mutations": mutations}, f"{table} settings")

    def _change(self, compose: Callable[[], list[Operation]]) -> None:
        """Write, and wait until ovs-vswitchd has done so."""

        def numbered() -> list[Operation]:
            operations = compose()
            if not operations:
                return []
            empty = self._view.root() is None
            first = [Operation({"op": "insert", "table": ROOT, "row": {}}, ROOT)] if empty else []
            count = {"op": "mutate", "table": ROOT, "where": [], "mutations": [["next_cfg", "+=", 1]]}
            select = {"op": "select", "table": ROOT, "where": [], "columns": ["next_cfg"]}
            return [*first, *operations, Operation(count, ROOT), Operation(select, ROOT)]

        answers = self._link.transact(numbered)
        # When the last try stopped half-way, nothing is left to write, but perhaps still something to wait for.
        with self._link.reading():
            number = answers[-1]["rows"][0]["next_cfg"] if answers else int(one_of(self._view.root(), "next_cfg") or 0)
        if not self._link.wait_for(lambda: self._view.current() >= number, self._link.patience):
            raise Unavailable("ovs-vswitchd does not answer", hint=",".join(self._link.remotes))


def settings(
    host: str, ovn_remote: str, encap_ip: str, bridge_mappings: Mapping[str, str], datapath: str
) -> dict[str, str | None]:
    """``external_ids`` of the Open_vSwitch row, as ovn-controller(8) names them; None where a key must not be there."""
    mappings = ",".join(f"{network}:{bridge}" for network, bridge in sorted(bridge_mappings.items()))
    return {
        "system-id": host,
        "hostname": host,
        "ovn-remote": ovn_remote,
        "ovn-encap-type": "geneve",
        "ovn-encap-ip": encap_ip,
        "ovn-bridge": INTEGRATION,
        "ovn-bridge-datapath-type": datapath,
        "ovn-bridge-mappings": mappings or None,
        "ovn-cms-options": "enable-chassis-as-gw" if mappings else None,
        # Hosts see all of the southbound database: far cheaper for its server than a condition per host and network.
        "ovn-monitor-all": "true",
        # ovn-controller replaces all flows in one bundle when it knows the new ones, and with ovn-monitor-all it knows them all at once.
        # Any wait is time in which a host that has come back carries a gateway without having flows for it: 8 s made 10 s of outage.
        "ovn-ofctrl-wait-before-clear": None,
    }


def bridges(bridge_mappings: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The bridges that there must be, with what we set of each."""
    integration = {"fail_mode": "secure", "other_config": {"disable-in-band": "true"}}
    return {INTEGRATION: integration} | {bridge: {} for bridge in sorted(set(bridge_mappings.values()))}


def word_of(name: str) -> str:
    """A device's name as part of a uuid-name (RFC 7047, section 3.1)."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def version(program: str) -> str:
    """What ``program --version`` says, such as ``3.1.0``; empty where it is not installed."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout
    except OSError:
        return ""
    match = re.search(r"\d+(?:\.\d+)+", said)
    return match[0] if match else ""


def kernel_datapath() -> str:
    """``system`` where the kernel has openvswitch (asking loads the module), else ``netdev``, the one in userspace."""
    with GenericNetlinkSocket() as socket:
        try:
            socket.bind("ovs_datapath", genlmsg)
        except NetlinkError:
            return "netdev"
    return "system"
