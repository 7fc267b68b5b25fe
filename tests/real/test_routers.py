"""Routers with packets: chains, several next hops, several gateways, and addresses that a router answers for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.real.tenants import SERVE, Tenant, ask, pings
from tests.real.test_floating_ips import soon
from wolke.lab import Lab
from wolke.lab.furnish import administrator
from wolke.lab.site import Machine, Site

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
INTERNET = "198.51.100.254"
BOTH = "10.99.99.99"  # who has it is asked by the internet and by the second network
TRIES = 40  # conversations, by which both of two equal ways are surely taken (1 to 2^39)
EVERYTHING = (
    {"protocol": "tcp"},
    {"protocol": "icmp"},
    {"protocol": "tcp", "ethertype": "IPv6"},
    {"ethertype": "IPv6"},
)


@pytest.fixture
def outside(lab: Lab) -> Iterator[None]:
    """Somebody on the internet who says from whom he was asked."""
    serving = lab.internet.popen(["python3", "-c", SERVE, "outside", "8080", "5353"])
    yield
    serving.terminate()
    serving.wait()


def leg(red: Tenant, router: dict[str, Any], network: dict[str, Any], address: str) -> None:
    port = red.create("port", network_id=network["id"], fixed_ips=[{"ip_address": address}])
    red.call("PUT", f"routers/{router['id']}/add_router_interface", port_id=port["id"])
    red.made.remove(("ports", port["id"]))


def routes(red: Tenant, router: dict[str, Any], *given: tuple[str, str]) -> None:
    wanted = [{"destination": destination, "nexthop": nexthop} for destination, nexthop in given]
    red.call("PUT", f"routers/{router['id']}", router={"routes": wanted})


def test_a_chain_of_routers_to_the_internet(lab: Lab, tenant: Callable[[str], Tenant], outside: None) -> None:
    red = tenant("red")
    front, transit, back = red.network("10.0.0.0/24"), red.network("10.255.0.0/24"), red.network("10.2.0.0/24")
    outer = red.router(front)
    inner = red.create("router", name="inner")
    leg(red, outer, transit, "10.255.0.1")
    leg(red, inner, transit, "10.255.0.254")
    red.call("PUT", f"routers/{inner['id']}/add_router_interface", subnet_id=back["subnets"][0])
    gateway = outer["external_gateway_info"]["external_fixed_ips"][0]["ip_address"]
    group = red.group(*EVERYTHING)
    near, far = red.server(front, 1, group), red.server(back, 2, group)
    for server, name in ((near, "near"), (far, "far")):
        server.serve(name)
    assert not pings(far.guest, near.address()) and ask(far.guest, INTERNET, 8080) == ""
    try:
        routes(red, inner, ("0.0.0.0/0", "10.255.0.1"))
        routes(red, outer, ("10.2.0.0/24", "10.255.0.254"))
        assert soon(lambda: ask(far.guest, near.address()) == f"near {far.address()}")
        assert soon(lambda: ask(near.guest, far.address()) == f"far {near.address()}")
        assert soon(lambda: ask(far.guest, INTERNET, 8080) == f"outside {gateway}"), "no way out by two routers"
        routes(red, outer)
        assert soon(lambda: ask(far.guest, INTERNET, 8080) == "")
        assert not pings(near.guest, far.address())
    finally:
        routes(red, inner)
        routes(red, outer)


def test_several_next_hops_share_the_conversations(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    red = tenant("red")
    asking_net, network = red.network("10.0.0.0/24"), red.network("10.1.0.0/24")
    router = red.router(asking_net)
    red.call("PUT", f"routers/{router['id']}/add_router_interface", subnet_id=network["subnets"][0])
    group = red.group(*EVERYTHING)
    asking = red.server(asking_net, 1, group)
    pairs = [{"ip_address": "192.168.9.1"}]
    hops = [red.server(network, host, group, allowed_address_pairs=pairs) for host in (1, 2)]
    for number, hop in enumerate(hops):
        hop.guest.run(["ip", "address", "add", "192.168.9.1/32", "dev", "lo"])
        hop.serve(f"hop{number}")
    try:
        routes(red, router, *(("192.168.9.0/24", hop.address()) for hop in hops))
        assert soon(lambda: ask(asking.guest, "192.168.9.1").startswith("hop"))
        assert {ask(asking.guest, "192.168.9.1").split(" ")[0] for _ in range(TRIES)} == {"hop0", "hop1"}
        routes(red, router, ("192.168.9.0/24", hops[1].address()))
        assert soon(lambda: all(ask(asking.guest, "192.168.9.1").startswith("hop1") for _ in range(4)))
    finally:
        routes(red, router)


# Answers every BFD control packet (RFC 5880) as a neighbour that is there: one session for each address that asks
SPEAK_BFD = """
import socket, struct, sys
DOWN, INIT, UP = 1, 2, 3
hearing = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
hearing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
hearing.bind(('', 3784))
saying = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
saying.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
saying.bind((sys.argv[1], 49152))
states = {}
while True:
    packet, (peer, _) = hearing.recvfrom(99)
    _, flags, _, _, theirs, mine = struct.unpack_from('!BBBBII', packet)
    state, had = flags >> 6, states.get(peer, DOWN)
    after = {DOWN: {DOWN: INIT, INIT: UP, UP: DOWN}, INIT: {DOWN: INIT, INIT: UP, UP: UP}, UP: {DOWN: DOWN, INIT: UP, UP: UP}}
    states[peer] = after[had][state]
    final = 0x10 if flags & 0x20 else 0
    saying.sendto(struct.pack('!BBBBIIIII', 1 << 5, states[peer] << 6 | final, 5, 24, 7, theirs, 1000000, 1000000, 0), (peer, 3784))
"""


@pytest.fixture
def second(lab: Lab) -> Iterator[tuple[dict[str, Any], Machine]]:
    """Another operator's network, on a VLAN of the provider segment, and the router that stands on it."""
    site = Site(lab).up()
    upstream = site.server("upstream", "10.250.0.1/24", vlan=7)
    client = administrator(lab).client
    kind = {"provider:network_type": "vlan", "provider:physical_network": "public", "provider:segmentation_id": 7}
    reply = client.post("/network/v2.0/networks", json={"network": {"name": "second", "router:external": True, **kind}})
    assert reply.is_success, reply.text
    network = reply.json()["network"]
    subnet = {"network_id": network["id"], "ip_version": 4, "cidr": "10.250.0.0/24", "enable_dhcp": False}
    assert client.post("/network/v2.0/subnets", json={"subnet": subnet}).is_success
    serving = [upstream.popen(["python3", "-c", SERVE, "upstream", "8080", "5353"])]
    serving.append(lab.internet.popen(["python3", "-c", SERVE, "outside", "8080", "5353"]))
    for node in (upstream, lab.internet):  # whoever is asked there is asked from behind both
        node.run(["ip", "address", "replace", f"{BOTH}/32", "dev", "lo"])
    yield network, upstream
    lab.internet.run(["ip", "address", "delete", f"{BOTH}/32", "dev", "lo"])
    for one in serving:
        one.terminate()
        one.wait()
    assert client.delete(f"/network/v2.0/networks/{network['id']}").is_success
    site.remove(upstream)
    site.down()


def test_several_gateways_share_the_way_out(
    lab: Lab, second: tuple[dict[str, Any], Machine], tenant: Callable[[str], Tenant]
) -> None:
    red = tenant("red")
    network = red.network("10.0.0.0/24")
    router = red.router(network)
    server = red.server(network, 1, red.group(*EVERYTHING))
    server.serve("server")
    path = f"routers/{router['id']}"
    more = {"external_gateways": [{"network_id": second[0]["id"]}]}
    shown = red.call("PUT", f"{path}/add_external_gateways", router=more)["router"]["external_gateways"]
    one, two = (gateway["external_fixed_ips"][0]["ip_address"] for gateway in shown)
    assert soon(lambda: ask(server.guest, BOTH, 8080) == f"outside {one}")
    assert soon(lambda: ask(server.guest, "10.250.0.1", 8080) == f"upstream {two}")
    flag = {"router": {"enable_default_route_ecmp": True}}
    assert red.admin.client.put(f"/network/v2.0/{path}", json=flag).is_success

    def sources() -> set[str]:
        return {answer for _ in range(TRIES) if (answer := ask(server.guest, BOTH, 8080))}

    assert soon(lambda: sources() == {f"outside {one}", f"upstream {two}"}), "not every gateway carries conversations"
    for outside, node in ((red.public, lab.internet), (second[0], second[1])):
        floating = red.create("floatingip", floating_network_id=outside["id"], port_id=server.port["id"])
        address = floating["floating_ip_address"]
        assert soon(lambda a=address, n=node: ask(n, a).startswith("server")), "answers leave by another gateway"
        assert soon(
            lambda a=address: (
                {ask(server.guest, BOTH, 8080) for _ in range(8)} - {""} <= {f"outside {a}", f"upstream {a}"}
            )
        )
        red.delete("floatingip", floating["id"])
    first = {"external_gateways": [{"network_id": red.public["id"]}]}
    red.call("PUT", f"{path}/remove_external_gateways", router=first)
    assert soon(lambda: sources() == {f"upstream {two}"})


def test_a_gateway_whose_next_hop_is_silent_carries_nothing(
    lab: Lab, second: tuple[dict[str, Any], Machine], tenant: Callable[[str], Tenant]
) -> None:
    red = tenant("red")
    network = red.network("10.0.0.0/24")
    router = red.router(network)
    server = red.server(network, 2, red.group(*EVERYTHING))
    path = f"routers/{router['id']}"
    more = {"external_gateways": [{"network_id": second[0]["id"]}]}
    shown = red.call("PUT", f"{path}/add_external_gateways", router=more)["router"]["external_gateways"]
    one, two = (gateway["external_fixed_ips"][0]["ip_address"] for gateway in shown)
    speaking = {
        "outside": lab.internet.popen(["python3", "-c", SPEAK_BFD, "198.51.100.1"]),
        "upstream": second[1].popen(["python3", "-c", SPEAK_BFD, "10.250.0.1"]),
    }
    flags = {"enable_default_route_ecmp": True, "enable_default_route_bfd": True}
    try:
        assert red.admin.client.put(f"/network/v2.0/{path}", json={"router": flags}).is_success

        def sources() -> set[str]:
            return {answer for _ in range(TRIES) if (answer := ask(server.guest, BOTH, 8080))}

        assert soon(lambda: sources() == {f"outside {one}", f"upstream {two}"}), (
            "neighbours that speak BFD are not used"
        )
        speaking["upstream"].kill()
        speaking["upstream"].wait()
        assert soon(lambda: sources() == {f"outside {one}"}), "a silent neighbour is still sent conversations"
        speaking["upstream"] = second[1].popen(["python3", "-c", SPEAK_BFD, "10.250.0.1"])
        assert soon(lambda: len(sources()) == 2), "a neighbour that is back is not used"
    finally:
        for process in speaking.values():
            process.kill()
            process.wait()


def test_a_router_answers_for_addresses_behind_it(
    lab: Lab, second: tuple[dict[str, Any], Machine], tenant: Callable[[str], Tenant]
) -> None:
    """NDP proxy: the project's network is on the operator's link, for all that his router knows."""
    red = tenant("red")
    outside, upstream = second
    client = red.admin.client
    made: list[tuple[str, str]] = []

    def create(path: str, kind: str, **body: Any) -> dict[str, Any]:
        reply = client.post(f"/network/v2.0/{path}", json={kind: body})
        assert reply.is_success, reply.text
        made.append((path, reply.json()[kind]["id"]))
        return dict(reply.json()[kind])

    scope = create("address-scopes", "address_scope", name="proxied", ip_version=6, shared=True)
    prefixes = {"prefixes": ["2001:db8:a0::/48"], "default_prefixlen": 64, "shared": True}
    pool = create("subnetpools", "subnetpool", name="proxied", address_scope_id=scope["id"], **prefixes)
    link = create(
        "subnets", "subnet", network_id=outside["id"], ip_version=6, subnetpool_id=pool["id"], enable_dhcp=False
    )  # fmt: skip
    network = red.network("10.0.0.0/24")
    slaac = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    subnet = red.create("subnet", network_id=network["id"], ip_version=6, subnetpool_id=pool["id"], **slaac)
    network["subnets"].append(subnet["id"])
    info = {"network_id": outside["id"]}
    router = red.create("router", name="red", external_gateway_info=info, enable_ndp_proxy=True)
    for id in network["subnets"]:
        red.call("PUT", f"routers/{router['id']}/add_router_interface", subnet_id=id)
    upstream.run(["ip", "address", "add", f"{link['gateway_ip']}/64", "dev", "eth0", "nodad"])
    upstream.run(["ip", "-6", "route", "replace", subnet["cidr"], "dev", "eth0"])
    group = red.group(*EVERYTHING)
    servers = [red.server(network, host, group) for host in (1, 2)]
    for number, server in enumerate(servers):
        server.serve(f"s{number}")
    assert not pings(upstream, servers[0].address(6))
    proxies = []
    for number, server in enumerate(servers):
        body = {"router_id": router["id"], "port_id": server.port["id"]}
        proxies.append(red.call("POST", "ndp_proxies", ndp_proxy=body)["ndp_proxy"]["id"])
        red.made.append(("ndp_proxies", proxies[-1]))
        assert soon(lambda s=server, n=number: ask(upstream, s.address(6)) == f"s{n} {link['gateway_ip']}")
        assert soon(lambda s=server: pings(s.guest, link["gateway_ip"]))
    red.call("DELETE", f"ndp_proxies/{proxies[1]}")
    red.made.remove(("ndp_proxies", proxies[1]))

    def forgotten() -> bool:
        upstream.run(["ip", "neighbour", "flush", "dev", "eth0"], check=False)
        return not pings(upstream, servers[1].address(6))

    assert soon(forgotten) and soon(lambda: pings(upstream, servers[0].address(6)))
    red.end()
    red.made.clear()
    red.servers.clear()
    for path, id in reversed(made):
        assert client.delete(f"/network/v2.0/{path}/{id}").is_success, path
