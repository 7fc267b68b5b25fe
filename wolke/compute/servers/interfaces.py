"""A server's network cards, plugged and pulled while it runs; its addresses.

API: https://docs.openstack.org/api-ref/compute/#port-interfaces-servers-os-interface,
     https://docs.openstack.org/api-ref/compute/#servers-ips-servers-ips
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, UnsetType, field
from sqlalchemy import select

from wolke.compute.servers import cards
from wolke.compute.servers.actions import require_state
from wolke.compute.servers.api import find, require_unlocked
from wolke.compute.servers.bodies import Tag, Uuid, WantedNetwork
from wolke.compute.servers.create import put_cards
from wolke.compute.servers.history import begin
from wolke.compute.servers.metadata import reading
from wolke.compute.servers.table import ServerPort
from wolke.compute.servers.view import addresses
from wolke.compute.service import compute, rule
from wolke.core import policy
from wolke.core.bodies import Body
from wolke.core.db import Json
from wolke.core.errors import BadRequest, NotFound
from wolke.core.http import Ctx
from wolke.core.versions import Since
from wolke.network import facts
from wolke.network.facts import PortFacts

AREA, PATH = "os-attach-interfaces", "/v2.1/servers/{server_id}/os-interface"
LIST, SHOW = rule(AREA, "list", policy.reader), rule(AREA, "show", policy.reader)
CREATE, DELETE = rule(AREA, "create"), rule(AREA, "delete")
IPS, ONE_NETWORK = rule("ips", "index", policy.reader), rule("ips", "show", policy.reader)
PLUGGABLE = ("active", "paused", "stopped")


class Address(Body):
    ip_address: str


class Wanted(Body):
    port_id: Uuid | UnsetType = UNSET
    net_id: Uuid | UnsetType = UNSET
    fixed_ips: list[Address] | UnsetType = UNSET
    tag: Annotated[Tag | UnsetType, Since((2, 49))] = UNSET


class Attach(Body):
    interface: Wanted | UnsetType = field(name="interfaceAttachment", default=UNSET)


def view(ctx: Ctx, port: PortFacts, tag: str | None) -> Json:
    shown = {
        "port_id": port.id, "net_id": port.network_id, "mac_addr": port.mac_address,
        "port_state": "ACTIVE" if port.up else "DOWN",
        "fixed_ips": [{"subnet_id": fixed.subnet_id, "ip_address": fixed.ip_address} for fixed in port.fixed_ips],
    }  # fmt: skip
    return {**shown, "tag": tag} if ctx.version >= (2, 70) else shown


def cards_of(ctx: Ctx, server_id: str) -> list[Json]:
    query = select(ServerPort.port_id, ServerPort.tag).where(ServerPort.server_id == server_id)
    rows = ctx.db.execute(query.order_by(ServerPort.position)).all()
    ports = facts.ports_by_id(ctx.db, [row.port_id for row in rows])
    return [view(ctx, ports[row.port_id], row.tag) for row in rows if row.port_id in ports]


def card_of(ctx: Ctx, server_id: str, port_id: str) -> Json:
    for card in cards_of(ctx, server_id):
        if card["port_id"] == port_id:
            return card
    raise NotFound(f"Port {port_id} is not attached to instance {server_id}")


@compute.call("GET", PATH, rule=LIST)
def index(ctx: Ctx) -> Json:
    """A server's network cards."""
    return {"interfaceAttachments": cards_of(ctx, reading(ctx, LIST).id)}


@compute.call("GET", PATH + "/{port_id}", rule=SHOW)
def show(ctx: Ctx) -> Json:
    """One network card of a server."""
    return {"interfaceAttachment": card_of(ctx, reading(ctx, SHOW).id, ctx.path["port_id"])}


def asked(body: Wanted) -> WantedNetwork | None:
    """The card in the words of a server's create; None for the only network there is."""
    if body.port_id is not UNSET and body.net_id is not UNSET:
        raise BadRequest("Must not input both network_id and port_id")
    fixed = [one.ip_address for one in body.fixed_ips] if body.fixed_ips is not UNSET else []
    if fixed and body.net_id is UNSET:
        raise BadRequest("Must input network_id when request IP address")
    if len(fixed) > 1:
        raise BadRequest("Only one fixed_ip can be asked for an interface.")
    if body.port_id is UNSET and body.net_id is UNSET:
        return None
    return WantedNetwork(uuid=body.net_id, port=body.port_id, tag=body.tag, fixed_ip=fixed[0] if fixed else UNSET)


@compute.call("POST", PATH, rule=CREATE, body=Attach)
def create(ctx: Ctx, whole: Attach) -> Json:
    """Plug a card into a server: a port that is there, or a new one."""
    server = find(ctx, CREATE)
    require_unlocked(ctx, server)
    require_state(server, "attach_interface", PLUGGABLE)
    one = asked(Wanted() if whole.interface is UNSET else whole.interface)
    found = cards.wanted(ctx, [one] if one else "auto")
    if not found:
        raise BadRequest("No network is there to attach an interface to.")
    [port_id] = put_cards(ctx, server, found[:1], None)
    begin(ctx, server, "attach_interface", done=not server.host)
    cards.touch(ctx.db, [server])
    return {"interfaceAttachment": card_of(ctx, server.id, port_id)}


@compute.call("DELETE", PATH + "/{port_id}", rule=DELETE, status=202)
def remove(ctx: Ctx) -> None:
    """Pull a card out of a server."""
    server = find(ctx, DELETE)
    require_unlocked(ctx, server)
    require_state(server, "detach_interface", PLUGGABLE)
    port_id = ctx.path["port_id"]
    if ctx.db.scalar(select(ServerPort.server_id).where(ServerPort.port_id == port_id)) != server.id:
        raise NotFound(f"Port {port_id} is not attached to instance {server.id}")
    cards.drop(ctx.db, server, [port_id])
    begin(ctx, server, "detach_interface", done=not server.host)
    cards.touch(ctx.db, [server])


# Addresses --------------------------------------------------------------------------------------------------------
def short(ctx: Ctx, server_id: str) -> Json:
    ports = facts.ports_of(ctx.db, [server_id]).get(server_id, [])
    return {
        name: [{"version": one["version"], "addr": one["addr"]} for one in shown]
        for name, shown in addresses(ports).items()
    }


@compute.call("GET", "/v2.1/servers/{server_id}/ips", rule=IPS)
def ips(ctx: Ctx) -> Json:
    """A server's addresses."""
    return {"addresses": short(ctx, reading(ctx, IPS).id)}


@compute.call("GET", "/v2.1/servers/{server_id}/ips/{network}", rule=ONE_NETWORK)
def ips_of(ctx: Ctx) -> Json:
    """A server's addresses on one network."""
    found, name = short(ctx, reading(ctx, ONE_NETWORK).id), ctx.path["network"]
    if name not in found:
        raise NotFound("Instance is not a member of specified network")
    return {name: found[name]}
