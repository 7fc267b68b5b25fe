"""Floating IPs with packets: who answers, from whom it seems to come, and how fast one moves."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from tests.real.tenants import CONVERSE, Server, Tenant, ask, pings
from wolke.lab import Lab, wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
SECONDS = 30
MOVES = 8
WEB = {"protocol": "tcp"}
OPEN = (WEB, {"protocol": "udp"})
PING = {"protocol": "icmp"}


# Asks every 20 ms by a new socket who is there: the time (unix seconds) and the name of each answer
PROBE = """
import socket, sys, time
while True:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(0.1); asking.connect((sys.argv[1], 53))
        try:
            asking.send(b'who'); print(time.time(), asking.recv(99).decode().split()[0], flush=True)
        except OSError:
            continue
    time.sleep(0.02)
"""
REFUSED = """
import socket, sys
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); asking.settimeout(2); asking.connect((sys.argv[1], 4444))
try: asking.send(b'x'); asking.recv(9)
except ConnectionRefusedError: print('refused')
"""


def soon(condition: Callable[[], Any], seconds: float = SECONDS) -> bool:
    return bool(wait_for(condition, seconds, every=0.2))


def floating_ip(tenant: Tenant, server: Server | None = None, **more: Any) -> dict[str, Any]:
    port = {"port_id": server.port["id"]} if server else {}
    return tenant.create("floatingip", floating_network_id=tenant.public["id"], **port, **more)


def tracked(lab: Lab, address: str) -> list[str]:
    """Entries of connection tracking on any host that know an address."""
    found = []
    for host in lab.hosts:
        lines = host.node.run(["ovs-appctl", "dpctl/dump-conntrack"]).stdout.splitlines()
        found += [f"{host.name}: {line}" for line in lines if f"={address}," in line]
    return found


def test_it_moves_and_old_conversations_end(
    lab: Lab, tenant: Callable[[str], Tenant], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    red = tenant("red")
    network = red.network("10.0.0.0/24")
    red.router(network)
    group = red.group(*OPEN)
    servers = [red.server(network, host, group) for host in (1, 1, 2)]
    for number, server in enumerate(servers):
        server.serve(f"s{number}")
    floating = floating_ip(red, servers[0])
    address = floating["floating_ip_address"]
    assert soon(lambda: ask(lab.internet, address).startswith("s0"))
    outages, endings = [], []
    log = tmp_path / "probe"
    with log.open("w") as out:
        probing = lab.internet.popen(["python3", "-c", PROBE, address], stdout=out)
    try:
        for number in [number for number, _ in zip(cycle((1, 2, 0)), range(MOVES), strict=False)]:
            words = ["python3", "-c", CONVERSE, address, "80"]
            talk = lab.internet.popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            assert talk.stdout and talk.stdout.readline()
            begun = time.time()
            red.call("PUT", f"floatingips/{floating['id']}", floatingip={"port_id": servers[number].port["id"]})

            def arrived(since: float = begun, name: str = f"s{number}") -> float:
                answers = (line.split() for line in log.read_text().splitlines() if line.count(" ") == 1)
                return next((float(at) for at, who in answers if float(at) > since and who == name), 0.0)

            assert wait_for(arrived, SECONDS, every=0.05)
            outages.append(arrived() - begun)
            assert soon(lambda talk=talk: talk.poll() is not None), "a conversation goes on with the server before"
            endings.append(time.time() - begun)
    finally:
        probing.terminate()
        probing.wait()
    with capsys.disabled():
        shown = " ".join(f"{one:.2f}" for one in sorted(outages))
        print(
            f"\nfloating IP moved, call to first answer, s: {shown}; old conversation ended, s: {max(endings):.2f} at most"
        )
    red.call("PUT", f"floatingips/{floating['id']}", floatingip={"port_id": None})
    assert soon(lambda: not tracked(lab, address)), tracked(lab, address)
    assert ask(lab.internet, address) == ""


def test_errors_find_their_way_back(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    """What a router outside says of a packet holds its header: that is translated as well, or no path MTU is ever found."""
    red = tenant("red")
    network = red.network("10.0.0.0/24")
    red.router(network)
    server = red.server(network, 1, red.group(WEB))
    floating_ip(red, server)
    words = ["python3", "-c", REFUSED, "198.51.100.254"]
    assert soon(lambda: server.guest.run(words, check=False).stdout.strip() == "refused")


def test_servers_meet_at_their_floating_ips(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    """From the same network, another one of the same router, and behind another router; and a server meets itself."""
    red = tenant("red")
    one, two, far = red.network("10.0.0.0/24"), red.network("10.1.0.0/24"), red.network("10.2.0.0/24")
    router = red.router(one)
    red.call("PUT", f"routers/{router['id']}/add_router_interface", subnet_id=two["subnets"][0])
    other = red.router(far)
    gateways = [r["external_gateway_info"]["external_fixed_ips"][0]["ip_address"] for r in (router, other)]
    group = red.group(WEB)
    servers = {
        "near": red.server(one, 1, group), "plain": red.server(one, 2, group), "next": red.server(two, 2, group),
        "far": red.server(far, 1, group), "lone": red.server(far, 2, group),
    }  # fmt: skip
    led = {name: floating_ip(red, servers[name])["floating_ip_address"] for name in ("near", "next", "far")}
    for name, server in servers.items():
        server.serve(name)
    comes_from = {**led, "plain": gateways[0], "lone": gateways[1]}
    for name, server in servers.items():
        for goal, address in led.items():
            assert soon(lambda s=server, g=goal, a=address: ask(s.guest, a).startswith(g)), (
                f"{name} to {goal} by {address}"
            )
            assert ask(server.guest, address) == f"{goal} {comes_from[name]}"


def test_one_of_several_addresses_of_a_server(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    red = tenant("red")
    network = red.network("10.0.0.0/24")
    red.router(network)
    both = [{"ip_address": "10.0.0.50"}, {"ip_address": "10.0.0.51"}]
    server = red.server(network, 2, red.group(WEB, PING), fixed_ips=both)
    server.serve("server")
    first = floating_ip(red, server, fixed_ip_address="10.0.0.50")
    second = floating_ip(red, server, fixed_ip_address="10.0.0.51")
    for floating in (first, second):
        assert soon(lambda f=floating: ask(lab.internet, f["floating_ip_address"]).startswith("server"))
    red.delete("floatingip", first["id"])
    assert soon(lambda: not pings(lab.internet, first["floating_ip_address"]))
    assert pings(lab.internet, second["floating_ip_address"])


def test_a_router_that_is_not_distributed_answers_itself(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    red = tenant("red")
    network = red.network("10.0.0.0/24")
    router = red.router(network)
    server = red.server(network, 1, red.group(PING))
    address = floating_ip(red, server)["floating_ip_address"]
    query = {"device_id": router["id"], "device_owner": "network:router_gateway"}
    [gateway] = red.admin.get("/network/v2.0/ports", **query)["ports"]

    def answering() -> str:
        lab.internet.run(["ip", "neighbour", "flush", "dev", "provider"], check=False)
        if not pings(lab.internet, address):
            return ""
        return str(lab.internet.run(["ip", "neighbour", "show", address]).stdout)

    assert soon(lambda: "lladdr" in answering()) and gateway["mac_address"] not in answering()
    for change in ({"admin_state_up": False, "distributed": False}, {"admin_state_up": True}):
        reply = red.admin.client.put(f"/network/v2.0/routers/{router['id']}", json={"router": change})
        assert reply.is_success, reply.text
    assert soon(lambda: gateway["mac_address"] in answering())
