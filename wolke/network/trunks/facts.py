"""What others ask of trunks: which ports belong to one, and what a parent port shows of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, union
from sqlalchemy.orm import Session, aliased

from wolke.core.db import Json
from wolke.network.ports.table import Port
from wolke.network.trunks.errors import PortInUseAsSubPort, PortInUseAsTrunkParent
from wolke.network.trunks.table import Subport, Trunk


def tagged(db: Session, port_ids: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Of those ports that are subports: parent port and VLAN tag."""
    query = select(Subport.port_id, Trunk.port_id.label("parent"), Subport.segmentation_id)
    query = query.join(Trunk, Trunk.id == Subport.trunk_id).where(Subport.port_id.in_(port_ids))
    return {row.port_id: (row.parent, row.segmentation_id) for row in db.execute(query)}


@dataclass(slots=True)
class Part:
    """What a port is of a trunk."""

    details: Json | None = None  # of a parent: ``trunk_details``, its subports in the order of their tags
    host: str | None = None  # of a subport: where its parent is


def parts(db: Session, port_ids: Sequence[str]) -> dict[str, Part]:
    """Of those ports that belong to trunks, in one statement; a page of many where there are no trunks costs next to nothing."""
    if len(port_ids) > 1 and db.scalar(select(Trunk.id).limit(1)) is None:
        return {}
    parent = aliased(Port)
    columns = (
        Trunk.id, Trunk.port_id.label("parent"), parent.host, Subport.port_id, Subport.segmentation_type,
        Subport.segmentation_id, Port.mac_address,
    )  # fmt: skip
    query = select(*columns).join(parent, parent.id == Trunk.port_id)
    query = query.outerjoin(Subport, Subport.trunk_id == Trunk.id).outerjoin(Port, Port.id == Subport.port_id)
    both = union(query.where(Trunk.port_id.in_(port_ids)), query.where(Subport.port_id.in_(port_ids)))
    found: dict[str, Part] = {}
    asked = set(port_ids)
    for row in sorted(db.execute(both), key=lambda row: row.segmentation_id or 0):
        if row.parent in asked:
            part = found.setdefault(row.parent, Part({"trunk_id": row.id, "sub_ports": []}))
            if row.port_id and part.details:
                part.details["sub_ports"].append(shown(row) | {"mac_address": row.mac_address})
        if row.port_id in asked:
            found[row.port_id] = Part(host=row.host)
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
