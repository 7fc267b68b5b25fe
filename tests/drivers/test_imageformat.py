"""Formats by content, with images from qemu-img; and that the child which reads them can do nothing else."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from wolke.drivers import imageformat
from wolke.drivers.disks import iso9660, qemu_img
from wolke.drivers.imageformat import ImageFacts, UnreadableImage, UnsafeImage, inspect

MIB = 1 << 20
# LUKS on-disk format 1.2, section 2.3: magic, version, cipher, mode, hash, payload offset, key bytes
LUKS_HEADER = b"LUKS\xba\xbe" + struct.pack(">H32s32s32sII", 1, b"aes", b"xts-plain64", b"sha256", 2048, 64)
DESCRIPTOR = b"""# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=ffffffff
createType="monolithicSparse"
RW 8192 SPARSE "somebody-elses.vmdk"
"""


def make(folder: Path, disk_format: str, *options: str, size: str = "8M") -> Path:
    path = folder / f"image.{disk_format}"
    qemu_img("create", "-q", "-f", disk_format, *options, str(path), size)
    return path


@pytest.mark.parametrize(
    ("made", "told"),
    [("qcow2", "qcow2"), ("vmdk", "vmdk"), ("vdi", "vdi"), ("vhdx", "vhdx"), ("vpc", "vhd"), ("raw", "raw")],
)
def test_formats_are_told_by_content(tmp_path: Path, made: str, told: str) -> None:
    path = make(tmp_path, made)
    path = path.rename(tmp_path / "image.jpg")
    facts = inspect(path)
    assert (facts.disk_format, facts.size) == (told, path.stat().st_size)
    assert 8 * MIB <= facts.virtual_size < 9 * MIB  # VHD rounds up to whole cylinders


def test_raw_images_tell_their_partition_table(tmp_path: Path) -> None:
    path = make(tmp_path, "raw")
    for label in ("gpt", "dos"):
        subprocess.run(["sfdisk", "-q", path], input=f"label: {label}\n,\n", text=True, check=True)
        assert inspect(path) == ImageFacts(
            disk_format="raw", virtual_size=8 * MIB, size=8 * MIB, layout={"dos": "mbr"}.get(label, label)
        )


def test_iso_luks_and_compressed_images_are_known(tmp_path: Path) -> None:
    iso = tmp_path / "cd"
    iso.write_bytes(iso9660({"a": b"b"}, label="cd"))
    assert inspect(iso).disk_format == "iso"
    luks = tmp_path / "luks"
    luks.write_bytes(LUKS_HEADER.ljust(MIB, b"\0"))
    assert inspect(luks).disk_format == "luks"
    stream = tmp_path / "stream"
    qemu_img("convert", "-O", "vmdk", "-o", "subformat=streamOptimized", str(make(tmp_path, "qcow2")), str(stream))
    assert inspect(stream) == ImageFacts(disk_format="vmdk", virtual_size=8 * MIB, size=stream.stat().st_size)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("-u", "-b", "/etc/shadow", "-F", "raw"), "backing file"),
        (("-o", "data_file=DATA"), "data_file"),
        (("-o", "extended_l2=on"), "[Uu]nknown"),
    ],
)
def test_a_qcow2_that_points_elsewhere_is_refused(tmp_path: Path, options: tuple[str, ...], reason: str) -> None:
    path = make(tmp_path, "qcow2", *(word.replace("DATA", str(tmp_path / "data")) for word in options))
    with pytest.raises(UnsafeImage, match=reason):
        inspect(path)


def test_a_vmdk_whose_extents_are_other_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeImage, match="vmdk"):
        inspect(make(tmp_path, "vmdk", "-o", "subformat=monolithicFlat"))
    path = tmp_path / "descriptor"
    path.write_bytes(DESCRIPTOR)
    with pytest.raises(UnsafeImage, match="other files"):
        inspect(path)


def test_two_formats_in_one_file_are_refused(tmp_path: Path) -> None:
    path = make(tmp_path, "qcow2")
    content = bytearray(path.read_bytes())
    content[32769:32774] = b"CD001"  # an ISO's volume descriptor inside a qcow2
    path.write_bytes(content)
    with pytest.raises(UnsafeImage, match="several formats"):
        inspect(path)


def test_an_absurd_size_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path, "qcow2")
    content = bytearray(path.read_bytes())
    struct.pack_into(">Q", content, 24, 1 << 62)
    path.write_bytes(content)
    with pytest.raises(UnsafeImage, match="claims a size"):
        inspect(path)


def test_a_descriptor_keeps_its_position(tmp_path: Path) -> None:
    path = make(tmp_path, "qcow2")
    with path.open("rb") as file:
        file.seek(100)
        assert inspect(file.fileno()).disk_format == "qcow2"
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == 100


TRIES = """
import os, socket, sys
sys.path.insert(0, {folder!r})
import imageformat_child as child
child.give_up()
held = []
for name, harm in {{
    "file": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "socket": lambda: socket.socket(),
    "process": lambda: os.fork(),
    "memory": lambda: bytearray(2 << 30),
}}.items():
    try:
        harm()
    except (OSError, MemoryError):
        held.append(name)
if os.geteuid() != 0:
    held.append("root")
print(" ".join(held))
"""


def test_the_child_can_do_nothing_but_read_its_image() -> None:
    folder = str(imageformat.CHILD.parent)
    done = subprocess.run(
        [sys.executable, "-c", TRIES.format(folder=folder)], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["file", "socket", "process", "memory", "root"], done.stderr


def test_a_child_that_dies_is_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = tmp_path / "child.py"
    child.write_text("import os; os.kill(os.getpid(), 9)")
    monkeypatch.setattr(imageformat, "CHILD", child)
    with pytest.raises(UnreadableImage, match="status -9"):
        inspect(make(tmp_path, "raw"))
