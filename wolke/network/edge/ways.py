"""Every way in and out of the cloud: floating IPs, port forwardings, gateways, routed prefixes, ports that stand outside themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from wolke.network.doorman import places
from wolke.network.doorman.spans import Address, Network
from wolke.network.floating_ips.table import FloatingIp, PortForwarding
from wolke.network.networks.table import Network as NetworkRow
from wolke.network.owners import GATEWAY, INTERFACE, trusted
from wolke.network.ports.table import FixedIp, Port
from wolke.network.routed.published import TENANT, published
from wolke.network.routers.table import Router
from wolke.network.subnets.table import Subnet

FLOATING, FORWARDING, GATEWAYS, PREFIX, DIRECT = (
    "floating_ip", "port_forwarding", "router_gateway", "routed_prefix", "direct_port",
)  # fmt: skip
KINDS = (FLOATING, FORWARDING, GATEWAYS, PREFIX, DIRECT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way, as it is known outside. ``kind`` and ``id`` (of the thing that makes it) name it."""

    kind: str
    id: str
    project_id: str
    network_id: str  # the external or provider network that it leads by
    prefix: str  # what is known outside: an address, or a prefix of routed ones
    port_ids: tuple[str, ...] = ()  # that it leads to
    router_id: str = ""
    subnet_id: str = ""
    floatingip_id: str = ""
    fixed_ip_address: str = ""
    protocol: str = ""  # of a forwarding, with its ports
    ports: tuple[int, int] | None = None
    internal_ports: tuple[int, int] | None = None
    snat: bool = False  # whoever is behind it goes out with this address
    published: bool = False  # the world is told of the prefix
    related: frozenset[str] = field(default_factory=frozenset)  # ids of things whose change changes what this way does

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.id}/{self.prefix}"

    @property
    def net(self) -> Network:
        return ip_network(self.prefix)


def ways(db: Session, project_id: str | None = None) -> list[Way]:
    """Those of a project, or all."""
    if db.execute(select(NetworkRow.id).where(places.outside()).limit(1)).first() is None:
        return []
    return [
        *floating(db, project_id),
        *forwardings(db, project_id),
        *gateways(db, project_id),
        *prefixes(db, project_id),
        *direct(db, project_id),
    ]


def floating(db: Session, project_id: str | None) -> Iterable[Way]:
    query = select(FloatingIp.__table__).order_by(FloatingIp.created_at, FloatingIp.id)
    if project_id is not None:
        query = query.where(FloatingIp.project_id == project_id)
    for one in db.execute(query):
        yield Way(
            kind=FLOATING, id=one.id, project_id=one.project_id, network_id=one.floating_network_id,
            prefix=one.floating_ip_address, port_ids=(one.port_id,) if one.port_id else (), router_id=one.router_id or "",
            floatingip_id=one.id, fixed_ip_address=one.fixed_ip_address or "",
            related=frozenset({one.id, one.port_id, one.router_id} - {None}),
        )  # fmt: skip


def forwardings(db: Session, project_id: str | None) -> Iterable[Way]:
    query = select(
        PortForwarding.__table__, FloatingIp.floating_ip_address, FloatingIp.floating_network_id, FloatingIp.router_id
    )
    query = query.join(FloatingIp, FloatingIp.id == PortForwarding.floating_ip_id).order_by(PortForwarding.id)
    if project_id is not None:
        query = query.where(PortForwarding.project_id == project_id)
    for one in db.execute(query):
        yield Way(
            kind=FORWARDING, id=one.id, project_id=one.project_id, network_id=one.floating_network_id,
            prefix=one.floating_ip_address, port_ids=(one.internal_port_id,), router_id=one.router_id or "",
            floatingip_id=one.floating_ip_id, fixed_ip_address=one.internal_ip_address, protocol=one.protocol,
            ports=(one.external_first, one.external_last), internal_ports=(one.internal_first, one.internal_last),
            related=frozenset({one.id, one.floating_ip_id, one.internal_port_id, one.router_id} - {None}),
        )  # fmt: skip


def gateways(db: Session, project_id: str | None) -> Iterable[Way]:
    query = select(
        Port.id, Port.network_id, Port.device_id, Router.project_id, Router.enable_snat, Router.gateway_port_id,
        FixedIp.ip_address,
    ).join(Router, Router.id == Port.device_id).join(FixedIp, FixedIp.port_id == Port.id)  # fmt: skip
    query = query.where(Port.device_owner == GATEWAY).order_by(Port.created_at, Port.id, FixedIp.position)
    if project_id is not None:
        query = query.where(Router.project_id == project_id)
    for one in db.execute(query):
        yield Way(
            kind=GATEWAYS, id=one.device_id, project_id=one.project_id, network_id=one.network_id, prefix=one.ip_address,
            router_id=one.device_id, snat=one.enable_snat and ":" not in one.ip_address,
            related=frozenset({one.device_id, one.id}),
        )  # fmt: skip


def prefixes(db: Session, project_id: str | None) -> Iterable[Way]:
    """What is routed behind a gateway and not translated: IPv6, and IPv4 where the router does no source NAT."""
    inner, outer = aliased(Port), aliased(Port)
    query = select(
        Subnet.id, Subnet.cidr, Subnet.ip_version, Subnet.project_id, Subnet.network_id.label("inside"),
        Router.id.label("router_id"), Router.enable_snat, outer.network_id,
    ).join(FixedIp, FixedIp.subnet_id == Subnet.id)  # fmt: skip
    query = query.join(inner, inner.id == FixedIp.port_id).join(Router, Router.id == inner.device_id)
    query = query.join(outer, outer.device_id == Router.id).where(inner.device_owner == INTERFACE)
    query = query.where(outer.device_owner == GATEWAY).order_by(Subnet.id, outer.network_id)
    if project_id is not None:
        query = query.where(Subnet.project_id == project_id)
    told = {(one.id, one.external_network_id) for one in published(db) if one.kind == TENANT}
    found: dict[tuple[str, str], Way] = {}
    for one in db.execute(query):
        known = (one.id, one.network_id) in told
        if one.ip_version == 6 or not one.enable_snat or known:
            found[one.id, one.network_id] = Way(
                kind=PREFIX, id=one.id, project_id=one.project_id, network_id=one.network_id, prefix=one.cidr,
                router_id=one.router_id, subnet_id=one.id, published=known,
                related=frozenset({one.id, one.inside, one.router_id}),
            )  # fmt: skip
    held: dict[str, list[str]] = {}
    inside = select(FixedIp.subnet_id, FixedIp.port_id).join(Port, Port.id == FixedIp.port_id)
    inside = inside.where(FixedIp.subnet_id.in_({id for id, _ in found}), ~trusted(Port.device_owner))
    for subnet_id, port_id in db.execute(inside.order_by(FixedIp.port_id)):
        held.setdefault(subnet_id, []).append(port_id)
    for way in found.values():
        ids = tuple(held.get(way.id, ()))
        yield replace(way, port_ids=ids, related=way.related | frozenset(ids))


def direct(db: Session, project_id: str | None) -> Iterable[Way]:
    """Ports on external and provider networks, and on those that are stretched over a zone."""
    query = select(Port.id, Port.network_id, Port.project_id, FixedIp.ip_address).join(
        FixedIp, FixedIp.port_id == Port.id
    )
    query = query.join(NetworkRow, NetworkRow.id == Port.network_id)
    query = query.where(places.outside())
    query = query.where(Port.device_owner.not_in((*places.INSIDE, GATEWAY))).order_by(Port.created_at, Port.id)
    if project_id is not None:
        query = query.where(Port.project_id == project_id)
    for one in db.execute(query):
        yield Way(
            kind=DIRECT, id=one.id, project_id=one.project_id, network_id=one.network_id, prefix=one.ip_address,
            port_ids=(one.id,), fixed_ip_address=one.ip_address, related=frozenset({one.id, one.network_id}),
        )  # fmt: skip


class Outside:
    """Which way an address belongs to, as it is known outside."""

    def __init__(self, found: Iterable[Way]) -> None:
        self.single: dict[Address, list[Way]] = {}
        self.nets: list[tuple[Network, Way]] = []
        for way in found:
            if "/" in way.prefix:
                self.nets.append((way.net, way))
            else:
                self.single.setdefault(ip_address(way.prefix), []).append(way)
        self.nets.sort(key=lambda one: -one[0].prefixlen)

    def of(self, address: Address, port: int = 0, protocol: str = "") -> Way | None:
        """The forwarding that takes this port, else whatever has the address."""
        held = self.single.get(address, ())
        for way in held:
            if way.ports and way.protocol == protocol and way.ports[0] <= port <= way.ports[1]:
                return way
        for way in held:
            if not way.ports:
                return way
        return next((way for net, way in self.nets if address in net), None)
