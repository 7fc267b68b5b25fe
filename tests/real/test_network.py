"""What the Network API promises, with packets: two projects with the same addresses, guests on two hosts, and the internet."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.real.tenants import CONVERSE, SERVE, Server, Tenant, ask, pings
from wolke.lab import Lab, wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
INTERNET = {4: "198.51.100.254", 6: "2001:db8:ffff::1"}
SECONDS = 30
SILENT_SECONDS = 150  # an agent that is not heard of for 60 seconds takes its host out of the gateway's candidates
RECEIVE = """
import socket
taking, count = socket.create_server(('', 7000)).accept()[0], 0
while chunk := taking.recv(65536): count += len(chunk)
print(count)
"""


def soon(condition: Callable[[], Any]) -> bool:
    return bool(wait_for(condition, SECONDS, every=0.2))


WEB = {"protocol": "tcp", "port_range_min": 80, "port_range_max": 80}
PING = {"protocol": "icmp"}


def test_security_groups_open_what_they_say_and_nothing_else(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    red = tenant("red")
    network = red.network("10.0.0.0/24", "fd00:1::/64")
    friends = red.group()
    name_service = {"protocol": "udp", "port_range_min": 53, "port_range_max": 53, "remote_group_id": friends["id"]}
    mine = red.group(WEB, {**WEB, "ethertype": "IPv6"}, PING, name_service)
    server = red.server(network, 1, mine)
    friend, stranger = red.server(network, 2, friends), red.server(network, 2, red.group())
    server.serve("server")
    for asking in (friend, stranger):
        for version in (4, 6):
            assert soon(lambda a=asking, v=version: ask(a.guest, server.address(v)) == f"server {a.address(v)}")
            assert ask(asking.guest, server.address(version), 443) == ""
    assert pings(friend.guest, server.address(4)) and not pings(friend.guest, server.address(6))
    assert soon(lambda: ask(friend.guest, server.address(), 53, "udp") == f"server {friend.address()}")
    assert ask(stranger.guest, server.address(), 53, "udp") == ""


def test_conversations_outlive_other_rules_and_end_with_their_own(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    red = tenant("red")
    network = red.network("10.0.0.0/24")
    group = red.group()
    rule = red.rule(group, **WEB)
    server, client = red.server(network, 1, group), red.server(network, 2, group)
    server.serve("server")
    assert soon(lambda: ask(client.guest, server.address()))
    talk = client.guest.popen(["python3", "-c", CONVERSE, server.address(), "80"], stdout=subprocess.PIPE, text=True)
    assert talk.stdout and talk.stdout.readline()
    other = red.rule(group, **PING)
    assert soon(lambda: pings(client.guest, server.address()))
    red.delete("security_group_rule", other["id"])
    assert soon(lambda: not pings(client.guest, server.address()))
    assert talk.poll() is None and talk.stdout.readline(), "a change of other rules cut the conversation"
    red.delete("security_group_rule", rule["id"])
    assert soon(lambda: ask(client.guest, server.address()) == "")
    assert soon(lambda: talk.poll() is not None), "the conversation goes on though nothing allows it"


def test_the_internet_by_source_nat_and_floating_ips(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    red = tenant("red")
    network = red.network("10.0.0.0/24")
    router = red.router(network)
    gateway = router["external_gateway_info"]["external_fixed_ips"][0]["ip_address"]
    group = red.group(WEB)
    server, plain = red.server(network, 1, group), red.server(network, 2, group)
    server.serve("server")
    outside = lab.internet.popen(["python3", "-c", SERVE, "outside", "8080", "5353"])
    try:
        assert soon(lambda: ask(plain.guest, INTERNET[4], 8080) == f"outside {gateway}")
        floating = red.create("floatingip", floating_network_id=red.public["id"], port_id=server.port["id"])
        address = floating["floating_ip_address"]
        assert soon(lambda: ask(lab.internet, address).startswith("server"))
        assert ask(lab.internet, address, 443) == ""
        assert soon(lambda: ask(server.guest, INTERNET[4], 8080) == f"outside {address}")
        assert soon(lambda: ask(plain.guest, address).startswith("server")), "no way from inside to the floating IP"
        red.call("PUT", f"floatingips/{floating['id']}", floatingip={"port_id": plain.port["id"]})
        plain.serve("plain")
        assert soon(lambda: ask(lab.internet, address).startswith("plain"))
        assert soon(lambda: ask(server.guest, INTERNET[4], 8080) == f"outside {gateway}")
        red.delete("floatingip", floating["id"])
        assert soon(lambda: ask(lab.internet, address) == "")
    finally:
        outside.terminate()
        outside.wait()


def test_the_same_addresses_twice_and_no_way_between(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    everything = [{}, {"ethertype": "IPv6"}]
    pairs: dict[str, tuple[Server, Server]] = {}
    for name in ("red", "blue"):
        project = tenant(name)
        network = project.network("10.0.0.0/24")
        group = project.group(*everything)
        pairs[name] = (
            project.server(network, 1, group, fixed_ips=[{"ip_address": "10.0.0.11"}]),
            project.server(network, 2, group, fixed_ips=[{"ip_address": "10.0.0.12"}]),
        )
        pairs[name][1].serve(name)
    for name, (one, _) in pairs.items():
        assert soon(lambda one=one, name=name: ask(one.guest, "10.0.0.12") == f"{name} 10.0.0.11")
    alone = tenant("blue2")
    lonely = alone.server(
        alone.network("10.0.0.0/24"), 1, alone.group(*everything), fixed_ips=[{"ip_address": "10.0.0.13"}]
    )
    assert ask(lonely.guest, "10.0.0.12") == "" and not pings(lonely.guest, "10.0.0.11")
    neighbours = lonely.guest.run(["ip", "neighbour", "show", "10.0.0.11"]).stdout
    assert "lladdr" not in neighbours, "ARP was answered across projects"


def test_bulk_data_between_hosts_at_the_network_s_mtu(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    red = tenant("red")
    network = red.network("10.0.0.0/24")
    assert network["mtu"] == 1442
    group = red.group({"protocol": "tcp"}, PING)
    one, two = red.server(network, 1, group), red.server(network, 2, group)
    assert soon(lambda: pings(one.guest, two.address()))
    send = f"import socket; s = socket.create_connection(('{two.address()}', 7000), 10); s.sendall(bytes(10_000_000))"
    taking = two.guest.popen(["python3", "-c", RECEIVE], stdout=subprocess.PIPE, text=True)
    assert soon(lambda: ":7000" in two.guest.run(["ss", "-Htln"]).stdout)
    one.guest.run(["python3", "-c", send])
    assert taking.communicate(timeout=60)[0].strip() == "10000000"


def test_addresses_come_by_dhcp_and_advertisements(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    red = tenant("red")
    network = red.network("10.0.0.0/24", "fd00:2::/64")
    red.router(network)
    red.call("PUT", f"subnets/{network['subnets'][0]}", subnet={"dns_nameservers": ["9.9.9.9"]})
    server = red.server(network, 1, red.group())
    guest = server.guest
    guest.run(["ip", "address", "flush", "dev", "eth0", "scope", "global"])
    script = "#!/bin/sh\n[ $1 = bound ] && env | grep -E '^(ip|router|dns|mtu|staticroutes|lease|mask)=' ; true\n"
    lab.host(1).node.path("/run/told.sh").write_text(script)
    guest.run(["chmod", "755", "/run/told.sh"])
    told = guest.run(
        ["busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-O", "staticroutes", "-O", "mtu", "-s", "/run/told.sh"]
    ).stdout
    answers = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
    assert (answers["ip"], answers["router"], answers["mask"]) == (server.address(), "10.0.0.1", "24"), told
    assert (answers["dns"], answers["mtu"], answers["lease"]) == ("9.9.9.9", "1442", "43200"), told
    assert "169.254.169.254/32" in answers["staticroutes"], told
    guest.run(["sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=2", "net.ipv6.conf.eth0.autoconf=1"])
    guest.run(["ip", "link", "set", "eth0", "down"])
    guest.run(["ip", "link", "set", "eth0", "up"])
    assert soon(lambda: server.address(6) in guest.run(["ip", "-6", "address", "show", "dev", "eth0"]).stdout)
    assert "default via fe80" in guest.run(["ip", "-6", "route"]).stdout


def test_ipv6_is_routed_to_the_outside(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    red = tenant("red")
    network = red.network("2001:db8:77::/64")
    router = red.router(network)
    outer = next(
        f["ip_address"] for f in router["external_gateway_info"]["external_fixed_ips"] if ":" in f["ip_address"]
    )
    server = red.server(network, 2, red.group({**PING, "ethertype": "IPv6"}))
    lab.internet.run(["ip", "-6", "route", "replace", "2001:db8:77::/64", "via", outer])
    try:
        assert soon(lambda: pings(server.guest, INTERNET[6]))
        assert soon(lambda: pings(lab.internet, server.address(6)))
    finally:
        lab.internet.run(["ip", "-6", "route", "delete", "2001:db8:77::/64"])


def test_the_gateway_moves_when_its_host_dies(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    red = tenant("red")
    network = red.network("10.0.0.0/24")
    router = red.router(network)
    [port] = red.admin.get("/network/v2.0/ports", device_id=router["id"], device_owner="network:router_gateway")[
        "ports"
    ]

    def carrier() -> str:
        words = ["--bare", "--columns=chassis", "find", "Port_Binding", f"logical_port=cr-lrp-{port['id']}"]
        chassis = lab.ovn_sbctl(*words).strip()
        return lab.ovn_sbctl("--bare", "--columns=hostname", "list", "Chassis", chassis).strip() if chassis else ""

    assert soon(carrier)
    first = carrier()
    other = 2 if first == "h1" else 1
    server = red.server(network, other, red.group())
    assert soon(lambda: pings(server.guest, INTERNET[4]))
    for process in ("agent", "ovn-controller", "vswitchd"):
        lab.kill(f"{first}/{process}")
    try:
        assert wait_for(lambda: carrier() not in ("", first), SILENT_SECONDS, every=1)
        assert soon(lambda: pings(server.guest, INTERNET[4])), "no way out by the other host"
    finally:
        for process in ("vswitchd", "ovn-controller", "agent"):
            lab.start(f"{first}/{process}")
    assert soon(lambda: pings(server.guest, INTERNET[4]))
