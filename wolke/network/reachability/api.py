"""Can A reach B, and which rule decides?

API:  ``POST /wolke/v1/reachability``. ``from`` and ``to`` name one thing each: ``port_id``, ``server_id``, ``floatingip_id``, ``address``
or ``internet``. Members ask about what is theirs, operators about everything.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, field
from sqlalchemy import select

from wolke.core import policy
from wolke.core.bodies import UNSET, Body, Text255, UnsetType
from wolke.core.db import Json
from wolke.core.errors import BadRequest, NotFound
from wolke.core.http import Ctx
from wolke.network.addresses import ip_address
from wolke.network.floating_ips.api import floating_ips
from wolke.network.floating_ips.table import FloatingIp
from wolke.network.owners import trusted
from wolke.network.ports.api import ports
from wolke.network.ports.checks import mac_of
from wolke.network.ports.table import FixedIp, Port
from wolke.network.reachability import shown
from wolke.network.reachability.outside import is_private
from wolke.network.reachability.picture import Ip
from wolke.network.reachability.question import A_PORT, End, Question, answered
from wolke.network.reachability.read import Scope, picture
from wolke.network.security_groups.protocols import ICMP, NUMBERS, WITH_PORTS
from wolke.v1 import v1

PortNumber = Annotated[int, Meta(ge=1, le=65535)]
Octet = Annotated[int, Meta(ge=0, le=255)]


# What the API takes --------------------------------------------------------------------------------------------------
class Side(Body):
    """One side. ``address`` beside a port or server says which of its addresses; ``mac_address`` what it sends with."""

    port_id: Text255 | UnsetType = UNSET
    server_id: Text255 | UnsetType = UNSET
    floatingip_id: Text255 | UnsetType = UNSET
    internet: bool | UnsetType = UNSET
    address: Text255 | UnsetType = UNSET
    mac_address: Text255 | UnsetType = UNSET


class Ask(Body):
    source: Side = field(name="from")
    target: Side = field(name="to")
    protocol: str | int
    port: PortNumber | None = None
    source_port: PortNumber | None = None
    icmp_type: Octet | None = None
    icmp_code: Octet | None = None
    ethertype: Literal["IPv4", "IPv6"] | None = None


# What the call does --------------------------------------------------------------------------------------------------
_ask = policy.rule("wolke:get_reachability", policy.reader)


@v1.call("POST", "/reachability", rule=_ask, body=Ask, reads=True)
def reachability(ctx: Ctx, body: Ask) -> Json:
    """Whether one thing reaches another, how, and which rule decides."""
    ctx.require(_ask, policy.Target(ctx.caller.project_id))
    protocol = protocol_of(body)
    source, target = end_of(ctx, body.source, "from"), end_of(ctx, body.target, "to")
    if not any(mine(ctx, end) for end in (source, target)):
        raise BadRequest(
            "Invalid input: 'from' or 'to' must name a port, server, floating IP or address of your project."
        )
    if source.outside and target.outside:
        raise BadRequest("Invalid input for to: 'from' and 'to' are both outside of the cloud.")
    question = Question(
        source, target, protocol, body.port or 0, source_port=body.source_port or A_PORT, icmp_type=body.icmp_type,
        icmp_code=body.icmp_code or 0, version=int(body.ethertype[-1]) if body.ethertype else 0,
    )  # fmt: skip
    seen = picture(ctx.db, scope_of(question))
    viewer = None if ctx.caller.is_admin else ctx.caller.project_id
    return {"reachability": shown.view(answered(seen, question), seen, viewer)}


def protocol_of(body: Ask) -> int:
    """The protocol's number. Raises BadRequest: it is unknown, or ports and types do not go with it."""
    text = str(body.protocol).lower()
    value = int(text) if text.isdecimal() else NUMBERS.get(text, -1)
    if not 0 <= value <= 255:
        raise BadRequest(
            f"Invalid input for protocol: '{body.protocol}' is neither a number from 0 to 255 nor one of {', '.join(sorted(NUMBERS))}."
        )
    if value in WITH_PORTS and body.port is None:
        raise BadRequest(f"Invalid input for port: it is required with protocol {body.protocol}.")
    if value not in WITH_PORTS and (body.port is not None or body.source_port is not None):
        raise BadRequest(
            f"Invalid input for port: protocol {body.protocol} has no ports; use it with tcp, udp or sctp."
        )
    if value not in ICMP and (body.icmp_type is not None or body.icmp_code is not None):
        raise BadRequest("Invalid input for icmp_type: it goes with protocol icmp or icmpv6 only.")
    return value


def end_of(ctx: Ctx, side: Side, name: str) -> End:
    """What a side names, if the caller may see it. Raises BadRequest, NotFound."""
    kinds = ("port_id", "server_id", "floatingip_id", "internet")
    given = [kind for kind in kinds if getattr(side, kind) not in (UNSET, False)]
    if len(given) > 1 or (not given and side.address is UNSET):
        raise BadRequest(f"Invalid input for {name}: give exactly one of {', '.join(kinds)} or address.")
    address = address_in(side.address, f"{name}.address") if isinstance(side.address, str) else None
    mac = mac_of(side.mac_address) if isinstance(side.mac_address, str) else ""
    if mac and (name == "to" or given not in (["port_id"], ["server_id"])):
        raise BadRequest(f"Invalid input for {name}.mac_address: only a port or server that sends has one to choose.")
    match given:
        case ["port_id"]:
            return End((ports.seen(ctx, str(side.port_id)).id,), address=address, mac=mac)
        case ["server_id"]:
            device = Port.device_id == str(side.server_id)
            query = ports.select(ctx).where(device, ~trusted(Port.device_owner)).order_by(Port.created_at)
            if held := tuple(row.id for row in ctx.db.execute(query)):
                return End(held, address=address, mac=mac)
            raise NotFound(f"No port of a server {side.server_id} could be found.")
        case ["floatingip_id"]:
            return End(floating_id=floating_ips.seen(ctx, str(side.floatingip_id)).id)
        case ["internet"]:
            return End(outside=True, address=address)
    assert address
    return sender_at(ctx, address) if name == "from" else End(address=address)


def address_in(text: str, name: str) -> Ip:
    try:
        return ip_address(text)
    except ValueError as error:
        raise BadRequest(f"Invalid input for {name}: '{text}' is not an IP address.") from error


def sender_at(ctx: Ctx, address: Ip) -> End:
    """The port that has an address, or the world outside."""
    here = Port.id.in_(select(FixedIp.port_id).where(FixedIp.ip_address == str(address)))
    found = ctx.db.execute(ports.select(ctx).where(here, ~trusted(Port.device_owner))).all()
    if len(found) > 1:
        raise BadRequest(
            f"Invalid input for from.address: {len(found)} ports have {address}; name one by from.port_id."
        )
    if found:
        return End((found[0].id,), address=address)
    if is_private(address):
        raise BadRequest(
            f"Invalid input for from.address: no port of yours has {address}, and it is no address of the world outside."
        )
    return End(outside=True, address=address)


def mine(ctx: Ctx, end: End) -> bool:
    """Whether the caller may ask about it: what is named by id has been looked up as the caller's."""
    if ctx.caller.is_admin or end.port_ids or end.floating_id:
        return True
    if end.outside or end.address is None:
        return False
    text, project = str(end.address), ctx.caller.project_id
    floating = select(FloatingIp.id).where(FloatingIp.floating_ip_address == text, FloatingIp.project_id == project)
    port = select(Port.id).join(FixedIp, FixedIp.port_id == Port.id)
    port = port.where(FixedIp.ip_address == text, Port.project_id == project)
    return any(ctx.db.execute(query.limit(1)).first() for query in (floating, port))


def scope_of(question: Question) -> Scope:
    ends: tuple[Any, ...] = (question.source, question.target)
    return Scope(
        frozenset(id for end in ends for id in end.port_ids),
        frozenset(end.floating_id for end in ends if end.floating_id),
        frozenset(str(end.address) for end in ends if end.address),
    )
