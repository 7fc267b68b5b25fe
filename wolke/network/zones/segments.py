"""Where networks stand on zones: numbers of segments are drawn and kept here, and no two things meet on one wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.core.db import lock
from wolke.core.http import Ctx
from wolke.network import errors, hooks
from wolke.network.networks.table import Network
from wolke.network.zones.bodies import LARGEST_VLAN
from wolke.network.zones.errors import InvalidZone, NoSegmentLeft, SegmentInUse, ZoneConflict
from wolke.network.zones.rights import right_to_create
from wolke.network.zones.table import Zone, ZoneSegment

# How Neutron calls what a zone gives: of QinQ a network has the inner VLAN, of EVPN a VXLAN
NETWORK_TYPES = {"flat": "flat", "vlan": "vlan", "qinq": "vlan", "vxlan": "vxlan", "evpn": "vxlan"}
TUNNELS = ("vxlan", "evpn")
Ranges = Sequence[dict[str, int]]


def named(db: Session, name: str) -> Zone | None:
    return db.scalar(select(Zone).where(Zone.name == name)) if name else None


def over(db: Session, network_id: str | None) -> Zone | None:
    """The zone that a network stands on or is stretched over."""
    query = select(Zone).join(ZoneSegment, ZoneSegment.zone_id == Zone.id)
    return db.scalar(query.where(ZoneSegment.network_id == network_id)) if network_id else None


def holds(ranges: Ranges, number: int) -> bool:
    return any(one["minimum"] <= number <= one["maximum"] for one in ranges)


def first_free(ranges: Ranges, taken: set[int]) -> int:
    """The least number of some ranges that is not taken; 0 when all are.

    >>> first_free([{"minimum": 5, "maximum": 6}, {"minimum": 9, "maximum": 9}], {5, 6})
    9
    """
    for one in ranges:
        for number in range(one["minimum"], one["maximum"] + 1):
            if number not in taken:
                return number
    return 0


def words(ranges: Ranges) -> str:
    """
    >>> words([{"minimum": 5, "maximum": 6}, {"minimum": 9, "maximum": 9}])
    '5 to 6, 9'
    """
    return ", ".join(
        f"{one['minimum']} to {one['maximum']}" if one["minimum"] < one["maximum"] else str(one["minimum"])
        for one in ranges
    )


# A network on a zone -------------------------------------------------------------------------------------------------
def place(ctx: Ctx, network: Network, zone: Zone, type: str, number: int) -> None:
    """Put a new network on a zone.

    Parameters
    ----------
    type : as the caller has given it, "" to take the zone's
    number : VLAN or VNI, 0 to draw one from the zone's ranges

    Raises
    ------
    InvalidInput: the type is another one, or the number is not the zone's; SegmentInUse, NoSegmentLeft, ZoneRightMissing
    """
    fitting = NETWORK_TYPES[zone.type]
    if type not in ("", fitting, zone.type):
        raise errors.InvalidInput(
            f"provider:network_type of a network on zone {zone.name} is {fitting} (a zone of type {zone.type})"
        )
    network.network_type, network.physical_network = fitting, zone.name
    try:
        segment = take(ctx, zone, network.id, number)
    except InvalidZone as error:
        raise errors.InvalidInput(f"provider:segmentation_id: {str(error).partition(': ')[2]}") from error
    network.segmentation_id = segment.segmentation_id


def take(ctx: Ctx, zone: Zone, network_id: str, number: int, *, stretched: bool = False) -> ZoneSegment:
    """A segment of a zone for one network, kept in the caller's transaction.

    Raises
    ------
    InvalidZone: a number that the zone has not; SegmentInUse, NoSegmentLeft, ZoneRightMissing
    """
    right = right_to_create(ctx, zone)
    lock(ctx.db, f"zone/{zone.id}")
    used = ctx.db.execute(select(ZoneSegment.segmentation_id, ZoneSegment.tag).where(ZoneSegment.zone_id == zone.id))
    rows = used.all()
    taken, tags = {row.segmentation_id for row in rows}, {row.tag for row in rows}
    if zone.type == "flat":
        if number:
            raise InvalidZone("segmentation_id", f"the flat zone {zone.name} has none")
        if rows:
            raise errors.FlatNetworkInUse(f"Zone {zone.name} is flat and has its one network already.")
    else:
        if number and not holds(zone.ranges, number):
            raise InvalidZone("segmentation_id", f"{number} is not of zone {zone.name}, which has {words(zone.ranges)}")
        if number in taken:
            raise SegmentInUse(f"Segment {number} of zone {zone.name} is in use.")
        number = number or first_free(zone.ranges, taken)
        if not number:
            raise NoSegmentLeft(f"All segments of zone {zone.name} are in use: {words(zone.ranges)}.")
    tag = number
    if zone.type in TUNNELS:
        tag = first_free([{"minimum": 1, "maximum": LARGEST_VLAN}], tags)
        if not tag:
            raise NoSegmentLeft(f"Zone {zone.name} has {LARGEST_VLAN} networks, and no host carries more of one zone.")
    segment = ZoneSegment(
        network_id=network_id, zone_id=zone.id, segmentation_id=number, tag=tag, stretched=stretched, right=right
    )
    ctx.db.add(segment)
    ctx.db.flush()
    if zone.type in TUNNELS:
        hooks.tell_hosts(ctx.db)
    return segment


def network_goes(db: Session, network_id: str) -> None:
    if segment := db.get(ZoneSegment, network_id):
        zone = db.get_one(Zone, segment.zone_id)
        db.delete(segment)
        if zone.type in TUNNELS:
            hooks.tell_hosts(db)


hooks.network_goes.append(network_goes)


# Zones beside each other ---------------------------------------------------------------------------------------------
def refuse_site_segment(db: Session, physical: str, type: str, number: int) -> None:
    """A network of an operator's straight on a physical network. Raises ZoneConflict: a zone has that segment."""
    for zone in db.scalars(select(Zone).where(Zone.physical_network == physical)):
        if (type == "flat" and zone.type == "flat") or (type == "vlan" and holds(vlans(zone), number)):
            raise ZoneConflict(
                f"The segment belongs to zone {zone.name}: give it as provider:physical_network instead of {physical}."
            )


def vlans(zone: Any) -> list[dict[str, int]]:
    """The VLANs of the physical network that a zone takes for itself."""
    if zone.type == "qinq":
        return [{"minimum": zone.outer_tag, "maximum": zone.outer_tag}]
    return list(zone.ranges) if zone.type == "vlan" else []


def overlap(one: Ranges, other: Ranges) -> int:
    """The least number that both hold; 0 for none.

    >>> overlap([{"minimum": 5, "maximum": 9}], [{"minimum": 8, "maximum": 12}])
    8
    """
    common = [
        max(a["minimum"], b["minimum"])
        for a in one
        for b in other
        if max(a["minimum"], b["minimum"]) <= min(a["maximum"], b["maximum"])
    ]
    return min(common, default=0)


def refuse_meeting(db: Session, zone: Zone) -> None:
    """Raises ZoneConflict: another zone, or a network of the site, has what this one would take."""
    lock(db, "zones")
    lock(db, "network/segments")
    beside = list(db.scalars(select(Zone).where(Zone.id != zone.id)))
    for other in beside:
        if other.name == zone.name:
            raise ZoneConflict(f"A zone is named {zone.name} already (name).")
    if zone.physical_network:
        refuse_meeting_on_wire(db, zone, [one for one in beside if one.physical_network == zone.physical_network])
        return
    for other in beside:
        if other.type not in TUNNELS:
            continue
        if other.type == zone.type == "evpn" and other.asn != zone.asn:
            raise ZoneConflict(f"A host speaks BGP for one system: asn is {other.asn}, that of zone {other.name}.")
        if other.udp_port == zone.udp_port and other.type != zone.type:
            raise ZoneConflict(f"udp_port {zone.udp_port} is zone {other.name}'s, of type {other.type}.")
        mine = [*zone.ranges, *({"minimum": n, "maximum": n} for n in (zone.l3_vni,) if n)]
        theirs = [*other.ranges, *({"minimum": n, "maximum": n} for n in (other.l3_vni,) if n)]
        if other.udp_port == zone.udp_port and (number := overlap(mine, theirs)):
            raise ZoneConflict(f"vni_ranges: {number} is zone {other.name}'s.")
    if zone.l3_vni and holds(zone.ranges, zone.l3_vni):
        raise InvalidZone("l3_vni", f"{zone.l3_vni} is one of vni_ranges")
    if zone.route_targets and not zone.l3_vni:
        raise InvalidZone("route_targets", "they are of prefixes, which need an l3_vni")


def refuse_meeting_on_wire(db: Session, zone: Zone, beside: Sequence[Zone]) -> None:
    """The same for zones of one physical network."""
    for other in beside:
        if other.type == zone.type == "flat":
            raise ZoneConflict(f"physical_network {zone.physical_network} has the flat zone {other.name}.")
        if number := overlap(vlans(zone), vlans(other)):
            field = "outer_tag" if zone.type == "qinq" else "vlan_ranges"
            raise ZoneConflict(f"{field}: VLAN {number} of {zone.physical_network} is zone {other.name}'s.")
    sites = select(Network.network_type, Network.segmentation_id).where(
        Network.physical_network == zone.physical_network
    )
    for network in db.execute(sites):
        if network.network_type == zone.type == "flat":
            raise ZoneConflict(f"physical_network {zone.physical_network} has a flat network of the site.")
        if network.network_type == "vlan" and holds(vlans(zone), network.segmentation_id):
            raise ZoneConflict(f"VLAN {network.segmentation_id} is a network's of the site on {zone.physical_network}.")
