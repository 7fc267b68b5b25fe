"""The agent with its threads: long polls that are held, many guests at once, and nobody who spins."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.agent.hosts import BYTES, ID, Control, Host, agent_of, server
from tests.waiting import wait_for
from wolke.agent.agent import WORKERS
from wolke.drivers.fake.hypervisor import FakeHypervisor
from wolke.wire.seen import State
from wolke.wire.wanted import Image, Power, Wanted


class HoldingControl(Control):
    """Holds a poll until there is something newer."""

    def __init__(self) -> None:
        super().__init__()
        self.bell = threading.Condition()
        self.polls = 0
        self.ending = False

    def want(self, *servers: Any, **more: Any) -> None:
        with self.bell:
            super().want(*servers, **more)
            self.bell.notify_all()

    def end(self) -> None:
        with self.bell:
            self.ending = True
            self.bell.notify_all()

    def wanted(self, after: int) -> Wanted | None:
        self.polls += 1
        with self.bell:
            self.bell.wait_for(lambda: self.slice.revision != after or self.ending, 30)
        return super().wanted(after)


class SlowHypervisor(FakeHypervisor):
    """Takes its time, and notes how many threads are in it, in all and for one guest."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.inside: Counter[str] = Counter()
        self.most = self.most_of_one = self.looks = 0
        self.counting = threading.Lock()

    def observe(self):
        self.looks += 1
        return super().observe()

    @contextmanager
    def slowly(self, id: str) -> Iterator[None]:
        with self.counting:
            self.inside[id] += 1
            self.most = max(self.most, self.inside.total())
            self.most_of_one = max(self.most_of_one, self.inside[id])
        time.sleep(0.01)
        yield
        with self.counting:
            self.inside[id] -= 1

    def define(self, server, root, config_drive):
        with self.slowly(server.id):
            super().define(server, root, config_drive)

    def start(self, id, *, paused):
        with self.slowly(id):
            super().start(id, paused=paused)

    def power_off(self, id):
        with self.slowly(id):
            super().power_off(id)


class Running:
    def __init__(self, directory: Path) -> None:
        self.host, self.control, self.stop = Host(SlowHypervisor), HoldingControl(), threading.Event()
        self.agent = agent_of(self.host, self.control, directory / "state")
        self.agent.clock = self.agent.guests.clock = time.monotonic
        self.thread = threading.Thread(target=self.agent.run, args=(self.stop,))
        self.thread.start()

    def end(self) -> None:
        self.stop.set()
        self.control.end()
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    running.end()


IDS = [ID[:-4] + f"{number:04}" for number in range(40)]


def states(running: Running) -> set[State]:
    return {told.state for told in running.control.picture.servers} if running.control.pictures else set()


def test_many_guests_at_once_and_none_by_two_threads(running):
    running.control.want(*(server(id) for id in IDS))
    wait_for(lambda: states(running) == {State.RUNNING} and len(running.control.picture.servers) == len(IDS))
    for boot in range(2, 6):  # wishes that come while others are under way
        running.control.want(*(server(id, boot=boot, revision=boot) for id in IDS))
    wait_for(lambda: {told.revision for told in running.control.picture.servers} == {5})
    assert running.host.hypervisor.most_of_one == 1
    assert 1 < running.host.hypervisor.most <= WORKERS
    assert {guest.boot for guest in running.host.guests.values()} == {5}

    running.control.want(*(server(id, boot=5, revision=6, power=Power.GONE) for id in IDS))
    wait_for(lambda: set(running.control.picture.removed) == set(IDS))
    assert running.host.guests == {} and running.host.disks.servers() == set()


def test_a_guest_that_changes_by_itself_is_told_at_once(running):
    running.control.want(server())
    wait_for(lambda: states(running) == {State.RUNNING})
    running.host.hypervisor.stop(ID)
    wait_for(lambda: states(running) == {State.DEFINED}, 5)


def test_an_image_that_takes_long_does_not_hold_up_the_others(running):
    arrived = threading.Event()
    asked: list[str] = []
    image = running.host.disks.image

    def slow_image(wanted: Image, fetch: Callable[[Path], None]) -> Path:
        asked.append(wanted.id)
        assert wanted.id != "slow" or arrived.wait(30)
        return image(wanted, fetch)

    running.host.disks.image = slow_image
    running.control.images["slow"] = BYTES
    base = server()
    slow = replace(base.disk, image=replace(base.disk.image, id="slow"))
    waiting = [server(id, disk=slow) for id in IDS[:20]]
    running.control.want(*waiting, server(IDS[30]))
    wait_for(lambda: running.host.guests.get(IDS[30]) and running.host.guests[IDS[30]].state is State.RUNNING)
    assert asked.count("slow") == 1  # the nineteen others hold no thread
    arrived.set()
    wait_for(lambda: states(running) == {State.RUNNING})


@pytest.mark.slow
def test_an_idle_agent_sleeps(running):
    running.control.want(*(server(id) for id in IDS))
    wait_for(lambda: states(running) == {State.RUNNING})
    wait_for(lambda: all(told.revision == 1 for told in running.control.picture.servers))
    time.sleep(0.5)  # reports that are coalesced go out
    begun, looks, polls, pictures = (
        time.process_time(),
        running.host.hypervisor.looks,
        running.control.polls,
        len(running.control.pictures),
    )
    time.sleep(2)
    assert time.process_time() - begun < 0.5  # nobody spins
    assert (running.host.hypervisor.looks, running.control.polls, len(running.control.pictures)) == (
        looks,
        polls,
        pictures,
    )
