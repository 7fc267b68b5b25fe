"""Images and root disks in a directory of the host: qcow2 children of images that are fetched once.

    images/<id>-<first letters of the checksum>.<format>   read-only, shared by all disks that were cloned from it
    servers/<id>/base -> ../../images/...                  which image the root disk stands on
    servers/<id>/root.qcow2
    servers/<id>/config.iso

Whatever is half made bears a name that begins with ``.part-`` or ``.gone-``; ``sweep`` takes such leftovers away.
Volumes (block storage) are other drivers with a promise of their own; they share ``clone`` and ``qemu_img`` from here.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pycdlib

from wolke.drivers import imageformat
from wolke.drivers.hypervisor import DriverError
from wolke.wire import wanted

PART, GONE = ".part-", ".gone-"


class Disks:
    """The ``Disks`` of a host in one folder.

    Parameters
    ----------
    folder : on the file system that guests' disks shall lie on
    """

    def __init__(self, folder: Path) -> None:
        self.images = folder / "images"
        self.homes = folder / "servers"
        for path in (self.images, self.homes):
            path.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._flights: dict[str, threading.Lock] = {}

    # Images ------------------------------------------------------------------
    def image(self, image: wanted.Image, fetch: Callable[[Path], None]) -> Path:
        """See the promise. Several callers of one image wait for a single fetch.

        Raises
        ------
        DriverError: size, checksum or format are not what was announced. Errors of ``fetch`` pass through.
        """
        path = self.images / f"{_plain(image.id)}-{_plain(image.checksum)[:16]}.{_plain(image.disk_format)}"
        with self._flight(path.name):
            if path.exists() and path.stat().st_size == image.size:
                return path
            with _whole(path) as part:
                fetch(part)
                compare(image, part)
                part.chmod(0o444)
        return path

    def sweep(self, used: set[str]) -> set[str]:
        """Remove images that no disk stands on and whose id is not in ``used``, and all leftovers.

        Returns
        -------
        names of the removed image files
        """
        bases = {base.readlink().name for base in self.homes.glob("*/base")}
        removed = set()
        for path in self.images.iterdir():
            with self._flight(path.name.removeprefix(PART).partition("~")[0], wait=False) as free:
                if not free:
                    continue
                if path.name.startswith(PART):
                    path.unlink(missing_ok=True)
                elif path.name not in bases and path.name.rpartition("-")[0] not in used:
                    path.unlink(missing_ok=True)
                    removed.add(path.name)
        for path in self.homes.glob(f"{GONE}*"):
            shutil.rmtree(path, ignore_errors=True)
        return removed

    @contextlib.contextmanager
    def _flight(self, name: str, *, wait: bool = True) -> Iterator[bool]:
        with self._lock:
            lock = self._flights.setdefault(name, threading.Lock())
        taken = lock.acquire(blocking=wait)
        try:
            yield taken
        finally:
            if taken:
                lock.release()

    # Servers -----------------------------------------------------------------
    def made(self, id: str) -> Path | None:
        path = self.homes / _plain(id) / "root.qcow2"
        return path if path.exists() else None

    def root(self, id: str, image: Path, disk: wanted.Disk) -> Path:
        home = self._home(id)
        path = home / "root.qcow2"
        with self._flight(f"server {id}"):
            if path.exists():
                return path
            # First the note which image it will be, so that sweep never takes an image from under a disk.
            with _whole(home / "base") as part:
                part.symlink_to(Path("../../images") / image.name)
            clone(image, disk.image.disk_format, path, size=disk.size_gib << 30)
        return path

    def config_drive(self, id: str, files: dict[str, bytes]) -> Path:
        path = self._home(id) / "config.iso"
        with _whole(path) as part:
            part.write_bytes(iso9660(files, label="config-2"))
            part.chmod(0o600)  # it may hold the administrator's password
        return path

    def remove(self, id: str) -> None:
        home = self.homes / _plain(id)
        gone = Path(tempfile.mkdtemp(prefix=GONE, dir=self.homes))
        # Renamed first: a removal that is cut short leaves no half server behind.
        with contextlib.suppress(FileNotFoundError):
            home.rename(gone / "home")
        shutil.rmtree(gone)
        with self._lock:
            self._flights.pop(f"server {id}", None)

    def servers(self) -> set[str]:
        return {path.name for path in self.homes.iterdir() if not path.name.startswith(".")}

    def _home(self, id: str) -> Path:
        home = self.homes / _plain(id)
        home.mkdir(exist_ok=True)
        return home


def clone(base: Path, base_format: str, path: Path, *, size: int = 0) -> None:
    """A qcow2 disk at ``path`` that begins as a copy of ``base`` and stores only what is written to it.

    Parameters
    ----------
    size : bytes; 0: as large as the base

    Raises
    ------
    DriverError: the base is larger than ``size``; qemu-img failed
    """
    facts = json.loads(qemu_img("info", "--force-share", "--output=json", "-f", base_format, str(base)))
    if size and size < facts["virtual-size"]:
        raise DriverError(
            f"The image needs a disk of {-(-facts['virtual-size'] >> 30)} GiB, but the flavor's has {size >> 30} GiB."
        )
    with _whole(path) as part:
        sizes = [str(size)] if size else []
        qemu_img("create", "-q", "-f", "qcow2", "-b", str(base), "-F", base_format, str(part), *sizes)


def qemu_img(*words: str) -> bytes:
    """What ``qemu-img`` printed."""
    command = ["qemu-img", *words]
    try:
        done = subprocess.run(command, capture_output=True, check=False, env={**os.environ, "LC_ALL": "C"})
    except FileNotFoundError as error:
        raise DriverError("This host cannot make disks.", "install the Debian package qemu-utils") from error
    if done.returncode:
        text = done.stderr.decode(errors="replace").strip()
        reason = "the host has no space left" if "No space left" in text else "the disk tool failed"
        raise DriverError(f"The disk could not be made: {reason}.", f"{' '.join(command)}: {text}")
    return done.stdout


def iso9660(files: dict[str, bytes], *, label: str) -> bytes:
    """An ISO 9660 image with Joliet and Rock Ridge names.

    Parameters
    ----------
    files : path without a leading slash -> content
    """
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=label)
    short: dict[str, str] = {"": ""}  # long folder -> its plain ISO 9660 name, of which readers see nothing
    for number, (path, content) in enumerate(sorted(files.items())):
        parts = path.split("/")
        for depth in range(1, len(parts)):
            folder, parent = "/".join(parts[:depth]), "/".join(parts[: depth - 1])
            if folder not in short:
                short[folder] = f"{short[parent]}/D{len(short)}"
                iso.add_directory(short[folder], rr_name=parts[depth - 1], joliet_path=f"/{folder}")
        iso.add_fp(
            io.BytesIO(content),
            len(content),
            f"{short['/'.join(parts[:-1])]}/F{number}.;1",
            rr_name=parts[-1],
            joliet_path=f"/{path}",
        )
    out = io.BytesIO()
    iso.write_fp(out)
    iso.close()
    return out.getvalue()


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A name beside ``path`` to write to; it becomes ``path`` when the block ends well, and vanishes otherwise."""
    part = path.with_name(f"{PART}{path.name}~{os.getpid()}-{threading.get_ident()}")
    part.unlink(missing_ok=True)
    try:
        yield part
        if not part.is_symlink():
            with part.open("rb") as written:
                os.fsync(written.fileno())
        part.replace(path)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DriverError("The disk could not be made: the host has no space left.", str(error)) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def compare(image: wanted.Image, path: Path) -> None:
    """Size, checksum and format of a file are those of the image.

    Raises
    ------
    DriverError: the first that is not, or the image refers to other files
    """
    size = path.stat().st_size
    if size != image.size:
        raise DriverError("The image did not arrive whole.", f"{image.id}: {size} bytes instead of {image.size}")
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha512").hexdigest()
    if checksum != image.checksum:
        raise DriverError("The image arrived damaged.", f"{image.id}: sha512 {checksum}, not {image.checksum}")
    if image.disk_format == "raw":
        return  # whatever its bytes are, they are only ever read as raw ones
    try:
        facts = imageformat.inspect(path)
    except imageformat.UnsafeImage as error:
        raise DriverError(str(error), image.id) from error
    except imageformat.UnreadableImage as error:
        raise DriverError("The image could not be inspected.", f"{image.id}: {error}") from error
    if facts.disk_format != image.disk_format:
        raise DriverError(f"The image is {facts.disk_format}, not {image.disk_format}.", image.id)


def _plain(name: str) -> str:
    """The name, which becomes a part of a path, if it can do no harm there."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise DriverError("A name cannot be used for a disk.", repr(name))
    return name
