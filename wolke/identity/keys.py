"""Fernet keys: in the database, sealed by the vault, so that every process signs and checks with the same ones.

One key is staged (it checks already, so that no process meets a token it cannot read), one is primary, older ones are secondary
until no token that they signed can be asked for any more.

Format: https://github.com/fernet/spec/blob/master/Spec.md
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from wolke.core.app import App
from wolke.core.db import lock
from wolke.core.secrets import Vault
from wolke.core.work import Again, Item, Next
from wolke.identity.table import FernetKey, Revocation

ROTATE_SECONDS = 7 * 86400.0
EXPIRED_WINDOW = 2 * 86400.0  # seconds beyond their end in which services may still check tokens (allow_expired)


class Ring:
    """The keys as they are now: signs with the primary, checks with all."""

    def __init__(self, keys: list[Fernet]) -> None:
        self._primary, self._all = keys[0], MultiFernet(keys)

    @classmethod
    def load(cls, db: Session, vault: Vault) -> Ring:
        rows = db.execute(select(FernetKey.state, FernetKey.id, FernetKey.sealed)).all()
        ordered = sorted(rows, key=lambda row: (FernetKey.STATES.index(row.state), -row.id))
        return cls([Fernet(vault.open(row.sealed)) for row in ordered])

    def sign(self, payload: bytes, at: float) -> str:
        return self._primary.encrypt_at_time(payload, int(at)).rstrip(b"=").decode()

    def read(self, token: str) -> tuple[bytes, float] | None:
        """The payload and the second in which it was signed; None for what none of our keys has signed."""
        padded = token.encode(errors="replace") + b"=" * (-len(token) % 4)
        try:
            return self._all.decrypt(padded), float(int.from_bytes(urlsafe_b64decode(padded[:12])[1:9], "big"))
        except InvalidToken:
            return None


def rotate(db: Session, vault: Vault, now: float, token_seconds: float) -> None:
    """The staged key becomes primary; a fresh one is staged; secondaries that can have no token left go."""
    lock(db, "identity/fernet")
    for key in db.scalars(select(FernetKey)):
        if key.state == "primary":
            key.state, key.since = "secondary", now
        elif key.state == "staged":
            key.state, key.since = "primary", now
        elif key.since + token_seconds + EXPIRED_WINDOW < now:
            db.delete(key)
    states = ["staged"]
    if db.scalar(select(FernetKey.id).where(FernetKey.state == "primary")) is None:
        states.append("primary")
    for state in states:
        db.add(FernetKey(sealed=vault.seal(Fernet.generate_key()), state=state, since=now))
    db.flush()


def tend(app: App, items: Sequence[Item]) -> dict[Item, Next]:
    """The recurring job: forget revocations of tokens that have ended, rotate the keys once a week."""
    with app.database.transaction() as db:
        now = app.clock()
        db.execute(delete(Revocation).where(Revocation.expires_at + EXPIRED_WINDOW < now))
        primary = db.scalar(select(FernetKey.since).where(FernetKey.state == "primary"))
        if primary is not None and primary + ROTATE_SECONDS <= now:
            rotate(db, app.vault, now, app.config.token_seconds)
    return {item: Again(3600) for item in items}
