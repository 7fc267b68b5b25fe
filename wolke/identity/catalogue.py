"""The catalogue: regions, services and endpoints, and what a token shows of them.

API: https://docs.openstack.org/api-ref/identity/v3/#service-catalog-and-endpoints
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.core.db import Json
from wolke.identity.table import EndpointRow, ServiceRow

INTERFACES = ("public", "internal", "admin")


@dataclass(frozen=True, slots=True)
class Offer:
    """One service of this cloud as the catalogue is to list it; ``path``: below the public origin."""

    type: str
    name: str
    path: str


class Offers(tuple[Offer, ...]):
    """All services of this cloud: the part that ``wolke.cloud`` adds to the app."""


def shown(db: Session, project_id: str, user_id: str) -> list[Json]:
    """The ``catalog`` of a token: enabled services with their enabled endpoints, URLs filled in."""
    endpoints: dict[str, list[Json]] = {}
    every = select(EndpointRow.__table__).where(EndpointRow.enabled.is_(True)).order_by(EndpointRow.id)
    for row in db.execute(every):
        url = filled(row.url, project_id, user_id)
        if url is None:
            continue
        endpoints.setdefault(row.service_id, []).append(
            {
                "id": row.id, "interface": row.interface, "region": row.region_id or None,
                "region_id": row.region_id or None, "url": url,
            }
        )  # fmt: skip
    services = db.execute(
        select(ServiceRow.__table__).where(ServiceRow.enabled.is_(True)).order_by(ServiceRow.type, ServiceRow.id)
    )
    return [
        {"id": row.id, "type": row.type, "name": row.name or "", "endpoints": endpoints.get(row.id, [])}
        for row in services
    ]


def filled(url: str, project_id: str, user_id: str) -> str | None:
    """A URL with its blanks filled; None when it needs a project and there is none.

    >>> filled("http://a/%(project_id)s", "p", "u"), filled("http://a/$(tenant_id)s", "", "u")
    ('http://a/p', None)
    """
    for name, value in (("project_id", project_id), ("tenant_id", project_id), ("user_id", user_id)):
        for blank in (f"$({name})s", f"%({name})s"):
            if blank in url:
                if not value:
                    return None
                url = url.replace(blank, value)
    return url


def publish(db: Session, offers: Sequence[Offer], origin: str, region_id: str) -> None:
    """Make the catalogue list what this cloud offers, at its present origin; rows that others added stay."""
    for offer in offers:
        service = db.scalars(select(ServiceRow).where(ServiceRow.type == offer.type)).first()
        if service is None:
            service = ServiceRow(type=offer.type, name=offer.name)
            db.add(service)
            db.flush()
        ours = select(EndpointRow).where(EndpointRow.service_id == service.id, EndpointRow.region_id == region_id)
        known = {endpoint.interface: endpoint for endpoint in db.scalars(ours)}
        for interface in INTERFACES:
            url = f"{origin}{offer.path}"
            if interface not in known:
                db.add(EndpointRow(service_id=service.id, region_id=region_id, interface=interface, url=url))
            elif known[interface].url != url:
                known[interface].url = url
    db.flush()
