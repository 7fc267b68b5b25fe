"""Streams of questions, and the longest time without an answer in one."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from wolke.lab import wait_for

EVERY = 0.15  # seconds between two packets


class Stream:
    """A program in a guest or node that asks until ``stop``; ``longest(since)`` tells the gap in seconds."""

    def __init__(self, source: Any, words: Sequence[str], file: Path) -> None:
        self.file = file
        self._out = file.open("w")
        self._asking = source.popen(words, stdout=self._out, stderr=self._out)

    def answers(self) -> list[float]:
        """When each answer came, unix seconds."""
        raise NotImplementedError

    def flows(self, since: float, seconds: float = 60) -> bool:
        """Whether answers come after that time."""
        return wait_for(lambda: any(at > since for at in self.answers()[-3:]), seconds, every=0.1)

    def longest(self, since: float) -> float:
        """The longest time without an answer, up to now."""
        times = [since, *(at for at in self.answers() if at > since), time.time()]
        return max(after - before for before, after in pairwise(times))

    def stop(self) -> None:
        self._asking.terminate()
        self._asking.wait()
        self._out.close()


class Packets(Stream):
    """Pings to an address."""

    def __init__(self, source: Any, address: str, file: Path, *, every: float = EVERY) -> None:
        super().__init__(source, ["ping", "-n", "-D", "-i", str(every), address], file)

    def answers(self) -> list[float]:
        return [float(at) for at in re.findall(r"^\[(\d+\.\d+)\] \d+ bytes from", self.file.read_text(), re.MULTILINE)]


# Asks again and again and says when each answer came; a TCP conversation that broke is begun anew, and says so
ASKING = """
import socket, sys, time
kind, address, port, every = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
family = socket.AF_INET6 if ':' in address else socket.AF_INET
def begun():
    made = socket.socket(family, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
    made.settimeout(0.2 if kind == 'udp' else 5)
    made.connect((address, port))
    if kind == 'tcp': made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made
talk = None
while True:
    try:
        talk = talk or begun()
        talk.send(b'?\\n'); talk.recv(99); print(time.time(), flush=True)
    except TimeoutError:
        if kind == 'tcp' and talk: print('broken', flush=True); talk.close(); talk = None
    except OSError:
        if talk and kind == 'tcp': print('broken', flush=True)
        if talk: talk.close()
        talk = None; time.sleep(0.05)
    time.sleep(every)
"""


class Answers(Stream):
    """A conversation by UDP or TCP with a server of ``tenants.SERVE``, and how often TCP broke."""

    def __init__(self, source: Any, kind: str, address: str, port: int, file: Path, *, every: float = 0.03) -> None:
        super().__init__(source, ["python3", "-c", ASKING, kind, address, str(port), str(every)], file)

    def answers(self) -> list[float]:
        return [float(line) for line in self.file.read_text().splitlines()[:-1] if line[:1].isdigit()]

    @property
    def broken(self) -> int:
        return self.file.read_text().count("broken")
