"""``worlds()``: a cloud that was just made, as often as one is needed; always on SQLite, whose state is copied in no time."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.conftest import Cloud, memory
from tests.crash.world import World

Worlds = Callable[[], AbstractContextManager[World]]


@pytest.fixture(scope="session")
def worlds() -> Iterator[Worlds]:
    with memory() as first:
        Cloud(Path(first), new=True).close()

        @contextmanager
        def made() -> Iterator[World]:
            with memory() as directory:
                shutil.copytree(first, directory, dirs_exist_ok=True)
                world = World(Path(directory))
                try:
                    yield world
                finally:
                    world.close()

        yield made
