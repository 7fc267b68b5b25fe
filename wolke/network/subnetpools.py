"""Subnet pools: prefixes that subnets are cut from.

API: https://docs.openstack.org/api-ref/network/v2/#subnet-pools
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import collapse_addresses, ip_network
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from wolke.core import policy
from wolke.core.bodies import Body
from wolke.core.collection import Rules
from wolke.core.db import Json, lock
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.core.quota import quota, rows_of
from wolke.network import errors
from wolke.network.service import Collection, CreateBody, UpdateBody, standard
from wolke.network.subnets.checks import Net, network_of
from wolke.network.subnets.table import Subnet
from wolke.network.tables import Standard

SMALLEST = {4: 8, 6: 64}  # default of min_prefixlen
UNIT = {4: 32, 6: 64}  # prefix length that quotas are counted in
Length = Annotated[int, Meta(ge=0, le=128)]
Cidrs = Annotated[list[str], Meta(max_length=64)]


# What we keep --------------------------------------------------------------------------------------------------------
class SubnetPool(Standard):
    __tablename__ = "subnetpool"

    ip_version: Mapped[int]
    prefixes: Mapped[list[str]] = mapped_column(default=list)
    min_prefixlen: Mapped[int]
    max_prefixlen: Mapped[int]
    default_prefixlen: Mapped[int]
    default_quota: Mapped[int | None]  # in units of /32 or /64, for each project
    shared: Mapped[bool] = mapped_column(default=False, index=True)
    is_default: Mapped[bool] = mapped_column(default=False)


# What the API takes and gives ----------------------------------------------------------------------------------------
class Create(CreateBody, kw_only=True):
    prefixes: Cidrs
    min_prefixlen: Length | UnsetType | None = UNSET
    max_prefixlen: Length | UnsetType | None = UNSET
    default_prefixlen: Length | UnsetType | None = UNSET
    default_quota: Annotated[int, Meta(ge=0)] | None = None
    shared: bool = False
    is_default: bool = False
    address_scope_id: None = None


class Update(UpdateBody):
    prefixes: Cidrs | UnsetType = UNSET
    min_prefixlen: Length | UnsetType = UNSET
    max_prefixlen: Length | UnsetType = UNSET
    default_prefixlen: Length | UnsetType = UNSET
    default_quota: Annotated[int, Meta(ge=0)] | UnsetType | None = UNSET
    is_default: bool | UnsetType = UNSET
    address_scope_id: UnsetType | None = UNSET


class Prefixes(Body):
    prefixes: Cidrs


def view(pool: Any) -> Json:
    return standard(pool) | {
        "ip_version": pool.ip_version,
        "prefixes": pool.prefixes,
        "min_prefixlen": str(pool.min_prefixlen),
        "max_prefixlen": str(pool.max_prefixlen),
        "default_prefixlen": str(pool.default_prefixlen),
        "default_quota": pool.default_quota,
        "shared": pool.shared,
        "is_default": pool.is_default,
        "address_scope_id": None,
    }


def visible(ctx: Ctx) -> ColumnElement[bool]:
    return SubnetPool.shared.is_(True)


def prefixes_of(texts: Sequence[str]) -> list[Net]:
    """The prefixes, joined where they touch.

    Raises
    ------
    EmptySubnetPoolPrefixList, PrefixVersionMismatch; BadRequest: no prefix
    """
    if not texts:
        raise errors.EmptySubnetPoolPrefixList("Empty subnet pool prefix list.")
    nets = [network_of(text, "prefixes") for text in texts]
    if len({net.version for net in nets}) > 1:
        raise errors.PrefixVersionMismatch("Cannot mix IPv4 and IPv6 prefixes in a subnet pool.")
    return joined(nets)


def joined(nets: Iterable[Net]) -> list[Net]:
    return sorted(collapse_addresses(nets))  # type: ignore[type-var]


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
    view,
    quota="subnetpool",
    wakes="",
    visible=visible,
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
    return SubnetPool(
        name=body.name,
        description=body.description,
        ip_version=version,
        prefixes=[str(net) for net in nets],
        min_prefixlen=smallest,
        max_prefixlen=largest,
        default_prefixlen=default,
        default_quota=body.default_quota,
        shared=body.shared,
        is_default=body.is_default,
    )


def only_default(db: Session, version: int) -> None:
    lock(db, "network/default subnetpool")
    here = SubnetPool.is_default & (SubnetPool.ip_version == version)
    if db.execute(select(SubnetPool.id).where(here).limit(1)).first():
        raise errors.InvalidInput(f"A default subnetpool for IPv{version} has already been set")


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
        pool.prefixes = [str(net) for net in nets]
    for name in ("min_prefixlen", "max_prefixlen", "default_prefixlen", "default_quota", "name", "description"):
        if (value := getattr(body, name)) is not UNSET:
            setattr(pool, name, value)
    check_bounds(pool.ip_version, pool.min_prefixlen, pool.max_prefixlen, pool.default_prefixlen)
    if body.is_default is True and not pool.is_default:
        only_default(ctx.db, pool.ip_version)
    if body.is_default is not UNSET:
        pool.is_default = body.is_default


@subnetpools.delete
def remove(ctx: Ctx, pool: SubnetPool) -> None:
    lock(ctx.db, f"subnetpool/{pool.id}")
    if ctx.db.execute(select(Subnet.id).where(Subnet.subnetpool_id == pool.id).limit(1)).first():
        raise errors.SubnetPoolInUse(
            f"Unable to complete operation on subnet pool {pool.id}. Subnet pool has existing allocations."
        )


@subnetpools.action("add_prefixes")
def add_prefixes(ctx: Ctx, pool: SubnetPool, body: Prefixes) -> Json:
    nets = prefixes_of([*pool.prefixes, *body.prefixes])
    pool.prefixes = [str(net) for net in nets]
    return {"prefixes": pool.prefixes}


@subnetpools.action("remove_prefixes")
def remove_prefixes(ctx: Ctx, pool: SubnetPool, body: Prefixes) -> Json:
    gone = prefixes_of(body.prefixes)
    used = [ip_network(cidr) for cidr in ctx.db.scalars(select(Subnet.cidr).where(Subnet.subnetpool_id == pool.id))]
    if any(net.version == one.version and net.overlaps(one) for net in gone for one in used):
        raise errors.IllegalSubnetPoolPrefixUpdate(
            "Illegal update to prefixes: One or more the prefixes to be removed is in use by a subnet."
        )
    pool.prefixes = [str(net) for net in without([ip_network(text) for text in pool.prefixes], gone)]
    return {"prefixes": pool.prefixes}


# Cutting subnets -----------------------------------------------------------------------------------------------------
def without(nets: Iterable[Net], taken: Iterable[Net]) -> list[Net]:
    """What is left of some prefixes."""
    left = list(nets)
    for one in taken:
        left = [rest for net in left for rest in _less(net, one)]
    return joined(left)


def _less(net: Any, one: Any) -> list[Net]:
    if net.version != one.version or not net.overlaps(one):
        return [net]
    return list(net.address_exclude(one)) if one != net and one.subnet_of(net) else []


def pool_for(ctx: Ctx, body: Any) -> SubnetPool | None:
    """The pool that a new subnet names, or the default one. Raises SubnetPoolNotFound."""
    if body.subnetpool_id and body.use_default_subnetpool:
        raise BadRequest("Bad subnets request: subnetpool_id and use_default_subnetpool cannot both be specified.")
    if body.subnetpool_id:
        subnetpools.seen(ctx, body.subnetpool_id)
        return ctx.db.get(SubnetPool, body.subnetpool_id)
    if not body.use_default_subnetpool:
        return None
    default = SubnetPool.is_default & (SubnetPool.ip_version == body.ip_version)
    pool = ctx.db.scalars(select(SubnetPool).where(default)).first()
    if pool is None:
        raise BadRequest(f"Bad subnets request: No default subnetpool found for IPv{body.ip_version}.")
    return pool


def allocate(ctx: Ctx, pool: SubnetPool, asked: Net | None, prefixlen: int | None, project_id: str) -> Net:
    """A prefix of the pool that no subnet has: the one asked for, or the first that is large enough.

    Raises
    ------
    MinPrefixSubnetAllocationError, MaxPrefixSubnetAllocationError, SubnetPoolQuotaExceeded, SubnetAllocationError
    """
    lock(ctx.db, f"subnetpool/{pool.id}")
    length = asked.prefixlen if asked else pool.default_prefixlen if prefixlen is None else prefixlen
    if length > pool.max_prefixlen:
        raise errors.MaxPrefixSubnetAllocationError(
            f"Unable to allocate subnet with prefix length {length}, maximum allowed prefix is {pool.max_prefixlen}."
        )
    if length < pool.min_prefixlen:
        raise errors.MinPrefixSubnetAllocationError(
            f"Unable to allocate subnet with prefix length {length}, minimum allowed prefix is {pool.min_prefixlen}."
        )
    query = select(Subnet.cidr, Subnet.project_id).where(Subnet.subnetpool_id == pool.id)
    taken = [(ip_network(cidr), owner) for cidr, owner in ctx.db.execute(query)]
    unit = UNIT[pool.ip_version]
    if pool.default_quota is not None:
        used = sum(2.0 ** (unit - net.prefixlen) for net, owner in taken if owner == project_id)
        if used + 2.0 ** (unit - length) > pool.default_quota:
            raise errors.SubnetPoolQuotaExceeded("Per-tenant subnet pool prefix quota exceeded.")
    left = without([ip_network(text) for text in pool.prefixes], [net for net, _ in taken])
    for net in sorted(left, key=lambda net: -net.prefixlen):
        if asked is None and net.prefixlen <= length:
            subnets: Iterator[Net] = net.subnets(new_prefix=length)
            return next(subnets)
        if asked is not None and inside(asked, net):
            return asked
    reason = f"Insufficient prefix space to allocate subnet size /{length}"
    if asked:
        reason = "Cannot allocate requested subnet from the available set of prefixes"
    raise errors.SubnetAllocationError(f"Failed to allocate subnet: {reason}.")


def inside(net: Net, outer: Net) -> bool:
    same = net.version == outer.version and outer.prefixlen <= net.prefixlen
    return same and net.network_address in outer
