"""Logs.

API:  https://docs.openstack.org/api-ref/network/v2/#logging
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import UNSET, UnsetType
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from wolke.core import policy
from wolke.core.bodies import Text255, take_over
from wolke.core.collection import Rules
from wolke.core.db import Json
from wolke.core.errors import BadRequest, NotFound
from wolke.core.http import Ctx
from wolke.core.quota import quota, rows_of
from wolke.core.work import wake_all
from wolke.network import hooks
from wolke.network.logs.table import NetworkLog
from wolke.network.ports.table import Port, PortSecurityGroup
from wolke.network.security_groups.table import SecurityGroup
from wolke.network.service import Collection, CreateBody, UpdateBody, network, standard

quota("network", "log", 100, rows_of(NetworkLog))
TYPES = ("security_group",)


class LogResourceNotFound(NotFound):
    pass


class InvalidLogResourceType(BadRequest):
    pass


class TargetResourceNotFound(NotFound):
    pass


class ResourceNotFound(NotFound):
    pass


class InvalidResourceConstraint(BadRequest):
    pass


# What the API takes and gives ----------------------------------------------------------------------------------------
class Create(CreateBody, kw_only=True):
    resource_type: Text255
    resource_id: Text255 | None = None
    target_id: Text255 | None = None
    event: Literal["ACCEPT", "DROP", "ALL"] = "ALL"
    enabled: bool = True


class Update(UpdateBody):
    enabled: bool | UnsetType = UNSET


def view(log: Any) -> Json:
    shown = standard(log) | {
        "resource_type": log.resource_type,
        "resource_id": log.resource_id,
        "target_id": log.target_id,
        "event": log.event,
        "enabled": log.enabled,
    }
    del shown["tags"]
    return shown


# What the calls do ---------------------------------------------------------------------------------------------------
logs: Collection[NetworkLog] = Collection(
    "/v2.0/log/logs", "log", "logs", NetworkLog, view, quota="log", error=LogResourceNotFound, title="Log resource",
    rules=Rules(read=policy.manager, create=policy.manager, update=policy.manager, delete=policy.manager),
)  # fmt: skip
loggable = policy.rule("get_loggable_resource", policy.manager)


@logs.create
def create(ctx: Ctx, body: Create) -> NetworkLog:
    if body.resource_type not in TYPES:
        raise InvalidLogResourceType(f"Invalid log resource_type: {body.resource_type}. Use one of {', '.join(TYPES)}.")
    check_own(ctx, SecurityGroup, body.resource_id, ResourceNotFound, "Resource")
    check_own(ctx, Port, body.target_id, TargetResourceNotFound, "Target resource")
    if body.resource_id and body.target_id:
        bound = (PortSecurityGroup.port_id == body.target_id) & (PortSecurityGroup.group_id == body.resource_id)
        if ctx.db.scalar(select(PortSecurityGroup.port_id).where(bound)) is None:
            raise InvalidResourceConstraint(
                f"Invalid resource constraint between resource (security_group {body.resource_id}) and target resource"
                f" (port {body.target_id})."
            )
    log = NetworkLog(
        project_id=logs.project_of(ctx, body), name=body.name, description=body.description, event=body.event,
        resource_id=body.resource_id, target_id=body.target_id, enabled=body.enabled,
    )  # fmt: skip
    wake_marked(ctx, log)
    return log


def check_own(ctx: Ctx, table: type[Any], id: str | None, error: type[NotFound], what: str) -> None:
    """Raises NotFound: there is none, or it is another project's, which may have shared it."""
    if id and ((thing := ctx.db.get(table, id)) is None or not policy.reader(ctx.caller, thing)):
        raise error(f"{what} {id} could not be found.")


@logs.update
def update(ctx: Ctx, log: NetworkLog, body: Update) -> None:
    take_over(log, body, "name", "description", "enabled")
    wake_marked(ctx, log)


@logs.delete
def remove(ctx: Ctx, log: NetworkLog) -> None:
    wake_marked(ctx, log)


def wake_marked(ctx: Ctx, log: NetworkLog) -> None:
    """The groups that bear the log's mark; one of a single port has rows of its own."""
    if log.target_id:
        return
    if log.resource_id:
        ctx.wake(SecurityGroup.__tablename__, log.resource_id)
        return
    mine = select(SecurityGroup.id).where(SecurityGroup.project_id == log.project_id)
    wake_all(ctx.db, [(SecurityGroup.__tablename__, id) for id in ctx.db.scalars(mine)])


@network.call("GET", "/v2.0/log/loggable-resources", rule=loggable)
def loggable_resources(ctx: Ctx) -> Json:
    """The types of resources that logs may be of."""
    ctx.require(loggable, policy.Target(ctx.caller.project_id))
    return {"loggable_resources": [{"type": type} for type in TYPES]}


# Ports come and go ---------------------------------------------------------------------------------------------------
def ports_changed(db: Session, port_ids: Sequence[str]) -> None:
    found = db.scalars(select(NetworkLog.id).where(NetworkLog.target_id.in_(port_ids)))
    wake_all(db, [(NetworkLog.__tablename__, id) for id in found])


def ports_gone(db: Session, port_ids: Sequence[str]) -> None:
    """A log goes with its port."""
    ports_changed(db, port_ids)
    db.execute(delete(NetworkLog).where(NetworkLog.target_id.in_(port_ids)))


hooks.port_changed.append(ports_changed)
hooks.port_goes.append(ports_gone)
