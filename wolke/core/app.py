"""The control plane's parts in one place: settings, database, bell, policy, vault, clock, and what the domains add.

A handler gets it as ``ctx.app``; tests build one with their own clock and directory.
"""

from __future__ import annotations

import time
from typing import Any, TypeVar, cast

from wolke.core.auth import Authenticator
from wolke.core.bell import Bell, LocalBell, SocketBell
from wolke.core.config import Config
from wolke.core.db import Clock, Database
from wolke.core.policy import Policy
from wolke.core.secrets import Vault

Part = TypeVar("Part")


class App:
    def __init__(self, config: Config, *, clock: Clock = time.time, bell: Bell | None = None) -> None:
        self.config, self.clock = config, clock
        self.bell = bell or self._bell()
        self.database = Database(config.database_url, bell=self.bell, clock=clock, threads=config.threads)
        self.policy = Policy.load(config.policy)
        self.vault = Vault.at(config.state_path)
        self.authenticate: Authenticator = _nobody_yet
        self._parts: dict[type[Any], Any] = {}

    def _bell(self) -> Bell:
        url = self.config.database_url
        if url.startswith("postgresql"):
            from wolke.core.postgres_bell import PostgresBell

            return PostgresBell(url.replace("postgresql+psycopg", "postgresql", 1))
        return SocketBell(self.config.state_path / "bells")

    def add(self, face: type[Part], part: Part) -> Part:
        """Add what a domain brings (an image store, a connection to agents), to be found by its face."""
        self._parts[face] = part
        return part

    def part(self, face: type[Part]) -> Part:
        return cast(Part, self._parts[face])

    def close(self) -> None:
        self.bell.close()
        self.database.close()


def _nobody_yet(token: str) -> Any:
    raise RuntimeError("identity is not assembled")


def quiet_app(config: Config, *, clock: Clock = time.time) -> App:
    """An app that wakes nobody outside this process: for one-off commands and tests."""
    return App(config, clock=clock, bell=LocalBell())
