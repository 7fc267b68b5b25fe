"""The scene of the attacks: a hostile guest, its neighbours on both hosts, a stranger beside it, and what listens in them.

Every attack has its *control*: the same kind of frame, honest, does arrive. So a count of none is not a deaf victim. The table is printed
(``-rP`` shows it). Security groups let everything through here: what holds is what no project can switch off for others.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.real import attacker as raw
from tests.real.tenants import Server, Tenant, pings
from wolke.lab import Lab, wait_for

PROGRAM = str(Path(raw.__file__).resolve())
BROADCAST, ALL_NODES = "ff:ff:ff:ff:ff:ff", "33:33:00:00:00:01"
REPEATED = 20  # how often each forged frame is sent


# The scene ----------------------------------------------------------------------------------------------------------
@dataclass
class Scene:
    lab: Lab
    tenants: list[Tenant] = field(default_factory=list)
    evil: Server = None  # type: ignore[assignment]
    victims: list[Server] = field(default_factory=list)  # same network: same host, other host
    stranger: Server = None  # type: ignore[assignment]  # of another project on the attacker's host
    gateway_mac: str = ""
    table: list[tuple[str, str]] = field(default_factory=list)  # attacks, and what was counted

    def build(self) -> None:
        own, other = Tenant(self.lab, "mallory"), Tenant(self.lab, "honest")
        self.tenants = [own, other]
        everything = [{}, {"ethertype": "IPv6"}]
        network = own.network("10.0.0.0/24", "fd00:bad::/64")
        own.router(network)
        group = own.group(*everything)
        self.evil = own.server(network, 1, group)
        self.victims = [own.server(network, host, group) for host in (1, 2)]
        theirs = other.network("10.0.0.0/24")
        self.stranger = other.server(theirs, 1, other.group(*everything))
        [leg] = own.call(
            "GET",
            f"ports?network_id={network['id']}&device_owner=network:router_interface&fields=mac_address&fields=fixed_ips",
        )["ports"][:1]
        self.gateway_mac = leg["mac_address"]
        for victim in self.victims:
            assert wait_for(lambda v=victim: pings(self.evil.guest, v.address()), 60, every=0.3)

    def send(self, *frames: bytes, count: int = REPEATED, rate: int = 100) -> int:
        return sent(self.evil, *frames, count=count, rate=rate)

    def heard(self, what: bytes, *frames: bytes, seconds: float = 2.0, **options: Any) -> int:
        """How often any victim heard these bytes while the frames were sent."""
        ears = [Ear(victim.guest, what, seconds) for victim in (*self.victims, self.stranger)]
        self.send(*frames, **options)
        return sum(ear.count() for ear in ears)

    def note(self, attack: str, figures: str) -> None:
        self.table.append((attack, figures))
        print(f"{attack}: {figures}")


@contextmanager
def staged(lab: Lab) -> Iterator[Scene]:
    """The scene for one file of attacks; at the end the table of what was counted is printed."""
    made = Scene(lab)
    try:
        made.build()
        yield made
    finally:
        for tenant in made.tenants:
            tenant.end()
        print("\n" + "\n".join(f"{attack:58} {figures}" for attack, figures in made.table))


def sent(server: Server, *frames: bytes, count: int, rate: int) -> int:
    words = ["python3", PROGRAM, "send", str(count), str(rate), *(frame.hex() for frame in frames)]
    return int(server.guest.run(words, timeout=120).stdout)


class Ear:
    """Counts frames with some bytes in a guest, for a while."""

    def __init__(self, guest: Any, what: bytes, seconds: float) -> None:
        words = ["python3", PROGRAM, "hear", str(seconds), what.hex()]
        self.running = guest.popen(words, stdout=subprocess.PIPE, text=True)
        assert self.running.stdout.readline() == "listening\n"

    def count(self) -> int:
        return int(self.running.communicate(timeout=60)[0])


# What is sent -------------------------------------------------------------------------------------------------------
def mark() -> bytes:
    """Bytes that no other frame holds."""
    return b"mark" + os.urandom(12)


def dhcp(operation: int, client: str, what: bytes, offered: str = "0.0.0.0") -> bytes:
    """A BOOTP message with an option 53 (DISCOVER or OFFER)."""
    head = struct_dhcp(operation, client, offered)
    kind = 1 if operation == 1 else 2
    return head + bytes([53, 1, kind]) + bytes([224, len(what)]) + what + b"\xff"


def struct_dhcp(operation: int, client: str, offered: str) -> bytes:
    fixed = (
        bytes([operation, 1, 6, 0]) + os.urandom(4) + bytes(4) + bytes(4) + raw.ip_address(offered).packed + bytes(8)
    )
    return fixed + raw.mac(client) + bytes(10) + bytes(64 + 128) + bytes.fromhex("63825363")
