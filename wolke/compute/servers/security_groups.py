"""Which security groups a server's ports are in.

API: https://docs.openstack.org/api-ref/compute/#servers-security-groups-servers-os-security-groups
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import delete, select

from wolke.compute.hosts_table import bump
from wolke.compute.security_groups import shown
from wolke.compute.servers import cards
from wolke.compute.servers.actions import action
from wolke.compute.servers.metadata import reading
from wolke.compute.servers.table import Server
from wolke.compute.service import compute, rule
from wolke.core import policy
from wolke.core.bodies import Body
from wolke.core.db import Json
from wolke.core.errors import BadRequest, NotFound
from wolke.core.http import Ctx
from wolke.network import hooks
from wolke.network.ports.table import Port, PortSecurityGroup
from wolke.network.security_groups import refuse_mixed
from wolke.network.security_groups.table import SecurityGroup

AREA = "os-security-groups"
LIST, ADD, REMOVE = rule(AREA, "list", policy.reader), rule(AREA, "add"), rule(AREA, "remove")


class Named(Body):
    name: Annotated[str, Meta(min_length=1, max_length=255)]


@compute.call("GET", "/v2.1/servers/{server_id}/os-security-groups", rule=LIST)
def index(ctx: Ctx) -> Json:
    """The security groups of a server's ports."""
    server = reading(ctx, LIST)
    mine = select(PortSecurityGroup.group_id).join(Port, Port.id == PortSecurityGroup.port_id)
    query = select(SecurityGroup.__table__).where(SecurityGroup.id.in_(mine.where(Port.device_id == server.id)))
    return {"security_groups": shown(ctx, ctx.db.execute(query.order_by(SecurityGroup.name)).all())}


def group_named(ctx: Ctx, name: str) -> str:
    """The id of the group. Here, as in Nova, one that is not there is a 404."""
    try:
        return cards.groups_named(ctx, [name])[0]
    except BadRequest as error:
        raise NotFound(str(error)) from error


def protected(ctx: Ctx, server: Server) -> Sequence[Port]:
    """The server's ports that may be in groups."""
    query = select(Port).where(Port.device_id == server.id, Port.port_security_enabled)
    return ctx.db.scalars(query.with_for_update()).all()


def touched(ctx: Ctx, server: Server, ports: Sequence[Any]) -> None:
    for port in ports:
        port.revision, port.updated_at = port.revision + 1, ctx.now
        ctx.wake("port", port.id)
    hooks.tell(hooks.port_changed, ctx.db, [port.id for port in ports])
    bump(ctx.db, server.host)


def memberships(ctx: Ctx, ports: Sequence[Port], group: str) -> set[str]:
    """Those of the ports that are in the group."""
    inside = select(PortSecurityGroup.port_id).where(PortSecurityGroup.group_id == group)
    return set(ctx.db.scalars(inside.where(PortSecurityGroup.port_id.in_([port.id for port in ports]))))


@action("addSecurityGroup", ADD, body=Named)
def add(ctx: Ctx, server: Server, body: Named) -> None:
    """Put a server's ports into a security group."""
    group, ports = group_named(ctx, body.name), protected(ctx, server)
    inside = memberships(ctx, ports, group)
    ctx.db.add_all(PortSecurityGroup(port_id=port.id, group_id=group) for port in ports if port.id not in inside)
    ctx.db.flush()
    refuse_mixed(ctx.db, [port.id for port in ports])
    touched(ctx, server, ports)


@action("removeSecurityGroup", REMOVE, body=Named)
def remove(ctx: Ctx, server: Server, body: Named) -> None:
    """Take a server's ports out of a security group."""
    group, ports = group_named(ctx, body.name), protected(ctx, server)
    inside = memberships(ctx, ports, group)
    if not inside:
        raise NotFound(f"Security group {body.name} not associated with the instance {server.id}")
    mine = PortSecurityGroup.port_id.in_(inside) & (PortSecurityGroup.group_id == group)
    ctx.db.execute(delete(PortSecurityGroup).where(mine))
    touched(ctx, server, ports)
