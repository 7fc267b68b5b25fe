"""Whether KVM truly runs a guest on this host, found out by running one.

``/dev/kvm`` may exist and be useless (nested virtualisation that lacks registers, containers without the right to it):
only a guest that got through its firmware and into its boot sector proves it.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

EXIT_PORT = 0xF4
PROOF = 0x10
# mov al, PROOF; mov dx, EXIT_PORT; out dx, al; 1: hlt; jmp 1b
BOOT_SECTOR = bytes([0xB0, PROOF, 0xBA, EXIT_PORT, 0x00, 0xEE, 0xF4, 0xEB, 0xFD]).ljust(510, b"\0") + b"\x55\xaa"
SECONDS = 10.0


@functools.cache
def why_no_kvm() -> str:
    """Why guests cannot use KVM here; empty where one did. Asked once per process: the answer takes up to 10 s."""
    if not Path("/dev/kvm").exists():
        return "/dev/kvm does not exist: the processor's virtualisation is off or the kvm module is not loaded"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "/dev/kvm may not be opened by this user"
    return why_not("kvm", "host")


def why_not(accelerator: str, cpu: str, seconds: float = SECONDS) -> str:
    """Why no guest runs with this accelerator and processor model; empty when one ran.

    The processor model is the one that real guests get: some hosts run KVM guests with a small model only.
    """
    program = shutil.which("qemu-system-x86_64")
    if program is None:
        return "qemu-system-x86_64 is not installed (Debian package qemu-system-x86)"
    with tempfile.TemporaryDirectory(prefix="wolke-kvm-") as folder:
        disk = Path(folder) / "boot.img"
        disk.write_bytes(BOOT_SECTOR)
        command = [
            *(program, "-no-user-config", "-nodefaults", "-display", "none", "-no-reboot", "-machine", "pc"),
            *("-accel", accelerator, "-cpu", cpu, "-m", "64"),
            *("-drive", f"file={disk},format=raw,if=ide"),
            *("-device", f"isa-debug-exit,iobase={EXIT_PORT:#x},iosize=4"),
        ]
        try:
            done = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            return f"a guest did not reach its boot sector within {seconds:.0f} s"
    if done.returncode == (PROOF << 1) | 1:
        return ""
    last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
    return f"QEMU ended with status {done.returncode}: {last[0]}"
