"""A router's extra routes: several next hops of one destination share its traffic.

API:  https://docs.openstack.org/api-ref/network/v2/#update-router
"""

from __future__ import annotations

from typing import Any

from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.network.addresses import ip_address, ip_network
from wolke.network.routers import interfaces
from wolke.network.routers.bodies import Route
from wolke.network.routers.errors import InvalidRoutes
from wolke.network.routers.table import Router

MOST_ROUTES = 30


def plain(routes: list[Route] | Any) -> list[dict[str, str]]:
    return [{"destination": one.destination, "nexthop": one.nexthop} for one in routes or []]


def set_routes(ctx: Ctx, router: Router, wanted: list[dict[str, str]]) -> None:
    """Give the router exactly these routes.

    Raises
    ------
    InvalidRoutes: too many, or a next hop that is none of the router's neighbours; BadRequest: no addresses, or one route twice
    """
    if len(wanted) > MOST_ROUTES:
        raise InvalidRoutes(
            f"Unable to complete operation for {router.id}. The number of routes exceeds the maximum {MOST_ROUTES}."
        )
    legs = interfaces.legs(ctx, router.id)
    seen = set()
    for one in wanted:
        try:
            destination, nexthop = ip_network(one["destination"]), ip_address(one["nexthop"])
        except ValueError as error:
            raise BadRequest(f"Invalid input for routes. Reason: {error}.") from error
        if destination.version != nexthop.version:
            raise InvalidRoutes(
                f"Invalid format for routes: {one}, destination and nexthop are of different IP versions"
            )
        if (destination, nexthop) in seen:
            raise BadRequest(f"Invalid input for routes. Reason: Duplicate hostroute '{one}'.")
        seen.add((destination, nexthop))
        if not any(nexthop in ip_network(subnet.cidr) for _, subnet, _ in legs):
            raise InvalidRoutes(f"Invalid format for routes: {one}, the nexthop is not connected with router")
        if any(nexthop == ip_address(address) for _, _, address in legs):
            raise InvalidRoutes(f"Invalid format for routes: {one}, the nexthop is used by router")
    router.routes = wanted
