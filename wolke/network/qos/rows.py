"""QoS in OVN: one rule for each direction of what has a policy, on the switch where its packets pass.

A rule with a rate is a meter of its own on the chassis that the packets pass; one with a mark writes the DSCP field.

OVN:  ovn-nb(5), table QoS.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wolke.drivers.rows import Row, Value
from wolke.network import names
from wolke.network.floating_ips.table import FloatingIp
from wolke.network.networks.table import Network
from wolke.network.owners import GATEWAY
from wolke.network.ports.table import Port
from wolke.network.qos.table import BANDWIDTH, DSCP, EGRESS, INGRESS, QosRule
from wolke.network.routers.table import Router

PORT_PRIORITY, FLOATING_PRIORITY = 2002, 2003  # a floating IP's rule goes before its router gateway's
SIDES = {EGRESS: ("from-lport", "inport", "src"), INGRESS: ("to-lport", "outport", "dst")}


def rules_of(db: Session, policy_ids: Iterable[str | None]) -> dict[str, list[Any]]:
    """Rows of the rules of each policy, in one statement."""
    found: dict[str, list[Any]] = {}
    ids = sorted({id for id in policy_ids if id})
    if not ids:
        return found
    query = select(QosRule.__table__).where(QosRule.qos_policy_id.in_(ids)).order_by(QosRule.type, QosRule.direction)
    for rule in db.execute(query):
        found.setdefault(rule.qos_policy_id, []).append(rule)
    return found


def rows(id: str, owner: str, switch: str, port: str, rules: Sequence[Any], address: str = "") -> list[Row]:
    """What OVN gets of the rules in force on one thing.

    Parameters
    ----------
    id : of the thing, for the rows' keys
    switch, port : logical switch, and its port that the packets enter and leave by
    address : only packets of this IPv4 address behind the port
    """
    made = []
    for direction, (way, side, end) in SIDES.items():
        bandwidth: dict[str, int] = {}
        action: dict[str, int] = {}
        for rule in rules:
            if rule.direction != direction:
                continue
            if rule.type == BANDWIDTH and rule.max_kbps:
                bandwidth = {"rate": rule.max_kbps}
                if rule.max_burst_kbps:
                    bandwidth["burst"] = rule.max_burst_kbps
            elif rule.type == DSCP:
                action = {"dscp": rule.dscp_mark}
        if not bandwidth and not action:
            continue
        columns: dict[str, Value] = {
            "priority": FLOATING_PRIORITY if address else PORT_PRIORITY,
            "direction": way,
            "match": f'{side} == "{port}"'
            + (f" && {'ip6' if ':' in address else 'ip4'}.{end} == {address}" if address else ""),
            "bandwidth": bandwidth,
            "action": action,
        }
        parent = frozenset({(names.SWITCH, switch, "qos_rules")})
        made.append(Row("QoS", f"{id}/{direction}", owner, columns, parent))
    return made


def of_floating_ips(db: Session, ids: Sequence[str]) -> list[Row]:
    """What OVN gets of the policies of floating IPs, or of their networks: rules where their routers' gateways are plugged."""
    query = select(
        FloatingIp.id, FloatingIp.floating_ip_address, FloatingIp.floating_network_id, Port.id.label("gateway"),
        (Port.id == Router.gateway_port_id).label("first"),
        func.coalesce(FloatingIp.qos_policy_id, Network.qos_policy_id).label("policy"),
    )  # fmt: skip
    here = (Port.device_id == FloatingIp.router_id) & (Port.network_id == FloatingIp.floating_network_id)
    query = query.join(Network, Network.id == FloatingIp.floating_network_id)
    query = query.join(Port, here & (Port.device_owner == GATEWAY)).join(Router, Router.id == FloatingIp.router_id)
    found = db.execute(
        query.where(FloatingIp.id.in_(ids)).order_by(FloatingIp.id, Port.created_at.desc(), Port.id)
    ).all()
    # a router's first gateway before others on the same network
    led = {row.id: row for row in sorted(found, key=lambda row: bool(row.first)) if row.policy}
    rules = rules_of(db, (row.policy for row in led.values()))
    made = []
    for row in led.values():
        owner, address = names.owner(FloatingIp.__tablename__, row.id), row.floating_ip_address
        made += rows(row.id, owner, row.floating_network_id, row.gateway, rules.get(row.policy, ()), address)
    return made
