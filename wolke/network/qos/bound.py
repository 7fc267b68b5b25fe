"""Where a QoS policy is in force: ports, networks, floating IPs, and router gateways, whose ports bear it.

A port without a policy of its own has its network's. So have router gateways and floating IPs on an external network; the cloud's other
ports have none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from wolke.core.work import wake_all
from wolke.network.floating_ips.table import FloatingIp
from wolke.network.networks.table import Network
from wolke.network.owners import GATEWAY, is_trusted, trusted
from wolke.network.ports.table import Port
from wolke.network.qos.errors import QosPolicyInUse, QosRuleNotSupported
from wolke.network.qos.table import PACKETS
from wolke.network.routers.table import Router

# what the message calls it, and its table: in the order in which Neutron looks
BINDINGS: tuple[tuple[str, Any], ...] = (("port", Port), ("network", Network), ("fip", FloatingIp))


def inherits(port: Any) -> bool:
    """Whether a port has its network's policy where it has none of its own."""
    return port.device_owner == GATEWAY or not is_trusted(port.device_owner)


def inheriting() -> ColumnElement[bool]:
    """Ports that have their network's policy, as a condition."""
    return and_(Port.qos_policy_id.is_(None), or_(Port.device_owner == GATEWAY, ~trusted(Port.device_owner)))


def policies_of(db: Session, network_ids: Iterable[str]) -> dict[str, str | None]:
    """The policy of each network."""
    query = select(Network.id, Network.qos_policy_id).where(Network.id.in_(set(network_ids)))
    return {row.id: row.qos_policy_id for row in db.execute(query)}


def refuse_in_use(db: Session, policy_id: str) -> None:
    """Raises QosPolicyInUse, naming what has the policy."""
    for kind, table in BINDINGS:
        found = db.execute(select(table).where(table.qos_policy_id == policy_id).limit(1)).scalar()
        if found is None:
            continue
        id = found.id
        if kind == "port" and found.device_owner == GATEWAY:
            kind, id = "router", found.device_id
        raise QosPolicyInUse(f"QoS Policy {policy_id} is used by {kind} {id}.")


def refuse_outside(db: Session, policy_id: str) -> None:
    """Raises QosRuleNotSupported: the policy is that of a floating IP or a router's gateway, where packets are not counted."""
    if db.scalar(select(FloatingIp.id).where(FloatingIp.qos_policy_id == policy_id).limit(1)):
        raise QosRuleNotSupported(f"Rule {PACKETS} is not supported by floating IPs, and one has this policy.")
    gateways = (Port.qos_policy_id == policy_id) & (Port.device_owner == GATEWAY)
    if db.scalar(select(Port.id).where(gateways).limit(1)):
        raise QosRuleNotSupported(f"Rule {PACKETS} is not supported by router gateways, and one has this policy.")


def users(db: Session, policy_id: str) -> Iterable[str]:
    """Projects that have given a policy to something of theirs."""
    for _, table in BINDINGS:
        yield from db.scalars(select(table.project_id).where(table.qos_policy_id == policy_id).distinct())
    gateways = select(Router.project_id).join(Port, Port.device_id == Router.id)
    yield from db.scalars(gateways.where(Port.device_owner == GATEWAY, Port.qos_policy_id == policy_id).distinct())


def wake_bound(db: Session, policy_id: str) -> None:
    """Everything that a policy is in force on is looked at again."""
    ports = db.scalars(select(Port.id).where(Port.qos_policy_id == policy_id))
    floating = db.scalars(select(FloatingIp.id).where(FloatingIp.qos_policy_id == policy_id))
    wake_all(db, [*(("port", id) for id in ports), *(("floating_ip", id) for id in floating)])
    for network_id in db.scalars(select(Network.id).where(Network.qos_policy_id == policy_id)).all():
        wake_inheriting(db, network_id)


def wake_inheriting(db: Session, network_id: str) -> None:
    """A network's policy has changed: so has that of whatever has none of its own."""
    ports = db.scalars(select(Port.id).where(Port.network_id == network_id, inheriting()))
    here = (FloatingIp.floating_network_id == network_id) & FloatingIp.qos_policy_id.is_(None)
    floating = db.scalars(select(FloatingIp.id).where(here))
    wake_all(db, [*(("port", id) for id in ports), *(("floating_ip", id) for id in floating)])
