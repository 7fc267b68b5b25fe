"""Sealing of what must not lie in the database in the clear (Fernet keys, certificate authority, passwords for guests).

The master key is a file in the state directory, 0600; without it a stolen database is of no use.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from cryptography.fernet import Fernet


class Vault:
    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(key)
        self._digests = hashlib.sha256(b"digests of " + key).digest()

    @classmethod
    def at(cls, state: Path) -> Vault:
        """The vault of a state directory; its key is made on first use."""
        path = state / "master.key"
        if not path.exists():
            state.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh = path.with_suffix(f".{os.getpid()}")
            fresh.touch(mode=0o600)
            fresh.write_bytes(Fernet.generate_key())
            try:
                os.link(fresh, path)  # whoever comes first wins; nobody's key is overwritten
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        return cls(path.read_bytes())

    def seal(self, secret: bytes) -> str:
        return self._fernet.encrypt(secret).decode()

    def open(self, sealed: str) -> bytes:
        return self._fernet.decrypt(sealed.encode())

    def digest(self, data: bytes) -> str:
        """A digest (hex) that nobody can make without the key."""
        return hmac.new(self._digests, data, hashlib.sha256).hexdigest()
