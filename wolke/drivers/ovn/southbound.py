"""OVN's southbound database: which hosts there are. It is OVN's own; we only take out hosts that are gone. ovn-sb(5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wolke.drivers.ovsdb import Link, Operation, Tls, map_of, one_of

TABLES = {
    "Chassis": ["name", "hostname", "encaps", "other_config", "external_ids"],
    "Chassis_Private": ["name", "nb_cfg", "nb_cfg_timestamp"],
    "Encap": ["ip", "type"],
}
HOST = ("Chassis", "Chassis_Private")


@dataclass(frozen=True, kw_only=True, slots=True)
class Chassis:
    """A host that runs ovn-controller. ``name`` is the system-id that ``VirtualSwitch.configure`` gave it."""

    name: str
    hostname: str
    encap_ip: str
    other_config: Mapping[str, str]
    nb_cfg: int
    nb_cfg_at: float  # unix seconds

    @property
    def is_gateway(self) -> bool:
        """May host router gateways: it has a way to a provider network."""
        return "enable-chassis-as-gw" in self.other_config.get("ovn-cms-options", "").split(",")

    @property
    def bridge_mappings(self) -> dict[str, str]:
        """Provider network -> bridge."""
        pairs = self.other_config.get("ovn-bridge-mappings", "").split(",")
        return dict(pair.split(":", 1) for pair in pairs if ":" in pair)


class Southbound:
    """A live copy of the few columns that the control plane looks at."""

    def __init__(self, connection: str, *, patience: float = 5.0, tls: Tls | None = None) -> None:
        self._view = _View()
        # Followers may answer, too: reading does not need the leader.
        self._link = Link(
            connection, "OVN_Southbound", self._view, tables=TABLES, leader_only=False, patience=patience, tls=tls
        )

    def start(self) -> None:
        self._link.start()

    def close(self) -> None:
        self._link.close()

    def chassis(self) -> list[Chassis]:
        """All hosts, by name."""
        with self._link.reading() as idl:
            private = {one_of(row, "name"): row for row in idl.tables["Chassis_Private"].rows.values()}
            found = []
            for row in idl.tables["Chassis"].rows.values():
                name = one_of(row, "name")
                encaps = [idl.tables["Encap"].rows[atom.value] for atom in row._data["encaps"].values]
                config = {**map_of(row, "external_ids"), **map_of(row, "other_config")}
                seen = private.get(name)
                found.append(
                    Chassis(
                        name=name,
                        hostname=one_of(row, "hostname"),
                        encap_ip=next((one_of(encap, "ip") for encap in encaps), ""),
                        other_config=config,
                        nb_cfg=one_of(seen, "nb_cfg") if seen else 0,
                        nb_cfg_at=one_of(seen, "nb_cfg_timestamp") / 1000 if seen else 0.0,
                    )
                )
            return sorted(found, key=lambda chassis: chassis.name)

    def flows(self, priorities: Sequence[range]) -> dict[str, str]:
        """Of logical flows with such priorities: the cookie of their flows in the switches, and what they match.

        Nobody keeps a copy of them, for they are many: the server looks. ovn-controller takes the first part of a logical flow's
        uuid as the cookie (ovn-detrace(1)).
        """
        asked = {"op": "select", "table": "Logical_Flow", "columns": ["_uuid", "match"]}
        within = ([["priority", ">=", some.start], ["priority", "<", some.stop]] for some in priorities)
        operations = [Operation({**asked, "where": where}, "Logical_Flow") for where in within]
        rows = (row for answer in self._link.transact(lambda: operations) for row in answer.get("rows", ()))
        return {row["_uuid"][1].partition("-")[0].lstrip("0"): row["match"] for row in rows}

    def remove(self, name: str) -> bool:
        """Forget a host that is gone for good; False when there is none of that name. One that still runs comes back."""

        def compose() -> list[Operation]:
            where = [["name", "==", name]]
            rows = [
                row
                for table in HOST
                for row in self._view.idl.tables[table].rows.values()
                if one_of(row, "name") == name
            ]
            return (
                [Operation({"op": "delete", "table": table, "where": where}, f"{table} {name}") for table in HOST]
                if rows
                else []
            )

        return bool(self._link.transact(compose))


class _View:
    def __init__(self) -> None:
        self.idl: Any = None

    def rebuild(self, idl: Any, schema: Mapping[str, Any]) -> None:
        self.idl = idl

    def follow(self, event: str, row: Any, old: Any) -> None:
        """Everything is looked up when it is asked for: there are few hosts."""

    def turn(self) -> list[Callable[[], None]]:
        return []

    def explain(self, text: str) -> str:
        return text
