"""A real ovsdb-server for a test: starts in 50 ms, can be killed and started again with its data."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path
from typing import Any

from tests.waiting import wait_for

OVN = Path("/usr/share/ovn")
OPEN_VSWITCH = Path("/usr/share/openvswitch")


class OvsdbServer:
    """One database in a directory; ``remote`` is what clients connect to."""

    def __init__(self, directory: Path, schema: Path) -> None:
        self.directory = directory
        self.name: str = json.loads(schema.read_text())["name"]
        self.file = directory / f"{schema.stem}.db"
        # Socket paths are limited to 107 bytes; pytest's directories come close to it.
        self.socket = Path(directory, "s")
        self.process: subprocess.Popen[bytes] | None = None
        subprocess.run(["ovsdb-tool", "create", self.file, schema], check=True)

    @property
    def remote(self) -> str:
        return f"unix:{self.socket}"

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        control = self.directory / "c"
        control.unlink(missing_ok=True)
        log = (self.directory / "log").open("ab")
        self.process = subprocess.Popen(
            ["ovsdb-server", f"--remote=p{self.remote}", f"--unixctl={control}", "--no-chdir", self.file],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        log.close()
        wait_for(self.socket.exists, 20)

    def kill(self) -> None:
        """As ``kill -9`` does."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def transact(self, *operations: dict[str, Any]) -> list[Any]:
        """Operations by somebody else, past everything of ours."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket))
            connection.sendall(json.dumps({"method": "transact", "params": [self.name, *operations], "id": 1}).encode())
            answer = b""
            while True:
                answer += connection.recv(65536)
                try:
                    result: list[Any] = json.loads(answer)["result"]
                except json.JSONDecodeError:
                    continue
                return result

    def transact_offline(self, *operations: dict[str, Any]) -> None:
        """Operations while the server does not run."""
        words = ["ovsdb-tool", "transact", str(self.file), json.dumps([self.name, *operations])]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
