"""Which rules of the operator's bind a project's own things.

API:  ``GET /wolke/v1/doorman/effective`` with one of ``port_id``, ``floatingip_id``, ``router_id``, ``subnet_id``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from sqlalchemy import select

from wolke.core import policy
from wolke.core.db import Json, iso
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.network.doorman import places, reader
from wolke.network.doorman.rules import said
from wolke.network.doorman.spans import Network
from wolke.network.doorman.table import DoormanException, DoormanRule
from wolke.network.edge.ways import DIRECT, GATEWAYS, PREFIX, Way, ways
from wolke.network.floating_ips.api import floating_ips
from wolke.network.networks.table import Network as NetworkRow
from wolke.network.owners import INTERFACE
from wolke.network.ports.api import ports
from wolke.network.ports.table import FixedIp, Port
from wolke.network.routers.api import routers
from wolke.network.routers.table import Router
from wolke.network.subnets.api import subnets
from wolke.network.subnets.table import Subnet
from wolke.v1 import refuse_unknown, v1

THINGS: dict[str, Any] = {"port_id": ports, "floatingip_id": floating_ips, "router_id": routers, "subnet_id": subnets}
_read = policy.rule("wolke:get_doorman_effective", policy.reader)


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a thing is seen from outside."""

    via: str
    network_id: str
    address: str
    chosen: bool = False  # by the project itself: others may have the same


@v1.call("GET", "/doorman/effective", rule=_read)
def effective(ctx: Ctx) -> Json:
    """The door's rules for one port, floating IP, router or subnet, where it is seen from outside."""
    refuse_unknown(ctx, tuple(THINGS))
    given = [name for name in THINGS if ctx.query.get(name)]
    if len(given) != 1:
        raise BadRequest(f"Invalid query: give exactly one of {', '.join(THINGS)}")
    [name] = given
    thing = THINGS[name].seen(ctx, ctx.query[name])
    ctx.require(_read, thing)
    return {"effective": shown(ctx, spots(ctx, name, thing))}


def spots(ctx: Ctx, name: str, thing: Any) -> list[Spot]:
    found = ways(ctx.db)
    spots = [spot_of(ctx, way) for way in found if concerns(way, name, thing)]
    if name != "port_id":
        return list(dict.fromkeys(spots))
    behind = set(ctx.db.scalars(ways_out(thing)))
    spots += [spot_of(ctx, way) for way in found if way.kind == GATEWAYS and way.router_id in behind]
    here = select(NetworkRow).where(NetworkRow.id == thing.network_id, places.at_door())
    if places.stands_at(thing.device_owner) and (network := ctx.db.scalar(here)):
        fixed = ctx.db.scalars(select(FixedIp.ip_address).where(FixedIp.port_id == thing.id).order_by(FixedIp.position))
        mine = network.project_id == ctx.caller.project_id
        spots += [Spot(DIRECT, thing.network_id, address, mine) for address in fixed]
    return list(dict.fromkeys(spots))


def spot_of(ctx: Ctx, way: Way) -> Spot:
    chosen = way.kind == PREFIX and not way.published
    if way.kind == DIRECT:
        chosen = ctx.db.get_one(NetworkRow, way.network_id).project_id == ctx.caller.project_id
    return Spot(way.kind, way.network_id, way.prefix, chosen)


def ways_out(port: Any) -> Any:
    """Select of the routers that a port leaves by: its own project's on the network, and whichever is the gateway of a subnet there."""
    query = select(Port.device_id).join(Router, Router.id == Port.device_id).join(FixedIp, FixedIp.port_id == Port.id)
    query = query.join(Subnet, Subnet.id == FixedIp.subnet_id)
    led = (FixedIp.ip_address == Subnet.gateway_ip) | (Router.project_id == port.project_id)
    return query.where(Port.network_id == port.network_id, Port.device_owner == INTERFACE, led)


def concerns(way: Way, name: str, thing: Any) -> bool:
    match name:
        case "port_id":
            return thing.id in way.port_ids
        case "floatingip_id":
            return bool(way.floatingip_id == thing.id)
        case "router_id":
            return bool(way.router_id == thing.id)
    return bool(way.subnet_id == thing.id)


def shown(ctx: Ctx, found: Sequence[Spot]) -> list[Json]:
    door = reader.load(ctx.db)
    rows = {row.id: row for row in ctx.db.execute(select(DoormanRule.__table__))}
    exceptions = ctx.db.execute(select(DoormanException.__table__).order_by(DoormanException.id)).all()
    answer = []
    for spot in found:
        if spot.network_id not in door.networks:
            continue
        net = ip_network(spot.address)
        bound = []
        for rule in door.rules:
            if (rule.networks is None or spot.network_id in rule.networks) and touches(rule.local, net, rule.version):
                freed = {
                    one.id for one in door.exemptions
                    if one.rule_id == rule.id and one.holds_at(spot.network_id) and touches(one.local, net, None)
                }  # fmt: skip
                told = [excused(one) for one in exceptions if one.id in freed and is_shown(ctx, one, spot)]
                bound.append(said(rows[rule.id]) | {"exceptions": told})
        answer.append({"address": spot.address, "via": spot.via, "network_id": spot.network_id, "rules": bound})
    return answer


def is_shown(ctx: Ctx, one: Any, spot: Spot) -> bool:
    """A project is shown its own exceptions, and one for a prefix where an operator gave it an address of that."""
    if one.project_id == ctx.caller.project_id or ctx.allows(_read, policy.Target(None)):
        return True
    return one.scope == "prefix" and not spot.chosen


def touches(prefixes: Iterable[Network] | None, net: Network, version: int | None) -> bool:
    if version not in (None, net.version):
        return False
    return prefixes is None or any(one.version == net.version and one.overlaps(net) for one in prefixes)


def excused(one: Any) -> Json:
    return {
        "id": one.id,
        "reason": one.reason,
        "expires_at": iso(one.expires_at),
        "remote_ip_prefix": one.remote_ip_prefix,
    }
