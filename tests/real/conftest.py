"""A whole cloud on two hosts of namespaces, all engines real, for every test of the session; and the unmodified client."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real.tenants import Tenant
from wolke.lab import Lab

CLIENT = Path(__file__).resolve().parents[2] / ".venv-clients" / "bin" / "openstack"
PRINTING = {"list", "show", "create", "issue"}  # verbs that take -f json


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Two hosts and the control plane. Whoever kills or parts something starts and heals it again."""
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    if running := os.environ.get("WOLKE_LAB"):  # one that is up already, and stays
        yield Lab(running)
        return
    lab = Lab(f"r{os.getpid()}", hosts=2)
    try:
        lab.up()
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="session")
def three(lab: Lab) -> Lab:
    """The same with three hosts at least."""
    while lab.facts.hosts < 3:
        lab.join()
    return lab


@pytest.fixture
def tenant(lab: Lab) -> Iterator[Callable[[str], Tenant]]:
    """``tenant("red")``: a project of its own, gone afterwards."""
    made: list[Tenant] = []

    def new(name: str) -> Tenant:
        made.append(Tenant(lab, name))
        return made[-1]

    yield new
    for one in made:
        one.end()


class ClientError(Exception):
    """What the client said when it failed."""


@pytest.fixture(scope="session")
def openstack(lab: Lab) -> Callable[..., Any]:
    """``openstack("network", "create", "red", cloud="demo")``: what the client printed, parsed; None for commands that print nothing."""

    def run(*words: str, cloud: str = "admin") -> Any:
        environment = {**os.environ, "OS_CLIENT_CONFIG_FILE": str(lab.directory / "clouds.yaml"), "OS_CLOUD": cloud}
        form = ["-f", "json"] if PRINTING & set(words[:4]) else []
        command = [str(CLIENT), *words, *form]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=300)
        if done.returncode:
            raise ClientError(f"openstack {' '.join(words)}: {done.stderr.strip()}")
        return json.loads(done.stdout) if form else None

    return run
