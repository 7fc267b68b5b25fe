"""Address scopes.

API: https://docs.openstack.org/api-ref/network/v2/#address-scopes
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import UNSET, UnsetType
from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.core import policy
from wolke.core.bodies import take_over
from wolke.core.db import Json, lock
from wolke.core.http import Ctx
from wolke.core.quota import quota, rows_of
from wolke.network import errors, rbac
from wolke.network.address_scopes.table import AddressScope
from wolke.network.service import Collection, CreateBody, UpdateBody, standard
from wolke.network.subnetpools.prefixes import meet
from wolke.network.subnetpools.table import SubnetPool


# What the API takes and gives ----------------------------------------------------------------------------------------
class Create(CreateBody, kw_only=True):
    ip_version: Literal[4, 6]
    shared: bool = False


class Update(UpdateBody):
    shared: bool | UnsetType = UNSET


def views(ctx: Ctx, found: Sequence[Any]) -> list[Json]:
    shared = rbac.shown(ctx, "address_scope", [scope.id for scope in found])
    return [standard(scope) | {"ip_version": scope.ip_version, "shared": scope.id in shared} for scope in found]


# What the calls do ---------------------------------------------------------------------------------------------------
quota("network", "address_scope", -1, rows_of(AddressScope))
address_scopes: Collection[AddressScope] = Collection(
    "/v2.0/address-scopes",
    "address_scope",
    "address_scopes",
    AddressScope,
    views=views,
    quota="address_scope",
    wakes="",
    visible=rbac.visible_to("address_scope", AddressScope),
    filters={"shared": rbac.shared_filter("address_scope", AddressScope)},
    create_guards={"shared": policy.admin},
    update_guards={"shared": policy.admin},
    error=errors.AddressScopeNotFound,
    title="Address scope",
)


@address_scopes.create
def create(ctx: Ctx, body: Create) -> AddressScope:
    scope = AddressScope(
        project_id=address_scopes.project_of(ctx, body),
        name=body.name,
        description=body.description,
        ip_version=body.ip_version,
        created_at=ctx.now,
        updated_at=ctx.now,
    )
    ctx.db.add(scope)
    ctx.db.flush()
    rbac.share(ctx, "address_scope", scope, body.shared)
    return scope


@address_scopes.update
def update(ctx: Ctx, scope: AddressScope, body: Update) -> None:
    address_scopes.guard(ctx, "update", body, scope)
    if body.shared is False and scope.shared:
        raise errors.AddressScopeUpdateError(
            f"Unable to update address scope {scope.id} : Shared address scope can't be unshared."
        )
    if body.shared is True:
        rbac.share(ctx, "address_scope", scope, True)
    take_over(scope, body, "name", "description")


@address_scopes.delete
def remove(ctx: Ctx, scope: AddressScope) -> None:
    lock(ctx.db, f"address_scope/{scope.id}")
    if ctx.db.execute(select(SubnetPool.id).where(SubnetPool.address_scope_id == scope.id).limit(1)).first():
        raise errors.AddressScopeInUse(
            f"Unable to complete operation on address scope {scope.id}. There are one or more subnet pools in use on the"
            " address scope."
        )
    rbac.forget(ctx.db, "address_scope", scope.id)


def check_pool(ctx: Ctx, pool: SubnetPool, scope_id: str) -> None:
    """Whether a pool may join a scope.

    Raises
    ------
    AddressScopeNotFound: unknown, or not visible to the caller; IllegalSubnetPoolIpVersionAssociationToAddressScope;
    IllegalSubnetPoolAssociationToAddressScope: neither its owner's nor shared; AddressScopePrefixConflict
    """
    lock(ctx.db, f"address_scope/{scope_id}")
    scope = address_scopes.seen(ctx, scope_id)
    shared = rbac.shared_with(ctx.db, "address_scope", [scope.id], pool.project_id)
    if scope.project_id != pool.project_id and not shared and not ctx.caller.is_admin:
        raise errors.IllegalSubnetPoolAssociationToAddressScope(
            f"Illegal subnetpool association: subnetpool {pool.id} cannot be associated with address scope {scope.id}."
        )
    if scope.ip_version != pool.ip_version:
        raise errors.IllegalSubnetPoolIpVersionAssociationToAddressScope(
            f"Illegal subnetpool association: subnetpool {pool.id} cannot associate with address scope {scope.id} because"
            f" subnetpool ip_version is not {scope.ip_version}."
        )
    others = select(SubnetPool.prefixes).where(SubnetPool.address_scope_id == scope.id, SubnetPool.id != pool.id)
    if any(meet(pool.prefixes, theirs) for theirs in ctx.db.scalars(others)):
        raise errors.AddressScopePrefixConflict(
            "Failed to associate address scope: subnetpools within an address scope must have unique prefixes."
        )


# Sharing -------------------------------------------------------------------------------------------------------------
def users(db: Session, scope_id: str) -> set[str]:
    """The projects that have pools in a scope."""
    return set(db.scalars(select(SubnetPool.project_id).where(SubnetPool.address_scope_id == scope_id).distinct()))


def share_changed(ctx: Ctx, scope: AddressScope, action: str, everybody: bool) -> None:
    scope.shared = everybody


rbac.shareable(
    "address_scope",
    address_scopes,
    {rbac.SHARED: users},
    changed=share_changed,
    marks={rbac.SHARED: AddressScope.shared},
)
