"""``wolke api`` with a count of its SQL statements in a file that the benchmark reads while it runs.

Usage: ``python -m benchmarks.counted WOLKE.TOML COUNTER``
"""

from __future__ import annotations

import mmap
import struct
import sys
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from wolke.cli.main import loading

with loading():  # as the command does it
    from wolke.cli.api import run
    from wolke.core.config import load

NUMBER = struct.Struct("q")


class Counter:
    """A whole number in a file, seen by two processes."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(NUMBER.pack(0))
        with path.open("r+b") as file:
            self.memory = mmap.mmap(file.fileno(), NUMBER.size)

    @property
    def value(self) -> int:
        return int(NUMBER.unpack_from(self.memory)[0])

    def one_more(self) -> None:
        NUMBER.pack_into(self.memory, 0, self.value + 1)


def count(counter: Counter, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
    if not statement.startswith("BEGIN"):  # as PostgreSQL's driver does not show it either
        counter.one_more()


def main() -> None:
    counter = Counter(Path(sys.argv[2]))
    event.listen(Engine, "before_cursor_execute", partial(count, counter))
    run(load(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
