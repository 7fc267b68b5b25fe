"""Runs ``fabric_in_namespaces.py`` where it can do no harm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PYTEST = f"{sys.executable} -m pytest -q -p no:cacheprovider --confcutdir {HERE} {HERE / 'fabric_in_namespaces.py'}"


@pytest.mark.real
def test_the_fabric_in_namespaces_of_its_own() -> None:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    script = f"mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && exec {PYTEST}"
    words = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout and "skipped" not in done.stdout
