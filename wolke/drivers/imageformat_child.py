"""The child of ``imageformat``: reads an image from descriptor 0 and prints what it is as one JSON object.

It gives up everything it could harm with *before* it reads the first byte: privileges, network, file systems to
write to, new descriptors, processes, memory and time.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
from typing import IO, cast

from oslo_utils.imageutils import format_inspector

CHUNK = 1 << 16
NOBODY = 65534
CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWNET = 0x00020000, 0x08000000, 0x40000000
PR_SET_NO_NEW_PRIVS = 38
LARGEST = 1 << 50  # bytes; a header may claim any virtual size


def give_up() -> None:
    """Enter empty namespaces and become nobody where that is allowed; limits and no new privileges always."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0:
        libc.unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET)  # refused in some containers: the rest still holds
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs was refused")
    for limit, value in {
        resource.RLIMIT_CPU: 60,
        resource.RLIMIT_AS: 1 << 30,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: 3,  # those that are open: none can be added
    }.items():
        resource.setrlimit(limit, (value, value))


class Source:
    """The image as the inspectors want it; ``pread`` leaves the position of our parent's descriptor alone."""

    def __init__(self) -> None:
        self.offset = 0

    def read(self, size: int) -> bytes:
        chunk = os.pread(0, size, self.offset)
        self.offset += len(chunk)
        return chunk


def facts() -> dict[str, object]:
    size = os.fstat(0).st_size
    found = format_inspector.InspectWrapper(cast(IO[bytes], Source()))
    while found.read(CHUNK) and found.formats is None:
        pass
    if found.formats is None:
        found.close()  # the end of the file decides what is left
    matches = {str(one): one for one in found.formats or []}
    if set(matches) == {"iso", "gpt"}:
        del matches["gpt"]  # a bootable ISO bears a partition table as well
    if len(matches) != 1:
        return {"unsafe": f"The image looks like several formats at once: {', '.join(sorted(matches))}."}
    [(name, inspector)] = matches.items()
    if name == "qed":
        return {"unsafe": "The format qed is not supported."}
    if name in ("raw", "gpt", "iso", "luks"):
        # Plain bytes for us: nothing in them is ever followed.
        layout = partitions() if name == "gpt" else ""
        return {"disk_format": "raw" if name == "gpt" else name, "virtual_size": size, "size": size, "layout": layout}
    if name == "vmdk" and os.pread(0, 4, 0) != b"KDMV":
        return {"unsafe": "The vmdk image is refused: its extents are other files."}
    try:
        inspector.safety_check()
    except format_inspector.SafetyCheckFailed as error:
        reasons = "; ".join(sorted(str(reason) for reason in error.failures.values()))
        return {"unsafe": f"The {name} image is refused: {reasons}."}
    except format_inspector.ImageFormatError as error:
        return {"unsafe": f"The {name} image is damaged: {error}."}
    if not 0 < inspector.virtual_size <= LARGEST:
        return {"unsafe": f"The {name} image claims a size of {inspector.virtual_size} bytes."}
    return {"disk_format": name, "virtual_size": inspector.virtual_size, "size": size}


def partitions() -> str:
    """``gpt`` when the boot record is the protective one of a GPT, ``mbr`` when it lists partitions, else empty."""
    record = os.pread(0, 512, 0)
    kinds = {record[446 + 16 * number + 4] for number in range(4)} - {0}
    return "gpt" if 0xEE in kinds else "mbr" if kinds else ""


if __name__ == "__main__":
    give_up()
    try:
        answer = facts()
    except Exception as error:  # whatever an inspector stumbles over was put there by the image's maker
        answer = {"unsafe": f"The image is damaged: {type(error).__name__}."}
    sys.stdout.write(json.dumps(answer))
