"""The audit: who changed what, how it was before, who may read it, and that nobody changes it unseen."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from tests.conftest import BLUE, RED, Cloud
from wolke.core.db import iso
from wolke.core.events import Event, kept

V1 = "/wolke/v1/events"
NETWORKS = "/network/v2.0/networks"


def events(cloud: Cloud, query: str = "", by: Any = None) -> list[Any]:
    answer = (by or cloud.admin).get(f"{V1}?{query}")
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["events"]
    return found


def network(cloud: Cloud, by: Any = None, **body: Any) -> Any:
    answer = (by or cloud.member).post(NETWORKS, json={"network": {"name": "red", **body}})
    assert answer.status_code == 201, answer.text
    return answer.json()["network"]


def checked(cloud: Cloud, query: str = "") -> Any:
    return cloud.admin.get(f"{V1}/verify{query}").json()["audit"]


# Before and after ---------------------------------------------------------------------------------------------------
def test_each_change_tells_who_and_what_was_before_and_after(cloud: Cloud) -> None:
    made = network(cloud)
    url = f"{NETWORKS}/{made['id']}"
    cloud.member.put(url, json={"network": {"name": "blue", "mtu": 1400}})
    cloud.member.delete(url)
    deleted, changed, created = events(cloud, f"target_id={made['id']}")
    assert [one["action"] for one in (created, changed, deleted)] == [
        "create_network",
        "update_network",
        "delete_network",
    ]
    assert (created["before"], created["after"]["name"]) == (None, "red")
    assert (changed["before"], changed["after"]) == ({"name": "red", "mtu": 1442}, {"name": "blue", "mtu": 1400})
    assert (deleted["before"]["name"], deleted["after"]) == ("blue", None)
    for one in (created, changed, deleted):
        assert (one["user_id"], one["user_name"], one["user_domain_id"]) == ("user-member", "member", "default")
        assert (one["kind"], one["target_project_id"], one["address"]) == ("network", RED, "testclient")


def test_several_at_once_are_several_events(cloud: Cloud) -> None:
    answer = cloud.member.post(NETWORKS, json={"networks": [{"name": "a"}, {"name": "b"}]})
    ids = {one["id"]: one["name"] for one in answer.json()["networks"]}
    found = events(cloud, "kind=network")
    assert {one["target_id"]: one["after"]["name"] for one in found} == ids
    assert len({one["request_id"] for one in found}) == 1


def test_actions_and_calls_that_are_no_resource_s_tell_what_was_asked(cloud: Cloud) -> None:
    made = network(cloud)
    cloud.member.post(
        "/network/v2.0/subnets", json={"subnet": {"network_id": made["id"], "cidr": "10.0.0.0/24", "ip_version": 4}}
    )
    router = cloud.member.post("/network/v2.0/routers", json={"router": {"name": "r"}}).json()["router"]
    subnet = cloud.member.get("/network/v2.0/subnets").json()["subnets"][0]["id"]
    cloud.member.put(f"/network/v2.0/routers/{router['id']}/add_router_interface", json={"subnet_id": subnet})
    added, _ = events(cloud, f"target_id={router['id']}")
    assert added["path"].endswith("/add_router_interface") and added["after"]["subnet_id"] == subnet
    cloud.member.put(f"{NETWORKS}/{made['id']}/tags", json={"tags": ["a"]})
    cloud.member.delete(f"{NETWORKS}/{made['id']}/tags")
    gone, given = events(cloud, "limit=2")
    assert (given["before"], given["after"]) == ({"tags": []}, {"tags": ["a"]})
    assert (gone["before"], gone["after"]) == ({"tags": ["a"]}, {"tags": []})
    cloud.admin.put(f"/network/v2.0/quotas/{BLUE}", json={"quota": {"port": 7}})
    [limited] = events(cloud, by=cloud.stranger)
    assert (limited["kind"], limited["before"], limited["after"]) == ("quota", {"port": 500}, {"port": 7})


def test_what_the_cloud_does_by_itself_is_told_too(cloud: Cloud) -> None:
    [rule] = cloud.admin.get("/wolke/v1/doorman/rules").json()["doorman_rules"]
    body = {"rule_id": rule["id"], "reason": "agreed", "expires_at": iso(cloud.now + 60), "project_id": RED}
    made = cloud.admin.post("/wolke/v1/doorman/exceptions", json={"doorman_exception": body}).json()[
        "doorman_exception"
    ]
    cloud.now += 61
    cloud.settle()
    ended = events(cloud, f"target_id={made['id']}", cloud.member)[0]
    assert (ended["action"], ended["user_name"], ended["user_id"]) == ("wolke:expire_doorman_exception", "wolke", None)
    assert (ended["before"], ended["after"]) == ({"status": "ACTIVE"}, {"status": "EXPIRED"})


def test_a_refused_change_leaves_no_event(cloud: Cloud) -> None:
    before = len(events(cloud))
    assert cloud.reader.post(NETWORKS, json={"network": {}}).status_code == 403
    assert cloud.member.post(NETWORKS, json={"network": {"mtu": -1}}).status_code == 400
    assert len(events(cloud)) == before


def test_secrets_and_floods_are_not_kept() -> None:
    shown = {"name": "bgp", "peers": [{"password": "x", "asn": 1}], "auth_secret": "y", "token": ""}
    assert kept(shown) == {"name": "bgp", "peers": [{"password": "***", "asn": 1}], "auth_secret": "***", "token": ""}
    large = kept({"text": "x" * 100_000})
    assert large is not None and list(large) == ["bytes"]


# Who reads ----------------------------------------------------------------------------------------------------------
def test_members_see_their_own_project_s(cloud: Cloud) -> None:
    mine, other = network(cloud), network(cloud, cloud.stranger)
    by_operator = cloud.admin.put(f"{NETWORKS}/{other['id']}", json={"network": {"name": "seized"}})
    assert by_operator.status_code == 200
    cloud.admin.post("/wolke/v1/doorman/rules", json={"doorman_rule": {"action": "deny", "direction": "egress"}})
    assert {one["target_id"] for one in events(cloud, by=cloud.reader)} == {mine["id"]}
    seen = events(cloud, by=cloud.stranger)
    assert [one["action"] for one in seen] == ["update_network", "create_network"]
    assert (seen[0]["user_name"], seen[0]["address"]) == ("admin", None), "who did it, but not from where"
    assert cloud.stranger.get(f"{V1}/{seen[0]['id']}").json()["event"] == seen[0]
    hidden = events(cloud, f"target_id={mine['id']}")[0]["id"]
    assert cloud.stranger.get(f"{V1}/{hidden}").status_code == 404
    assert cloud.stranger.get(f"{V1}/verify").status_code == 403
    assert "doorman_rule" not in {one["kind"] for one in events(cloud, by=cloud.member)}
    assert "doorman_rule" in {one["kind"] for one in events(cloud)}


def test_filters_and_pages(cloud: Cloud) -> None:
    for number in range(5):
        cloud.now += 10
        network(cloud, name=str(number))
    middle = iso(cloud.now - 20)
    assert [one["after"]["name"] for one in events(cloud, f"kind=network&since={middle}")] == ["4", "3", "2"]
    assert [one["after"]["name"] for one in events(cloud, f"kind=network&until={middle}")] == ["1", "0"]
    first = events(cloud, "kind=network&limit=2")
    rest = events(cloud, f"kind=network&marker={first[-1]['id']}")
    assert [one["after"]["name"] for one in (*first, *rest)] == ["4", "3", "2", "1", "0"]
    assert events(cloud, "user_name=nobody") == [] and events(cloud, f"target_project_id={BLUE}") == []


@pytest.mark.parametrize(
    "query", ["colour=red", "since=yesterday", "until=x", "limit=0", "limit=-1", "limit=many", "marker=last"]
)
def test_wrong_questions_are_refused_by_name(cloud: Cloud, query: str) -> None:
    answer = cloud.admin.get(f"{V1}?{query}")
    assert answer.status_code == 400 and query.partition("=")[0] in answer.json()["error"]["message"]
    assert cloud.admin.get(f"{V1}/verify?expect=7").status_code == 400


# The chain ----------------------------------------------------------------------------------------------------------
def test_the_chain_holds_until_somebody_touches_it(cloud: Cloud) -> None:
    for _ in range(3):
        network(cloud)
    assert checked(cloud)["unsealed"] >= 3
    cloud.settle()
    whole = checked(cloud)
    assert (whole["intact"], whole["unsealed"]) == (True, 0) and whole["verified"] >= 3
    network(cloud)
    cloud.settle()
    assert checked(cloud, f"?expect={whole['head']}")["intact"], "what was true is still there"


TAMPERING = {
    "another user": update(Event).where(Event.place == 2).values(user_name="somebody else"),
    "another content": update(Event).where(Event.place == 2).values(after={"name": "innocent"}),
    "taken away": delete(Event).where(Event.place == 2),
    "the seal of another": update(Event).where(Event.place == 2).values(
        seal=select(Event.seal).where(Event.place == 1).scalar_subquery()
    ),
    "slipped in": insert(Event).values(
        at=0, request_id="", service="network", rule="x", method="", user_id="", project_id="", status=0, place=99, seal="00"
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", TAMPERING)
def test_tampering_shows(cloud: Cloud, how: str) -> None:
    for _ in range(3):
        network(cloud)
    cloud.settle()
    head = checked(cloud)
    with cloud.app.database.transaction() as db:
        db.execute(TAMPERING[how])
    found = checked(cloud)
    assert not found["intact"] and found["broken_at"] == (2 if how != "slipped in" else head["verified"] + 1), found


def test_an_end_that_was_cut_off_shows_by_what_was_written_down(cloud: Cloud) -> None:
    for _ in range(3):
        network(cloud)
    cloud.settle()
    head = checked(cloud)
    with cloud.app.database.transaction() as db:
        db.execute(delete(Event).where(Event.place >= head["verified"]))
    assert checked(cloud)["intact"], "the rest fits"
    assert not checked(cloud, f"?expect={head['head']}")["intact"]
    network(cloud)
    cloud.settle()
    assert not checked(cloud, f"?expect={head['head']}")["intact"], "another event in its place is another"
