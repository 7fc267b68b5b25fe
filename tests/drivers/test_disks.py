"""What every ``Disks`` promises, kept by the fake and by the real one; then what only files can show."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pycdlib
import pytest

from wolke.drivers.disks import Disks, qemu_img
from wolke.drivers.fake.disks import FakeDisks
from wolke.drivers.hypervisor import DriverError
from wolke.wire import wanted

RAW = b"a disk's first bytes".ljust(1 << 20, b"\0")
GIB = 1 << 30


@pytest.fixture(params=["fake", "real"])
def disks(request: pytest.FixtureRequest, tmp_path: Path) -> Disks | FakeDisks:
    return FakeDisks() if request.param == "fake" else Disks(tmp_path / "disks")


def announced(content: bytes, disk_format: str = "raw") -> wanted.Image:
    checksum = hashlib.sha512(content).hexdigest()
    return wanted.Image(id=str(uuid.uuid4()), disk_format=disk_format, size=len(content), checksum=checksum)


def bringing(content: bytes, brought: list[Path] | None = None) -> Callable[[Path], None]:
    def fetch(path: Path) -> None:
        path.write_bytes(content)
        if brought is not None:
            brought.append(path)

    return fetch


def qcow2(folder: Path, *options: str, size: str = "4M") -> bytes:
    path = folder / f"{uuid.uuid4()}.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", *options, str(path), size)
    return path.read_bytes()


def test_an_image_is_fetched_once(disks: Disks | FakeDisks) -> None:
    image, brought = announced(RAW), []
    first = disks.image(image, bringing(RAW, brought))
    assert disks.image(image, bringing(RAW, brought)) == first
    assert len(brought) == 1


def test_a_disk_that_was_made_is_found_without_its_image(disks: Disks | FakeDisks) -> None:
    image = announced(RAW)
    assert disks.made("server") is None
    root = disks.root("server", disks.image(image, bringing(RAW)), wanted.Disk(image=image, size_gib=1))
    assert disks.made("server") == root
    disks.remove("server")
    assert disks.made("server") is None


def test_callers_at_the_same_time_share_one_fetch(disks: Disks | FakeDisks) -> None:
    image, brought, go = announced(RAW), [], threading.Event()

    def fetch(path: Path) -> None:
        go.wait(10)
        bringing(RAW, brought)(path)

    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(disks.image, image, fetch) for _ in range(8)]
        go.set()
        assert len({call.result() for call in calls}) == 1
    assert len(brought) == 1


@pytest.mark.parametrize("arrived", [RAW[:-1], RAW[:-1] + b"x", b""])
def test_an_image_that_arrives_differently_is_refused_and_fetched_again(
    disks: Disks | FakeDisks, arrived: bytes
) -> None:
    image = announced(RAW)
    with pytest.raises(DriverError, match="image"):
        disks.image(image, bringing(arrived))
    assert disks.image(image, bringing(RAW))


def test_an_error_of_the_fetch_reaches_the_caller(disks: Disks | FakeDisks) -> None:
    def fetch(path: Path) -> None:
        raise TimeoutError("the control plane is silent")

    with pytest.raises(TimeoutError, match="silent"):
        disks.image(announced(RAW), fetch)


def test_an_image_with_a_backing_file_is_refused(disks: Disks | FakeDisks, tmp_path: Path) -> None:
    content = qcow2(tmp_path, "-u", "-b", "/etc/shadow", "-F", "raw")
    with pytest.raises(DriverError, match="backing file"):
        disks.image(announced(content, "qcow2"), bringing(content))


def test_an_image_that_is_not_what_was_announced_is_refused(disks: Disks | FakeDisks) -> None:
    with pytest.raises(DriverError, match="raw, not qcow2"):
        disks.image(announced(RAW, "qcow2"), bringing(RAW))


def test_a_root_disk_is_made_once_and_removed_with_its_server(disks: Disks | FakeDisks, tmp_path: Path) -> None:
    content = qcow2(tmp_path)
    image = announced(content, "qcow2")
    path = disks.image(image, bringing(content))
    disk = wanted.Disk(image=image, size_gib=1)
    root = disks.root("server-1", path, disk)
    assert disks.root("server-1", path, disk) == root
    disks.config_drive("server-2", {"openstack/latest/meta_data.json": b"{}"})
    assert disks.servers() == {"server-1", "server-2"}
    for _ in range(2):
        disks.remove("server-1")
        disks.remove("server-2")
    assert disks.servers() == set()


def test_a_disk_smaller_than_its_image_is_refused(disks: Disks | FakeDisks, tmp_path: Path) -> None:
    content = qcow2(tmp_path, size="3G")
    image = announced(content, "qcow2")
    path = disks.image(image, bringing(content))
    with pytest.raises(DriverError, match="The image needs a"):
        disks.root("server-1", path, wanted.Disk(image=image, size_gib=2))


def test_images_go_when_nobody_wants_them_and_no_disk_stands_on_them(disks: Disks | FakeDisks) -> None:
    based, used, idle = announced(RAW), announced(RAW), announced(RAW)
    paths = {image.id: disks.image(image, bringing(RAW)) for image in (based, used, idle)}
    disks.root("server-1", paths[based.id], wanted.Disk(image=based, size_gib=1))
    assert disks.sweep({used.id}) == {paths[idle.id].name}
    disks.remove("server-1")
    assert disks.sweep({used.id}) == {paths[based.id].name}
    brought: list[Path] = []
    disks.image(used, bringing(RAW, brought))
    assert brought == []


# Only files ------------------------------------------------------------------
def test_a_root_disk_is_a_copy_on_write_child_of_its_size(tmp_path: Path) -> None:
    disks, image = Disks(tmp_path), announced(RAW)
    path = disks.image(image, bringing(RAW))
    root = disks.root("server-1", path, wanted.Disk(image=image, size_gib=3))
    facts = json.loads(qemu_img("info", "--output=json", str(root)))
    assert (facts["virtual-size"], facts["format"]) == (3 * GIB, "qcow2")
    assert (facts["full-backing-filename"], facts["backing-filename-format"]) == (str(path), "raw")
    copy = tmp_path / "copy"
    qemu_img("convert", "-O", "raw", str(root), str(copy))
    with copy.open("rb") as read:
        assert read.read(len(RAW)) == RAW


def test_a_config_drive_is_read_as_it_was_written(tmp_path: Path) -> None:
    files = {
        "openstack/latest/meta_data.json": b'{"uuid": "1"}',
        "openstack/latest/user_data": b"#!/bin/sh\n" + b"x" * 70000,
        "openstack/content/0000": b"",
        "ec2/latest/meta-data.json": b"{}",
    }
    disks = Disks(tmp_path)
    disks.config_drive("server-1", {"old": b"content"})
    path = disks.config_drive("server-1", files)
    iso = pycdlib.PyCdlib()
    iso.open(str(path))
    for names in ("joliet_path", "rr_path"):
        found = {}
        for folder, _, inside in iso.walk(**{names: "/"}):
            for name in inside:
                place, content = f"{folder.rstrip('/')}/{name}", io.BytesIO()
                iso.get_file_from_iso_fp(content, **{names: place})
                found[place.lstrip("/")] = content.getvalue()
        assert found == files
    assert iso.pvd.volume_identifier.rstrip() == b"config-2"
    iso.close()
    assert path.stat().st_mode & 0o077 == 0, "it may hold a password"


def test_a_blkid_sees_the_label_that_cloud_init_looks_for(tmp_path: Path) -> None:
    path = Disks(tmp_path).config_drive("server-1", {"openstack/latest/meta_data.json": b"{}"})
    said = subprocess.run(["blkid", "-o", "export", path], capture_output=True, text=True, check=True).stdout
    assert "LABEL=config-2" in said and "TYPE=iso9660" in said


def test_leftovers_of_a_killed_agent_are_swept(tmp_path: Path) -> None:
    disks, image = Disks(tmp_path), announced(RAW)
    path = disks.image(image, bringing(RAW))
    (tmp_path / "images" / f".part-{path.name}~1-2").write_bytes(b"half")
    (tmp_path / "servers" / ".gone-x").mkdir()
    disks.sweep({image.id})
    assert [entry.name for entry in (tmp_path / "images").iterdir()] == [path.name]
    assert list((tmp_path / "servers").iterdir()) == []


@pytest.mark.parametrize("name", ["../../etc", "a/b", "", ".."])
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DriverError):
        Disks(tmp_path).config_drive(name, {"a": b""})
