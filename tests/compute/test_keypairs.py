"""Key pairs belong to users: made, imported, listed in pages."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from tests.compute.conftest import API, Site
from tests.conftest import Cloud

At = Callable[[str], dict[str, str]]
URL = f"{API}/os-keypairs"
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIM+qxjVMkPqVAk8jyOOcnBBCFYVwfZ0hUTYE8M6bVtf somebody"


def test_a_pair_is_made_and_its_private_half_is_given_once(cloud: Cloud) -> None:
    made = cloud.member.post(URL, json={"keypair": {"name": "mine"}})
    assert made.status_code == 200
    key = made.json()["keypair"]
    private = load_pem_private_key(key["private_key"].encode(), None)
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    assert key["public_key"].startswith(public)
    shown = cloud.member.get(f"{URL}/mine").json()["keypair"]
    assert "private_key" not in shown and shown["fingerprint"] == key["fingerprint"]


def test_a_key_is_imported(cloud: Cloud, at: At) -> None:
    body = {"keypair": {"name": "mine", "public_key": ED25519, "type": "ssh"}}
    made = cloud.member.post(URL, json=body, headers=at("2.2"))
    assert made.status_code == 201
    assert made.json()["keypair"]["fingerprint"] == "1f:27:62:95:a7:0c:b8:c5:22:ee:ea:76:d6:6b:80:6e"
    assert cloud.member.post(URL, json=body, headers=at("2.2")).status_code == 409
    assert cloud.member.delete(f"{URL}/mine", headers=at("2.2")).status_code == 204
    assert cloud.member.get(f"{URL}/mine").status_code == 404


def test_a_certificate_is_made_and_imported(cloud: Cloud, at: At) -> None:
    made = cloud.member.post(URL, json={"keypair": {"name": "w", "type": "x509"}}, headers=at("2.2")).json()["keypair"]
    found = x509.load_pem_x509_certificate(made["public_key"].encode())
    private = load_pem_private_key(made["private_key"].encode(), None)
    assert found.public_key() == private.public_key()
    found.verify_directly_issued_by(found)
    body = {"keypair": {"name": "v", "type": "x509", "public_key": made["public_key"]}}
    again = cloud.member.post(URL, json=body, headers=at("2.2")).json()["keypair"]
    assert (again["type"], again["fingerprint"]) == ("x509", made["fingerprint"])
    wrong = {"keypair": {"name": "u", "type": "x509", "public_key": ED25519}}
    assert cloud.member.post(URL, json=wrong, headers=at("2.2")).status_code == 400


def test_they_are_the_users_own(cloud: Cloud, at: At) -> None:
    cloud.member.post(URL, json={"keypair": {"name": "mine", "public_key": ED25519}})
    assert cloud.stranger.get(f"{URL}/mine").status_code == 404
    assert cloud.stranger.get(URL).json() == {"keypairs": []}
    asked = {"user_id": "user-member"}
    assert cloud.stranger.get(URL, params=asked, headers=at("2.10")).status_code == 403
    assert len(cloud.admin.get(URL, params=asked, headers=at("2.10")).json()["keypairs"]) == 1
    for_another = {"keypair": {"name": "x", "public_key": ED25519, "user_id": "user-stranger"}}
    assert cloud.member.post(URL, json=for_another, headers=at("2.10")).status_code == 403
    assert cloud.admin.post(URL, json=for_another, headers=at("2.10")).status_code == 201
    assert cloud.stranger.get(f"{URL}/x").status_code == 200


def test_pages(cloud: Cloud, at: At) -> None:
    for name in "cab":
        cloud.member.post(URL, json={"keypair": {"name": name, "public_key": ED25519}})
    url, seen = f"{URL}?limit=2", []
    while url:
        page = cloud.member.get(url, headers=at("2.35")).json()
        seen.append([one["keypair"]["name"] for one in page["keypairs"]])
        url = page["keypairs_links"][0]["href"] if "keypairs_links" in page else ""
    assert seen == [["a", "b"], ["c"]]


def test_the_quota_is_the_users(cloud: Cloud) -> None:
    cloud.admin.put(f"{API}/os-quota-class-sets/default", json={"quota_class_set": {"key_pairs": 1}})
    assert cloud.member.post(URL, json={"keypair": {"name": "a", "public_key": ED25519}}).status_code == 200
    refused = cloud.member.post(URL, json={"keypair": {"name": "b", "public_key": ED25519}})
    assert refused.status_code == 403 and "Quota exceeded for key_pairs" in refused.text


@pytest.mark.parametrize(
    ("version", "key"),
    [
        ("2.1", {"name": ""}),
        ("2.1", {"name": "a" * 256}),
        ("2.1", {"name": "key/key"}),
        ("2.1", {"name": "a@b.c", "public_key": ED25519}),  # since 2.92
        ("2.1", {"name": "k", "public_key": "ssh-rsa nonsense"}),
        ("2.1", {"name": "k", "public_key": "ssh-rsa " + "A" * 70000}),
        ("2.1", {"name": "k", "type": "ssh"}),  # since 2.2
        ("2.2", {"name": "k", "type": "dsa"}),
        ("2.92", {"name": "k"}),
        ("2.1", {}),
    ],
)
def test_what_is_refused(cloud: Cloud, at: At, version: str, key: dict[str, str]) -> None:
    answer = cloud.member.post(URL, json={"keypair": key}, headers=at(version))
    assert answer.status_code == 400 and answer.json()["badRequest"]["code"] == 400
    assert cloud.member.get(URL).json() == {"keypairs": []}


def test_a_server_keeps_a_key_that_is_gone(site: Site) -> None:
    site.cloud.member.post(URL, json={"keypair": {"name": "k", "public_key": ED25519}})
    id = site.create(key_name="k")
    site.cloud.member.delete(f"{URL}/k")
    assert site.show(id)["key_name"] == "k"
    assert site.post(key_name="k").json()["badRequest"]["message"] == "Invalid key_name provided."
