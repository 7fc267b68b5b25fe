"""Images: the record, the bytes, who sees them."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import pytest

from tests.conftest import BLUE, RED, Cloud
from wolke.image.store import Store

URL = "/image/v2/images"
OCTETS = {"Content-Type": "application/octet-stream"}


def make(cloud: Cloud, **fields: Any) -> dict[str, Any]:
    answer = cloud.member.post(URL, json={"name": "tiny", "disk_format": "raw", "container_format": "bare", **fields})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def upload(cloud: Cloud, image: dict[str, Any], data: bytes) -> Any:
    return cloud.member.put(f"{URL}/{image['id']}/file", content=data, headers=OCTETS)


def qcow2(*, backing: str = "", incompatible: int = 0) -> bytes:
    """The header of a version 3 qcow2 image of 1 MiB (docs/interop/qcow2.txt of QEMU)."""
    name = backing.encode()
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII",
        b"QFI\xfb", 3, 104 if name else 0, len(name), 16, 2**20, 0, 1, 65536, 131072, 1, 0, 0, incompatible, 0, 0, 4, 104,
    )  # fmt: skip
    return (header + name).ljust(3 * 65536, b"\0")


def test_uploaded_bytes_come_back_with_their_sums(cloud: Cloud) -> None:
    image, data = make(cloud), b"boot" * 1000
    assert image["status"] == "queued"
    assert cloud.member.get(f"{URL}/{image['id']}/file").status_code == 204
    assert upload(cloud, image, data).status_code == 204
    shown = cloud.member.get(f"{URL}/{image['id']}").json()
    assert (shown["status"], shown["size"]) == ("active", 4000)
    assert shown["checksum"] == hashlib.md5(data).hexdigest()
    assert shown["os_hash_value"] == hashlib.sha512(data).hexdigest()
    got = cloud.member.get(f"{URL}/{image['id']}/file")
    assert got.content == data and got.headers["content-md5"] == shown["checksum"]
    assert upload(cloud, image, b"again").status_code == 409


@pytest.mark.parametrize(
    ("data", "declared", "word"),
    [
        (qcow2(backing="/etc/passwd"), "qcow2", "backing"),
        (qcow2(incompatible=4), "qcow2", "data_file"),
        (qcow2(), "raw", "qcow2"),
        (b"plain", "qcow2", "raw"),
    ],
)
def test_bytes_that_are_not_what_they_claim_are_refused(cloud: Cloud, data: bytes, declared: str, word: str) -> None:
    image = make(cloud, disk_format=declared)
    answer = upload(cloud, image, data)
    assert answer.status_code == 415 and word in answer.json()["message"]
    assert cloud.member.get(f"{URL}/{image['id']}").json()["status"] == "queued"
    assert not list(cloud.app.part(Store).directory.iterdir())


def test_a_true_qcow2_tells_its_virtual_size(cloud: Cloud) -> None:
    image = make(cloud, disk_format="qcow2")
    assert upload(cloud, image, qcow2()).status_code == 204
    assert cloud.member.get(f"{URL}/{image['id']}").json()["virtual_size"] == 2**20


def test_an_upload_that_was_cut_off_can_be_repeated(cloud: Cloud) -> None:
    from wolke.image.data import set_data

    image = make(cloud)
    with cloud.app.database.transaction() as db:
        set_data(db, image["id"], data="saving", data_until=cloud.now + 100)
    assert upload(cloud, image, b"x").status_code == 409
    cloud.now += 200
    assert upload(cloud, image, b"x").status_code == 204


def test_staged_data_becomes_the_image(cloud: Cloud) -> None:
    image = make(cloud)
    assert cloud.member.put(f"{URL}/{image['id']}/stage", content=b"x" * 600, headers=OCTETS).status_code == 204
    body = {"method": {"name": "glance-direct"}}
    assert cloud.member.post(f"{URL}/{image['id']}/import", json=body).status_code == 202
    assert cloud.member.get(f"{URL}/{image['id']}").json()["status"] == "importing"
    cloud.settle()
    assert cloud.member.get(f"{URL}/{image['id']}").json()["status"] == "active"


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:1/x", "http://[::1]/x", "http://169.254.169.254/latest", "http://10.0.0.1/i"]
)
def test_an_import_never_reaches_into_the_cloud_itself(cloud: Cloud, uri: str) -> None:
    image = make(cloud)
    body = {"method": {"name": "web-download", "uri": uri}}
    assert cloud.member.post(f"{URL}/{image['id']}/import", json=body).status_code == 202
    cloud.settle()
    assert cloud.member.get(f"{URL}/{image['id']}").json()["status"] == "queued"


def test_strangers_see_only_what_is_shared_with_them(cloud: Cloud) -> None:
    image = make(cloud)
    url = f"{URL}/{image['id']}"
    assert cloud.stranger.get(url).status_code == 404
    assert cloud.member.post(f"{url}/members", json={"member": BLUE}).status_code == 200
    assert cloud.stranger.get(url).status_code == 200
    assert cloud.stranger.get(URL).json()["images"] == []
    assert cloud.stranger.delete(url).status_code == 403
    assert cloud.member.put(f"{url}/members/{BLUE}", json={"status": "accepted"}).status_code == 403
    assert cloud.stranger.put(f"{url}/members/{BLUE}", json={"status": "accepted"}).status_code == 200
    assert [one["id"] for one in cloud.stranger.get(URL).json()["images"]] == [image["id"]]
    assert (
        cloud.member.patch(url, json=[{"op": "replace", "path": "/visibility", "value": "public"}]).status_code == 403
    )
    assert cloud.admin.patch(url, json=[{"op": "replace", "path": "/visibility", "value": "public"}]).status_code == 200
    assert cloud.member.delete(f"{url}/members/{BLUE}").status_code == 204


def test_patches_change_fields_properties_and_tags(cloud: Cloud) -> None:
    image = make(cloud, hw_disk_bus="virtio", tags=["b", "a"])
    url = f"{URL}/{image['id']}"
    assert image["tags"] == ["a", "b"]
    changes = [
        {"op": "replace", "path": "/name", "value": "other"},
        {"op": "add", "path": "/os_distro", "value": "debian"},
        {"op": "remove", "path": "/hw_disk_bus"},
    ]
    shown = cloud.member.patch(url, json=changes).json()
    assert (shown["name"], shown["os_distro"]) == ("other", "debian") and "hw_disk_bus" not in shown
    assert cloud.member.put(f"{url}/tags/c").status_code == 204
    assert cloud.member.delete(f"{url}/tags/x").status_code == 404
    assert [
        one["id"] for one in cloud.member.get(f"{URL}?tag=c&os_distro=debian&name=in:other,y").json()["images"]
    ] == [image["id"]]
    assert cloud.member.get(f"{URL}?tag=zzz").json()["images"] == []


def test_pages_follow_each_other(cloud: Cloud) -> None:
    names = [make(cloud, name=f"i{at}")["name"] for at in range(5)]
    first = cloud.member.get(f"{URL}?limit=2&sort=name:asc").json()
    second = cloud.member.get("/image" + first["next"]).json()
    third = cloud.member.get("/image" + second["next"]).json()
    assert [one["name"] for page in (first, second, third) for one in page["images"]] == names
    assert "next" not in third


def test_protected_and_deactivated(cloud: Cloud) -> None:
    image = make(cloud, protected=True)
    url = f"{URL}/{image['id']}"
    upload(cloud, image, b"x")
    assert cloud.member.delete(url).status_code == 403
    assert cloud.member.post(f"{url}/actions/deactivate").status_code == 204
    assert cloud.member.get(url).json()["status"] == "deactivated"
    assert cloud.member.get(f"{url}/file").status_code == 403
    assert cloud.member.get(f"{URL}?status=active").json()["images"] == []
    assert cloud.member.post(f"{url}/actions/reactivate").status_code == 204
    cloud.member.patch(url, json=[{"op": "replace", "path": "/protected", "value": False}])
    assert cloud.member.delete(url).status_code == 204
    assert cloud.member.get(url).status_code == 404
    assert not cloud.app.part(Store).path(image["id"]).exists()


MALFORMED: list[tuple[str, str, Any, int]] = [
    ("POST", URL, None, 400),
    ("POST", URL, [], 400),
    ("POST", URL, {"name": 5}, 400),
    ("POST", URL, {"name": "x" * 256}, 400),
    ("POST", URL, {"id": "no-uuid"}, 400),
    ("POST", URL, {"visibility": "secret"}, 400),
    ("POST", URL, {"visibility": "public"}, 403),
    ("POST", URL, {"disk_format": "floppy"}, 400),
    ("POST", URL, {"container_format": "box"}, 400),
    ("POST", URL, {"min_disk": -1}, 400),
    ("POST", URL, {"min_ram": "much"}, 400),
    ("POST", URL, {"min_ram": 2**31}, 400),
    ("POST", URL, {"protected": "perhaps"}, 400),
    ("POST", URL, {"tags": "a"}, 400),
    ("POST", URL, {"tags": ["x" * 256]}, 400),
    ("POST", URL, {"tags": [f"{at}" for at in range(129)]}, 400),
    ("POST", URL, {"status": "active"}, 403),
    ("POST", URL, {"size": 5}, 403),
    ("POST", URL, {"checksum": "x"}, 403),
    ("POST", URL, {"owner": BLUE}, 403),
    ("POST", URL, {"depth": 5}, 400),
    ("POST", URL, {"depth": {"a": "b"}}, 400),
    ("POST", URL, {f"p{at}": "x" for at in range(129)}, 400),
    ("PATCH", "{url}", {"op": "add"}, 400),
    ("PATCH", "{url}", [{"op": "move", "path": "/name"}], 400),
    ("PATCH", "{url}", [{"op": "add", "path": "name", "value": "x"}], 400),
    ("PATCH", "{url}", [{"op": "add", "path": "/a/b", "value": "x"}], 400),
    ("PATCH", "{url}", [{"op": "add", "path": "/x"}], 400),
    ("PATCH", "{url}", [{"op": "add", "path": "/x", "value": 5}], 400),
    ("PATCH", "{url}", [{"op": "replace", "path": "/none", "value": "x"}], 409),
    ("PATCH", "{url}", [{"op": "remove", "path": "/name"}], 403),
    ("PATCH", "{url}", [{"op": "replace", "path": "/status", "value": "active"}], 403),
    ("PATCH", "{url}", [{"op": "replace", "path": "/visibility", "value": "all"}], 400),
    ("PATCH", "{other}", [], 404),
    ("DELETE", "{other}", None, 404),
    ("GET", "{other}", None, 404),
    ("GET", f"{URL}/not-an-id", None, 404),
    ("GET", f"{URL}?limit=-1", None, 400),
    ("GET", f"{URL}?limit=many", None, 400),
    ("GET", f"{URL}?marker=nothing", None, 400),
    ("GET", f"{URL}?sort=colour:asc", None, 400),
    ("GET", f"{URL}?sort=name:up", None, 400),
    ("GET", f"{URL}?visibility=mine", None, 400),
    ("GET", f"{URL}?size_min=big", None, 400),
    ("GET", f"{URL}?created_at=yesterday", None, 400),
    ("POST", "{url}/members", {"member": ""}, 400),
    ("POST", "{url}/members", {"name": "x"}, 400),
    ("PUT", "{url}/members/x", {"status": "accepted"}, 404),
    ("POST", "{url}/actions/deactivate", None, 403),
    ("POST", "{url}/import", {"method": {"name": "carrier-pigeon"}}, 400),
    ("POST", "{url}/import", {"method": "web-download"}, 400),
    ("POST", "{url}/import", {"method": {"name": "web-download", "uri": "file:///etc/passwd"}}, 400),
    ("POST", "{url}/import", {"method": {"name": "glance-direct"}}, 409),
    ("PUT", "{url}/file", {"a": 1}, 415),
    ("PUT", "{other}/file", {"a": 1}, 415),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), MALFORMED)
def test_bad_requests_are_answered_and_change_nothing(
    cloud: Cloud, method: str, path: str, body: Any, status: int
) -> None:
    image = make(cloud)
    foreign = cloud.stranger.post(URL, json={"name": "theirs"}).json()
    url = path.format(url=f"{URL}/{image['id']}", other=f"{URL}/{foreign['id']}")
    before = cloud.admin.get(f"{URL}?limit=100").json()
    answer = cloud.member.request(method, url, json=body) if body is not None else cloud.member.request(method, url)
    assert answer.status_code == status, answer.text
    assert answer.json()["message"]
    assert cloud.admin.get(f"{URL}?limit=100").json() == before


def test_projects_do_not_mix(cloud: Cloud) -> None:
    make(cloud)
    assert {one["owner"] for one in cloud.reader.get(URL).json()["images"]} == {RED}
    assert cloud.stranger.get(URL).json()["images"] == []
    assert cloud.reader.post(URL, json={}).status_code == 403
    assert cloud.nobody.get(URL).status_code == 401


def test_tags_are_few_also_one_by_one(cloud: Cloud) -> None:
    image = make(cloud, tags=[f"{number}" for number in range(128)])
    assert cloud.member.put(f"{URL}/{image['id']}/tags/5").status_code == 204, "it is there already"
    assert cloud.member.put(f"{URL}/{image['id']}/tags/more").status_code == 413
    assert len(cloud.member.get(f"{URL}/{image['id']}").json()["tags"]) == 128
