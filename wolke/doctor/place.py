"""The state directory: room, rights."""

from __future__ import annotations

from collections.abc import Iterator

from wolke.doctor.finding import Finding, degraded, missing, ok
from wolke.doctor.machine import Machine

GIB = 1 << 30
LEAST_GIB, USEFUL_GIB = 1.0, 10.0
LEAST_INODES = 10_000


def room(machine: Machine, state: str) -> Iterator[Finding]:
    space = machine.space(state)
    free = space.free_bytes / GIB
    said, cure = f"{free:.1f} GiB free for {state}", "make room, or keep the state on a larger file system"
    if free < LEAST_GIB:
        yield missing("disk space", said, cure)
    elif free < USEFUL_GIB:
        yield degraded("disk space", said, f"{cure}: images and guests' disks lie there")
    else:
        yield ok("disk space", said)
    if space.inodes and space.free_inodes < LEAST_INODES:
        yield degraded("inodes", f"{space.free_inodes} free for {state}", cure)
    else:
        yield ok("inodes", f"{space.free_inodes} free" if space.inodes else "made as they are needed")


def directory(machine: Machine, state: str) -> Iterator[Finding]:
    if not machine.exists(state):
        yield ok("state directory", f"{state} is made when the cloud is")
    elif not machine.writable(state):
        yield missing("state directory", f"{state} may not be written by this user", "run Wolke as its owner, or root")
    else:
        yield ok("state directory", state)
