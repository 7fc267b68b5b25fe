"""The packet matrix: hundreds of random topologies, and every verdict of the model is what packets do.

``WOLKE_MATRIX_SEED`` and ``WOLKE_MATRIX_COUNT`` choose other topologies; what fails is told with its number, and that number makes the
same topology again. ``-s`` shows the report as it grows.
"""

from __future__ import annotations

import os

import pytest

from tests.real.matrix.arena import Arena
from tests.real.matrix.rounds import Report, prove
from tests.real.matrix.topologies import topology
from wolke.lab import Lab

pytestmark = [pytest.mark.real, pytest.mark.timeout(3600)]
SEED = int(os.environ.get("WOLKE_MATRIX_SEED", "1000"))
COUNT = int(os.environ.get("WOLKE_MATRIX_COUNT", "200"))
WAVE = 40  # topologies that are alive at the same time


def test_every_verdict_is_what_packets_do_and_every_no_flips(lab: Lab) -> None:
    arena, report = Arena(lab), Report()
    try:
        for first in range(SEED, SEED + COUNT, WAVE):
            wave = range(first, min(first + WAVE, SEED + COUNT))
            prove(arena, [topology(number) for number in wave], report)
            print(f"seeds {SEED} to {wave[-1]}: {report}", flush=True)
    finally:
        arena.end()
    assert not report.wrong, "\n".join(report.wrong)
    assert report.probes >= 7 * COUNT and report.flipped and report.taken
