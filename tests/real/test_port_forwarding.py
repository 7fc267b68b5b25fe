"""Port forwarding with packets: servers that share a floating IP."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.real.tenants import CONVERSE, Server, Tenant, ask
from tests.real.test_floating_ips import floating_ip, soon, tracked
from wolke.lab import Lab

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
OPEN = ({"protocol": "tcp"}, {"protocol": "udp"})


def forward(
    red: Tenant, floating: Any, server: Server, outer: Any, inner: Any, protocol: str = "tcp"
) -> dict[str, Any]:
    kind = {int: "port", str: "port_range"}
    body = {f"external_{kind[type(outer)]}": outer, f"internal_{kind[type(inner)]}": inner}
    path = f"floatingips/{floating['id']}/port_forwardings"
    body |= {"protocol": protocol, "internal_port_id": server.port["id"]}
    made: dict[str, Any] = red.call("POST", path, port_forwarding=body)["port_forwarding"]
    red.made.append((path, made["id"]))
    return made


def test_servers_share_an_address(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    """On both hosts, with the client's address, from outside and from every side inside."""
    red = tenant("red")
    one, two, far = red.network("10.0.0.0/24"), red.network("10.1.0.0/24"), red.network("10.2.0.0/24")
    router = red.router(one)
    red.call("PUT", f"routers/{router['id']}/add_router_interface", subnet_id=two["subnets"][0])
    gateway = red.router(far)["external_gateway_info"]["external_fixed_ips"][0]["ip_address"]
    group = red.group(*OPEN)
    web, shell, beside, other, lone = (
        red.server(one, 1, group), red.server(one, 2, group), red.server(one, 2, group), red.server(two, 1, group),
        red.server(far, 1, group),
    )  # fmt: skip
    web.serve("web", tcp="80,7001,7002", udp="53")
    shell.serve("shell", tcp="22", udp="53")
    floating = floating_ip(red)
    address = floating["floating_ip_address"]
    forward(red, floating, web, 8080, 80)
    forward(red, floating, web, "7101:7102", "7001:7002")
    forward(red, floating, web, 5353, 53, "udp")
    forward(red, floating, shell, 22, 22)
    goals = (
        (8080, "tcp", "web"),
        (7101, "tcp", "web"),
        (7102, "tcp", "web"),
        (5353, "udp", "web"),
        (22, "tcp", "shell"),
    )
    for port, kind, name in goals:
        assert soon(lambda p=port, k=kind, n=name: ask(lab.internet, address, p, k) == f"{n} 198.51.100.1"), (
            port,
            kind,
        )
    assert ask(lab.internet, address, 80) == "" and ask(lab.internet, address, 22, "udp") == ""
    for asking, seen in ((beside, beside.address()), (other, other.address()), (lone, gateway), (web, address)):
        for port, kind, name in goals[::2]:
            wanted = f"{name} {seen}" if name == "web" else f"{name} "
            assert soon(lambda a=asking, p=port, k=kind, w=wanted: ask(a.guest, address, p, k).startswith(w)), (
                seen,
                wanted,
            )


def test_what_is_taken_back_ends(lab: Lab, tenant: Callable[[str], Tenant]) -> None:
    red = tenant("red")
    network = red.network("10.0.0.0/24")
    red.router(network)
    group = red.group(*OPEN)
    first, second = red.server(network, 1, group), red.server(network, 2, group)
    first.serve("first")
    second.serve("second")
    floating = floating_ip(red)
    address = floating["floating_ip_address"]
    made = forward(red, floating, first, 80, 80)
    path = f"floatingips/{floating['id']}/port_forwardings"
    assert soon(lambda: ask(lab.internet, address).startswith("first"))

    def talking() -> subprocess.Popen[Any]:
        talk = lab.internet.popen(
            ["python3", "-c", CONVERSE, address, "80"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert talk.stdout and talk.stdout.readline()
        return talk

    talk = talking()
    red.call("PUT", f"{path}/{made['id']}", port_forwarding={"internal_port_id": second.port["id"]})
    assert soon(lambda: ask(lab.internet, address).startswith("second"))
    assert soon(lambda: talk.poll() is not None), "a conversation goes on with the server before"
    talk = talking()
    red.call("DELETE", f"{path}/{made['id']}")
    red.made.remove((path, made["id"]))
    assert soon(lambda: ask(lab.internet, address) == "")
    assert soon(lambda: talk.poll() is not None), "a conversation goes on by a forwarding that is gone"
    assert soon(lambda: not tracked(lab, address)), tracked(lab, address)
