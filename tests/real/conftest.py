"""A whole cloud on two hosts of namespaces, all engines real, for every test of the session; and the unmodified client."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wolke.lab import Lab

CLIENT = Path(__file__).resolve().parents[2] / ".venv-clients" / "bin" / "openstack"


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Two hosts and the control plane. Whoever kills or parts something starts and heals it again."""
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    lab = Lab(f"r{os.getpid()}", hosts=2)
    try:
        lab.up()
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="session")
def openstack(lab: Lab) -> Callable[..., Any]:
    """``openstack("network", "create", "red", cloud="demo")``: what the client prints as JSON, None where it prints nothing."""

    def run(*words: str, cloud: str = "admin", check: bool = True, as_json: bool = True) -> Any:
        environment = {**os.environ, "OS_CLIENT_CONFIG_FILE": str(lab.directory / "clouds.yaml"), "OS_CLOUD": cloud}
        form = ["-f", "json"] if as_json else []
        done = subprocess.run(
            [str(CLIENT), *words, *form], check=False, capture_output=True, text=True, env=environment, timeout=300
        )
        if check:
            assert done.returncode == 0, f"openstack {' '.join(words)}: {done.stderr}"
        elif done.returncode:
            raise subprocess.CalledProcessError(done.returncode, words, done.stdout, done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() and as_json else None

    return run
