"""The first segment of each network, and the numbers that segments take."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wolke.network import errors
from wolke.network.networks.table import Network
from wolke.network.segments.table import Segment

OVERLAY = "geneve"
MOST = 2**24 - 1


def free_tunnel(db: Session) -> int:
    """A tunnel number that no segment has: the next after the highest, or the first gap."""
    overlays = Segment.network_type == OVERLAY
    highest = db.scalar(select(func.max(Segment.segmentation_id)).where(overlays)) or 0
    if highest < MOST:
        return highest + 1
    below = select(Segment.segmentation_id + 1).where(overlays).subquery()
    taken = select(Segment.segmentation_id).where(overlays)
    return db.scalar(select(func.min(below.c[0])).where(below.c[0].not_in(taken))) or 1


def refuse_taken(db: Session, number: int) -> None:
    """Raises TunnelIdInUse: another network's segment has the number."""
    here = (Segment.network_type == OVERLAY) & (Segment.segmentation_id == number)
    if number and db.execute(select(Segment.id).where(here)).first():
        raise errors.TunnelIdInUse(f"Unable to create the network. The tunnel ID {number} is in use.")


def add_first(db: Session, network: Any) -> None:
    """The segment that a new network is made with."""
    db.add(
        Segment(
            network_id=network.id, project_id=network.project_id, network_type=network.network_type,
            physical_network=network.physical_network, segmentation_id=network.segmentation_id, is_first=True,
            created_at=network.created_at, updated_at=network.created_at,
        )
    )  # fmt: skip


def bootstrap(db: Session) -> None:
    """First segments of networks that are older than segments."""
    for network in db.execute(select(Network.__table__).where(Network.id.not_in(select(Segment.network_id)))).all():
        add_first(db, network)
