"""Network v2.0: the API of networks, ports, routers, floating IPs and security groups, and their rows in OVN."""

from __future__ import annotations

from sqlalchemy.orm import Session

from wolke.core.app import App
from wolke.core.http import Service
from wolke.core.work import Lane, wake
from wolke.drivers.rows import Northbound
from wolke.network import agents, availability, extensions, quotas, subnetpools, tags
from wolke.network.chassis import ChassisWatch, Hosts
from wolke.network.doorman import exceptions as doorman_exceptions
from wolke.network.doorman import rows as doorman_rows
from wolke.network.doorman import rules as doorman_rules
from wolke.network.floating_ips import api as floating_ips
from wolke.network.floating_ips import rows as floating_ip_rows
from wolke.network.lane import SWEEP, northbound_lanes
from wolke.network.networks import api as networks
from wolke.network.ports import api as ports
from wolke.network.rbac import api as rbac_policies
from wolke.network.routers import api as routers
from wolke.network.routers import rows as router_rows
from wolke.network.security_groups import groups
from wolke.network.security_groups import rows as security_group_rows
from wolke.network.service import network, taggable
from wolke.network.status import PortStatus
from wolke.network.subnets import api as subnets

# Declared by import: calls, and rows of OVN
CALLS = (networks, subnets, subnetpools, groups, ports, routers, floating_ips, availability, extensions, agents)
ROWS = (security_group_rows, router_rows, floating_ip_rows)
DOORMAN = (doorman_rules, doorman_exceptions, doorman_rows)
for collection in taggable.values():
    tags.declare(collection)
quotas.declare()
SERVICES: list[Service] = [network]


def assemble(app: App) -> None:
    """Nothing to add: the connections to OVN come from whoever runs the loops."""


def lanes(app: App) -> list[Lane]:
    """The work that ``wolke loops`` does for this domain."""
    north = app.part(Northbound)  # type: ignore[type-abstract]
    hosts = app.part(Hosts)  # type: ignore[type-abstract]
    return [
        *northbound_lanes(app.database, north, app.config),
        PortStatus(north),
        doorman_exceptions.Expiry(app.database),
        ChassisWatch(hosts, app.config.host_timeout_seconds),
    ]


def bootstrap(app: App, db: Session) -> None:
    """The rows that a new cloud starts with; run again, it changes nothing that is there."""
    wake(db, *SWEEP)
    wake(db, *security_group_rows.DROP_ITEM)
    doorman_rules.bootstrap(db)
    rbac_policies.bootstrap(db)
