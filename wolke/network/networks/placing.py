"""Where a network's frames go, and how large they may be: a tunnel of its own, a zone, or a physical network of the site."""

from __future__ import annotations

import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.core.bodies import UNSET, UnsetType
from wolke.core.config import Config
from wolke.core.db import lock
from wolke.core.http import Ctx
from wolke.network import errors
from wolke.network.networks.table import Network
from wolke.network.segments import numbers
from wolke.network.segments.table import Segment
from wolke.network.zones import segments
from wolke.network.zones.bodies import LARGEST_VLAN

GENEVE_BYTES = 58  # outer Ethernet, IPv4 and UDP headers, Geneve with OVN's one option


def overlay_mtu(config: Config) -> int:
    """Largest packet, in bytes, that a server may send through a tunnel between hosts."""
    return config.overlay_mtu or config.underlay_mtu - GENEVE_BYTES


def place(ctx: Ctx, network: Network, type: str, physical: str, segment: int) -> None:
    """Where its frames go: a tunnel of its own, a zone, or a physical network of the site.

    Raises
    ------
    InvalidInput: attributes that do not go together, or a physical network that the site has not
    """
    known = ctx.app.config.physical_networks
    if zone := segments.named(ctx.db, physical):
        network.id = str(uuid.uuid4())
        return segments.place(ctx, network, zone, type, segment)
    if not type and (physical or segment):
        raise errors.InvalidInput("network_type required")
    if type not in ("", "geneve", "flat", "vlan"):
        raise errors.InvalidInput(f"Network type '{type}' is not supported: use one of flat, geneve, vlan")
    if type in ("flat", "vlan"):
        if not physical:
            raise errors.InvalidInput(f"physical_network required for {type} provider network")
        if physical not in known:
            names = ", ".join(sorted(known)) or "none"
            raise errors.InvalidInput(
                f"physical_network '{physical}' unknown for {type} provider network; this site has: {names}"
            )
    elif physical:
        raise errors.InvalidInput("provider:physical_network specified for geneve network")
    if type == "flat" and segment:
        raise errors.InvalidInput("provider:segmentation_id specified for flat network")
    if type == "vlan" and not 1 <= segment <= LARGEST_VLAN:
        raise errors.InvalidInput("provider:segmentation_id of a vlan network must be in the range (1 through 4094)")
    network.network_type, network.physical_network = type or "geneve", physical
    lock(ctx.db, "network/segments")
    segments.refuse_site_segment(ctx.db, physical, type, segment)
    taken = select(Network.id).where(Network.network_type == network.network_type)
    taken = taken.where(Network.physical_network == physical)
    if network.network_type == "flat":
        if ctx.db.execute(taken.limit(1)).first():
            raise errors.FlatNetworkInUse(f"Unable to create the flat network. Physical network {physical} is in use.")
    elif segment and ctx.db.execute(taken.where(Network.segmentation_id == segment)).first():
        if type == "vlan":
            raise errors.VlanIdInUse(
                f"Unable to create the network. The VLAN {segment} on physical network {physical} is in use."
            )
        raise errors.TunnelIdInUse(f"Unable to create the network. The tunnel ID {segment} is in use.")
    if network.network_type == "geneve":
        numbers.refuse_taken(ctx.db, segment)
    network.segmentation_id = segment or (numbers.free_tunnel(ctx.db) if network.network_type == "geneve" else 0)


def renumber(ctx: Ctx, network: Network, number: int) -> None:
    """Give a VLAN network another VLAN of its physical network; its ports go with it.

    Raises
    ------
    InvalidInput: it is no VLAN, a zone has drawn its number, or it has further segments; VlanIdInUse, ZoneConflict
    """
    physical = network.physical_network
    if network.network_type != "vlan":
        raise errors.InvalidInput("Only VLAN type networks can be updated.")
    if zone := segments.named(ctx.db, physical):
        raise errors.InvalidInput(f"provider:segmentation_id is drawn by zone {zone.name} and stays as it is")
    if not 1 <= number <= LARGEST_VLAN:
        raise errors.InvalidInput("provider:segmentation_id of a vlan network must be in the range (1 through 4094)")
    lock(ctx.db, "network/segments")
    its = ctx.db.scalars(select(Segment).where(Segment.network_id == network.id)).all()
    if len(its) > 1:
        raise errors.InvalidInput(
            "Provider network attributes can be updated only in provider networks with a single segment."
        )
    segments.refuse_site_segment(ctx.db, physical, "vlan", number)
    taken = (Network.network_type == "vlan") & (Network.physical_network == physical)
    if ctx.db.scalar(select(Network.id).where(taken, Network.segmentation_id == number).limit(1)):
        raise errors.VlanIdInUse(
            f"Unable to create the network. The VLAN {number} on physical network {physical} is in use."
        )
    network.segmentation_id = its[0].segmentation_id = number


def refuse_other_wire(network: Network, type: str | UnsetType | None, physical: str | UnsetType | None) -> None:
    """Raises InvalidInput: an update names another type or another physical network than the network has."""
    if type not in (UNSET, None, network.network_type) or (physical or "") not in ("", network.physical_network):
        raise errors.InvalidInput(
            "Plugin does not support updating the following provider network attributes: provider:network_type,"
            " provider:physical_network"
        )


def largest_mtu(db: Session, config: Config, network: Network) -> int:
    """Largest packet, in bytes, that passes what is under a network."""
    if zone := segments.named(db, network.physical_network):
        return zone.mtu
    if network.physical_network:
        return config.physical_networks[network.physical_network].mtu
    stretched = segments.over(db, network.id)
    return min(overlay_mtu(config), stretched.mtu) if stretched else overlay_mtu(config)


def checked_mtu(asked: int, largest: int) -> int:
    """Raises InvalidInput: too large for what is under the network, or too small for IPv4."""
    if asked > largest:
        raise errors.InvalidInput(f"Requested MTU is too big, maximum is {largest}")
    if 0 < asked < 68:
        raise errors.InvalidInput(f"Requested MTU is too small, minimum is 68, got {asked}")
    return asked or largest
