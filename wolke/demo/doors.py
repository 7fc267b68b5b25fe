"""The doorman, shown with packets: two projects that allow everything, and an operator who stands at the door of all of them.

Everything is done through the public API: the projects' things by their own users, the rest by the operator.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from wolke.core.db import iso
from wolke.demo.proofs import Proof, Proofs
from wolke.lab.furnish import Api, administrator
from wolke.lab.guests import Guest
from wolke.lab.lab import Lab
from wolke.lab.waiting import wait_for
from wolke.network.doorman.spans import canonical

NAMES, PASSWORD = ("east", "west"), "open sesame"
RANGE, POOL = "10.0.0.0/24", "door-demo"
OUTSIDE = "198.51.100.254"
SECONDS, OPEN_SECONDS = 30, 20
DOOR = "/wolke/v1/doorman"

# On every port: says its name, line by line
SERVE = """
import socket, sys, threading
name, ports = sys.argv[1], [int(port) for port in sys.argv[2].split(',')]
def talk(connection):
    for line in connection.makefile('rb'):
        connection.sendall(f'{name}\\n'.encode())
def listen(port):
    server = socket.create_server(('', port), family=socket.AF_INET6, dualstack_ipv6=True)
    while True:
        threading.Thread(target=talk, args=(server.accept()[0],), daemon=True).start()
for port in ports: threading.Thread(target=listen, args=(port,), daemon=True).start()
threading.Event().wait()
"""
ASK = """
import socket, sys
asking = socket.create_connection((sys.argv[1], int(sys.argv[2])), 3); asking.sendall(b'who\\n'); print(asking.recv(99).decode().strip())
"""
CONVERSE = """
import socket, sys, time
talk = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5); talk.settimeout(3)
while True:
    talk.sendall(b'still there\\n'); print(talk.recv(99).decode().strip(), flush=True); time.sleep(0.2)
"""


@dataclass
class Project:
    """One project, seen by its own user: everything is allowed in by its group."""

    name: str
    id: str
    api: Api
    servers: list[Guest] = field(default_factory=list)
    ports: list[dict[str, Any]] = field(default_factory=list)
    floating: dict[str, Any] = field(default_factory=dict)  # leads to the first server
    shared: dict[str, Any] = field(default_factory=dict)  # has port forwardings to the second

    def call(self, method: str, path: str, **body: Any) -> Any:
        return self.api.call(method, f"/network/v2.0/{path}", **body)

    def create(self, kind: str, **body: Any) -> dict[str, Any]:
        return dict(self.call("POST", f"{kind.replace('_', '-')}s", **{kind: body})[kind])

    def address(self, version: int, server: int = 0) -> str:
        found = (one["ip_address"] for one in self.ports[server]["fixed_ips"])
        return str(next(address for address in found if (":" in address) == (version == 6)))

    def clean(self) -> None:
        """Take away what an earlier demo left."""
        mine = f"project_id={self.id}"
        for kind in ("floatingips", "routers", "ports", "networks", "security-groups"):
            for one in self.call("GET", f"{kind}?{mine}")[kind.replace("-", "_")]:
                if kind == "floatingips":
                    for forwarding in self.call("GET", f"floatingips/{one['id']}/port_forwardings")["port_forwardings"]:
                        self.call("DELETE", f"floatingips/{one['id']}/port_forwardings/{forwarding['id']}")
                if kind == "routers":
                    for port in self.call("GET", f"ports?device_id={one['id']}&device_owner=network:router_interface")[
                        "ports"
                    ]:
                        self.call("PUT", f"routers/{one['id']}/remove_router_interface", port_id=port["id"])
                if not one.get("device_owner", "").startswith("network:") and one.get("name") != "default":
                    self.call("DELETE", f"{kind}/{one['id']}")


def prove(lab: Lab, say: Callable[[str], None]) -> list[Proof]:
    """All proofs; the projects stay, so that one can look at them."""
    return Doors(lab, say).run()


class Doors(Proofs):
    """Builds two projects and proves what stands before them."""

    def __init__(self, lab: Lab, say: Callable[[str], None]) -> None:
        super().__init__(lab, say)
        self.admin = administrator(lab)
        self.operator = self.admin.client
        self.projects: dict[str, Project] = {}

    # What is built ----------------------------------------------------------------------------------------------------
    def build(self) -> None:
        [public] = self.admin.get("/network/v2.0/networks", name="public")["networks"]
        body = {"name": POOL, "prefixes": ["2001:db8:d00::/48"], "default_prefixlen": 64, "shared": True}
        pool = self.admin.ensure("/network/v2.0/subnetpools", "subnetpool", body)
        for name in NAMES:
            self.say(f"project {name}: a network, a router, two servers, groups that allow everything")
            project = self.member(name)
            project.clean()
            self.furnish(project, public["id"], pool["id"])
            self.projects[name] = project

    def member(self, name: str) -> Project:
        project = self.admin.member(name, PASSWORD)
        return Project(name, project["id"], Api(self.lab.url, name, PASSWORD, name))

    def furnish(self, project: Project, public: str, pool: str) -> None:
        group = project.create("security_group", name="open")["id"]
        for family in ("IPv4", "IPv6"):
            project.create("security_group_rule", security_group_id=group, direction="ingress", ethertype=family)
        network = project.create("network", name="net")["id"]
        slaac = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
        subnets = [
            project.create("subnet", network_id=network, ip_version=4, cidr=RANGE),
            project.create("subnet", network_id=network, ip_version=6, subnetpool_id=pool, **slaac),
        ]
        router = project.create("router", name="router", external_gateway_info={"network_id": public})["id"]
        for subnet in subnets:
            project.call("PUT", f"routers/{router}/add_router_interface", subnet_id=subnet["id"])
        lengths = {subnet["id"]: subnet["cidr"].partition("/")[2] for subnet in subnets}
        ways = {subnet["id"]: subnet["gateway_ip"] for subnet in subnets}
        for _ in range(2):
            port = project.create("port", network_id=network, security_groups=[group])
            project.ports.append(port)
            addresses = [f"{one['ip_address']}/{lengths[one['subnet_id']]}" for one in port["fixed_ips"]]
            gateways = [ways[one["subnet_id"]] for one in port["fixed_ips"]]
            host = self.lab.host(NAMES.index(project.name) % len(self.lab.hosts) + 1)
            project.servers.append(host.attach(port["id"], port["mac_address"], addresses, gateways, mtu=1400))
        first, second = project.ports
        project.floating = project.create("floatingip", floating_network_id=public, port_id=first["id"])
        project.shared = project.create("floatingip", floating_network_id=public)
        for outer, inner in ((25, 2525), (8025, 25)):
            body = {
                "external_port": outer, "internal_port": inner, "protocol": "tcp", "internal_port_id": second["id"],
                "internal_ip_address": project.address(4, 1),
            }  # fmt: skip
            project.call("POST", f"floatingips/{project.shared['id']}/port_forwardings", port_forwarding=body)

    # Tools ------------------------------------------------------------------------------------------------------------
    @contextmanager
    def serving(self, node: Any, name: str, ports: str) -> Iterator[None]:
        process = node.popen(["python3", "-c", SERVE, name, ports], stderr=subprocess.DEVNULL)
        try:
            first = ports.split(",", 1)[0]
            wait_for(lambda: f":{first} " in node.run(["ss", "-Htln"]).stdout, SECONDS)
            yield
        finally:
            process.terminate()
            process.wait()

    def ask(self, node: Any, address: str, port: int) -> str:
        return str(node.run(["python3", "-c", ASK, address, str(port)], check=False).stdout.strip())

    def soon(self, condition: Callable[[], Any], seconds: float = SECONDS) -> bool:
        return bool(wait_for(condition, seconds, every=0.3))

    def get(self, path: str, project: Project | None = None) -> Any:
        client = project.api.client if project else self.operator
        return client.get(f"/wolke/v1/{path}").raise_for_status().json()

    def post(self, path: str, **body: Any) -> Any:
        return self.operator.post(f"{DOOR}/{path}", json=body).raise_for_status().json()

    def shut(self, name: str, node: Any, address: str, answer: str, port: int = 25, control: int = 80) -> None:
        """One port is shut where another, of the same server by the same way, answers."""
        answers = self.soon(lambda: self.ask(node, address, control) == answer)
        met = self.ask(node, address, port)
        seen = f"{address}: tcp/{control} {'answers' if answers else 'is silent'}, tcp/{port} {'answers' if met else 'is silent'}"
        self.prove(name, answers and not met, seen)

    # Proofs -----------------------------------------------------------------------------------------------------------
    def run(self) -> list[Proof]:
        self.build()
        with ExitStack() as running:
            for project in self.projects.values():
                for guest in project.servers:
                    running.callback(guest.detach)
                    running.enter_context(self.serving(guest, project.name, "80,25,2525"))
            running.enter_context(self.serving(self.lab.internet, "internet", "25,80"))
            running.callback(self.forget_routes)
            self.mail()
            self.operators_alone()
            self.exception()
            self.dry_run()
            self.inventory()
        return self.proofs

    def mail(self) -> None:
        east, west = self.projects.values()
        internet, address = self.lab.internet, east.floating["floating_ip_address"]
        self.shut("inbound tcp/25 is shut over a floating IP", internet, address, "east")
        self.shut("... from another project", west.servers[0], address, "east")
        shared = east.shared["floating_ip_address"]
        self.shut("... over a port forwarding", internet, shared, "east", control=8025)
        for prefix in self.get("prefixes?kind=subnet")["prefixes"]:
            internet.run(["ip", "-6", "route", "replace", prefix["prefix"], "via", prefix["next_hop"]])
        self.shut("... over routed IPv6", internet, east.address(6), "east")
        self.shut("... over routed IPv6 from another project", west.servers[0], east.address(6), "east")
        for project in (east, west):
            answer = self.ask(project.servers[0], OUTSIDE, 25)
            self.prove(
                f"{project.name}: outbound mail flows, replies too",
                answer == "internet",
                f"{OUTSIDE}:25 says: {answer or 'nothing'}",
            )
        asked = {
            "from": {"internet": True},
            "to": {"floatingip_id": east.floating["id"]},
            "protocol": "tcp",
            "port": 25,
        }
        told = east.api.client.post("/wolke/v1/reachability", json=asked).raise_for_status().json()["reachability"]
        named = told["decided_by"]["id"] == self.smtp()["id"]
        self.prove("the project is told which rule it is", not told["reachable"] and named, told["sentence"])

    def forget_routes(self) -> None:
        for prefix in self.get("prefixes?kind=subnet")["prefixes"]:
            self.lab.internet.run(["ip", "-6", "route", "delete", prefix["prefix"]], check=False)

    def smtp(self) -> dict[str, Any]:
        return next(dict(rule) for rule in self.get("doorman/rules")["doorman_rules"] if rule["name"] == "smtp")

    def operators_alone(self) -> None:
        east = self.projects["east"]
        met = [
            east.api.client.get(f"{DOOR}/rules").status_code,
            east.api.client.put(
                f"{DOOR}/rules/{self.smtp()['id']}", json={"doorman_rule": {"enabled": False}}
            ).status_code,
        ]
        self.prove("no project reaches the rules", all(code in (403, 404) for code in met), f"read and change: {met}")
        [bound] = self.get(f"doorman/effective?floatingip_id={east.floating['id']}", east)["effective"][:1]
        seen = ", ".join(
            f"{rule['action']} {rule['direction']} {rule['protocol']}/{rule['port_range_min']}"
            for rule in bound["rules"]
        )
        self.prove("but sees what binds its own", "deny ingress tcp/25" in seen, f"{bound['address']}: {seen}")

    def exception(self) -> None:
        east = self.projects["east"]
        address, internet = east.floating["floating_ip_address"], self.lab.internet
        begin = iso(time.time())
        made = self.post("exceptions", doorman_exception={
            "rule_id": self.smtp()["id"], "floatingip_id": east.floating["id"], "reason": "demo",
            "expires_at": iso(time.time() + OPEN_SECONDS),
        })["doorman_exception"]  # fmt: skip
        opened = self.soon(lambda: self.ask(internet, address, 25) == "east", OPEN_SECONDS - 5)
        other = self.ask(internet, self.projects["west"].floating["floating_ip_address"], 25)
        self.prove(
            "an exception opens it for one address",
            opened and not other,
            f"{address}:25 {'answers' if opened else 'is silent'}, others do not",
        )
        known = self.soon(lambda: self.get(f"edge?since={begin}&project_id={east.id}&counters=false")["edge"])
        self.prove(
            "the inventory tells what became reachable",
            known,
            f"since {begin}: tcp/25 of {address}" if known else "nothing",
        )
        ended = self.soon(
            lambda: self.get(f"doorman/exceptions/{made['id']}")["doorman_exception"]["status"] == "EXPIRED",
            OPEN_SECONDS + 10,
        )
        again = self.soon(lambda: not self.ask(internet, address, 25))
        self.prove(
            "and expires by itself", ended and again, f"EXPIRED, {address}:25 {'is silent' if again else 'answers'}"
        )

    def dry_run(self) -> None:
        east = self.projects["east"]
        address, internet = east.floating["floating_ip_address"], self.lab.internet
        web = {
            "action": "deny", "direction": "ingress", "protocol": "tcp", "port_range_min": 80, "port_range_max": 80,
            "local_ip_prefixes": [address],
        }  # fmt: skip
        talk = internet.popen(
            ["python3", "-c", CONVERSE, address, "80"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            assert talk.stdout
            begun = bool(talk.stdout.readline())
            wish = {"rules": [{"id": self.smtp()["id"]}, web]}
            cut: list[Any] = []
            shut: list[Any] = []

            # hosts forget what they track of an address whose exception has ended, and find it again
            def told() -> bool:
                preview = self.post("preview", doorman_preview=wish)["doorman_preview"]
                cut[:] = [one for one in preview["conversations_cut"] if one["local"] == address and one["port"] == 80]
                shut[:] = [one for one in preview["ports_shut"] if one["address"] == address]
                return bool(cut and shut)

            known = self.soon(told)
            seen = f"{len(cut)} conversation(s) with {cut[0]['remote'] if cut else 'nobody'}, ports {[one['port_min'] for one in shut]}"
            self.prove(
                "a dry run names what a rule would cut",
                begun and known and talk.poll() is None,
                seen,
            )
            rule = self.post("rules", doorman_rule=web)["doorman_rule"]
            ended = self.soon(lambda: talk.poll() is not None)
            self.prove(
                "and the rule cuts it", ended and not self.ask(internet, address, 80), "the conversation has ended"
            )
            self.operator.delete(f"{DOOR}/rules/{rule['id']}").raise_for_status()
            self.prove(
                "until it goes",
                self.soon(lambda: self.ask(internet, address, 80) == "east"),
                f"{address}:80 answers again",
            )
        finally:
            talk.kill()
            talk.wait()

    def open(self, project: Project) -> list[str]:
        """TCP ports of its floating IP that the inventory shows as open, since whenever."""
        ways = self.get(
            f"edge?project_id={project.id}&address={project.floating['floating_ip_address']}&counters=false"
        )["edge"]
        listed = [(one["port_min"], one["port_max"]) for way in ways for one in way["open"] if one["protocol"] == "tcp"]
        return [f"tcp/{first}-{last}" for first, last in canonical(listed)]

    def inventory(self) -> None:
        east = self.projects["east"]
        project = east.id
        wanted = {"floating_ip", "port_forwarding", "router_gateway", "routed_prefix"}
        ways = self.get(f"edge?project_id={project}")["edge"]
        seen = ", ".join(f"{way['kind']} {way['address']}" for way in ways)
        self.prove("the edge inventory knows every way", {way["kind"] for way in ways} == wanted, seen)
        floating = next(
            way
            for way in ways
            if way["kind"] == "floating_ip" and way["address"] == east.floating["floating_ip_address"]
        )
        counters = floating["counters"] or {}
        self.prove(
            "with real counters", bool(counters.get("packets_in") and counters.get("packets_out")), str(counters)
        )
        expected = ["tcp/1-24", "tcp/26-65535"]
        # the loop that writes it down follows the last changes
        wait_for(lambda: self.open(east) == expected, SECONDS, every=1)
        ports = self.open(east)
        self.prove("and what is open, groups and door together", ports == expected, ", ".join(ports))
        events = self.get(f"events?target_id={east.floating['id']}", east)["events"]
        seen = "; ".join(f"{event['action']} by {event['user_name']} from {event['address']}" for event in events)
        self.prove("the audit knows who made it", any(event["user_name"] == "east" for event in events), seen)
        audit = self.get("events/verify")["audit"]
        self.prove(
            "and that nobody has touched it", audit["intact"], f"{audit['verified']} events in an unbroken chain"
        )
