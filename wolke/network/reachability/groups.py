"""Security groups as values, with those addresses of their members that matter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import select, union_all
from sqlalchemy.orm import Session

from wolke.network.address_groups.table import AddressGroup
from wolke.network.floating_ips.table import FloatingIp
from wolke.network.owners import ROUTERS
from wolke.network.ports.table import FixedIp, Port, PortSecurityGroup
from wolke.network.reachability.picture import Group, Ip, Net, Rule
from wolke.network.reachability.values import address_of, chosen, net_of
from wolke.network.security_groups.protocols import number
from wolke.network.security_groups.table import SecurityGroup, SecurityGroupRule


def read_groups(db: Session, ids: set[str] | None, addresses: set[str] | None) -> dict[str, Group]:
    """Groups with their rules. ``addresses``: those that are looked for among the members of remote groups."""
    rules: dict[str, list[Rule]] = defaultdict(list)
    query = select(SecurityGroupRule.__table__).order_by(SecurityGroupRule.created_at, SecurityGroupRule.id)
    rows = db.execute(chosen(query, SecurityGroupRule.security_group_id, ids)).all()
    named = {row.remote_address_group_id for row in rows if row.remote_address_group_id}
    told = (
        db.execute(select(AddressGroup.id, AddressGroup.addresses).where(AddressGroup.id.in_(named))) if named else ()
    )
    sets = {id: frozenset(map(net_of, addresses)) for id, addresses in told}
    for row in rows:
        rules[row.security_group_id].append(rule_of(row, sets))
    remote = {rule.remote_group for held in rules.values() for rule in held if rule.remote_group}
    members: dict[str, set[Ip]] = defaultdict(set)
    for group_id, ip in db.execute(members_of(remote, addresses)) if remote else ():
        members[group_id].add(address_of(ip))
    groups = db.execute(
        chosen(select(SecurityGroup.__table__), SecurityGroup.id, None if ids is None else ids | remote)
    )
    return {
        row.id: Group(
            row.id,
            row.name,
            row.project_id,
            row.stateful,
            tuple(rules.get(row.id, ())),
            frozenset(members.get(row.id, ())),
        )
        for row in groups
    }


def members_of(groups: Collection[str], addresses: set[str] | None) -> Any:
    """A query for (group, address) of the servers' ports in some groups: what they hold, and what leads to them without a translation.

    OVN gathers the addresses of a group from its ports itself, and routers' ports bear none there.
    """

    def of_ports(table: type[FixedIp | FloatingIp], column: Any) -> Any:
        query = select(PortSecurityGroup.group_id, column).select_from(PortSecurityGroup)
        query = query.join(Port, Port.id == PortSecurityGroup.port_id).join(table, table.port_id == Port.id)
        query = query.where(PortSecurityGroup.group_id.in_(groups), Port.device_owner.not_in(ROUTERS))
        return chosen(query, column, addresses)

    routed = of_ports(FloatingIp, FloatingIp.floating_ip_address).where(FloatingIp.floating_ip_address.contains(":"))
    return union_all(of_ports(FixedIp, FixedIp.ip_address), routed)


def rule_of(row: Any, address_groups: Mapping[str, frozenset[Net]]) -> Rule:
    prefix: Net | None = net_of(row.remote_ip_prefix) if row.remote_ip_prefix else None
    protocol = None if row.protocol is None else number(str(row.protocol), row.ethertype)
    return Rule(
        row.id, row.direction, int(row.ethertype[-1]), protocol, row.port_range_min, row.port_range_max, prefix, row.remote_group_id,
        address_groups.get(row.remote_address_group_id, frozenset()) if row.remote_address_group_id else None,
    )  # fmt: skip
