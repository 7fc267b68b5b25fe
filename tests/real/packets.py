"""A stream of pings, and the longest time without an answer in it."""

from __future__ import annotations

import re
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from wolke.lab import wait_for

EVERY = 0.15  # seconds between two packets


class Packets:
    """Pings from a guest or node to an address until ``stop``; ``longest(since)`` tells the gap in seconds."""

    def __init__(self, source: Any, address: str, file: Path, *, every: float = EVERY) -> None:
        self.file = file
        self._out = file.open("w")
        self._ping = source.popen(["ping", "-n", "-D", "-i", str(every), address], stdout=self._out, stderr=self._out)

    def answers(self) -> list[float]:
        """When each answer came, unix seconds."""
        return [float(at) for at in re.findall(r"^\[(\d+\.\d+)\] \d+ bytes from", self.file.read_text(), re.MULTILINE)]

    def flows(self, since: float, seconds: float = 60) -> bool:
        """Whether answers come after that time."""
        return wait_for(lambda: any(at > since for at in self.answers()[-3:]), seconds, every=0.1)

    def longest(self, since: float) -> float:
        """The longest time without an answer, up to now."""
        times = [since, *(at for at in self.answers() if at > since), time.time()]
        return max(after - before for before, after in pairwise(times))

    def stop(self) -> None:
        self._ping.terminate()
        self._ping.wait()
        self._out.close()
