"""The next step of one guest, from what is wanted and what is found: a table of facts, no memory.

Whoever asks again after a crash gets the step that is due now. A guest that shut itself down while it was wanted
running stays down, as with Nova: its boot was ``launched`` and is over. A host that was rebooted has launched nothing
yet (Nova: ``resume_guests_state_on_host_boot``), and ``server start`` raises ``boot``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wolke.drivers.hypervisor import Guest
from wolke.wire.seen import State
from wolke.wire.wanted import Power, Server

NETWORK_SECONDS = 20.0  # patience with ovn-controller before a guest runs without its flows
ASK_AGAIN_SECONDS = 10.0  # a guest that is still booting loses the ACPI event (Nova: shutdown_retry_interval)


class Step(StrEnum):
    DEFINE = "define"  # image, root disk, config drive, definition
    START = "start"  # paused: the network is made ready before the first instruction
    AWAIT_NETWORK = "await network"
    RESUME = "resume"
    PLUG = "plug"
    UNPLUG = "unplug"
    SHUT_DOWN = "shut down"  # by ACPI
    AWAIT_SHUT_DOWN = "await shut down"
    POWER_OFF = "power off"
    REMOVE = "remove"
    REMOVE_DISKS = "remove disks"


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What is found of one guest."""

    guest: Guest | None
    launched: int = 0  # newest boot whose first instruction ran since the host came up; 0: none
    has_disks: bool = False  # looked at only where nothing else is left
    installed: bool = False  # ovn-controller has installed the flows of all NICs
    awaited: float = 0.0  # seconds that the network has been waited for
    asked: float | None = None  # seconds since ACPI was first asked for
    asked_last: float | None = None


def next_step(wanted: Server, facts: Facts) -> Step | None:
    """One step towards ``wanted``, or None where nothing is to be done."""
    state = facts.guest.state if facts.guest else None
    match wanted.power, state:
        case Power.GONE, None:
            return Step.REMOVE_DISKS if facts.has_disks else None
        case Power.GONE, State.RUNNING | State.PAUSED:
            return Step.POWER_OFF
        case Power.GONE, _:
            return Step.REMOVE
        case _, None:
            return Step.DEFINE
        case Power.STOPPED, State.PAUSED:
            return Step.POWER_OFF
        case Power.STOPPED, State.RUNNING:
            return ending(wanted, facts)
        case Power.RUNNING, State.PAUSED:
            return leaving_pause(wanted, facts)
        case Power.RUNNING, State.RUNNING:
            return while_running(wanted, facts)
    if outdated(wanted, facts):
        return Step.DEFINE
    if wanted.power is Power.RUNNING and facts.launched < wanted.boot:
        return Step.START
    return None


def outdated(wanted: Server, facts: Facts) -> bool:
    """Whether the definition of a guest that does not run was written for another revision or boot."""
    guest = facts.guest
    return guest is None or (guest.revision, guest.boot) != (wanted.revision, wanted.boot)


def ending(wanted: Server, facts: Facts) -> Step:
    """How a running guest ends: at once, or by ACPI with patience."""
    if wanted.hard or (facts.asked is not None and facts.asked >= wanted.shutdown_seconds):
        return Step.POWER_OFF
    if facts.asked_last is None or facts.asked_last >= ASK_AGAIN_SECONDS:
        return Step.SHUT_DOWN
    return Step.AWAIT_SHUT_DOWN


def leaving_pause(wanted: Server, facts: Facts) -> Step:
    """A paused guest: of an older boot, waiting for its network, or left behind by an agent that died."""
    assert facts.guest is not None
    if facts.guest.boot < wanted.boot:
        return Step.POWER_OFF
    if facts.launched < facts.guest.boot and not facts.installed and facts.awaited < NETWORK_SECONDS:
        return Step.AWAIT_NETWORK
    return Step.RESUME


def while_running(wanted: Server, facts: Facts) -> Step | None:
    assert facts.guest is not None
    if facts.guest.boot < wanted.boot:
        return ending(wanted, facts)
    ports = {nic.port_id for nic in wanted.nics}
    if set(facts.guest.nics) - ports:
        return Step.UNPLUG
    if ports - set(facts.guest.nics):
        return Step.PLUG
    return None
