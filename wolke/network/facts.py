"""What compute asks of the network: ports made with a server, bound to its host, released with it, and all facts of many ports.

Every function takes many ports at once, because a host's slice holds many servers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, false, or_, select, update
from sqlalchemy.orm import Session

from wolke.core.db import Json
from wolke.core.http import Ctx
from wolke.core.quota import claim
from wolke.core.work import wake_all
from wolke.network import errors, hooks, rbac
from wolke.network.floating_ips.table import FloatingIp
from wolke.network.networks.api import networks
from wolke.network.networks.api import target as on_network
from wolke.network.networks.table import Network
from wolke.network.owners import METADATA, SUBPORT
from wolke.network.ports.api import ports
from wolke.network.ports.make import Wanted, Wish, new_port
from wolke.network.ports.table import FixedIp, Port, PortSecurityGroup
from wolke.network.security_groups.table import SecurityGroup
from wolke.network.service import network as service
from wolke.network.subnets.checks import address
from wolke.network.subnets.table import Subnet
from wolke.network.trunks.table import Subport, Trunk


# What compute is told ------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """One address of a port, with what its subnet says."""

    ip_address: str
    subnet_id: str
    ip_version: int
    cidr: str
    gateway_ip: str | None
    enable_dhcp: bool
    ipv6_address_mode: str | None
    dns_nameservers: list[str]
    host_routes: list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Group:
    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PortFacts:
    id: str
    name: str
    project_id: str
    device_id: str
    network_id: str
    network_name: str
    mac_address: str
    mtu: int  # bytes
    host: str
    up: bool  # a host has plugged it
    fixed_ips: list[Fixed] = field(default_factory=list)
    floating_ips: dict[str, str] = field(default_factory=dict)  # fixed address -> floating address
    security_groups: list[Group] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataPort:
    """Where a network's metadata service listens."""

    id: str
    network_id: str
    mac: str
    mtu: int
    addresses: list[str]  # with prefix length: 10.0.0.2/24


def ports_of(db: Session, device_ids: Sequence[str]) -> dict[str, list[PortFacts]]:
    """The ports of each device, oldest first."""
    found: dict[str, list[PortFacts]] = {}
    for port in _ports(db, Port.device_id.in_(device_ids)):
        found.setdefault(port.device_id, []).append(port)
    return found


def ports_by_id(db: Session, port_ids: Sequence[str]) -> dict[str, PortFacts]:
    return {port.id: port for port in _ports(db, Port.id.in_(port_ids))}


def _ports(db: Session, condition: ColumnElement[bool]) -> list[PortFacts]:
    query = select(Port.__table__, Network.name.label("network_name"), Network.mtu)
    query = query.join(Network, Network.id == Port.network_id).where(condition)
    found = {
        row.id: PortFacts(
            id=row.id, name=row.name, project_id=row.project_id, device_id=row.device_id, network_id=row.network_id,
            network_name=row.network_name, mac_address=row.mac_address, mtu=row.mtu, host=row.host, up=row.seen_up,
        )
        for row in db.execute(query.order_by(Port.created_at, Port.id))
    }  # fmt: skip
    if not found:
        return []
    addresses = select(
        FixedIp.port_id, FixedIp.ip_address, FixedIp.subnet_id, Subnet.ip_version, Subnet.cidr, Subnet.gateway_ip,
        Subnet.enable_dhcp, Subnet.ipv6_address_mode, Subnet.dns_nameservers, Subnet.host_routes,
    ).join(Subnet, Subnet.id == FixedIp.subnet_id)  # fmt: skip
    for row in db.execute(addresses.where(FixedIp.port_id.in_(found)).order_by(FixedIp.port_id, FixedIp.position)):
        known = dict(row._mapping)
        found[known.pop("port_id")].fixed_ips.append(Fixed(**known))
    members = select(PortSecurityGroup.port_id, SecurityGroup.id, SecurityGroup.name)
    members = members.join(SecurityGroup, SecurityGroup.id == PortSecurityGroup.group_id)
    for port_id, id, name in db.execute(members.where(PortSecurityGroup.port_id.in_(found))):
        found[port_id].security_groups.append(Group(id, name))
    floating = select(FloatingIp.port_id, FloatingIp.fixed_ip_address, FloatingIp.floating_ip_address)
    for row in db.execute(floating.where(FloatingIp.port_id.in_(found))):
        found[str(row.port_id)].floating_ips[str(row.fixed_ip_address)] = row.floating_ip_address
    return list(found.values())


def with_subports(db: Session, cards: Mapping[str, Sequence[PortFacts]]) -> dict[str, list[PortFacts]]:
    """Each device's ports, and those of the trunks that they lead: its guest speaks as those, too."""
    devices = {port.id: device for device, ports in cards.items() for port in ports}
    query = select(Subport.port_id, Trunk.port_id.label("parent")).join(Trunk, Trunk.id == Subport.trunk_id)
    parents = {row.port_id: row.parent for row in db.execute(query.where(Trunk.port_id.in_(devices)))}
    found = {device: list(ports) for device, ports in cards.items()}
    for id, port in (ports_by_id(db, sorted(parents)) if parents else {}).items():
        found[devices[parents[id]]].append(port)
    return found


def metadata_ports(db: Session, network_ids: Sequence[str]) -> dict[str, MetadataPort]:
    """The metadata port of each network that has one."""
    query = select(Port.id, Port.network_id, Port.mac_address, Network.mtu, FixedIp.ip_address, Subnet.cidr)
    query = query.join(Network, Network.id == Port.network_id).outerjoin(FixedIp, FixedIp.port_id == Port.id)
    query = query.outerjoin(Subnet, Subnet.id == FixedIp.subnet_id)
    query = query.where(Port.network_id.in_(network_ids), Port.device_owner == METADATA)
    found: dict[str, MetadataPort] = {}
    for id, network_id, mac, mtu, ip, cidr in db.execute(query.order_by(FixedIp.port_id, FixedIp.position)):
        port = found.setdefault(network_id, MetadataPort(id=id, network_id=network_id, mac=mac, mtu=mtu, addresses=[]))
        if ip:  # on a network with IPv6 alone the well-known link-local address is all it has
            port.addresses.append(f"{ip}/{cidr.partition('/')[2]}")
    return found


def usable_networks(ctx: Ctx) -> list[Any]:
    """Rows of the networks that the caller's project may put servers on without asking for one by name."""
    mine = (Network.project_id == ctx.caller.project_id) | rbac.visible(ctx, "network", Network.id)
    return list(ctx.db.execute(select(Network.__table__).where(mine).order_by(Network.created_at, Network.id)))


# What compute asks for -----------------------------------------------------------------------------------------------
def create_port(
    ctx: Ctx,
    *,
    project_id: str,
    network_id: str,
    device_id: str,
    device_owner: str,
    host: str = "",
    fixed_ip: str | None = None,
    security_groups: Sequence[str] | None = None,
    name: str = "",
    dns_name: str = "",
) -> Port:
    """A port made with a server, in the server's transaction.

    Raises
    ------
    NetworkNotFound, Forbidden: it is not for this project; OverQuota; what ``ports.make.new_port`` raises
    """
    network = networks.seen(ctx, network_id)
    target = on_network(ctx, project_id, network)
    ctx.require("create_port", target)
    if fixed_ip:
        ctx.require("create_port:fixed_ips:ip_address", target)
    claim(ctx.db, service.name, project_id, port=1)
    wish = Wish(
        project_id=project_id,
        name=name,
        device_id=device_id,
        device_owner=device_owner,
        host=host,
        fixed_ips=[Wanted(ip_address=str(address(fixed_ip, "fixed_ip")))] if fixed_ip else None,
        security_groups=security_groups,
        dns_name=dns_name,
    )
    return new_port(ctx, network, wish)


def take_port(ctx: Ctx, port_id: str, *, device_id: str, device_owner: str, host: str = "", dns_name: str = "") -> Port:
    """A port that is there already, for a server from now on.

    Raises
    ------
    PortNotFound: unknown, or not the caller's; PortInUse: it has a device
    """
    port = ports.find(ctx, port_id, "update_port")
    if port.device_owner == SUBPORT:
        raise errors.PortInUse(
            f"Port {port.id} is a trunk's subport: the server reaches it by the trunk's parent port."
        )
    if port.device_id:
        raise errors.PortInUse(
            f"Unable to complete operation on port {port.id} for network {port.network_id}. Port already has an attached"
            f" device {port.device_id}."
        )
    port.device_id, port.device_owner, port.host = device_id, device_owner, host
    port.dns_name = port.dns_name or dns_name
    ctx.wake("port", port.id)
    return port


def bind(db: Session, port_ids: Sequence[str], host: str) -> None:
    """The ports' servers run on this host from now on (``""``: on none)."""
    _change(db, port_ids, host=host)


def release(db: Session, owned: Mapping[str, bool], names: Mapping[str, str] = MappingProxyType({})) -> None:
    """A server is gone: its own ports go with it, those that were lent to it are free again.

    Parameters
    ----------
    owned : port id -> whether the port was made with the server
    names : port id -> host name of its server; a lent port that bears it has it from there and gives it back
    """
    going = [id for id, own in owned.items() if own]
    if going:
        hooks.tell(hooks.port_goes, db, going)
    db.execute(delete(Port).where(Port.id.in_(going)))
    wake_all(db, [("port", id) for id in going])
    lent = [id for id, own in owned.items() if not own]
    given = or_(false(), *(and_(Port.id == id, Port.dns_name == names[id]) for id in lent if names.get(id)))
    db.execute(update(Port).where(given).values(dns_name=""))
    _change(db, lent, device_id="", device_owner="", host="")


def _change(db: Session, port_ids: Sequence[str], **values: Any) -> None:
    """Change wanted columns of ports outside of an API call, with their revision."""
    if port_ids:
        counted = {"revision": Port.revision + 1, "updated_at": db.info["clock"]()}
        db.execute(update(Port).where(Port.id.in_(port_ids)).values(**values, **counted))
        wake_all(db, [("port", id) for id in port_ids])


# network_data.json ---------------------------------------------------------------------------------------------------
def network_data(found: Sequence[PortFacts]) -> Json:
    """OpenStack's ``network_data.json`` for a guest with these ports, as cloud-init reads it.

    Source: https://docs.openstack.org/nova/latest/user/metadata.html, network_data.json schema
    """
    links: list[Json] = []
    nets: list[Json] = []
    services: list[Json] = []
    for port in found:
        link = f"tap{port.id[:11]}"
        links.append(
            {
                "id": link,
                "vif_id": port.id,
                "type": "ovs",
                "mtu": port.mtu,
                "ethernet_mac_address": port.mac_address,
            }
        )
        for fixed in port.fixed_ips:
            net: Json = {"id": f"network{len(nets)}", "link": link, "network_id": port.network_id} | addressing(fixed)
            nets.append(net)
            nets += [
                carried(port, link, f"network{len(nets) + at}", one) for at, one in enumerate(floating6(port, fixed))
            ]
            told: list[Json] = net.get("services", [])
            services += [one for one in told if one not in services]
    return {"links": links, "networks": nets, "services": services}


def floating6(port: PortFacts, fixed: Fixed) -> list[str]:
    """Floating IPv6 addresses that lead to a fixed one: the guest sets them itself, since nothing translates them."""
    address = port.floating_ips.get(fixed.ip_address, "")
    return [address] if ":" in address else []


def carried(port: PortFacts, link: str, id: str, address: str) -> Json:
    whole = str(ip_network("::/128").netmask)
    return {
        "id": id, "link": link, "network_id": port.network_id, "type": "ipv6", "ip_address": address, "netmask": whole,
        "routes": [], "services": [],
    }  # fmt: skip


def addressing(fixed: Fixed) -> Json:
    """How a guest gets one of its addresses: told by DHCP or advertisements, else all of it in the document."""
    if fixed.enable_dhcp and fixed.ip_version == 4:
        return {"type": "ipv4_dhcp"}
    if fixed.ipv6_address_mode:
        mode = fixed.ipv6_address_mode
        return {"type": "ipv6_slaac" if mode == "slaac" else f"ipv6_{mode}"}
    net = ip_network(fixed.cidr)
    zero = "0.0.0.0" if fixed.ip_version == 4 else "::"
    routes = [{"network": zero, "netmask": zero, "gateway": fixed.gateway_ip}] if fixed.gateway_ip else []
    for route in fixed.host_routes:
        to = ip_network(route["destination"])
        routes.append({"network": str(to.network_address), "netmask": str(to.netmask), "gateway": route["nexthop"]})
    return {
        "type": f"ipv{fixed.ip_version}",
        "ip_address": fixed.ip_address,
        "netmask": str(net.netmask),
        "routes": routes,
        "services": [{"type": "dns", "address": server} for server in fixed.dns_nameservers],
    }
