"""The unmodified ``openstack`` command, as a person would type it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

COMMAND_SECONDS = 180


class CommandError(Exception):
    """A command of the client failed; the text is what it printed."""


def program() -> str:
    """The client: of its own environment beside ours, else from the path."""
    beside = Path(sys.prefix).parent / ".venv-clients" / "bin" / "openstack"
    found = str(beside) if beside.exists() else shutil.which("openstack")
    if not found:
        raise CommandError("the openstack command is missing: install python-openstackclient")
    return found


class Client:
    """``client("server", "list")`` is ``openstack --os-cloud CLOUD server list -f json``, parsed."""

    def __init__(self, cloud: str, clouds: Path, say: Callable[[str], None]) -> None:
        self.cloud, self.clouds, self.say = cloud, clouds, say

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "OS_CLIENT_CONFIG_FILE": str(self.clouds), "OS_CLOUD": self.cloud}
        shown = ["***" if before == "--password" else word for before, word in zip(["", *words], words, strict=False)]
        self.say(f"{self.cloud:5} openstack {' '.join(shown)}")
        return subprocess.run(
            [program(), *words], env=environment, text=True, capture_output=True, timeout=COMMAND_SECONDS, check=False
        )

    def do(self, *words: str) -> None:
        """A command that prints nothing of interest."""
        done = self.run(*words)
        if done.returncode:
            raise CommandError(f"openstack {' '.join(words)}: {(done.stderr or done.stdout).strip()}")

    def __call__(self, *words: str) -> Any:
        done = self.run(*words, "-f", "json")
        if done.returncode:
            raise CommandError(f"openstack {' '.join(words)}: {(done.stderr or done.stdout).strip()}")
        return msgspec.json.decode(done.stdout)
