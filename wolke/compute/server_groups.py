"""Server groups: servers that are to share a host, or never to.

API: https://docs.openstack.org/api-ref/compute/#server-groups-os-server-groups
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from wolke.compute.servers.table import Server
from wolke.compute.service import Collection, rule, whole
from wolke.core import policy, quota
from wolke.core.bodies import Body
from wolke.core.db import Json, Resource
from wolke.core.errors import BadRequest, OverQuota
from wolke.core.http import Answer, Ctx
from wolke.core.versions import Since


# What we keep -----------------------------------------------------------------------------------------------------
class ServerGroup(Resource):
    __tablename__ = "server_group"

    user_id: Mapped[str] = mapped_column(default="")
    policy: Mapped[str]
    max_server_per_host: Mapped[int] = mapped_column(default=0)  # of an anti-affinity group; 0: not given, so 1


quota.quota("compute", "server_groups", 10, quota.rows_of(ServerGroup))
quota.quota("compute", "server_group_members", 10, quota.each_alone)  # counted in ``group_for``


# What the API takes and gives -------------------------------------------------------------------------------------
Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^(?!\s)[^\x00-\x1f\x7f]*(?<!\s)$")]
Policy = Literal["affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"]


class GroupRules(Body):
    max_server_per_host: Annotated[int, Meta(ge=1)] | UnsetType = UNSET


class Create(Body, kw_only=True):
    name: Name
    policies: Annotated[list[Policy] | UnsetType, Since((2, 1), (2, 63))] = UNSET
    policy: Annotated[Policy | UnsetType, Since((2, 64))] = UNSET
    rules: Annotated[GroupRules | UnsetType, Since((2, 64))] = UNSET


def views(ctx: Ctx, groups: Sequence[Any]) -> list[Json]:
    members: dict[str, list[str]] = {}
    ours = select(Server.group_id, Server.id).where(Server.group_id.in_([group.id for group in groups]))
    for group_id, server_id in ctx.db.execute(ours.where(Server.deleting.is_(False)).order_by(Server.created_at)):
        members.setdefault(group_id, []).append(server_id)
    return [view(ctx, group, members.get(group.id, [])) for group in groups]


def view(ctx: Ctx, group: Any, members: list[str]) -> Json:
    shown: Json = {"id": group.id, "name": group.name, "members": members}
    if ctx.version >= (2, 64):
        rules = {"max_server_per_host": group.max_server_per_host} if group.max_server_per_host else {}
        shown |= {"policy": group.policy, "rules": rules}
    else:
        shown |= {"policies": [group.policy], "metadata": {}}
    if ctx.version >= (2, 13):
        shown |= {"project_id": group.project_id, "user_id": group.user_id}
    return shown


# What the calls do ------------------------------------------------------------------------------------------------
class ServerGroups(Collection[ServerGroup]):
    """Nova pages this list by ``offset``, and shows other projects' only with ``all_projects``."""

    reserved = Collection.reserved | {"offset", "all_projects"}

    def list(self, ctx: Ctx) -> Answer:
        query = self.select(ctx)
        everybody = "all_projects" in ctx.query and ctx.allows(ALL_PROJECTS, policy.Target(None))
        if not everybody:
            query = query.where(ServerGroup.project_id == ctx.caller.project_id)
        limit, offset = (whole(ctx, name) for name in ("limit", "offset"))
        query = query.order_by(ServerGroup.created_at, ServerGroup.id).offset(offset)
        rows = ctx.db.execute(query.limit(min(limit or self.max_limit, self.max_limit))).all()
        return Answer({self.plural: self.views(ctx, rows)})


server_groups = ServerGroups(
    "/v2.1/os-server-groups", "server_group", "server_groups", ServerGroup, area="os-server-groups", views=views,
    quota="server_groups", wakes="",
)  # fmt: skip
ALL_PROJECTS = rule("os-server-groups", "index:all_projects", policy.admin)


@server_groups.make_with(Create)
def create(ctx: Ctx, body: Create) -> ServerGroup:
    new = ctx.version >= (2, 64)
    asked = [body.policy] if new else body.policies
    if asked is UNSET or asked == [UNSET]:
        raise BadRequest(f"Invalid input: '{'policy' if new else 'policies'}' is a required property")
    if len(asked) != 1:
        raise BadRequest("Invalid input for server_group.policies: exactly one policy is required")
    chosen = str(asked[0])
    if chosen.startswith("soft-") and ctx.version < (2, 15):
        raise BadRequest(f"Invalid input for server_group.policies: '{chosen}' is not one of affinity, anti-affinity")
    most = 0
    if body.rules is not UNSET and body.rules.max_server_per_host is not UNSET:
        if chosen != "anti-affinity":
            raise BadRequest("Only anti-affinity policy supports rules.")
        most = body.rules.max_server_per_host
    return ServerGroup(name=body.name, user_id=ctx.caller.user_id, policy=chosen, max_server_per_host=most)


@server_groups.delete
def delete(ctx: Ctx, group: ServerGroup) -> None:
    """Its servers stay where they are."""


# For servers ------------------------------------------------------------------------------------------------------
def group_for(ctx: Ctx, id: str, members: int) -> ServerGroup:
    """The group that new servers are to join.

    Raises
    ------
    BadRequest: no such group in the caller's project
    OverQuota: it would have too many members
    """
    group = ctx.db.get(ServerGroup, id, with_for_update=True)
    if group is None or group.project_id != ctx.caller.project_id:
        raise BadRequest(f"Instance group {id} could not be found.")
    limit = quota.limits(ctx.db, "compute", group.project_id)["server_group_members"]
    inside = (Server.group_id == id) & Server.deleting.is_(False)
    used = ctx.db.scalar(select(func.count()).select_from(Server).where(inside)) or 0
    if 0 <= limit < used + members:
        raise OverQuota("server_group_members", limit=limit, used=used, requested=members)
    return group


def groups_of(db: Session, servers: Sequence[Any]) -> dict[str, list[str]]:
    """Server id -> the groups it is in that still exist: one at most."""
    named = {server.group_id for server in servers if server.group_id}
    alive = set(db.scalars(select(ServerGroup.id).where(ServerGroup.id.in_(named)))) if named else set()
    return {server.id: [server.group_id] for server in servers if server.group_id in alive}
