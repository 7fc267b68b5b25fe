"""Subnet pools.

API: https://docs.openstack.org/api-ref/network/v2/#subnet-pools
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.core import policy
from wolke.core.bodies import Body, Text255, take_over
from wolke.core.collection import Rules
from wolke.core.db import Json, lock
from wolke.core.errors import Forbidden
from wolke.core.http import Ctx
from wolke.core.quota import quota, rows_of
from wolke.network import errors, hooks, rbac
from wolke.network.address_scopes import effect
from wolke.network.address_scopes.api import check_pool
from wolke.network.networks.api import networks
from wolke.network.networks.table import Network
from wolke.network.service import Collection, CreateBody, UpdateBody, standard
from wolke.network.subnetpools.prefixes import joined, meet, prefixes_of, without
from wolke.network.subnetpools.table import SubnetPool
from wolke.network.subnets.table import Subnet

SMALLEST = {4: 8, 6: 64}  # default of min_prefixlen
UNIT = {4: 32, 6: 64}  # prefix length that quotas are counted in
Length = Annotated[int, Meta(ge=0, le=128)]
Cidrs = Annotated[list[str], Meta(max_length=64)]


# What the API takes and gives ----------------------------------------------------------------------------------------
class Create(CreateBody, kw_only=True):
    prefixes: Cidrs
    min_prefixlen: Length | UnsetType | None = UNSET
    max_prefixlen: Length | UnsetType | None = UNSET
    default_prefixlen: Length | UnsetType | None = UNSET
    default_quota: Annotated[int, Meta(ge=0)] | None = None
    shared: bool = False
    is_default: bool = False
    address_scope_id: Text255 | None = None


class Update(UpdateBody):
    prefixes: Cidrs | UnsetType = UNSET
    min_prefixlen: Length | UnsetType = UNSET
    max_prefixlen: Length | UnsetType = UNSET
    default_prefixlen: Length | UnsetType = UNSET
    default_quota: Annotated[int, Meta(ge=0)] | UnsetType | None = UNSET
    is_default: bool | UnsetType = UNSET
    address_scope_id: Text255 | UnsetType | None = UNSET


class Prefixes(Body):
    prefixes: Cidrs


class Onboard(Body):
    network_id: Text255


def views(ctx: Ctx, found: Sequence[Any]) -> list[Json]:
    shared = rbac.shown(ctx, "subnetpool", [pool.id for pool in found])
    return [
        standard(pool)
        | {
            "ip_version": pool.ip_version,
            "prefixes": pool.prefixes,
            "min_prefixlen": str(pool.min_prefixlen),
            "max_prefixlen": str(pool.max_prefixlen),
            "default_prefixlen": str(pool.default_prefixlen),
            "default_quota": pool.default_quota,
            "shared": pool.id in shared,
            "is_default": pool.is_default,
            "address_scope_id": pool.address_scope_id,
        }
        for pool in found
    ]


def check_bounds(version: int, smallest: int, largest: int, default: int) -> None:
    bits = 32 if version == 4 else 128

    def refuse(name: str, length: int, base: str, bound: int) -> errors.IllegalSubnetPoolPrefixBounds:
        return errors.IllegalSubnetPoolPrefixBounds(f"Illegal prefix bounds: {name}={length}, {base}={bound}.")

    if smallest > largest:
        raise refuse("min_prefixlen", smallest, "max_prefixlen", largest)
    if largest > bits:
        raise refuse("max_prefixlen", largest, "ip_version_max", bits)
    if default < smallest:
        raise refuse("default_prefixlen", default, "min_prefixlen", smallest)
    if default > largest:
        raise refuse("default_prefixlen", default, "max_prefixlen", largest)


# What the calls do ---------------------------------------------------------------------------------------------------
quota("network", "subnetpool", -1, rows_of(SubnetPool))
subnetpools: Collection[SubnetPool] = Collection(
    "/v2.0/subnetpools",
    "subnetpool",
    "subnetpools",
    SubnetPool,
    views=views,
    quota="subnetpool",
    wakes="",
    visible=rbac.visible_to("subnetpool", SubnetPool),
    filters={"shared": rbac.shared_filter("subnetpool", SubnetPool)},
    rules=Rules(),
    create_guards={"shared": policy.admin, "is_default": policy.admin},
    update_guards={"is_default": policy.admin},
    error=errors.SubnetPoolNotFound,
    title="Subnet pool",
)


@subnetpools.create
def create(ctx: Ctx, body: Create) -> SubnetPool:
    nets = prefixes_of(body.prefixes)
    version = nets[0].version
    smallest = SMALLEST[version] if body.min_prefixlen in (UNSET, None) else int(body.min_prefixlen or 0)
    largest = (32 if version == 4 else 128) if body.max_prefixlen in (UNSET, None) else int(body.max_prefixlen or 0)
    default = smallest if body.default_prefixlen in (UNSET, None) else int(body.default_prefixlen or 0)
    check_bounds(version, smallest, largest, default)
    if body.is_default:
        only_default(ctx.db, version)
    pool = SubnetPool(
        project_id=subnetpools.project_of(ctx, body),
        name=body.name,
        description=body.description,
        ip_version=version,
        prefixes=[str(net) for net in nets],
        min_prefixlen=smallest,
        max_prefixlen=largest,
        default_prefixlen=default,
        default_quota=body.default_quota,
        is_default=body.is_default,
        created_at=ctx.now,
        updated_at=ctx.now,
    )
    ctx.db.add(pool)
    ctx.db.flush()
    into_scope(ctx, pool, body.address_scope_id)
    rbac.share(ctx, "subnetpool", pool, body.shared)
    return pool


def only_default(db: Session, version: int) -> None:
    lock(db, "network/default subnetpool")
    here = SubnetPool.is_default & (SubnetPool.ip_version == version)
    if db.execute(select(SubnetPool.id).where(here).limit(1)).first():
        raise errors.InvalidInput(f"A default subnetpool for IPv{version} has already been set")


def into_scope(ctx: Ctx, pool: SubnetPool, scope_id: str | None) -> None:
    """Put a pool into an address scope, or take it out (None); routers that carry its subnets follow."""
    if scope_id == pool.address_scope_id:
        return
    if scope_id:
        check_pool(ctx, pool, scope_id)
    mixed = select(Subnet.id).where(
        Subnet.ip_version == pool.ip_version, Subnet.subnetpool_id.is_distinct_from(pool.id)
    )
    beside = select(Subnet.network_id).where(Subnet.subnetpool_id == pool.id)
    if ctx.db.execute(mixed.where(Subnet.network_id.in_(beside)).limit(1)).first():
        raise errors.NetworkAddressScopeAffinityError(
            "Subnets of the same address family hosted on the same network must all participate in the same address scope."
        )
    pool.address_scope_id = scope_id
    ctx.db.flush()
    effect.wake_routers(ctx.db, Subnet.subnetpool_id == pool.id)


@subnetpools.update
def update(ctx: Ctx, pool: SubnetPool, body: Update) -> None:
    subnetpools.guard(ctx, "update", body, pool)
    if body.prefixes is not UNSET:
        nets = prefixes_of(body.prefixes)
        before = [ip_network(text) for text in pool.prefixes]
        if joined([*nets, *before]) != nets:
            raise errors.IllegalSubnetPoolPrefixUpdate(
                "Illegal update to prefixes: existing prefixes must be a subset of the new prefixes."
            )
        set_prefixes(ctx, pool, [str(net) for net in nets])
    take_over(pool, body, "min_prefixlen", "max_prefixlen", "default_prefixlen", "default_quota", "name", "description")
    check_bounds(pool.ip_version, pool.min_prefixlen, pool.max_prefixlen, pool.default_prefixlen)
    if body.is_default is True and not pool.is_default:
        only_default(ctx.db, pool.ip_version)
    if body.is_default is not UNSET:
        pool.is_default = body.is_default
    if body.address_scope_id is not UNSET:
        into_scope(ctx, pool, body.address_scope_id or None)


def set_prefixes(ctx: Ctx, pool: SubnetPool, prefixes: list[str]) -> None:
    """Raises AddressScopePrefixConflict: another pool of the scope has some of them."""
    if pool.address_scope_id:
        others = select(SubnetPool.prefixes).where(SubnetPool.address_scope_id == pool.address_scope_id)
        for theirs in ctx.db.scalars(others.where(SubnetPool.id != pool.id)):
            if meet(prefixes, theirs):
                raise errors.AddressScopePrefixConflict(
                    "Failed to associate address scope: subnetpools within an address scope must have unique prefixes."
                )
    pool.prefixes = prefixes


@subnetpools.delete
def remove(ctx: Ctx, pool: SubnetPool) -> None:
    lock(ctx.db, f"subnetpool/{pool.id}")
    if ctx.db.execute(select(Subnet.id).where(Subnet.subnetpool_id == pool.id).limit(1)).first():
        raise errors.SubnetPoolInUse(
            f"Unable to complete operation on subnet pool {pool.id}. Subnet pool has existing allocations."
        )
    rbac.forget(ctx.db, "subnetpool", pool.id)


@subnetpools.action("add_prefixes")
def add_prefixes(ctx: Ctx, pool: SubnetPool, body: Prefixes) -> Json:
    """Add prefixes to a pool."""
    set_prefixes(ctx, pool, [str(net) for net in prefixes_of([*pool.prefixes, *body.prefixes])])
    return {"prefixes": pool.prefixes}


@subnetpools.action("remove_prefixes")
def remove_prefixes(ctx: Ctx, pool: SubnetPool, body: Prefixes) -> Json:
    """Take prefixes that no subnet uses from a pool."""
    gone = prefixes_of(body.prefixes)
    used = ctx.db.scalars(select(Subnet.cidr).where(Subnet.subnetpool_id == pool.id))
    if meet([str(net) for net in gone], used):
        raise errors.IllegalSubnetPoolPrefixUpdate(
            "Illegal update to prefixes: One or more the prefixes to be removed is in use by a subnet."
        )
    pool.prefixes = [str(net) for net in without([ip_network(text) for text in pool.prefixes], gone)]
    return {"prefixes": pool.prefixes}


@subnetpools.action("onboard_network_subnets")
def onboard_network_subnets(ctx: Ctx, pool: SubnetPool, body: Onboard) -> list[Json]:
    """Take the subnets of a network, of the pool's IP version, into the pool."""
    network = ctx.db.get(Network, networks.seen(ctx, body.network_id).id)
    assert network
    if network.project_id != ctx.caller.project_id and not ctx.caller.is_admin:
        raise Forbidden(f"Network {network.id} is not one of this project's (network_id).")
    lock(ctx.db, f"subnetpool/{pool.id}")
    here = (Subnet.network_id == network.id) & (Subnet.ip_version == pool.ip_version)
    taken = list(ctx.db.scalars(select(Subnet.cidr).where(Subnet.subnetpool_id == pool.id)))
    new = list(ctx.db.scalars(select(Subnet).where(here).order_by(Subnet.created_at, Subnet.id)))
    for subnet in new:
        if meet([subnet.cidr], taken):
            raise errors.IllegalSubnetPoolUpdate(
                f"Illegal subnetpool update : Onboarding subnet {subnet.id}: {subnet.cidr} conflicts with allocated"
                f" prefixes in subnet pool {pool.id}."
            )
    if new:
        set_prefixes(ctx, pool, [str(net) for net in prefixes_of([*pool.prefixes, *(one.cidr for one in new)])])
    for subnet in new:
        subnet.subnetpool_id = pool.id
    ctx.db.flush()
    effect.wake_routers(ctx.db, Subnet.subnetpool_id == pool.id)
    return [{"id": subnet.id, "cidr": subnet.cidr} for subnet in new]


# Sharing -------------------------------------------------------------------------------------------------------------
def users(db: Session, pool_id: str) -> set[str]:
    """The projects that have subnets of a pool."""
    return set(db.scalars(select(Subnet.project_id).where(Subnet.subnetpool_id == pool_id).distinct()))


def share_changed(ctx: Ctx, pool: SubnetPool, action: str, everybody: bool) -> None:
    pool.shared = everybody
    hooks.tell_hosts(ctx.db)  # what is announced of it


rbac.shareable(
    "subnetpool", subnetpools, {rbac.SHARED: users}, changed=share_changed, marks={rbac.SHARED: SubnetPool.shared}
)
