"""How a host becomes one of ours: a one-time token for a certificate, and that certificate for the next one.

Token: ``wolke-join.<secret>.<SHA-256 of the authority's certificate>``; by the last part the host knows the right control plane.
``Host.certificate`` holds the fingerprints that are valid: one, or two between a renewal and the first use of the new certificate.
"""

from __future__ import annotations

import hashlib
import re
import secrets

from cryptography import x509
from sqlalchemy import delete
from sqlalchemy.orm import Mapped, Session, mapped_column

from wolke.compute.hosts_table import Host
from wolke.core.app import App
from wolke.core.db import Base, lock
from wolke.core.errors import BadRequest, Forbidden, Unauthorized
from wolke.core.pki import CONTROL, PEM, Authority, authority, common_name, fingerprint

TOKEN_SECONDS = 3600
HOST_NAME = re.compile(r"(?=.{1,63}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


class HostGone(Forbidden):
    """Its agent has the host leave OVN."""

    status, title = 410, "Gone"


class JoinToken(Base):
    __tablename__ = "join_token"

    digest: Mapped[str] = mapped_column(primary_key=True)  # SHA-256 of the secret
    host: Mapped[str]
    expires_at: Mapped[float]  # unix seconds


def new_token(app: App, host: str) -> str:
    """A token with which this host may join, once, within an hour. Joining again is how a host gets a lost certificate back.

    Raises
    ------
    BadRequest: not a host name
    """
    with app.database.transaction() as db:
        return issue(db, app, host)


def issue(db: Session, app: App, host: str) -> str:
    """``new_token`` in the caller's transaction."""
    if not HOST_NAME.fullmatch(host) or host == CONTROL:
        raise BadRequest(f"'{host}' cannot be the name of a host: lower case letters, digits, '-' and '.'")
    secret = secrets.token_urlsafe(32)
    ca = authority(db, app.vault)
    db.execute(delete(JoinToken).where(JoinToken.expires_at <= app.clock()))
    db.add(JoinToken(digest=digest(secret), host=host, expires_at=app.clock() + TOKEN_SECONDS))
    return f"wolke-join.{secret}.{ca.fingerprint}"


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def join(app: App, ca: Authority, token: str, host: str, csr: str) -> str:
    """The host's first certificate, PEM; the token is used up, and what certificates it had are no longer valid.

    Raises
    ------
    Unauthorized: the token is unknown, used, expired or another host's
    BadRequest: the signing request is not for this host
    """
    parts = token.split(".")
    secret = parts[1] if len(parts) == 3 else ""
    with app.database.transaction() as db:
        lock(db, f"host/{host}")
        found = db.get(JoinToken, digest(secret), with_for_update=True)
        if found is None or found.expires_at <= app.clock() or found.host != host:
            raise Unauthorized("The join token is unknown, used, expired or for another host.")
        certificate = ca.sign_request(csr, host, app.clock())
        db.delete(found)
        row = db.get(Host, host)
        if row is None:
            row = Host(name=host, joined_at=app.clock())
            db.add(row)
        row.certificate = fingerprint(certificate)
    return certificate.public_bytes(PEM).decode()


def renew(app: App, ca: Authority, peer: x509.Certificate, csr: str) -> str:
    """The next certificate, PEM. The present one stays valid until the new one has been used."""
    host, now = common_name(peer), fingerprint(peer)
    certificate = ca.sign_request(csr, host, app.clock())
    with app.database.transaction() as db:
        row = db.get(Host, host, with_for_update=True)
        if row is None or now not in row.certificate.split():
            raise Forbidden("This certificate is not valid any more.")
        row.certificate = f"{now} {fingerprint(certificate)}"
    return certificate.public_bytes(PEM).decode()


def host_of(app: App, peer: x509.Certificate | None) -> str:
    """Which host bears this certificate, whose signature and time TLS has checked.

    Raises
    ------
    Unauthorized: no certificate, or one that has been replaced or revoked
    HostGone: not the certificate of a host, or of one that was taken out
    """
    if peer is None or peer.not_valid_after_utc.timestamp() <= app.clock():
        raise Unauthorized("A certificate of this cloud is required.")
    host, shown = common_name(peer), fingerprint(peer)
    with app.database.read() as db:
        row = db.get(Host, host)
        valid = row.certificate.split() if row else []
    if row is None:
        raise HostGone("This certificate is not of a host of this cloud.")
    if shown not in valid:
        raise Unauthorized("This certificate has been replaced or revoked.")
    if len(valid) > 1 and shown == valid[-1]:
        with app.database.transaction() as db:
            retire_others(db, host, shown)
    return host


def retire_others(db: Session, host: str, shown: str) -> None:
    """The new certificate has arrived: the one before is no longer valid."""
    row = db.get(Host, host, with_for_update=True)
    if row and row.certificate.split()[-1:] == [shown]:
        row.certificate = shown
