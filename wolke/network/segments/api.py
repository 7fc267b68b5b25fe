"""Segments of networks, for operators.

API: https://docs.openstack.org/api-ref/network/v2/#segments

A network's first segment is made and goes with it. Further ones are numbers of the overlay: OVN carries all of a network's overlay as one,
whatever numbers it has. A further physical segment would join two wires on every host that reaches both, in a loop; a network is stretched
onto a wire by its zone (``/wolke/v1/zones/{id}/stretches``).
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import ColumnElement

from wolke.core.bodies import Body, Text255
from wolke.core.collection import OPERATOR
from wolke.core.db import Json, lock
from wolke.core.errors import Conflict, NotFound
from wolke.core.http import Ctx
from wolke.network import errors
from wolke.network.networks.api import networks
from wolke.network.segments.numbers import MOST, OVERLAY, free_tunnel, refuse_taken
from wolke.network.segments.table import Segment
from wolke.network.service import Collection, standard


class SegmentNotFound(NotFound):
    pass


class SegmentInUse(Conflict):
    pass


# What the API takes and gives ----------------------------------------------------------------------------------------
class Create(Body, kw_only=True):
    name: Text255 | None = None
    description: Text255 | None = None
    project_id: Text255 | UnsetType = UNSET
    tenant_id: Text255 | UnsetType = UNSET
    network_id: Text255
    network_type: Text255
    physical_network: Text255 | UnsetType | None = UNSET
    segmentation_id: Annotated[int, Meta(ge=1, le=MOST)] | UnsetType | None = UNSET


class Update(Body):
    name: Text255 | UnsetType | None = UNSET
    description: Text255 | UnsetType | None = UNSET


def view(segment: Any) -> Json:
    shown = standard(segment)
    del shown["project_id"], shown["tenant_id"], shown["tags"]
    return shown | {
        "name": segment.name or None,
        "network_id": segment.network_id,
        "network_type": segment.network_type,
        "physical_network": segment.physical_network or None,
        "segmentation_id": segment.segmentation_id or None,
    }


# What the calls do ---------------------------------------------------------------------------------------------------
def by_physical(ctx: Ctx, values: list[str]) -> ColumnElement[bool]:
    return Segment.physical_network.in_(values)


segments: Collection[Segment] = Collection(
    "/v2.0/segments", "segment", "segments", Segment, view, wakes="", error=SegmentNotFound, title="Segment",
    rules=OPERATOR, private=("seen_revision", "deleting", "project_id", "is_first"), filters={"physical_network": by_physical},
)  # fmt: skip


@segments.create
def create(ctx: Ctx, body: Create) -> Segment:
    network = networks.seen(ctx, body.network_id)
    if body.network_type != OVERLAY:
        raise errors.InvalidInput(
            f"network_type of a further segment is {OVERLAY}, not '{body.network_type}': a network is stretched onto a physical"
            " one by its zone"
        )
    if body.physical_network not in (UNSET, None, ""):
        raise errors.InvalidInput(f"physical_network cannot be given for network_type {OVERLAY}")
    lock(ctx.db, "network/segments")
    asked = 0 if body.segmentation_id in (UNSET, None) else int(body.segmentation_id or 0)
    refuse_taken(ctx.db, asked)
    return Segment(
        project_id=network.project_id,
        network_id=network.id,
        name=body.name or "",
        description=body.description or "",
        network_type=OVERLAY,
        segmentation_id=asked or free_tunnel(ctx.db),
    )


@segments.update
def update(ctx: Ctx, segment: Segment, body: Update) -> None:
    for name in ("name", "description"):
        if (value := getattr(body, name)) is not UNSET:
            setattr(segment, name, value or "")


@segments.delete
def remove(ctx: Ctx, segment: Segment) -> None:
    if segment.is_first:
        raise SegmentInUse(f"Segment '{segment.id}' cannot be deleted: network {segment.network_id} stands on it.")
