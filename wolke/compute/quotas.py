"""What a project may have of each thing, and the limits it sees.

API: https://docs.openstack.org/api-ref/compute/#quota-sets-os-quota-sets,
     https://docs.openstack.org/api-ref/compute/#limits-limits
Limits are per project; Nova's older limits per user are not kept, so ``user_id`` in the query changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wolke.compute.server_groups import ServerGroup
from wolke.compute.servers.quotas import usage
from wolke.compute.service import compute, rule
from wolke.core import policy, quota
from wolke.core.bodies import Body, given
from wolke.core.db import Json, lock
from wolke.core.errors import BadRequest
from wolke.core.http import Answer, Ctx
from wolke.core.versions import Since
from wolke.identity.table import Project

SERVICE = "compute"


for _name, _default in (
    ("metadata_items", 128), ("key_pairs", 100), ("injected_files", 0), ("injected_file_content_bytes", 0),
    ("injected_file_path_bytes", 0),
):  # fmt: skip
    quota.quota(SERVICE, _name, _default, quota.each_alone)

# What the network has taken over; Nova shows these without a limit up to 2.35
PROXIED = ("fixed_ips", "floating_ips", "security_group_rules", "security_groups")
INJECTED = ("injected_files", "injected_file_content_bytes", "injected_file_path_bytes")
GROUPS = ("server_groups", "server_group_members")

AREA = "os-quota-sets"
SHOW, DETAIL = rule(AREA, "show", policy.reader), rule(AREA, "detail", policy.reader)
DEFAULTS = rule(AREA, "defaults", policy.logged_in)
UPDATE, DELETE = rule(AREA, "update", policy.admin), rule(AREA, "delete", policy.admin)
SHOW_CLASS, UPDATE_CLASS = (rule("os-quota-class-sets", name, policy.admin) for name in ("show", "update"))
LIMITS, OTHER = rule("limits", "", policy.logged_in), rule("limits", "other_project", policy.admin)

Limit = Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None | UnsetType
Old = Annotated[Limit, Since((2, 1), (2, 35))]
File = Annotated[Limit, Since((2, 1), (2, 56))]


class Wanted(Body):
    """New limits; -1 is none, a null changes nothing."""

    instances: Limit = UNSET
    cores: Limit = UNSET
    ram: Limit = UNSET
    metadata_items: Limit = UNSET
    key_pairs: Limit = UNSET
    server_groups: Limit = UNSET
    server_group_members: Limit = UNSET
    fixed_ips: Old = UNSET
    floating_ips: Old = UNSET
    security_groups: Old = UNSET
    security_group_rules: Old = UNSET
    injected_files: File = UNSET
    injected_file_content_bytes: File = UNSET
    injected_file_path_bytes: File = UNSET
    force: bool | UnsetType = UNSET
    tenant_id: str | UnsetType = UNSET


class QuotaSet(Body):
    quota_set: Wanted


class QuotaClassSet(Body):
    quota_class_set: Wanted


def shown(ctx: Ctx, values: Mapping[str, Any], unlimited: Any = -1) -> Json:
    """The limits that this microversion knows."""
    found = dict(values)
    if ctx.version < (2, 36):
        found |= dict.fromkeys(PROXIED, unlimited)
    if ctx.version >= (2, 57):
        found = {name: value for name, value in found.items() if name not in INJECTED}
    return found


def used(db: Session, project_id: str) -> dict[str, int]:
    counted = usage(db, project_id)
    groups = select(func.count()).select_from(ServerGroup).where(ServerGroup.project_id == project_id)
    return {**counted, "server_groups": db.scalar(groups) or 0}


@compute.call("GET", "/v2.1/os-quota-sets/{project_id}", rule=SHOW)
def show(ctx: Ctx) -> Json:
    """A project's limits."""
    id = ctx.path["project_id"]
    ctx.require(SHOW, policy.Target(id))
    return {"quota_set": {"id": id, **shown(ctx, quota.limits(ctx.db, SERVICE, id))}}


@compute.call("GET", "/v2.1/os-quota-sets/{project_id}/detail", rule=DETAIL)
def detail(ctx: Ctx) -> Json:
    """A project's limits, and what it uses of them."""
    id = ctx.path["project_id"]
    ctx.require(DETAIL, policy.Target(id))
    counted = used(ctx.db, id)
    each = {
        name: {"in_use": counted.get(name, 0), "limit": limit, "reserved": 0}
        for name, limit in quota.limits(ctx.db, SERVICE, id).items()
    }
    return {"quota_set": {"id": id, **shown(ctx, each, {"in_use": 0, "limit": -1, "reserved": 0})}}


@compute.call("GET", "/v2.1/os-quota-sets/{project_id}/defaults", rule=DEFAULTS)
def defaults(ctx: Ctx) -> Json:
    """The limits of a project that has none of its own."""
    id = ctx.path["project_id"]
    ctx.require(DEFAULTS, policy.Target(id))
    return {"quota_set": {"id": id, **shown(ctx, quota.limits(ctx.db, SERVICE, quota.DEFAULT_CLASS))}}


@compute.call("PUT", "/v2.1/os-quota-sets/{project_id}", rule=UPDATE, body=QuotaSet)
def update(ctx: Ctx, whole: QuotaSet) -> Json:
    """Give a project limits of its own."""
    id = ctx.path["project_id"]
    ctx.require(UPDATE, policy.Target(id))
    if ctx.db.get(Project, id) is None:
        raise BadRequest(f"Project ID {id} is not a valid project.")
    lock(ctx.db, f"quota/{SERVICE}/{id}")
    wanted, counted = limits_in(whole.quota_set), used(ctx.db, id)
    if whole.quota_set.force is not True:
        for name, limit in wanted.items():
            if 0 <= limit < counted.get(name, 0):
                raise BadRequest(
                    f"Quota limit {limit} for {name} must be greater than or equal to already used and reserved"
                    f" {counted[name]}."
                )
    quota.set_limits(ctx.db, SERVICE, id, wanted)
    return {"quota_set": shown(ctx, quota.limits(ctx.db, SERVICE, id))}


def limits_in(body: Wanted) -> dict[str, int]:
    """Limits that a body sets. The network's are not ours to set: Nova takes and forgets them too."""
    passed_over = {"force", "tenant_id", *PROXIED}
    return {name: value for name, value in given(body).items() if value is not None and name not in passed_over}


@compute.call("DELETE", "/v2.1/os-quota-sets/{project_id}", rule=DELETE, status=202)
def remove(ctx: Ctx) -> None:
    """Take a project's own limits away: the defaults hold again."""
    id = ctx.path["project_id"]
    ctx.require(DELETE, policy.Target(id))
    quota.reset(ctx.db, SERVICE, id)


# The default class ------------------------------------------------------------------------------------------------
def class_shown(ctx: Ctx, limits: Mapping[str, int]) -> Json:
    """Sets of classes have known the server groups, and no more the network's things, since 2.50 only."""
    found = shown(ctx, limits)
    if ctx.version < (2, 50):
        return {name: value for name, value in found.items() if name not in GROUPS} | dict.fromkeys(PROXIED, -1)
    return found


def default_class(ctx: Ctx) -> str:
    """The one class that has an effect. What is written to others, Nova keeps and never reads; here it is refused."""
    if ctx.path["class_name"] != "default":
        raise BadRequest(f"Invalid input for class {ctx.path['class_name']}: the only quota class is 'default'")
    return quota.DEFAULT_CLASS


@compute.call("GET", "/v2.1/os-quota-class-sets/{class_name}", rule=SHOW_CLASS)
def show_class(ctx: Ctx) -> Json:
    """The limits of projects that have none of their own."""
    ctx.require(SHOW_CLASS, policy.Target(ctx.caller.project_id))
    limits = quota.limits(ctx.db, SERVICE, quota.DEFAULT_CLASS)
    return {"quota_class_set": {"id": ctx.path["class_name"], **class_shown(ctx, limits)}}


@compute.call("PUT", "/v2.1/os-quota-class-sets/{class_name}", rule=UPDATE_CLASS, body=QuotaClassSet)
def update_class(ctx: Ctx, whole: QuotaClassSet) -> Json:
    """Change the limits of projects that have none of their own."""
    ctx.require(UPDATE_CLASS, policy.Target(ctx.caller.project_id))
    quota.set_limits(ctx.db, SERVICE, default_class(ctx), limits_in(whole.quota_class_set))
    return {"quota_class_set": class_shown(ctx, quota.limits(ctx.db, SERVICE, quota.DEFAULT_CLASS))}


# Limits -----------------------------------------------------------------------------------------------------------
@compute.call("GET", "/v2.1/limits", rule=LIMITS)
def limits(ctx: Ctx) -> Answer:
    """The caller's limits and what is used of them."""
    ctx.require(LIMITS, policy.Target(ctx.caller.project_id))
    project_id = ctx.caller.project_id
    if (asked := ctx.query.get("tenant_id")) and asked != project_id:
        ctx.require(OTHER, policy.Target(asked))
        project_id = asked
    allowed, counted = quota.limits(ctx.db, SERVICE, project_id), used(ctx.db, project_id)
    absolute = {
        "maxTotalInstances": allowed["instances"], "maxTotalCores": allowed["cores"], "maxTotalRAMSize": allowed["ram"],
        "maxTotalKeypairs": allowed["key_pairs"], "maxServerMeta": allowed["metadata_items"],
        "maxServerGroups": allowed["server_groups"], "maxServerGroupMembers": allowed["server_group_members"],
        "totalInstancesUsed": counted["instances"], "totalCoresUsed": counted["cores"],
        "totalRAMUsed": counted["ram"], "totalServerGroupsUsed": counted["server_groups"],
    }  # fmt: skip
    if ctx.version < (2, 36):
        absolute |= {
            "maxTotalFloatingIps": -1, "maxSecurityGroups": -1, "maxSecurityGroupRules": -1, "totalFloatingIpsUsed": 0,
            "totalSecurityGroupsUsed": 0,
        }  # fmt: skip
    if ctx.version < (2, 39):
        absolute["maxImageMeta"] = allowed["metadata_items"]
    if ctx.version < (2, 57):
        absolute |= {
            "maxPersonality": allowed["injected_files"], "maxPersonalitySize": allowed["injected_file_content_bytes"],
        }  # fmt: skip
    return Answer({"limits": {"rate": [], "absolute": absolute}})
