"""Policies: documents that other programs keep here; nothing in this cloud reads them (its own rules are in policy.yaml).

API: https://docs.openstack.org/api-ref/identity/v3/#policies
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType

from wolke.core.bodies import OpenBody
from wolke.core.db import Json
from wolke.core.http import Ctx
from wolke.core.policy import Target
from wolke.identity.entities import Entities, changes
from wolke.identity.service import Name, admin, system_reader
from wolke.identity.table import PolicyRow


# What the API takes and gives ----------------------------------------------------------------------------------------
class Create(OpenBody):
    blob: str
    type: Name


class Update(OpenBody):
    blob: str | UnsetType = UNSET
    type: Name | UnsetType = UNSET


def view(policy: Any, links: Json) -> Json:
    return {**policy.extra, "id": policy.id, "type": policy.type, "blob": policy.blob, "links": links}


policies = Entities(
    "/v3/policies", "policy", "policies", PolicyRow, view,
    checks={"get": system_reader, "list": system_reader, "create": admin, "update": admin, "delete": admin},
    filters={"type": PolicyRow.type},
)  # fmt: skip


# What the calls do ---------------------------------------------------------------------------------------------------
@policies.create()
def create(ctx: Ctx, body: Create) -> PolicyRow:
    ctx.require("identity:create_policy", Target())
    return PolicyRow(type=body.type, blob=body.blob, extra=body.extra)


@policies.update()
def update(ctx: Ctx, policy: PolicyRow, body: Update) -> None:
    for name, value in changes(body).items():
        setattr(policy, name, value)


@policies.delete
def remove(ctx: Ctx, policy: PolicyRow) -> None:
    """Nothing else depends on it."""
