"""What goes through the host's Open vSwitch: packets counted where addresses are translated or routed, and conversations under way.

Nothing is added to the switch for it: OVN's own flows count. A flow of a router's pipeline that takes a packet for an outer address
(``nw_dst=198.51.100.7 actions=ct(...,nat)``) has seen every packet to it; one that looks up the way to a routed prefix, every packet
to that. Several tables see the same packet, so of each address the table counts that has seen most.

Source: ovs-ofctl(8) ``dump-flows``; ovs-vswitchd(8) ``dpctl/dump-conntrack``; ovs-vswitchd.conf.db(5) Interface.statistics.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from wolke.drivers.flows import asked
from wolke.drivers.rows import Unavailable

SECONDS = 60
# Priorities of policies that are there to count: that let through, and that lead another way; no other flow has one of them
PLAIN, DETOURED = METERS = (range(12000, 12600), range(22000, 22200))
MOST_CONVERSATIONS = 200_000
NUMBERS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}
Count = tuple[int, int]  # packets, bytes

FLOW = re.compile(
    r"table=(?P<table>\d+), n_packets=(?P<packets>\d+), n_bytes=(?P<bytes>\d+),.*? priority=\d+,(?P<match>\S*) actions=(?P<actions>.*)"
)
MATCHED = re.compile(r"\b(?P<name>metadata|nw_dst|nw_src|ipv6_dst|ipv6_src)=(?P<value>[^, ]+)")
METER = re.compile(
    r"cookie=0x(?P<cookie>[0-9a-f]+), duration=(?P<age>[\d.]+)s, .*?n_packets=(?P<packets>[1-9]\d*), n_bytes=(?P<bytes>\d+),"
    r".*? priority=(?P<priority>\d+),"
)
NAT = re.compile(r"\bnat(?:\((?P<what>src|dst)=(?P<address>[0-9a-f.:]+)\)|\))")
ENDS = (
    r"src=(?P<{0}src>[^,]+),dst=(?P<{0}dst>[^,]+)"
    r"(?:,sport=(?P<{0}sport>\d+),dport=(?P<{0}dport>\d+)|,id=\d+,type=(?P<{0}type>\d+),code=(?P<{0}code>\d+))"
)
ENTRY = re.compile(rf"(?P<protocol>\w+),orig=\({ENDS.format('')}\),reply=\({ENDS.format('r')}\)")


class Traffic:
    """Asked of the running daemons. Raises Unavailable where one does not answer."""

    def __init__(self, bridge: str = "br-int", ovs: Path = Path("/run/openvswitch")) -> None:
        self.bridge, self.ovs = bridge, ovs

    def counters(self) -> str:
        """JSON: ``{"in": {address or prefix: [packets, bytes]}, "out": {address: ...}, "ports": {port: [in, ..., out, ...]}}``."""
        flows = self._flows()
        database = f"--db=unix:{self.ovs}/db.sock"
        words = ("ovs-vsctl", database, "--format=json", "--columns=external_ids,statistics", "list", "Interface")
        inward, outward = counted(flows.splitlines())
        return json.dumps({"in": inward, "out": outward, "ports": of_ports(json.loads(self._told(*words)))})

    def meters(self) -> str:
        """JSON: ``{cookie: [packets, bytes, born]}`` of flows that count, where they have counted; ``born`` on the host's own clock."""
        return json.dumps(metered(self._flows().splitlines(), time.monotonic()))

    def conversations(self) -> str:
        """JSON: a list of [protocol, source, destination, its ports, and the same of what comes back]."""
        lines = asked(self.ovs, "ovs-vswitchd", "dpctl/dump-conntrack")
        if lines is None:
            raise Unavailable("ovs-vswitchd does not answer")
        found: set[tuple[Any, ...]] = set()
        for one in conversations(lines.splitlines()):
            found.add(one)
            if len(found) >= MOST_CONVERSATIONS:
                break
        return json.dumps(sorted(found, key=str))

    def _flows(self) -> str:
        return self._told("ovs-ofctl", "--no-names", "dump-flows", f"unix:{self.ovs}/{self.bridge}.mgmt")

    def _told(self, *words: str) -> str:
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"{words[0]} does not answer") from error
        if done.returncode:
            raise Unavailable(f"{words[0]}: {done.stderr.strip()[:200]}")
        return done.stdout


def counted(lines: Iterable[str]) -> tuple[dict[str, Count], dict[str, Count]]:
    """Packets and bytes to outer addresses and routed prefixes, and from outer addresses."""
    inward: dict[str, dict[str, list[Count]]] = defaultdict(lambda: defaultdict(list))  # address -> table -> counts
    senders: dict[tuple[str, str], dict[str, list[Count]]] = defaultdict(lambda: defaultdict(list))
    known_as: dict[tuple[str, str], str] = {}  # (router, inner address or prefix) -> outer address
    for line in lines:
        flow = FLOW.search(line)
        if flow is None:
            continue
        match = {one["name"]: one["value"] for one in MATCHED.finditer(flow["match"])}
        count = (int(flow["packets"]), int(flow["bytes"]))
        nat = NAT.search(flow["actions"])
        to, by = match.get("nw_dst") or match.get("ipv6_dst"), match.get("nw_src") or match.get("ipv6_src")
        if nat and to:
            inward[to][flow["table"]].append(count)
        elif nat and by:
            place = (match.get("metadata", ""), by)
            senders[place][flow["table"]].append(count)
            if nat["what"] == "src":
                known_as[place] = nat["address"]
        elif to and "/" in to and "dec_ttl" in flow["actions"]:
            inward[to][flow["table"]].append(count)
    outward: dict[str, Count] = {}
    for place, tables in senders.items():
        if outer := known_as.get(place):
            before = outward.get(outer, (0, 0))
            outward[outer] = added([before, most(tables.values())])
    return {address: most(tables.values()) for address, tables in inward.items()}, outward


def metered(lines: Iterable[str], now: float) -> dict[str, tuple[int, int, float]]:
    """Packets, bytes and time of birth (seconds) of each logical flow that counts, by the cookie that its flows bear."""
    found: dict[str, tuple[int, int, float]] = {}
    for line in lines:
        flow = METER.search(line)
        if flow and any(int(flow["priority"]) in some for some in METERS):
            packets, size, born = found.get(flow["cookie"], (0, 0, now))
            born = min(born, round(now - float(flow["age"]), 1))
            found[flow["cookie"]] = (packets + int(flow["packets"]), size + int(flow["bytes"]), born)
    return found


def most(tables: Iterable[list[Count]]) -> Count:
    return max(added(counts) for counts in tables)


def added(counts: Iterable[Count]) -> Count:
    """
    >>> added([(1, 60), (2, 100)])
    (3, 160)
    """
    packets, size = zip(*counts, strict=True)
    return sum(packets), sum(size)


def of_ports(listed: Any) -> dict[str, list[int]]:
    """Logical port -> packets and bytes to the guest, packets and bytes from it."""
    found = {}
    for ids, statistics in listed["data"]:
        port = dict(ids[1]).get("iface-id")
        told = dict(statistics[1])
        if port:
            found[port] = [told.get(name, 0) for name in ("tx_packets", "tx_bytes", "rx_packets", "rx_bytes")]
    return found


def conversations(lines: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    """The entries of a dump, without their zones.

    >>> entry = "tcp,orig=(src=192.0.2.9,dst=192.0.2.1,sport=4711,dport=80),reply=(src=10.0.0.5,dst=192.0.2.9,sport=80,dport=4711),zone=3"
    >>> list(conversations([entry]))
    [(6, '192.0.2.9', '192.0.2.1', 4711, 80, '10.0.0.5', '192.0.2.9', 80, 4711)]
    """
    for line in lines:
        entry = ENTRY.match(line)
        if entry is None or entry["protocol"] not in NUMBERS:
            continue
        if entry["sport"]:
            ports, back = (entry["sport"], entry["dport"]), (entry["rsport"], entry["rdport"])
        else:  # source port is the code, destination port the type
            ports, back = (entry["code"], entry["type"]), (entry["rcode"], entry["rtype"])
        if None in back:
            continue
        yield (
            NUMBERS[entry["protocol"]], entry["src"], entry["dst"], *map(int, ports),
            entry["rsrc"], entry["rdst"], *map(int, back),
        )  # fmt: skip
