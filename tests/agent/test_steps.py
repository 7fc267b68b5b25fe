"""``next_step`` as a table, and what holds for every row that can be made of the facts."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from tests.agent.hosts import ID, nic, server
from wolke.agent.steps import Facts, Step, next_step
from wolke.drivers.hypervisor import Guest
from wolke.wire.seen import State
from wolke.wire.wanted import Power


def guest(state: State, boot: int = 1, revision: int = 1, *ports: int) -> Guest:
    return Guest(id=ID, state=state, boot=boot, revision=revision, nics=tuple(f"port-{n}" for n in ports or (1,)))


DEFINED, RUNNING, PAUSED, CRASHED = State
soft = server(hard=False, boot=2, shutdown_seconds=60)
off = server(power=Power.STOPPED)
softly_off = server(power=Power.STOPPED, hard=False)
gone = server(power=Power.GONE)

TABLE = {
    # a new guest, step by step
    "nothing is there": (server(), Facts(guest=None), Step.DEFINE),
    "defined, never ran": (server(), Facts(guest=guest(DEFINED)), Step.START),
    "waits for flows": (server(), Facts(guest=guest(PAUSED), awaited=1), Step.AWAIT_NETWORK),
    "flows are there": (server(), Facts(guest=guest(PAUSED), installed=True), Step.RESUME),
    "flows are late": (server(), Facts(guest=guest(PAUSED), awaited=20), Step.RESUME),
    "agent died before resume": (server(), Facts(guest=guest(PAUSED), launched=1), Step.RESUME),
    "runs": (server(), Facts(guest=guest(RUNNING), launched=1), None),
    # the definition is of an older wish
    "redefine before start": (server(revision=2), Facts(guest=guest(DEFINED)), Step.DEFINE),
    "a running one keeps its definition": (server(revision=2), Facts(guest=guest(RUNNING), launched=1), None),
    # ended by itself
    "shut itself down": (server(), Facts(guest=guest(DEFINED), launched=1), None),
    "crashed": (server(), Facts(guest=guest(CRASHED), launched=1), None),
    "crashed before its first instruction": (server(), Facts(guest=guest(CRASHED)), Step.START),
    "the host was rebooted": (server(), Facts(guest=guest(DEFINED), launched=0), Step.START),
    "start was called": (server(boot=2, revision=2), Facts(guest=guest(DEFINED), launched=1), Step.DEFINE),
    "start was called, defined": (server(boot=2), Facts(guest=guest(DEFINED, 2), launched=1), Step.START),
    # reboot
    "hard reboot": (server(boot=2), Facts(guest=guest(RUNNING), launched=1), Step.POWER_OFF),
    "soft reboot": (soft, Facts(guest=guest(RUNNING), launched=1), Step.SHUT_DOWN),
    "soft reboot, asked": (soft, Facts(guest=guest(RUNNING), asked=5, asked_last=5), Step.AWAIT_SHUT_DOWN),
    "soft reboot, asked long ago": (soft, Facts(guest=guest(RUNNING), asked=15, asked_last=10), Step.SHUT_DOWN),
    "soft reboot, deaf": (soft, Facts(guest=guest(RUNNING), asked=60, asked_last=1), Step.POWER_OFF),
    "reboot of a paused one": (soft, Facts(guest=guest(PAUSED)), Step.POWER_OFF),
    "a newer boot than wanted": (server(), Facts(guest=guest(RUNNING, 3), launched=3), None),
    # network interfaces
    "attach": (server(nics=(nic(1), nic(2))), Facts(guest=guest(RUNNING), launched=1), Step.PLUG),
    "detach": (server(), Facts(guest=guest(RUNNING, 1, 1, 1, 2), launched=1), Step.UNPLUG),
    "detach before attach": (server(nics=(nic(3),)), Facts(guest=guest(RUNNING), launched=1), Step.UNPLUG),
    "attach while off": (
        server(nics=(nic(1), nic(2)), revision=2),
        Facts(guest=guest(DEFINED), launched=1),
        Step.DEFINE,
    ),
    # stopped
    "stop at once": (off, Facts(guest=guest(RUNNING)), Step.POWER_OFF),
    "stop": (softly_off, Facts(guest=guest(RUNNING)), Step.SHUT_DOWN),
    "stop, deaf": (softly_off, Facts(guest=guest(RUNNING), asked=60, asked_last=0), Step.POWER_OFF),
    "stop a paused one": (softly_off, Facts(guest=guest(PAUSED)), Step.POWER_OFF),
    "stopped": (off, Facts(guest=guest(DEFINED), launched=1), None),
    "stopped and crashed": (off, Facts(guest=guest(CRASHED), launched=1), None),
    "stopped before it was made": (off, Facts(guest=None), Step.DEFINE),
    # gone
    "delete a running one": (gone, Facts(guest=guest(RUNNING)), Step.POWER_OFF),
    "delete a paused one": (gone, Facts(guest=guest(PAUSED)), Step.POWER_OFF),
    "delete a stopped one": (gone, Facts(guest=guest(DEFINED)), Step.REMOVE),
    "delete a crashed one": (gone, Facts(guest=guest(CRASHED)), Step.REMOVE),
    "delete the disks": (gone, Facts(guest=None, has_disks=True), Step.REMOVE_DISKS),
    "gone": (gone, Facts(guest=None), None),
}


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_table(row):
    wanted, facts, step = TABLE[row]
    assert next_step(wanted, facts) is step


def every_case():
    """All combinations of what decides: some 9000."""
    states = [None, *State]
    for power, hard, boot, nics in itertools.product(Power, (True, False), (1, 2), ((nic(1),), (nic(1), nic(2)))):
        wanted = server(power=power, hard=hard, boot=boot, nics=nics, revision=2)
        for state, found_boot, revision, ports in itertools.product(states, (1, 2), (1, 2), ((1,), (2,), (1, 2))):
            found = guest(state, found_boot, revision, *ports) if state else None
            for launched, installed, disks, asked in itertools.product(
                (0, 1, 2), (True, False), (True, False), (None, 5.0, 90.0)
            ):
                yield (
                    wanted,
                    Facts(
                        guest=found,
                        launched=launched,
                        installed=installed,
                        has_disks=disks,
                        awaited=30.0 if asked else 0.0,
                        asked=asked,
                        asked_last=asked,
                    ),
                )


def after(step: Step, wanted, facts: Facts) -> Facts:
    """The facts once an obedient host has taken the step."""
    found = facts.guest
    match step:
        case Step.DEFINE:
            ports = tuple(nic.port_id for nic in wanted.nics)
            return replace(
                facts, guest=Guest(id=ID, state=DEFINED, boot=wanted.boot, revision=wanted.revision, nics=ports)
            )
        case Step.START:
            return replace(facts, guest=replace(found, state=PAUSED))
        case Step.AWAIT_NETWORK:
            return replace(facts, awaited=facts.awaited + 30)
        case Step.RESUME:
            return replace(facts, guest=replace(found, state=RUNNING), launched=found.boot)
        case Step.PLUG | Step.UNPLUG:
            return replace(facts, guest=replace(found, nics=tuple(nic.port_id for nic in wanted.nics)))
        case Step.SHUT_DOWN:
            return replace(facts, asked=facts.asked or 0.0, asked_last=0.0)
        case Step.AWAIT_SHUT_DOWN:
            return replace(facts, asked=facts.asked + 30, asked_last=30.0)
        case Step.POWER_OFF:
            return replace(facts, guest=replace(found, state=DEFINED))
        case Step.REMOVE:
            return replace(facts, guest=None)
        case Step.REMOVE_DISKS:
            return replace(facts, has_disks=False)


def test_every_case_comes_to_rest_where_it_should():
    for wanted, begin in every_case():
        facts = begin
        for _ in range(12):
            step = next_step(wanted, facts)
            if step is None:
                break
            assert not (wanted.power is Power.GONE and step in (Step.START, Step.RESUME, Step.DEFINE)), (wanted, begin)
            facts = after(step, wanted, facts)
        else:
            raise AssertionError(f"no rest from {wanted}, {begin}")
        state = facts.guest.state if facts.guest else None
        match wanted.power:
            case Power.GONE:
                assert state is None and not facts.has_disks
            case Power.STOPPED:
                assert state in (DEFINED, CRASHED)
            case Power.RUNNING if state is not RUNNING:  # only a boot that was used up and ended by itself
                assert begin.launched >= wanted.boot, (wanted, begin)
            case Power.RUNNING:
                assert facts.guest.boot >= wanted.boot
                assert set(facts.guest.nics) == {nic.port_id for nic in wanted.nics}
