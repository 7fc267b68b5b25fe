"""Compute v2.1: servers, the hosts that run them, and what lies between."""

from __future__ import annotations

from sqlalchemy.orm import Session

from wolke.compute import (
    extensions,
    flavor_extra_specs,
    flavors,
    keypairs,
    quotas,
    security_groups,
    server_groups,
    usage,
    versions,
    zones,
)
from wolke.compute.hosts import aggregates, console, hypervisors, membership, scheduler, services
from wolke.compute.hosts.line import EveryHost, Line
from wolke.compute.servers import (
    actions,
    api,
    cards,
    consoles,
    create,
    history,
    interfaces,
    metadata,
    password,
    past,
    tags,
)
from wolke.compute.servers import security_groups as server_security_groups
from wolke.compute.service import compute
from wolke.core.app import App
from wolke.core.http import Service
from wolke.core.work import Lane
from wolke.network.edge.witness import Witness

CALLS = (  # their calls are declared by import
    versions, extensions, flavors, flavor_extra_specs, keypairs, server_groups, quotas, usage, zones, security_groups,
    api, create, history, consoles, metadata, tags, interfaces, password, server_security_groups,
    services, hypervisors, aggregates, membership,
)  # fmt: skip
actions.declare()
SERVICES: list[Service] = [compute]
ROUTES = console.ROUTES


def assemble(app: App) -> None:
    """Add what this domain brings to the app: parts that handlers find by their face."""
    app.add(Line, Line(app))
    app.add(Witness, EveryHost(app))  # type: ignore[type-abstract]
    cards.listen()


def lanes(app: App) -> list[Lane]:
    """The work that ``wolke loops`` does for this domain."""
    return [scheduler.lane(app), past.lane(app)]


def bootstrap(app: App, db: Session) -> None:
    """The rows that a new cloud starts with; run again, it changes nothing that is there."""
    flavors.bootstrap(db, app.clock())
    past.bootstrap(db)
