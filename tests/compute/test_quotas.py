"""Limits and usage, also when many ask at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx2
import pytest

from tests.compute.conftest import API, Site
from tests.conftest import BLUE, RED, Cloud
from wolke.identity.table import Project

At = Callable[[str], dict[str, str]]
URL = f"{API}/os-quota-sets/{RED}"


@pytest.fixture
def known(cloud: Cloud) -> Cloud:
    """A cloud whose identity knows the personas' projects."""
    with cloud.app.database.transaction() as db:
        db.add_all(Project(id=id, name=f"project-{id[0]}", domain_id="default") for id in (RED, BLUE))
    return cloud


def test_a_project_gets_limits_of_its_own_and_loses_them(known: Cloud) -> None:
    before = known.member.get(URL).json()["quota_set"]
    assert (before["id"], before["instances"], before["cores"], before["ram"]) == (RED, 10, 20, 51200)
    changed = known.admin.put(URL, json={"quota_set": {"instances": 3, "cores": "-1", "ram": None}})
    assert changed.status_code == 200, changed.text
    after = known.member.get(URL).json()["quota_set"]
    assert (after["instances"], after["cores"], after["ram"]) == (3, -1, 51200)
    assert known.member.get(f"{URL}/defaults").json()["quota_set"]["instances"] == 10
    assert known.admin.delete(URL).status_code == 202
    assert known.member.get(URL).json()["quota_set"] == before


def test_who_may(known: Cloud) -> None:
    assert known.stranger.get(URL).status_code == 403
    assert known.stranger.get(f"{URL}/detail").status_code == 403
    assert known.member.put(URL, json={"quota_set": {"cores": 1}}).status_code == 403
    assert known.member.delete(URL).status_code == 403
    assert known.member.get(f"{API}/limits", params={"tenant_id": BLUE}).status_code == 403
    assert known.admin.get(f"{API}/limits", params={"tenant_id": BLUE}).status_code == 200


@pytest.mark.parametrize(
    "quota_set",
    [{"cores": -2}, {"cores": "many"}, {"nonsense": 1}, {"cores": 2**31}, {"ram": 1.5}],
)
def test_limits_that_are_refused(known: Cloud, quota_set: dict[str, object]) -> None:
    assert known.admin.put(URL, json={"quota_set": quota_set}).status_code == 400
    assert known.member.get(URL).json()["quota_set"]["cores"] == 20


def test_an_unknown_project_gets_no_limits(known: Cloud) -> None:
    answer = known.admin.put(f"{API}/os-quota-sets/nobody", json={"quota_set": {"cores": 1}})
    assert answer.status_code == 400 and "not a valid project" in answer.text


def test_limits_show_what_is_used_and_do_not_fall_below_it(known: Cloud) -> None:
    site = Site(known)
    site.create(flavorRef="1")
    site.create()
    absolute = known.member.get(f"{API}/limits").json()["limits"]["absolute"]
    assert (absolute["totalInstancesUsed"], absolute["totalCoresUsed"], absolute["totalRAMUsed"]) == (2, 2, 768)
    detail = known.member.get(f"{URL}/detail").json()["quota_set"]
    assert detail["instances"] == {"in_use": 2, "limit": 10, "reserved": 0}
    refused = known.admin.put(URL, json={"quota_set": {"instances": 1}})
    assert refused.status_code == 400 and "already used and reserved 2" in refused.text
    assert known.admin.put(URL, json={"quota_set": {"instances": 1, "force": True}}).status_code == 200


def test_the_default_class(cloud: Cloud) -> None:
    url = f"{API}/os-quota-class-sets/default"
    assert cloud.admin.put(url, json={"quota_class_set": {"instances": 4}}).status_code == 200
    assert cloud.member.get(URL).json()["quota_set"]["instances"] == 4
    assert (
        cloud.admin.put(f"{API}/os-quota-class-sets/other", json={"quota_class_set": {"cores": 1}}).status_code == 400
    )
    assert cloud.member.get(url).status_code == 403


def test_quota_holds_when_many_ask_at_once(known: Cloud) -> None:
    site = Site(known)
    known.admin.put(URL, json={"quota_set": {"instances": 5, "cores": 4}})

    async def ask() -> list[int]:
        transport = httpx2.ASGITransport(known.web)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client:
            headers = {"X-Auth-Token": "member"}
            calls = [client.post(f"{API}/servers", json=site.body(), headers=headers) for _ in range(16)]
            return [answer.status_code for answer in await asyncio.gather(*calls)]

    statuses = asyncio.run(ask())
    assert (statuses.count(202), statuses.count(403)) == (4, 12)
    assert len(known.member.get(f"{API}/servers").json()["servers"]) == 4


def test_usage_counts_from_launch_to_deletion(site: Site) -> None:
    id = site.run()
    site.cloud.now += 3600
    site.cloud.member.delete(f"{API}/servers/{id}")
    site.cloud.settle()
    site.cloud.now += 3600
    url = f"{API}/os-simple-tenant-usage/{RED}"
    usage = site.cloud.member.get(url, params={"start": "2020-01-01T00:00:00"}).json()["tenant_usage"]
    assert usage["total_hours"] == pytest.approx(1.0, abs=0.01)
    assert usage["total_memory_mb_usage"] == pytest.approx(256, abs=3)
    [server] = usage["server_usages"]
    assert (server["instance_id"], server["state"], server["uptime"]) == (id, "terminated", 3600)
    assert site.cloud.stranger.get(url).status_code == 403
    everybody = site.cloud.admin.get(f"{API}/os-simple-tenant-usage", params={"start": "2020-01-01T00:00:00"})
    assert [one["tenant_id"] for one in everybody.json()["tenant_usages"]] == [RED]
    for wrong in ({"start": "yesterday"}, {"start": "2030-01-01T00:00:00", "end": "2020-01-01T00:00:00"}):
        assert site.cloud.member.get(url, params=wrong).status_code == 400
