"""What follows a change of a label or its rules: its routers get other rows, and what was counted until now is counted for whom it was."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wolke.core.work import wake, wake_all
from wolke.network.floating_ips.table import FloatingIp
from wolke.network.owners import GATEWAY
from wolke.network.ports.table import Port
from wolke.network.routers.table import Router

SAMPLE = ("metering", "sample")  # kind and id of the work item that is there as long as anything is counted


def wake_label(db: Session, label: Any) -> None:
    gateways = select(Port.device_id).where(Port.device_owner == GATEWAY)
    query = select(Router.id).where(Router.id.in_(gateways))
    if not label.shared:
        query = query.where(Router.project_id == label.project_id)
    ids = db.scalars(query).all()
    several = gateways.where(Port.device_id.in_(ids)).group_by(Port.device_id).having(func.count() > 1)
    led = db.scalars(select(FloatingIp.id).where(FloatingIp.router_id.in_(several)))
    wake_all(db, [(Router.__tablename__, id) for id in ids])
    wake_all(db, [(FloatingIp.__tablename__, id) for id in led])
    wake(db, *SAMPLE)
