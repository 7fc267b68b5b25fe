"""Flavors: sizes, whom they are open to, extra specs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.compute.conftest import API, Site
from tests.conftest import BLUE, RED, Cloud

At = Callable[[str], dict[str, str]]
SMALL = {"name": "tiny", "ram": 64, "vcpus": 1, "disk": 1}


def made(cloud: Cloud, **fields: object) -> str:
    answer = cloud.admin.post(f"{API}/flavors", json={"flavor": {**SMALL, **fields}})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["flavor"]["id"])


def test_a_new_cloud_has_the_sizes_everybody_knows(cloud: Cloud) -> None:
    names = [flavor["name"] for flavor in cloud.member.get(f"{API}/flavors").json()["flavors"]]
    assert {"m1.tiny", "m1.small", "m1.medium", "m1.large"} <= set(names)


def test_a_flavor_is_made_shown_described_and_deleted(cloud: Cloud, at: At) -> None:
    id = made(cloud, **{"id": "my flavor", "OS-FLV-EXT-DATA:ephemeral": 2, "swap": 16, "rxtx_factor": 1.5})
    shown = cloud.member.get(f"{API}/flavors/{id}").json()["flavor"]
    assert (shown["id"], shown["swap"], shown["OS-FLV-EXT-DATA:ephemeral"], shown["rxtx_factor"]) == (
        "my flavor", 16, 2, 1.5,
    )  # fmt: skip
    url = f"{API}/flavors/{id}"
    assert cloud.admin.put(url, json={"flavor": {"description": "d"}}).status_code == 404  # since 2.55
    new = at("2.55")
    changed = cloud.admin.put(url, json={"flavor": {"description": "d"}}, headers=new)
    assert changed.json()["flavor"]["description"] == "d"
    assert cloud.member.delete(url).status_code == 403
    assert cloud.admin.delete(url).status_code == 202
    assert cloud.member.get(url).status_code == 404


def test_ids_and_names_are_there_once(cloud: Cloud) -> None:
    made(cloud, id="7")
    for twin in ({**SMALL, "id": "7", "name": "x"}, {**SMALL, "id": "8"}):
        assert cloud.admin.post(f"{API}/flavors", json={"flavor": twin}).status_code == 409


def test_a_private_flavor_is_for_those_who_are_let_in(cloud: Cloud, at: At) -> None:
    id = made(cloud, **{"os-flavor-access:is_public": False})
    url = f"{API}/flavors/{id}"
    assert cloud.stranger.get(url).status_code == 404
    opened = cloud.admin.post(f"{url}/action", json={"addTenantAccess": {"tenant": BLUE}})
    assert opened.json() == {"flavor_access": [{"flavor_id": id, "tenant_id": BLUE}]}
    assert cloud.admin.post(f"{url}/action", json={"addTenantAccess": {"tenant": BLUE}}).status_code == 409
    assert cloud.stranger.get(url).status_code == 200
    assert id in {flavor["id"] for flavor in cloud.stranger.get(f"{API}/flavors").json()["flavors"]}
    assert cloud.member.get(url).status_code == 404
    private = cloud.admin.get(f"{API}/flavors?is_public=False").json()["flavors"]
    assert [flavor["id"] for flavor in private] == [id]
    assert cloud.admin.get(f"{url}/os-flavor-access").json()["flavor_access"][0]["tenant_id"] == BLUE
    closed = cloud.admin.post(f"{url}/action", json={"removeTenantAccess": {"tenant": BLUE}})
    assert closed.json() == {"flavor_access": []}
    assert cloud.admin.post(f"{url}/action", json={"removeTenantAccess": {"tenant": BLUE}}).status_code == 404
    assert cloud.stranger.get(url).status_code == 404
    public = f"{API}/flavors/1"
    assert cloud.admin.get(f"{public}/os-flavor-access").status_code == 404
    refused = cloud.admin.post(f"{public}/action", json={"addTenantAccess": {"tenant": RED}}, headers=at("2.7"))
    assert refused.status_code == 409


def test_extra_specs(cloud: Cloud, at: At) -> None:
    url = f"{API}/flavors/{made(cloud)}/os-extra_specs"
    assert cloud.admin.post(url, json={"extra_specs": {"hw:a": "1", "b": "2"}}).status_code == 200
    assert cloud.member.get(url).json() == {"extra_specs": {"hw:a": "1", "b": "2"}}
    assert cloud.member.get(f"{url}/b").json() == {"b": "2"}
    assert cloud.admin.put(f"{url}/b", json={"b": "3"}).json() == {"b": "3"}
    assert cloud.admin.put(f"{url}/b", json={"c": "3"}).status_code == 400
    assert cloud.admin.delete(f"{url}/b").status_code == 200
    assert cloud.member.get(f"{url}/b").status_code == 404
    assert cloud.member.post(url, json={"extra_specs": {"x": "y"}}).status_code == 403
    shown = cloud.member.get(url.removesuffix("/os-extra_specs"), headers=at("2.61")).json()["flavor"]
    assert shown["extra_specs"] == {"hw:a": "1"}


@pytest.mark.parametrize(("query", "count"), [("minRam=8192", 1), ("minDisk=40", 2), ("limit=2", 2), ("marker=1", 5)])
def test_lists(cloud: Cloud, query: str, count: int) -> None:
    assert len(cloud.member.get(f"{API}/flavors?{query}").json()["flavors"]) == count


def test_pages(cloud: Cloud) -> None:
    url, seen = f"{API}/flavors/detail?limit=4", []
    while url:
        page = cloud.member.get(url).json()
        seen += [flavor["id"] for flavor in page["flavors"]]
        url = page["flavors_links"][0]["href"] if "flavors_links" in page else ""
    assert len(seen) == len(set(seen)) == 6


def test_a_server_remembers_a_flavor_that_is_gone(site: Site) -> None:
    flavor = made(site.cloud, name="short-lived")
    id = site.create(flavorRef=flavor)
    site.cloud.admin.delete(f"{API}/flavors/{flavor}")
    assert site.show(id, version="2.47")["flavor"]["original_name"] == "short-lived"
    assert site.post(flavorRef=flavor).status_code == 400
