"""Bytes on their way in: who brings them, what is written down of it, what is left when they do not arrive."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import select

from tests.conftest import Cloud
from tests.image.test_images import OCTETS, URL, make, qcow2, upload
from tests.waiting import wait_for
from wolke.core.errors import UnsupportedMedia
from wolke.core.events import Event
from wolke.core.work import LEASE_SECONDS
from wolke.image import data
from wolke.image.importer import TRIES, is_public
from wolke.image.store import Store
from wolke.image.table import Image


def events(cloud: Cloud, image_id: str) -> list[tuple[str, str, str, int]]:
    with cloud.app.database.read() as db:
        found = db.scalars(select(Event).where(Event.target_id == image_id).order_by(Event.id)).all()
    return [(event.rule, event.method, event.kind, event.status) for event in found]


def files(cloud: Cloud) -> list[str]:
    return sorted(path.name for path in cloud.app.part(Store).directory.iterdir())


def test_an_upload_is_a_write_like_any_other(cloud: Cloud) -> None:
    image = make(cloud)
    assert cloud.reader.put(f"{URL}/{image['id']}/file", content=b"x", headers=OCTETS).status_code == 403
    assert cloud.stranger.put(f"{URL}/{image['id']}/file", content=b"x", headers=OCTETS).status_code == 404
    answer = upload(cloud, image, b"x" * 512)
    assert answer.status_code == 204
    assert events(cloud, image["id"]) == [("add_image", "POST", "image", 201), ("upload_image", "PUT", "image", 204)]
    with cloud.app.database.read() as db:
        last = db.scalars(select(Event).order_by(Event.id.desc())).first()
    assert last and last.request_id == answer.headers["x-openstack-request-id"]
    assert (last.service, last.user_id, last.target_project_id) == ("image", "user-member", image["owner"])


def test_who_stalls_and_comes_back_late_has_no_hand_on_the_image(cloud: Cloud) -> None:
    """Otherwise he could write a backing file into bytes that have been inspected."""
    image = make(cloud, disk_format="qcow2")
    good = qcow2()

    def stalled() -> Iterator[bytes]:
        yield b"QFI\xfb"
        cloud.now += data.LEASE_SECONDS + 1
        assert upload(cloud, image, good).status_code == 204
        yield qcow2(backing="/etc/shadow").ljust(2 * data.PIECE, b"\0")

    late = cloud.apart("member").put(f"{URL}/{image['id']}/file", content=stalled(), headers=OCTETS)
    assert late.status_code == 409 and "another request" in late.json()["message"]
    assert cloud.member.get(f"{URL}/{image['id']}/file").content == good
    assert cloud.member.get(f"{URL}/{image['id']}").json()["status"] == "active"
    assert files(cloud) == [image["id"]]


def test_an_image_that_is_deleted_meanwhile_leaves_no_file(cloud: Cloud) -> None:
    image = make(cloud)

    def deleted_meanwhile() -> Iterator[bytes]:
        yield b"x" * 100
        assert cloud.member.delete(f"{URL}/{image['id']}").status_code == 204
        yield b"x" * 100

    late = cloud.apart("member").put(f"{URL}/{image['id']}/file", content=deleted_meanwhile(), headers=OCTETS)
    assert late.status_code == 409 and files(cloud) == []


def test_an_image_that_is_too_large_leaves_nothing(cloud: Cloud) -> None:
    cloud.app.config.max_image = 1000
    image = make(cloud)
    assert upload(cloud, image, b"x" * 1001).status_code == 413
    assert files(cloud) == [] and cloud.member.get(f"{URL}/{image['id']}").json()["status"] == "queued"
    assert upload(cloud, image, b"x" * 1000).status_code == 204


def test_a_store_that_takes_nothing_is_told_as_such(cloud: Cloud) -> None:
    image = make(cloud)
    directory = cloud.app.part(Store).directory
    directory.rmdir()
    assert upload(cloud, image, b"x").status_code == 503
    directory.mkdir()
    assert cloud.member.get(f"{URL}/{image['id']}").json()["status"] == "queued"
    assert upload(cloud, image, b"x").status_code == 204


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "127.0.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "0.0.0.0", "::1", "fd00::1",
                "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "ff02::1"],
)  # fmt: skip
def test_addresses_that_no_import_may_speak_to(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("uri", ["http://", "http://[::1", "https:///x", "http://a:999999/x"])
def test_an_import_from_no_address_ends(cloud: Cloud, uri: str) -> None:
    image = make(cloud)
    body = {"method": {"name": "web-download", "uri": uri}}
    answer = cloud.member.post(f"{URL}/{image['id']}/import", json=body)
    assert answer.status_code in (202, 400)
    cloud.settle()
    assert cloud.member.get(f"{URL}/{image['id']}").json()["status"] == "queued"


def test_an_image_that_inspection_cannot_cope_with_is_refused(tmp_path, monkeypatch) -> None:
    from wolke.drivers import imageformat

    child = tmp_path / "child.py"
    child.write_text("raise MemoryError\n")
    monkeypatch.setattr(imageformat, "CHILD", child)
    whole = tmp_path / "image"
    whole.write_bytes(b"x")
    with pytest.raises(UnsupportedMedia) as refused:
        data.check(whole, "raw")
    assert "MemoryError" in refused.value.hint and "MemoryError" not in str(refused.value)


class Source:
    """A web server that has one image; ``before`` and ``later`` run while the image is on its way, with bytes between them."""

    def __init__(self, content: bytes) -> None:
        self.content, self.asked = content, 0
        self.before: Callable[[], object] = lambda: None
        self.later: Callable[[], object] = lambda: None
        source = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                source.asked += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(source.content)))
                self.end_headers()
                self.wfile.write(source.content[:10])
                source.before()
                self.wfile.write(source.content[10:-10])
                source.later()
                self.wfile.write(source.content[-10:])

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/image"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def source(cloud: Cloud) -> Iterator[Source]:
    cloud.app.config.image_import_networks = ["127.0.0.0/8"]
    made = Source(b"x" * 4096)
    yield made
    made.close()


def ask(cloud: Cloud, uri: str) -> dict[str, Any]:
    image = make(cloud)
    body = {"method": {"name": "web-download", "uri": uri}}
    assert cloud.member.post(f"{URL}/{image['id']}/import", json=body).status_code == 202
    return image


def test_an_image_is_imported_from_an_address_once_however_many_would(cloud: Cloud, source: Source) -> None:
    """A download outlasts the lease of its work item, and says so as it goes; whoever takes the item then waits."""
    image = ask(cloud, source.url)
    handled: list[int] = []

    def until() -> float:
        with cloud.app.database.read() as db:
            return float(db.scalar(select(Image.data_until).where(Image.id == image["id"])) or 0.0)

    def half_a_lease() -> None:
        cloud.now += LEASE_SECONDS / 2 + 1

    def another_process() -> None:
        wait_for(lambda: until() == cloud.now + LEASE_SECONDS)  # the piece before has renewed it
        half_a_lease()
        [lane] = [lane for lane in cloud.lanes if lane.name == "image import 2"]
        handled.append(lane.run_once(cloud.app.database))

    source.before, source.later = half_a_lease, another_process
    begun = cloud.now
    cloud.settle()
    assert handled == [1] and cloud.now > begun + LEASE_SECONDS
    assert cloud.member.get(f"{URL}/{image['id']}/file").content == source.content
    assert source.asked == 1 and files(cloud) == [image["id"]]


def test_an_import_that_died_is_taken_up_again(cloud: Cloud, source: Source) -> None:
    image = ask(cloud, source.url)
    with cloud.app.database.transaction() as db:
        data.set_data(db, image["id"], data_until=cloud.now + 100)
    cloud.settle()
    assert source.asked == 0
    cloud.now += 101
    cloud.settle()
    assert cloud.member.get(f"{URL}/{image['id']}").json()["status"] == "active"


def test_a_source_that_is_never_there_is_given_up(cloud: Cloud, source: Source) -> None:
    source.close()
    image = ask(cloud, source.url)
    for _ in range(TRIES):
        assert cloud.member.get(f"{URL}/{image['id']}").json()["status"] == "importing"
        cloud.settle()
        cloud.now += 60
    assert cloud.member.get(f"{URL}/{image['id']}").json()["status"] == "queued"
    assert files(cloud) == []
