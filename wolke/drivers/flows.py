"""The OpenFlow flows of the integration bridge: how many there are, which, and having ovn-controller write them anew.

ovn-controller compares what it wants with what it remembers to have written; it never looks at the bridge again. Whoever changes a flow by
hand is noticed by us alone: as long as ovn-controller has computed nothing, the flows must be those that they were.

Source: ovn-controller(8), ``inc-engine/show-stats``; ovs-vswitchd(8), ``bridge/reconnect``.
"""

from __future__ import annotations

import logging
import re
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import ovs.unixctl.client

from wolke.drivers import packet_rates
from wolke.drivers.openflow import Conversation, Meter
from wolke.drivers.packet_rates import FIRST_METER, INGRESS, Out, Spot

# Of our own flows; ovn-controller leaves alone what it did not write until it connects anew, and then begins with an empty bridge
COOKIE, GUARD_PRIORITY = "0x776f6c6b65", 60000
OWN, OWN_MASK = 0x776F6C6B64, 2**64 - 4  # both kinds of them
SECONDS = 5.0  # until a daemon must have answered
# What the switch itself learns: hairpin and affinity of load balancers
LEARNT = re.compile(r"(idle|hard)_timeout=")
VOLATILE = re.compile(r"(?:cookie=\S+, )?duration=[^,]+, |n_packets=\d+, |n_bytes=\d+, |(?:idle|hard)_age=\d+, ")

log = logging.getLogger(__name__)


class Flows:
    """One bridge's flows, asked of the running daemons. Answers are None where a daemon does not answer."""

    def __init__(
        self, bridge: str = "br-int", ovs: Path = Path("/run/openvswitch"), ovn: Path = Path("/run/ovn")
    ) -> None:
        self.bridge, self.ovs, self.ovn = bridge, ovs, ovn
        self.socket = ovs / f"{bridge}.mgmt"
        self.meters: dict[Spot, int] = {}
        self.limiting: list[str] | None = None  # flows, as they were written; None: nobody knows what is there

    def count(self) -> int | None:
        """How many there are: one small question and answer."""
        return self._counted(0, 0)

    def own(self) -> int | None:
        """How many of them are ours."""
        return self._counted(OWN, OWN_MASK)

    def _counted(self, cookie: int, mask: int) -> int | None:
        try:
            with Conversation(self.socket, SECONDS) as talk:
                return talk.count(cookie, mask)
        except OSError:
            return None

    def lines(self) -> frozenset[str] | None:
        """All of them, without what counts packets and without those that the switch learns by itself."""
        found = self._dumped()
        return None if found is None else frozenset(VOLATILE.sub("", line) for line in found if not LEARNT.search(line))

    def _dumped(self, *match: str) -> list[str] | None:
        words = ["ovs-ofctl", "--no-names", "dump-flows", f"unix:{self.socket}", *match]
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode:
            return None
        return [line.strip() for line in done.stdout.splitlines() if " actions=" in line]

    def activity(self) -> str | None:
        """Another text whenever ovn-controller has started, or computed flows."""
        answer = asked(self.ovn, "ovn-controller", "inc-engine/show-stats", "flow_output")
        return None if answer is None else f"{daemon(self.ovn, 'ovn-controller')} {answer}"

    def shut_routers(self, ports: Iterable[int]) -> bool:
        """Drop router advertisements that come in by these OpenFlow ports, and no others; at once or not at all."""
        return self._replaced(
            COOKIE,
            [
                f"table=0,cookie={COOKIE},priority={GUARD_PRIORITY},in_port={port},icmp6,icmp_type=134,actions=drop"
                for port in sorted(ports)
            ],
        )

    def _replaced(self, cookie: str, flows: list[str]) -> bool:
        """Have these flows instead of those with the cookie, all at once."""
        lines = [f"delete cookie={cookie}/-1", *(f"add {flow}" for flow in flows)]
        words = ["ovs-ofctl", "-O", "OpenFlow15", "--bundle", "add-flows", f"unix:{self.socket}", "-"]
        try:
            done = subprocess.run(
                words, input="\n".join(lines) + "\n", capture_output=True, text=True, check=False, timeout=30
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0

    def limit_packets(self, limits: Mapping[Spot, Meter]) -> int | None:
        """Hold devices to these packet rates, and no others; how many flows that takes, None where it failed.

        A spot that OVN hands no packets to yet is left out. A meter that is as it should be goes on counting, and where nothing has changed
        nothing is written.
        """
        ways = self._outs({spot.port for spot in limits if spot.direction == INGRESS})
        if ways is None:
            return None
        placed = [spot for spot in limits if spot.direction != INGRESS or (spot.port, spot.tag) in ways]
        self.meters = packet_rates.numbered(placed, self.meters)
        wanted = {self.meters[spot]: limits[spot] for spot in placed}
        flows = packet_rates.flows(self.meters, ways)
        try:
            with Conversation(self.socket, SECONDS) as talk:
                found = {id: meter for id, meter in talk.meters().items() if id >= FIRST_METER}
                for id, meter in wanted.items():
                    if found.get(id) != meter:
                        talk.set_meter(id, meter, new=id not in found)
                talk.barrier()
                if flows != self.limiting or talk.count(packet_rates.COOKIE, 2**64 - 1) != len(flows):
                    self.limiting = None
                    if not self._replaced(f"{packet_rates.COOKIE:#x}", flows):
                        return None
                    self.limiting = flows
                for id in found.keys() - wanted.keys():
                    talk.delete_meter(id)
                talk.barrier()
        except OSError as error:
            log.warning("packet rates: %s", error)
            return None
        return len(flows)

    def _outs(self, ports: set[int]) -> dict[tuple[int, int], Out] | None:
        """How OVN hands packets to these ports. It has one table for that: the first port that it knows tells which."""
        for port in sorted(ports):
            lines = self._dumped(f"out_port={port}")
            if lines is None:
                return None
            if tables := {out.table for out in packet_rates.outs(lines).values()}:
                lines = self._dumped(f"table={min(tables)}")
                return None if lines is None else packet_rates.outs(lines)
        return {}

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
