"""Server groups: made, shown at every version, counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.compute.conftest import API, Site
from tests.conftest import Cloud

At = Callable[[str], dict[str, str]]
URL = f"{API}/os-server-groups"


def post(cloud: Cloud, version: str, **fields: Any) -> Any:
    headers = {"OpenStack-API-Version": f"compute {version}"}
    return cloud.member.post(URL, json={"server_group": fields}, headers=headers)


def test_a_group_is_made_shown_and_deleted(cloud: Cloud, at: At) -> None:
    made = post(cloud, "2.64", name="g", policy="anti-affinity", rules={"max_server_per_host": 3}).json()[
        "server_group"
    ]
    assert (made["policy"], made["rules"], made["members"]) == ("anti-affinity", {"max_server_per_host": 3}, [])
    old = cloud.member.get(f"{URL}/{made['id']}").json()["server_group"]
    assert (old["policies"], old["metadata"]) == (["anti-affinity"], {})
    assert cloud.stranger.get(f"{URL}/{made['id']}").status_code == 404
    assert cloud.stranger.get(URL).json() == {"server_groups": []}
    assert cloud.member.delete(f"{URL}/{made['id']}").status_code == 204
    assert cloud.member.get(f"{URL}/{made['id']}").status_code == 404


@pytest.mark.parametrize(
    ("version", "fields"),
    [
        ("2.1", {"name": "g"}),
        ("2.1", {"name": "", "policies": ["affinity"]}),
        ("2.1", {"name": "g", "policies": []}),
        ("2.1", {"name": "g", "policies": ["affinity", "anti-affinity"]}),
        ("2.1", {"name": "g", "policies": ["nonsense"]}),
        ("2.14", {"name": "g", "policies": ["soft-affinity"]}),
        ("2.15", {"name": "g", "policies": ["affinity"], "policy": "affinity"}),
        ("2.64", {"name": "g", "policies": ["affinity"]}),
        ("2.64", {"name": "g", "policy": "affinity", "rules": {"max_server_per_host": 2}}),
        ("2.64", {"name": "g", "policy": "anti-affinity", "rules": {"max_server_per_host": 0}}),
    ],
)
def test_what_is_refused(cloud: Cloud, version: str, fields: dict[str, Any]) -> None:
    assert post(cloud, version, **fields).status_code == 400
    assert cloud.member.get(URL).json() == {"server_groups": []}


def test_soft_groups_since_2_15(cloud: Cloud) -> None:
    assert post(cloud, "2.15", name="g", policies=["soft-affinity"]).status_code == 200


def test_quota_of_groups_and_of_members(site: Site) -> None:
    cloud = site.cloud
    small = {"quota_class_set": {"server_groups": 1, "server_group_members": 2}}
    headers = {"OpenStack-API-Version": "compute 2.50"}
    assert cloud.admin.put(f"{API}/os-quota-class-sets/default", json=small, headers=headers).status_code == 200
    group = post(cloud, "2.15", name="g", policies=["soft-affinity"]).json()["server_group"]["id"]
    assert post(cloud, "2.15", name="h", policies=["soft-affinity"]).status_code == 403
    body = {**site.body(max_count=2), "os:scheduler_hints": {"group": group}}
    assert cloud.member.post(f"{API}/servers", json=body).status_code == 202
    refused = cloud.member.post(f"{API}/servers", json=body)
    assert refused.status_code == 403 and "server_group_members" in refused.text
    unknown = {**site.body(), "os:scheduler_hints": {"group": "b2d9d1a0-0000-4000-8000-000000000000"}}
    assert cloud.member.post(f"{API}/servers", json=unknown).status_code == 400


def test_all_projects_are_for_admins(cloud: Cloud) -> None:
    post(cloud, "2.1", name="g", policies=["affinity"])
    cloud.stranger.post(URL, json={"server_group": {"name": "theirs", "policies": ["affinity"]}})
    assert [one["name"] for one in cloud.admin.get(URL).json()["server_groups"]] == ["g"]
    assert len(cloud.admin.get(f"{URL}?all_projects=1").json()["server_groups"]) == 2
    assert len(cloud.member.get(f"{URL}?all_projects=1").json()["server_groups"]) == 1
    assert len(cloud.admin.get(f"{URL}?all_projects=1&limit=1&offset=1").json()["server_groups"]) == 1
