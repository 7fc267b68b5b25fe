"""What the agent itself must remember of a guest: a small file each, written whole and renamed."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec


def write_whole(path: Path, content: bytes) -> None:
    """``path`` holds ``content``, readable by its owner only; a reader or a crash sees the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    boot: int = 0  # newest boot whose first instruction ran
    host_boot: str = ""  # which boot of the host that was in
    password: str = ""  # posted by the guest to the metadata service, encrypted by it


class Notes:
    """Notes by server id; read once, then kept in memory."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.directory = directory
        self.lock = threading.Lock()  # workers and the metadata service write
        self.notes = {path.stem: decoded(path) for path in directory.glob("*.json") if not path.name.startswith(".")}

    def get(self, id: str) -> Note:
        return self.notes.get(id, Note())

    def launched(self, id: str, boot: int, host_boot: str) -> None:
        with self.lock:
            self._put(id, replace(self.get(id), boot=boot, host_boot=host_boot))

    def password(self, id: str, password: str) -> bool:
        """Keep the first password; False where there is one."""
        with self.lock:
            if self.get(id).password:
                return False
            self._put(id, replace(self.get(id), password=password))
        return True

    def drop(self, id: str) -> None:
        with self.lock:
            (self.directory / f"{id}.json").unlink(missing_ok=True)
            self.notes.pop(id, None)

    def _put(self, id: str, note: Note) -> None:
        if note != self.get(id):
            write_whole(self.directory / f"{id}.json", msgspec.json.encode(note))
            self.notes[id] = note


def decoded(path: Path) -> Note:
    """A note that cannot be read (a full disk long ago) is an empty one: the guest is started once more at worst."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Note)
    except msgspec.DecodeError:
        return Note()
