"""What OVN gets of a network: a logical switch, and a ``localnet`` port where it stands on a physical network or a zone.

OVN: Logical_Switch, Logical_Switch_Port (ovn-nb(5)).
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.drivers.rows import Row
from wolke.network import guard, names
from wolke.network.lane import Site
from wolke.network.networks.table import Network
from wolke.network.zones.table import Zone, ZoneSegment


def rows(db: Session, ids: Sequence[str], site: Site) -> list[Row]:
    query = select(Network.__table__, ZoneSegment.tag, Zone.name.label("zone"))
    query = query.outerjoin(ZoneSegment, ZoneSegment.network_id == Network.id)
    query = query.outerjoin(Zone, Zone.id == ZoneSegment.zone_id)
    found: list[Row] = []
    for network in db.execute(query.where(Network.id.in_(ids))):
        owner = names.owner("network", network.id)
        guarded, guards = guard.of_switch(network.id, owner, site)
        found += [Row(names.SWITCH, network.id, owner, {"name": network.id, **guarded}), *guards]
        if physical := network.zone or network.physical_network:  # a zone's name is what hosts map to its bridge
            tag = network.tag if network.zone else network.segmentation_id
            columns = {
                "type": "localnet",
                "addresses": frozenset({"unknown"}),
                "options": {"network_name": physical},
                "tag": tag or None,
            }
            switch = frozenset({(names.SWITCH, network.id, "ports")})
            found.append(Row(names.PORT, names.localnet(network.id), owner, columns, switch))
    return found
