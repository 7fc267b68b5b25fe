"""Whether new security groups are stateful where nobody says so: a project's own setting, else the site's, else they are.

API:  https://docs.openstack.org/api-ref/network/v2/#security-groups-default-statefulness
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from wolke.core import policy
from wolke.core.bodies import Body, Text255, take_over
from wolke.core.collection import Rules
from wolke.core.db import Json, Resource, lock
from wolke.core.errors import BadRequest, Conflict, NotFound
from wolke.core.http import Ctx
from wolke.network.service import Collection, network

SITE = ""  # the project_id of the setting for all who have none of their own
# Neutron calls one setting and all of them alike; the SDK calls one of them by the second word
NAME, SDK_NAME = "security_groups_default_statefulness", "security_group_default_statefulness"


class SecurityGroupDefaultStatefulnessNotFound(NotFound):
    pass


class SecurityGroupDefaultStatefulnessAlreadyExists(Conflict):
    pass


# What we keep -------------------------------------------------------------------------------------------------------
class DefaultStatefulness(Resource):
    """One for each project, and one for the site."""

    __tablename__ = "default_statefulness"

    project_id: Mapped[str] = mapped_column(String(64), unique=True)
    stateful: Mapped[bool] = mapped_column(default=True)


# What the API takes and gives ---------------------------------------------------------------------------------------
class Create(Body):
    project_id: Text255 | UnsetType | None = UNSET  # null: the site's
    stateful: bool = True


class Update(Body):
    stateful: bool | UnsetType = UNSET


def either(inner: Any) -> Any:
    """A body below one of its two names."""
    fields: list[Any] = [(name, inner | UnsetType, UNSET) for name in (NAME, SDK_NAME)]
    name = f"{inner.__name__}DefaultStatefulness"
    return msgspec.defstruct(name, fields, forbid_unknown_fields=True, kw_only=True, module=__name__)


def inside(whole: Any) -> Any:
    """Raises BadRequest: both names, or neither."""
    bodies = [body for name in (NAME, SDK_NAME) if (body := getattr(whole, name)) is not UNSET]
    if len(bodies) != 1:
        raise BadRequest(f"Invalid input: the body must hold '{NAME}'")
    return bodies[0]


def view(setting: Any) -> Json:
    return {"id": setting.id, "project_id": setting.project_id or None, "stateful": setting.stateful}


# What the calls do --------------------------------------------------------------------------------------------------
class Settings(Collection[DefaultStatefulness]):
    """One setting is answered by both its names."""

    def rule(self, action: str) -> str:
        return f"{action}_{NAME}"

    def enclose(self, ctx: Ctx, item: Json) -> Json:
        return dict.fromkeys((NAME, SDK_NAME), self.cut(ctx, item))

    def project_of(self, ctx: Ctx, body: Any) -> str:
        return SITE if body.project_id is None else super().project_of(ctx, body)


PATH = "/v2.0/security-groups-default-statefulness"
settings = Settings(
    PATH, NAME, NAME, DefaultStatefulness, view, wakes="", error=SecurityGroupDefaultStatefulnessNotFound,
    title="Security group default statefulness",
    rules=Rules(read=policy.reader, create=policy.manager, update=policy.manager, delete=policy.manager),
    private=("seen_revision", "deleting", "name", "revision", "created_at", "updated_at"),
)  # fmt: skip
creating = policy.rule(settings.rule("create"), settings.rules.create)
updating = policy.rule(settings.rule("update"), settings.rules.update)


@network.call("POST", PATH, rule=creating, body=either(Create), status=201)
def create(ctx: Ctx, whole: Any) -> Json:
    """Say whether new groups of a project, or of all, are stateful."""
    setting = settings.make(ctx, new, inside(whole), creating)
    shown = view(setting)
    ctx.about(setting, after=shown)
    return settings.enclose(ctx, shown)


def new(ctx: Ctx, body: Create) -> DefaultStatefulness:
    owner = settings.project_of(ctx, body)
    lock(ctx.db, f"default_statefulness/{owner}")
    if ctx.db.scalar(select(DefaultStatefulness.id).where(DefaultStatefulness.project_id == owner)):
        raise SecurityGroupDefaultStatefulnessAlreadyExists(
            f"A security group default statefulness setting already exists for project '{owner or 'system-wide'}'."
        )
    return DefaultStatefulness(project_id=owner, stateful=body.stateful)


@network.call("PUT", settings.one_path, rule=updating, body=either(Update))
def update(ctx: Ctx, whole: Any) -> Json:
    """Change whether new groups are stateful; groups that are there stay as they are."""
    setting = settings.find(ctx, settings.id_in(ctx), updating)
    was = settings.shown(ctx, setting), setting.revision
    take_over(setting, inside(whole), "stateful")
    return settings.enclose(ctx, settings.outcome(ctx, setting, *was))


@settings.delete
def remove(ctx: Ctx, setting: DefaultStatefulness) -> None:
    """Nothing else hangs on it."""


# What groups ask ----------------------------------------------------------------------------------------------------
def stateful_by_default(db: Session, project_id: str) -> bool:
    """Whether a project's new group is stateful where its maker has not said."""
    query = select(DefaultStatefulness.project_id, DefaultStatefulness.stateful)
    found: dict[str, bool] = {
        row.project_id: row.stateful
        for row in db.execute(query.where(DefaultStatefulness.project_id.in_((project_id, SITE))))
    }
    return found.get(project_id, found.get(SITE, True))
