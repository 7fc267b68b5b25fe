"""Tags of every resource of this API.

API: https://docs.openstack.org/api-ref/network/v2/#standard-attributes-tag-extension
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import unquote

from msgspec import Meta

from wolke.core import policy
from wolke.core.bodies import Body
from wolke.core.db import Json
from wolke.core.errors import BadRequest
from wolke.core.http import Ctx
from wolke.network import errors
from wolke.network.service import Collection, network

Tag = Annotated[str, Meta(min_length=1, max_length=60)]
MOST = 50  # tags of one resource


class Tags(Body):
    tags: list[Tag]


def checked(tags: list[str]) -> list[str]:
    if len(set(tags)) > MOST:
        raise BadRequest(f"Invalid input for tags. Reason: a resource has at most {MOST} tags.")
    return sorted(set(tags))


def declare(things: Collection[Any]) -> None:
    """The tag calls of one collection."""
    path = f"{things.one_path}/tags"
    rules = {
        action: policy.rule(f"{action}_{things.plural}_tags", check)
        for action, check in (
            ("get", things.rules.read),
            ("create", things.rules.update),
            ("update", things.rules.update),
            ("delete", things.rules.update),
        )
    }

    def change(ctx: Ctx, action: str, tags: list[str]) -> Json:
        thing = things.find(ctx, things.id_in(ctx), rules[action])
        before, thing.tags = thing.tags, checked(tags)
        ctx.db.flush()
        ctx.about(thing, before={"tags": before}, after={"tags": thing.tags})
        return {"tags": thing.tags}

    def present(ctx: Ctx) -> list[str]:
        return list(things.seen(ctx, things.id_in(ctx)).tags)

    def named(ctx: Ctx) -> str:
        """The tag in the path. Raises BadRequest: too long."""
        tag = unquote(ctx.path["tag"])
        if len(tag) > 60:
            raise BadRequest(f"Invalid input for tag. Reason: '{tag}' exceeds maximum length of 60.")
        return tag

    def missing(ctx: Ctx, tag: str) -> errors.TagNotFound:
        return errors.TagNotFound(f"Tag {tag} could not be found.")

    @network.call("GET", path, rule=rules["get"], summary=f"List a {things.singular}'s tags")
    def list_tags(ctx: Ctx) -> Json:
        return {"tags": present(ctx)}

    @network.call("PUT", path, rule=rules["update"], body=Tags, summary=f"Replace a {things.singular}'s tags")
    def replace(ctx: Ctx, body: Tags) -> Json:
        return change(ctx, "update", body.tags)

    @network.call("POST", path, rule=rules["create"], body=Tags, status=201, summary=f"Add tags to a {things.singular}")
    def add_all(ctx: Ctx, body: Tags) -> Json:
        return change(ctx, "create", [*present(ctx), *body.tags])

    @network.call("DELETE", path, rule=rules["delete"], status=204, summary=f"Take all tags from a {things.singular}")
    def remove_all(ctx: Ctx) -> None:
        change(ctx, "delete", [])

    @network.call("GET", f"{path}/{{tag}}", rule=rules["get"], status=204, summary="Whether it has a tag")
    def has(ctx: Ctx) -> None:
        if (tag := named(ctx)) not in present(ctx):
            raise missing(ctx, tag)

    @network.call("PUT", f"{path}/{{tag}}", rule=rules["update"], status=201, summary="Add one tag")
    def add(ctx: Ctx) -> None:
        change(ctx, "update", [*present(ctx), named(ctx)])

    @network.call("DELETE", f"{path}/{{tag}}", rule=rules["delete"], status=204, summary="Take one tag away")
    def remove(ctx: Ctx) -> None:
        tag, tags = named(ctx), present(ctx)
        if tag not in tags:
            raise missing(ctx, tag)
        change(ctx, "delete", [one for one in tags if one != tag])
