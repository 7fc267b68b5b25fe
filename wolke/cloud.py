"""The control plane, put together: every domain's services, parts and lanes on one app."""

from __future__ import annotations

from types import ModuleType

from starlette.applications import Starlette

from wolke import audit, compute, identity, image, network
from wolke.core.app import App
from wolke.core.http import Service
from wolke.core.server import asgi
from wolke.core.work import Lane
from wolke.identity.catalogue import Offer, Offers
from wolke.v1 import v1

DOMAINS: tuple[ModuleType, ...] = (audit, identity, image, network, compute)


def services() -> list[Service]:
    return [*(service for domain in DOMAINS for service in domain.SERVICES), v1]


def assemble(app: App) -> App:
    app.add(Offers, Offers(Offer(one.type, one.name, one.prefix + one.endpoint) for one in services()))
    for domain in DOMAINS:
        domain.assemble(app)
    return app


def web(app: App) -> Starlette:
    """The public origin as an ASGI app."""
    routes = [route for domain in DOMAINS for route in getattr(domain, "ROUTES", ())]
    return asgi(app, services(), routes)


def lanes(app: App) -> list[Lane]:
    return [lane for domain in DOMAINS for lane in domain.lanes(app)]


def bootstrap(app: App) -> None:
    """Fill an empty cloud: the first domain, project, user, catalogue, flavors. Safe to repeat."""
    with app.database.transaction() as db:
        for domain in DOMAINS:
            domain.bootstrap(app, db)
