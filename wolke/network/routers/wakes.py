"""What is to be looked at again when a router's legs or flags have changed: its own rows, and what leads in by it."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.core.work import wake_all
from wolke.network.floating_ips.table import FloatingIp, PortForwarding
from wolke.network.ndp_proxies.table import NdpProxy
from wolke.network.routers.table import Router


def rewake(db: Session, router_id: str) -> None:
    led = db.scalars(select(FloatingIp.id).where(FloatingIp.router_id == router_id)).all()
    forwarding = db.scalars(select(PortForwarding.id).where(PortForwarding.floating_ip_id.in_(led)))
    proxies = db.scalars(select(NdpProxy.id).where(NdpProxy.router_id == router_id))
    items = [(Router.__tablename__, router_id), *((FloatingIp.__tablename__, id) for id in led)]
    items += [(NdpProxy.__tablename__, id) for id in proxies]
    wake_all(db, [*items, *((PortForwarding.__tablename__, id) for id in forwarding)])
