"""Subnets cut from pools: which pool, which prefix, and what a network's subnets must have in common."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

from sqlalchemy import select

from wolke.core.db import lock
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.network import errors
from wolke.network.subnetpools.api import UNIT, subnetpools
from wolke.network.subnetpools.prefixes import inside, without
from wolke.network.subnetpools.table import SubnetPool
from wolke.network.subnets.checks import Net
from wolke.network.subnets.table import Subnet

DELEGATED = "prefix_delegation"


def pool_for(ctx: Ctx, body: Any) -> SubnetPool | None:
    """The pool that a new subnet names, or the default one. Raises SubnetPoolNotFound.

    ``prefix_delegation`` is Neutron's name of a pool that an upstream router delegates from. Here the cloud itself delegates: the
    prefix is drawn from the default IPv6 pool, and at once.
    """
    if body.subnetpool_id == DELEGATED and body.ip_version != 6:
        raise BadRequest("Bad subnets request: Prefix Delegation can only be used with IPv6 subnets (ip_version).")
    if body.subnetpool_id and body.use_default_subnetpool:
        raise BadRequest("Bad subnets request: subnetpool_id and use_default_subnetpool cannot both be specified.")
    if body.subnetpool_id and body.subnetpool_id != DELEGATED:
        subnetpools.seen(ctx, body.subnetpool_id)
        return ctx.db.get(SubnetPool, body.subnetpool_id)
    if not body.use_default_subnetpool and not body.subnetpool_id:
        return None
    default = SubnetPool.is_default & (SubnetPool.ip_version == body.ip_version)
    pool = ctx.db.scalars(select(SubnetPool).where(default)).first()
    if pool is None:
        raise BadRequest(f"Bad subnets request: No default subnetpool found for IPv{body.ip_version}.")
    return pool


def check_affinity(ctx: Ctx, network_id: str, version: int, pool: SubnetPool | None) -> None:
    """Subnets of one version on a network come from one pool; or from several of one address scope.

    Raises
    ------
    NetworkAddressScopeAffinityError, NetworkSubnetPoolAffinityError
    """
    here = select(Subnet.subnetpool_id, SubnetPool.address_scope_id).outerjoin(
        SubnetPool, SubnetPool.id == Subnet.subnetpool_id
    )
    siblings = ctx.db.execute(here.where(Subnet.network_id == network_id, Subnet.ip_version == version)).all()
    scopes = {row.address_scope_id for row in siblings}
    mine = pool.address_scope_id if pool else None
    if scopes - {None} or (mine and siblings):
        if scopes != {mine}:
            raise errors.NetworkAddressScopeAffinityError(
                "Subnets of the same address family hosted on the same network must all participate in the same address"
                " scope."
            )
    elif pool and any(row.subnetpool_id != pool.id for row in siblings):
        raise errors.NetworkSubnetPoolAffinityError(
            "Subnets hosted on the same network must be allocated from the same subnet pool."
        )


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
