"""Key pairs: a user's public keys, which new servers are told: of SSH, or certificates for WinRM.

API: https://docs.openstack.org/api-ref/compute/#keypairs-keypairs
They belong to the user, not to a project. A private key that is made here is given once and kept nowhere.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_public_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import Text, UniqueConstraint, func, select
from sqlalchemy.orm import Mapped, mapped_column

from wolke.compute.service import compute, moment, next_link, rule, whole
from wolke.core import policy, quota
from wolke.core.app import App
from wolke.core.auth import Caller
from wolke.core.bodies import Body
from wolke.core.db import Base, Json, lock
from wolke.core.errors import BadRequest, Conflict, NotFound, OverQuota
from wolke.core.http import Answer, Ctx
from wolke.core.versions import Since


# What we keep -----------------------------------------------------------------------------------------------------
class KeyPair(Base):
    __tablename__ = "keypair"
    __table_args__ = (UniqueConstraint("user_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    user_id: Mapped[str]
    name: Mapped[str]
    type: Mapped[str] = mapped_column(default="ssh")  # ssh | x509
    fingerprint: Mapped[str]  # MD5 of an SSH key, SHA-1 of a certificate; colons between the bytes
    public_key: Mapped[str] = mapped_column(Text)
    created_at: Mapped[float]  # unix seconds


# What the API takes and gives -------------------------------------------------------------------------------------
LOGIN_NAME = "1.3.6.1.4.1.311.20.2.3"  # Microsoft's user principal name
OLD_NAME = re.compile(r"[_\- a-zA-Z0-9]+")
NEW_NAME = re.compile(r"[_\-@. a-zA-Z0-9]+")  # since 2.92
UserId = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9-]*$")]


class Create(Body, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=255)]
    public_key: Annotated[str, Meta(max_length=65535)] | UnsetType = UNSET
    type: Annotated[Literal["ssh", "x509"] | UnsetType, Since((2, 2))] = UNSET
    user_id: Annotated[UserId | UnsetType, Since((2, 10))] = UNSET


class CreateKeyPair(Body):
    keypair: Create


class Mine:
    """Target of the rules: a user's key pairs."""

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id


def own(caller: Caller, target: Any) -> bool:
    return policy.admin(caller, target) or (bool(caller.user_id) and caller.user_id == target.user_id)


INDEX, SHOW, CREATE, DELETE = (rule("os-keypairs", name, own) for name in ("index", "show", "create", "delete"))


def view(ctx: Ctx, key: Any) -> Json:
    shown = {"name": key.name, "public_key": key.public_key, "fingerprint": key.fingerprint}
    return {**shown, "type": key.type} if ctx.version >= (2, 2) else shown


def fingerprint(kind: str, public_key: str) -> str:
    """Raises BadRequest: not a public key in OpenSSH's form, or not a certificate in PEM."""
    try:
        if kind == "x509":
            digest = x509.load_pem_x509_certificate(public_key.encode()).fingerprint(hashes.SHA1()).hex()
        else:
            parts = public_key.strip().split()
            load_ssh_public_key(" ".join(parts[:2]).encode())
            digest = hashlib.md5(base64.b64decode(parts[1]), usedforsecurity=False).hexdigest()
    except (ValueError, IndexError, UnsupportedAlgorithm, UnicodeError) as error:
        raise BadRequest("Keypair data is invalid: failed to generate fingerprint") from error
    return ":".join(re.findall("..", digest))


def generated(kind: str, user_id: str, now: float) -> tuple[str, str]:
    """A new RSA key in PEM, and its public half: in OpenSSH's form, or as a certificate that the user logs in with."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    if kind == "x509":
        return private, certificate(key, user_id, now)
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return private, f"{public} Generated-by-Wolke"


def certificate(key: rsa.RSAPrivateKey, user_id: str, now: float) -> str:
    """A self-signed certificate for logins by WinRM, as Nova makes them."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user_id[:64])])
    login = x509.OtherName(x509.ObjectIdentifier(LOGIN_NAME), utf8(f"{user_id[:64]}@localhost"))
    today = datetime.fromtimestamp(now, UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(today - timedelta(days=1)).not_valid_after(today + timedelta(days=3650))
    made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    made = made.add_extension(x509.SubjectAlternativeName([login]), critical=False)
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def utf8(text: str) -> bytes:
    """A UTF8String in DER of fewer than 128 bytes."""
    return bytes([12, len(text.encode())]) + text.encode()


# What the calls do ------------------------------------------------------------------------------------------------
def owner(ctx: Ctx) -> str:
    return ctx.query.get("user_id", ctx.caller.user_id) if ctx.version >= (2, 10) else ctx.caller.user_id


def found(ctx: Ctx, user_id: str, name: str) -> KeyPair:
    key = ctx.db.scalar(select(KeyPair).where(KeyPair.user_id == user_id, KeyPair.name == name))
    if key is None:
        raise NotFound(f"Keypair {name} not found for user {user_id}")
    return key


@compute.call("GET", "/v2.1/os-keypairs", rule=INDEX)
def index(ctx: Ctx) -> Json:
    """List key pairs."""
    user_id = owner(ctx)
    ctx.require(INDEX, Mine(user_id))
    query = select(KeyPair).where(KeyPair.user_id == user_id).order_by(KeyPair.name)
    limit = 0
    if ctx.version >= (2, 35):
        limit, marker = min(whole(ctx, "limit") or 1000, 1000), ctx.query.get("marker")
        query = query.limit(limit)
        if marker:
            if ctx.db.scalar(query.where(KeyPair.name == marker)) is None:
                raise BadRequest(f"Marker {marker} could not be found.")
            query = query.where(KeyPair.name > marker)
    keys = ctx.db.scalars(query).all()
    answer: Json = {"keypairs": [{"keypair": view(ctx, key)} for key in keys]}
    if limit and len(keys) == limit:
        answer["keypairs_links"] = next_link(ctx, "/v2.1/os-keypairs", keys[-1].name)
    return answer


@compute.call("GET", "/v2.1/os-keypairs/{name}", rule=SHOW)
def show(ctx: Ctx) -> Json:
    """Show one key pair."""
    user_id = owner(ctx)
    ctx.require(SHOW, Mine(user_id))
    key = found(ctx, user_id, ctx.path["name"])
    rest = {
        "user_id": key.user_id, "id": key.id, "deleted": False, "deleted_at": None, "updated_at": None,
        "created_at": moment(key.created_at),
    }  # fmt: skip
    return {"keypair": {**view(ctx, key), **rest}}


class Made(Body, kw_only=True):
    """The request with the keys that it needs; making them takes longer than a transaction should."""

    asked: Create
    kind: str
    public: str
    private: str
    fingerprint: str


def prepare(app: App, caller: Caller, path: Mapping[str, str], body: CreateKeyPair) -> Made:
    asked = body.keypair
    kind = "ssh" if asked.type is UNSET else asked.type
    user_id = caller.user_id if asked.user_id is UNSET else asked.user_id
    private, public = ("", asked.public_key) if asked.public_key is not UNSET else generated(kind, user_id, app.clock())
    return Made(asked=asked, kind=kind, public=public, private=private, fingerprint=fingerprint(kind, public))


@compute.call("POST", "/v2.1/os-keypairs", rule=CREATE, body=CreateKeyPair, prepare=prepare)
def create(ctx: Ctx, made: Made) -> Answer:
    """Import a public key; before 2.92 also make a pair."""
    asked = made.asked
    user_id = ctx.caller.user_id if asked.user_id is UNSET else asked.user_id
    ctx.require(CREATE, Mine(user_id))
    pattern = NEW_NAME if ctx.version >= (2, 92) else OLD_NAME
    if not pattern.fullmatch(asked.name) or asked.name != asked.name.strip():
        raise BadRequest(f"Invalid input for keypair.name: '{asked.name}' does not match '^{pattern.pattern}$'")
    if ctx.version >= (2, 92) and made.private:
        raise BadRequest("Invalid input: 'public_key' is a required property")
    lock(ctx.db, f"keypairs/{user_id}")
    mine = KeyPair.user_id == user_id
    if ctx.db.scalar(select(KeyPair.id).where(mine, KeyPair.name == asked.name)) is not None:
        raise Conflict(f"Key pair '{asked.name}' already exists.")
    limit = quota.limits(ctx.db, "compute", ctx.caller.project_id)["key_pairs"]
    used = ctx.db.scalar(select(func.count()).select_from(KeyPair).where(mine)) or 0
    if 0 <= limit <= used:
        raise OverQuota("key_pairs", limit=limit, used=used, requested=1)
    key = KeyPair(
        user_id=user_id, name=asked.name, type=made.kind, fingerprint=made.fingerprint, public_key=made.public,
        created_at=ctx.now,
    )  # fmt: skip
    ctx.db.add(key)
    ctx.db.flush()
    ctx.about(key)
    shown = {**view(ctx, key), "user_id": user_id}
    if made.private:
        shown["private_key"] = made.private
    return Answer({"keypair": shown}, 201 if ctx.version >= (2, 2) else 200)


@compute.call("DELETE", "/v2.1/os-keypairs/{name}", rule=DELETE)
def remove(ctx: Ctx) -> Answer:
    """Delete a key pair; servers keep the key they were made with."""
    user_id = owner(ctx)
    ctx.require(DELETE, Mine(user_id))
    key = found(ctx, user_id, ctx.path["name"])
    ctx.about(key)
    ctx.db.delete(key)
    return Answer(None, 204 if ctx.version >= (2, 2) else 202)


# For servers ------------------------------------------------------------------------------------------------------
def chosen(ctx: Ctx, name: str) -> KeyPair:
    """The caller's key for a new server. Raises BadRequest."""
    key = ctx.db.scalar(select(KeyPair).where(KeyPair.user_id == ctx.caller.user_id, KeyPair.name == name))
    if key is None:
        raise BadRequest("Invalid key_name provided.")
    return key
