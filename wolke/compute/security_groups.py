"""The network's security groups in the words of older compute clients, up to microversion 2.35.

API: https://docs.openstack.org/api-ref/compute/#security-groups-os-security-groups-deprecated
Everything is done by the network domain's own functions; only ids, names and shapes differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_network
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select

from wolke.compute.servers.bodies import Uuid
from wolke.compute.service import compute, rule
from wolke.core import policy
from wolke.core.bodies import Body
from wolke.core.db import Json
from wolke.core.errors import BadRequest, Conflict, NotFound
from wolke.core.http import Ctx
from wolke.network.security_groups import groups, rules
from wolke.network.security_groups.defaults import existing
from wolke.network.security_groups.groups import security_groups
from wolke.network.security_groups.rules import security_group_rules
from wolke.network.security_groups.table import SecurityGroup, SecurityGroupRule
from wolke.network.service import network

AREA, PATH, RULES, LAST = "os-security-groups", "/v2.1/os-security-groups", "/v2.1/os-security-group-rules", (2, 35)
GET, SHOW = rule(AREA, "get", policy.reader), rule(AREA, "show", policy.reader)
CREATE, UPDATE, DELETE = (rule(AREA, name) for name in ("create", "update", "delete"))
ADD_RULE, DELETE_RULE = rule(AREA, "rule:create"), rule(AREA, "rule:delete")
Text = Annotated[str, Meta(min_length=1, max_length=255)]


# What the API takes and gives -------------------------------------------------------------------------------------
class Group(Body):
    name: Text
    description: Annotated[str, Meta(max_length=255)] | UnsetType | None = UNSET


class OneGroup(Body):
    security_group: Group


class Rule(Body):
    parent_group_id: Uuid
    ip_protocol: str | None = None
    from_port: int | None = None
    to_port: int | None = None
    cidr: str | None = None
    group_id: str | None = None


class OneRule(Body):
    security_group_rule: Rule


def shown(ctx: Ctx, found: Sequence[Any]) -> list[Json]:
    """Groups with their rules: Nova knew only rules for what comes in."""
    held: dict[str, list[Json]] = {group.id: [] for group in found}
    query = select(SecurityGroupRule.__table__).where(
        SecurityGroupRule.security_group_id.in_(held), SecurityGroupRule.direction == "ingress"
    )
    rows = ctx.db.execute(query.order_by(SecurityGroupRule.created_at, SecurityGroupRule.id)).all()
    remote = {row.remote_group_id for row in rows if row.remote_group_id}
    owners = {}
    if remote:
        columns = select(SecurityGroup.id, SecurityGroup.name, SecurityGroup.project_id)
        owners = {row.id: row for row in ctx.db.execute(columns.where(SecurityGroup.id.in_(remote)))}
    for row in rows:
        held[row.security_group_id].append(rule_view(row, owners.get(row.remote_group_id)))
    return [
        {
            "id": group.id, "name": group.name, "description": group.description or "", "tenant_id": group.project_id,
            "rules": held[group.id],
        }
        for group in found
    ]  # fmt: skip


def rule_view(row: Any, remote: Any) -> Json:
    anywhere = "::/0" if row.ethertype == "IPv6" else "0.0.0.0/0"
    return {
        "id": row.id, "parent_group_id": row.security_group_id, "ip_protocol": row.protocol,
        "from_port": -1 if row.protocol and row.port_range_min is None else row.port_range_min,
        "to_port": -1 if row.protocol and row.port_range_max is None else row.port_range_max,
        "group": {"name": remote.name, "tenant_id": remote.project_id} if remote else {},
        "ip_range": {} if row.remote_group_id else {"cidr": row.remote_ip_prefix or anywhere},
    }  # fmt: skip


# What the calls do ------------------------------------------------------------------------------------------------
def inside(ctx: Ctx) -> Ctx:
    """The same call as the network sees it: its quotas are counted there."""
    return replace(ctx, service=network)


def mine(ctx: Ctx, asked: str) -> None:
    ctx.require(asked, policy.Target(ctx.caller.project_id))


def written(ctx: Ctx, thing: Any) -> None:
    ctx.about(thing)
    ctx.wake(SecurityGroup.__tablename__, thing.id)


@compute.call("GET", PATH, rule=GET, until=LAST)
def index(ctx: Ctx) -> Json:
    """List the project's security groups."""
    mine(ctx, GET)
    query = security_groups.select(inside(ctx)).where(SecurityGroup.project_id == ctx.caller.project_id)
    rows = ctx.db.execute(query.order_by(SecurityGroup.name, SecurityGroup.id)).all()
    return {"security_groups": shown(ctx, rows)}


@compute.call("POST", PATH, rule=CREATE, body=OneGroup, until=LAST)
def create(ctx: Ctx, whole: OneGroup) -> Json:
    """Create a security group."""
    mine(ctx, CREATE)
    body = whole.security_group
    wanted = groups.Create(name=body.name, description=str(body.description or ""))
    try:
        group = security_groups.make(inside(ctx), groups.create, wanted, "create_security_group")
    except groups.SecurityGroupDefaultAlreadyExists as error:
        raise BadRequest(str(error)) from error
    written(ctx, group)
    return {"security_group": shown(ctx, [group])[0]}


@compute.call("GET", PATH + "/{group_id}", rule=SHOW, until=LAST)
def show(ctx: Ctx) -> Json:
    """Show one security group."""
    mine(ctx, SHOW)
    return {"security_group": shown(ctx, [security_groups.seen(inside(ctx), ctx.path["group_id"])])[0]}


@compute.call("PUT", PATH + "/{group_id}", rule=UPDATE, body=OneGroup, until=LAST)
def update(ctx: Ctx, whole: OneGroup) -> Json:
    """Change a security group's name and description."""
    mine(ctx, UPDATE)
    network_ctx = inside(ctx)
    group = security_groups.find(network_ctx, ctx.path["group_id"], "update_security_group")
    body = whole.security_group
    try:
        groups.update(network_ctx, group, groups.Update(name=body.name, description=str(body.description or "")))
    except Conflict as error:
        raise BadRequest(str(error)) from error
    written(ctx, group)
    ctx.db.flush()
    return {"security_group": shown(ctx, [group])[0]}


@compute.call("DELETE", PATH + "/{group_id}", rule=DELETE, status=202, until=LAST)
def remove(ctx: Ctx) -> None:
    """Delete a security group."""
    mine(ctx, DELETE)
    group = security_groups.find(inside(ctx), ctx.path["group_id"], "delete_security_group")
    if existing(ctx.db, group.project_id) == group.id:
        raise BadRequest("Unable to delete system group 'default'")
    try:
        groups.remove(inside(ctx), group)
    except Conflict as error:
        raise BadRequest(str(error)) from error
    written(ctx, group)
    ctx.db.delete(group)


@compute.call("POST", RULES, rule=ADD_RULE, body=OneRule, until=LAST)
def add_rule(ctx: Ctx, whole: OneRule) -> Json:
    """Let something in: a rule of a security group."""
    mine(ctx, ADD_RULE)
    body = whole.security_group_rule
    ports = [None if port in (-1, None) else port for port in (body.from_port, body.to_port)]
    wanted = rules.Create(
        security_group_id=body.parent_group_id, direction="ingress", ethertype=family(body.cidr),
        protocol=body.ip_protocol, port_range_min=ports[0], port_range_max=ports[1],
        remote_ip_prefix=None if body.group_id else body.cidr, remote_group_id=body.group_id,
    )  # fmt: skip
    try:
        made = security_group_rules.make(inside(ctx), rules.create, wanted, "create_security_group_rule")
    except Conflict as error:
        raise BadRequest(str(error)) from error
    ctx.about(made, after=security_group_rules.views(inside(ctx), [made])[0])
    remote = ctx.db.get(SecurityGroup, made.remote_group_id) if made.remote_group_id else None
    return {"security_group_rule": rule_view(made, remote)}


def family(cidr: str | None) -> str:
    try:
        return f"IPv{ip_network(cidr or '0.0.0.0/0', strict=False).version}"
    except ValueError as error:
        raise BadRequest(f"Invalid cidr {cidr}.") from error


@compute.call("DELETE", RULES + "/{rule_id}", rule=DELETE_RULE, status=202, until=LAST)
def remove_rule(ctx: Ctx) -> None:
    """Let something in no more."""
    mine(ctx, DELETE_RULE)
    found = security_group_rules.find(inside(ctx), ctx.path["rule_id"], "delete_security_group_rule")
    if found.direction != "ingress":
        raise NotFound(f"Rule ({found.id}) not found")
    ctx.about(found, before=security_group_rules.views(inside(ctx), [found])[0])
    rules.remove(inside(ctx), found)
    ctx.db.delete(found)
