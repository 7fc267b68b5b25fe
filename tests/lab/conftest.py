"""A lab of two hosts with engines only; each test leaves it whole."""

import os

import pytest

from wolke.lab import Lab


@pytest.fixture(scope="session")
def lab():
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    lab = Lab(f"t{os.getpid()}", hosts=2)
    lab.up(control_plane=False)
    yield lab
    lab.down()
