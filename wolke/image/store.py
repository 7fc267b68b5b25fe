"""The bytes of images: one file each in a directory. What is being written has another name until it is whole."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Written:
    size: int  # bytes
    md5: str
    sha512: str


class Incoming:
    """An image on its way in: ``write`` pieces, then ``keep`` or ``drop``."""

    def __init__(self, part: Path, whole: Path) -> None:
        self.part, self._whole = part, whole
        self._file = part.open("xb")
        self._md5, self._sha512 = hashlib.md5(usedforsecurity=False), hashlib.sha512()
        self.size = 0

    def write(self, piece: bytes) -> None:
        self._file.write(piece)
        self._md5.update(piece)
        self._sha512.update(piece)
        self.size += len(piece)

    def finish(self) -> Written:
        """Bytes are on the disk; the file still has its temporary name."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return Written(self.size, self._md5.hexdigest(), self._sha512.hexdigest())

    def keep(self) -> None:
        """Give the file its name, on the disk too."""
        self.part.replace(self._whole)
        directory = os.open(self._whole.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def drop(self) -> None:
        self._file.close()
        self.part.unlink(missing_ok=True)


class Store:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, image_id: str) -> Path:
        return self.directory / image_id

    def staged(self, image_id: str) -> Path:
        return self.directory / f"{image_id}.staged"

    def incoming(self, image_id: str, *, staged: bool = False) -> Incoming:
        """A new file, under a name of its own: who is still writing an earlier one has no hand on this."""
        whole = self.staged(image_id) if staged else self.path(image_id)
        self._remove_parts(image_id)
        return Incoming(self.directory / f"{image_id}.{secrets.token_hex(8)}.part", whole)

    def remove(self, image_id: str) -> None:
        for path in (self.path(image_id), self.staged(image_id)):
            path.unlink(missing_ok=True)
        self._remove_parts(image_id)

    def _remove_parts(self, image_id: str) -> None:
        for path in self.directory.glob(f"{image_id}.*.part"):
            path.unlink(missing_ok=True)

    def sweep(self, images: Callable[[], Mapping[str, bool]]) -> None:
        """Remove the files of images that are no more, and what whole ones (id -> True) were made of."""
        found = list(self.directory.iterdir())
        known = images()  # asked afterwards: what has come meanwhile is not among the files
        for path in found:
            image_id = path.name.split(".")[0]
            if image_id not in known or (known[image_id] and path.suffix):
                path.unlink(missing_ok=True)
