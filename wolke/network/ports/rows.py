"""What OVN gets of a port: a logical switch port, its groups, its name in DNS, its QoS and the DHCP options of its own.

OVN: Logical_Switch_Port, DHCP_Options, DNS, QoS (ovn-nb(5)); the mapping is that of Neutron's OVN driver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.drivers.rows import Ref, Row, Value
from wolke.network import dns, names
from wolke.network.doorman import places
from wolke.network.floating_ips import routed
from wolke.network.lane import Site
from wolke.network.networks.table import Network
from wolke.network.owners import FLOATING, GATEWAY, METADATA, ROUTERS, is_trusted
from wolke.network.ports.dhcp import in_ovn, is_disabled
from wolke.network.ports.table import FixedIp, Port, PortBinding, PortSecurityGroup
from wolke.network.qos import rows as qos
from wolke.network.qos.bound import inherits
from wolke.network.subnets.rows import dhcp
from wolke.network.trunks.facts import tagged

Options = Mapping[str, tuple[Any, dict[str, str]]]  # of subnets that DHCP serves


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rows of one port are made from."""

    port: Any  # row, with the network's ``network_up``, ``network_domain`` and ``network_qos``; ``guest``: it is another project's network
    addresses: Sequence[Any]  # rows of FixedIp
    groups: Sequence[str]
    dhcp: Options
    domain: str  # that its name stands in
    rules: Sequence[Any] = ()  # rows of QosRule that are in force
    trunk: tuple[str, int] | None = None  # parent port and VLAN tag of a trunk's subport
    hosts: Sequence[str] = ()  # that it is made ready for beside its own
    floating: Sequence[str] = ()  # IPv6 addresses that are routed to it


def rows(db: Session, ids: Sequence[str], site: Site) -> list[Row]:
    query = select(
        Port.__table__,
        places.at_door().label("at_door"),
        Network.admin_state_up.label("network_up"),
        Network.dns_domain.label("network_domain"),
        (Network.project_id != Port.project_id).label("guest"),
        Network.qos_policy_id.label("network_qos"),
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
    policies = {port.id: policy_of(port) for port in ports}
    rules, trunks = qos.rules_of(db, policies.values()), tagged(db, ids)
    floating = routed.carried(db, ids)
    hosts: dict[str, list[str]] = {}
    bindings = select(PortBinding.port_id, PortBinding.host).where(PortBinding.port_id.in_(ids))
    for port_id, host in db.execute(bindings.order_by(PortBinding.host)):
        hosts.setdefault(port_id, []).append(host)
    found: list[Row] = []
    for port in ports:
        if port.device_owner != FLOATING:
            facts = Facts(
                port, addresses.get(port.id, ()), groups.get(port.id, ()), served,
                dns.domain("" if port.guest else port.dns_domain, port.network_domain, site.config.dns_domain),
                rules.get(policies[port.id] or "", ()), trunks.get(port.id), hosts.get(port.id, ()),
                floating.get(port.id, ()),
            )  # fmt: skip
            found += port_rows(facts)
    return found


def policy_of(port: Any) -> str | None:
    """The QoS policy that is in force on a port: its own, else its network's."""
    policy: str | None = port.qos_policy_id or (port.network_qos if inherits(port) else None)
    return policy


def port_rows(facts: Facts) -> list[Row]:
    port = facts.port
    owner = names.owner("port", port.id)
    own_dhcp = {version: own_options(facts, version) for version in (4, 6)}
    columns: dict[str, Value] = {
        "type": type_of(port),
        "enabled": port.admin_state_up and port.network_up and not port.shut,
        "addresses": addresses_of(facts),
        "port_security": port_security(facts),
        "options": options_of(facts),
        "parent_name": facts.trunk[0] if facts.trunk else None,
        "tag": facts.trunk[1] if facts.trunk else None,
        "dhcpv4_options": own_dhcp[4][0],
        "dhcpv6_options": own_dhcp[6][0],
    }
    found = [row for _, row in own_dhcp.values() if row]
    found.append(Row(names.PORT, port.id, owner, columns, parents_of(facts)))
    if port.dns_name and port.device_id and facts.addresses:
        switch = frozenset({(names.SWITCH, port.network_id, "dns_records")})
        records = dns.records(
            port.dns_name, facts.domain, [row.ip_address for row in facts.addresses], guest=port.guest
        )
        found.append(Row("DNS", port.id, owner, {"records": records}, switch))
    found += qos.rows(port.id, owner, port.network_id, port.id, facts.rules)
    return found


def type_of(port: Any) -> str:
    if port.device_owner in ROUTERS:
        return "router"
    return "localport" if port.device_owner == METADATA else ""


def addresses_of(facts: Facts) -> frozenset[str]:
    port = facts.port
    if type_of(port) == "router":
        return frozenset({"router"})
    own = " ".join([port.mac_address, *(row.ip_address for row in facts.addresses), *facts.floating])
    pairs = {pair["mac_address"] for pair in port.allowed_address_pairs} - {port.mac_address}
    if port.port_security_enabled or type_of(port) or port.mac_learning is False:
        return frozenset({own, *pairs})
    return frozenset({own, "unknown"})  # whatever MAC speaks there is learnt


def port_security(facts: Facts) -> frozenset[str]:
    """What may be a sender: the port's own MAC with its addresses, and the allowed pairs."""
    port = facts.port
    if not port.port_security_enabled or is_trusted(port.device_owner):
        return frozenset()
    senders = {port.mac_address: [*(row.ip_address for row in facts.addresses), *facts.floating]}
    for pair in port.allowed_address_pairs:
        senders.setdefault(pair["mac_address"], []).append(pair["ip_address"])
    return frozenset(" ".join([mac, *dict.fromkeys(ips)]) for mac, ips in senders.items())


def options_of(facts: Facts) -> dict[str, str]:
    port = facts.port
    if type_of(port) == "router":
        options = {"router-port": names.router_port(port.id)}
        if port.device_owner == GATEWAY:
            options["nat-addresses"] = "router"  # announced by gratuitous ARP after a failover
            options["exclude-lb-vips-from-garp"] = "true"
        return options
    if not port.host or facts.trunk:  # a subport is where its parent is
        return {}
    options = {"requested-chassis": ",".join([port.host, *facts.hosts])}
    if facts.hosts:  # packets go to both; the new one begins to answer when its guest announces itself
        options["activation-strategy"] = "rarp"
    return options


def parents_of(facts: Facts) -> frozenset[tuple[str, str, str]]:
    port = facts.port
    parents = {(names.SWITCH, port.network_id, "ports")}
    if port.at_door and places.stands_at(port.device_owner):
        parents.add((names.GROUP, names.door(port.network_id), "ports"))
    if port.device_owner in ROUTERS and facts.groups:
        parents |= {(names.GROUP, names.router_group(group), "ports") for group in facts.groups}
        parents.add((names.GROUP, names.ROUTER_DROP_GROUP, "ports"))
    elif port.port_security_enabled and not is_trusted(port.device_owner):
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
    if is_disabled(extra):
        return None, None
    subnets = [facts.dhcp[row.subnet_id] for row in facts.addresses if row.subnet_id in facts.dhcp]
    subnets = [(subnet, options) for subnet, options in subnets if subnet.ip_version == version]
    # one that gives addresses goes before one that only tells of name servers
    subnets.sort(key=lambda found: found[1].get("dhcpv6_stateless", ""))
    if not subnets:
        return None, None
    subnet, options = subnets[0]
    mine = in_ovn(extra, version)
    if not mine:
        return Ref(names.DHCP, names.dhcp_options(subnet.id)), None
    key = names.dhcp_options_of(subnet.id, port.id)
    row = Row(names.DHCP, key, names.owner("port", port.id), {"cidr": subnet.cidr, "options": {**options, **mine}})
    return Ref(names.DHCP, key), row
