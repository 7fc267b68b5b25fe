from __future__ import annotations

from pathlib import Path

import pytest

from tests.agent.hosts import Control, Host, agent_of
from wolke.agent.agent import Agent


class World:
    """One host, its agent and the control plane, without threads: ``settle()`` does all that can be done now."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.host, self.control = Host(directory), Control()
        self.agent = self.start()

    def start(self) -> Agent:
        """The agent's process, or the one after it."""
        self.agent = agent_of(self.host, self.control, self.state)
        return self.agent

    def settle(self, seconds: float = 0) -> None:
        self.host.clock += seconds
        self.agent.settle()

    def log(self) -> list[str]:
        """What the drivers were asked since the last call, without the ids."""
        log, self.host.log = self.host.log, []
        return [line.split()[0] for line in log if line != "configure"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)
