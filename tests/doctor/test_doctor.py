"""The doctor on machines that are told what they are, and once on this one."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.doctor.machines import GIB, Told, named
from wolke.cli.setup import prepare
from wolke.core.config import Config
from wolke.doctor.examine import Asked, as_json, examine, status, table
from wolke.doctor.finding import Finding, State
from wolke.doctor.machine import Machine, Space
from wolke.doctor.settings import certificate, database

OK, DEGRADED, MISSING = State.OK, State.DEGRADED, State.MISSING


def found(what: str, **told: Any) -> Finding:
    """What the doctor says about one thing on a machine that differs from a good one in ``told``."""
    return named(examine(Told(**told), Asked()), what)


def test_a_good_machine_lacks_nothing():
    findings = list(examine(Told(), Asked()))
    assert {finding.state for finding in findings} == {OK}
    assert status(findings) == 0


@pytest.mark.parametrize(
    ("what", "told", "state", "reason", "cure"),
    [
        ("KVM", {"kvm": "/dev/kvm does not exist"}, DEGRADED, "/dev/kvm does not exist", "emulated"),
        ("processor", {"files": {"/proc/cpuinfo": "flags : fpu sse2\n"}}, DEGRADED, "vmx or svm", "firmware"),
        ("openvswitch datapath", {"switch": False}, DEGRADED, "userspace", "modprobe openvswitch"),
        ("checksum offload", {"switch": False}, DEGRADED, "TCP would hang", "guests need nothing"),
        ("network namespaces", {"refused": {"unshare --net true": "not permitted"}}, MISSING, "not permitted", "CONFIG_NET_NS"),
        ("network namespaces", {"refused": {"unshare": "no"}, "root": False}, DEGRADED, "only root", "sudo"),
        ("veth links", {"refused": {"type veth": "Error: Unknown device type."}}, MISSING, "Unknown device type", "modprobe veth"),
        ("kernel bridges", {"refused": {"type bridge": "Error: Unknown device type."}}, DEGRADED, "Unknown", "userspace"),
        ("tap devices", {"refused": {"tuntap": "open: No such file or directory"}}, MISSING, "No such file", "/dev/net/tun"),
        ("cgroups", {"files": {"/sys/fs/cgroup/cgroup.controllers": "cpu\n"}}, DEGRADED, "memory, io", "not enforced"),
        ("device-mapper", {"files": {"/proc/misc": ""}, "refused": {"modinfo dm_mod": ""}}, DEGRADED, "none", "LVM"),
        ("Open vSwitch", {"versions": {"ovs-vswitchd": ""}}, MISSING, "not installed", "openvswitch-switch"),
        ("Open vSwitch", {"versions": {"ovs-vswitchd": "(Open vSwitch) 2.17.9"}}, DEGRADED, "2.17.9; at least 3.1", "newer"),
        ("OVN central", {"versions": {"ovn-northd": ""}}, MISSING, "not installed", "ovn-central"),
        ("OVN host", {"versions": {"ovn-controller": "ovn-controller 22.09.0"}}, DEGRADED, "22.9.0", "newer"),
        ("libvirt", {"refused": {"libvirtd --version": "error while loading shared libraries"}}, MISSING, "shared libraries", "reinstall"),
        ("QEMU", {"versions": {"qemu-system-x86_64": "QEMU emulator version 6.2.0"}}, DEGRADED, "6.2.0", "newer"),
        ("libvirt for Python", {"bindings": None}, MISSING, "bindings are missing", "python3-libvirt"),
        ("Python packages", {"lacking": ["msgspec", "ovs"]}, MISSING, "msgspec, ovs", "requirements.lock"),
        ("memory", {"files": {"/proc/meminfo": "MemTotal: 524288 kB\nMemAvailable: 9 kB\n"}}, MISSING, "0.5 GiB", "1 GiB"),
        ("memory", {"files": {"/proc/meminfo": "MemTotal: 2097152 kB\nMemAvailable: 9 kB\n"}}, DEGRADED, "2.0 GiB", "tiny"),
        ("disk space", {"free": Space(GIB // 2, 0, 0)}, MISSING, "0.5 GiB free", "room"),
        ("disk space", {"free": Space(5 * GIB, 0, 0)}, DEGRADED, "5.0 GiB free", "images"),
        ("inodes", {"free": Space(50 * GIB, 100_000, 12)}, DEGRADED, "12 free", "larger"),
        ("state directory", {"files": {"/var/lib/wolke": ""}, "may_write": False}, MISSING, "not be written", "owner"),
        ("clock", {"kept": False}, DEGRADED, "unsynchronised", "chrony"),
        ("clock", {"written": 1_800_360_000.0}, MISSING, "100 h after now", "set the clock"),
        ("rights", {"root": False}, DEGRADED, "not root", "sudo"),
        ("PATH", {"folders": ["/usr/bin"]}, DEGRADED, "/usr/sbin", "export PATH"),
        ("port 8774/tcp", {"holders": {("tcp", 8774): "apache2 (pid 7)"}}, MISSING, "apache2 (pid 7)", "'listen'"),
        ("port 6642/tcp", {"holders": {("tcp", 6642): "ovsdb-server (pid 7)"}}, OK, "southbound", ""),
        ("port 6081/udp", {"holders": {("udp", 6081): "the kernel"}}, OK, "Geneve", ""),
        ("port 6081/udp", {"holders": {("udp", 6081): "nc (pid 7)"}}, MISSING, "nc", "no other port"),
    ],
)  # fmt: skip
def test_each_lack_is_told_with_its_reason_and_cure(what, told, state, reason, cure):
    finding = found(what, **told)
    assert finding.state is state, finding
    assert reason in finding.reason
    assert cure in finding.cure
    assert bool(finding.cure) == (state is not OK)


def test_files_that_are_optional_only_degrade():
    machine = Told()
    for file in [file for file in machine.files if file.startswith("/usr/share")]:
        del machine.files[file]
    findings = list(examine(machine, Asked()))
    assert {named(findings, what).state for what in ("UEFI firmware", "noVNC")} == {DEGRADED}
    assert status(findings) == 0


def test_a_check_that_breaks_is_a_line_and_the_others_go_on():
    class Broken(Told):
        def why_no_kvm(self) -> str:
            raise ModuleNotFoundError("No module named 'pyroute2'")

        def space(self, path: str) -> Space:
            raise RuntimeError("statvfs went mad")

    findings = list(examine(Broken(), Asked()))
    assert "pyroute2" in named(findings, "KVM").reason
    assert "requirements.lock" in named(findings, "KVM").cure
    assert "RuntimeError: statvfs went mad" in named(findings, "disk space").reason
    assert named(findings, "noVNC").state is OK
    assert status(findings) == 1


def test_table_and_object_say_the_same():
    findings = list(examine(Told(lacking=["msgspec"], switch=False), Asked()))
    shown, told = table(findings), json.loads(as_json(findings))
    assert told["works"] is False
    for one in told["findings"]:
        [line] = [line for line in shown.splitlines() if line.startswith(f"{one['what']}  ")] or [None]
        assert line is None or one["state"] in line
    assert shown.splitlines()[-1].endswith("2 degraded, 1 missing")


# A cloud's own files ----------------------------------------------------------------------------------------------
class Looking(Told):
    """A good machine with this machine's files."""

    exists, text, space = Machine.exists, Machine.text, Machine.space


@pytest.fixture
def settings(tmp_path: Path, state: Path, database_url: str) -> Path:
    file = tmp_path / "wolke.toml"
    file.write_text(f'state = "{state}"\ndatabase = "{database_url}"\n')
    return file


def of_cloud(settings: Path, what: str) -> Finding:
    return named(examine(Looking(), Asked(config=settings)), what)


def test_settings_that_cannot_be_read_are_told(tmp_path):
    file = tmp_path / "wolke.toml"
    assert "No such file" in of_cloud(file, "settings").reason
    file.write_text('state = "/x"\ncolour = "red"\n')
    finding = of_cloud(file, "settings")
    assert (finding.state, "colour" in finding.reason) == (MISSING, True)
    file.write_text("state = ")
    assert of_cloud(file, "settings").state is MISSING


def test_ports_are_those_of_the_settings(tmp_path, state):
    file = tmp_path / "wolke.toml"
    file.write_text(f'state = "{state}"\nlisten = "127.0.0.1:9001"\n')
    findings = list(examine(Looking(holders={("tcp", 9001): "nginx (pid 3)"}), Asked(config=file)))
    assert named(findings, "port 9001/tcp").state is MISSING


def test_a_database_that_is_not_there_is_not_made(settings, state, database_url):
    if database_url:
        pytest.skip("a file is SQLite's")
    finding = of_cloud(settings, "database")
    assert (finding.state, "wolke init" in finding.cure) == (DEGRADED, True)
    assert not list(state.iterdir())


def test_a_cloud_that_is_ready_is_found_so_and_left_as_it_was(settings, state, database_url):
    prepare(Config(state=str(state), database=database_url))
    before = {(path, path.stat().st_mtime_ns) for path in state.rglob("*")}
    findings = list(examine(Looking(), Asked(config=settings)))
    names = ("settings", "policy.yaml", "database", "schema", "hosts' authority")
    assert {named(findings, what).state for what in names} == {OK}, [f for f in findings if f.state is not OK]
    assert {(path, path.stat().st_mtime_ns) for path in state.rglob("*")} == before


def test_the_end_of_the_authority_is_told_in_time(settings, state, database_url):
    config = Config(state=str(state), database=database_url)
    prepare(config)
    machine = Looking()
    machine.time += 20 * 365 * 86400
    finding = named(database(machine, config), "hosts' authority")
    assert (finding.state, "ended on" in finding.reason) == (MISSING, True)


def test_a_database_of_another_step_is_told(settings, state, database_url):
    if database_url:
        pytest.skip("one database is enough here")
    prepare(Config(state=str(state)))
    with sqlite3.connect(state / "wolke.db") as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("DELETE FROM alembic_version")
        connection.execute("INSERT INTO alembic_version VALUES ('of_the_future')")
    finding = of_cloud(settings, "schema")
    assert finding.state is MISSING
    assert "of_the_future" in finding.reason


def test_a_database_server_that_is_away_is_told(tmp_path, state):
    file = tmp_path / "wolke.toml"
    file.write_text(f'state = "{state}"\ndatabase = "postgresql://nobody:secret@/none?host={tmp_path}"\n')
    finding = of_cloud(file, "database")
    assert finding.state is MISSING
    assert "secret" not in finding.reason


@pytest.mark.parametrize(
    ("text", "state_of_it", "reason"),
    [
        ("create_network: role:admin\n", OK, "policy.yaml"),
        ("create_netwrok: role:admin\n", DEGRADED, "create_netwrok"),
        ("create_network: role:admin or (\n", MISSING, "ends too early"),
        ("- a list\n", MISSING, "policy.yaml"),
        (None, MISSING, "not there"),
    ],
)
def test_policy_is_read_as_the_api_reads_it(settings, tmp_path, text, state_of_it, reason):
    policy = tmp_path / "policy.yaml"
    if text is not None:
        policy.write_text(text)
    settings.write_text(f'{settings.read_text()}policy = "{policy}"\n')
    finding = of_cloud(settings, "policy.yaml")
    assert finding.state is state_of_it, finding
    assert reason in finding.reason


def test_a_host_that_has_not_joined_and_one_with_a_broken_certificate(tmp_path):
    file = tmp_path / "agent.toml"
    file.write_text(f'host = "h7"\nstate = "{tmp_path}"\ncontrol = "https://c:1"\nlisten = "127.0.0.1:2"\n')
    assert "h7" in named(examine(Looking(), Asked(agent_config=file)), "host's certificate").cure
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "cert.pem").write_text("nonsense")
    assert named(examine(Looking(), Asked(agent_config=file)), "host's certificate").state is MISSING


def test_a_certificate_near_its_end_is_told(state, database_url):
    from wolke.core.pki import new_authority

    made = new_authority(1_800_000_000.0)
    days = 86400.0
    ends = made.certificate.not_valid_after_utc.timestamp()
    told = [certificate("it", made.pem, ends - left * days, 14, "renew").state for left in (15, 13, -1)]
    assert told == [OK, DEGRADED, MISSING]


# This machine -----------------------------------------------------------------------------------------------------
def test_who_holds_a_port_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"(pid {os.getpid()})" in Machine().holder("tcp", port)
    assert Machine().holder("tcp", port) == ""


def test_the_command_runs_here_and_leaves_nothing(tmp_path):
    def left() -> set[str]:
        return {str(path) for folder in ("/tmp", "/run/netns") for path in Path(folder).glob("wolke-kvm-*")}

    before = left()
    done = subprocess.run(
        [sys.executable, "-m", "wolke.cli.main", "doctor", "--json"], check=False, text=True, capture_output=True
    )
    told = json.loads(done.stdout)
    assert done.returncode == int(not told["works"]), done.stderr
    assert done.stderr == ""
    states = {one["what"]: one["state"] for one in told["findings"]}
    assert states["Python packages"] == "ok"
    assert {"KVM", "openvswitch datapath", "port 6081/udp", "clock"} <= states.keys()
    assert not [one for one in told["findings"] if "check itself broke" in one["reason"]]
    assert left() == before


def test_without_any_package_it_still_tells_what_is_missing():
    """``-S`` hides every installed package; the standard library and Wolke itself remain."""
    words = [sys.executable, "-S", "-m", "wolke.cli.main", "doctor", "--json"]
    done = subprocess.run(words, check=False, text=True, capture_output=True, cwd=Path(__file__).parents[2])
    assert done.stderr == ""
    findings = {one["what"]: one for one in json.loads(done.stdout)["findings"]}
    assert "msgspec" in findings["Python packages"]["reason"]
    assert "pyroute2" in findings["openvswitch datapath"]["reason"]
    assert done.returncode == 1
