"""The first rows of a new cloud: domain, roles, administrator, region, catalogue, keys. Run again, it changes what has moved only."""

from __future__ import annotations

import itertools
import os
import secrets
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from wolke.core.app import App
from wolke.core.work import wake
from wolke.identity import passwords
from wolke.identity.catalogue import Offers, publish
from wolke.identity.keys import rotate
from wolke.identity.table import Assignment, Epoch, FernetKey, ImpliedRole, Project, Region, Role, User

DOMAIN = "default"
CHAIN = ("admin", "manager", "member", "reader")  # each implies the next
WORK = "identity"


def bootstrap(app: App, db: Session) -> None:
    if db.get(Epoch, 1) is None:
        db.add(Epoch(id=1, number=0))
        db.flush()
    if db.get(Project, DOMAIN) is None:
        db.add(Project(id=DOMAIN, name="Default", is_domain=True, description="The default domain"))
        db.flush()
    roles = {name: role(db, name) for name in (*CHAIN, "service")}
    for prior, implied in itertools.pairwise(CHAIN):
        db.merge(ImpliedRole(prior_id=roles[prior].id, implied_id=roles[implied].id))
    cloud, services = project(db, "admin"), project(db, "service")
    assert services.id
    admin = db.scalars(select(User).where(User.name == "admin", User.domain_id == DOMAIN)).first()
    if admin is None:
        admin = User(name="admin", domain_id=DOMAIN, password_hash=passwords.hashed(first_password(app)), extra={})
        db.add(admin)
        db.flush()
        for target, id in (("project", cloud.id), ("domain", DOMAIN), ("system", "all")):
            give(db, admin.id, roles["admin"].id, target, id)
    if db.get(Region, app.config.region) is None:
        db.add(Region(id=app.config.region, extra={}))
    publish(db, app.part(Offers), app.config.public_url.rstrip("/"), app.config.region)
    if db.scalar(select(FernetKey.id).limit(1)) is None:
        rotate(db, app.vault, app.clock(), app.config.token_seconds)
    wake(db, WORK, "keys")


def role(db: Session, name: str) -> Role:
    found = db.scalars(select(Role).where(Role.name == name, Role.domain_id == "")).first()
    if found is None:
        found = Role(name=name, options={"immutable": True}, extra={})
        db.add(found)
        db.flush()
    return found


def project(db: Session, name: str) -> Project:
    found = db.scalars(select(Project).where(Project.name == name, Project.domain_id == DOMAIN)).first()
    if found is None:
        found = Project(name=name, domain_id=DOMAIN, parent_id=DOMAIN, extra={})
        db.add(found)
        db.flush()
    return found


def give(db: Session, user_id: str, role_id: str, target: str, target_id: str) -> None:
    """A role for a user on a project, a domain or the system ("all")."""
    db.merge(
        Assignment(actor="user", actor_id=user_id, target=target, target_id=target_id, role_id=role_id, inherited=False)
    )
    db.flush()


def first_password(app: App) -> str:
    """The administrator's first password: in a file that only the operator can read, drawn if there is none."""
    path: Path = app.config.state_path / "admin.password"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    password = secrets.token_urlsafe(18)
    with os.fdopen(handle, "w") as file:
        file.write(f"{password}\n")
    return password
