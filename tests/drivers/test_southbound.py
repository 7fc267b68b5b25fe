"""What ``Southbound`` reads: hosts, whether they are alive, where ports are; with a real northd for the way between both."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drivers.ovsdb_server import OVN, OvsdbServer
from tests.waiting import wait_for
from wolke.drivers.ovn import Binding, Northbound, Southbound
from wolke.drivers.rows import Insert, Row


def database(directory: Path, schema: str) -> Iterator[OvsdbServer]:
    directory.mkdir()
    made = OvsdbServer(directory, OVN / schema)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def north_server(tmp_path: Path) -> Iterator[OvsdbServer]:
    yield from database(tmp_path / "n", "ovn-nb.ovsschema")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OvsdbServer]:
    yield from database(tmp_path / "s", "ovn-sb.ovsschema")


@pytest.fixture
def south(server: OvsdbServer) -> Iterator[Southbound]:
    made = Southbound(server.remote, patience=20)
    made.start()
    yield made
    made.close()


@pytest.fixture
def northd(north_server: OvsdbServer, server: OvsdbServer) -> Iterator[None]:
    control = server.directory / "northd"
    words = ["ovn-northd", f"--ovnnb-db={north_server.remote}", f"--ovnsb-db={server.remote}", f"--unixctl={control}"]
    with (server.directory / "northd.log").open("ab") as log:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    yield
    process.kill()
    process.wait()


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


def test_a_host_that_does_not_follow_is_not_alive(server: OvsdbServer, south: Southbound) -> None:
    server.transact({"op": "insert", "table": "SB_Global", "row": {"nb_cfg": 0}})
    add_host(server, "host1")
    add_host(server, "host2", ip="127.0.0.2")
    wait_for(lambda: south.alive(0) == {"host1", "host2"})
    server.transact({"op": "update", "table": "SB_Global", "where": [], "row": {"nb_cfg": 5}})
    wait_for(lambda: south.alive(0) == set())
    assert south.alive(3600) == {"host1", "host2"}
    mine = [["name", "==", "host2"]]
    server.transact({"op": "update", "table": "Chassis_Private", "where": mine, "row": {"nb_cfg": 5}})
    wait_for(lambda: south.alive(0) == {"host2"})


def test_a_host_is_given_some_time_but_not_anew_with_each_step(server: OvsdbServer) -> None:
    now = [1000.0]
    south = Southbound(server.remote, patience=20, clock=lambda: now[0])
    south.start()
    try:
        server.transact({"op": "insert", "table": "SB_Global", "row": {"nb_cfg": 1}})
        add_host(server, "host1")
        wait_for(lambda: south.alive(60) == {"host1"} and south.alive(0) == set())
        now[0] += 50
        server.transact({"op": "update", "table": "SB_Global", "where": [], "row": {"nb_cfg": 2}})
        add_host(server, "another", ip="127.0.0.2")
        wait_for(lambda: "another" in south.alive(60))
        assert south.alive(60) == {"host1", "another"}
        now[0] += 20
        assert south.alive(60) == {"another"}
    finally:
        south.close()


@pytest.mark.usefixtures("northd")
def test_a_port_is_bound_where_a_host_takes_it(
    server: OvsdbServer, south: Southbound, north_server: OvsdbServer
) -> None:
    north = Northbound(north_server.remote, patience=20)
    north.start()
    heard: list[tuple[str, bool]] = []
    north.watch(lambda *news: heard.append(news))
    try:
        listed = frozenset({("Logical_Switch", "net", "ports")})
        north.apply(
            [
                Insert(Row("Logical_Switch", "net", "network/net", {"name": "net"})),
                Insert(Row("Logical_Switch_Port", "port", "port/port", {"addresses": frozenset({"unknown"})}, listed)),
            ]
        )
        assert north.sync_southbound(20)
        assert north.sync(20)
        wait_for(lambda: south.binding("port") == Binding("", False))
        assert south.binding("other") is None
        add_host(server, "host1")
        where = [["logical_port", "==", "port"]]
        [chosen] = server.transact({"op": "select", "table": "Chassis", "where": [], "columns": ["_uuid"]})[0]["rows"]
        server.transact(
            {"op": "update", "table": "Port_Binding", "where": where, "row": {"chassis": chosen["_uuid"], "up": True}}
        )
        wait_for(lambda: south.binding("port") == Binding("host1", True))
        wait_for(lambda: ("port", True) in heard)
    finally:
        north.close()
