"""What ``Southbound`` reads of hosts, and how it forgets one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drivers.ovsdb_server import OVN, OvsdbServer
from tests.waiting import wait_for
from wolke.drivers.ovn import Southbound


def database(directory: Path, schema: str) -> Iterator[OvsdbServer]:
    directory.mkdir()
    made = OvsdbServer(directory, OVN / schema)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OvsdbServer]:
    yield from database(tmp_path / "s", "ovn-sb.ovsschema")


@pytest.fixture
def south(server: OvsdbServer) -> Iterator[Southbound]:
    made = Southbound(server.remote, patience=20)
    made.start()
    yield made
    made.close()


def add_host(server: OvsdbServer, name: str, *, ip: str = "127.0.0.1", config: dict[str, str] | None = None) -> None:
    server.transact(
        {"op": "insert", "table": "Encap", "uuid-name": "e", "row": {"type": "geneve", "ip": ip, "chassis_name": name}},
        {"op": "insert", "table": "Chassis", "uuid-name": "c", "row": {"name": name, "hostname": f"{name}.example",
            "encaps": ["named-uuid", "e"], "other_config": ["map", list((config or {}).items())]}},
        {"op": "insert", "table": "Chassis_Private", "row": {"name": name, "chassis": ["named-uuid", "c"],
            "nb_cfg_timestamp": 1_800_000_000_500}},
    )  # fmt: skip


def test_hosts_are_listed_with_what_they_told(server: OvsdbServer, south: Southbound) -> None:
    gateway = {"ovn-cms-options": "a,enable-chassis-as-gw", "ovn-bridge-mappings": "public:br-ex,lab:br-lab"}
    add_host(server, "host1", config=gateway)
    wait_for(lambda: len(south.chassis()) == 1)
    [host] = south.chassis()
    assert (host.name, host.hostname, host.encap_ip) == ("host1", "host1.example", "127.0.0.1")
    assert host.bridge_mappings == {"public": "br-ex", "lab": "br-lab"}
    assert host.is_gateway
    assert host.nb_cfg_at == 1_800_000_000.5


def test_a_host_that_is_gone_is_forgotten_and_no_other(server: OvsdbServer, south: Southbound) -> None:
    add_host(server, "host1")
    add_host(server, "host2", ip="127.0.0.2")
    wait_for(lambda: len(south.chassis()) == 2)
    assert south.remove("host1")
    assert [host.name for host in south.chassis()] == ["host2"]
    left = server.transact({"op": "select", "table": "Chassis_Private", "where": [], "columns": ["name"]})
    assert left[0]["rows"] == [{"name": "host2"}]
    encaps = server.transact({"op": "select", "table": "Encap", "where": [], "columns": ["chassis_name"]})
    assert encaps[0]["rows"] == [{"chassis_name": "host2"}]
    assert not south.remove("host1")


def test_logical_flows_are_looked_up_by_priority(server: OvsdbServer, south: Southbound) -> None:
    for priority, match in ((9999, "a"), (10000, "b"), (10599, "c"), (10600, "d"), (20000, "e")):
        row = {"pipeline": "ingress", "table_id": 13, "priority": priority, "match": match, "actions": "next;"}
        server.transact({"op": "insert", "table": "Logical_Flow", "row": row})
    found = south.flows((range(10000, 10600), range(20000, 20001)))
    assert sorted(found.values()) == ["b", "c", "e"]
    asked = {"op": "select", "table": "Logical_Flow", "where": [["match", "==", "b"]], "columns": ["_uuid"]}
    [uuid] = [row["_uuid"][1] for row in server.transact(asked)[0]["rows"]]
    assert found[f"{int(uuid[:8], 16):x}"] == "b"
