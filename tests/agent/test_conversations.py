"""Conversations that lost their ground are forgotten by the host, several times, and once each."""

from __future__ import annotations

from wolke.agent.conversations import ANNOUNCED, MOMENTS, Conversations
from wolke.drivers.conntrack import Conntrack
from wolke.drivers.rows import Unavailable
from wolke.wire.wanted import Ended, Wanted

WHOLE = Ended(id="1", address="198.51.100.7")
PART = Ended(id="2", address="198.51.100.8", protocol="tcp", first=80, last=81)
DUMP = """\
tcp,orig=(src=198.51.100.1,dst=198.51.100.8,sport=4711,dport=80),reply=(src=10.0.0.5,dst=198.51.100.1,sport=8080,dport=4711),zone=3,protoinfo=(state=ESTABLISHED)
tcp,orig=(src=198.51.100.1,dst=198.51.100.8,sport=4712,dport=82),reply=(src=10.0.0.5,dst=198.51.100.1,sport=82,dport=4712),zone=3
udp,orig=(src=198.51.100.1,dst=198.51.100.8,sport=4711,dport=80),reply=(src=10.0.0.5,dst=198.51.100.1,sport=80,dport=4711),zone=3
tcp,orig=(src=198.51.100.8,dst=198.51.100.1,sport=80,dport=80),reply=(src=198.51.100.1,dst=198.51.100.8,sport=80,dport=80)
"""


class Asked:
    """ovs-vswitchd, as far as it is asked here."""

    def __init__(self) -> None:
        self.flushed: list[tuple[str, ...]] = []
        self.running = True

    def __call__(self, command: str, *words: str) -> str | None:
        if not self.running:
            return None
        if command == "dpctl/flush-conntrack":
            self.flushed.append(words)
        return DUMP


def slice_of(*ended: Ended) -> Wanted:
    return Wanted(revision=1, host="h1", ovn_remote="", ended=ended)


def test_a_whole_address_and_some_ports() -> None:
    asked = Asked()
    tracker = Conntrack(ask=asked)
    tracker.forget(WHOLE.address)
    assert asked.flushed == [("ct_nw_dst=198.51.100.7",), ("", "ct_nw_dst=198.51.100.7")]
    asked.flushed.clear()
    tracker.forget(PART.address, PART.protocol, PART.first, PART.last)
    ends = "ct_nw_src=198.51.100.1,ct_nw_dst=198.51.100.8,ct_nw_proto=6,ct_tp_src=4711,ct_tp_dst=80"
    assert asked.flushed == [("zone=3", ends)]


def test_each_is_forgotten_at_once_and_again_while_flows_follow() -> None:
    now, asked = 100.0, Asked()
    conversations = Conversations(Conntrack(ask=asked), clock=lambda: now)
    conversations.apply(slice_of(WHOLE))
    assert conversations.work() and len(asked.flushed) == 2 and not conversations.work()
    conversations.apply(slice_of(WHOLE))  # a later slice still names it
    assert not conversations.work()
    for count, moment in enumerate(MOMENTS[1:], start=2):
        now = 100.0 + moment
        assert conversations.work() and len(asked.flushed) == 2 * count
    now += 1000
    assert not conversations.work()
    conversations.apply(slice_of())
    conversations.apply(slice_of(PART))
    assert conversations.work() and asked.flushed[-1][0] == "zone=3"


def test_a_switch_that_does_not_answer_is_told() -> None:
    now, asked = 0.0, Asked()
    conversations = Conversations(Conntrack(ask=asked), clock=lambda: now)
    asked.running = False
    conversations.apply(slice_of(PART))
    conversations.work()
    assert "does not answer" in conversations.errors()["conntrack"]
    asked.running, now = True, MOMENTS[1]
    conversations.work()
    assert conversations.errors() == {} and issubclass(Unavailable, Exception)


def test_what_has_come_to_this_host_is_announced_from_here() -> None:
    now, told = 0.0, list[tuple[object, ...]]()

    class Told:
        def announce(self, *words: object) -> None:
            told.append(words)

    conversations = Conversations(Conntrack(ask=Asked()), Told(), lambda: {"mine"}, clock=lambda: now)
    place = {"mac": "fa:16:3e:00:00:01", "localnet": "provnet-x", "vlan": 7}
    old = Ended(id="0", address="198.51.100.6", port_id="mine", **place)  # type: ignore[arg-type]
    conversations.apply(slice_of(old))
    mine = Ended(id="1", address="198.51.100.7", port_id="mine", **place)  # type: ignore[arg-type]
    others = Ended(id="2", address="198.51.100.8", port_id="others", **place)  # type: ignore[arg-type]
    conversations.apply(slice_of(old, mine, others))
    for moment in ANNOUNCED:
        now = moment
        conversations.work()
    assert told == [("198.51.100.7", "fa:16:3e:00:00:01", "provnet-x", 7)] * len(ANNOUNCED)
