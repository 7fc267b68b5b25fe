"""One sample per resource and per microversion that changed it. ``--update-golden`` rewrites them; read the diff.

Only the versions stand here at which a sample differs from the one before; a test makes sure that no other version changes anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.compute.conftest import API, Site
from tests.conftest import RED
from wolke.compute.service import VERSIONS

Golden = Callable[[str, str], None]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIM+qxjVMkPqVAk8jyOOcnBBCFYVwfZ0hUTYE8M6bVtf somebody"
CHANGES = {  # path -> microversions that change what it answers
    "servers/detail": (1, 3, 9, 16, 19, 26, 47, 63, 73, 96),
    "servers/{server}": (1, 3, 9, 16, 19, 26, 47, 63, 71, 73, 96),
    "servers": (1,),
    "flavors/detail?limit=1": (1, 55, 61, 75),
    "flavors": (1, 55),
    "os-keypairs": (1, 2),
    "os-keypairs/k": (1, 2),
    "os-server-groups": (1, 13, 64),
    "limits": (1, 36, 39, 57),
    "os-quota-sets/{project}": (1, 36, 57),
    "os-quota-class-sets/default": (1, 50, 57),
    "servers/{server}/os-instance-actions": (1, 58),
    "servers/{server}/os-instance-actions/{action}": (1, 58, 62, 84),
    "servers/{server}/os-interface": (1, 70),
    "servers/{server}/tags": (26,),
    "servers/{server}/os-security-groups": (1,),
    "os-security-groups": (1,),
    "os-availability-zone": (1,),
}
LAST = {"os-security-groups": 35}
FOR_MEMBERS = {"servers/{server}": (1, 9, 19, 26, 47, 63, 71, 73, 90, 96)}
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def steady(body: Any) -> str:
    """The answer as text, without what differs at each run."""
    text = json.dumps(body, indent=2, sort_keys=True) + "\n"
    for pattern, word in (
        (rf"req-{UUID}", "REQUEST"), (UUID, "UUID"), (r"instance-[0-9a-f]{8}", "instance-NUMBER"),
        (r"\b[0-9a-f]{56}\b", "HOST-ID"), (r"fa:16:3e:[0-9a-f:]{8}", "MAC"), (r"10\.0\.\d+\.\d+", "ADDRESS"),
        (r'"r-[0-9a-z]{8}"', '"RESERVATION"'),
    ):  # fmt: skip
        text = re.sub(pattern, word, text)
    return text


@pytest.fixture
def places(site: Site) -> dict[str, str]:
    """A cloud with one of each; what the paths name."""
    cloud = site.cloud
    cloud.add_host("h1")
    cloud.admin.post(f"{API}/os-keypairs", json={"keypair": {"name": "k", "public_key": KEY}})
    group = cloud.admin.post(f"{API}/os-server-groups", json={"server_group": {"name": "g", "policies": ["affinity"]}})
    asked = {"key_name": "k", "metadata": {"role": "web"}, "user_data": "aGVsbG8=", "networks": "auto", "tags": ["t"]}
    body = {**site.body(**asked), "os:scheduler_hints": {"group": group.json()["server_group"]["id"]}}
    made = cloud.admin.post(f"{API}/servers", json=body, headers={"OpenStack-API-Version": "compute 2.52"})
    cloud.settle()
    server = made.json()["server"]["id"]
    [action] = cloud.admin.get(f"{API}/servers/{server}/os-instance-actions").json()["instanceActions"]
    return {"server": server, "project": RED, "action": action["request_id"]}


def answers(client: Any, path: str, places: dict[str, str], first: int, last: int) -> dict[int, str]:
    """Microversion 2.N -> what it answers."""
    url = f"{API}/{path.format(**places)}"
    found = {}
    for minor in range(first, last + 1):
        answer = client.get(url, headers={"OpenStack-API-Version": f"compute 2.{minor}"})
        assert answer.status_code == 200, (minor, answer.text)
        assert answer.headers["OpenStack-API-Version"] == f"compute 2.{minor}"
        found[minor] = steady(answer.json())
    return found


def check(found: dict[int, str], name: str, expected: tuple[int, ...], golden: Golden) -> None:
    changes = [minor for minor in found if minor == expected[0] or found[minor] != found[minor - 1]]
    assert changes == list(expected)
    for minor in changes:
        golden(f"compute/{name}-2.{minor}.json", found[minor])


@pytest.mark.parametrize("path", CHANGES)
def test_operators_see(site: Site, places: dict[str, str], golden: Golden, path: str) -> None:
    expected, last = CHANGES[path], LAST.get(path, VERSIONS.highest[1])
    found = answers(site.cloud.admin, path, places, expected[0], last)
    name = re.sub(r"[/?=]+", "-", path.replace("{", "").replace("}", ""))
    check(found, name, expected, golden)
    for minor in (expected[0] - 1, last + 1):
        if 1 <= minor <= VERSIONS.highest[1]:
            headers = {"OpenStack-API-Version": f"compute 2.{minor}"}
            assert site.cloud.admin.get(f"{API}/{path.format(**places)}", headers=headers).status_code == 404


@pytest.mark.parametrize("path", FOR_MEMBERS)
def test_members_see(site: Site, places: dict[str, str], golden: Golden, path: str) -> None:
    found = answers(site.cloud.member, path, places, 1, VERSIONS.highest[1])
    check(found, "member-server", FOR_MEMBERS[path], golden)
    for text in found.values():
        assert "h1" not in text and "hypervisor" not in text and "host_status" not in text
