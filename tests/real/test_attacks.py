"""What a hostile guest can do to its neighbours, to other projects and to the hosts: frames made by hand, and victims that count.

Every attack has its *control*: the same kind of frame, honest, does arrive. So a count of none is not a deaf victim. The table is printed
(``-rP`` shows it). Security groups let everything through here: what holds is what no project can switch off for others.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.real import attacker as raw
from tests.real.packets import Packets
from tests.real.tenants import Server, Tenant, ask, pings
from wolke.lab import Lab, wait_for
from wolke.lab.cloud import AGENT_PORT, AGENTS_PORT
from wolke.lab.engines import SOUTHBOUND_PORT
from wolke.lab.wires import CONTROL_ADDRESS, host_address

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
PROGRAM = str(Path(raw.__file__).resolve())
BROADCAST, ALL_NODES = "ff:ff:ff:ff:ff:ff", "33:33:00:00:00:01"
MULTICAST_DHCP6 = "33:33:00:01:00:02"
STORM_KBIT, PUNTS = 2000, 500  # the defaults of the settings
REPEATED = 20  # how often each forged frame is sent
TABLE: list[tuple[str, str]] = []


def mark() -> bytes:
    """Bytes that no other frame holds."""
    return b"mark" + os.urandom(12)


def link_local(mac: str) -> str:
    from wolke.compute.hosts.wanted import link_local as made

    return made(mac)


@dataclass
class Scene:
    lab: Lab
    tenants: list[Tenant] = field(default_factory=list)
    evil: Server = None  # type: ignore[assignment]
    victims: list[Server] = field(default_factory=list)  # same network: same host, other host
    stranger: Server = None  # type: ignore[assignment]  # of another project on the attacker's host
    gateway_mac: str = ""

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


@pytest.fixture(scope="module")
def scene(lab: Lab) -> Iterator[Scene]:
    made = Scene(lab)
    try:
        made.build()
        yield made
    finally:
        for tenant in made.tenants:
            tenant.end()
        print("\n" + "\n".join(f"{attack:58} {figures}" for attack, figures in TABLE))


def note(attack: str, figures: str) -> None:
    TABLE.append((attack, figures))
    print(f"{attack}: {figures}")


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
    note(attack, f"{leaked} of {REPEATED} arrived; honest ones {arrived}")
    assert arrived >= REPEATED and leaked == 0


# Servers that are none ----------------------------------------------------------------------------------------------
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
    note("rogue DHCP server", f"{leaked} of {2 * REPEATED} offers arrived; the same from other ports {arrived}")
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
    note("rogue DHCPv6 server", f"{leaked} of {REPEATED} replies arrived; the same from another port {arrived}")
    assert arrived >= REPEATED and leaked == 0


def test_a_rogue_router_is_not_heard(scene: Scene) -> None:
    good, bad = mark(), mark()
    mac = scene.evil.port["mac_address"]

    def message(kind: int, what: bytes) -> bytes:
        rest = bytes.fromhex("40c0070800000000") + bytes(4) + bytes([253, 3]) + what + bytes(6)
        return raw.ethernet(ALL_NODES, mac, 0x86DD, raw.icmp6(link_local(mac), "ff02::1", kind, rest))

    arrived = scene.heard(good, message(200, good))  # a type for experiments
    leaked = scene.heard(bad, message(134, bad))
    note("rogue router advertisements", f"{leaked} of {REPEATED} arrived; another type of ICMPv6 {arrived}")
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
    note(
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
    note(
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
    note("frames to another project's MAC and address", f"{leaked} of {2 * REPEATED} arrived")
    assert leaked == 0


# Fragments ----------------------------------------------------------------------------------------------------------
LISTEN = """
import socket, sys, threading, time
def take(port):
    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); ear.bind(('', port)); ear.settimeout(float(sys.argv[1]))
    count, whole = 0, 0
    try:
        while True:
            data, peer = ear.recvfrom(65536); count += 1; whole = max(whole, len(data)); ear.sendto(b'!', peer)
    except TimeoutError: print(port, count, whole, flush=True)
ears = [threading.Thread(target=take, args=(int(port),)) for port in sys.argv[2:]]
for ear in ears: ear.start()
print('listening', flush=True)
for ear in ears: ear.join()
"""


def test_fragments_do_not_pass_what_security_groups_shut(scene: Scene) -> None:
    """The victim takes UDP on port 53 only; the attacker hides port 9999 in fragments that overlap, that are tiny, or that come alone."""
    own = scene.tenants[0]
    network = {
        "id": scene.evil.port["network_id"],
        "mtu": 1442,
        "subnets": [fixed["subnet_id"] for fixed in scene.evil.port["fixed_ips"]],
    }
    shut = own.server(
        network, 2, own.group({"protocol": "udp", "port_range_min": 53, "port_range_max": 53}, {"protocol": "icmp"})
    )
    assert wait_for(lambda: pings(scene.evil.guest, shut.address()), 60, every=0.3)
    mac, source, target = scene.evil.port["mac_address"], scene.evil.address(), shut.address()
    what = mark()

    def frame(payload: bytes, **options: Any) -> bytes:
        return raw.ethernet(shut.port["mac_address"], mac, 0x0800, raw.ipv4(source, target, 17, payload, **options))

    good, evil = raw.udp(40000, 53, bytes(2400)), raw.udp(40000, 9999, what + bytes(2384))
    attacks = {
        "overlapping: the second one writes the port anew": [
            frame(good[:1208], id=11, more=True), frame(evil[:1208], id=11, more=True), frame(evil[1208:], id=11, offset=1208)],
        "overlapping: the header comes last": [
            frame(evil[1208:], id=12, offset=1208), frame(good[:1208], id=12, more=True), frame(evil[:1216], id=12, more=True)],
        "tiny: half a header first": [frame(evil[:8], id=13, more=True), frame(evil[8:1208], id=13, offset=8)],
        "without a beginning": [frame(what + bytes(1192), id=14, offset=64)],
    }  # fmt: skip
    # 4000 bytes from a port of its own, again and again: the answers make it an established conversation
    honest = (
        "import socket, sys, time; s = socket.socket(2, 2); s.bind(('', 40000))\n"
        f"for port in (53, 9999):\n    s.sendto(b'hello', ({target!r}, port)); time.sleep(0.2)\n"
        f"    for _ in range(5): s.sendto(bytes(4000), ({target!r}, port))"
    )
    open_to_all = scene.victims[1]
    for where, server in (("a port that is open to all", open_to_all), ("a rule for this port alone", shut)):
        listening = listener(server, 4, 53, 9999)
        scene.evil.guest.run(["python3", "-c", honest.replace(target, server.address())])
        counts = counted(listening)
        note(f"fragments, honest: 4000 bytes to {where}", f"{counts[53][0] - 1} of 5 arrived whole")
        # Later fragments bear no port numbers. OVS in userspace does not put them together before it looks (docs/design/0018).
        assert counts[53] == (6, 4000) if server is open_to_all else counts[9999][0] == 0
    for name, frames in attacks.items():
        ear = Ear(shut.guest, what, 5)
        listening = listener(shut, 5, 53, 9999)
        scene.evil.guest.run(["python3", "-c", honest])
        for number in range(REPEATED):
            renumbered = [
                one[:18] + (int.from_bytes(one[18:20], "big") * 100 + number).to_bytes(2, "big") + one[20:]
                for one in frames
            ]
            scene.send(*(mended(one) for one in renumbered), count=len(frames), rate=0)
        counts = counted(listening)
        leaked = ear.count()
        note(
            f"fragments, {name}",
            f"{counts[9999][0]} of {REPEATED} reached the shut port; {leaked} frames of them were seen",
        )
        assert counts[9999][0] == 0


def mended(frame: bytes) -> bytes:
    """The IPv4 header's checksum anew."""
    head = frame[14:34]
    return (
        frame[:14]
        + head[:10]
        + raw.checksum(head[:10] + b"\0\0" + head[12:]).to_bytes(2, "big")
        + head[12:]
        + frame[34:]
    )


def listener(server: Server, seconds: float, *ports: int) -> Any:
    made = server.guest.popen(
        ["python3", "-c", LISTEN, str(seconds), *map(str, ports)], stdout=subprocess.PIPE, text=True
    )
    assert made.stdout.readline() == "listening\n"
    return made


def counted(running: Any) -> dict[int, tuple[int, int]]:
    lines = running.communicate(timeout=60)[0].splitlines()
    return {int(port): (int(count), int(whole)) for port, count, whole in map(str.split, lines)}


# Storms -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["broadcast", "multicast", "ARP requests"])
def test_a_storm_is_limited_and_others_go_on(scene: Scene, kind: str, tmp_path: Path) -> None:
    what, mac, own = mark(), scene.evil.port["mac_address"], scene.evil.address()
    payload = raw.ipv4(
        own, "10.0.0.255" if kind == "broadcast" else "224.0.0.251", 17, raw.udp(9, 9, what + bytes(900))
    )
    storm = {
        "broadcast": raw.ethernet(BROADCAST, mac, 0x0800, payload),
        "multicast": raw.ethernet("01:00:5e:00:00:fb", mac, 0x0800, payload),
        "ARP requests": raw.ethernet(BROADCAST, mac, 0x0806, raw.arp(1, mac, own, "00:00:00:00:00:00", "10.0.0.251") + what + bytes(900)),
    }[kind]  # fmt: skip
    others = Packets(scene.victims[0].guest, scene.victims[1].address(), tmp_path / "pings.txt", every=0.05)
    assert others.flows(time.time())
    ear, began = Ear(scene.victims[1].guest, what, 15), time.time()
    count = scene.send(storm, count=300_000, rate=0)
    took = time.time() - began
    heard = ear.count()
    gap = others.longest(began)
    others.stop()
    allowed = STORM_KBIT * 1000 * (took + 2) / 8 / len(storm)
    note(
        f"storm of {kind}",
        f"{count / took:.0f}/s sent, {heard / took:.0f}/s arrived ({heard * len(storm) * 8 / took / 1000:.0f} kbit/s); "
        f"others' gap {gap:.2f} s",
    )
    assert 0 < heard < allowed < count
    assert gap < 3


def test_a_flood_of_dhcp_starves_nobody(scene: Scene) -> None:
    """Discoveries of a hundred invented clients: no address is taken, and a guest of another project on the host gets its own."""
    mac = scene.evil.port["mac_address"]
    names = [f"02:00:00:00:{n // 256:02x}:{n % 256:02x}" for n in range(100)]
    frames = [
        raw.ethernet(
            BROADCAST, mac, 0x0800, raw.ipv4("0.0.0.0", "255.255.255.255", 17, raw.udp(68, 67, dhcp(1, name, b"flood")))
        )
        for name in names
    ]
    offers = OffersHeard(scene.evil.guest, 6)
    words = ["python3", PROGRAM, "send", "20000", "0", *(frame.hex() for frame in frames)]
    began = time.time()
    flood = scene.evil.guest.popen(words, stdout=subprocess.PIPE, text=True)
    asked = scene.stranger.guest.run(
        ["busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "10", "-T", "1", "-s", "/bin/true"], check=False
    )
    waited = time.time() - began
    sent_frames = int(flood.communicate(timeout=60)[0])
    took = time.time() - began
    addresses, replies = offers.result()
    lease = scene.stranger.address() in asked.stdout + asked.stderr
    note(
        "flood of DHCP",
        f"{sent_frames / took:.0f}/s sent, {replies} answers, addresses offered {sorted(addresses)}; "
        f"another project got its lease after {waited:.1f} s",
    )
    assert addresses <= {scene.evil.address()} and lease, asked.stderr
    assert replies <= PUNTS * (took + 2)


OFFERS = """
import socket, sys, time
ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)); ear.bind(('eth0', 0)); end = time.monotonic() + float(sys.argv[1])
print('listening', flush=True); found, count = set(), 0
while (left := end - time.monotonic()) > 0:
    ear.settimeout(left)
    try: frame, (_, _, kind, *_) = ear.recvfrom(65536)
    except TimeoutError: break
    if kind != 4 and frame[12:14] == b'\\x08\\0' and frame[23] == 17 and frame[36:38] == b'\\0\\x44' and frame[42] == 2:
        count += 1; found.add(socket.inet_ntoa(frame[58:62]))
print(count, *found)
"""


class OffersHeard:
    def __init__(self, guest: Any, seconds: float) -> None:
        self.running = guest.popen(["python3", "-c", OFFERS, str(seconds)], stdout=subprocess.PIPE, text=True)
        assert self.running.stdout.readline() == "listening\n"

    def result(self) -> tuple[set[str], int]:
        count, *addresses = self.running.communicate(timeout=60)[0].split()
        return set(addresses), int(count)


def test_a_flood_to_unknown_neighbours_leaves_the_routers_of_others_alone(scene: Scene) -> None:
    """Each packet to an address that the router has not resolved goes to ovn-controller: others' routers resolve all the same."""
    mac, own = scene.evil.port["mac_address"], scene.evil.address()
    frames = [
        raw.ethernet(scene.gateway_mac, mac, 0x0800, raw.ipv4(own, f"198.51.100.{last}", 1, raw.echo(7, bytes(20))))
        for last in range(210, 250)
    ]
    other = scene.tenants[1]
    words = ["python3", PROGRAM, "send", "20000", "0", *(frame.hex() for frame in frames)]
    flood = scene.evil.guest.popen(words, stdout=subprocess.PIPE, text=True)
    began = time.time()
    router = other.router({"subnets": [fixed["subnet_id"] for fixed in scene.stranger.port["fixed_ips"]]})
    out = wait_for(lambda: pings(scene.stranger.guest, "198.51.100.254"), 30, every=0.1)
    took = time.time() - began
    count = int(flood.communicate(timeout=60)[0])
    note("flood to unresolved neighbours", f"{count} packets; another project's new router led out after {took:.1f} s")
    assert out and router["id"]


def test_a_neighbour_cannot_read_a_server_s_metadata(scene: Scene) -> None:
    """Without a server in its own network a guest finds no metadata service at all; see ``tests/real/test_cloud.py`` for servers."""
    assert ask(scene.stranger.guest, "169.254.169.254", 80) == ""
    assert ask(scene.evil.guest, "169.254.169.254", 80) == ""
    note("another project's metadata", "no connection")
