"""Logs of single ports in OVN: what groups say of a port, once more for it alone, with a line for each packet that matches.

These stand just above the groups' own ACLs and decide alike. A log of whole groups needs no rows: it is a mark on theirs.

OVN:  ovn-nb(5), table ACL: log, name, severity, meter. ovn-controller writes the lines into its log on the port's host.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.drivers.rows import Row
from wolke.network import names
from wolke.network.lane import Site, kind
from wolke.network.logs.table import ACCEPT, DROP, NetworkLog
from wolke.network.owners import ROUTERS, is_trusted
from wolke.network.ports.table import Port, PortSecurityGroup
from wolke.network.security_groups import acls
from wolke.network.security_groups.rows import Place, drops, router_acls, rules_of, server_acl
from wolke.network.security_groups.table import SecurityGroup


def rows(db: Session, ids: Sequence[str], site: Site) -> list[Row]:
    logs = db.execute(
        select(NetworkLog.__table__).where(
            NetworkLog.id.in_(ids), NetworkLog.enabled, NetworkLog.target_id.is_not(None)
        )
    ).all()
    targets = {log.target_id for log in logs}
    ports = {row.id: row for row in db.execute(select(Port.__table__).where(Port.id.in_(targets)))} if targets else {}
    members = select(PortSecurityGroup.port_id, SecurityGroup.id, SecurityGroup.stateful)
    members = members.join(SecurityGroup, SecurityGroup.id == PortSecurityGroup.group_id)
    groups: dict[str, list[Any]] = {}
    for row in db.execute(members.where(PortSecurityGroup.port_id.in_(targets))) if targets else ():
        groups.setdefault(row.port_id, []).append(row)
    rules = rules_of(db, {row.id for some in groups.values() for row in some})
    found: list[Row] = []
    for log in logs:
        if (port := ports.get(log.target_id)) is not None:
            found += log_rows(log, port, groups.get(port.id, ()), rules)
    return found


def log_rows(log: Any, port: Any, groups: Sequence[Any], rules: dict[str, list[Any]]) -> list[Row]:
    router = port.device_owner in ROUTERS
    if not groups if router else not port.port_security_enabled or is_trusted(port.device_owner):
        return []  # nothing is dropped there
    owner = names.owner(NetworkLog.__tablename__, log.id)
    place = Place(port=port.id, switch=port.network_id)
    found: list[Row] = []
    if log.event != DROP:
        for group in groups:
            for rule in rules.get(group.id, ()) if log.resource_id in (None, group.id) else ():
                key, priority = f"{log.id}/{rule.id}", acls.LOGGED_ALLOW
                if router:
                    found += router_acls(key, owner, place, rule, log.id, priority)
                else:
                    found.append(server_acl(key, owner, place, rule, group.stateful, log.id, priority))
    if log.event != ACCEPT:
        found += drops(f"{log.id}/drop", owner, place, acls.LOGGED_DROP, log.id)
    return found


kind(NetworkLog, rows)
