"""Password hashes: argon2id for all that we write, bcrypt for what an import brings.

Memory is bounded: no more than ``AT_ONCE`` hashes of 19 MiB are computed at a time in one process.
OWASP's choice for argon2id: https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
"""

from __future__ import annotations

import os
import threading
from functools import cache

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

AT_ONCE = max(2, os.cpu_count() or 2)
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_room = threading.BoundedSemaphore(AT_ONCE)


def hashed(password: str) -> str:
    with _room:
        return _hasher.hash(password)


def matches(password: str, stored: str) -> bool:
    """Whether a password is the one that was hashed. An empty ``stored`` costs as much time and never matches."""
    with _room:
        if stored.startswith("$2"):
            return bcrypt.checkpw(password.encode()[:72], stored.encode())
        try:
            return _hasher.verify(stored or _nobodys(), password) and bool(stored)
        except (VerificationError, InvalidHashError):
            return False


@cache
def _nobodys() -> str:
    return _hasher.hash(os.urandom(16).hex())
