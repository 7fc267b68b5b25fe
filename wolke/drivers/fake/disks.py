"""Disks in memory. A file is written only for as long as an image is fetched and compared, as the real one does."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from wolke.drivers.disks import compare
from wolke.drivers.hypervisor import DriverError
from wolke.wire import wanted

HOME = Path("/fake")


class FakeDisks:
    """``drives`` holds what was written to each server's config drive, ``fetched`` the ids of images in order."""

    def __init__(self) -> None:
        self.images: dict[Path, int] = {}  # path -> virtual size in bytes
        self.roots: dict[str, tuple[Path, Path, int]] = {}  # server id -> its disk, the image it stands on, bytes
        self.drives: dict[str, dict[str, bytes]] = {}
        self.fetched: list[str] = []
        self.full = False  # the host has no space left
        self._lock = threading.RLock()

    def image(self, image: wanted.Image, fetch: Callable[[Path], None]) -> Path:
        path = HOME / "images" / f"{image.id}-{image.checksum[:16]}.{image.disk_format}"
        with self._lock:
            if path in self.images:
                return path
            self._room()
            with tempfile.TemporaryDirectory(prefix="wolke-fake-") as folder:
                file = Path(folder) / "image"
                fetch(file)
                compare(image, file)
                with file.open("rb") as opened:
                    head = opened.read(32)
            self.fetched.append(image.id)
            # A qcow2 header tells the virtual size in bytes 24 to 31.
            self.images[path] = image.size if image.disk_format == "raw" else int.from_bytes(head[24:32])
        return path

    def made(self, id: str) -> Path | None:
        with self._lock:
            return self.roots[id][0] if id in self.roots else None

    def root(self, id: str, image: Path, disk: wanted.Disk) -> Path:
        with self._lock:
            if id in self.roots:
                return self.roots[id][0]
            if image not in self.images:
                raise DriverError("The disk could not be made: the disk tool failed.", f"no {image}")
            size = disk.size_gib << 30 or self.images[image]
            if size < self.images[image]:
                raise DriverError(f"The image needs a larger disk than the flavor's {disk.size_gib} GiB.")
            self._room()
            path = HOME / "servers" / id / "root.qcow2"
            self.roots[id] = (path, image, size)
        return path

    def config_drive(self, id: str, files: dict[str, bytes]) -> Path:
        with self._lock:
            self._room()
            self.drives[id] = dict(files)
        return HOME / "servers" / id / "config.iso"

    def remove(self, id: str) -> None:
        with self._lock:
            self.roots.pop(id, None)
            self.drives.pop(id, None)

    def servers(self) -> set[str]:
        with self._lock:
            return {*self.roots, *self.drives}

    def sweep(self, used: set[str]) -> set[str]:
        with self._lock:
            bases = {image for _, image, _ in self.roots.values()}
            idle = {path for path in self.images if path not in bases and path.name.rpartition("-")[0] not in used}
            for path in idle:
                del self.images[path]
        return {path.name for path in idle}

    def _room(self) -> None:
        if self.full:
            raise DriverError("The disk could not be made: the host has no space left.", "the fake's switch `full`")
