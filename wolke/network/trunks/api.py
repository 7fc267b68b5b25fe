"""Trunks.

API:  https://docs.openstack.org/api-ref/network/v2/#trunk-networking
OVN:  a subport's Logical_Switch_Port names the parent's (``parent_name``) and bears its tag; see ``ports.rows``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, UnsetType
from sqlalchemy import ColumnElement, case, exists, false, or_, select
from sqlalchemy import delete as remove_rows
from sqlalchemy.orm import Session, aliased

from wolke.core import policy
from wolke.core.bodies import Body, Text255, take_over
from wolke.core.collection import Rules
from wolke.core.db import Json
from wolke.core.http import Ctx
from wolke.core.quota import quota, rows_of
from wolke.core.work import wake_all
from wolke.network import errors, hooks
from wolke.network.networks.table import Network
from wolke.network.owners import SUBPORT
from wolke.network.ports.api import ports
from wolke.network.ports.table import Port
from wolke.network.service import Collection, CreateBody, UpdateBody, network, standard
from wolke.network.trunks import facts
from wolke.network.trunks.errors import (
    DuplicateSubPort,
    ParentPortInUse,
    SubPortMtuGreaterThanTrunkPortMtu,
    SubPortNotFound,
    TrunkDisabled,
    TrunkNotFound,
    TrunkPortInUse,
)
from wolke.network.trunks.table import Subport, Trunk

quota("network", "trunk", -1, rows_of(Trunk))
VLAN, INHERIT = "vlan", "inherit"  # segmentation types


# What the API takes and gives ----------------------------------------------------------------------------------------
class Wanted(Body):
    """One subport as it is asked for; ``inherit`` takes type and number from the port's network."""

    port_id: Text255
    segmentation_type: str | UnsetType = UNSET
    segmentation_id: int | UnsetType = UNSET


class Create(CreateBody, kw_only=True):
    port_id: Text255
    admin_state_up: bool = True
    sub_ports: list[Wanted] = []


class Update(UpdateBody):
    admin_state_up: bool | UnsetType = UNSET


class SubPorts(Body):
    sub_ports: list[Wanted]


_child = aliased(Port)
_unplugged = exists().where(Subport.trunk_id == Trunk.id, _child.id == Subport.port_id, _child.seen_up.is_(False))
_missing = _unplugged.correlate(Trunk)  # of this trunk, however far outside it stands
# ACTIVE once a host has plugged the parent and all subports; BUILD while subports are under way
_status = case((Port.seen_up.is_(False), "DOWN"), (_missing, "BUILD"), else_="ACTIVE")


def views(ctx: Ctx, found: Sequence[Any]) -> list[Json]:
    ids = [one.id for one in found]
    held: dict[str, list[Json]] = {id: [] for id in ids}
    query = select(Subport.__table__).where(Subport.trunk_id.in_(ids)).order_by(Subport.segmentation_id)
    for row in ctx.db.execute(query):
        held[row.trunk_id].append(facts.shown(row))
    states = select(Trunk.id, _status.label("status")).join(Port, Port.id == Trunk.port_id).where(Trunk.id.in_(ids))
    status = {row.id: row.status for row in ctx.db.execute(states)}
    return [
        standard(one)
        | {
            "port_id": one.port_id,
            "admin_state_up": one.admin_state_up,
            "status": status[one.id],
            "sub_ports": held[one.id],
        }
        for one in found
    ]


def by_status(ctx: Ctx, values: list[str]) -> ColumnElement[bool]:
    here = (
        select(Trunk.id).join(Port, Port.id == Trunk.port_id).where(or_(false(), *(_status == one for one in values)))
    )
    return Trunk.id.in_(here)


# What the calls do ---------------------------------------------------------------------------------------------------
class Trunks(Collection[Trunk]):
    def rule(self, action: str) -> str:
        return action if action.endswith("_subports") else super().rule(action)


trunks = Trunks(
    "/v2.0/trunks", "trunk", "trunks", Trunk, views=views, quota="trunk", wakes="", rules=Rules(), error=TrunkNotFound,
    filters={"status": by_status},
    computed={"status": select(_status).where(Port.id == Trunk.port_id).correlate(Trunk).scalar_subquery()},
)  # fmt: skip
_get_subports = policy.rule("get_subports", policy.reader)


@trunks.create
def create(ctx: Ctx, body: Create) -> Trunk:
    check(body.sub_ports)
    parent = ports.find(ctx, body.port_id, "update_port")
    refuse_taken(ctx.db, parent)
    trunk = Trunk(
        project_id=trunks.project_of(ctx, body), name=body.name, description=body.description, port_id=parent.id,
        admin_state_up=body.admin_state_up,
    )  # fmt: skip
    ctx.db.add(trunk)
    ctx.db.flush()
    add(ctx, trunk, body.sub_ports)
    return trunk


@trunks.update
def update(ctx: Ctx, trunk: Trunk, body: Update) -> None:
    take_over(trunk, body, "name", "description", "admin_state_up")


@trunks.delete
def delete(ctx: Ctx, trunk: Trunk) -> None:
    refuse_locked(trunk)
    dissolve(ctx.db, [trunk.id])
    hooks.tell(hooks.port_changed, ctx.db, [trunk.port_id])


@trunks.action("add_subports")
def add_subports(ctx: Ctx, trunk: Trunk, body: SubPorts) -> Json:
    """Add subports to a trunk."""
    refuse_locked(trunk)
    check(body.sub_ports)
    add(ctx, trunk, body.sub_ports)
    return changed(ctx, trunk)


@trunks.action("remove_subports")
def remove_subports(ctx: Ctx, trunk: Trunk, body: SubPorts) -> Json:
    """Take subports from a trunk."""
    refuse_locked(trunk)
    going = [one.port_id for one in body.sub_ports]
    has = set(ctx.db.scalars(select(Subport.port_id).where(Subport.trunk_id == trunk.id)))
    for id in going:
        if id not in has:
            raise SubPortNotFound(f"SubPort {id} on trunk {trunk.id} could not be found.")
    free(ctx.db, going)
    hooks.tell(hooks.port_changed, ctx.db, [trunk.port_id])
    return changed(ctx, trunk)


@network.call("GET", "/v2.0/trunks/{trunk_id}/get_subports", rule=_get_subports)
def get_subports(ctx: Ctx) -> Json:
    """The subports of a trunk."""
    trunk = trunks.seen(ctx, ctx.path["trunk_id"])
    ctx.require(_get_subports, trunk)
    return {"sub_ports": views(ctx, [trunk])[0]["sub_ports"]}


def changed(ctx: Ctx, trunk: Trunk) -> Json:
    """Subports stand in a table of their own; their change is a change of the trunk."""
    trunk.revision += 1
    trunk.updated_at = ctx.now
    ctx.db.flush()
    return views(ctx, [trunk])[0]


def refuse_locked(trunk: Trunk) -> None:
    if not trunk.admin_state_up:
        raise TrunkDisabled(f"Trunk {trunk.id} is currently disabled.")


def refuse_taken(db: Session, port: Port) -> None:
    """Raises TrunkPortInUse, ParentPortInUse: the port belongs to a trunk already."""
    if db.scalar(select(Subport.port_id).where(Subport.port_id == port.id)):
        raise TrunkPortInUse(f"Port {port.id} is in use by another trunk.")
    if db.scalar(select(Trunk.id).where(Trunk.port_id == port.id)):
        raise ParentPortInUse(f"Port {port.id} is currently in use and is not eligible for use as a parent port.")


# Subports ------------------------------------------------------------------------------------------------------------
def add(ctx: Ctx, trunk: Trunk, wanted: Sequence[Wanted]) -> None:
    """Give a trunk more subports, all or none."""
    taken = set(ctx.db.scalars(select(Subport.segmentation_id).where(Subport.trunk_id == trunk.id)))
    largest = ctx.db.scalar(select(Network.mtu).join(Port).where(Port.id == trunk.port_id)) or 0
    asked: set[int] = set()
    for one in wanted:
        if one.port_id == trunk.port_id:
            raise ParentPortInUse(
                f"Port {one.port_id} is currently in use and is not eligible for use as a parent port."
            )
        port = ports.find(ctx, one.port_id, "update_port")
        refuse_taken(ctx.db, port)
        under = ctx.db.get_one(Network, port.network_id)
        if under.mtu > largest:
            raise SubPortMtuGreaterThanTrunkPortMtu(
                f"MTU {under.mtu} of subport {port.id} cannot be greater than MTU {largest} of trunk {trunk.id}."
            )
        tag = tag_of(one, under)
        if tag in asked:
            raise errors.InvalidInput(f"sub_ports: segmentation_id {tag} is given more than once")
        asked.add(tag)
        if port.device_id:
            raise errors.PortInUse(
                f"Unable to complete operation on port {port.id} for network {port.network_id}. Port already has an attached"
                f" device {port.device_id}."
            )
        if tag in taken:
            raise DuplicateSubPort(
                f"segmentation_type {VLAN} and segmentation_id {tag} already in use on trunk {trunk.id}."
            )
        port.device_owner, port.host = SUBPORT, ""  # it is where its parent is
        ctx.db.add(Subport(port_id=port.id, trunk_id=trunk.id, segmentation_type=VLAN, segmentation_id=tag))
        ctx.wake("port", port.id)
    ctx.db.flush()
    hooks.tell(hooks.port_changed, ctx.db, [trunk.port_id])


def check(wanted: Sequence[Wanted]) -> None:
    """Raises InvalidInput: type or number is missing, unknown or out of range, or a port is given twice."""
    names = [one.port_id for one in wanted]
    if twice := next((id for id in names if names.count(id) > 1), None):
        raise errors.InvalidInput(f"sub_ports: port {twice} is given more than once")
    tags = [
        one.segmentation_id for one in wanted if one.segmentation_type != INHERIT and one.segmentation_id is not UNSET
    ]
    if again := next((tag for tag in tags if tags.count(tag) > 1), None):
        raise errors.InvalidInput(f"sub_ports: segmentation_id {again} is given more than once")
    for one in wanted:
        kind, number = one.segmentation_type, one.segmentation_id
        if kind == INHERIT:
            continue
        if kind is UNSET or number is UNSET:
            raise errors.InvalidInput(
                f"Invalid subport details of port {one.port_id}: missing segmentation information. Must specify both"
                " segmentation_id and segmentation_type"
            )
        if kind != VLAN:
            raise errors.InvalidInput(f"Unknown segmentation_type '{kind}': use one of {VLAN}, {INHERIT}")
        if not 1 <= number <= 4094:
            raise errors.InvalidInput(f"segmentation_id '{number}' is not in range 1 through 4094")


def tag_of(one: Wanted, under: Network) -> int:
    """The VLAN tag of a checked subport. Raises InvalidInput: its network has none to inherit."""
    if isinstance(one.segmentation_id, int) and one.segmentation_type == VLAN:
        return one.segmentation_id
    if under.network_type != VLAN:
        raise errors.InvalidInput(
            f"sub_ports: port {one.port_id} cannot inherit: its network is of type {under.network_type}, not {VLAN}"
        )
    return under.segmentation_id


def free(db: Session, port_ids: Sequence[str]) -> None:
    """Subports are plain ports again."""
    db.execute(remove_rows(Subport).where(Subport.port_id.in_(port_ids)))
    for port in db.scalars(select(Port).where(Port.id.in_(port_ids), Port.device_owner == SUBPORT)):
        port.device_owner = ""
    wake_all(db, [("port", id) for id in port_ids])


def dissolve(db: Session, trunk_ids: Sequence[str]) -> None:
    free(db, list(db.scalars(select(Subport.port_id).where(Subport.trunk_id.in_(trunk_ids)))))


def ports_go(db: Session, port_ids: Sequence[str]) -> None:
    """A server's own ports go with it, and with them what they were of trunks. (A call that deletes a port is refused before.)"""
    free(db, list(db.scalars(select(Subport.port_id).where(Subport.port_id.in_(port_ids)))))
    led = list(db.scalars(select(Trunk.id).where(Trunk.port_id.in_(port_ids))))
    if led:
        dissolve(db, led)
        db.execute(remove_rows(Trunk).where(Trunk.id.in_(led)))


def ports_changed(db: Session, port_ids: Sequence[str]) -> None:
    """What a server's guest speaks as behind its card is a matter of the card, too."""
    parents = select(Trunk.port_id).join(Subport, Subport.trunk_id == Trunk.id).where(Subport.port_id.in_(port_ids))
    if led := list(db.scalars(parents.distinct())):
        hooks.tell(hooks.port_changed, db, led)


hooks.port_goes.append(ports_go)
hooks.port_changed.append(ports_changed)
