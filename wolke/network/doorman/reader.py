"""The policy that is in force, read from the database: what ``policy`` judges by."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.network.address_scopes.table import AddressScope
from wolke.network.doorman import places
from wolke.network.doorman.policy import Exemption, Packet, Rule, Verdict, verdict
from wolke.network.doorman.spans import Network, intersect, networks_of, of_networks
from wolke.network.doorman.table import DoormanException, DoormanRule
from wolke.network.floating_ips.table import FloatingIp
from wolke.network.networks.table import Network as NetworkRow
from wolke.network.ports.table import FixedIp, Port
from wolke.network.routed.published import in_scope, operators
from wolke.network.security_groups.protocols import ICMP, number
from wolke.network.subnetpools.table import SubnetPool
from wolke.network.subnets.table import Subnet

VERSIONS = {"IPv4": 4, "IPv6": 6, None: None}
Meant = Mapping[str | None, Collection[str]]  # network -> addresses at its door; None -> at every door


@dataclass(frozen=True, slots=True)
class Door:
    """Everything that decides at the door."""

    rules: tuple[Rule, ...]
    exemptions: tuple[Exemption, ...]
    networks: frozenset[str]  # ids of those that have a door

    def verdict(self, packet: Packet) -> Verdict:
        """What happens to a packet that crosses; none crosses where no door is."""
        if packet.network_id not in self.networks:
            return Verdict(True, "")
        return verdict(self.rules, self.exemptions, packet)


def load(db: Session) -> Door:
    rows = db.execute(select(DoormanRule.__table__).where(DoormanRule.enabled).order_by(DoormanRule.position))
    rules = in_force(db, rows.all())
    left = db.execute(select(DoormanException.__table__).where(DoormanException.expired.is_(False))).all()
    return Door(rules, exemptions(db, left), frozenset(places.networks(db)))


def in_force(db: Session, rows: Iterable[Any]) -> tuple[Rule, ...]:
    """Rows of rules (or proposals that look like them) as the policy reads them."""
    rows = [row for row in rows if row.enabled]
    named = {row.subnetpool_id for row in rows} - {None}
    pools: dict[str, list[Network]] = {id: [] for id in named}
    if named:
        for id, prefixes in db.execute(select(SubnetPool.id, SubnetPool.prefixes).where(SubnetPool.id.in_(named))):
            pools[id] = [ip_network(prefix) for prefix in prefixes]
    return tuple(rule_of(row, pools.get(row.subnetpool_id)) for row in rows)


def rule_of(row: Any, pool: Sequence[Network] | None = None) -> Rule:
    """``pool`` : the prefixes of the pool that the rule names, if it names one."""
    low, high = row.port_range_min, row.port_range_max
    protocol = None if row.protocol is None else number(row.protocol, row.ethertype or "IPv4")
    ports = None if low is None else (low, high)
    source = None if row.source_port_range_min is None else (row.source_port_range_min, row.source_port_range_max)
    if protocol in ICMP and low is not None:
        ports, source = (low, low), None if high is None else (high, high)
    local = prefixes_of(row.local_ip_prefixes)
    if pool is not None:
        local = tuple(pool) if local is None else shared(local, pool)
    return Rule(
        id=row.id, action=row.action, direction=row.direction, version=VERSIONS[row.ethertype], protocol=protocol, ports=ports,
        source_ports=source, remote=prefixes_of(row.remote_ip_prefixes), local=local,
        networks=frozenset({row.network_id}) if row.network_id else None,
    )  # fmt: skip


def prefixes_of(given: Sequence[str]) -> tuple[Network, ...] | None:
    return tuple(ip_network(prefix) for prefix in given) or None


def shared(one: Sequence[Network], two: Sequence[Network]) -> tuple[Network, ...]:
    """The addresses that are in both."""
    return tuple(
        network
        for version in (4, 6)
        for network in networks_of(intersect(of_networks(one, version), of_networks(two, version)), version)
    )


def exemptions(db: Session, rows: Sequence[Any]) -> tuple[Exemption, ...]:
    """Exceptions with the addresses that they mean now."""
    if not rows:
        return ()
    wanted = {row.floatingip_id for row in rows} - {None}
    floating: dict[str, Any] = {}
    if wanted:
        floating = {row.id: row for row in db.execute(select(FloatingIp.__table__).where(FloatingIp.id.in_(wanted)))}
    found = []
    for row in rows:
        meant: Meant = {}
        if row.scope == "project":
            meant = outside_of(db, row.project_id)
        elif row.scope == "prefix":
            meant = {None: [row.local_ip_prefix]}
        elif one := floating.get(row.floatingip_id):
            meant = {one.floating_network_id: [one.floating_ip_address]}
        remote = (ip_network(row.remote_ip_prefix),) if row.remote_ip_prefix else None
        for network, addresses in meant.items():
            local = tuple(sorted(map(ip_network, addresses), key=lambda one: (one.version, one)))
            at = frozenset({network}) if network else None
            found.append(Exemption(id=row.id, rule_id=row.rule_id, local=local, remote=remote, networks=at))
    return tuple(found)


def outside_of(db: Session, project_id: str) -> Meant:
    """What a project is known by at the door: floating IPs, gateways' addresses, its own ports there, and IPv6 prefixes that an
    operator's pool gave it (one that a project has chosen itself may be another's). An address is the project's on its network only,
    for on one of its own a project gives its ports whatever address it likes; one of an operator's pool is its everywhere."""
    door = select(NetworkRow.id).where(places.at_door())
    own = select(Port.id).where(Port.project_id == project_id, Port.network_id.in_(door))
    own = own.where(Port.device_owner.not_in(places.INSIDE))
    held = FixedIp.port_id.in_(own) | FixedIp.port_id.in_(places.gateways_of(project_id))
    floating = FloatingIp.project_id == project_id
    pools = select(SubnetPool.id).outerjoin(AddressScope, in_scope()).where(operators())
    given = select(Subnet.cidr).where(Subnet.project_id == project_id, Subnet.subnetpool_id.in_(pools))
    found: dict[str | None, set[str]] = {}
    for query in (
        select(FloatingIp.floating_network_id, FloatingIp.floating_ip_address).where(floating),
        select(FixedIp.network_id, FixedIp.ip_address).where(held),
    ):
        for network, address in db.execute(query):
            found.setdefault(network, set()).add(address)
    routed = select(FixedIp.ip_address).join(Subnet, Subnet.id == FixedIp.subnet_id)
    if known := {*db.scalars(given), *db.scalars(routed.where(held, Subnet.subnetpool_id.in_(pools)))}:
        found[None] = known
    return found
