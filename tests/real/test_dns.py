"""Names of servers as guests ask for them: any name server's address will do, because their own switch answers."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from tests.real.tenants import Server, Tenant, pings
from wolke.lab import Lab, wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
EVERYTHING: list[dict[str, Any]] = [{}, {"ethertype": "IPv6"}]
# Asks a server for a name and type (RFC 1035); prints the answers, "" where there are none, "silent" where nobody answers
RESOLVE = """
import socket, struct, sys
server, name, kind = sys.argv[1:]
number = {'A': 1, 'AAAA': 28, 'PTR': 12}[kind]
labels = b''.join(bytes([len(label)]) + label.encode() for label in name.split('.')) + b'\\0'
asking = socket.socket(socket.AF_INET6 if ':' in server else socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(1.5)
asking.connect((server, 53))
asking.send(struct.pack('>6H', 7, 0x0100, 1, 0, 0, 0) + labels + struct.pack('>HH', number, 1))
try: answer = asking.recv(2000)
except OSError: sys.exit(print('silent'))
count, at = struct.unpack('>H', answer[6:8])[0], 12 + len(labels) + 4
for _ in range(count):
    while answer[at]: at += 2 if answer[at] > 191 else answer[at] + 1
    at += 0 if answer[at - 2] > 191 else 1
    (found, _, _, length), data = struct.unpack('>HHIH', answer[at:at + 10]), at + 10
    at = data + length
    if found == 1: print(socket.inet_ntop(socket.AF_INET, answer[data:at]))
    if found == 28: print(socket.inet_ntop(socket.AF_INET6, answer[data:at]))
    if found == 12:
        parts = []
        while answer[data]: parts.append(answer[data + 1:data + 1 + answer[data]].decode()); data += answer[data] + 1
        print('.'.join(parts))
"""


def resolved(asking: Server, of: str, name: str, kind: str = "A") -> list[str]:
    """What a guest is answered that asks a name server at this address."""
    return sorted(asking.guest.run(["python3", "-c", RESOLVE, of, name, kind]).stdout.split())


@pytest.fixture
def red(lab: Lab) -> Iterator[Tenant]:
    made = Tenant(lab, "dns-red")
    yield made
    made.end()


def test_names_are_known_inside_their_network_and_follow_every_change(lab: Lab, red: Tenant) -> None:
    group = red.group(*EVERYTHING)
    network, other = red.network("10.0.0.0/24", "fd00:1::/64", dns_domain="red.example."), red.network("10.0.0.0/24")
    web = red.server(network, 1, group, dns_name="web", device_id="web")
    asking = red.server(network, 2, group, dns_name="asking", device_id="asking")
    stranger, else_where = red.server(other, 2, group), red.server(other, 1, group, dns_name="shop", device_id="shop")
    assert wait_for(lambda: pings(asking.guest, web.address()), 30)
    assert wait_for(lambda: pings(stranger.guest, else_where.address()), 30)
    nobody = web.address()  # runs no name server: what is not answered on the way is answered by nobody

    def says(name: str, kind: str = "A") -> list[str]:
        return resolved(asking, nobody, name, kind)

    for name in ("web", "web.red.example", "WEB.Red.Example"):
        assert wait_for(lambda n=name: says(n) == [web.address()], 30), name
        assert says(name, "AAAA") == [web.address(6)]
    for version in (4, 6):
        assert says(ip_address(web.address(version)).reverse_pointer, "PTR") == ["web.red.example"]
    assert says("asking.red.example") == [asking.address()]
    assert resolved(asking, web.address(6), "web") == [web.address()], "asked over IPv6"
    for unknown in ("nobody", "web.cloud.internal", "web.example"):
        assert says(unknown) == ["silent"], unknown
    # the other network has names of its own
    assert wait_for(
        lambda: resolved(stranger, else_where.address(), "shop.cloud.internal") == [else_where.address()], 30
    )
    assert resolved(stranger, else_where.address(), "web") == ["silent"] and says("shop") == ["silent"]
    # a new name, a new domain, a new address, no name
    red.call("PUT", f"ports/{web.port['id']}", port={"dns_name": "front"})
    assert wait_for(lambda: says("front.red.example") == [web.address()] and says("web") == ["silent"], 30)
    red.call("PUT", f"networks/{network['id']}", network={"dns_domain": "blue.example."})
    assert wait_for(
        lambda: says("front.blue.example") == [web.address()] and says("front.red.example") == ["silent"], 30
    )
    assert says(ip_address(web.address()).reverse_pointer, "PTR") == ["front.blue.example"]
    red.call("PUT", f"ports/{web.port['id']}", port={"dns_domain": "own.example."})
    assert wait_for(lambda: says("front.own.example") == [web.address()], 30)
    wanted = [{"subnet_id": network["subnets"][0], "ip_address": "10.0.0.77"}, {"subnet_id": network["subnets"][1]}]
    red.call("PUT", f"ports/{web.port['id']}", port={"fixed_ips": wanted})
    assert wait_for(lambda: says("front") == ["10.0.0.77"], 30)
    red.call("PUT", f"ports/{web.port['id']}", port={"dns_name": ""})
    assert wait_for(lambda: says("front") == ["silent"], 30)
    assert says("asking") == [asking.address()], "others keep their names"
