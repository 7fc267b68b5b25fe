"""What turns the bridges and ports that a host's Open vSwitch has into those that zones need.

All of ours bears ``external_ids:wolke-zone``; bridges and ports without it are somebody else's and are never touched.
Tables: ovs-vswitchd.conf.db(5): Bridge, Port, Interface.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from wolke.drivers.layout import LaidPort, Layout
from wolke.drivers.ovsdb import Operation, map_of
from wolke.drivers.rows import Refused

MARK = "wolke-zone"


def port_columns(port: LaidPort) -> dict[str, Any]:
    return {
        "tag": port.tag or ["set", []],
        "vlan_mode": port.vlan_mode or ["set", []],
        "protected": port.protected,
        "other_config": as_map(port.other_config),
        "external_ids": as_map({MARK: port.zone}),
    }


def interface_columns(port: LaidPort) -> dict[str, Any]:
    return {"type": port.type, "options": as_map(port.options)}


def as_map(values: Mapping[str, str]) -> list[Any]:
    """As RFC 7047 writes a map."""
    return ["map", sorted(map(list, values.items()))]


def found_columns(row: Any, names: Iterable[str]) -> dict[str, Any]:
    """Columns of a row of the copy as ``port_columns`` spells them."""
    made: dict[str, Any] = {}
    for name in names:
        values = row._data[name].values
        if row._table.columns[name].type.is_map():
            made[name] = ["map", sorted([key.value, value.value] for key, value in values.items())]
        else:
            atoms = [atom.value for atom in values]
            made[name] = atoms[0] if atoms else ["set", []]
    return made


class Maker(Protocol):
    def new_bridge(self, name: str, ids: Mapping[str, str]) -> list[Operation]: ...
    def bridge_uuid(self, name: str) -> str:
        """How other operations of the same transaction name a bridge that is new."""

    def new_port(
        self, bridge: list[str], name: str, interface: Mapping[str, Any], port: Mapping[str, Any]
    ) -> list[Operation]: ...


def operations(
    rows: Mapping[tuple[str, str], Any], holders: Mapping[str, str], wanted: Layout, maker: Maker
) -> list[Operation]:
    """What makes a host's Open vSwitch as wished; none where it is.

    Parameters
    ----------
    rows : (table, name) -> row of the copy
    holders : port -> the bridge that has it
    maker : knows how a bridge and a port are made on this host

    Raises
    ------
    Refused: a bridge or port of that name is somebody else's, or a port's bridge is not there
    """
    ports = {port.name: port for port in wanted.ports}
    made: list[Operation] = []
    for (table, name), row in rows.items():
        owner = mark_of(row) if table in ("Bridge", "Port") else ""
        if table == "Bridge" and owner and name not in wanted.bridges:
            made.append(remove_from("Open_vSwitch", [], "bridges", row))
        if table == "Port" and owner and (name not in ports or holders.get(name) != ports[name].bridge):
            holder = rows.get(("Bridge", holders.get(name, "")))
            if holder is not None and not (mark_of(holder) and holders[name] not in wanted.bridges):
                made.append(remove_from("Bridge", [["name", "==", holders[name]]], "ports", row))
    for name, zone in wanted.bridges.items():
        found = rows.get(("Bridge", name))
        if found is None:
            made += maker.new_bridge(name, {MARK: zone})
        elif mark_of(found) != zone:
            raise Refused(f"the bridge {name} is there and no zone's")
    for port in ports.values():
        made += of_port(rows, holders, wanted, port, maker)
    return made


def of_port(
    rows: Mapping[tuple[str, str], Any], holders: Mapping[str, str], wanted: Layout, port: LaidPort, maker: Maker
) -> list[Operation]:
    if ("Bridge", port.bridge) not in rows and port.bridge not in wanted.bridges:
        raise Refused(f"there is no bridge {port.bridge} for {port.name}")
    found = rows.get(("Port", port.name))
    if found is not None and mark_of(found) and holders.get(port.name) == port.bridge:
        made = []
        for table, columns in (("Port", port_columns(port)), ("Interface", interface_columns(port))):
            row = rows.get((table, port.name))
            have = found_columns(row, columns) if row is not None else {}
            if differing := {name: value for name, value in columns.items() if have.get(name) != value}:
                where = [["name", "==", port.name]]
                made.append(
                    Operation({"op": "update", "table": table, "where": where, "row": differing}, f"port {port.name}")
                )
        return made
    if found is not None and not mark_of(found):
        raise Refused(f"the port {port.name} is there and no zone's")
    bridge = rows.get(("Bridge", port.bridge))
    place = ["uuid", str(bridge.uuid)] if bridge is not None else ["named-uuid", maker.bridge_uuid(port.bridge)]
    return list(maker.new_port(place, port.name, interface_columns(port), port_columns(port)))


def remove_from(table: str, where: list[Any], column: str, row: Any) -> Operation:
    """Take a row out of its holder's set: it goes with that, and what it holds goes too."""
    gone = [column, "delete", ["set", [["uuid", str(row.uuid)]]]]
    return Operation({"op": "mutate", "table": table, "where": where, "mutations": [gone]}, f"{table} {column}")


def mark_of(row: Any) -> str:
    """The zone that a bridge or port belongs to; "" for none."""
    return map_of(row, "external_ids").get(MARK, "")
