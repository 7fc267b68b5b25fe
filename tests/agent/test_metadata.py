"""What guests are told: as Nova words it, byte for byte in ``tests/golden/agent``."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.agent.hosts import server
from wolke.agent.metadata import answer, drive_files
from wolke.wire.wanted import Metadata

ABOUT = Metadata(
    hostname="web-1.cloud.internal",
    name="web 1",
    project_id="11111111111111111111111111111111",
    availability_zone="nova",
    launch_index=1,
    keys={"mine": "ssh-ed25519 AAAAC3Nza me@here", "ci": "ssh-rsa AAAAB3Nza ci@there"},
    meta={"role": "web"},
    user_data=b"#!/bin/sh\necho \xff\n",
    admin_pass="aB3$",
    vendor_data={"ntp": ["198.51.100.1"]},
    network_data={"links": [{"id": "tap1"}], "networks": [], "services": []},
    security_groups=["default", "web"],
    instance_type="m1.small",
    addresses={"local-ipv4": ["10.0.0.5"], "public-ipv4": ["198.51.100.20"]},
)
FULL = server(metadata=ABOUT)
BARE = server(metadata=Metadata(hostname="bare", name="bare", project_id="p", availability_zone="nova"))


def tree(server, path: str = "") -> list[str]:
    """Every listing and document that can be reached from ``path``, as text."""
    content = answer(server, path, seed=b"seed")
    lines = [f"== /{path}", content.decode("utf-8", "backslashreplace")]
    names = content.decode("utf-8", "replace").splitlines()
    if path == "":
        names = ["openstack", "2009-04-04", "latest"]
        names = [name + "/" for name in names]
    elif path == "openstack/":
        names = [name + "/" for name in names]
    elif path.endswith("public-keys/"):
        names = [name.partition("=")[0] + "/" for name in names]
    elif not path.endswith("/"):
        return lines
    for name in names:
        lines += tree(server, path + name)
    return lines


def test_the_service_tells_a_full_server(golden):
    golden("agent/metadata.txt", "\n".join(tree(FULL)) + "\n")


def test_the_service_tells_a_bare_server(golden):
    golden("agent/metadata-bare.txt", "\n".join(tree(BARE)) + "\n")


def test_the_config_drive_holds_the_same_documents_and_the_password(golden):
    files = drive_files(FULL, seed=b"seed")
    text = [f"== {path}\n{content.decode('utf-8', 'backslashreplace')}" for path, content in sorted(files.items())]
    golden("agent/config-drive.txt", "\n".join(text) + "\n")
    for path, content in files.items():
        if path.startswith("openstack/"):
            told = answer(FULL, path, seed=b"seed")
            if path.endswith("/meta_data.json"):
                assert json.loads(content).pop("admin_pass") == "aB3$"
                assert json.loads(told) | {"admin_pass": "aB3$"} == json.loads(content)
            else:
                assert told == content


def test_the_service_does_not_tell_the_password_of_the_administrator():
    assert "aB3$" not in "\n".join(tree(FULL))


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/openstack/1999-01-01/meta_data.json", "/openstack/latest/meta_data.json/x", "/latest/meta-data/../..",
     "/openstack/2012-08-10/network_data.json", "/latest/meta-data/public-keys/2/openssh-key", "/servers", "/healthz"],
)  # fmt: skip
def test_other_paths_are_not_there(path):
    assert answer(FULL, path) is None


def test_no_user_data_is_no_document():
    assert answer(BARE, "/openstack/latest/user_data") is None
    assert answer(BARE, "/latest/user-data") is None
    empty = replace(BARE, metadata=replace(BARE.metadata, user_data=b""))
    assert answer(empty, "/latest/user-data") == b""


def test_the_password_is_what_the_guest_wrote():
    assert answer(FULL, "/openstack/latest/password") == b""
    assert answer(FULL, "/openstack/2013-04-04/password", password="c2VjcmV0") == b"c2VjcmV0"
    assert answer(FULL, "/openstack/2012-08-10/password") is None
