"""Metering labels. What they have counted is told by ``/wolke/v1/metering``: Neutron has no call for it.

API:  https://docs.openstack.org/api-ref/network/v2/#metering-labels-and-rules-metering-labels-metering-label-rules
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from wolke.core import policy
from wolke.core.collection import Rules
from wolke.core.db import Json
from wolke.core.http import Ctx
from wolke.core.quota import quota, rows_of
from wolke.network.metering.errors import MeteringLabelNotFound
from wolke.network.metering.table import MeteringLabel
from wolke.network.metering.wakes import wake_label
from wolke.network.service import Collection, CreateBody

quota("network", "metering_label", 10, rows_of(MeteringLabel))


# What the API takes and gives ----------------------------------------------------------------------------------------
class Create(CreateBody):
    description: Annotated[str, Meta(max_length=1024)] = ""
    shared: bool = False


def view(label: Any) -> Json:
    return {
        "id": label.id,
        "name": label.name,
        "description": label.description,
        "project_id": label.project_id,
        "tenant_id": label.project_id,
        "shared": label.shared,
    }


# What the calls do ---------------------------------------------------------------------------------------------------
class Labels(Collection[MeteringLabel]):
    def missing(self, id: str) -> MeteringLabelNotFound:
        return MeteringLabelNotFound(f"Metering label '{id}' does not exist.")


labels = Labels(
    "/v2.0/metering/metering-labels", "metering_label", "metering_labels", MeteringLabel, view, quota="metering_label",
    rules=Rules(create=policy.manager, delete=policy.manager), wakes="",
    # it counts on everybody's routers
    create_guards={"shared": policy.admin},
    private=("seen_revision", "deleting", "revision", "created_at", "updated_at"),
)  # fmt: skip


@labels.create
def create(ctx: Ctx, body: Create) -> MeteringLabel:
    return MeteringLabel(name=body.name, description=body.description, shared=body.shared)


@labels.delete
def remove(ctx: Ctx, label: MeteringLabel) -> None:
    wake_label(ctx.db, label)
