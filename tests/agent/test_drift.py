"""Drift on a host: what somebody changes by hand in Open vSwitch is noticed, undone and told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.agent.hosts import Control, Host, agent_of, server
from wolke.agent.agent import Agent
from wolke.agent.drift import LINES_SECONDS
from wolke.agent.link import Dismissed
from wolke.agent.settling import CALM_SECONDS
from wolke.drivers.hypervisor import Wrong
from wolke.drivers.openflow import Meter
from wolke.drivers.packet_rates import Spot
from wolke.wire.wanted import PacketLimit

A, B, C = "table=0, priority=1 actions=drop", "table=8, priority=50 actions=next", "table=9, priority=50 actions=next"


class Bridge:
    """The integration bridge's flows and what ovn-controller would write."""

    def __init__(self) -> None:
        self.wanted = {A, B, C}
        self.there: set[str] | None = set(self.wanted)
        self.learnt = 0
        self.computed = 1
        self.asked = 0  # for all lines
        self.listens = True
        self.shut: set[int] = set()
        self.limits: dict[Spot, Meter] = {}
        self.counts = True  # has meters
        self.whole: list[int] = []  # computations after which everything was computed anew

    def count(self) -> int | None:
        return None if self.there is None else len(self.there) + self.learnt + len(self.shut) + len(self.limits)

    def own(self) -> int | None:
        return None if self.there is None else len(self.shut) + len(self.limits)

    def lines(self) -> frozenset[str] | None:
        self.asked += 1
        ours = {f"ours {one}" for one in (*self.shut, *self.limits)}
        return None if self.there is None else frozenset(self.there | ours)

    def activity(self) -> str | None:
        return f"computed {self.computed}"

    def compute(self, *wanted: str) -> None:
        self.computed, self.wanted, self.there = self.computed + 1, set(wanted), set(wanted)

    def recompute(self) -> bool:
        self.whole.append(self.computed)
        self.computed += 1
        return True

    def shut_routers(self, ports: Any) -> bool:
        self.shut = set(ports)
        return True

    def limit_packets(self, limits: Any) -> int | None:
        self.limits = dict(limits) if self.counts else {}
        return len(self.limits) if self.counts else None

    def clear(self) -> None:
        """ovn-controller connects anew: it keeps what it wants itself."""
        self.there, self.shut, self.limits = set(self.wanted), set(), {}

    def reinstall(self) -> bool:
        if self.listens:
            self.clear()
            self.computed += 1
        return self.listens


class Scene:
    def __init__(self, state: Path) -> None:
        self.host, self.control, self.bridge = Host(), Control(), Bridge()
        self.agent: Agent = agent_of(self.host, self.control, state)
        self.agent.drift.flows = self.bridge
        self.agent.settle()
        self.pass_time(CALM_SECONDS)
        self.pass_time(1)

    def pass_time(self, seconds: float) -> None:
        self.host.clock += seconds
        self.agent.settle()

    @property
    def told(self) -> list[tuple[str, bool]]:
        return [(one.kind, one.undone_at > 0) for one in self.control.picture.drift]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_setting_that_somebody_changed_is_set_again_and_told(scene: Scene) -> None:
    assert scene.told == []
    scene.host.switch.external_ids["ovn-encap-ip"] = "192.0.2.1"
    scene.pass_time(1)
    assert scene.host.switch.external_ids["ovn-encap-ip"] == "127.0.0.1"
    assert scene.told == [("setting", True)] and "ovn-encap-ip" in scene.control.picture.drift[0].details[0]


def test_a_new_slice_changes_settings_and_is_no_drift(scene: Scene) -> None:
    scene.control.want(ovn_remote="tcp:127.0.0.1:7777")
    scene.pass_time(1)
    assert scene.host.switch.external_ids["ovn-remote"] == "tcp:127.0.0.1:7777" and scene.told == []


def test_a_port_is_believed_wrong_only_when_it_is_so_twice(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong: list[Wrong] = [Wrong("port", "evil0", "evil0 on br-int is nobody's")]
    removed: list[str] = []
    monkeypatch.setattr(scene.host.switch, "wrong", lambda **expected: list(wrong))
    monkeypatch.setattr(scene.host.switch, "remove_port", lambda name: (removed.append(name), wrong.clear()))
    scene.agent.drift.work()
    assert removed == []
    scene.agent.drift.work()
    assert removed == ["evil0"]
    scene.agent.report()
    assert scene.told == [("port", True)]


def test_a_guest_s_device_is_attached_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.control.want(server())
    scene.pass_time(1)
    expected = scene.agent.expected()
    assert expected and expected.interfaces == {"tapport-1": "port-1"}
    looks: list[Any] = []

    def wrong(**given: Any) -> list[Wrong]:
        looks.append(given["interfaces"])
        attached = scene.host.switch.bridges["br-int"].get("tapport-1") == "port-1"
        return [] if attached else [Wrong("port", "tapport-1", "tapport-1 is not a port of br-int")]

    monkeypatch.setattr(scene.host.switch, "wrong", wrong)
    scene.host.switch.bridges["br-int"].pop("tapport-1", None)
    scene.agent.drift.work()
    scene.agent.drift.work()
    assert scene.host.switch.bridges["br-int"]["tapport-1"] == "port-1" and looks[-1] == {"tapport-1": "port-1"}


@pytest.mark.parametrize("by_hand", [set[str](), {A, B}, {A, B, C, "table=0, priority=65535 actions=NORMAL"}])
def test_flows_that_were_taken_away_or_added_are_written_again(scene: Scene, by_hand: set[str]) -> None:
    scene.bridge.there = set(by_hand)
    scene.pass_time(1)
    assert scene.bridge.there == scene.bridge.wanted
    assert scene.told == [("flows", True)]
    [one] = scene.control.picture.drift
    assert one.count >= 1 and one.details


def test_a_flow_that_was_changed_in_place_is_found_by_the_look_at_each(scene: Scene) -> None:
    scene.pass_time(LINES_SECONDS)
    scene.bridge.there = {A, B, "table=9, priority=50 actions=drop"}
    scene.pass_time(LINES_SECONDS)
    assert scene.bridge.there == scene.bridge.wanted
    [one] = scene.control.picture.drift
    assert [detail.partition(":")[0] for detail in one.details] == ["foreign", "missing"]


def test_guests_may_not_advertise_routers_unless_their_port_security_is_off(scene: Scene) -> None:
    scene.host.switch.add_port("br-int", "tapa", "port-a")
    scene.host.switch.add_port("br-int", "tapb", "port-b")
    scene.pass_time(1)
    assert scene.bridge.shut == {1, 2}
    scene.control.want(routing_ports=("port-b",))
    scene.pass_time(1)
    assert scene.bridge.shut == {1}
    scene.bridge.shut = set()  # ovn-controller has written everything anew
    scene.bridge.compute(A, B, C)
    scene.pass_time(1)
    assert scene.bridge.shut == {1} and scene.told == []


SENDS, IS_SENT = (PacketLimit(port_id="port-a", direction=way, rate=1000, burst=500) for way in ("egress", "ingress"))
TAGGED = PacketLimit(port_id="port-c", direction="egress", rate=3000, parent="port-b", tag=100)


def limited(scene: Scene) -> None:
    scene.host.switch.add_port("br-int", "tapa", "port-a")
    scene.host.switch.add_port("br-int", "tapb", "port-b")
    scene.control.want(
        packet_limits=(SENDS, IS_SENT, TAGGED, PacketLimit(port_id="elsewhere", direction="egress", rate=1))
    )
    scene.pass_time(1)


def test_packets_of_cards_that_are_here_are_limited(scene: Scene) -> None:
    limited(scene)
    assert scene.bridge.limits == {
        Spot(1, 0, "egress"): Meter(1000, 500), Spot(1, 0, "ingress"): Meter(1000, 500), Spot(2, 100, "egress"): Meter(3000, 0),
    }  # fmt: skip
    scene.control.want(packet_limits=(replace(SENDS, rate=2000),))
    scene.pass_time(1)
    assert scene.bridge.limits == {Spot(1, 0, "egress"): Meter(2000, 500)}
    scene.control.want(packet_limits=())
    scene.pass_time(1)
    assert scene.bridge.limits == {} and scene.told == []


def test_limits_come_back_when_ovn_controller_has_cleared_the_bridge_also_where_it_does_so_late(scene: Scene) -> None:
    limited(scene)
    scene.bridge.clear()
    scene.bridge.compute(A, B, C)
    scene.pass_time(1)
    assert len(scene.bridge.limits) == 3 and scene.bridge.shut == {1, 2}
    scene.bridge.clear()
    scene.pass_time(1)
    assert len(scene.bridge.limits) == 3 and scene.bridge.shut == {1, 2}
    scene.pass_time(CALM_SECONDS)
    scene.pass_time(LINES_SECONDS)
    assert scene.told == []


@pytest.mark.parametrize("everything", [False, True])
def test_limits_that_somebody_took_away_are_there_again_and_it_is_told(scene: Scene, everything: bool) -> None:
    limited(scene)
    scene.pass_time(CALM_SECONDS)
    scene.pass_time(1)
    scene.bridge.limits = {}
    if everything:
        scene.bridge.there = set()
    scene.pass_time(1)
    assert scene.bridge.there == scene.bridge.wanted and len(scene.bridge.limits) == 3
    assert scene.told == [("flows", True)]


def test_a_switch_without_meters_is_told_and_tried_again_and_the_rest_goes_on(scene: Scene) -> None:
    scene.bridge.counts = False
    limited(scene)
    assert scene.bridge.shut == {1, 2} and "takes no meters" in scene.control.picture.errors["packets"]
    scene.pass_time(CALM_SECONDS)
    scene.pass_time(1)
    scene.bridge.there = {A}
    scene.pass_time(1)
    assert scene.bridge.there == scene.bridge.wanted and scene.told == [("flows", True)]
    scene.bridge.counts = True
    scene.pass_time(LINES_SECONDS)
    assert len(scene.bridge.limits) == 3 and scene.control.picture.errors == {}


def test_what_ovn_controller_changes_and_what_the_switch_learns_is_no_drift(scene: Scene) -> None:
    scene.pass_time(LINES_SECONDS)
    for wanted in ((A, B), (A, B, C, "table=10 actions=next"), (A,)):
        scene.bridge.compute(*wanted)
        scene.pass_time(1)
        scene.pass_time(CALM_SECONDS)
        scene.pass_time(LINES_SECONDS)
    scene.bridge.learnt = 3
    scene.pass_time(1)
    assert scene.told == []


def test_flows_are_listed_rarely(scene: Scene) -> None:
    before = scene.bridge.asked
    for _ in range(60):
        scene.pass_time(1)
    assert scene.bridge.asked - before <= 60 / LINES_SECONDS + 1


def test_what_cannot_be_undone_stands_and_is_one(scene: Scene) -> None:
    scene.bridge.listens, scene.bridge.there = False, {A}
    for _ in range(5):
        scene.pass_time(CALM_SECONDS + 1)
    assert scene.told == [("flows", False)]


def test_a_switch_that_has_died_is_told_at_once(scene: Scene) -> None:
    scene.bridge.there = None
    scene.pass_time(1)
    assert not scene.control.picture.switching
    scene.bridge.there = set(scene.bridge.wanted)
    scene.pass_time(1)
    assert scene.control.picture.switching and scene.told == []


def test_tunnels_are_told_when_they_change(scene: Scene) -> None:
    scene.host.switch.bfd = {"beta": True}
    scene.pass_time(1)
    assert scene.control.picture.tunnels == {"beta": True}
    scene.host.switch.bfd = {"beta": False}
    scene.pass_time(1)
    assert scene.control.picture.tunnels == {"beta": False}


def test_ovn_controller_computes_everything_anew_when_the_tunnels_have_changed(scene: Scene) -> None:
    scene.host.switch.bfd = {"beta": True}
    scene.pass_time(1)
    assert scene.bridge.whole == []
    scene.pass_time(CALM_SECONDS)
    assert scene.bridge.whole == [1]
    for _ in range(3):
        scene.pass_time(CALM_SECONDS + 1)
    assert scene.bridge.whole == [1]


def test_a_tunnel_that_bfd_begins_to_watch_is_not_called_dead_at_once(scene: Scene) -> None:
    scene.host.switch.bfd = {"beta": False}
    scene.pass_time(1)
    assert scene.control.picture.tunnels == {}
    scene.pass_time(10)
    assert scene.control.picture.tunnels == {"beta": False}


def test_a_host_that_was_taken_out_leaves_ovn_and_comes_back_when_it_is_taken_in(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(picture: object) -> None:
        raise Dismissed("the control plane answered 410")

    for call in ("wanted", "seen"):
        monkeypatch.setattr(scene.control, call, gone)
    scene.pass_time(1)
    assert "ovn-remote" not in scene.host.switch.external_ids
    scene.pass_time(60)
    assert "ovn-remote" not in scene.host.switch.external_ids, "it is no drift"
    monkeypatch.undo()
    scene.pass_time(60)
    assert scene.host.switch.external_ids["ovn-remote"] == "tcp:127.0.0.1:6642"
