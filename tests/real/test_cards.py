"""What a port tells its guest by DHCP, and how it is handed from one host to another."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tests.real.packets import Packets
from tests.real.tenants import Tenant, pings
from wolke.lab import Lab, wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
EVERYTHING: list[dict[str, Any]] = [{}, {"ethertype": "IPv6"}]
# Asks by DHCP (RFC 2131) for the options of its arguments; prints what is offered as JSON: number -> hex, and 0 -> next server
DISCOVER = """
import json, socket, struct, sys
card = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
card.bind(('eth0', 0))
mac = card.getsockname()[4]
asked = bytes(map(int, sys.argv[1:]))
options = b'\\x63\\x82\\x53\\x63' + b'\\x35\\x01\\x01' + bytes([55, len(asked)]) + asked + b'\\xff'
packet = struct.pack('>BBBBIHH4x4x4x4x', 1, 1, 6, 0, 7, 0, 0x8000) + mac + bytes(10 + 64 + 128) + options
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
asking.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'eth0')
asking.bind(('', 68))
asking.settimeout(2)
asking.sendto(packet, ('255.255.255.255', 67))
try: answer = asking.recv(4096)
except OSError: sys.exit(print('{}'))
found, at = {0: answer[20:24].hex()}, 240
while answer[at] != 255:
    if answer[at]: found[answer[at]] = answer[at + 2:at + 2 + answer[at + 1]].hex(); at += answer[at + 1] + 1
    at += 1
print(json.dumps(found))
"""
OPTIONS = {  # name, value, number, what goes over the wire
    "bootfile-name": ("pxe/boot.0", 67, b"pxe/boot.0"),
    "tftp-server": ("boot.example", 66, b"boot.example"),
    "path-prefix": ("/srv", 210, b"/srv"),
    "wpad": ("http://10.0.0.9/wpad.dat", 252, b"http://10.0.0.9/wpad.dat"),
    "ntp-server": ("10.0.0.7,10.0.0.8", 42, ip_address("10.0.0.7").packed + ip_address("10.0.0.8").packed),
    "mtu": ("1300", 26, (1300).to_bytes(2, "big")),
    "default-ttl": ("9", 23, b"\x09"),
    "ip-forward-enable": ("1", 19, b"\x01"),
    "domain-search": ("red.example,blue.example", 119, b"\x03red\x07example\x00\x04blue\xc0\x04"),
    "classless-static-route": ("10.8.0.0/16,10.0.0.9", 121, b"\x10\x0a\x08" + ip_address("10.0.0.9").packed),
    "server-ip-address": ("10.0.0.6", 0, ip_address("10.0.0.6").packed),
}


@pytest.fixture
def red(lab: Lab) -> Iterator[Tenant]:
    made = Tenant(lab, "cards-red")
    yield made
    made.end()


def offered(guest: Any) -> dict[int, bytes]:
    numbers = [str(number) for _, number, _ in OPTIONS.values() if number]
    found = json.loads(guest.run(["python3", "-c", DISCOVER, *numbers]).stdout)
    return {int(number): bytes.fromhex(data) for number, data in found.items()}


def test_a_guest_is_told_its_ports_own_options(lab: Lab, red: Tenant) -> None:
    network = red.network("10.0.0.0/24")
    options = [{"opt_name": name, "opt_value": value} for name, (value, _, _) in OPTIONS.items()]
    told = red.server(network, 1, red.group(*EVERYTHING), extra_dhcp_opts=options)
    plain = red.server(network, 1, red.group(*EVERYTHING))
    wanted = {number: data for _, number, data in OPTIONS.values()}

    def differ() -> dict[int, tuple[bytes, bytes | None]]:
        found = offered(told.guest)
        return {number: (data, found.get(number)) for number, data in wanted.items() if found.get(number) != data}

    assert wait_for(lambda: not differ(), 30), differ()
    assert wait_for(lambda: offered(plain.guest).get(26) == network["mtu"].to_bytes(2, "big"), 30)
    assert 67 not in offered(plain.guest), "another port is told what is not its own"
    off = [{"opt_name": "dhcp_disabled", "opt_value": "true"}]
    red.call("PUT", f"ports/{plain.port['id']}", port={"extra_dhcp_opts": off})
    assert wait_for(lambda: offered(plain.guest) == {}, 30)


def test_every_option_that_may_be_given_is_one_that_ovn_can_send(lab: Lab) -> None:
    from wolke.network.ports.dhcp import OPTIONS as ALL

    for version, table in ((4, "DHCP_Options"), (6, "DHCPv6_Options")):
        known = set(lab.ovn_sbctl("--bare", "--columns=name", "list", table).split())
        assert {ovn for ovn, _ in ALL[version].values()} <= known


def test_a_port_moves_to_the_host_whose_binding_is_activated(lab: Lab, red: Tenant, tmp_path: Path) -> None:
    """As a live migration does it: the same port on two hosts, the second silent until its guest announces itself."""
    network = red.network("10.0.0.0/24")
    group = red.group(*EVERYTHING)
    moving, asking = red.server(network, 1, group), red.server(network, 1, group)
    bindings = f"/network/v2.0/ports/{moving.port['id']}/bindings"

    def send(method: str, path: str = "", **body: Any) -> Any:
        return red.admin.call(method, f"{bindings}{path}", **({"binding": body} if body else {}))

    def chassis(column: str) -> str:
        words = ["--bare", f"--columns={column}", "find", "Port_Binding", f"logical_port={moving.port['id']}"]
        return lab.ovn_sbctl(*words).strip()

    names = {
        lab.ovn_sbctl("--bare", "--columns=_uuid", "find", "Chassis", f"hostname=h{n}").strip() or f"h{n}": f"h{n}"
        for n in (1, 2)
    }
    send("POST", host="h1")
    send("POST", host="h2")
    assert wait_for(lambda: pings(asking.guest, moving.address()), 30)
    stream = Packets(asking.guest, moving.address(), tmp_path / "stream")
    subnet = red.call("GET", f"subnets/{network['subnets'][0]}")["subnet"]
    copy = lab.host(2).attach(
        moving.port["id"],
        moving.port["mac_address"],
        [f"{moving.address()}/24"],
        [subnet["gateway_ip"]],
        mtu=network["mtu"],
    )
    try:
        assert wait_for(lambda: names.get(chassis("additional_chassis")) == "h2", 30), (
            names,
            chassis("additional_chassis"),
        )
        assert names.get(chassis("chassis")) == "h1"
        since = time.time()
        assert stream.flows(since), "what runs is disturbed by what is being made ready"
        assert not pings(copy, asking.address()), "the second host's guest speaks before it has announced itself"
        send("PUT", "/h2/activate")
        moving.guest.run(["ip", "link", "set", "eth0", "down"])
        announce = f"""
import socket
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); raw.bind(('eth0', 0))
mac = bytes.fromhex('{moving.port["mac_address"].replace(":", "")}')
raw.send(b'\\xff' * 6 + mac + bytes.fromhex('8035' '0001080006040003') + mac + bytes(4) + mac + bytes(4))
"""
        copy.run(["python3", "-c", announce])
        assert stream.flows(time.time()), "nobody answers on the second host"
        send("DELETE", "/h1")
        assert wait_for(lambda: names.get(chassis("chassis")) == "h2" and not chassis("additional_chassis"), 30)
        assert stream.flows(time.time()) and pings(copy, asking.address())
        print(f"longest silence {stream.longest(since):.1f} s")
    finally:
        stream.stop()
        copy.detach()
