"""A server's network cards: ports that are made for it, ports that it is given, and what happens when one goes.

Ports belong to the network domain; all that is asked of it goes through ``wolke.network.facts``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from msgspec import UNSET, UnsetType
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from wolke.compute.hosts_table import bump, bump_all, last_seen
from wolke.compute.servers.bodies import WantedNetwork
from wolke.compute.servers.table import Server, ServerPort
from wolke.core.errors import BadRequest, Conflict
from wolke.core.http import Ctx
from wolke.network import chassis, facts, hooks, rbac
from wolke.network.addresses import ip_address
from wolke.network.security_groups import default_group
from wolke.network.security_groups.table import SecurityGroup

OWNER = "compute:"  # device_owner, with the availability zone behind the colon


@dataclass(frozen=True, slots=True)
class Card:
    """One card of a new server: a port that is there, or a network to make one on."""

    network_id: str = ""
    port_id: str = ""
    fixed_ip: str = ""
    tag: str | None = None


def wanted(ctx: Ctx, asked: Sequence[WantedNetwork] | Literal["auto", "none"] | UnsetType) -> list[Card]:
    """The cards that the body asks for; ``auto`` and nothing at all mean the one network that the project can use.

    Raises
    ------
    BadRequest: malformed, or a network or port that the caller cannot use
    Conflict: more than one network could be meant
    """
    if asked == "none":
        return []
    if asked == "auto" or asked is UNSET or asked == []:
        return _automatic(ctx)
    return [_card(one) for one in asked if isinstance(one, WantedNetwork)]


def _automatic(ctx: Ctx) -> list[Card]:
    """The project's own network, else the shared one; external networks are nobody's by default."""
    usable = [network for network in facts.usable_networks(ctx) if not network.external]
    networks = [one for one in usable if one.project_id == ctx.caller.project_id] or usable  # those shared with it
    if len(networks) > 1:
        raise Conflict(
            "Multiple possible networks found, use a Network ID to be more specific.",
        )
    return [Card(network_id=network.id) for network in networks]


def _card(one: WantedNetwork) -> Card:
    tag = None if one.tag is UNSET else one.tag
    if isinstance(one.port, str):
        if isinstance(one.fixed_ip, str):
            raise BadRequest(
                f"Specified Fixed IP '{one.fixed_ip}' cannot be used with port '{one.port}': the two cannot be specified together."
            )
        return Card(port_id=one.port, tag=tag)
    if not isinstance(one.uuid, str):
        raise BadRequest("Bad networks format: network uuid is not in proper format (None)")
    address = ""
    if isinstance(one.fixed_ip, str):
        try:
            address = str(ip_address(one.fixed_ip))
        except ValueError as error:
            raise BadRequest(f"Invalid fixed IP address ({one.fixed_ip})") from error
    return Card(network_id=one.uuid, fixed_ip=address, tag=tag)


def add(ctx: Ctx, server: Server, cards: Sequence[Card], groups: Sequence[str] | None) -> list[str]:
    """Give a server its cards, in this order after those that it has. The ids of their ports.

    ``groups`` : names or ids of security groups for ports that are made here; None for the project's default one
    """
    last = ctx.db.scalar(select(func.max(ServerPort.position)).where(ServerPort.server_id == server.id))
    first = 0 if last is None else last + 1
    ids = []
    for at, card in enumerate(cards, first):
        owned = not card.port_id
        port_id = _made(ctx, server, card, groups) if owned else _taken(ctx, server, card)
        ctx.db.add(ServerPort(port_id=port_id, server_id=server.id, position=at, owned=owned, tag=card.tag))
        ids.append(port_id)
    ctx.db.flush()
    return ids


def groups_named(ctx: Ctx, names: Sequence[str]) -> list[str]:
    """The ids of security groups of the caller's project, or shared with it, by name or id.

    Raises
    ------
    BadRequest: one is not there. Conflict: a name is borne by several
    """
    found: list[str] = []
    project_id = ctx.caller.project_id
    rows = list(ctx.db.execute(
        select(SecurityGroup.id, SecurityGroup.name).where(
            (SecurityGroup.project_id == project_id) | SecurityGroup.id.in_(rbac.shared_ids("security_group", project_id)),
            SecurityGroup.name.in_(names) | SecurityGroup.id.in_(names),
        )
    ))  # fmt: skip
    for name in dict.fromkeys(names):
        fitting = [row.id for row in rows if name == row.id] or [row.id for row in rows if name == row.name]
        if len(fitting) > 1:
            raise Conflict(f"Multiple security groups found matching '{name}'. Use an ID to be more specific.")
        if not fitting and name == "default":
            fitting = [default_group(ctx, project_id)]
        if not fitting:
            raise BadRequest(f"Security group {name} not found for project {project_id}.")
        found += fitting
    return list(dict.fromkeys(found))


def device_owner(server: Server) -> str:
    return f"{OWNER}{server.availability_zone or 'nova'}"


def _made(ctx: Ctx, server: Server, card: Card, groups: Sequence[str] | None) -> str:
    return facts.create_port(
        ctx,
        project_id=server.project_id,
        network_id=card.network_id,
        device_id=server.id,
        device_owner=device_owner(server),
        host=server.host,
        fixed_ip=card.fixed_ip,
        security_groups=groups,
        dns_name=dns_name(server),
    ).id


def dns_name(server: Server) -> str:
    """The name that the server's ports bear, where it can be one."""
    return server.hostname if len(server.hostname) <= 63 and "." not in server.hostname else ""


def _taken(ctx: Ctx, server: Server, card: Card) -> str:
    if ctx.db.get(ServerPort, card.port_id):
        raise Conflict(f"Port {card.port_id} is still in use.")
    facts.take_port(
        ctx,
        card.port_id,
        device_id=server.id,
        device_owner=device_owner(server),
        host=server.host,
        dns_name=dns_name(server),
    )
    return card.port_id


def drop(db: Session, server: Server, port_ids: Sequence[str] | None = None) -> None:
    """Take cards from a server, all of them unless some are named: ports made for it go, others are free again."""
    query = select(ServerPort.port_id, ServerPort.owned).where(ServerPort.server_id == server.id)
    if port_ids is not None:
        query = query.where(ServerPort.port_id.in_(port_ids))
    owned = {row.port_id: row.owned for row in db.execute(query)}
    db.execute(delete(ServerPort).where(ServerPort.port_id.in_(owned)))
    facts.release(db, owned, dict.fromkeys(owned, server.hostname))


# What the network tells us ----------------------------------------------------------------------------------------
def servers_with(db: Session, port_ids: Sequence[str]) -> list[Any]:
    """Rows (id, host) of the servers that these ports are cards of."""
    having = select(ServerPort.server_id).where(ServerPort.port_id.in_(port_ids))
    return list(db.execute(select(Server.id, Server.host).where(Server.id.in_(having))))


def changed(db: Session, port_ids: Sequence[str]) -> None:
    """Another address, MAC or MTU: the guest's metadata and perhaps its card are to change."""
    touch(db, servers_with(db, port_ids))


def gone(db: Session, port_ids: Sequence[str]) -> None:
    """A port was deleted while a server had it: the card is pulled out."""
    servers = servers_with(db, port_ids)
    db.execute(delete(ServerPort).where(ServerPort.port_id.in_(port_ids)))
    touch(db, servers)


def touch(db: Session, servers: Sequence[Any]) -> None:
    """Have their hosts look at these servers again."""
    if servers:
        db.execute(update(Server).where(Server.id.in_([s.id for s in servers])).values(revision=Server.revision + 1))
        for host in sorted({server.host for server in servers} - {""}):
            bump(db, host)


def listen() -> None:
    """Have the network tell us; once per process."""
    for hooked, listener in ((hooks.port_goes, gone), (hooks.port_changed, changed)):
        if listener not in hooked:
            hooked.append(listener)
    if last_seen not in chassis.heard:
        chassis.heard.append(last_seen)
    if bump_all not in hooks.hosts_change:
        hooks.hosts_change.append(bump_all)
