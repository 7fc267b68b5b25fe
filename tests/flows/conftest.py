"""``api``: a control plane of its own as the operator starts it, `wolke init` and `wolke api`, for unmodified clients."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

BIN = Path(__file__).resolve().parents[2] / ".venv-clients" / "bin"


CLIENT = """
import contextlib, io, json, os, sys
from openstackclient.shell import main
channel = sys.stdout
for line in sys.stdin:
    asked = json.loads(line)
    os.environ.clear()
    os.environ.update(asked["environment"])
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(asked["words"])
        except SystemExit as end:
            status = end.code
    said = []
    for stream in (out, err):
        stream.flush()
        said.append(stream.buffer.getvalue().decode())
    print(json.dumps([status or 0, *said]), file=channel, flush=True)
"""


class Client:
    """The ``openstack`` command, many times in one process: its start takes longer than all that it does."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [str(BIN / "python"), "-c", CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, words: list[str], environment: dict[str, str]) -> tuple[int, str, str]:
        """Exit status, what went to stdout, what went to stderr."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps({"words": words, "environment": environment}) + "\n")
        self.process.stdin.flush()
        status, out, err = json.loads(self.process.stdout.readline())
        return int(status), str(out), str(err)

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(20)


@dataclass(frozen=True, slots=True)
class Api:
    """A running API and its administrator."""

    url: str
    state: Path
    admin_password: str
    client: Client

    def environment(self, **more: str) -> dict[str, str]:
        """What tells the ``openstack`` command where to go and who it is; ``more`` replaces parts, "" takes one away."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        told = {
            "OS_AUTH_URL": f"{self.url}/identity", "OS_IDENTITY_API_VERSION": "3", "OS_REGION_NAME": "RegionOne",
            "OS_USERNAME": "admin", "OS_PASSWORD": self.admin_password, "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_NAME": "admin", "OS_PROJECT_DOMAIN_ID": "default",
        }  # fmt: skip
        return clean | {name: value for name, value in (told | more).items() if value}

    def openstack(self, words: str, *rest: str, fails: bool = False, **environment: str) -> str:
        """``api.openstack("user show", "ann")`` -> what the command prints."""
        status, out, err = self.client.run([*words.split(), *rest], self.environment(**environment))
        assert (status != 0) == fails, f"openstack {words} {' '.join(rest)}\n{out}{err}"
        return out or err

    def shown(self, words: str, *rest: str, **environment: str) -> Any:
        """The same with ``-f json``, read."""
        return json.loads(self.openstack(words, *rest, "-f", "json", **environment))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """With the lines of the module's ``SETTINGS`` beside its own."""
    if not (BIN / "openstack").exists():
        pytest.fail("the clients are not installed: ./run test does it (clients.lock into .venv-clients)")
    directory = tmp_path_factory.mktemp("api")
    state, settings, url = directory / "state", directory / "wolke.toml", f"http://127.0.0.1:{free_port()}"
    agents = f"127.0.0.1:{free_port()}"
    settings.write_text(
        f'state = "{state}"\npublic_url = "{url}"\nlisten = "{url.removeprefix("http://")}"\n'
        f'agent_listen = "{agents}"\nagent_url = "https://{agents}"\n'
        f"{getattr(request.module, 'SETTINGS', '')}\n"
    )
    wolke = [sys.executable, "-m", "wolke.cli.main"]
    subprocess.run([*wolke, "init", "--config", str(settings)], check=True, timeout=60)
    with (directory / "api.log").open("w") as log:
        process = subprocess.Popen([*wolke, "api", "--config", str(settings)], stdout=log, stderr=log)
        try:
            answers(url, process, directory / "api.log")
            client = Client()
            yield Api(url, state, (state / "admin.password").read_text().strip(), client)
            client.close()
        finally:
            process.terminate()
            process.wait(20)


def answers(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    """Wait until the API answers. Raises AssertionError with its log when it ended or takes too long."""
    until = time.monotonic() + seconds
    while True:
        try:
            if httpx2.get(f"{url}/healthz").status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
        assert process.poll() is None and time.monotonic() < until, log.read_text()
