"""The OpenFlow flows of the integration bridge: how many there are, which, and having ovn-controller write them anew.

ovn-controller compares what it wants with what it remembers to have written; it never looks at the bridge again. Whoever changes a flow by
hand is noticed by us alone: as long as ovn-controller has computed nothing, the flows must be those that they were.

Source: OpenFlow 1.0.0, section 5.3.5 (aggregate statistics); ovn-controller(8), ``inc-engine/show-stats``; ovs-vswitchd(8),
``bridge/reconnect``.
"""

from __future__ import annotations

import re
import socket
import struct
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import ovs.unixctl.client

COOKIE, GUARD_PRIORITY = "0x776f6c6b65", 60000  # of our own flows; ovn-controller leaves alone what it did not write
SECONDS = 5.0  # until a daemon must have answered
OPENFLOW_1_0, HELLO, ECHO_REQUEST, ECHO_REPLY, STATS_REQUEST, STATS_REPLY = 1, 0, 2, 3, 16, 17
AGGREGATE = 2
EVERY_FIELD_WILD = 0x3FFFFF
# What the switch itself learns: hairpin and affinity of load balancers
LEARNT = re.compile(r"(idle|hard)_timeout=")
VOLATILE = re.compile(r"(?:cookie=\S+, )?duration=[^,]+, |n_packets=\d+, |n_bytes=\d+, |(?:idle|hard)_age=\d+, ")


class Flows:
    """One bridge's flows, asked of the running daemons. Answers are None where a daemon does not answer."""

    def __init__(
        self, bridge: str = "br-int", ovs: Path = Path("/run/openvswitch"), ovn: Path = Path("/run/ovn")
    ) -> None:
        self.bridge, self.ovs, self.ovn = bridge, ovs, ovn

    def count(self) -> int | None:
        """How many there are: one small question and answer."""
        try:
            with socket.socket(socket.AF_UNIX) as asking:
                asking.settimeout(SECONDS)
                asking.connect(str(self.ovs / f"{self.bridge}.mgmt"))
                return counted(asking)
        except OSError:
            return None

    def lines(self) -> frozenset[str] | None:
        """All of them, without what counts packets and without those that the switch learns by itself."""
        words = ["ovs-ofctl", "--no-names", "dump-flows", f"unix:{self.ovs}/{self.bridge}.mgmt"]
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode:
            return None
        found = (line.strip() for line in done.stdout.splitlines() if " actions=" in line)
        return frozenset(VOLATILE.sub("", line) for line in found if not LEARNT.search(line))

    def activity(self) -> str | None:
        """Another text whenever ovn-controller has started, or computed flows."""
        answer = asked(self.ovn, "ovn-controller", "inc-engine/show-stats", "flow_output")
        return None if answer is None else f"{daemon(self.ovn, 'ovn-controller')} {answer}"

    def shut_routers(self, ports: Iterable[int]) -> bool:
        """Drop router advertisements that come in by these OpenFlow ports, and no others; at once or not at all."""
        lines = [f"delete cookie={COOKIE}/-1"]
        lines += [
            f"add table=0,cookie={COOKIE},priority={GUARD_PRIORITY},in_port={port},icmp6,icmp_type=134,actions=drop"
            for port in sorted(ports)
        ]
        words = ["ovs-ofctl", "--bundle", "add-flows", f"unix:{self.ovs}/{self.bridge}.mgmt", "-"]
        try:
            done = subprocess.run(
                words, input="\n".join(lines) + "\n", capture_output=True, text=True, check=False, timeout=30
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0

    def recompute(self) -> bool:
        """Have ovn-controller compute all flows anew; True when it has. The bridge is given the difference."""
        before = self._recomputed()
        if before is None or asked(self.ovn, "ovn-controller", "inc-engine/recompute") is None:
            return False
        until = time.monotonic() + SECONDS  # it may have to wait for the southbound database's answer first
        while (now := self._recomputed()) == before and time.monotonic() < until:
            time.sleep(0.02)
        return now not in (None, before)

    def _recomputed(self) -> str | None:
        """How often it has computed them all."""
        found = re.search(r"recompute:\s+(\d+)", self.activity() or "")
        return found and found[1]

    def reinstall(self) -> bool:
        """Have ovn-controller connect to the bridge again: it then replaces all flows by those that it wants, at once."""
        return asked(self.ovs, "ovs-vswitchd", "bridge/reconnect", self.bridge) is not None


def counted(asking: socket.socket) -> int:
    """Raises OSError where the answer is none."""
    asking.sendall(struct.pack("!BBHI", OPENFLOW_1_0, HELLO, 8, 1))
    match = struct.pack("!I36x", EVERY_FIELD_WILD)
    body = struct.pack("!HH", AGGREGATE, 0) + match + struct.pack("!BxH", 0xFF, 0xFFFF)
    asking.sendall(struct.pack("!BBHI", OPENFLOW_1_0, STATS_REQUEST, 8 + len(body), 2) + body)
    while True:
        _, kind, length, xid = struct.unpack("!BBHI", received(asking, 8))
        rest = received(asking, length - 8)
        if kind == STATS_REPLY and xid == 2:
            return int(struct.unpack_from("!HHQQI", rest)[4])
        if kind == ECHO_REQUEST:
            asking.sendall(struct.pack("!BBHI", OPENFLOW_1_0, ECHO_REPLY, 8 + len(rest), xid) + rest)
        elif kind != HELLO:
            raise OSError(f"message {kind} instead of an answer")


def received(asking: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = asking.recv(size - len(found))
        if not part:
            raise OSError("the bridge has closed the connection")
        found += part
    return found


def daemon(directory: Path, name: str) -> Path | None:
    """The control socket of a daemon that runs."""
    try:
        pid = int((directory / f"{name}.pid").read_text())
    except (OSError, ValueError):
        return None
    path = directory / f"{name}.{pid}.ctl"
    return path if path.exists() else None


def asked(directory: Path, name: str, command: str, *arguments: str) -> str | None:
    """What a daemon answers to a command (ovs-appctl(8)); None where it does not, or refuses."""
    path = daemon(directory, name)
    if path is None:
        return None
    error, client = ovs.unixctl.client.UnixctlClient.create(str(path))
    if error:
        return None
    try:
        error, refusal, answer = client.transact(command, list(arguments))
    finally:
        client.close()
    return None if error or refusal else str(answer)
