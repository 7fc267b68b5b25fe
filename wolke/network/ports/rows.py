"""What OVN gets of a port: a logical switch port, its groups, its name in DNS and the DHCP options of its own.

OVN: Logical_Switch_Port, DHCP_Options, DNS (ovn-nb(5)); the mapping is that of Neutron's OVN driver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.drivers.rows import Ref, Row, Value
from wolke.network import names
from wolke.network.doorman import places
from wolke.network.lane import Site
from wolke.network.networks.table import Network
from wolke.network.ports.make import ROUTER_OWNERS, is_trusted
from wolke.network.ports.table import FixedIp, Port, PortSecurityGroup
from wolke.network.subnets.rows import dhcp

Options = Mapping[str, tuple[Any, dict[str, str]]]  # of subnets that DHCP serves
NO_PORT = ("network:floatingip",)  # owners of ports that only hold an address
# Neutron's (dnsmasq's) names of options -> OVN's
DHCP_NAMES = {
    4: {
        "router": "router", "netmask": "netmask", "dns-server": "dns_server", "server-ip-address": "tftp_server_address",
        "tftp-server": "tftp_server", "tftp-server-address": "tftp_server_address", "bootfile-name": "bootfile_name",
        "domain-name": "domain_name", "ntp-server": "ntp_server", "classless-static-route": "classless_static_route",
        "mtu": "mtu", "lease-time": "lease_time", "path-prefix": "path_prefix", "wpad": "wpad", "T1": "T1", "T2": "T2",
    },
    6: {"dns-server": "dns_server", "domain-search": "domain_search", "server-id": "server_id"},
}  # fmt: skip
QUOTED = frozenset({"domain_name", "domain_search", "bootfile_name", "path_prefix", "wpad", "tftp_server"})


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rows of one port are made from."""

    port: Any  # row, with the network's ``network_up``
    addresses: Sequence[Any]  # rows of FixedIp
    groups: Sequence[str]
    dhcp: Options
    domain: str


def rows(db: Session, ids: Sequence[str], site: Site) -> list[Row]:
    query = select(
        Port.__table__, places.at_door().label("at_door"), Network.admin_state_up.label("network_up")
    )
    ports = db.execute(query.join(Network, Network.id == Port.network_id).where(Port.id.in_(ids))).all()
    addresses: dict[str, list[Any]] = {}
    fixed = select(FixedIp.__table__).where(FixedIp.port_id.in_(ids)).order_by(FixedIp.port_id, FixedIp.position)
    for row in db.execute(fixed):
        addresses.setdefault(row.port_id, []).append(row)
    groups: dict[str, list[str]] = {}
    members = select(PortSecurityGroup.port_id, PortSecurityGroup.group_id)
    for port_id, group_id in db.execute(members.where(PortSecurityGroup.port_id.in_(ids))):
        groups.setdefault(port_id, []).append(group_id)
    served = dhcp(db, sorted({row.subnet_id for found in addresses.values() for row in found}), site.config)
    domain = site.config.dns_domain
    found: list[Row] = []
    for port in ports:
        if port.device_owner not in NO_PORT:
            found += port_rows(Facts(port, addresses.get(port.id, ()), groups.get(port.id, ()), served, domain))
    return found


def port_rows(facts: Facts) -> list[Row]:
    port = facts.port
    owner = names.owner("port", port.id)
    own_dhcp = {version: own_options(facts, version) for version in (4, 6)}
    columns: dict[str, Value] = {
        "type": type_of(port),
        "enabled": port.admin_state_up and port.network_up,
        "addresses": addresses_of(facts),
        "port_security": port_security(facts),
        "options": options_of(port),
        "dhcpv4_options": own_dhcp[4][0],
        "dhcpv6_options": own_dhcp[6][0],
    }
    found = [row for _, row in own_dhcp.values() if row]
    found.append(Row(names.PORT, port.id, owner, columns, parents_of(facts)))
    if port.dns_name and port.device_id and facts.addresses:
        switch = frozenset({(names.SWITCH, port.network_id, "dns_records")})
        found.append(Row("DNS", port.id, owner, {"records": records(facts)}, switch))
    return found


def type_of(port: Any) -> str:
    if port.device_owner in ROUTER_OWNERS:
        return "router"
    return "localport" if port.device_owner == "network:distributed" else ""


def addresses_of(facts: Facts) -> frozenset[str]:
    port = facts.port
    if type_of(port) == "router":
        return frozenset({"router"})
    own = " ".join([port.mac_address, *(row.ip_address for row in facts.addresses)])
    pairs = {pair["mac_address"] for pair in port.allowed_address_pairs} - {port.mac_address}
    if port.port_security_enabled or type_of(port):
        return frozenset({own, *pairs})
    return frozenset({own, "unknown"})  # whatever MAC speaks there is learnt


def port_security(facts: Facts) -> frozenset[str]:
    """What may be a sender: the port's own MAC with its addresses, and the allowed pairs."""
    port = facts.port
    if not port.port_security_enabled or is_trusted(port.device_owner):
        return frozenset()
    senders = {port.mac_address: [row.ip_address for row in facts.addresses]}
    for pair in port.allowed_address_pairs:
        senders.setdefault(pair["mac_address"], []).append(pair["ip_address"])
    return frozenset(" ".join([mac, *dict.fromkeys(ips)]) for mac, ips in senders.items())


def options_of(port: Any) -> dict[str, str]:
    if type_of(port) == "router":
        options = {"router-port": names.router_port(port.id)}
        if port.device_owner == "network:router_gateway":
            options["nat-addresses"] = "router"  # announced by gratuitous ARP after a failover
            options["exclude-lb-vips-from-garp"] = "true"
        return options
    return {"requested-chassis": port.host} if port.host else {}


def parents_of(facts: Facts) -> frozenset[tuple[str, str, str]]:
    port = facts.port
    parents = {(names.SWITCH, port.network_id, "ports")}
    if port.at_door and places.stands_at(port.device_owner):
        parents.add((names.GROUP, names.door(port.network_id), "ports"))
    if port.port_security_enabled and not is_trusted(port.device_owner):
        parents |= {(names.GROUP, names.port_group(group), "ports") for group in facts.groups}
        parents.add((names.GROUP, names.DROP_GROUP, "ports"))
    return frozenset(parents)


# DHCP ----------------------------------------------------------------------------------------------------------------
def own_options(facts: Facts, version: int) -> tuple[Ref | None, Row | None]:
    """The DHCP options that a port refers to, and the row of them where they are its own."""
    port = facts.port
    if type_of(port):
        return None, None
    extra = {o["opt_name"]: o["opt_value"] for o in port.extra_dhcp_opts if o["ip_version"] == version}
    if extra.get("dhcp_disabled", "").lower() == "true":
        return None, None
    subnets = [facts.dhcp[row.subnet_id] for row in facts.addresses if row.subnet_id in facts.dhcp]
    subnets = [(subnet, options) for subnet, options in subnets if subnet.ip_version == version]
    # one that gives addresses goes before one that only tells of name servers
    subnets.sort(key=lambda found: found[1].get("dhcpv6_stateless", ""))
    if not subnets:
        return None, None
    subnet, options = subnets[0]
    known = {DHCP_NAMES[version][name]: value for name, value in extra.items() if name in DHCP_NAMES[version]}
    if not known:
        return Ref(names.DHCP, names.dhcp_options(subnet.id)), None
    mine = {name: f'"{value}"' if name in QUOTED and value[:1] != '"' else value for name, value in known.items()}
    key = names.dhcp_options_of(subnet.id, port.id)
    row = Row(names.DHCP, key, names.owner("port", port.id), {"cidr": subnet.cidr, "options": {**options, **mine}})
    return Ref(names.DHCP, key), row


# DNS -----------------------------------------------------------------------------------------------------------------
def records(facts: Facts) -> dict[str, str]:
    """Names to addresses and back, as OVN answers them inside the network."""
    name = facts.port.dns_name.lower()
    full = f"{name}.{facts.domain.rstrip('.')}"
    addresses = " ".join(row.ip_address for row in facts.addresses)
    back = {ip_address(row.ip_address).reverse_pointer: full for row in facts.addresses}
    return {name: addresses, full: addresses, **back}
