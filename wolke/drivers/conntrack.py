"""Connection tracking of the host's Open vSwitch: forgetting conversations, so that their next packets are judged anew.

Source: ovs-vswitchd(8), ``dpctl/dump-conntrack`` and ``dpctl/flush-conntrack``; tuples may be partial since 3.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from wolke.drivers.flows import asked
from wolke.drivers.rows import Unavailable

NUMBERS = {"tcp": 6, "udp": 17}
ENTRY = re.compile(
    r"(?P<protocol>tcp|udp),orig=\(src=(?P<src>[^,]+),dst=(?P<dst>[^,]+),sport=(?P<sport>\d+),dport=(?P<dport>\d+)\)"
)
ZONE = re.compile(r"\bzone=(\d+)")


class Conntrack:
    """What the running ovs-vswitchd remembers of conversations."""

    def __init__(
        self, directory: Path = Path("/run/openvswitch"), *, ask: Callable[..., str | None] | None = None
    ) -> None:
        self.ask = ask or partial(asked, directory, "ovs-vswitchd")

    def forget(self, address: str, protocol: str = "", first: int = 0, last: int = 0) -> None:
        """Forget conversations that were begun to an address, or (without ``protocol``) that bear it on either end of their way.

        Parameters
        ----------
        first, last : ports of the address, with a protocol

        Raises
        ------
        Unavailable: ovs-vswitchd does not answer
        """
        if not protocol:
            for tuples in ((f"ct_nw_dst={address}",), ("", f"ct_nw_dst={address}")):
                self._flush(*tuples)
            return
        lines = self.ask("dpctl/dump-conntrack")
        if lines is None:
            raise Unavailable("ovs-vswitchd does not answer", hint="dpctl/dump-conntrack")
        for words in begun_to(lines, address, protocol, first, last):
            self._flush(*words)

    def _flush(self, *words: str) -> None:
        if self.ask("dpctl/flush-conntrack", *words) is None:
            raise Unavailable("ovs-vswitchd does not answer", hint=f"dpctl/flush-conntrack {' '.join(words)}")


def begun_to(lines: str, address: str, protocol: str, first: int, last: int) -> Iterator[tuple[str, str]]:
    """(zone, tuple) of the entries of a dump whose conversations were begun to one of these ports.

    >>> entry = "tcp,orig=(src=192.0.2.9,dst=192.0.2.1,sport=4711,dport=80),reply=(src=10.0.0.5,dst=192.0.2.9,sport=80,dport=4711),zone=3"
    >>> list(begun_to(entry, "192.0.2.1", "tcp", 80, 90))
    [('zone=3', 'ct_nw_src=192.0.2.9,ct_nw_dst=192.0.2.1,ct_nw_proto=6,ct_tp_src=4711,ct_tp_dst=80')]
    >>> list(begun_to(entry, "192.0.2.1", "tcp", 81, 90))
    []
    """
    for line in lines.splitlines():
        match = ENTRY.match(line)
        if (
            not match
            or match["dst"] != address
            or match["protocol"] != protocol
            or not first <= int(match["dport"]) <= last
        ):
            continue
        zone = ZONE.search(line)
        ends = f"ct_nw_src={match['src']},ct_nw_dst={match['dst']},ct_nw_proto={NUMBERS[protocol]}"
        yield f"zone={zone[1] if zone else 0}", f"{ends},ct_tp_src={match['sport']},ct_tp_dst={match['dport']}"
