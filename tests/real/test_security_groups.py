"""Security groups with packets: rules of every kind between guests, on routers' interfaces and gateways, without memory, and in the log."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.real.tenants import CONVERSE, SERVE, Server, Tenant, ask, pings
from wolke.lab import Lab, wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
INTERNET, ANSWERS = "198.51.100.254", "198.51.100.1"  # UDP is answered from the first address that the internet has
SECONDS = 30
TCP80 = {"protocol": "tcp", "port_range_min": 80, "port_range_max": 80}
TCP6 = {"protocol": "6", "port_range_min": 443, "port_range_max": 8081, "ethertype": "IPv6"}
UDP53 = {"protocol": "udp", "port_range_min": 53, "port_range_max": 53}
# Asks by UDP every 20 ms; a line with the time of each answer
PROBE = """
import socket, sys, time
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); asking.settimeout(0.02); asking.connect((sys.argv[1], 53))
print('asking', flush=True)
while True:
    try:
        asking.send(b'?'); asking.recv(99); print(time.time(), flush=True); time.sleep(0.02)
    except (TimeoutError, ConnectionRefusedError): pass
"""
# One packet of any protocol; the other end counts what it gets
SEND = """
import socket, sys
socket.socket(socket.AF_INET, socket.SOCK_RAW, int(sys.argv[2])).sendto(b'wolke' * 8, (sys.argv[1], 0))
"""
TAKE = """
import socket, sys
taking = socket.socket(socket.AF_INET, socket.SOCK_RAW, int(sys.argv[1])); taking.settimeout(float(sys.argv[2])); print('ready', flush=True)
print(taking.recvfrom(99)[1][0])
"""


def soon(condition: Callable[..., Any], *words: Any) -> bool:
    return bool(wait_for(lambda: condition(*words), SECONDS, every=0.2))


def bare(project: Tenant, *rules: dict[str, Any], **group: Any) -> dict[str, Any]:
    """A group that lets nothing out either, and then these rules."""
    made = project.create("security_group", name=project.name, **group)
    for rule in made["security_group_rules"]:
        project.call("DELETE", f"security-group-rules/{rule['id']}")
    for rule in rules:
        project.create("security_group_rule", security_group_id=made["id"], **{"direction": "ingress", **rule})
    return made


def put(project: Tenant, port: dict[str, Any], *groups: dict[str, Any]) -> None:
    project.call("PUT", f"ports/{port['id']}", port={"security_groups": [group["id"] for group in groups]})


def raw(source: Server, target: Server, protocol: int, seconds: float = 1) -> bool:
    """Whether a packet of a protocol arrives, tried until the time is over."""
    taking = target.guest.popen(
        ["python3", "-c", TAKE, str(protocol), str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert taking.stdout and taking.stdout.readline() == "ready\n"
    source.guest.run(["python3", "-c", SEND, target.address(), str(protocol)], check=False)
    return source.address() in taking.communicate()[0]


class Field:
    """A server on the first host, and guests that ask it: on its own host and on the other."""

    def __init__(self, project: Tenant) -> None:
        self.project = project
        self.network = project.network("10.0.0.0/24", "fd00:1::/64")
        self.friends = project.group()
        self.group = project.group()
        self.server = project.server(self.network, 1, self.group)
        self.near = project.server(self.network, 1, self.friends)
        self.far = project.server(self.network, 2, self.friends)
        self.stranger = project.server(self.network, 2, project.group())
        self.server.serve("server", "80,443,8081", "53,5353")

    def answers(self, asking: Server, kind: str) -> bool:
        """``tcp/80``, ``udp6/53``, ``ping6`` or ``proto/47``."""
        name, _, port = kind.partition("/")
        address = self.server.address(6 if name.endswith("6") else 4)
        if name.startswith("ping"):
            return pings(asking.guest, address)
        if name == "proto":
            return raw(asking, self.server, int(port))
        return bool(ask(asking.guest, address, int(port), name.removesuffix("6")))


# rule, what it lets in, what it does not; with whom, where the rule tells guests apart
KINDS: list[tuple[dict[str, Any], list[str], list[str]]] = [
    (TCP80, ["tcp/80"], ["tcp/443", "udp/53", "ping", "tcp6/80"]),
    (TCP6, ["tcp6/443", "tcp6/8081"], ["tcp6/80", "tcp/443"]),
    ({"protocol": "tcp"}, ["tcp/80", "tcp/8081"], ["udp/53", "tcp6/80"]),
    (UDP53, ["udp/53"], ["udp/5353", "tcp/80"]),
    ({"protocol": "udp", "ethertype": "IPv6"}, ["udp6/53", "udp6/5353"], ["udp/53", "ping6"]),
    ({"protocol": "icmp", "port_range_min": 8, "port_range_max": 0}, ["ping"], ["tcp/80", "ping6"]),
    ({"protocol": "icmp", "port_range_min": 13}, [], ["ping"]),
    ({"protocol": "ipv6-icmp", "ethertype": "IPv6"}, ["ping6"], ["ping", "udp6/53"]),
    ({"protocol": "gre"}, ["proto/47"], ["proto/50", "ping"]),
    ({"protocol": "112"}, ["proto/112"], ["proto/47", "tcp/80"]),
    ({}, ["tcp/80", "udp/53", "ping", "proto/47"], ["tcp6/80"]),
]  # fmt: skip


def test_rules_of_every_kind_between_guests(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    field = Field(tenant("red"))
    for rule, open_to, shut_to in KINDS:
        made = field.project.rule(field.group, **rule)
        for asking in (field.near, field.far):
            for kind in open_to:
                assert soon(field.answers, asking, kind), f"{rule} does not open {kind}"
            for kind in shut_to:
                assert not field.answers(asking, kind), f"{rule} opens {kind}"
        field.project.delete("security_group_rule", made["id"])
        for kind in open_to[:1]:
            assert soon(lambda k: not field.answers(field.far, k), kind), f"{kind} stays open without {rule}"


def test_remotes_tell_guests_apart(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    field = Field(tenant("red"))
    project, far = field.project, field.far
    addresses = project.create(
        "address_group", name="friends", addresses=[f"{far.address()}/32", f"{far.address(6)}/128"]
    )
    remotes: list[tuple[dict[str, Any], bool]] = [
        ({"remote_group_id": field.friends["id"]}, True),
        ({"remote_ip_prefix": f"{far.address()}/32"}, False),
        ({"remote_address_group_id": addresses["id"]}, False),
    ]
    for remote, near in remotes:
        rule = project.rule(field.group, **TCP80, **remote)
        assert soon(lambda: field.answers(far, "tcp/80")), remote
        assert field.answers(field.near, "tcp/80") is near and not field.answers(field.stranger, "tcp/80"), remote
        project.delete("security_group_rule", rule["id"])
        assert soon(lambda: not field.answers(far, "tcp/80"))
    rule = project.rule(field.group, **TCP80, remote_address_group_id=addresses["id"])
    assert soon(lambda: field.answers(far, "tcp/80"))
    project.call("PUT", f"address-groups/{addresses['id']}/remove_addresses", addresses=[f"{far.address()}/32"])
    assert soon(lambda: not field.answers(far, "tcp/80")), "an address that left its group is still let in"
    project.call("PUT", f"address-groups/{addresses['id']}/add_addresses", addresses=[f"{field.stranger.address()}/32"])
    assert soon(lambda: field.answers(field.stranger, "tcp/80"))
    v6 = project.rule(field.group, **TCP80, ethertype="IPv6", remote_address_group_id=addresses["id"])
    assert soon(lambda: field.answers(far, "tcp6/80")) and not field.answers(field.near, "tcp6/80")
    project.delete("security_group_rule", v6["id"])
    project.delete("security_group_rule", rule["id"])


def test_what_may_leave(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    field = Field(tenant("red"))
    project = field.project
    project.rule(field.group)
    out = bare(project, {**TCP80, "direction": "egress", "remote_ip_prefix": f"{field.server.address()}/32"})
    put(project, field.far.port, out)
    assert soon(lambda: field.answers(field.far, "tcp/80") and not field.answers(field.far, "tcp/443"))
    assert not field.answers(field.far, "udp/53") and not field.answers(field.far, "ping")
    other = project.create(
        "security_group_rule",
        security_group_id=out["id"],
        direction="egress",
        **UDP53,
        remote_group_id=field.group["id"],
    )
    assert soon(lambda: field.answers(field.far, "udp/53"))
    project.delete("security_group_rule", other["id"])
    put(project, field.far.port, field.friends)


def test_a_change_is_soon_in_force_and_cuts_nothing_that_stays_allowed(
    lab: Lab, tenant: Callable[[str], Tenant]
) -> None:
    field = Field(tenant("red"))
    project, server, client = field.project, field.server, field.far
    project.rule(field.group, **TCP80)
    assert soon(lambda: field.answers(client, "tcp/80"))
    talk = client.guest.popen(["python3", "-c", CONVERSE, server.address(), "80"], stdout=subprocess.PIPE, text=True)
    waits = []
    try:
        assert talk.stdout and talk.stdout.readline()
        for _ in range(3):
            probe = client.guest.popen(["python3", "-c", PROBE, server.address()], stdout=subprocess.PIPE, text=True)
            assert probe.stdout and probe.stdout.readline() == "asking\n"
            rule = project.rule(field.group, **UDP53)
            done = time.time()
            waits.append(float(probe.stdout.readline()) - done)
            probe.terminate()
            probe.wait()
            project.delete("security_group_rule", rule["id"])
            assert soon(lambda: not field.answers(client, "udp/53"))
        other = project.rule(field.group, **TCP80, remote_group_id=field.friends["id"])
        project.delete("security_group_rule", other["id"])
        print(f"a new rule let its first packet through {', '.join(f'{wait:.2f}' for wait in waits)} s after the call")
        assert talk.poll() is None and talk.stdout.readline(), "a change of other rules cut a conversation"
    finally:
        talk.terminate()
        talk.wait()


def test_groups_without_memory(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    red = tenant("red")
    network = red.network("10.0.0.0/24", "fd00:2::/64")
    red.router(network)
    plain = bare(red, TCP80, stateful=False)
    server, client = red.server(network, 1, plain), red.server(network, 2, red.group())
    server.serve("server")
    assert not wait_for(lambda: ask(client.guest, server.address()), 5), "the answer passed without a rule for it"
    out = red.create("security_group_rule", security_group_id=plain["id"], direction="egress", protocol="tcp")
    assert soon(lambda: ask(client.guest, server.address()) == f"server {client.address()}")
    assert ask(client.guest, server.address(), 443) == "" and not pings(client.guest, server.address())
    red.delete("security_group_rule", out["id"])
    assert soon(lambda: not ask(client.guest, server.address()))
    guest = server.guest
    guest.run(["ip", "address", "flush", "dev", "eth0", "scope", "global"])
    words = ["busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "5", "-s", "/bin/true"]
    assert f"lease of {server.address()} obtained" in (done := guest.run(words)).stdout + done.stderr
    guest.run(["sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=2", "net.ipv6.conf.eth0.autoconf=1"])
    guest.run(["ip", "link", "set", "eth0", "down"])
    guest.run(["ip", "link", "set", "eth0", "up"])
    assert soon(lambda: server.address(6) in guest.run(["ip", "-6", "address", "show", "dev", "eth0"]).stdout)


# Routers -------------------------------------------------------------------------------------------------------------
def leg(project: Tenant, router: dict[str, Any], network: dict[str, Any]) -> dict[str, Any]:
    """A router's interface on the IPv4 subnet of a network."""
    query = (
        f"device_id={router['id']}&device_owner=network:router_interface&fixed_ips=subnet_id={network['subnets'][0]}"
    )
    [port] = project.call("GET", f"ports?{query}")["ports"]
    found: dict[str, Any] = port
    return found


def test_on_a_router_s_interface(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    """Into the router goes what leaves the network of ``inner``; the same hosts and different ones."""
    red = tenant("red")
    one, two = red.network("10.1.0.0/24"), red.network("10.2.0.0/24")
    router = red.router(one)
    red.call("PUT", f"routers/{router['id']}/add_router_interface", subnet_id=two["subnets"][0])
    everything = red.group({})
    inner = red.server(one, 1, everything)
    outer = [red.server(two, host, everything) for host in (1, 2)]
    for server in (inner, *outer):
        server.serve("served", "80,443", "53,5353")
    port = leg(red, router, one)
    for other in outer:
        assert soon(ask, inner.guest, other.address(), 443) and soon(ask, other.guest, inner.address(), 5353, "udp")
    edge = bare(red, TCP80)
    put(red, port, edge)
    for other in outer:
        assert soon(ask, inner.guest, other.address()) and soon(lambda o: not ask(inner.guest, o.address(), 443), other)
        assert not ask(other.guest, inner.address()), "a connection begins against the rule's direction"
        assert not ask(inner.guest, other.address(), 53, "udp") and not pings(inner.guest, other.address())
        assert not raw(inner, other, 47) and not raw(other, inner, 47)
    steps: list[tuple[dict[str, Any], Callable[[Server], Any], Callable[[Server], Any]]] = [
        (UDP53, lambda o: ask(inner.guest, o.address(), 53, "udp"), lambda o: ask(o.guest, inner.address(), 53, "udp")),
        ({"protocol": "icmp", "port_range_min": 8}, lambda o: pings(inner.guest, o.address()), lambda o: pings(o.guest, inner.address())),
        ({**TCP80, "direction": "egress", "remote_ip_prefix": f"{inner.address()}/32"},
         lambda o: ask(o.guest, inner.address()), lambda o: ask(o.guest, inner.address(), 443)),
        ({"protocol": "gre"}, lambda o: raw(inner, o, 47) and raw(o, inner, 47), lambda o: raw(inner, o, 50)),
    ]  # fmt: skip
    for rule, opened, shut in steps:
        made = red.create("security_group_rule", security_group_id=edge["id"], **{"direction": "ingress", **rule})
        for other in outer:
            assert soon(opened, other), f"{rule} lets nothing pass"
            assert not shut(other), f"{rule} lets too much pass"
        red.delete("security_group_rule", made["id"])
        assert soon(lambda passes: not passes(outer[1]), opened), f"{rule} is gone and still lets packets pass"
    put(red, port)
    assert soon(lambda: ask(outer[1].guest, inner.address(), 443) and pings(inner.guest, outer[0].address())), (
        "shut without a group"
    )


def test_ipv6_across_a_guarded_interface(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    red = tenant("red")
    one, two = red.network("fd00:11::/64"), red.network("fd00:12::/64")
    router = red.router(one)
    red.call("PUT", f"routers/{router['id']}/add_router_interface", subnet_id=two["subnets"][0])
    everything = red.group({"ethertype": "IPv6"})
    inner, outer = red.server(one, 1, everything), red.server(two, 2, everything)
    for server in (inner, outer):
        server.serve("served", "80,443", "53,5353")
    assert soon(ask, inner.guest, outer.address(6), 443) and soon(ask, outer.guest, inner.address(6), 443)
    web = {**TCP80, "ethertype": "IPv6", "remote_ip_prefix": "fd00:11::/64"}
    edge = bare(red, web, {"protocol": "ipv6-icmp", "ethertype": "IPv6", "port_range_min": 128})
    put(red, leg(red, router, one), edge)
    assert soon(lambda: not ask(inner.guest, outer.address(6), 443)) and soon(ask, inner.guest, outer.address(6))
    assert soon(pings, inner.guest, outer.address(6)) and not pings(outer.guest, inner.address(6))
    assert not ask(outer.guest, inner.address(6)) and not ask(inner.guest, outer.address(6), 53, "udp")
    guest = inner.guest
    guest.run(["sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=2", "net.ipv6.conf.eth0.autoconf=1"])
    for state in ("down", "up"):
        guest.run(["ip", "link", "set", "eth0", state])
    assert soon(lambda: "default via fe80" in guest.run(["ip", "-6", "route"]).stdout), "no advertisement passes"
    assert soon(ask, guest, outer.address(6))
    assert (
        "time exceeded"
        in guest.run(["ping", "-c", "1", "-W", "2", "-t", "1", outer.address(6)], check=False).stdout.lower()
    )


def test_on_a_router_s_gateway(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    red = tenant("red")
    network = red.network("10.0.0.0/24")
    router = red.router(network)
    server = red.server(network, 1, red.group({}))
    server.serve("server", "80,443", "53")
    floating = red.create("floatingip", floating_network_id=red.public["id"], port_id=server.port["id"])[
        "floating_ip_address"
    ]
    outside = lab.internet.popen(["python3", "-c", SERVE, "outside", "8080", "5353"])
    try:
        assert soon(lambda: ask(lab.internet, floating, 443) and ask(server.guest, INTERNET, 8080))
        edge = bare(red, {**TCP80, "remote_ip_prefix": "198.51.100.0/24"})

        def gateway(*groups: dict[str, Any]) -> None:
            info = {"network_id": red.public["id"], "security_groups": [group["id"] for group in groups]}
            red.call("PUT", f"routers/{router['id']}", router={"external_gateway_info": info})

        gateway(edge)
        assert soon(lambda: ask(lab.internet, floating) and not ask(lab.internet, floating, 443))
        assert not ask(server.guest, INTERNET, 8080) and not ask(server.guest, ANSWERS, 5353, "udp")
        assert not pings(lab.internet, floating)
        ports = {"port_range_min": 5353, "port_range_max": 5353}
        red.create("security_group_rule", security_group_id=edge["id"], direction="egress", protocol="udp", **ports)
        red.create("security_group_rule", security_group_id=edge["id"], direction="egress", protocol="icmp")
        assert soon(lambda: ask(server.guest, ANSWERS, 5353, "udp") and pings(server.guest, INTERNET))
        assert not ask(server.guest, INTERNET, 8080) and not pings(lab.internet, floating)
        gateway()
        assert soon(lambda: ask(lab.internet, floating, 443) and ask(server.guest, INTERNET, 8080))
    finally:
        outside.terminate()
        outside.wait()


# Logs ----------------------------------------------------------------------------------------------------------------
def lines(lab: Lab, host: int, log: dict[str, Any]) -> list[tuple[str, str]]:
    """(verdict, direction) of each line that a log has left on a host."""
    text = (lab.directory / "log" / f"h{host}-ovn-controller.log").read_text()
    return re.findall(rf'name="{log["id"]}", verdict=([\w-]+), severity=info, direction=([\w-]+):', text)


def test_what_is_let_in_and_dropped_leaves_lines(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    field = Field(tenant("red"))
    project = field.project
    project.rule(field.group, **TCP80)
    assert soon(lambda: field.answers(field.far, "tcp/80"))

    calls, path = project.admin.client, "/network/v2.0/log/logs"

    def log(**body: Any) -> Any:
        return calls.post(path, json={"log": {"resource_type": "security_group", **body}}).json()["log"]

    whole = log(resource_id=field.group["id"], event="ALL")
    assert soon(lambda: field.answers(field.far, "tcp/80") and ("allow", "to-lport") in lines(lab, 1, whole))
    assert soon(lambda: not field.answers(field.far, "tcp/443") and ("drop", "to-lport") in lines(lab, 1, whole))
    one = log(target_id=field.near.port["id"], event="DROP")
    assert soon(
        lambda: not pings(field.server.guest, field.near.address()) and ("drop", "to-lport") in lines(lab, 1, one)
    )
    assert {verdict for verdict, _ in lines(lab, 1, one)} == {"drop"}
    calls.put(f"{path}/{whole['id']}", json={"log": {"enabled": False}})
    before: list[Any] = []

    def quiet() -> bool:
        field.answers(field.far, "tcp/443")
        before.append(len(lines(lab, 1, whole)))
        return len(before) > 1 and before[-1] == before[-2]

    assert soon(quiet), "a log that is off goes on writing"
    for made in (whole, one):
        calls.delete(f"{path}/{made['id']}")
