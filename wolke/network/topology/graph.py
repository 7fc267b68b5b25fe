"""The graph of a project's network, or of all: things as nodes, what joins them as edges.

Nodes: ``network`` (external ones too), ``subnet``, ``router``, ``server``, ``port``, ``floatingip``. Edges lead from what stands on
something to that: subnet to network, port to subnet and to server, router to subnet (its interface) and to network (its gateway),
floatingip to its network and to the port that it leads to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from wolke.core.db import Json
from wolke.network.floating_ips.table import FloatingIp, PortForwarding
from wolke.network.networks.table import Network
from wolke.network.owners import DHCP, FLOATING, GATEWAY, METADATA, ROUTERS
from wolke.network.ports.table import FixedIp, Port, PortSecurityGroup
from wolke.network.ports.views import status_of
from wolke.network.routers.table import Router
from wolke.network.security_groups.table import SecurityGroup
from wolke.network.subnets.table import Subnet

OWN = (METADATA, DHCP, FLOATING)  # owners of ports that nobody draws


@dataclass(slots=True)
class Graph:
    nodes: list[Json] = field(default_factory=list)
    edges: list[Json] = field(default_factory=list)

    def node(self, type: str, of: Any, **more: Any) -> None:
        self.nodes.append({"id": of.id, "type": type, "name": of.name, "project_id": of.project_id, **more})

    def edge(self, type: str, source: str, target: str, **more: Any) -> None:
        self.edges.append({"type": type, "source": source, "target": target, **more})


def graph(db: Session, project_id: str | None) -> Graph:
    """``project_id=None`` shows every project. The number of statements does not depend on how much there is."""
    routers = rows(db, Router, project_id)
    floating = rows(db, FloatingIp, project_id)
    mine = Port.device_id.in_([router.id for router in routers]) & Port.device_owner.in_(ROUTERS)
    wanted = select(Port.__table__).where(Port.device_owner.not_in(OWN)).order_by(Port.created_at, Port.id)
    if project_id is not None:
        wanted = wanted.where(or_((Port.project_id == project_id) & Port.device_owner.not_in(ROUTERS), mine))
    ports = db.execute(wanted).all()
    used = {port.network_id for port in ports} | {one.floating_network_id for one in floating}
    networks = rows(db, Network, project_id, Network.id.in_(used))
    its = select(Subnet.__table__).where(Subnet.network_id.in_([network.id for network in networks]))
    made = Graph()
    for network in networks:
        made.node(
            "network", network, external=network.external, shared=network.shared, admin_state_up=network.admin_state_up,
            mtu=network.mtu,
        )  # fmt: skip
    for subnet in db.execute(its.order_by(Subnet.created_at, Subnet.id)):
        made.node(
            "subnet",
            subnet,
            cidr=subnet.cidr,
            ip_version=subnet.ip_version,
            gateway_ip=subnet.gateway_ip,
            network_id=subnet.network_id,
        )
        made.edge("subnet", subnet.id, subnet.network_id)
    for router in routers:
        made.node(
            "router", router, admin_state_up=router.admin_state_up, routes=router.routes, enable_snat=router.enable_snat
        )
    add_ports(db, made, ports)
    add_floating(db, made, floating, {port.id for port in ports})
    return made


def rows(db: Session, table: Any, project_id: str | None, more: Any = None) -> list[Any]:
    query = select(table.__table__).order_by(table.created_at, table.id)
    if project_id is not None:
        own = table.project_id == project_id
        query = query.where(own if more is None else or_(own, more))
    return list(db.execute(query))


def add_ports(db: Session, made: Graph, ports: Collection[Any]) -> None:
    ids = [port.id for port in ports]
    addresses: dict[str, list[Any]] = defaultdict(list)
    for fixed in db.execute(select(FixedIp.__table__).where(FixedIp.port_id.in_(ids)).order_by(FixedIp.position)):
        addresses[fixed.port_id].append(fixed)
    groups = groups_of(db, ids)
    servers: dict[str, list[Any]] = defaultdict(list)
    for port in ports:
        if port.device_owner in ROUTERS:
            add_leg(made, port, addresses[port.id])
            continue
        made.node(
            "port", port, network_id=port.network_id, mac_address=port.mac_address, status=status_of(port),
            admin_state_up=port.admin_state_up, device_owner=port.device_owner, device_id=port.device_id,
            port_security_enabled=port.port_security_enabled, security_groups=groups[port.id],
            fixed_ips=[{"subnet_id": fixed.subnet_id, "ip_address": fixed.ip_address} for fixed in addresses[port.id]],
        )  # fmt: skip
        for fixed in addresses[port.id]:
            made.edge("address", port.id, fixed.subnet_id, ip_address=fixed.ip_address)
        if not addresses[port.id]:
            made.edge("address", port.id, port.network_id, ip_address=None)
        if port.device_id:
            servers[port.device_id].append(port)
    for id, its in servers.items():
        named = next((port.dns_name for port in its if port.dns_name), "") or next(
            (port.name for port in its if port.name), ""
        )
        made.nodes.append({"id": id, "type": "server", "name": named, "project_id": its[0].project_id})
        for port in its:
            made.edge("card", port.id, id)


def add_leg(made: Graph, port: Any, addresses: Iterable[Any]) -> None:
    told = [fixed.ip_address for fixed in addresses]
    if port.device_owner == GATEWAY:
        made.edge("gateway", port.device_id, port.network_id, port_id=port.id, ip_addresses=told)
        return
    for fixed in addresses:
        made.edge("interface", port.device_id, fixed.subnet_id, port_id=port.id, ip_address=fixed.ip_address)


def groups_of(db: Session, port_ids: Collection[str]) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = defaultdict(list)
    query = select(PortSecurityGroup.port_id, SecurityGroup.id, SecurityGroup.name)
    query = query.join(SecurityGroup, SecurityGroup.id == PortSecurityGroup.group_id)
    query = query.where(PortSecurityGroup.port_id.in_(port_ids)).order_by(SecurityGroup.name, SecurityGroup.id)
    for port_id, id, name in db.execute(query):
        found[port_id].append({"id": id, "name": name})
    return found


def add_floating(db: Session, made: Graph, floating: Collection[Any], drawn: Collection[str]) -> None:
    ids = [one.id for one in floating]
    for one in floating:
        made.node("floatingip", one, floating_ip_address=one.floating_ip_address, fixed_ip_address=one.fixed_ip_address)
        made.edge("floatingip", one.id, one.floating_network_id)
        if one.port_id in drawn:
            made.edge("leads_to", one.id, one.port_id, ip_address=one.fixed_ip_address)
    for led in db.execute(select(PortForwarding.__table__).where(PortForwarding.floating_ip_id.in_(ids))):
        if led.internal_port_id in drawn:
            made.edge(
                "forwards_to", led.floating_ip_id, led.internal_port_id, id=led.id, protocol=led.protocol,
                external_port_range=f"{led.external_first}:{led.external_last}", ip_address=led.internal_ip_address,
            )  # fmt: skip
