"""The routing daemons of this host: one configuration, composed from everything in the slice that needs them.

Each part of the slice has a section of its own (``SECTIONS``); where none says anything, no daemon runs. Speakers of BGP are *views*,
instances beside the default one that neither take routes nor put any into the kernel: whatever zones do in the default instance,
the two never meet.
"""

from __future__ import annotations

import logging
import re
import threading
import zlib
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

from wolke.drivers.hypervisor import DriverError
from wolke.wire.wanted import BgpSpeaker, Wanted, Zone

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0  # between two looks whether the daemons run, and two tries
HOPS = 8  # that a peer of another AS may be away
PREFIX = "wolke-zone-"  # of the namespaces of EVPN zones
SPACES = Path("/run/netns")


class Daemons(Protocol):
    """``drivers.frr.Frr``."""

    def apply(self, config: str) -> None: ...
    def running(self) -> bool: ...
    def down(self) -> None: ...


class Routing:
    """Keeps the daemons as ``apply`` was last told.

    Parameters
    ----------
    address : of this host on the underlay; names the host to its peers
    """

    def __init__(self, daemons: Daemons, address: str) -> None:
        self.daemons, self.address = daemons, address
        self.changed: Callable[[], None] = lambda: None
        self.config: str | None = None  # wanted; None before the first slice
        self.made: str | None = None
        self.trouble = ""
        self.pending = threading.Event()
        self.stopping = False
        self.thread = threading.Thread(target=self._keep, name="routing", daemon=True)

    def start(self, changed: Callable[[], None] = lambda: None) -> None:
        """``changed`` is called when there is another error."""
        self.changed = changed
        self.thread.start()

    def stop(self) -> None:
        """The daemons go on without us, so that no neighbour notices a restart of the agent."""
        self.stopping = True
        self.pending.set()
        self.thread.join()

    def apply(self, slice: Wanted) -> None:
        """Soon; returns at once."""
        self.config = config_of(slice, self.address)
        self.pending.set()

    def errors(self) -> dict[str, str]:
        return {"routing": self.trouble} if self.trouble else {}

    def _keep(self) -> None:
        while not self.stopping:
            self.pending.wait(LOOK_SECONDS)
            self.pending.clear()
            if not self.stopping:
                before = self.trouble
                self.work()
                if self.trouble != before:
                    self.changed()

    def work(self) -> None:
        """Make the daemons what is wanted; what fails stands in ``trouble`` and is tried again."""
        config = self.config
        if config is None or (config == self.made and (not config or self.daemons.running())) or waits(config):
            return
        try:
            if config:
                self.daemons.apply(config)
            else:
                self.daemons.down()
        except DriverError as error:
            self.trouble = f"{error} {error.hint}".strip()
            log.warning("routing: %s", self.trouble)
        else:
            self.made, self.trouble = config, ""


# The configuration ---------------------------------------------------------------------------------------------------
def config_of(slice: Wanted, address: str) -> str:
    """The lines of ``frr.conf``; empty where nothing needs a daemon."""
    return "\n".join(line for section in SECTIONS for line in section(slice, address))


def speakers(slice: Wanted, address: str) -> list[str]:
    """Speakers that have somebody to talk to, each a view of its own."""
    return [line for one in slice.bgp if one.neighbours for line in speaker_lines(one, address)]


def speaker_lines(speaker: BgpSpeaker, address: str) -> list[str]:
    """One speaker. What it tells names another next hop than itself, by a route map for each; it believes nothing.

    >>> from wolke.wire.wanted import BgpRoute
    >>> route = BgpRoute(prefix="2001:db8:9::/64", next_hop="2001:db8::7", link_local="fe80::7")
    >>> one = BgpSpeaker(id="0a1b2c3d-4", asn=64512, ip_version=6, routes=(route,))
    >>> [line for line in speaker_lines(one, "100.64.0.11") if "next-hop" in line or "view" in line]
    ['router bgp 64512 view speaker-0a1b2c3d', ' set ipv6 next-hop global 2001:db8::7', ' set ipv6 next-hop local fe80::7']
    """
    name = f"speaker-{speaker.id[:8]}"
    family = f"ipv{speaker.ip_version}"
    keyword = "ip" if speaker.ip_version == 4 else "ipv6"
    lines = [
        f"router bgp {speaker.asn} view {name}",
        *([f" bgp router-id {address}"] if ip_address(address).version == 4 else []),
        " no bgp default ipv4-unicast",
        " no bgp network import-check",
    ]
    for neighbour in speaker.neighbours:
        there = f" neighbor {neighbour.address}"
        lines += [f"{there} remote-as {neighbour.asn}", f"{there} timers 10 30", f"{there} timers connect 5"]
        lines += [f"{there} password {neighbour.password}"] if neighbour.password else []
        lines += [f"{there} ebgp-multihop {HOPS}"] if neighbour.asn != speaker.asn else []
    lines.append(f" address-family {family} unicast")
    lines += [f"  network {route.prefix}" for route in speaker.routes]
    for neighbour in speaker.neighbours:
        there = f"  neighbor {neighbour.address}"
        lines += [f"{there} activate", f"{there} route-map {name}-in in", f"{there} route-map {name}-out out"]
    lines += [" exit-address-family", "exit"]
    ways: dict[tuple[str, str], list[str]] = {}
    for route in speaker.routes:
        ways.setdefault((route.next_hop, route.link_local), []).append(route.prefix)
    places = numbers([next_hop for next_hop, _ in ways], 65534)
    for (next_hop, link_local), prefixes in sorted(ways.items()):
        listed = f"{name}-{next_hop.replace(':', '.')}"
        lines += [
            f"{keyword} prefix-list {listed} seq {number} permit {prefix}"
            for prefix, number in numbers(prefixes, 2**32 - 2).items()
        ]
        lines += [f"route-map {name}-out permit {places[next_hop]}", f" match {keyword} address prefix-list {listed}"]
        lines += (
            [f" set ip next-hop {next_hop}"]
            if speaker.ip_version == 4
            else [f" set ipv6 next-hop global {next_hop}", f" set ipv6 next-hop local {link_local}"]
        )
        lines.append("exit")
    if not ways:
        lines += [f"route-map {name}-out deny 1", "exit"]
    return [*lines, f"route-map {name}-in deny 1", "exit"]


def numbers(things: Sequence[str], most: int) -> dict[str, int]:
    """A number from 1 to ``most`` for each, nearly always the same one whatever else there is: what stays is not written again.

    >>> numbers(["b", "a", "c"], 100)["a"] == numbers(["a"], 100)["a"]
    True
    """
    found: dict[str, int] = {}
    taken: set[int] = set()
    for thing in sorted(set(things)):
        number = zlib.crc32(thing.encode()) % most
        while number in taken:
            number = (number + 1) % most
        taken.add(number)
        found[thing] = number + 1
    return found


def space_of(zone_id: str) -> str:
    """The network namespace of an EVPN zone, which is its VRF."""
    return PREFIX + zone_id[:11]


def evpn(slice: Wanted, address: str) -> list[str]:
    """EVPN zones: the default instance, which alone may have them, and an instance per zone that routes."""
    zones = [zone for zone in slice.zones if zone.type == "evpn"]
    if not zones:
        return []
    asn = zones[0].asn  # the same of all
    peers = {peer.address: peer for zone in zones for peer in zone.bgp_peers}
    inside = [] if any(peer.route_reflector for peer in peers.values()) else list(zones[0].vteps)
    neighbours = dict.fromkeys(sorted({*inside} - {address, *peers}), asn)
    neighbours |= {peer.address: peer.asn for peer in sorted(peers.values(), key=lambda peer: peer.address)}
    lines = [line for zone in zones for line in vrf_lines(zone)]
    lines += [
        f"router bgp {asn}",
        f" bgp router-id {address}",
        " no bgp ebgp-requires-policy",
        " no bgp default ipv4-unicast",
    ]
    for there, their_asn in neighbours.items():
        lines += [f" neighbor {there} remote-as {their_asn}", f" neighbor {there} timers 3 9"]
        lines += [f" neighbor {there} timers connect 5"]
        lines += [f" neighbor {there} ebgp-multihop {HOPS}"] if their_asn != asn else []
    lines += [" address-family l2vpn evpn", *(f"  neighbor {there} activate" for there in neighbours)]
    lines += ["  advertise-all-vni", " exit-address-family", "exit"]
    for zone in zones:
        lines += routed(zone, asn, address) if zone.l3_vni else []
    return lines


def vrf_lines(zone: Zone) -> list[str]:
    """Its namespace as FRR names it. Namespaces that no line names are none of FRR's business."""
    space = space_of(zone.id)
    vni = [f" vni {zone.l3_vni}"] if zone.l3_vni else []
    return [f"vrf {space}", f" netns {SPACES / space}", *vni, "exit-vrf"]


def waits(config: str) -> bool:
    """Whether a namespace that the configuration names is still to be made."""
    return any(not Path(path).exists() for path in re.findall(r"^ netns (\S+)$", config, re.MULTILINE))


def routed(zone: Zone, asn: int, address: str) -> list[str]:
    """A zone's prefixes: told to all, and taken from all (type 5)."""
    lines = [f"router bgp {asn} vrf {space_of(zone.id)}", f" bgp router-id {address}"]
    for family in ("ipv4", "ipv6"):
        lines += [f" address-family {family} unicast", "  redistribute connected", " exit-address-family"]
    lines += [" address-family l2vpn evpn", "  advertise ipv4 unicast", "  advertise ipv6 unicast"]
    if zone.route_targets:
        targets = " ".join(zone.route_targets)
        lines += [f"  route-target {way} {targets}" for way in ("import", "export")]
    return [*lines, " exit-address-family", "exit"]


SECTIONS: Sequence[Callable[[Wanted, str], list[str]]] = (evpn, speakers)
