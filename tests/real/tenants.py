"""Projects with networks and namespace guests on a lab's hosts, made through the public API as their own users."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from typing import Any

from wolke.lab import Lab, wait_for
from wolke.lab.furnish import Api, administrator
from wolke.lab.guests import Guest

# On every port: says its name, and who asked. TCP keeps a conversation, line by line.
SERVE = """
import socket, sys, threading
name, tcp, udp = sys.argv[1], *(map(int, ports.split(',')) for ports in sys.argv[2:4])
def talk(connection, peer):
    for line in connection.makefile('rb'):
        connection.sendall(f'{name} {peer}\\n'.encode())
def streams(port):
    server = socket.create_server(('', port), family=socket.AF_INET6, dualstack_ipv6=True)
    while True:
        connection, peer = server.accept()
        threading.Thread(target=talk, args=(connection, peer[0].removeprefix('::ffff:')), daemon=True).start()
def datagrams(port):
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind(('', port))
    while True:
        _, peer = server.recvfrom(99)
        server.sendto(f"{name} {peer[0].removeprefix('::ffff:')}".encode(), peer)
for port in tcp: threading.Thread(target=streams, args=(port,), daemon=True).start()
for port in udp: threading.Thread(target=datagrams, args=(port,), daemon=True).start()
threading.Event().wait()
"""
ASK = """
import socket, sys
kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ':' in address else socket.AF_INET
asking = socket.socket(family, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
asking.settimeout(2)
asking.connect((address, port)); asking.send(b'who\\n'); print(asking.recv(99).decode().strip())
"""
# Keeps one TCP conversation: a line for each answer, until it is told nothing more for 3 seconds
CONVERSE = """
import socket, sys, time
talk = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5); talk.settimeout(3)
while True:
    talk.send(b'still there\\n'); print(talk.recv(99).decode().strip(), flush=True); time.sleep(0.1)
"""


@dataclass
class Server:
    """A namespace guest with its port."""

    port: dict[str, Any]
    guest: Guest
    serving: list[subprocess.Popen[Any]] = field(default_factory=list)

    def address(self, version: int = 4) -> str:
        found = (fixed["ip_address"] for fixed in self.port["fixed_ips"])
        return next(address for address in found if (":" in address) == (version == 6))

    def serve(self, name: str, tcp: str = "80,443", udp: str = "53") -> None:
        self.serving.append(self.guest.popen(["python3", "-c", SERVE, name, tcp, udp]))
        assert wait_for(
            lambda: all(f":{port}" in self.guest.run(["ss", "-Htuln"]).stdout for port in tcp.split(",")), 30
        )

    def gone(self) -> None:
        for one in self.serving:
            one.terminate()
            one.wait()
        self.guest.detach()


def drawn(cidr: str) -> dict[str, Any]:
    """The pool of a subnet, apart from the addresses that tests name."""
    if not cidr.endswith(".0/24"):
        return {}
    prefix = cidr.removesuffix("0/24")
    return {"allocation_pools": [{"start": f"{prefix}100", "end": f"{prefix}199"}]}


def ask(node: Any, address: str, port: int = 80, kind: str = "tcp") -> str:
    """What a server answers, "" for nothing within two seconds. ``node``: a guest, or a node of the lab."""
    return str(node.run(["python3", "-c", ASK, kind, address, str(port)], check=False).stdout.strip())


def pings(node: Any, address: str) -> bool:
    return node.run(["ping", "-c", "1", "-W", "1", address], check=False).returncode == 0


class Tenant:
    """One project, its user's API, and what it has: ended in the opposite order."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab, self.name, self.servers = lab, name, list[Server]()
        self.made: list[tuple[str, str]] = []
        admin = administrator(lab)
        admin.member(name, "open sesame")
        self.api = Api(lab.url, name, "open sesame", name)
        self.admin = admin
        [self.public] = admin.get("/network/v2.0/networks", name="public")["networks"]

    def call(self, method: str, path: str, **body: Any) -> Any:
        return self.api.call(method, f"/network/v2.0/{path}", **body)

    def create(self, kind: str, **body: Any) -> dict[str, Any]:
        path = f"{kind.replace('_', '-')}s"
        made: dict[str, Any] = self.call("POST", path, **{kind: body})[kind]
        self.made.append((path, made["id"]))
        return made

    def delete(self, kind: str, id: str) -> None:
        path = f"{kind.replace('_', '-')}s"
        self.call("DELETE", f"{path}/{id}")
        self.made.remove((path, id))

    def network(self, *cidrs: str, **more: Any) -> dict[str, Any]:
        """A network with its subnets; IPv6 by router advertisements. Of a /24 the ports draw .100 to .199: the rest is the test's."""
        network = self.create("network", name=self.name, **more)
        slaac = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
        network["subnets"] = [
            self.create(
                "subnet", network_id=network["id"], cidr=cidr, ip_version=6 if ":" in cidr else 4,
                **(slaac if ":" in cidr else drawn(cidr)),
            )["id"]
            for cidr in cidrs
        ]  # fmt: skip
        return network

    def router(self, network: dict[str, Any]) -> dict[str, Any]:
        router = self.create("router", name=self.name, external_gateway_info={"network_id": self.public["id"]})
        for subnet in network["subnets"]:
            self.call("PUT", f"routers/{router['id']}/add_router_interface", subnet_id=subnet)
        return router

    def group(self, *rules: dict[str, Any]) -> dict[str, Any]:
        group = self.create("security_group", name=self.name)
        for rule in rules:
            self.rule(group, **rule)
        return group

    def rule(self, group: dict[str, Any], **rule: Any) -> dict[str, Any]:
        return self.create("security_group_rule", security_group_id=group["id"], direction="ingress", **rule)

    def server(self, network: dict[str, Any], host: int, *groups: dict[str, Any], **port: Any) -> Server:
        """A guest on a host whose addresses are set as the port says."""
        ids = [group["id"] for group in groups]
        made = self.create("port", network_id=network["id"], security_groups=ids, **port)
        subnets = {id: self.call("GET", f"subnets/{id}")["subnet"] for id in network["subnets"]}
        addresses = [
            f"{fixed['ip_address']}/{subnets[fixed['subnet_id']]['cidr'].partition('/')[2]}"
            for fixed in made["fixed_ips"]
        ]
        found = {
            subnets[fixed["subnet_id"]]["ip_version"]: subnets[fixed["subnet_id"]]
            for fixed in reversed(made["fixed_ips"])
        }
        ways = [subnet["gateway_ip"] for subnet in found.values() if subnet["gateway_ip"]]
        assert wait_for(
            lambda: made["id"] in self.lab.ovn_nbctl("--bare", "--columns=name", "list", "Logical_Switch_Port"), 30
        )
        guest = self.lab.host(host).attach(made["id"], made["mac_address"], addresses, ways, mtu=network["mtu"])
        self.servers.append(Server(made, guest))
        return self.servers[-1]

    def end(self) -> None:
        for server in self.servers:
            server.gone()
        for path, id in reversed(self.made):
            if path == "routers":
                for port in self.call("GET", f"ports?device_id={id}&device_owner=network:router_interface")["ports"]:
                    self.call("PUT", f"routers/{id}/remove_router_interface", port_id=port["id"])
            self.api.client.delete(f"/network/v2.0/{path}/{id}")
