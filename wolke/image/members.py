"""Members: projects that a shared image is offered to, and what they say to it.

API:  https://docs.openstack.org/api-ref/image/v2/#sharing
"""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import select

from wolke.core import policy
from wolke.core.bodies import Body
from wolke.core.db import Json, iso
from wolke.core.errors import BadRequest, Conflict, Forbidden, NotFound
from wolke.core.http import Ctx
from wolke.image.images import TEXT_LIMIT, find, seen
from wolke.image.service import image as service
from wolke.image.table import ImageMember


class Create(Body):
    member: str


class Update(Body):
    status: Literal["pending", "accepted", "rejected"]


def view(row: Any) -> Json:
    return {
        "image_id": row.image_id, "member_id": row.member_id, "status": row.status, "schema": "/v2/schemas/member",
        "created_at": iso(row.created_at), "updated_at": iso(row.updated_at),
    }  # fmt: skip


def _shown(ctx: Ctx) -> list[ImageMember]:
    """The members that the caller may know: all for the owner, himself for a member."""
    row = seen(ctx, ctx.path["image_id"])
    ctx.require("get_members", policy.Target(ctx.caller.project_id))
    query = (
        select(ImageMember)
        .where(ImageMember.image_id == row.id)
        .order_by(ImageMember.created_at, ImageMember.member_id)
    )
    if row.project_id != ctx.caller.project_id and not ctx.caller.is_admin:
        query = query.where(ImageMember.member_id == ctx.caller.project_id)
    return list(ctx.db.scalars(query))


def _member(ctx: Ctx) -> ImageMember:
    for one in _shown(ctx):
        if one.member_id == ctx.path["member_id"]:
            return one
    raise NotFound(f"{ctx.path['member_id']} not found in the member list of the image {ctx.path['image_id']}.")


@service.call("GET", "/v2/images/{image_id}/members", rule="get_members")
def list_members(ctx: Ctx) -> Json:
    """List whom an image is shared with."""
    return {"members": [view(one) for one in _shown(ctx)], "schema": "/v2/schemas/members"}


@service.call("GET", "/v2/images/{image_id}/members/{member_id}", rule="get_member")
def show_member(ctx: Ctx) -> Json:
    """Show one member."""
    return view(_member(ctx))


@service.call("POST", "/v2/images/{image_id}/members", rule="add_member", body=Create)
def create_member(ctx: Ctx, body: Create) -> Json:
    """Offer an image to a project."""
    found = find(ctx, ctx.path["image_id"], "add_member")
    if found.visibility != "shared":
        raise Forbidden("Only shared images have members.")
    if not 0 < len(body.member) <= TEXT_LIMIT:
        raise BadRequest(f"Invalid value for member: from 1 to {TEXT_LIMIT} characters")
    if ctx.db.get(ImageMember, (found.id, body.member)):
        raise Conflict(f"Image member {body.member} already exists for image {found.id}.")
    made = ImageMember(image_id=found.id, member_id=body.member, created_at=ctx.now, updated_at=ctx.now)
    ctx.db.add(made)
    ctx.db.flush()
    ctx.about(found)
    return view(made)


@service.call("PUT", "/v2/images/{image_id}/members/{member_id}", rule="modify_member", body=Update)
def update_member(ctx: Ctx, body: Update) -> Json:
    """Accept or reject an image; only the member itself may."""
    ctx.require("modify_member", policy.Target(ctx.caller.project_id))
    one = _member(ctx)
    if one.member_id != ctx.caller.project_id and not ctx.caller.is_admin:
        raise Forbidden("Only the member itself may change its status.")
    one.status, one.updated_at = body.status, ctx.now
    return view(one)


@service.call("DELETE", "/v2/images/{image_id}/members/{member_id}", rule="delete_member", status=204)
def delete_member(ctx: Ctx) -> None:
    """Withdraw an image from a project."""
    found = find(ctx, ctx.path["image_id"], "delete_member")
    ctx.db.delete(_member(ctx))
    ctx.about(found)
