"""The first bodies of a kind come together, in a process of their own: it may die of them."""

from __future__ import annotations

import subprocess
import sys

STORY = """
import gc, sys, threading
from typing import Annotated
from msgspec import UNSET, Meta, UnsetType, defstruct
from wolke.core.bodies import Body, parse

sys.setswitchinterval(1e-6)
gc.set_threshold(1, 1, 1)
for number in range(60):
    inner = defstruct(f"Inner{number}", [("name", Annotated[str, Meta(max_length=255)] | UnsetType, UNSET),
                                         ("sizes", list[dict[str, int]] | None, None)], bases=(Body,), kw_only=True)
    outer = defstruct(f"Outer{number}", [("one", inner | UnsetType, UNSET), ("many", list[inner] | UnsetType, UNSET)],
                      bases=(Body,), kw_only=True)
    start, read = threading.Barrier(8), []

    def come():
        start.wait()
        read.append(parse(outer, b\'{"one": {"name": "red", "sizes": [{"a": 1}]}}\').one.name)

    threads = [threading.Thread(target=come) for _ in range(8)]
    [one.start() for one in threads]
    [one.join() for one in threads]
    assert read == ["red"] * 8, read
"""


def test_the_first_bodies_of_a_kind_may_come_at_the_same_moment() -> None:
    done = subprocess.run([sys.executable, "-c", STORY], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"
