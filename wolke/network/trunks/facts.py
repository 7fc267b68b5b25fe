"""What others ask of trunks: which ports belong to one, and what a parent port shows of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.core.db import Json
from wolke.network.ports.table import Port
from wolke.network.trunks.errors import PortInUseAsSubPort, PortInUseAsTrunkParent
from wolke.network.trunks.table import Subport, Trunk


def tagged(db: Session, port_ids: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Of those ports that are subports: parent port and VLAN tag."""
    query = select(Subport.port_id, Trunk.port_id.label("parent"), Subport.segmentation_id)
    query = query.join(Trunk, Trunk.id == Subport.trunk_id).where(Subport.port_id.in_(port_ids))
    return {row.port_id: (row.parent, row.segmentation_id) for row in db.execute(query)}


def details(db: Session, port_ids: Sequence[str]) -> dict[str, Json]:
    """Of those ports that are parents: ``trunk_details``, with the subports in the order of their tags."""
    found: dict[str, Json] = {}
    trunks: dict[str, Json] = {}
    for id, port_id in db.execute(select(Trunk.id, Trunk.port_id).where(Trunk.port_id.in_(port_ids))):
        found[port_id] = trunks[id] = {"trunk_id": id, "sub_ports": []}
    if trunks:
        query = select(Subport.__table__, Port.mac_address).join(Port, Port.id == Subport.port_id)
        for row in db.execute(query.where(Subport.trunk_id.in_(trunks)).order_by(Subport.segmentation_id)):
            trunks[row.trunk_id]["sub_ports"].append(shown(row) | {"mac_address": row.mac_address})
    return found


def shown(subport: Any) -> Json:
    return {
        "port_id": subport.port_id,
        "segmentation_type": subport.segmentation_type,
        "segmentation_id": subport.segmentation_id,
    }


def refuse_member(db: Session, port_id: str) -> None:
    """Raises PortInUseAsSubPort, PortInUseAsTrunkParent: the trunk has to let it go first."""
    if trunk := db.scalar(select(Subport.trunk_id).where(Subport.port_id == port_id)):
        raise PortInUseAsSubPort(f"Port {port_id} is currently a subport for trunk {trunk}.")
    if trunk := db.scalar(select(Trunk.id).where(Trunk.port_id == port_id)):
        raise PortInUseAsTrunkParent(f"Port {port_id} is currently a parent port for trunk {trunk}.")
