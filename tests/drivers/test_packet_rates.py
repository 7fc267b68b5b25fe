"""Packet rates on a real Open vSwitch without OVN: what a bridge is given, what is left alone, and what comes back."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.drivers.private_host import PrivateHost
from wolke.drivers.flows import Flows
from wolke.drivers.openflow import Meter
from wolke.drivers.packet_rates import FIRST_METER, Spot
from wolke.lab.waiting import wait_for

pytestmark = pytest.mark.real
SENDS, IS_SENT, TAGGED = Spot(2, 0, "egress"), Spot(2, 0, "ingress"), Spot(2, 100, "ingress")
# What ovn-controller writes for a card and for a trunk's subport behind it, and a meter of its own
LIKE_OVN = (
    "table=65,priority=100,reg15=0x2,metadata=0x7,actions=output:2",
    "table=65,priority=100,reg15=0x4,metadata=0x8,actions=mod_vlan_vid:100,output:2,strip_vlan",
    "table=65,priority=100,reg15=0x5,metadata=0x7,actions=output:3",
)


class Switch:
    def __init__(self, host: PrivateHost) -> None:
        self.host, self.flows = host, Flows(ovs=host.outside("/run/openvswitch"))
        host.start_switch()
        assert wait_for(lambda: self.flows.count() is not None, 30)

    def clear(self) -> None:
        """What ovn-controller does when it connects."""
        for command in ("del-flows", "del-meters"):
            self.ofctl(command, "br-int")
        for flow in LIKE_OVN:
            self.ofctl("add-flow", "br-int", flow)
        self.ofctl("add-meter", "br-int", "meter=1,pktps,band=type=drop,rate=500")

    def ofctl(self, *words: str) -> str:
        return self.host.run("ovs-ofctl", "-O", "OpenFlow15", *words)

    def meters(self) -> dict[int, tuple[int, int]]:
        told = re.findall(
            r"meter=(\d+) pktps.*\n.*rate=(\d+)(?: burst_size=(\d+))?", self.ofctl("dump-meters", "br-int")
        )
        return {int(id): (int(rate), int(burst or 0)) for id, rate, burst in told}


@pytest.fixture(scope="module")
def running() -> Iterator[Switch]:
    host = PrivateHost()
    try:
        yield Switch(host)
    finally:
        host.close()


@pytest.fixture
def switch(running: Switch) -> Switch:
    running.clear()
    running.flows = Flows(ovs=running.flows.ovs)
    return running


def test_limits_are_flows_and_meters_and_go_again(switch: Switch) -> None:
    flows = switch.flows
    assert flows.own() == 0 and flows.count() == 3
    assert flows.limit_packets({SENDS: Meter(1000, 500), IS_SENT: Meter(2000, 0), TAGGED: Meter(3000, 1)}) == 5
    assert switch.meters() == {
        1: (500, 0),
        FIRST_METER: (1000, 500),
        FIRST_METER + 1: (2000, 0),
        FIRST_METER + 2: (3000, 1),
    }
    assert flows.own() == 5 and flows.count() == 8
    assert flows.shut_routers({2, 3}) and flows.own() == 7
    assert flows.limit_packets({TAGGED: Meter(3000, 1)}) == 2
    assert switch.meters() == {1: (500, 0), FIRST_METER + 2: (3000, 1)} and flows.own() == 4
    assert flows.limit_packets({}) == 0 and flows.shut_routers(set())
    assert switch.meters() == {1: (500, 0)} and flows.count() == 3


def test_a_card_that_ovn_does_not_know_yet_is_limited_when_it_does(switch: Switch) -> None:
    strange = Spot(9, 0, "ingress")
    assert switch.flows.limit_packets({strange: Meter(1000, 0)}) == 0
    switch.ofctl("add-flow", "br-int", "table=65,priority=100,reg15=0x9,metadata=0x7,actions=output:9")
    assert switch.flows.limit_packets({strange: Meter(1000, 0)}) == 2


def test_what_is_right_goes_on_counting(switch: Switch) -> None:
    wanted = {SENDS: Meter(1000, 500), IS_SENT: Meter(2000, 0)}
    switch.flows.limit_packets(wanted)

    def ages() -> list[str]:
        return re.findall(r"cookie=0x776f6c6b66, duration=([\d.]+)s.*?actions", switch.ofctl("dump-flows", "br-int"))

    before = min(map(float, ages()))
    assert wait_for(lambda: min(map(float, ages())) > before, 10)
    older = min(map(float, ages()))
    assert switch.flows.limit_packets(wanted) == 3
    assert min(map(float, ages())) >= older, "they were not written again"
    assert switch.flows.limit_packets({**wanted, SENDS: Meter(1500, 500)}) == 3
    assert switch.meters()[FIRST_METER] == (1500, 500) and min(map(float, ages())) >= older


def test_they_come_back_when_the_bridge_was_cleared_or_its_keys_are_others(switch: Switch) -> None:
    wanted = {SENDS: Meter(1000, 500), IS_SENT: Meter(2000, 0)}
    switch.flows.limit_packets(wanted)
    switch.clear()
    assert switch.flows.own() == 0 and switch.flows.limit_packets(wanted) == 3
    assert switch.flows.own() == 3 and len(switch.meters()) == 3
    switch.ofctl("del-flows", "--strict", "br-int", "table=65,priority=100,reg15=0x2,metadata=0x7")
    switch.ofctl("add-flow", "br-int", "table=65,priority=100,reg15=0xa,metadata=0xb,actions=output:2")
    assert switch.flows.limit_packets(wanted) == 3
    lines = switch.flows.lines()
    assert lines is not None
    assert (
        len([line for line in lines if "reg15=0xa,metadata=0xb" in line.replace("tun_id=0/0x8000000000000000,", "")])
        >= 3
    )
    switch.ofctl("del-meters", "br-int")
    assert switch.flows.own() == 1, "flows go with the meters that they use"
    assert switch.flows.limit_packets(wanted) == 3 and switch.flows.own() == 3


def test_a_former_agent_s_limits_are_taken_over(switch: Switch) -> None:
    switch.flows.limit_packets({SENDS: Meter(1000, 500), IS_SENT: Meter(2000, 0)})
    after = Flows(ovs=switch.flows.ovs)
    assert after.limit_packets({IS_SENT: Meter(4000, 0)}) == 2
    assert switch.meters() == {1: (500, 0), FIRST_METER: (4000, 0)}


def test_no_bridge_is_no_answer(switch: Switch) -> None:
    nothing = Flows("br-none", ovs=switch.flows.ovs)
    assert nothing.count() is nothing.own() is None and nothing.limit_packets({SENDS: Meter(1, 0)}) is None
