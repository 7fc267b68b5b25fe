"""Where the door stands: at every network that is not one project's alone.

That is a network that leads outside (``router:external``), one on a physical network or a zone (stretched over one, too), and one that is
shared. Its ports are in one Port_Group; the ports of routers that use it as their *inside* are not, for what leaves a project comes in
there.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from wolke.core.work import wake, wake_all
from wolke.network import hooks
from wolke.network.networks.table import Network
from wolke.network.owners import FLOATING, GATEWAY, HA_INTERFACE, INTERFACE, METADATA
from wolke.network.ports.table import Port
from wolke.network.rbac.table import SHARED, RbacPolicy
from wolke.network.routers.table import Router
from wolke.network.zones.table import ZoneSegment

DOOR = ("door", "policy")  # kind and id of the work item
INSIDE = (INTERFACE, HA_INTERFACE, METADATA, FLOATING)


def outside() -> ColumnElement[bool]:
    """A condition on networks: something that is not the cloud's may stand there. What is stretched over a zone keeps its own type."""
    return Network.external | (Network.physical_network != "") | Network.id.in_(select(ZoneSegment.network_id))


def at_door() -> ColumnElement[bool]:
    """A condition on networks."""
    shared = select(RbacPolicy.object_id).where(RbacPolicy.object_type == "network", RbacPolicy.action == SHARED)
    return outside() | Network.id.in_(shared)


def networks(db: Session) -> list[str]:
    """Ids of all networks that have a door."""
    return list(db.scalars(select(Network.id).where(at_door()).order_by(Network.id)))


def stands_at(device_owner: str) -> bool:
    """Whether a port of this owner, on such a network, has the door before it: gateways and whatever has a guest's card."""
    return device_owner not in INSIDE


def opened(db: Session, network_id: str) -> None:
    """Whom a network is for has changed: its door comes or goes."""
    wake(db, *DOOR)
    wake_all(db, [("port", id) for id in db.scalars(select(Port.id).where(Port.network_id == network_id))])


def gateways_of(project_id: str) -> Any:
    """Select of the ports that are gateways of a project's routers."""
    mine = select(Router.id).where(Router.project_id == project_id)
    return select(Port.id).where(Port.device_owner == GATEWAY, Port.device_id.in_(mine))


def network_goes(db: Session, network_id: str) -> None:
    wake(db, *DOOR)


hooks.network_opened.append(opened)
hooks.network_goes.append(network_goes)
