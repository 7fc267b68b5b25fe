"""Packet rates, which OVN has no row for: each host is told those of the cards that may be plugged there, and its agent keeps them.

A card is limited by its own policy, else by its network's, like with every other rule (``qos/bound.py``). Whose host is not known (devices
that no server of ours has) is told to all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import case, event, func, inspect, or_, select
from sqlalchemy.orm import Session, aliased

from wolke.network import hooks
from wolke.network.networks.table import Network
from wolke.network.owners import is_trusted, trusted
from wolke.network.ports.table import Port, PortBinding
from wolke.network.qos.table import PACKETS, QosRule
from wolke.network.trunks.table import Subport, Trunk
from wolke.wire import wanted

MOST = 2**32 - 1  # that a meter can count to


def limits_on(db: Session, host: str) -> tuple[wanted.PacketLimit, ...]:
    """The packet rates in force on cards that are on a host or may come there."""
    rules: dict[str, list[Any]] = {}
    for rule in db.execute(select(QosRule.__table__).where(QosRule.type == PACKETS, QosRule.max_kpps > 0)):
        rules.setdefault(rule.qos_policy_id, []).append(rule)
    if not rules:
        return ()
    parent = aliased(Port)
    inherited = case((trusted(Port.device_owner), None), else_=Network.qos_policy_id)
    policy = case((Port.qos_policy_id.is_not(None), Port.qos_policy_id), else_=inherited)
    place = case((Subport.port_id.is_not(None), parent.id), else_=Port.id)  # whose device it is
    bound = case((Subport.port_id.is_not(None), parent.host), else_=Port.host)
    query = select(Port.id, Trunk.port_id.label("parent"), Subport.segmentation_id.label("tag"), policy.label("policy"))
    query = query.join(Network, Network.id == Port.network_id).outerjoin(Subport, Subport.port_id == Port.id)
    query = query.outerjoin(Trunk, Trunk.id == Subport.trunk_id).outerjoin(parent, parent.id == Trunk.port_id)
    ready = select(PortBinding.port_id).where(PortBinding.host == host)
    here = or_(bound.in_(("", host)), place.in_(ready))
    found = db.execute(query.where(policy.in_(sorted(rules)), here).order_by(Port.id))
    return tuple(
        wanted.PacketLimit(
            port_id=row.id,
            direction=rule.direction,
            rate=min(rule.max_kpps * 1000, MOST),
            burst=min(rule.max_burst_kpps * 1000, MOST),
            parent=row.parent or "",
            tag=row.tag or 0,
        )
        for row in found
        for rule in sorted(rules[row.policy], key=lambda rule: str(rule.direction))
    )


# Who has to hear of a change ------------------------------------------------------------------------------------------
@event.listens_for(Session, "before_flush")
def _tell_hosts(session: Session, _context: Any, _instances: Any) -> None:
    things = [*session.new, *session.dirty, *session.deleted]
    if any(isinstance(thing, QosRule) and thing.type == PACKETS for thing in things):
        hooks.tell_hosts(session)
        return
    policies = {policy for thing in things for policy in touched(session, thing) if policy}
    if not policies:
        return
    limiting = select(QosRule.id).where(QosRule.type == PACKETS, QosRule.qos_policy_id.in_(policies))
    if session.scalar(limiting.limit(1)):
        hooks.tell_hosts(session)


def touched(session: Session, thing: Any) -> Iterator[str | None]:
    """Policies that begin or cease to be in force somewhere by what is about to be written."""
    if isinstance(thing, Network) and thing in session.dirty:
        yield from former_and_new(thing, "qos_policy_id")
    elif isinstance(thing, PortBinding) and thing in session.new:
        yield from in_force(session, session.get(Port, thing.port_id))
    elif isinstance(thing, Port) and thing not in session.deleted:
        given, moved = former_and_new(thing, "qos_policy_id"), former_and_new(thing, "host")
        yield from given
        if given or moved or thing in session.new or former_and_new(thing, "device_owner"):
            yield from in_force(session, thing)
        if moved and thing not in session.new:
            yield from of_subports(session, thing.id)


def former_and_new(thing: Any, name: str) -> list[Any]:
    """What a column was and is to be; nothing where it does not change."""
    history = getattr(inspect(thing).attrs, name).history
    return [*history.added, *history.deleted] if history.has_changes() else []


def in_force(session: Session, port: Port | None) -> Iterator[str | None]:
    if port is None:
        return
    yield port.qos_policy_id
    if not port.qos_policy_id and not is_trusted(port.device_owner or ""):
        network = session.get(Network, port.network_id)
        yield network.qos_policy_id if network else None


def of_subports(session: Session, port_id: str) -> Iterable[str | None]:
    """Policies in force on a trunk's subports, which are where their parent is."""
    query = select(func.coalesce(Port.qos_policy_id, Network.qos_policy_id)).join(
        Network, Network.id == Port.network_id
    )
    query = query.join(Subport, Subport.port_id == Port.id).join(Trunk, Trunk.id == Subport.trunk_id)
    return session.scalars(query.where(Trunk.port_id == port_id)).all()
