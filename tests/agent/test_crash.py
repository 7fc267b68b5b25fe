"""The agent dies before and after each call of a driver; the next one reaches the same end."""

from __future__ import annotations

import pytest

from tests.agent.conftest import World
from tests.agent.hosts import ID, nic, server
from wolke.wire.seen import State
from wolke.wire.wanted import Power


class Killed(BaseException):
    """No ``except Exception`` catches it, as none catches SIGKILL."""


CALLS = ("define", "start", "resume", "shut_down", "power_off", "remove", "plug", "unplug")
DISK_CALLS = ("image", "made", "root", "config_drive", "remove")


class Reaper:
    """Counts the calls of the drivers and kills at one of them."""

    def __init__(self, at: int | None) -> None:
        self.at, self.count = at, 0

    def wrap(self, call):
        def watched(*arguments, **more):
            self.strike()
            result = call(*arguments, **more)
            self.strike()
            return result

        return watched

    def strike(self) -> None:
        self.count += 1
        if self.count - 1 == self.at:
            raise Killed


def watched_by(reaper: Reaper, world: World) -> None:
    for driver, names in ((world.host.hypervisor, CALLS), (world.host.disks, DISK_CALLS)):
        for name in names:
            setattr(driver, name, reaper.wrap(getattr(type(driver), name).__get__(driver)))


ENDS = "the guest shuts itself down"
STORY = [
    [server(config_drive=True)],
    [server(config_drive=True, nics=(nic(1), nic(2)), revision=2)],
    [server(config_drive=True, nics=(nic(2),), revision=3)],
    [server(config_drive=True, nics=(nic(2),), revision=4, boot=2)],
    ENDS,
    [server(config_drive=True, nics=(nic(2),), revision=5, boot=3)],
    [server(config_drive=True, nics=(nic(2),), revision=6, boot=4, hard=False)],
    [server(config_drive=True, nics=(nic(2),), revision=7, boot=4, hard=False, power=Power.STOPPED)],
    [server(config_drive=True, nics=(nic(2),), revision=8, boot=5)],
    [server(config_drive=True, nics=(nic(2),), revision=9, boot=5, power=Power.GONE)],
]


def ends(world: World):
    """What of a host matters."""
    guest = world.host.guests.get(ID)
    shown = guest and (guest.state, guest.boot, sorted(guest.nics))
    return shown, world.host.disks.servers(), set(world.host.disks.drives), world.control.picture.removed


def played(world: World, reaper: Reaper) -> list[object]:
    """The story to its end; a killed agent is followed by the next."""
    watched_by(reaper, world)
    seen = []
    for event in STORY:
        if event == ENDS:
            world.host.hypervisor.stop(ID)
        else:
            world.control.want(*event)
        for _ in range(3):
            try:
                world.settle()
                break
            except Killed:
                world.start()
                watched_by(reaper, world)
        world.settle(700)  # the longest back-off
        seen.append(ends(world))
    return seen


def count_of_strikes(directory) -> int:
    reaper = Reaper(None)
    played(World(directory), reaper)
    return reaper.count


def test_the_story_itself(tmp_path):
    states = [end[0] and end[0][:2] for end in played(World(tmp_path), Reaper(None))]
    running, stopped = State.RUNNING, State.DEFINED
    assert states == [
        *[(running, 1)] * 3,
        *[(running, 2), (stopped, 2), (running, 3), (running, 4)],
        *[(stopped, 4), (running, 5), None],
    ]


def test_dying_anywhere_changes_nothing_in_the_end(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "count").mkdir()
    whole = played(World(tmp_path / "whole"), Reaper(None))
    strikes = count_of_strikes(tmp_path / "count")
    assert strikes > 50
    for at in range(strikes):
        directory = tmp_path / str(at)
        directory.mkdir()
        reaper = Reaper(at)
        assert played(World(directory), reaper) == whole, f"killed at call {at}"
        assert reaper.count > at


@pytest.mark.parametrize("content", [b"", b'{"boot": 1', b"\x00" * 64])
def test_a_torn_note_costs_no_guest(world, content):
    world.control.want(server())
    world.settle()
    (world.state / "guests" / f"{ID}.json").write_bytes(content)
    world.start()
    world.settle()
    assert world.control.told().state is State.RUNNING


def test_a_torn_slice_is_asked_again(world):
    world.control.want(server())
    world.settle()
    (world.state / "wanted.json").write_bytes(b"{")
    world.start()
    world.settle()
    assert world.control.told().revision == 1
