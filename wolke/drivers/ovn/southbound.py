"""OVN's southbound database, read only: which hosts there are, which are alive and where a port is bound. ovn-sb(5)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wolke.drivers.ovsdb import Link, Tls

TABLES = {
    "SB_Global": ["nb_cfg"],
    "Chassis": ["name", "hostname", "encaps", "other_config", "external_ids"],
    "Chassis_Private": ["name", "nb_cfg", "nb_cfg_timestamp"],
    "Encap": ["ip", "type"],
    "Port_Binding": ["logical_port", "chassis", "up", "type"],
}


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


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a logical port is: chassis name (empty: nowhere) and whether its flows are in place."""

    chassis: str
    up: bool


class Southbound:
    """A live copy of the few columns that the control plane looks at."""

    def __init__(
        self,
        connection: str,
        *,
        patience: float = 5.0,
        tls: Tls | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._view = _View(clock)
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
            private = {_one(row, "name"): row for row in idl.tables["Chassis_Private"].rows.values()}
            found = []
            for row in idl.tables["Chassis"].rows.values():
                name = _one(row, "name")
                encaps = [idl.tables["Encap"].rows[atom.value] for atom in row._data["encaps"].values]
                config = {**_map(row, "external_ids"), **_map(row, "other_config")}
                seen = private.get(name)
                found.append(
                    Chassis(
                        name=name,
                        hostname=_one(row, "hostname"),
                        encap_ip=next((_one(encap, "ip") for encap in encaps), ""),
                        other_config=config,
                        nb_cfg=_one(seen, "nb_cfg") if seen else 0,
                        nb_cfg_at=_one(seen, "nb_cfg_timestamp") / 1000 if seen else 0.0,
                    )
                )
            return sorted(found, key=lambda chassis: chassis.name)

    def alive(self, seconds: float) -> set[str]:
        """Names of the hosts that followed the last ``Northbound.sync``, or are at most ``seconds`` behind it."""
        with self._link.reading():
            now = self._view.clock()
            return {name for name, since in self._view.behind.items() if since is None or now - since < seconds}

    def binding(self, port_id: str) -> Binding | None:
        """Where a port is bound; None when northd does not know it (yet)."""
        with self._link.reading() as idl:
            row = self._view.ports.get(port_id)
            if row is None:
                return None
            chassis = [idl.tables["Chassis"].rows.get(atom.value) for atom in row._data["chassis"].values]
            return Binding(next((_one(one, "name") for one in chassis if one), ""), bool(_one(row, "up")))


class _View:
    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.idl: Any = None
        self.ports: dict[str, Any] = {}
        # chassis -> time since when it has not followed nb_cfg; None: it has
        self.behind: dict[str, float | None] = {}

    def rebuild(self, idl: Any, schema: Mapping[str, Any]) -> None:
        self.idl = idl
        self.ports = {_one(row, "logical_port"): row for row in idl.tables["Port_Binding"].rows.values()}
        self._compare()

    def follow(self, event: str, row: Any, old: Any) -> None:
        match row._table.name:
            case "Port_Binding" if event == "delete":
                self.ports.pop(_one(row, "logical_port"), None)
            case "Port_Binding":
                self.ports[_one(row, "logical_port")] = row
            case "SB_Global" | "Chassis_Private":
                self._compare()

    def _compare(self) -> None:
        wanted = max((_one(row, "nb_cfg") for row in self.idl.tables["SB_Global"].rows.values()), default=0)
        former, now = self.behind, self.clock()
        self.behind = {}
        for row in self.idl.tables["Chassis_Private"].rows.values():
            name = _one(row, "name")
            since = former.get(name)
            late = _one(row, "nb_cfg") < wanted
            self.behind[name] = (now if since is None else since) if late else None

    def turn(self) -> list[Callable[[], None]]:
        return []

    def explain(self, text: str) -> str:
        return text


def _one(row: Any, column: str) -> Any:
    """The only element of a column; an empty string where an optional one is empty."""
    return next((atom.value for atom in row._data[column].values), "")


def _map(row: Any, column: str) -> dict[str, str]:
    return {key.value: value.value for key, value in row._data[column].values.items()}
