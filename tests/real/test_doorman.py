"""The doorman with packets: SMTP stays shut inwards over every way there is, whatever security groups say, and nothing else does."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.real.tenants import CONVERSE, SERVE, Server, Tenant, ask
from wolke.core.db import iso
from wolke.demo import doors
from wolke.lab import Lab, wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
INTERNET = {4: "198.51.100.254", 6: "2001:db8:ffff::1"}
SECONDS = 30
EVERYTHING: list[dict[str, Any]] = [{}, {"ethertype": "IPv6"}]
DOOR = "/wolke/v1/doorman"


def soon(condition: Callable[[], Any]) -> bool:
    return bool(wait_for(condition, SECONDS, every=0.2))


class Door:
    """The operator's calls; what was made is taken away afterwards."""

    def __init__(self, tenant: Tenant) -> None:
        self.api = tenant.admin.client
        self.made: list[str] = []

    def make(self, kind: str, **body: Any) -> dict[str, Any]:
        reply = self.api.post(f"{DOOR}/{kind}s", json={f"doorman_{kind}": body})
        assert reply.is_success, reply.text
        self.made.append(f"{DOOR}/{kind}s/{reply.json()[f'doorman_{kind}']['id']}")
        return dict(reply.json()[f"doorman_{kind}"])

    def smtp(self) -> dict[str, Any]:
        found = self.api.get(f"{DOOR}/rules").json()["doorman_rules"]
        return next(dict(rule) for rule in found if rule["name"] == "smtp")

    def exception(self, seconds: float, **body: Any) -> dict[str, Any]:
        until = iso(time.time() + seconds)
        return self.make("exception", rule_id=self.smtp()["id"], reason="test", expires_at=until, **body)

    def end(self) -> None:
        for path in reversed(self.made):
            self.api.delete(path)


@contextmanager
def mail_outside(lab: Lab) -> Iterator[None]:
    """A mail server in the internet."""
    serving = lab.internet.popen(["python3", "-c", SERVE, "outside", "25,80", "53"])
    try:
        assert soon(lambda: ":25 " in lab.internet.run(["ss", "-Htln"]).stdout)
        yield
    finally:
        serving.terminate()
        serving.wait()


def shut(lab: Lab, node: Any, address: str, name: str) -> None:
    """Port 80 answers, port 25 does not."""
    assert soon(lambda: ask(node, address, 80).startswith(name)), f"port 80 of {address} does not answer"
    assert ask(node, address, 25) == "", f"port 25 of {address} answers"


def behind(project: Tenant, cidr: str, host: int) -> tuple[Server, dict[str, Any]]:
    """A mail server on a network of its own with a router, all security groups open."""
    network = project.network(cidr)
    router = project.router(network)
    server = project.server(network, host, project.group(*EVERYTHING))
    server.serve(project.name, tcp="25,80,2525", udp="53")
    return server, router


def test_smtp_is_shut_over_floating_ips_and_from_other_projects(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    red, blue = tenant("red"), tenant("blue")
    server, _ = behind(red, "10.0.0.0/24", 1)
    other, _ = behind(blue, "10.0.0.0/24", 2)
    address = red.create("floatingip", floating_network_id=red.public["id"], port_id=server.port["id"])[
        "floating_ip_address"
    ]
    shut(lab, lab.internet, address, "red")
    shut(lab, other.guest, address, "red")
    blue.create("floatingip", floating_network_id=blue.public["id"], port_id=other.port["id"])
    shut(lab, other.guest, address, "red")
    assert ask(lab.internet, address, 53, "udp").startswith("red")
    with mail_outside(lab):
        for guest in (server, other):
            assert soon(lambda guest=guest: ask(guest.guest, INTERNET[4], 25).startswith("outside"))


def test_replies_of_smtp_flow_through_source_nat(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    red = tenant("red")
    network = red.network("10.0.0.0/24")
    router = red.router(network)
    server = red.server(network, 2, red.group())
    outer = router["external_gateway_info"]["external_fixed_ips"][0]["ip_address"]
    with mail_outside(lab):
        assert soon(lambda: ask(server.guest, INTERNET[4], 25) == f"outside {outer}")


def test_what_may_not_leave_does_not(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    red = tenant("red")
    door = Door(red)
    server, _ = behind(red, "10.0.0.0/24", 1)
    plain = red.server(
        {**server_network(red, server), "subnets": [server.port["fixed_ips"][0]["subnet_id"]]}, 2, red.group()
    )
    red.create("floatingip", floating_network_id=red.public["id"], port_id=server.port["id"])
    with mail_outside(lab):
        guests = (server.guest, plain.guest)
        try:
            for guest in guests:
                assert soon(lambda guest=guest: ask(guest, INTERNET[4], 25).startswith("outside"))
            door.make("rule", action="deny", direction="egress", protocol="tcp", port_range_min=25, port_range_max=25)
            allowed = door.make(
                "rule", action="allow", direction="egress", protocol="udp", source_port_range_min=53, source_port_range_max=53
            )  # fmt: skip
            assert allowed["position"] == 3
            for guest in guests:
                assert soon(lambda guest=guest: ask(guest, INTERNET[4], 25) == "")
                assert ask(guest, INTERNET[4], 80).startswith("outside"), "more than port 25 is shut"
        finally:
            door.end()
        for guest in guests:
            assert soon(lambda guest=guest: ask(guest, INTERNET[4], 25).startswith("outside"))


def test_an_exception_opens_and_expires(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    red = tenant("red")
    door = Door(red)
    server, _ = behind(red, "10.0.0.0/24", 1)
    neighbour = red.server(
        {**server_network(red, server), "subnets": [server.port["fixed_ips"][0]["subnet_id"]]},
        2,
        red.group(*EVERYTHING),
    )
    neighbour.serve("red2", tcp="25,80")
    floating = [
        red.create("floatingip", floating_network_id=red.public["id"], port_id=one.port["id"])
        for one in (server, neighbour)
    ]
    address, beside = (one["floating_ip_address"] for one in floating)
    try:
        shut(lab, lab.internet, address, "red")
        made = door.exception(20, floatingip_id=floating[0]["id"])
        assert soon(lambda: ask(lab.internet, address, 25).startswith("red")), "the exception does not open"
        shut(lab, lab.internet, beside, "red2")
        path = f"{DOOR}/exceptions/{made['id']}"
        assert soon(lambda: door.api.get(path).json()["doorman_exception"]["status"] == "EXPIRED")
        assert soon(lambda: ask(lab.internet, address, 25) == ""), "what has expired is still open"
        assert ask(lab.internet, address, 80).startswith("red")
        door.exception(600, project_id=server.port["project_id"])
        for one in (address, beside):
            assert soon(lambda one=one: ask(lab.internet, one, 25).startswith("red"))
    finally:
        door.end()
    assert soon(lambda: ask(lab.internet, address, 25) == "")


def server_network(project: Tenant, server: Server) -> dict[str, Any]:
    return dict(project.call("GET", f"networks/{server.port['network_id']}")["network"])


def test_a_rule_for_a_low_port_cuts_what_is_under_way(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    red = tenant("red")
    door = Door(red)
    server, _ = behind(red, "10.0.0.0/24", 1)
    address = red.create("floatingip", floating_network_id=red.public["id"], port_id=server.port["id"])[
        "floating_ip_address"
    ]
    assert soon(lambda: ask(lab.internet, address, 80).startswith("red"))
    talk = lab.internet.popen(["python3", "-c", CONVERSE, address, "80"], stdout=subprocess.PIPE, text=True)
    try:
        assert talk.stdout and talk.stdout.readline()
        door.make(
            "rule",
            action="deny",
            direction="ingress",
            protocol="tcp",
            port_range_min=80,
            port_range_max=80,
            local_ip_prefixes=[address],
        )
        assert soon(lambda: talk.poll() is not None), "the conversation goes on behind a shut door"
        assert ask(lab.internet, address, 80) == "" and ask(lab.internet, address, 2525).startswith("red")
        door.end()
        assert soon(lambda: ask(lab.internet, address, 80).startswith("red"))
    finally:
        door.end()
        talk.kill()
        talk.wait()


def test_smtp_is_shut_over_routed_ipv6(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    made: list[list[str]] = []
    servers: dict[str, Server] = {}
    try:
        for number, name in enumerate(("red", "blue"), 1):
            cidr = f"2001:db8:{70 + number}::/64"
            servers[name], router = behind(tenant(name), cidr, number)
            outer = next(
                fixed["ip_address"] for fixed in router["external_gateway_info"]["external_fixed_ips"] if ":" in fixed["ip_address"]
            )  # fmt: skip
            made.append([cidr, "via", outer])
            lab.internet.run(["ip", "-6", "route", "replace", *made[-1]])
        address = servers["red"].address(6)
        shut(lab, lab.internet, address, "red")
        shut(lab, servers["blue"].guest, address, "red")
        with mail_outside(lab):
            assert soon(lambda: ask(servers["red"].guest, INTERNET[6], 25).startswith("outside"))
    finally:
        for route in made:
            lab.internet.run(["ip", "-6", "route", "delete", *route], check=False)


def test_smtp_is_shut_between_projects_on_one_shared_network(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    red, blue = tenant("red"), tenant("blue")
    network = red.network("10.0.0.0/24", "fd00:3::/64")
    server = red.server(network, 1, red.group(*EVERYTHING))
    server.serve("red", tcp="25,80")
    friend = red.server(network, 2, red.group(*EVERYTHING))
    assert soon(lambda: ask(friend.guest, server.address(), 25) == f"red {friend.address()}"), "one project's alone"
    project = blue.create("security_group", name="blue")["project_id"]
    policy = {
        "object_type": "network",
        "object_id": network["id"],
        "action": "access_as_shared",
        "target_tenant": project,
    }
    made = red.call("POST", "rbac-policies", rbac_policy=policy)["rbac_policy"]
    red.made.append(("rbac-policies", made["id"]))
    assert soon(lambda: ask(friend.guest, server.address(), 25) == ""), (
        "a network that is shared has a door at each port"
    )
    for host in (1, 2):
        other = blue.server(network, host, blue.group(*EVERYTHING))
        for version in (4, 6):
            shut(lab, other.guest, server.address(version), "red")


def test_port_forwardings_are_judged_by_their_outer_port(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    red = tenant("red")
    server, _ = behind(red, "10.0.0.0/24", 2)
    floating = red.create("floatingip", floating_network_id=red.public["id"])
    for outer, inner in ((25, 2525), (80, 80), (2525, 25)):
        body = {
            "external_port": outer, "internal_port": inner, "protocol": "tcp", "internal_port_id": server.port["id"],
            "internal_ip_address": server.address(),
        }  # fmt: skip
        red.call("POST", f"floatingips/{floating['id']}/port_forwardings", port_forwarding=body)
    shut(lab, lab.internet, floating["floating_ip_address"], "red")
    assert soon(lambda: ask(lab.internet, floating["floating_ip_address"], 2525).startswith("red"))


def test_a_router_that_stands_outside_with_an_inner_port_is_no_way_past(
    lab: Lab, tenant: Callable[[str], Tenant]
) -> None:
    red = tenant("red")
    door = Door(red)
    network = red.network("10.5.0.0/24")
    server = red.server(network, 1, red.group(*EVERYTHING))
    server.serve("red", tcp="25,80")
    router = red.create("router", name="red")
    red.call("PUT", f"routers/{router['id']}/add_router_interface", subnet_id=network["subnets"][0])
    admin = red.admin.client
    body = {"network_id": red.public["id"], "project_id": server.port["project_id"], "name": "leg"}
    reply = admin.post("/network/v2.0/ports", json={"port": body})
    assert reply.is_success, reply.text
    leg = reply.json()["port"]
    reply = admin.put(f"/network/v2.0/routers/{router['id']}/add_router_interface", json={"port_id": leg["id"]})
    assert reply.is_success, reply.text
    outer = next(fixed["ip_address"] for fixed in leg["fixed_ips"] if "." in fixed["ip_address"])
    lab.internet.run(["ip", "route", "replace", "10.5.0.0/24", "via", outer])
    try:
        shut(lab, lab.internet, server.address(), "red")
        with mail_outside(lab):
            assert soon(lambda: ask(server.guest, INTERNET[4], 25).startswith("outside"))
            door.make("rule", action="deny", direction="egress", protocol="tcp", port_range_min=25, port_range_max=25)
            assert soon(lambda: ask(server.guest, INTERNET[4], 25) == "")
            assert ask(server.guest, INTERNET[4], 80).startswith("outside")
    finally:
        door.end()
        lab.internet.run(["ip", "route", "delete", "10.5.0.0/24"], check=False)
        admin.put(f"/network/v2.0/routers/{router['id']}/remove_router_interface", json={"port_id": leg["id"]})


def test_the_demo_s_proofs_hold(lab: Lab) -> None:
    """Dry run, inventory with counters, audit: with real engines and conversations that are under way."""
    proofs = doors.prove(lab, print)
    assert len(proofs) > 20 and [proof for proof in proofs if not proof.held] == []
