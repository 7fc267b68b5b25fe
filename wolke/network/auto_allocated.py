"""The topology that a project gets for the asking: a network, a subnet from each default pool, a router to the default external network.

API:  https://docs.openstack.org/api-ref/network/v2/#auto-allocated-topologies
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET
from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import Mapped, mapped_column

from wolke.core import policy
from wolke.core.db import Base, Json, lock
from wolke.core.http import Ctx, NeedsWrite
from wolke.network.networks import api as networks
from wolke.network.networks.table import Network
from wolke.network.owners import INTERFACE
from wolke.network.ports.table import Port
from wolke.network.routers import api as routers
from wolke.network.routers import interfaces
from wolke.network.routers.bodies import Create as NewRouter
from wolke.network.routers.bodies import Gateway
from wolke.network.routers.errors import AutoAllocationFailure
from wolke.network.routers.table import Router
from wolke.network.service import network
from wolke.network.subnetpools.table import SubnetPool
from wolke.network.subnets import api as subnets

get = policy.rule("get_auto_allocated_topology", policy.reader)
delete = policy.rule("delete_auto_allocated_topology", policy.member)
PATH = "/v2.0/auto-allocated-topology/{project_id}"


class AutoAllocatedTopology(Base):
    """Forgotten with its network."""

    __tablename__ = "auto_allocated_topology"

    project_id: Mapped[str] = mapped_column(primary_key=True)
    network_id: Mapped[str] = mapped_column(ForeignKey("network.id", ondelete="CASCADE"))
    router_id: Mapped[str | None] = mapped_column(ForeignKey("router.id", ondelete="SET NULL"))


def asked(ctx: Ctx, rule: str) -> str:
    """The project that the call is about: ``None`` is the caller's, as clients spell it."""
    project_id = ctx.path["project_id"]
    project_id = ctx.caller.project_id if project_id in ("None", "") else project_id
    ctx.require(rule, policy.Target(project_id))
    return project_id


def shown(project_id: str, network_id: str) -> Json:
    return {"auto_allocated_topology": {"id": network_id, "project_id": project_id, "tenant_id": project_id}}


@network.call("GET", PATH, rule=get)
def show(ctx: Ctx) -> Json:
    """The topology of a project, made if there is none; with ``fields=dry-run`` only whether it could be."""
    project_id = asked(ctx, get)
    if "dry-run" in ctx.query.getlist("fields"):
        ground(ctx)
        passed = shown(project_id, "dry-run=pass")
        passed["auto_allocated_topology"]["dry_run"] = "pass"  # which is what clients look for
        return passed
    there = ctx.db.get(AutoAllocatedTopology, project_id)
    if there:
        return shown(project_id, there.network_id)
    if not ctx.writing:
        raise NeedsWrite
    lock(ctx.db, f"auto_allocated_topology/{project_id}")
    there = ctx.db.get(AutoAllocatedTopology, project_id, populate_existing=True) or made(ctx, project_id)
    return shown(project_id, there.network_id)


def ground(ctx: Ctx) -> tuple[str, list[Any]]:
    """(default external network, default pools)

    Raises
    ------
    AutoAllocationFailure: the operator has not named them
    """
    outside = ctx.db.scalar(select(Network.id).where(Network.is_default, Network.external))
    if not outside:
        raise AutoAllocationFailure("Deployment error: No default router:external network.")
    query = select(SubnetPool.__table__).where(SubnetPool.is_default).order_by(SubnetPool.ip_version)
    pools = list(ctx.db.execute(query))
    if not pools:
        raise AutoAllocationFailure("Deployment error: No default subnetpools defined.")
    return outside, pools


def made(ctx: Ctx, project_id: str) -> AutoAllocatedTopology:
    """The whole of it in the caller's transaction: all or nothing."""
    outside, pools = ground(ctx)
    new_network = networks.Create(name="auto_allocated_network", project_id=project_id)
    inside = networks.networks.make(ctx, networks.create, new_network, "create_network")
    networks.networks.changed(ctx, inside)
    its = []
    for pool in pools:
        mode = "slaac" if pool.ip_version == 6 else UNSET
        body = subnets.Create(
            name=f"auto_allocated_subnet_v{pool.ip_version}", network_id=inside.id, ip_version=pool.ip_version,
            subnetpool_id=pool.id, project_id=project_id, ipv6_ra_mode=mode, ipv6_address_mode=mode,
        )  # fmt: skip
        its.append(subnets.subnets.make(ctx, subnets.create, body, "create_subnet"))
        subnets.subnets.changed(ctx, its[-1])
    new_router = NewRouter(
        name="auto_allocated_router", external_gateway_info=Gateway(network_id=outside), project_id=project_id
    )  # fmt: skip
    router = routers.routers.make(ctx, routers.create, new_router, "create_router")
    for subnet in its:
        interfaces.add(ctx, router, interfaces.Interface(subnet_id=subnet.id))
    routers.routers.changed(ctx, router)
    there = AutoAllocatedTopology(project_id=project_id, network_id=inside.id, router_id=router.id)
    ctx.db.add(there)
    ctx.db.flush()
    ctx.note(AutoAllocatedTopology.__tablename__, inside.id, project_id)
    return there


@network.call("DELETE", PATH, rule=delete, status=204)
def remove(ctx: Ctx) -> None:
    """Delete what was made for the asking; 409 while something else stands on it."""
    project_id = asked(ctx, delete)
    lock(ctx.db, f"auto_allocated_topology/{project_id}")
    there = ctx.db.get(AutoAllocatedTopology, project_id)
    ctx.note(AutoAllocatedTopology.__tablename__, there.network_id if there else "", project_id)
    if there is None:
        return
    if there.router_id and (router := ctx.db.get(Router, there.router_id)):
        legs = select(Port).where(Port.device_id == router.id, Port.device_owner == INTERFACE)
        for port in ctx.db.scalars(legs.where(Port.network_id == there.network_id)).all():
            interfaces.take(ctx, router, interfaces.Interface(port_id=port.id))
        ctx.db.flush()
        routers.delete(ctx, router)
        ctx.wake(Router.__tablename__, router.id)
        ctx.db.delete(router)
    inside = ctx.db.get(Network, there.network_id)
    ctx.db.delete(there)
    ctx.db.flush()
    if inside:
        networks.remove(ctx, inside)
        ctx.wake(Network.__tablename__, inside.id)
        ctx.db.delete(inside)
