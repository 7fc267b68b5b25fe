"""A live copy of a host's Open vSwitch configuration, by name, and what may be wrong with it. ovs-vswitchd.conf.db(5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from wolke.drivers.hypervisor import Wrong
from wolke.drivers.laying import MARK
from wolke.drivers.ovsdb import map_of, one_of

INTEGRATION = "br-int"
ROOT = "Open_vSwitch"
TABLES = {
    ROOT: ["bridges", "external_ids", "other_config", "next_cfg", "cur_cfg"],
    "Bridge": ["name", "ports", "datapath_type", "fail_mode", "other_config", "external_ids"],
    "Port": ["name", "interfaces", "tag", "vlan_mode", "protected", "other_config", "external_ids"],
    "Interface": ["name", "type", "options", "external_ids", "error", "bfd_status", "ofport"],
}
COUNTERS = frozenset({"next_cfg", "cur_cfg"})


class View:
    """Rows by name, kept up with the copy."""

    def __init__(self) -> None:
        self.idl: Any = None
        self.rows: dict[tuple[str, str], Any] = {}
        self.watchers: list[Callable[[], None]] = []
        self.news = False

    def rebuild(self, idl: Any, schema: Mapping[str, Any]) -> None:
        self.idl, self.news = idl, True
        self.rows = {
            (table, one_of(row, "name")): row
            for table in TABLES
            if table != ROOT
            for row in idl.tables[table].rows.values()
        }

    def follow(self, event: str, row: Any, old: Any) -> None:
        table = row._table.name
        self.news = self.news or event != "update" or not COUNTERS.issuperset(old._data)
        if table == ROOT or event == "update":
            return
        place = (table, one_of(row, "name"))
        if event == "create":
            self.rows[place] = row
        elif (known := self.rows.get(place)) is not None and known.uuid == row.uuid:
            del self.rows[place]

    def turn(self) -> list[Callable[[], None]]:
        news, self.news = self.news, False
        return list(self.watchers) if news else []

    def explain(self, text: str) -> str:
        return text

    def root(self) -> Any:
        return next(iter(self.idl.tables[ROOT].rows.values()), None)

    def current(self) -> int:
        return int(one_of(self.root(), "cur_cfg") or 0)

    def named(self, table: str, name: str) -> Any:
        return self.rows.get((table, name))

    def holders(self) -> dict[str, str]:
        """Port -> the bridge that has it."""
        names = {row.uuid: name for (table, name), row in self.rows.items() if table == "Port"}
        return {
            names[atom.value]: bridge
            for (table, bridge), row in self.rows.items()
            if table == "Bridge"
            for atom in row._data["ports"].values
            if atom.value in names
        }


# What is wrong ------------------------------------------------------------------------------------------------------
def differences(row: Any, columns: Mapping[str, Any]) -> list[str]:
    """What of a row is other than these columns say; maps may hold more."""
    if row is None:
        return ["is missing"]
    found = []
    for name, wanted in columns.items():
        if isinstance(wanted, dict):
            have = map_of(row, name)
            found += [
                f"{name}:{key} is {have.get(key)!r} instead of {value!r}"
                for key, value in wanted.items()
                if have.get(key) != value
            ]
        elif one_of(row, name) != wanted:
            found.append(f"{name} is {one_of(row, name)!r} instead of {wanted!r}")
    return found


def wrong_ports(view: View, interfaces: Mapping[str, str]) -> list[Wrong]:
    """Devices of guests that are not attached as their logical port, and ports of the integration bridge that are nobody's.

    A port that bears an iface-id is left alone: OVN binds it, or gives it no flows. OVN's own ports bear marks of its own.
    """
    found, holders = [], view.holders()
    for name, port_id in interfaces.items():
        bridge = holders.get(name, "")
        if bridge != INTEGRATION:
            found.append(Wrong("port", name, f"{name} is not a port of {INTEGRATION}"))
        elif map_of(view.named("Interface", name), "external_ids").get("iface-id") != port_id:
            found.append(Wrong("port", name, f"{name} is not attached as logical port {port_id}"))
    for name, bridge in holders.items():
        interface, port = view.named("Interface", name), view.named("Port", name)
        if bridge != INTEGRATION or name in interfaces or name == INTEGRATION or interface is None or port is None:
            continue
        marks = [*map_of(interface, "external_ids"), *map_of(port, "external_ids")]
        ours = any(mark in ("iface-id", MARK) or mark.startswith("ovn-") for mark in marks)
        if not ours and one_of(interface, "type") != "patch":
            found.append(Wrong("port", name, f"{name} on {INTEGRATION} is nobody's"))
    return found


def tunnels(view: View) -> dict[str, bool]:
    """Chassis -> whether BFD hears it, of tunnels that BFD watches."""
    found: dict[str, bool] = {}
    for (table, name), row in view.rows.items():
        if table != "Interface" or not (status := map_of(row, "bfd_status")):
            continue
        chassis = map_of(view.named("Port", name), "external_ids").get("ovn-chassis-id", "").partition("@")[0]
        if chassis:
            found[chassis] = found.get(chassis, False) or status.get("state") == "up"
    return found


def attached(view: View) -> dict[int, str]:
    """OpenFlow port -> logical port, of the integration bridge."""
    holders = view.holders()
    found = {}
    for (table, name), row in view.rows.items():
        if table == "Interface" and (port_id := map_of(row, "external_ids").get("iface-id")):
            number = one_of(row, "ofport")
            if holders.get(name) == INTEGRATION and number not in ("", -1):
                found[int(number)] = port_id
    return found
