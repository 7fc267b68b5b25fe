"""``running``: a cloud whose api is a process of its own, with TLS towards its hosts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

import wolke
from tests.waiting import wait_for
from wolke.agent.link import HttpsLink
from wolke.agent.node import Node, Token
from wolke.core.app import App
from wolke.core.config import Config, load

WORDS = [sys.executable, "-m", "wolke.cli.main"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(wolke.__file__).parents[1])}


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


class Running:
    """``start`` hands the api its sockets as systemd does; ``stop`` ends it by SIGTERM."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.sockets = {"api": listening(), "agents": listening()}
        self.url = f"http://127.0.0.1:{port_of(self.sockets['api'])}"
        self.agent_url = f"https://127.0.0.1:{port_of(self.sockets['agents'])}"
        self.file = directory / "wolke.toml"
        state = directory / "state"
        self.file.write_text(f'state = "{state}"\npublic_url = "{self.url}"\nagent_url = "{self.agent_url}"\n')
        self.config: Config = load(self.file)
        self.log = directory / "api.log"
        self.process: subprocess.Popen[bytes] | None = None

    def wolke(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [*WORDS, words[0], "--config", str(self.file), *words[1:]]
        return subprocess.run(command, env=ENVIRONMENT, text=True, capture_output=True, check=False, timeout=60)

    def start(self) -> None:
        fds = [sock.fileno() for sock in self.sockets.values()]
        handed = "".join(f"exec {3 + at}<&{fd}; " for at, fd in enumerate(fd + 100 for fd in fds))
        moved = "".join(f"exec {fd + 100}<&{fd}; " for fd in fds)
        script = f'{moved}{handed}LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES={":".join(self.sockets)} exec "$@"'
        words = ["bash", "-c", script, "bash", *WORDS, "api", "--config", str(self.file)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(words, env=ENVIRONMENT, pass_fds=fds, stderr=log)

    def answers(self) -> bool:
        assert self.process and self.process.poll() is None, self.log.read_text()
        try:
            return httpx2.get(f"{self.url}/healthz", timeout=1, trust_env=False).status_code == 200
        except httpx2.TransportError:
            return False

    def stop(self) -> int:
        assert self.process
        self.process.terminate()
        status = self.process.wait(20)
        self.process = None
        return status

    def app(self) -> App:
        """Another process of the same cloud: it has the same database and rings the same bells."""
        return App(self.config)

    def join(self, host: str) -> tuple[Node, HttpsLink]:
        token = self.wolke("join-token", host).stdout.strip()
        node = Node(self.directory / host, host)
        node.join(self.agent_url, Token.parsed(token))
        return node, HttpsLink(self.agent_url, node.client_context())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    made = Running(tmp_path_factory.mktemp("cloud"))
    done = made.wolke("init")
    assert done.returncode == 0, done.stderr
    made.start()
    try:
        wait_for(made.answers)
        yield made
    finally:
        if made.process:
            made.process.kill()
            made.process.wait()
        for sock in made.sockets.values():
            sock.close()
