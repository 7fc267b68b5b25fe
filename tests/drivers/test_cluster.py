"""Northbound as a RAFT cluster of three: writes go to the leader, and on when it is lost."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drivers.ovsdb_server import OVN
from tests.waiting import wait_for
from wolke.drivers.ovn import Northbound
from wolke.drivers.rows import Insert, Row, plan


class Member:
    """One of the three servers."""

    def __init__(self, directory: Path, number: int) -> None:
        self.home = directory / str(number)
        self.home.mkdir()
        self.remote = f"unix:{self.home}/s"
        self.raft = f"unix:{self.home}/r"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    "ovsdb-server",
                    f"--remote=p{self.remote}",
                    f"--unixctl={self.home}/c",
                    "--no-chdir",
                    self.home / "db",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for(Path(self.home, "s").exists)

    def status(self) -> str:
        words = ["ovs-appctl", "-t", str(self.home / "c"), "cluster/status", "OVN_Northbound"]
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[Member]]:
    members = [Member(tmp_path, number) for number in range(3)]
    first, *others = members
    subprocess.run(
        ["ovsdb-tool", "create-cluster", first.home / "db", OVN / "ovn-nb.ovsschema", first.raft], check=True
    )
    first.start()
    wait_for(lambda: "Role: leader" in first.status())
    for member in others:
        words = ["ovsdb-tool", "join-cluster", member.home / "db", "OVN_Northbound", member.raft, first.raft]
        subprocess.run(words, check=True)
        member.start()
        wait_for(lambda member=member: "Status: cluster member" in member.status())
    yield members
    for member in members:
        member.kill()


@pytest.mark.slow
def test_the_leader_may_be_lost(cluster: list[Member]) -> None:
    north = Northbound(",".join(member.remote for member in cluster), patience=60)
    north.start()
    try:
        switch = Row("Logical_Switch", "net", "network/net", {"name": "net"})
        north.apply([Insert(switch)])
        leader = next(member for member in cluster if "Role: leader" in member.status())
        leader.kill()
        group = Row("Port_Group", "pg", "security_group/pg")
        north.apply([Insert(group)])
        assert plan([switch, group], north.rows("network/net") + north.rows("security_group/pg")) == []
    finally:
        north.close()
