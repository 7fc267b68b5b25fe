"""What a hostile guest can do to its neighbours, to other projects and to the hosts: frames made by hand, and victims that count."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.real import attacker as raw
from tests.real.attacks import ALL_NODES, BROADCAST, REPEATED, Ear, Scene, dhcp, mark, staged
from tests.real.tenants import Server, ask, pings
from wolke.compute.hosts.wanted import link_local
from wolke.lab import Lab
from wolke.lab.cloud import AGENT_PORT, AGENTS_PORT
from wolke.lab.engines import SOUTHBOUND_PORT
from wolke.lab.wires import CONTROL_ADDRESS, host_address

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def scene(lab: Lab) -> Iterator[Scene]:
    with staged(lab) as made:
        yield made


# Forged senders -----------------------------------------------------------------------------------------------------
def claim(scene: Scene, address: str, mac: str, what: bytes) -> bytes:
    """An ARP answer that says: this address is mine; the mark follows in the frame's padding."""
    return raw.ethernet(BROADCAST, mac, 0x0806, raw.arp(2, mac, address, BROADCAST, scene.victims[0].address()) + what)


def datagram(mac: str, source: str, to: Server, what: bytes) -> bytes:
    target = to.address(6 if ":" in source else 4)
    if ":" in source:
        packet = raw.ipv6(source, target, 17, raw.udp(9, 9, what, (source, target)))
        return raw.ethernet(to.port["mac_address"], mac, 0x86DD, packet)
    return raw.ethernet(to.port["mac_address"], mac, 0x0800, raw.ipv4(source, target, 17, raw.udp(9, 9, what)))


def advertisement(mac: str, source: str, address: str, what: bytes) -> bytes:
    """A neighbour advertisement: this address is mine; the mark is an option that nobody knows."""
    rest = (
        bytes.fromhex("20000000")
        + raw.ip_address(address).packed
        + bytes([2, 1])
        + raw.mac(mac)
        + bytes([253, 3])
        + what
        + bytes(6)
    )
    return raw.ethernet(ALL_NODES, mac, 0x86DD, raw.icmp6(source, "ff02::1", 136, rest))


Frames = Callable[[Scene, bytes], bytes]


def arp_of(s: Scene, m: bytes) -> bytes:
    return claim(s, s.evil.address(), own(s), m)


def nd_of(s: Scene, m: bytes) -> bytes:
    return advertisement(own(s), s.evil.address(6), s.evil.address(6), m)


def from_itself(version: int) -> Frames:
    return lambda s, m: datagram(own(s), s.evil.address(version), s.victims[0], m)


def own(s: Scene) -> str:
    return str(s.evil.port["mac_address"])


def theirs(s: Scene) -> str:
    return str(s.victims[1].port["mac_address"])


# what is forged -> (the forged frame, the honest one)
FORGED: dict[str, tuple[Frames, Frames]] = {
    "ARP: the gateway's address is mine": (lambda s, m: claim(s, "10.0.0.1", own(s), m), arp_of),
    "ARP: a neighbour's address is mine": (lambda s, m: claim(s, s.victims[1].address(), own(s), m), arp_of),
    "ARP: with a neighbour's MAC": (lambda s, m: claim(s, s.victims[1].address(), theirs(s), m), arp_of),
    "ND: a neighbour's address is mine": (
        lambda s, m: advertisement(own(s), link_local(own(s)), s.victims[1].address(6), m), nd_of),
    "ND: the gateway's address is mine": (
        lambda s, m: advertisement(own(s), s.evil.address(6), link_local(s.gateway_mac), m), nd_of),
    "a forged MAC": (lambda s, m: datagram("02:00:00:00:66:66", s.evil.address(), s.victims[0], m), from_itself(4)),
    "a neighbour's IPv4 address": (lambda s, m: datagram(own(s), s.victims[1].address(), s.victims[0], m), from_itself(4)),
    "an IPv4 address of nobody's": (lambda s, m: datagram(own(s), "10.0.0.250", s.victims[0], m), from_itself(4)),
    "a neighbour's IPv6 address": (lambda s, m: datagram(own(s), s.victims[1].address(6), s.victims[0], m), from_itself(6)),
}  # fmt: skip


@pytest.mark.parametrize("attack", list(FORGED))
def test_a_forged_sender_does_not_leave_the_port(scene: Scene, attack: str) -> None:
    forged, honest = FORGED[attack]
    good, bad = mark(), mark()
    arrived = scene.heard(good, honest(scene, good))
    leaked = scene.heard(bad, forged(scene, bad))
    scene.note(attack, f"{leaked} of {REPEATED} arrived; honest ones {arrived}")
    assert arrived >= REPEATED and leaked == 0


# Servers that are none ----------------------------------------------------------------------------------------------
def test_a_rogue_dhcp_server_is_not_heard(scene: Scene) -> None:
    good, bad = mark(), mark()
    mac, own, victim = scene.evil.port["mac_address"], scene.evil.address(), scene.victims[1]

    def offer(what: bytes, ports: tuple[int, int], to: str) -> bytes:
        body = dhcp(2, victim.port["mac_address"], what, "10.0.0.66")
        return raw.ethernet(to, mac, 0x0800, raw.ipv4(own, "255.255.255.255", 17, raw.udp(*ports, body)))

    arrived = scene.heard(good, offer(good, (6767, 6868), victim.port["mac_address"]))
    leaked = scene.heard(
        bad, offer(bad, (67, 68), BROADCAST), offer(bad, (67, 68), victim.port["mac_address"]), count=2 * REPEATED
    )
    scene.note("rogue DHCP server", f"{leaked} of {2 * REPEATED} offers arrived; the same from other ports {arrived}")
    assert arrived >= REPEATED and leaked == 0


def test_a_rogue_dhcpv6_server_is_not_heard(scene: Scene) -> None:
    good, bad = mark(), mark()
    mac, victim = scene.evil.port["mac_address"], scene.victims[1]
    ends = (link_local(mac), link_local(victim.port["mac_address"]))

    def reply(what: bytes, source: int) -> bytes:
        return raw.ethernet(
            victim.port["mac_address"],
            mac,
            0x86DD,
            raw.ipv6(*ends, 17, raw.udp(source, 546, b"\x07\0\0\1" + what, ends)),
        )

    arrived, leaked = scene.heard(good, reply(good, 5470)), scene.heard(bad, reply(bad, 547))
    scene.note("rogue DHCPv6 server", f"{leaked} of {REPEATED} replies arrived; the same from another port {arrived}")
    assert arrived >= REPEATED and leaked == 0


def test_a_rogue_router_is_not_heard(scene: Scene) -> None:
    good, bad = mark(), mark()
    mac = scene.evil.port["mac_address"]

    def message(kind: int, what: bytes) -> bytes:
        rest = bytes.fromhex("40c0070800000000") + bytes(4) + bytes([253, 3]) + what + bytes(6)
        return raw.ethernet(ALL_NODES, mac, 0x86DD, raw.icmp6(link_local(mac), "ff02::1", kind, rest))

    arrived = scene.heard(good, message(200, good))  # a type for experiments
    leaked = scene.heard(bad, message(134, bad))
    scene.note("rogue router advertisements", f"{leaked} of {REPEATED} arrived; another type of ICMPv6 {arrived}")
    assert arrived >= REPEATED and leaked == 0
    for victim in scene.victims:
        assert link_local(mac) not in victim.guest.run(["ip", "-6", "route"]).stdout


# Other projects and the hosts ---------------------------------------------------------------------------------------
def test_tunnel_packets_from_a_guest_reach_no_other_network(scene: Scene) -> None:
    """A guest that speaks Geneve and VXLAN itself, with every plausible network number, and a frame for another project's guest inside."""
    what, mac, own = mark(), scene.evil.port["mac_address"], scene.evil.address()
    inner = raw.ethernet(
        BROADCAST, "02:00:00:00:00:01", 0x0800, raw.ipv4("10.0.0.9", "10.0.0.255", 17, raw.udp(9, 9, what))
    )
    keys = {
        int(key)
        for key in re.findall(r"\d+", scene.lab.ovn_sbctl("--bare", "--columns=tunnel_key", "list", "Datapath_Binding"))
    }
    geneve = [
        bytes.fromhex("0240655880")[:2]
        + b"\x65\x58"
        + key.to_bytes(3, "big")
        + b"\0"
        + bytes.fromhex("01028001")
        + b"\0\1\x80\0"
        + inner
        for key in sorted(keys)
    ]
    vxlan = [b"\x08\0\0\0" + key.to_bytes(3, "big") + b"\0" + inner for key in sorted(keys)]
    frames = [
        raw.ethernet(scene.gateway_mac, mac, 0x0800, raw.ipv4(own, host_address(number), 17, raw.udp(40000, port, body)))
        for number in (1, 2) for port, bodies in ((6081, geneve), (4789, vxlan)) for body in bodies
    ]  # fmt: skip
    leaked = scene.heard(what, *frames, count=2 * len(frames), rate=200, seconds=3 + len(frames) / 100)
    scene.note(
        "Geneve and VXLAN to the hosts",
        f"{leaked} of {2 * len(frames)} inner frames arrived ({len(keys)} network numbers)",
    )
    assert leaked == 0


def test_the_hosts_and_the_control_plane_have_no_address_for_guests(scene: Scene) -> None:
    port = scene.lab.facts.port
    places = [
        (CONTROL_ADDRESS, SOUTHBOUND_PORT),
        (CONTROL_ADDRESS, AGENTS_PORT),
        (CONTROL_ADDRESS, 22),
        ("198.51.100.1", port),
    ]
    places += [(host_address(number), one) for number in (1, 2) for one in (AGENT_PORT, 22, 179)]
    assert pings(scene.evil.guest, "198.51.100.254"), "the guest has a way out"
    script = (
        "import socket, sys\n"
        "for place in sys.argv[1:]:\n"
        "    address, _, port = place.rpartition(':')\n"
        "    try: socket.create_connection((address, int(port)), 2).close(); print(place)\n"
        "    except OSError: pass"
    )
    words = ["python3", "-c", script, *(f"{address}:{one}" for address, one in places)]
    reached = scene.evil.guest.run(words, timeout=120).stdout.split()
    answered = [
        address for address in {address for address, _ in places} - {"198.51.100.1"} if pings(scene.evil.guest, address)
    ]
    scene.note(
        "hosts', agents' and the API's addresses",
        f"{len(reached)} of {len(places)} took a connection, {len(answered)} answered pings",
    )
    assert reached == [] and answered == []


def test_another_project_with_the_same_addresses_is_not_reached(scene: Scene) -> None:
    what = mark()
    frames = [
        raw.ethernet(scene.stranger.port["mac_address"], scene.evil.port["mac_address"], 0x0800,
                     raw.ipv4(scene.evil.address(), scene.stranger.address(), 17, raw.udp(9, 9, what))),
        datagram(scene.evil.port["mac_address"], scene.evil.address(), scene.stranger, what),
    ]  # fmt: skip
    ear = Ear(scene.stranger.guest, what, 3)
    scene.send(*frames, count=2 * REPEATED)
    leaked = ear.count()
    scene.note("frames to another project's MAC and address", f"{leaked} of {2 * REPEATED} arrived")
    assert leaked == 0


def test_a_neighbour_cannot_read_a_server_s_metadata(scene: Scene) -> None:
    """Without a server in its own network a guest finds no metadata service at all; see ``tests/real/test_cloud.py`` for servers."""
    assert ask(scene.stranger.guest, "169.254.169.254", 80) == ""
    assert ask(scene.evil.guest, "169.254.169.254", 80) == ""
    scene.note("another project's metadata", "no connection")
