"""Tags, and taking an image out of use and back.

API:  https://docs.openstack.org/api-ref/image/v2/#image-tags
"""

from __future__ import annotations

from wolke.core.errors import BadRequest, Forbidden, NotFound, TooLarge
from wolke.core.http import Ctx
from wolke.image.images import MOST_TAGS, TEXT_LIMIT, find
from wolke.image.service import image as service


@service.call("PUT", "/v2/images/{image_id}/tags/{tag}", rule="modify_image", status=204)
def add_tag(ctx: Ctx) -> None:
    """Add a tag."""
    found, tag = find(ctx, ctx.path["image_id"], "modify_image"), ctx.path["tag"]
    if len(tag) > TEXT_LIMIT:
        raise BadRequest(f"Invalid value for tag: longer than {TEXT_LIMIT} characters")
    if len(tags := {*found.tags, tag}) > MOST_TAGS:
        raise TooLarge(f"An image has at most {MOST_TAGS} tags")
    found.tags = sorted(tags)
    ctx.about(found)


@service.call("DELETE", "/v2/images/{image_id}/tags/{tag}", rule="modify_image", status=204)
def remove_tag(ctx: Ctx) -> None:
    """Take a tag away."""
    found, tag = find(ctx, ctx.path["image_id"], "modify_image"), ctx.path["tag"]
    if tag not in found.tags:
        raise NotFound(f"Image {found.id} has no tag {tag}")
    found.tags = [one for one in found.tags if one != tag]
    ctx.about(found)


@service.call("POST", "/v2/images/{image_id}/actions/deactivate", rule="deactivate", status=204)
def deactivate(ctx: Ctx) -> None:
    """Refuse downloads and new servers of an image until it is reactivated."""
    found = find(ctx, ctx.path["image_id"], "deactivate")
    if found.data != "active":
        raise Forbidden(f"Not allowed to deactivate image in status '{found.data}'")
    found.deactivated = True
    ctx.about(found)


@service.call("POST", "/v2/images/{image_id}/actions/reactivate", rule="reactivate", status=204)
def reactivate(ctx: Ctx) -> None:
    """Take a deactivated image into use again."""
    found = find(ctx, ctx.path["image_id"], "reactivate")
    if found.data != "active":
        raise Forbidden(f"Not allowed to reactivate image in status '{found.data}'")
    found.deactivated = False
    ctx.about(found)
