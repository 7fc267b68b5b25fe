"""Extra specs: what a flavor asks of a host beyond its size.

API: https://docs.openstack.org/api-ref/compute/#flavors-extra-specs
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from msgspec import Meta

from wolke.compute.flavors import SHOW_SPECS, find, named
from wolke.compute.service import compute, rule
from wolke.core import policy
from wolke.core.bodies import Body
from wolke.core.db import Json
from wolke.core.errors import BadRequest, NotFound
from wolke.core.http import Ctx

AREA = "os-flavor-extra-specs"
SHOW = rule(AREA, "show", policy.reader)
CREATE, UPDATE, DELETE = (rule(AREA, name, policy.admin) for name in ("create", "update", "delete"))
PATH = "/v2.1/flavors/{flavor_id}/os-extra_specs"
KEY = re.compile(r"[a-zA-Z0-9-_:. ]{1,255}")
Text = Annotated[str, Meta(max_length=255)]
Specs = dict[str, Text | bool | int | float]


class Given(Body):
    extra_specs: Specs


def text(value: str | float) -> str:
    """As Nova keeps them: everything is a string, ``True`` for a boolean."""
    return value if isinstance(value, str) else str(value)


def checked(specs: Specs) -> dict[str, str]:
    for key in specs:
        if not KEY.fullmatch(key):
            raise BadRequest(f"Invalid input for extra_specs: '{key}' does not match '^[a-zA-Z0-9-_:. ]{{1,255}}$'")
    return {key: text(value) for key, value in specs.items()}


def value_of(ctx: Ctx, flavor: Any) -> Json:
    key = ctx.path["key"]
    if key not in flavor.extra_specs:
        raise NotFound(f"Flavor {flavor.id} has no extra specs with key {key}.")
    return {key: flavor.extra_specs[key]}


@compute.call("GET", PATH, rule=SHOW_SPECS)
def index(ctx: Ctx) -> Json:
    """A flavor's extra specs."""
    ctx.require(SHOW_SPECS, policy.Target(ctx.caller.project_id))
    return {"extra_specs": named(ctx).extra_specs}


@compute.call("POST", PATH, rule=CREATE, body=Given)
def create(ctx: Ctx, body: Given) -> Json:
    """Set extra specs of a flavor."""
    ctx.require(CREATE, policy.Target(ctx.caller.project_id))
    flavor, specs = find(ctx), checked(body.extra_specs)
    flavor.extra_specs = {**flavor.extra_specs, **specs}
    return {"extra_specs": specs}


@compute.call("GET", PATH + "/{key}", rule=SHOW)
def show(ctx: Ctx) -> Json:
    """One extra spec of a flavor."""
    ctx.require(SHOW, policy.Target(ctx.caller.project_id))
    return value_of(ctx, named(ctx))


@compute.call("PUT", PATH + "/{key}", rule=UPDATE, body=Specs)
def update(ctx: Ctx, body: Specs) -> Json:
    """Change one extra spec of a flavor."""
    ctx.require(UPDATE, policy.Target(ctx.caller.project_id))
    if [*body] != [ctx.path["key"]]:
        raise BadRequest("Request body and URI mismatch")
    flavor, specs = find(ctx), checked(body)
    flavor.extra_specs = {**flavor.extra_specs, **specs}
    return dict(specs)


@compute.call("DELETE", PATH + "/{key}", rule=DELETE)
def remove(ctx: Ctx) -> None:
    """Take one extra spec from a flavor."""
    ctx.require(DELETE, policy.Target(ctx.caller.project_id))
    flavor = find(ctx)
    value_of(ctx, flavor)
    flavor.extra_specs = {key: value for key, value in flavor.extra_specs.items() if key != ctx.path["key"]}
