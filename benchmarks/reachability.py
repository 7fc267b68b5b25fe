"""What one question to the model costs while a cloud grows to 5000 ports, and a picture of everything for an operator."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import event, insert

import wolke.cloud  # noqa: F401 - declares all tables
from benchmarks.figures import Figure, Report, percentile
from wolke.core.db import Base, Database
from wolke.network.chassis import Chassis
from wolke.network.floating_ips.table import FloatingIp
from wolke.network.networks.table import Network
from wolke.network.ports.ipam import sort_key
from wolke.network.ports.table import FixedIp, Port, PortSecurityGroup
from wolke.network.reachability.openings import open_ports
from wolke.network.reachability.question import End, Question, answered
from wolke.network.reachability.read import Scope, picture
from wolke.network.routers.table import Router
from wolke.network.security_groups.table import SecurityGroup, SecurityGroupRule
from wolke.network.subnets.table import Subnet

PART = "reachability"
STEPS, QUICK = (10, 100, 1000, 5000), (10, 1000)
PER_NETWORK, GROUPS, ROUNDS = 50, 200, 30


def run(report: Report, *, quick: bool = False) -> None:
    for ports in QUICK if quick else STEPS:
        with TemporaryDirectory() as directory:
            database = Database(f"sqlite:///{directory}/wolke.db")
            Base.metadata.create_all(database.engine)
            with database.transaction() as db:
                fill(db, ports)
            measure(report, database, ports)
            database.close()


def fill(db: Any, count: int) -> None:
    """One project: networks of fifty servers on one router, groups that name each other, a floating IP for every tenth server."""
    tables = (
        Chassis,
        Network,
        Subnet,
        SecurityGroup,
        SecurityGroupRule,
        Router,
        Port,
        FixedIp,
        PortSecurityGroup,
        FloatingIp,
    )
    rows: dict[Any, list[dict[str, Any]]] = {table: [] for table in tables}
    rows[Chassis].append({"name": "h1", "physical_networks": ["public"]})
    rows[Network].append({"id": "public", "external": True, "physical_network": "public", "network_type": "flat"})
    rows[Subnet].append({"id": "public4", "network_id": "public", "cidr": "198.18.0.0/15", "gateway_ip": "198.18.0.1"})
    rows[Router].append({"id": "router", "gateway_port_id": "gate", "external_network_id": "public"})

    def port(id: str, network: str, subnet: str, ip: str, **more: Any) -> None:
        rows[Port].append(
            {
                "id": id,
                "network_id": network,
                "mac_address": f"fa:16:3e:{len(rows[Port]):06x}",
                "seen_up": True,
                "project_id": "p",
                **more,
            }
        )
        rows[FixedIp].append(
            {
                "subnet_id": subnet,
                "sort_key": sort_key(ip_address(ip)),
                "port_id": id,
                "network_id": network,
                "ip_address": ip,
            }
        )

    port("gate", "public", "public4", "198.18.0.2", device_id="router", device_owner="network:router_gateway")
    for n in range(GROUPS):
        rows[SecurityGroup].append({"id": f"g{n}", "project_id": "p", "name": f"g{n}"})
        for direction, remote in (("egress", None), ("ingress", f"g{(n + 1) % GROUPS}")):
            rows[SecurityGroupRule].append(
                {
                    "id": f"g{n}/{direction}",
                    "security_group_id": f"g{n}",
                    "direction": direction,
                    "remote_group_id": remote,
                }
            )
        web = {"protocol": "tcp", "port_range_min": 80, "port_range_max": 80}
        rows[SecurityGroupRule].append({"id": f"g{n}/web", "security_group_id": f"g{n}", "direction": "ingress", **web})
    for n in range(count):
        at, host = divmod(n, PER_NETWORK)
        net = ip_network(f"10.{at // 256}.{at % 256}.0/24")
        if not host:
            rows[Network].append({"id": f"n{at}", "project_id": "p", "segmentation_id": at + 1})
            rows[Subnet].append(
                {"id": f"s{at}", "network_id": f"n{at}", "project_id": "p", "cidr": str(net), "gateway_ip": str(net[1])}
            )
            port(
                f"leg{at}", f"n{at}", f"s{at}", str(net[1]), device_id="router", device_owner="network:router_interface"
            )
        port(f"p{n}", f"n{at}", f"s{at}", str(net[host + 10]), device_id=f"v{n}", device_owner="compute:nova")
        rows[PortSecurityGroup].append({"port_id": f"p{n}", "group_id": f"g{n % GROUPS}"})
        if n % 10 == 0:
            outer = str(ip_address("198.19.0.0") + n)
            port(f"f{n}", "public", "public4", outer, device_id=f"fip{n}", device_owner="network:floatingip")
            rows[FloatingIp].append({
                "id": f"fip{n}", "floating_network_id": "public", "floating_ip_address": outer, "floating_port_id": f"f{n}",
                "mac_address": "",
                "port_id": f"p{n}", "fixed_ip_address": str(net[host + 10]), "router_id": "router", "project_id": "p",
            })  # fmt: skip
    for table, held in rows.items():
        for some in by_keys(held):
            db.execute(insert(table), some)


def by_keys(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Rows that name the same columns together: one statement takes no others."""
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(tuple(row), []).append(row)
    return list(found.values())


def measure(report: Report, database: Database, ports: int) -> None:
    last = f"p{ports - 1}"
    asked = Question(End(("p0",)), End((last,)), 6, 80)
    outside = Question(End(outside=True), End(floating_id="fip0"), 6, 80)

    def one(question: Question, scope: Scope) -> None:
        with database.read() as db:
            assert answered(picture(db, scope), question).reachable

    def timed(name: str, call: Callable[[], Any], rounds: int, **more: Any) -> None:
        taken = []
        for _ in range(rounds):
            begin = time.perf_counter()
            call()
            taken.append((time.perf_counter() - begin) * 1000)
        report.add(
            Figure(
                PART, name, percentile(taken, 0.5), "ms", ports, best=min(taken), p95=percentile(taken, 0.95), **more
            )
        )

    statements = 0

    def count(*_: Any) -> None:
        nonlocal statements
        statements += 1

    scope = Scope(frozenset({"p0", last}))
    event.listen(database.engine, "before_cursor_execute", count)
    one(asked, scope)
    event.remove(database.engine, "before_cursor_execute", count)
    timed("one question between two servers", lambda: one(asked, scope), ROUNDS, statements=statements)
    timed("one question from outside", lambda: one(outside, Scope(floating_ids=frozenset({"fip0"}))), ROUNDS)
    with database.read() as db:
        timed("a picture of everything", lambda: picture(db), 3)
        whole = picture(db)
    timed("what is open on one floating IP", lambda: open_ports(whole, floating_id="fip0"), ROUNDS)
