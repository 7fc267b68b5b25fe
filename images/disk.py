"""Disk images made of plain files: partition tables, file systems, boot sectors. No loop device, no mount, no root.

Layouts: UEFI specification, section 5 (GPT); discoverable partitions (partition types)
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
SECTOR = 512
ROOT_X86_64 = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"
EFI_SYSTEM = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"

_started = time.monotonic()


class BuildError(Exception):
    """Why no image could be made, and what to do about it."""


def log(message: str) -> None:
    print(f"[{time.monotonic() - _started:6.1f}s] {message}", file=sys.stderr, flush=True)


def run(
    *words: str | Path, input: str | None = None, cwd: Path | None = None, env: dict[str, str] | None = None
) -> str:
    """What a program printed; its output is shown when it fails."""
    command = [str(word) for word in words]
    done = subprocess.run(
        command, text=True, input=input, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        raise BuildError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


def need(programs: dict[str, str], files: dict[str, str] | None = None) -> None:
    """All programs (name -> Debian package) and files (path -> package) are here, or one apt line names what is not."""
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = {package for program, package in programs.items() if not shutil.which(program)}
    missing |= {package for path, package in (files or {}).items() if not Path(path).exists()}
    if missing:
        packages = " ".join(sorted(missing))
        raise BuildError(f"missing Debian packages: apt-get install -y --no-install-recommends {packages}")


def put(root: Path, name: str, mode: int, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


@dataclass(frozen=True, kw_only=True, slots=True)
class Partition:
    number: int
    type: str
    name: str
    start_mib: int
    size_mib: int
    attributes: str = ""


def make_disk(path: Path, size: int, partitions: list[Partition]) -> dict[int, int]:
    """A sparse GPT disk of ``size`` bytes; the answer is partition number -> offset in bytes."""
    with path.open("wb") as disk:
        disk.truncate(size)
    script = ["label: gpt", f"label-id: {uuid.uuid4()}", "unit: sectors", "first-lba: 34", f"sector-size: {SECTOR}"]
    for part in partitions:
        fields = [f"start={part.start_mib * MIB // SECTOR}", f"size={part.size_mib * MIB // SECTOR}"]
        fields += [f"type={part.type}", f'name="{part.name}"']
        if part.attributes:
            fields.append(f'attrs="{part.attributes}"')
        script.append(f"{path}{part.number} : {', '.join(fields)}")
    run("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", path, input="\n".join(script) + "\n")
    return {part.number: part.start_mib * MIB for part in partitions}


def copy_into(disk: Path, image: Path, offset: int) -> None:
    """Copy a file into the disk; blocks of zeros stay holes."""
    zeros = bytes(MIB)
    with image.open("rb") as source, disk.open("r+b") as target:
        while block := source.read(MIB):
            if block != zeros[: len(block)]:
                target.seek(offset)
                target.write(block)
            offset += len(block)


def write_at(disk: Path, offset: int, content: bytes) -> None:
    with disk.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def ext4(path: Path, size: int, label: str, tree: Path) -> None:
    """A file system of ``size`` bytes with the tree in it, owners as they are in the tree."""
    path.unlink(missing_ok=True)
    options = "root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,resize=1073741824"
    run(
        *("mke2fs", "-q", "-F", "-t", "ext4", "-L", label, "-m", "1", "-i", "8192", "-E", options),
        # No feature newer than what older guests and tools can read.
        *("-O", "^metadata_csum_seed,^orphan_file", "-d", tree, path, f"{size // 1024}K"),
    )


def fat(path: Path, size: int, label: str, tree: Path) -> None:
    with path.open("wb") as file:
        file.truncate(size)
    run("mkfs.fat", "-n", label, path)
    for entry in sorted(tree.iterdir()):
        run("mcopy", "-s", "-Q", "-m", "-i", path, entry, "::/", env={**os.environ, "MTOOLS_SKIP_CHECK": "1"})


def install_grub_bios(disk: Path, boot_img: bytes, core_img: bytes, offset: int) -> None:
    """What grub-bios-setup does, on a plain file.

    boot.img goes to the boot record, whose partition table stays; core.img to the BIOS boot partition at ``offset``.
    The sector numbers are patched into both.
    """
    if len(boot_img) != SECTOR:
        raise BuildError("GRUB's boot.img has an unexpected size")
    boot, core = bytearray(boot_img), bytearray(core_img)
    first, sectors = offset // SECTOR, -(-len(core) // SECTOR)
    struct.pack_into("<Q", boot, 0x5C, first)
    boot[0x66:0x68] = b"\x90\x90"  # keep the drive number that the BIOS gave
    # The first sector of core.img is diskboot.img: its block list ends at 0x200.
    struct.pack_into("<QHH", core, 0x1F4, first + 1, sectors - 1, 0x0820)
    core += bytes(sectors * SECTOR - len(core))
    with disk.open("r+b") as file:
        boot[0x1B8:0x200] = file.read(SECTOR)[0x1B8:0x200]  # disk id and protective boot record
        file.seek(0)
        file.write(boot)
        file.seek(offset)
        file.write(core)


def publish(raw: Path, out: Path) -> None:
    """The raw disk as a compressed qcow2; a half-written image never has the final name."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".part-{out.name}-{os.getpid()}")
    try:
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zstd", raw, part)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def apt_sources(suite: str) -> list[str]:
    """The Debian sources that this host's apt uses for a suite, as lines of sources.list."""
    wanted = (suite, f"{suite}-updates", f"{suite}-security")
    format = "$(REPO_URI) $(CODENAME) $(COMPONENT) $(ORIGIN)"
    lines: dict[str, None] = {}
    for row in run("apt-get", "indextargets", "--format", format, "Identifier: Packages").splitlines():
        if match := re.fullmatch(r"(\S+) (\S+) (\S+) Debian", row):
            uri, codename, component = match.groups()
            if codename in wanted:
                lines[f"deb {uri.rstrip('/')} {codename} {component}"] = None
    return list(lines)


def installed_versions(packages: list[str]) -> str:
    """One line per installed package with its version; what is not installed has none."""
    done = subprocess.run(["dpkg-query", "-W", *packages], text=True, capture_output=True, check=False)
    return done.stdout
