"""Address groups.

API:  https://docs.openstack.org/api-ref/network/v2/#address-groups
OVN:  an Address_Set for each family of a group (ovn-nb(5)); empty ones match nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.core.bodies import Body, take_over
from wolke.core.db import Json, lock
from wolke.core.errors import BadRequest, Conflict, NotFound
from wolke.core.http import Ctx
from wolke.core.quota import quota, rows_of
from wolke.drivers.rows import Row
from wolke.network import names, rbac
from wolke.network.address_groups.table import AddressGroup
from wolke.network.addresses import ip_network
from wolke.network.lane import Site, kind
from wolke.network.security_groups.table import DefaultSecurityGroupRule, SecurityGroupRule
from wolke.network.service import Collection, CreateBody, UpdateBody, standard
from wolke.network.subnets.checks import Net

quota("network", "address_group", 10, rows_of(AddressGroup))


class AddressGroupNotFound(NotFound):
    pass


class AddressGroupInUse(Conflict):
    pass


class AddressesNotFound(NotFound):
    pass


class AddressesAlreadyExist(BadRequest):
    pass


# What the API takes and gives ----------------------------------------------------------------------------------------
class Create(CreateBody):
    addresses: list[str] | None = None


class Update(UpdateBody):
    pass


class Addresses(Body):
    addresses: list[str]


def view(group: Any) -> Json:
    shown = standard(group) | {"addresses": group.addresses}
    del shown["tags"]
    return shown


def canonical(addresses: Sequence[str]) -> list[str]:
    """Prefixes in order, without host bits or duplicates. Raises BadRequest, naming the one that is none."""
    found: set[Net] = set()
    for text in addresses:
        try:
            found.add(ip_network(text, strict=False))
        except ValueError as error:
            raise BadRequest(f"Invalid input for addresses. Reason: '{text}' is not a valid IP subnet.") from error
        if "/" not in text:
            raise BadRequest(
                f"Invalid input for addresses. Reason: '{text}' isn't a recognized IP subnet cidr,"
                f" '{ip_network(text)}' is recommended."
            )
    return [str(net) for net in sorted(found, key=lambda net: (net.version, net.network_address, net.prefixlen))]


# What the calls do ---------------------------------------------------------------------------------------------------
address_groups: Collection[AddressGroup] = Collection(
    "/v2.0/address-groups", "address_group", "address_groups", AddressGroup, view, quota="address_group",
    visible=rbac.visible_to("address_group", AddressGroup), error=AddressGroupNotFound, title="Address group",
)  # fmt: skip


def users(db: Session, id: str) -> set[str]:
    """The projects that have rules with a group."""
    pointing = select(SecurityGroupRule.project_id).where(SecurityGroupRule.remote_address_group_id == id)
    return set(db.scalars(pointing.distinct()))


rbac.shareable("address_group", address_groups, {rbac.SHARED: users})


@address_groups.create
def create(ctx: Ctx, body: Create) -> AddressGroup:
    return AddressGroup(name=body.name, description=body.description, addresses=canonical(body.addresses or []))


@address_groups.update
def update(ctx: Ctx, group: AddressGroup, body: Update) -> None:
    take_over(group, body, "name", "description")


@address_groups.action("add_addresses")
def add_addresses(ctx: Ctx, group: AddressGroup, body: Addresses) -> AddressGroup:
    """Add prefixes to a group."""
    given = canonical(body.addresses)
    if there := set(given) & set(group.addresses):
        raise AddressesAlreadyExist(f"Addresses {sorted(there)} already exist in the address group {group.id}.")
    group.addresses = canonical([*group.addresses, *given])
    return group


@address_groups.action("remove_addresses")
def remove_addresses(ctx: Ctx, group: AddressGroup, body: Addresses) -> AddressGroup:
    """Take prefixes from a group."""
    given = canonical(body.addresses)
    if missing := set(given) - set(group.addresses):
        raise AddressesNotFound(f"Addresses {sorted(missing)} not found in the address group {group.id}.")
    group.addresses = [one for one in group.addresses if one not in given]
    return group


@address_groups.delete
def remove(ctx: Ctx, group: AddressGroup) -> None:
    lock(ctx.db, f"address_group/{group.id}")
    for table in (SecurityGroupRule, DefaultSecurityGroupRule):
        if ctx.db.scalar(select(table.id).where(table.remote_address_group_id == group.id).limit(1)):
            raise AddressGroupInUse(f"Address group {group.id} is in use on one or more security group rules.")
    rbac.forget(ctx.db, "address_group", group.id)


# What the network gets -----------------------------------------------------------------------------------------------
def rows(db: Session, ids: Sequence[str], site: Site) -> list[Row]:
    found = []
    for group in db.execute(select(AddressGroup.__table__).where(AddressGroup.id.in_(ids))):
        owner = names.owner(AddressGroup.__tablename__, group.id)
        for family in ("ip4", "ip6"):
            name = names.address_set(group.id, family)
            mine = frozenset(one for one in group.addresses if (":" in one) == (family == "ip6"))
            found.append(Row("Address_Set", name, owner, {"addresses": mine}))
    return found


kind(AddressGroup, rows)
