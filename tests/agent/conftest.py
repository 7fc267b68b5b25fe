from __future__ import annotations

from pathlib import Path

import pytest

from tests.agent.hosts import Control, Host, agent_of
from wolke.agent.agent import Agent


class World:
    """One host, its agent and the control plane, without threads: ``settle()`` does all that can be done now."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.host, self.control = Host(), Control()
        self.agent = self.start()

    def start(self) -> Agent:
        """The agent's process, or the one after it."""
        self.agent = agent_of(self.host, self.control, self.state)
        return self.agent

    def settle(self, seconds: float = 0) -> None:
        self.host.clock += seconds
        self.agent.settle()

    def log(self) -> list[str]:
        """What the hypervisor was asked to change since the last call."""
        calls, self.host.hypervisor.calls = self.host.hypervisor.calls, []
        return [name for name, _ in calls]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)
