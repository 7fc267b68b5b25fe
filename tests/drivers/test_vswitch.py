"""The promises of ``VirtualSwitch``, kept by the fake and by ovs-vswitchd in a network namespace of its own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.drivers.ovsdb_server import OPEN_VSWITCH, OvsdbServer
from tests.waiting import wait_for
from wolke.drivers.fake.vswitch import VirtualSwitch as Fake
from wolke.drivers.hypervisor import DriverError, VirtualSwitch
from wolke.drivers.rows import Refused, Unavailable
from wolke.drivers.vswitch import VirtualSwitch as Real
from wolke.drivers.vswitch import kernel_datapath

DEVICES = {"tap1", "tap2"}


class Vswitchd:
    """ovs-vswitchd in its own network namespace, which goes when it ends."""

    def __init__(self, server: OvsdbServer) -> None:
        self.server = server
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        control = self.server.directory / "v"
        control.unlink(missing_ok=True)
        words = ["unshare", "--net", "ovs-vswitchd", self.server.remote, f"--unixctl={control}", "--no-chdir"]
        with (self.server.directory / "vswitchd.log").open("ab") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(control.exists)
        for device in DEVICES:
            enter = ["nsenter", "--net", "--target", str(self.process.pid)]
            subprocess.run([*enter, "ip", "tuntap", "add", device, "mode", "tap"], check=True)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OvsdbServer]:
    made = OvsdbServer(tmp_path, OPEN_VSWITCH / "vswitch.ovsschema")
    made.start()
    yield made
    made.kill()


@pytest.fixture
def vswitchd(server: OvsdbServer) -> Iterator[Vswitchd]:
    made = Vswitchd(server)
    made.start()
    yield made
    made.kill()


@pytest.fixture(params=["fake", "real"])
def switch(request: pytest.FixtureRequest) -> Iterator[VirtualSwitch]:
    if request.param == "fake":
        yield Fake(DEVICES)
        return
    request.getfixturevalue("vswitchd")
    made = Real(request.getfixturevalue("server").remote, patience=30, datapath="netdev")
    yield made
    made.close()


def configure(switch: VirtualSwitch, **changed: str | dict[str, str]) -> None:
    wanted = {"host": "host1", "ovn_remote": "tcp:127.0.0.1:6642", "encap_ip": "127.0.0.1", "bridge_mappings": {}}
    switch.configure(**{**wanted, **changed})  # type: ignore[arg-type]


def test_a_port_is_attached_and_taken_away(switch: VirtualSwitch) -> None:
    configure(switch)
    switch.add_port("br-int", "tap1", "port-1")
    switch.add_port("br-int", "tap1", "port-1")
    assert switch.ports() == {"tap1": "port-1"}
    switch.add_port("br-int", "tap1", "port-2")
    assert switch.ports() == {"tap1": "port-2"}
    switch.remove_port("tap1")
    switch.remove_port("tap1")
    assert switch.ports() == {}


def test_what_cannot_be_attached_is_refused_and_not_kept(switch: VirtualSwitch) -> None:
    configure(switch, bridge_mappings={"public": "br-ex"})
    with pytest.raises(Refused, match="no bridge"):
        switch.add_port("br-none", "tap1", "port-1")
    with pytest.raises(Refused, match="no name"):
        switch.add_port("br-int", "a-name-that-is-too-long", "port-1")
    with pytest.raises(DriverError, match="cannot attach tap9"):
        switch.add_port("br-int", "tap9", "port-1")
    switch.add_port("br-int", "tap1", "port-1")
    with pytest.raises(Refused, match="port of br-int"):
        switch.add_port("br-ex", "tap1", "port-1")
    assert switch.ports() == {"tap1": "port-1"}


def test_installed_is_what_ovn_controller_said_of_this_very_port(
    switch: VirtualSwitch, request: pytest.FixtureRequest
) -> None:
    configure(switch)
    switch.add_port("br-int", "tap1", "port-1")
    switch.add_port("br-int", "tap2", "port-2")
    assert switch.installed({"port-1", "port-2"}) == set()
    if isinstance(switch, Fake):
        switch.install("port-1")
    else:
        said = ["external_ids", "insert", ["map", [["ovn-installed", "true"]]]]
        where = [["name", "==", "tap1"]]
        request.getfixturevalue("server").transact(
            {"op": "mutate", "table": "Interface", "where": where, "mutations": [said]}
        )
    wait_for(lambda: switch.installed({"port-1", "port-2"}) == {"port-1"})
    assert switch.installed({"port-2"}) == set()
    switch.add_port("br-int", "tap1", "port-3")
    assert switch.installed({"port-1", "port-3"}) == set()


def test_versions_are_told(switch: VirtualSwitch) -> None:
    assert all(text.split(".")[0].isdigit() for text in switch.versions().values())
    assert set(switch.versions()) == {"openvswitch", "ovn"}


# The real one alone ----------------------------------------------------------


@pytest.fixture
def real(server: OvsdbServer, vswitchd: Vswitchd) -> Iterator[Real]:
    made = Real(server.remote, patience=30, datapath="netdev")
    yield made
    made.close()


def select(server: OvsdbServer, table: str, *columns: str) -> list[dict[str, object]]:
    answer = server.transact({"op": "select", "table": table, "where": [], "columns": list(columns)})
    rows: list[dict[str, object]] = answer[0]["rows"]
    return rows


def external_ids(server: OvsdbServer) -> dict[str, str]:
    [row] = select(server, "Open_vSwitch", "external_ids")
    return dict(row["external_ids"][1])  # type: ignore[index]


def test_a_configured_host_has_its_bridges_and_tells_ovn_who_it_is(server: OvsdbServer, real: Real) -> None:
    configure(real, bridge_mappings={"public": "br-ex", "lab": "br-lab"})
    bridges = {row["name"]: row for row in select(server, "Bridge", "name", "datapath_type", "fail_mode")}
    assert set(bridges) == {"br-int", "br-ex", "br-lab"}
    assert bridges["br-int"] == {"name": "br-int", "datapath_type": "netdev", "fail_mode": "secure"}
    ids = external_ids(server)
    assert (ids["system-id"], ids["ovn-bridge-mappings"]) == ("host1", "lab:br-lab,public:br-ex")
    assert (ids["ovn-encap-type"], ids["ovn-cms-options"]) == ("geneve", "enable-chassis-as-gw")


def test_configuring_again_changes_nothing_and_mends_what_was_changed(server: OvsdbServer, real: Real) -> None:
    configure(real, bridge_mappings={"public": "br-ex"})
    before = select(server, "Open_vSwitch", "next_cfg")
    configure(real, bridge_mappings={"public": "br-ex"})
    assert select(server, "Open_vSwitch", "next_cfg") == before
    foreign = ["external_ids", "insert", ["map", [["of-the-operator", "1"]]]]
    server.transact(
        {"op": "update", "table": "Bridge", "where": [["name", "==", "br-int"]], "row": {"fail_mode": ["set", []]}},
        {"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [foreign]},
    )
    wait_for(lambda: "of-the-operator" in external_ids(server))
    configure(real, encap_ip="127.0.0.2")
    assert ("br-int", "secure") in [(r["name"], r["fail_mode"]) for r in select(server, "Bridge", "name", "fail_mode")]
    ids = external_ids(server)
    assert (ids["ovn-encap-ip"], ids["of-the-operator"]) == ("127.0.0.2", "1")
    assert "ovn-bridge-mappings" not in ids


def test_the_switch_outlives_its_daemons(server: OvsdbServer, vswitchd: Vswitchd, real: Real) -> None:
    configure(real)
    real.add_port("br-int", "tap1", "port-1")
    server.kill()
    server.start()
    real.add_port("br-int", "tap2", "port-2")
    vswitchd.kill()
    vswitchd.start()
    real.remove_port("tap1")
    assert real.ports() == {"tap2": "port-2"}


def test_without_vswitchd_a_change_waits_for_it(server: OvsdbServer, vswitchd: Vswitchd) -> None:
    hasty = Real(server.remote, patience=0.3, datapath="netdev")
    try:
        wait_until_configured(hasty)
        vswitchd.kill()
        with pytest.raises(Unavailable, match="vswitchd"):
            hasty.add_port("br-int", "tap1", "port-1")
        with pytest.raises(Unavailable, match="vswitchd"):
            hasty.add_port("br-int", "tap1", "port-1")
        vswitchd.start()
        wait_for(lambda: try_add(hasty))
        assert hasty.ports() == {"tap1": "port-1"}
    finally:
        hasty.close()


def wait_until_configured(switch: Real) -> None:
    def done() -> bool:
        with suppress(Unavailable):
            configure(switch)
            return True
        return False

    wait_for(done)


def try_add(switch: Real) -> bool:
    with suppress(Unavailable):
        switch.add_port("br-int", "tap1", "port-1")
        return True
    return False


def test_without_a_database_the_answer_comes_in_time(tmp_path: Path) -> None:
    switch = Real(f"unix:{tmp_path}/nobody", patience=0.2, datapath="netdev")
    started = time.monotonic()
    with pytest.raises(Unavailable):
        switch.ports()
    with pytest.raises(Unavailable):
        switch.remove_port("tap1")
    switch.close()
    assert time.monotonic() - started < 10


def test_the_kernel_is_asked_for_its_datapath() -> None:
    assert kernel_datapath() in {"system", "netdev"}
