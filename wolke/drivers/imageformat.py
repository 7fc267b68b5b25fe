"""What a disk image is, told by its content in a child process that can do nothing but read it.

Whoever uploads an image decides its bytes, and parsers of such bytes have had holes: the parsing happens in
``imageformat_child.py``, without network, without privileges and under limits. QEMU is never asked to guess a format.

Formats: https://docs.openstack.org/glance/latest/user/formats.html; qcow2: docs/interop/qcow2.txt of QEMU
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

CHILD = Path(__file__).with_name("imageformat_child.py")
SECONDS = 120.0  # a stream-optimized VMDK is read to its end


class UnsafeImage(Exception):
    """The image refers to other files, or hides what it is. The text may be shown to whoever uploaded it."""


class UnreadableImage(Exception):
    """The inspection itself failed: the child ran into its limits or could not start. The text is the operator's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFacts:
    """What the content says.

    Parameters
    ----------
    disk_format : as Glance names it: raw qcow2 vmdk vdi vhd vhdx iso luks; raw is what nothing else matches
    virtual_size : bytes; of the disk that a guest sees
    size : bytes of the file
    layout : of a raw image: ``gpt``, ``mbr`` or empty
    """

    disk_format: str
    virtual_size: int
    size: int
    layout: str = ""


class _Answer(msgspec.Struct):
    disk_format: str = ""
    virtual_size: int = 0
    size: int = 0
    layout: str = ""
    unsafe: str = ""


_ANSWERS = msgspec.json.Decoder(
    _Answer
)  # made once: two threads that meet a type for the first time at once crash msgspec


def inspect(image: Path | int) -> ImageFacts:
    """The facts of an image: a path, or a descriptor that is open for reading (its position stays as it is).

    Raises
    ------
    UnsafeImage: a backing file, an external data file, unknown features, extents elsewhere, or two formats at once
    UnreadableImage: see there
    """
    if isinstance(image, int):
        return _ask(image)
    descriptor = os.open(image, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _ask(descriptor)
    finally:
        os.close(descriptor)


def _ask(descriptor: int) -> ImageFacts:
    try:
        # -I: neither the environment nor the working folder decides what the child imports.
        done = subprocess.run(
            [sys.executable, "-I", str(CHILD)],
            stdin=descriptor,
            capture_output=True,
            timeout=SECONDS,
            cwd="/",
            env={"LC_ALL": "C.UTF-8"},
            check=False,
        )
        answer = _ANSWERS.decode(done.stdout)
    except subprocess.TimeoutExpired as error:
        raise UnreadableImage(f"the inspection did not end within {SECONDS:.0f} s") from error
    except msgspec.DecodeError as error:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise UnreadableImage(f"the inspection ended with status {done.returncode}: {' '.join(last)}") from error
    if answer.unsafe:
        raise UnsafeImage(answer.unsafe)
    return ImageFacts(
        disk_format=answer.disk_format, virtual_size=answer.virtual_size, size=answer.size, layout=answer.layout
    )
