"""What a trunk does to frames: tagged ones are its subports', others the parent's, and nobody else's.

This machine's kernel may know no VLANs, so a small program in the guest gives each tag a card of its own (``v100``).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.real.rates import packets
from tests.real.tenants import Server, Tenant, ask, pings
from tests.real.test_qos import FEW, Red, about, ending, free
from wolke.drivers import packet_rates
from wolke.lab import Lab, wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
EVERYTHING: list[dict[str, Any]] = [{}, {"ethertype": "IPv6"}]
# Each tag of the arguments is a tap; the kernel takes the tag off a frame and tells it beside (packet(7), PACKET_AUXDATA)
TAGS = """
import fcntl, os, select, socket, struct, sys
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
raw.setsockopt(263, 8, 1)
raw.bind(('eth0', 0))
taps = {}
for tag in map(int, sys.argv[1:]):
    tap = os.open('/dev/net/tun', os.O_RDWR)
    fcntl.ioctl(tap, 0x400454ca, struct.pack('16sH', b'v%d' % tag, 0x1002))
    taps[tap] = tag
print('ready', flush=True)
while True:
    for one in select.select([raw, *taps], [], [])[0]:
        if one is raw:
            frame, told, _, source = raw.recvmsg(4096, 256)
            tags = [struct.unpack('IIIHHHH', data[:20]) for _, _, data in told]
            tag = next((beside[5] & 4095 for beside in tags if beside[0] & 16), 0)
            for tap in taps:
                if taps[tap] == tag and source[2] != socket.PACKET_OUTGOING: os.write(tap, frame)
        else:
            frame = os.read(one, 4096)
            raw.send(frame[:12] + struct.pack('>HH', 0x8100, taps[one]) + frame[12:])
"""


class Trunk:
    """A guest whose card is a trunk's parent, with a card for each tag."""

    def __init__(self, tenant: Tenant, parent: Server) -> None:
        self.tenant, self.parent, self.guest = tenant, parent, parent.guest
        self.trunk = tenant.create("trunk", port_id=parent.port["id"])
        self.program: subprocess.Popen[str] | None = None

    def add(self, tag: int, port: dict[str, Any]) -> None:
        wanted = {"port_id": port["id"], "segmentation_type": "vlan", "segmentation_id": tag}
        self.tenant.call("PUT", f"trunks/{self.trunk['id']}/add_subports", sub_ports=[wanted])

    def remove(self, port: dict[str, Any]) -> None:
        body = {"sub_ports": [{"port_id": port["id"]}]}
        self.tenant.call("PUT", f"trunks/{self.trunk['id']}/remove_subports", **body)

    def cards(self, *tags: int) -> None:
        self.program = self.guest.popen(["python3", "-c", TAGS, *map(str, tags)], stdout=subprocess.PIPE, text=True)
        assert self.program.stdout and self.program.stdout.readline() == "ready\n"

    def card(self, tag: int, mac: str, *addresses: str) -> None:
        """Give a tag's card what its port has."""
        self.guest.run(f"ip link set v{tag} address {mac} mtu 1400 up".split())
        for address in addresses:
            self.guest.run(["ip", "address", "add", address, "dev", f"v{tag}", *(["nodad"] if ":" in address else [])])

    def status(self) -> str:
        return str(self.tenant.call("GET", f"trunks/{self.trunk['id']}")["trunk"]["status"])

    def gone(self) -> None:
        if self.program:
            self.program.kill()
            self.program.wait()


@pytest.fixture
def red(lab: Lab) -> Iterator[Tenant]:
    made = Tenant(lab, "trunk-red")
    yield made
    made.end()


@pytest.fixture
def qos(lab: Lab) -> Iterator[Red]:
    yield from ending(Red(lab, "trunk-qos"))


def inside(red: Tenant, network: dict[str, Any], group: dict[str, Any]) -> dict[str, Any]:
    return red.create("port", network_id=network["id"], security_groups=[group["id"]])


def of(port: dict[str, Any]) -> list[str]:
    """A port's addresses with the lengths that these networks have."""
    found = (fixed["ip_address"] for fixed in port["fixed_ips"])
    return [f"{address}/64" if ":" in address else f"{address}/24" for address in found]


def test_a_trunk_carries_networks_by_their_tags_and_nothing_else(lab: Lab, red: Tenant) -> None:
    group = red.group(*EVERYTHING)
    plain = red.network("10.0.0.0/24")
    networks = {
        100: red.network("10.0.1.0/24", "fd00:1::/64"),
        200: red.network("10.0.1.0/24"),
    }  # the same addresses twice
    near = red.server(plain, 2, group)
    far = {tag: red.server(network, 2 if tag == 100 else 1, group) for tag, network in networks.items()}
    ports = {tag: inside(red, network, group) for tag, network in networks.items()}
    trunk = Trunk(red, red.server(plain, 1, group))
    try:
        for tag, port in ports.items():
            trunk.add(tag, port)
        trunk.cards(100, 200, 300)
        trunk.card(100, ports[100]["mac_address"], *of(ports[100]))
        far[100].serve("red")
        assert wait_for(lambda: pings(trunk.guest, near.address()), 30), "frames without a tag are the parent's"
        assert wait_for(lambda: pings(trunk.guest, far[100].address()), 30), "tag 100 does not reach its network"
        assert wait_for(lambda: pings(trunk.guest, far[100].address(6)), 30)
        assert ask(trunk.guest, far[100].address()) == f"red {of(ports[100])[0].partition('/')[0]}"
        assert wait_for(lambda: trunk.status() == "ACTIVE", 30)
        # the other network has the same addresses: only the tag tells them apart
        trunk.guest.run(["ip", "address", "flush", "dev", "v100"])
        trunk.card(200, ports[200]["mac_address"], *of(ports[200]))
        far[200].serve("blue")
        answer = f"blue {of(ports[200])[0].partition('/')[0]}"
        assert wait_for(lambda: ask(trunk.guest, far[200].address()) == answer, 30)
        # a tag that the trunk has not, and a subport's tag with another one's MAC, go nowhere
        trunk.guest.run(["ip", "address", "flush", "dev", "v200"])
        trunk.card(300, ports[200]["mac_address"], *of(ports[200]))
        assert not pings(trunk.guest, far[200].address())
        trunk.guest.run(["ip", "address", "flush", "dev", "v300"])
        trunk.card(200, ports[100]["mac_address"], *of(ports[200]))
        assert not pings(trunk.guest, far[200].address())
        trunk.card(200, ports[200]["mac_address"])
        assert wait_for(lambda: pings(trunk.guest, far[200].address()), 30)
        # a removed subport's frames stop, the others go on
        trunk.remove(ports[200])
        assert wait_for(lambda: not pings(trunk.guest, far[200].address()), 30)
        assert pings(trunk.guest, near.address())
    finally:
        trunk.gone()


def test_the_rules_of_a_subport_are_its_own(lab: Lab, red: Tenant) -> None:
    open_to_all, shut = red.group(*EVERYTHING), red.group()
    plain, network = red.network("10.0.0.0/24"), red.network("10.0.1.0/24")
    other = red.server(network, 2, open_to_all)
    port = inside(red, network, shut)
    trunk = Trunk(red, red.server(plain, 1, open_to_all))
    try:
        trunk.add(100, port)
        trunk.cards(100)
        trunk.card(100, port["mac_address"], *of(port))
        assert wait_for(lambda: pings(trunk.guest, other.address()), 30)
        address = port["fixed_ips"][0]["ip_address"]
        assert not pings(other.guest, address), "nothing lets it in"
        rule = red.rule(shut, protocol="icmp")
        assert wait_for(lambda: pings(other.guest, address), 30)
        red.delete("security_group_rule", rule["id"])
        assert wait_for(lambda: not pings(other.guest, address), 30)
    finally:
        trunk.gone()


def test_the_packet_rate_of_a_subport_is_its_own(lab: Lab, qos: Red) -> None:
    group, limits = qos.group(*EVERYTHING), {"max_kpps": 1, "max_burst_kpps": 1}
    plain, network = qos.network("10.0.0.0/24"), qos.network("10.0.1.0/24")
    near, far = qos.server(plain, 2, group), qos.server(network, 2, group)
    port = inside(qos, network, group)
    trunk = Trunk(qos, qos.server(plain, 1, group))
    policy = qos.policy(packet_rate_limit__out=limits, packet_rate_limit__in={**limits, "direction": "ingress"})
    try:
        trunk.add(100, port)
        trunk.cards(100)
        trunk.card(100, port["mac_address"], *of(port))
        assert wait_for(lambda: pings(trunk.guest, far.address()) and pings(trunk.guest, near.address()), 60)
        qos.call("PUT", f"ports/{port['id']}", port={"qos_policy_id": policy["id"]})
        words = ["ovs-ofctl", "dump-flows", "br-int", f"cookie={packet_rates.COOKIE:#x}/-1"]
        assert wait_for(lambda: lab.host(1).run(words).stdout.count("actions=") == 3, 30)
        assert wait_for(lambda: about(FEW)(packets(trunk.guest, [far.guest], far.address())[0]), 60)
        address = of(port)[0].partition("/")[0]
        assert wait_for(lambda: about(FEW)(packets(far.guest, [trunk.guest], address)[0]), 60)
        assert free(trunk.parent, near) and free(near, trunk.parent), "what bears no tag is the parent's"
    finally:
        qos.call("PUT", f"ports/{port['id']}", port={"qos_policy_id": None})
        trunk.gone()
