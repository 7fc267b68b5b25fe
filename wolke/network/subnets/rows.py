"""What OVN gets of a subnet: the DHCP options that its ports refer to.

OVN: DHCP_Options (ovn-nb(5)); the mapping is that of Neutron's OVN driver.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.core.config import Config
from wolke.drivers.rows import Row
from wolke.network import dns, names
from wolke.network.lane import Site
from wolke.network.networks.table import Network
from wolke.network.owners import METADATA
from wolke.network.ports.table import FixedIp, Port
from wolke.network.subnets.table import Subnet

LEASE_SECONDS = 43200
METADATA_CIDR = "169.254.169.254/32"


def rows(db: Session, ids: Sequence[str], site: Site) -> list[Row]:
    found = []
    for subnet, options in dhcp(db, ids, site.config).values():
        owner = names.owner("subnet", subnet.id)
        found.append(Row(names.DHCP, subnet.id, owner, {"cidr": subnet.cidr, "options": options}))
    return found


def dhcp(db: Session, ids: Sequence[str], config: Config) -> dict[str, tuple[Any, dict[str, str]]]:
    """Subnets that DHCP serves, by id: the row and its options."""
    query = select(Subnet.__table__, Network.mtu, Network.dns_domain)
    query = query.join(Network, Network.id == Subnet.network_id)
    subnets = db.execute(query.where(Subnet.id.in_(ids), Subnet.enable_dhcp)).all()
    metadata = metadata_addresses(db, [subnet.id for subnet in subnets])
    found = {}
    for subnet in subnets:
        options = v4_options(subnet, metadata, config) if subnet.ip_version == 4 else v6_options(subnet, config)
        if options:
            found[subnet.id] = (subnet, options)
    return found


def metadata_addresses(db: Session, subnet_ids: Sequence[str]) -> dict[str, str]:
    """Subnet id -> address of the network's metadata port on it."""
    query = select(FixedIp.subnet_id, FixedIp.ip_address).join(Port, Port.id == FixedIp.port_id)
    query = query.where(FixedIp.subnet_id.in_(subnet_ids), Port.device_owner == METADATA)
    return {row.subnet_id: row.ip_address for row in db.execute(query)}


def v4_options(subnet: Any, metadata: Mapping[str, str], config: Config) -> dict[str, str]:
    """Options of DHCPv4; none where nobody could answer for want of an address."""
    here = metadata.get(subnet.id)
    server = subnet.gateway_ip or here
    if not server:
        return {}
    options = {
        "server_id": server,
        "server_mac": server_mac(subnet.id),
        "lease_time": str(LEASE_SECONDS),
        "mtu": str(subnet.mtu),
        "domain_name": f'"{dns.domain("", subnet.dns_domain, config.dns_domain)}"',
    }
    if subnet.gateway_ip:
        options["router"] = subnet.gateway_ip
    if servers := nameservers(subnet, config):
        options["dns_server"] = braces(servers)
    routes = [f"{METADATA_CIDR},{here}"] if here else []
    routes += [f"{route['destination']},{route['nexthop']}" for route in subnet.host_routes]
    if routes:
        # who reads option 121 passes over option 3 (RFC 3442), so the default route stands in both
        if subnet.gateway_ip:
            routes.append(f"0.0.0.0/0,{subnet.gateway_ip}")
        options["classless_static_route"] = braces(routes)
    return options


def v6_options(subnet: Any, config: Config) -> dict[str, str]:
    """Options of DHCPv6; none where ports make their own addresses and ask nobody."""
    if subnet.ipv6_address_mode in (None, "slaac"):
        return {}
    domain = dns.domain("", subnet.dns_domain, config.dns_domain)
    options = {"server_id": server_mac(subnet.id), "domain_search": f'"{domain}"'}
    if servers := nameservers(subnet, config):
        options["dns_server"] = braces(servers)
    if subnet.ipv6_address_mode == "dhcpv6-stateless":
        options["dhcpv6_stateless"] = "true"
    return options


def nameservers(subnet: Any, config: Config) -> list[str]:
    version = ":" if subnet.ip_version == 6 else "."
    return subnet.dns_nameservers or [server for server in config.dns_servers if version in server]


def server_mac(subnet_id: str) -> str:
    """The same for the same subnet at any time: clients renew with the server that they know."""
    digest = hashlib.sha256(subnet_id.encode()).hexdigest()
    return f"fa:16:3e:{digest[:2]}:{digest[2:4]}:{digest[4:6]}"


def braces(values: Sequence[str]) -> str:
    """
    >>> braces(["1.1.1.1", "9.9.9.9"])
    '{1.1.1.1, 9.9.9.9}'
    """
    return f"{{{', '.join(values)}}}"
