"""What OVN gets of a network: a logical switch, and a ``localnet`` port where it stands on a physical network.

OVN: Logical_Switch, Logical_Switch_Port (ovn-nb(5)).
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.drivers.rows import Row
from wolke.network import names
from wolke.network.lane import Site
from wolke.network.networks.table import Network


def rows(db: Session, ids: Sequence[str], site: Site) -> list[Row]:
    found: list[Row] = []
    for network in db.execute(select(Network.__table__).where(Network.id.in_(ids))):
        owner = names.owner("network", network.id)
        found.append(Row(names.SWITCH, network.id, owner, {"name": network.id}))
        if network.physical_network:
            columns = {
                "type": "localnet",
                "addresses": frozenset({"unknown"}),
                "options": {"network_name": network.physical_network},
                "tag": network.segmentation_id or None,
            }
            switch = frozenset({(names.SWITCH, network.id, "ports")})
            found.append(Row(names.PORT, names.localnet(network.id), owner, columns, switch))
    return found
