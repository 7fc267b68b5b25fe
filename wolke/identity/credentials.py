"""Credentials: secrets that users keep here (EC2 keys, TOTP seeds), and EC2 keys by their own call.

API: https://docs.openstack.org/api-ref/identity/v3/#credentials
"""

from __future__ import annotations

import hashlib
import uuid
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import select

from wolke.core import policy
from wolke.core.bodies import OpenBody
from wolke.core.db import Json
from wolke.core.errors import BadRequest, Conflict
from wolke.core.http import Ctx
from wolke.core.policy import Target
from wolke.identity.authority import projects_of
from wolke.identity.entities import Entities, changes
from wolke.identity.service import Id, Name, identity, owner_or_admin, owner_or_system_reader, unknown
from wolke.identity.table import Credential, Project, User

Blob = Annotated[str, Meta(min_length=1, max_length=65536)]
EC2 = "/v3/users/{user_id}/credentials/OS-EC2"


# What the API takes and gives ----------------------------------------------------------------------------------------
class Create(OpenBody):
    blob: Blob
    type: Name
    user_id: Id | UnsetType = UNSET
    project_id: Id | None = None


class Update(OpenBody):
    blob: Blob | UnsetType = UNSET
    type: Name | UnsetType = UNSET
    user_id: Id | UnsetType = UNSET
    project_id: Id | UnsetType | None = UNSET


class Ec2(Struct):
    tenant_id: Id


def views(ctx: Ctx, things: Any) -> list[Json]:
    return [
        {
            **thing.extra, "id": thing.id, "user_id": thing.user_id, "project_id": thing.project_id or None,
            "type": thing.type, "blob": ctx.app.vault.open(thing.sealed).decode(),
            "links": {"self": f"{ctx.base}/v3/credentials/{thing.id}"},
        }
        for thing in things
    ]  # fmt: skip


credentials = Entities(
    "/v3/credentials", "credential", "credentials", Credential, lambda thing, links: {}, views=views,
    seen=lambda ctx: Credential.user_id == ctx.caller.user_id,
    checks={
        "get": owner_or_system_reader, "list": owner_or_system_reader, "create": owner_or_admin, "update": owner_or_admin,
        "delete": owner_or_admin,
    },
    filters={"user_id": Credential.user_id, "type": Credential.type},
)  # fmt: skip


def access_of(type: str, blob: str) -> str:
    """The access key in the blob of an EC2 credential; "" for others. Raises BadRequest."""
    if type != "ec2":
        return ""
    try:
        keys = msgspec.json.decode(blob)
        return str(keys["access"])
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise BadRequest("Invalid input for blob: an ec2 credential is a JSON object with access and secret") from error


def id_of(access: str) -> str:
    """EC2 credentials are found by their access key: their id is its SHA-256."""
    return hashlib.sha256(access.encode()).hexdigest()


# What the calls do ---------------------------------------------------------------------------------------------------
@credentials.create()
def create(ctx: Ctx, body: Create) -> Credential:
    user_id = body.user_id if body.user_id is not UNSET else ctx.caller.user_id
    ctx.require("identity:create_credential", Target(user_id=user_id))
    existing(ctx, user_id, body.project_id)
    access = access_of(body.type, body.blob)
    if body.type == "ec2" and not body.project_id:
        raise BadRequest("Invalid input for project_id: an ec2 credential needs one")
    made = Credential(
        user_id=user_id, project_id=body.project_id or "", type=body.type, extra=body.extra,
        sealed=ctx.app.vault.seal(body.blob.encode()),
    )  # fmt: skip
    if access:
        made.id = id_of(access)
        if ctx.db.get(Credential, made.id):
            raise Conflict(
                "Conflict occurred attempting to store credential - Duplicate entry found with that access key."
            )
    return made


def existing(ctx: Ctx, user_id: str, project_id: str | None) -> None:
    """Raises NotFound. A user may not name a project on which he has no role."""
    if ctx.db.get(User, user_id) is None:
        raise unknown("user", user_id)
    if not project_id:
        return
    project = ctx.db.get(Project, project_id)
    if project is None or (not ctx.caller.is_admin and project_id not in projects_of(ctx.db, user_id)):
        raise unknown("project", project_id)


@credentials.update()
def update(ctx: Ctx, credential: Credential, body: Update) -> None:
    sent = changes(body)
    if "user_id" in sent:
        ctx.require("identity:update_credential", Target(user_id=sent["user_id"]))
    existing(ctx, sent.get("user_id", credential.user_id), sent.get("project_id", credential.project_id))
    blob = sent.get("blob") or ctx.app.vault.open(credential.sealed).decode()
    credential.type = sent.get("type", credential.type)
    access_of(credential.type, blob)
    credential.sealed = ctx.app.vault.seal(blob.encode())
    credential.user_id = sent.get("user_id", credential.user_id)
    credential.project_id = sent.get("project_id", credential.project_id) or ""


@credentials.delete
def remove(ctx: Ctx, credential: Credential) -> None:
    """Nothing else depends on it."""


# EC2 keys ------------------------------------------------------------------------------------------------------------
policy.rules(
    {
        "identity:ec2_get_credential": owner_or_system_reader,
        "identity:ec2_list_credentials": owner_or_system_reader,
        "identity:ec2_create_credential": owner_or_admin,
        "identity:ec2_delete_credential": owner_or_admin,
    }
)


def ec2_view(ctx: Ctx, credential: Credential) -> Json:
    keys = msgspec.json.decode(ctx.app.vault.open(credential.sealed))
    user_id, access = credential.user_id, str(keys["access"])
    return {
        "user_id": user_id, "tenant_id": credential.project_id, "access": access, "secret": keys.get("secret"),
        "trust_id": None, "links": {"self": f"{ctx.base}/v3/users/{user_id}/credentials/OS-EC2/{access}"},
    }  # fmt: skip


def keeper(ctx: Ctx, rule: str) -> str:
    ctx.require(rule, Target(user_id=ctx.path["user_id"]))
    existing(ctx, ctx.path["user_id"], None)
    return ctx.path["user_id"]


@identity.call("POST", EC2, rule="identity:ec2_create_credential", body=Ec2, status=201)
def create_ec2(ctx: Ctx, body: Ec2) -> Json:
    """Create a pair of EC2 keys for a project."""
    user_id = keeper(ctx, "identity:ec2_create_credential")
    existing(ctx, user_id, body.tenant_id)
    keys = {"access": uuid.uuid4().hex, "secret": uuid.uuid4().hex}
    made = Credential(
        id=id_of(keys["access"]), user_id=user_id, project_id=body.tenant_id, type="ec2",
        sealed=ctx.app.vault.seal(msgspec.json.encode(keys)), extra={},
    )  # fmt: skip
    ctx.db.add(made)
    ctx.about(made)
    return {"credential": ec2_view(ctx, made)}


@identity.call("GET", EC2, rule="identity:ec2_list_credentials")
def list_ec2(ctx: Ctx) -> Json:
    """List a user's EC2 keys."""
    user_id = keeper(ctx, "identity:ec2_list_credentials")
    found = ctx.db.scalars(select(Credential).where(Credential.user_id == user_id, Credential.type == "ec2"))
    links = {"self": f"{ctx.base}/v3/users/{user_id}/credentials/OS-EC2", "next": None, "previous": None}
    return {"credentials": [ec2_view(ctx, one) for one in found], "links": links}


def find_ec2(ctx: Ctx, rule: str) -> Credential:
    user_id, access = keeper(ctx, rule), ctx.path["credential_id"]
    found = ctx.db.get(Credential, id_of(access))
    if found is None or found.user_id != user_id or found.type != "ec2":
        raise unknown("credential", access)
    return found


@identity.call("GET", EC2 + "/{credential_id}", rule="identity:ec2_get_credential")
def show_ec2(ctx: Ctx) -> Json:
    """Show a pair of EC2 keys."""
    return {"credential": ec2_view(ctx, find_ec2(ctx, "identity:ec2_get_credential"))}


@identity.call("DELETE", EC2 + "/{credential_id}", rule="identity:ec2_delete_credential", status=204)
def remove_ec2(ctx: Ctx) -> None:
    """Delete a pair of EC2 keys."""
    found = find_ec2(ctx, "identity:ec2_delete_credential")
    ctx.about(found)
    ctx.db.delete(found)
