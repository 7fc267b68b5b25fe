"""What the hosts see: asked of every agent when somebody wants to know, kept nowhere."""

from __future__ import annotations

from typing import Protocol


class Witness(Protocol):
    """Compute brings it, for it knows the hosts and how to reach their agents."""

    async def ask(self, path: str) -> dict[str, str | None]:
        """What each host answers to ``GET path``, by its name; None where it does not answer in time."""
