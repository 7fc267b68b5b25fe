"""Domains, projects, users, groups, catalogue rows, credentials and limits: made, listed, changed, deleted."""

from __future__ import annotations

import stat
from typing import Any

import pytest

from tests.identity.conftest import People
from wolke import cloud as control


def names(answer: Any, plural: str) -> set[str]:
    assert answer.status_code == 200, answer.text
    return {one["name"] for one in answer.json()[plural]}


@pytest.mark.parametrize(
    ("plural", "fields", "change"),
    [
        ("projects", {"name": "a", "description": "d", "colour": "red"}, {"name": "b", "colour": "blue"}),
        ("users", {"name": "a", "email": "a@example.org", "description": "d"}, {"name": "b", "email": "b@example.org"}),
        ("groups", {"name": "a", "description": "d", "x": [1]}, {"name": "b", "description": ""}),
        ("domains", {"name": "a", "description": "d", "x": {"y": None}}, {"name": "b", "enabled": False}),
        ("roles", {"name": "a", "description": "d"}, {"name": "b", "description": "e"}),
        ("services", {"name": "a", "type": "t", "description": "d"}, {"name": "b", "enabled": False}),
        ("policies", {"type": "text/plain", "blob": "x"}, {"blob": "y"}),
        ("regions", {"id": "a", "description": "d"}, {"description": "e"}),
    ],
)
def test_a_thing_lives(people: People, plural: str, fields: dict[str, Any], change: dict[str, Any]) -> None:
    kind = "policy" if plural == "policies" else plural[:-1]
    made = people.make(f"/{plural}", kind, **fields)
    assert made.items() >= fields.items() and made["links"]["self"].endswith(f"/identity/v3/{plural}/{made['id']}")
    url = f"/{plural}/{made['id']}"
    assert people.admin.get(url).json()[kind] == made
    everything = people.admin.get(f"/{plural}").json()
    assert made in everything[plural] and everything["links"]["next"] is None
    changed = people.admin.patch(url, json={kind: change}).json()[kind]
    assert changed.items() >= change.items() and changed == {**made, **change}
    assert people.admin.delete(url).status_code == 204
    assert people.admin.get(url).status_code == people.admin.delete(url).status_code == 404


@pytest.mark.parametrize("kind", ["project", "user", "group", "domain", "role"])
def test_a_name_is_taken_once(people: People, kind: str) -> None:
    people.make(f"/{kind}s", kind, name="twin")
    again = people.admin.post(f"/{kind}s", json={kind: {"name": "twin"}})
    assert again.status_code == 409 and "twin" in again.json()["error"]["message"]
    other = people.make(f"/{kind}s", kind, name="other")["id"]
    assert people.admin.patch(f"/{kind}s/{other}", json={kind: {"name": "twin"}}).status_code == 409
    if kind != "domain":
        people.make(f"/{kind}s", kind, name="twin", domain_id=people.domain("acme"))


def test_lists_are_filtered_and_come_in_pages(people: People) -> None:
    for name in ("alpha", "beta", "al%pine"):
        people.user(name)
    admin = people.admin
    assert names(admin.get("/users?name=alpha"), "users") == {"alpha"}
    assert names(admin.get("/users?name__startswith=al"), "users") == {"alpha", "al%pine"}
    assert names(admin.get("/users?name__contains=l%25p"), "users") == {"al%pine"}
    assert names(admin.get("/users?name__iequals=BETA"), "users") == {"beta"}
    assert names(admin.get("/users?enabled=false"), "users") == set()
    assert names(admin.get("/users?domain_id=nowhere"), "users") == set()
    assert names(admin.get("/users?password_expires_at=lt:2030-01-01T00:00:00Z"), "users") == set()
    seen, url = [], "/users?limit=2"
    while url:
        page = admin.get(url).json()
        assert len(page["users"]) <= 2
        seen += [user["name"] for user in page["users"]]
        url = page["links"]["next"]
    assert sorted(seen) == ["admin", "al%pine", "alpha", "beta"]


# Projects and domains ------------------------------------------------------------------------------------------------
def test_projects_form_a_tree(people: People) -> None:
    top = people.project("top")
    middle = people.project("middle", parent_id=top)
    leaf = people.project("leaf", parent_id=middle)
    shown = people.admin.get(f"/projects/{leaf}?parents_as_ids").json()["project"]
    assert shown["parents"] == {middle: {top: {"default": None}}}
    shown = people.admin.get(f"/projects/{top}?subtree_as_ids&parents_as_list").json()["project"]
    assert shown["subtree"] == {middle: {leaf: None}}
    assert [one["project"]["id"] for one in shown["parents"]] == ["default"]
    shown = people.admin.get(f"/projects/{top}?subtree_as_list").json()["project"]
    assert {one["project"]["name"] for one in shown["subtree"]} == {"middle", "leaf"}
    assert people.admin.get(f"/projects/{top}?subtree_as_list&subtree_as_ids").status_code == 400
    assert names(people.admin.get(f"/projects?parent_id={top}"), "projects") == {"middle"}
    admin = people.admin
    assert admin.delete(f"/projects/{middle}").status_code == 403
    assert admin.patch(f"/projects/{middle}", json={"project": {"enabled": False}}).status_code == 403
    assert admin.patch(f"/projects/{leaf}", json={"project": {"parent_id": top}}).status_code == 403
    deeper = people.project("deeper", parent_id=leaf)
    deepest = people.project("deepest", parent_id=deeper)
    assert admin.post("/projects", json={"project": {"name": "x", "parent_id": deepest}}).status_code == 403


def test_tags_are_borne_and_searched_for(people: People) -> None:
    red = people.project("red", tags=["gold", "eu"])
    blue = people.project("blue", tags=["eu"])
    admin = people.admin
    assert names(admin.get("/projects?tags=eu,gold"), "projects") == {"red"}
    assert names(admin.get("/projects?tags-any=eu,gold"), "projects") == {"red", "blue"}
    assert names(admin.get("/projects?not-tags=eu,gold"), "projects") == {"blue", "admin", "service"}
    assert names(admin.get("/projects?not-tags-any=gold,eu"), "projects") == {"admin", "service"}
    assert admin.put(f"/projects/{blue}/tags/silver").status_code == 201
    assert admin.get(f"/projects/{blue}/tags/silver").status_code == 204
    assert admin.get(f"/projects/{blue}/tags").json()["tags"] == ["eu", "silver"]
    assert admin.delete(f"/projects/{blue}/tags/eu").status_code == 204
    assert admin.put(f"/projects/{red}/tags", json={"tags": ["x"]}).json()["tags"] == ["x"]
    assert admin.get(f"/projects/{red}").json()["project"]["tags"] == ["x"]
    assert admin.delete(f"/projects/{red}/tags").status_code == 204
    assert admin.get(f"/projects/{red}/tags/x").status_code == 404


def test_a_domain_goes_with_all_that_is_in_it(people: People) -> None:
    acme = people.domain("acme")
    before = people.dump()
    other = people.domain("other")
    red, ann = people.project("red", domain_id=other), people.user("ann", domain_id=other)
    group = people.group("staff", ann, domain_id=other)
    people.give("member", f"projects/{red}/users/{ann}")
    people.give("member", f"domains/{other}/groups/{group}")
    people.make("/credentials", "credential", user_id=ann, type="cert", blob="x")
    assert people.admin.delete(f"/domains/{other}").status_code == 403
    people.admin.patch(f"/domains/{other}", json={"domain": {"enabled": False}})
    assert people.admin.delete(f"/domains/{other}").status_code == 204
    after = people.dump()
    moved = {name for name in after if after[name] != before[name]}
    assert moved == {"audit_event", "identity_epoch"}
    assert people.admin.get(f"/domains/{acme}").status_code == 200


def test_a_project_that_is_a_domain(people: People) -> None:
    made = people.make("/projects", "project", name="acme", is_domain=True)
    assert made["domain_id"] is None and made["is_domain"]
    assert people.admin.get(f"/domains/{made['id']}").json()["domain"]["name"] == "acme"
    assert names(people.admin.get("/projects?is_domain=true"), "projects") == {"Default", "acme"}
    child = people.make("/projects", "project", name="red", domain_id=made["id"])
    assert child["parent_id"] == made["id"]


# Groups --------------------------------------------------------------------------------------------------------------
def test_membership(people: People) -> None:
    ann, bob = people.user("ann"), people.user("bob")
    staff = people.group("staff", ann)
    assert names(people.admin.get(f"/groups/{staff}/users"), "users") == {"ann"}
    assert names(people.admin.get(f"/users/{ann}/groups"), "groups") == {"staff"}
    assert people.admin.head(f"/groups/{staff}/users/{ann}").status_code == 204
    assert people.admin.head(f"/groups/{staff}/users/{bob}").status_code == 404
    assert people.admin.delete(f"/groups/{staff}/users/{bob}").status_code == 404
    assert people.admin.delete(f"/users/{ann}").status_code == 204
    assert names(people.admin.get(f"/groups/{staff}/users"), "users") == set()


# The catalogue's rows -------------------------------------------------------------------------------------------------
def test_endpoints_appear_in_the_catalogue(people: People) -> None:
    service = people.make("/services", "service", type="object-store", name="swift")["id"]
    url = "http://s3.example.org/v1/AUTH_$(project_id)s"
    endpoint = people.make(
        "/endpoints", "endpoint", service_id=service, interface="public", url=url, region_id="RegionOne"
    )["id"]

    def urls() -> list[str]:
        catalog = people.admin.get("/auth/catalog").json()["catalog"]
        return [one["url"] for entry in catalog if entry["type"] == "object-store" for one in entry["endpoints"]]

    [project] = people.admin.get("/projects?name=admin").json()["projects"]
    assert urls() == [f"http://s3.example.org/v1/AUTH_{project['id']}"]
    people.admin.patch(f"/endpoints/{endpoint}", json={"endpoint": {"enabled": False}})
    assert urls() == []
    assert people.admin.delete("/regions/RegionOne").status_code == 403
    assert people.admin.delete(f"/services/{service}").status_code == 204
    assert people.admin.get(f"/endpoints/{endpoint}").status_code == 404


def test_regions_lie_in_regions(people: People) -> None:
    europe = people.make("/regions", "region", id="eu")["id"]
    answer = people.admin.put("/regions/eu-1", json={"region": {"parent_region_id": europe}})
    assert answer.status_code == 201 and answer.json()["region"]["parent_region_id"] == "eu"
    assert people.admin.patch("/regions/eu", json={"region": {"parent_region_id": "eu-1"}}).status_code == 400
    assert people.admin.delete("/regions/eu").status_code == 403
    assert [one["id"] for one in people.admin.get("/regions?parent_region_id=eu").json()["regions"]] == ["eu-1"]


def test_a_second_start_changes_nothing_but_a_moved_origin(people: People) -> None:
    app = people.cloud.app
    before = people.dump()
    control.bootstrap(app)
    after = people.dump()
    assert {name for name in after if after[name] != before[name]} <= {"work"}
    app.config.public_url = "https://cloud.example.org"
    control.bootstrap(app)
    urls = {one["url"] for one in people.admin.get("/endpoints").json()["endpoints"]}
    assert urls and all(url.startswith("https://cloud.example.org/") for url in urls)
    path = app.config.state_path / "admin.password"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# Credentials and limits ----------------------------------------------------------------------------------------------
def test_credentials_are_kept_sealed_and_seen_by_their_owner(people: People) -> None:
    red = people.project("red")
    ann, token = people.member("ann", red)
    _, other = people.member("bob", red)
    client = people.client(token)
    made = people.make("/credentials", "credential", client, user_id=ann, type="cert", blob="top secret words")
    assert made["blob"] == "top secret words" and "top secret words" not in str(people.dump())
    url = f"/credentials/{made['id']}"
    assert client.get(url).json()["credential"] == made
    assert people.client(other).get(url).status_code == people.client(other).delete(url).status_code == 403
    assert people.client(other).get("/credentials").json()["credentials"] == []
    assert [one["id"] for one in client.get("/credentials").json()["credentials"]] == [made["id"]]
    assert client.patch(url, json={"credential": {"blob": "new"}}).json()["credential"]["blob"] == "new"
    assert client.delete(url).status_code == 204


def test_ec2_keys(people: People) -> None:
    red, blue = people.project("red"), people.project("blue")
    ann, token = people.member("ann", red)
    client, path = people.client(token), f"/users/{ann}/credentials/OS-EC2"
    answer = client.post(path, json={"tenant_id": red})
    assert answer.status_code == 201
    keys = answer.json()["credential"]
    assert client.get(f"{path}/{keys['access']}").json()["credential"] == keys
    assert client.get(path).json()["credentials"] == [keys]
    assert client.post(path, json={"tenant_id": blue}).status_code == 404
    assert client.delete(f"{path}/{keys['access']}").status_code == 204
    assert client.get(f"{path}/{keys['access']}").status_code == 404


def test_limits_stand_on_registered_ones(people: People) -> None:
    admin, red = people.admin, people.project("red")
    [service] = admin.get("/services?type=compute").json()["services"]
    base = {"service_id": service["id"], "resource_name": "widgets"}
    limit = {**base, "project_id": red, "resource_limit": 5}
    assert admin.post("/limits", json={"limits": [limit]}).status_code == 403
    made = admin.post("/registered_limits", json={"registered_limits": [{**base, "default_limit": 2}]})
    [registered] = made.json()["registered_limits"]
    assert (
        admin.post("/registered_limits", json={"registered_limits": [{**base, "default_limit": 3}]}).status_code == 409
    )
    [one] = admin.post("/limits", json={"limits": [limit]}).json()["limits"]
    assert one.items() >= limit.items() and admin.post("/limits", json={"limits": [limit]}).status_code == 409
    _, token = people.member("ann", red)
    _, stranger = people.member("eve", people.project("blue"))
    assert [found["id"] for found in people.client(token).get("/limits").json()["limits"]] == [one["id"]]
    assert people.client(stranger).get("/limits").json()["limits"] == []
    assert people.client(stranger).get(f"/limits/{one['id']}").status_code == 403
    assert admin.delete(f"/registered_limits/{registered['id']}").status_code == 403
    changed = admin.patch(f"/limits/{one['id']}", json={"limit": {"resource_limit": 9}}).json()["limit"]
    assert changed["resource_limit"] == 9
    assert admin.delete(f"/limits/{one['id']}").status_code == 204
    changed = admin.patch(f"/registered_limits/{registered['id']}", json={"registered_limit": {"default_limit": 4}})
    assert changed.json()["registered_limit"]["default_limit"] == 4
    assert admin.delete(f"/registered_limits/{registered['id']}").status_code == 204
    assert admin.get("/limits/model").json()["model"]["name"] == "flat"


def test_versions_are_told_to_everybody(people: People) -> None:
    nobody = people.cloud.nobody
    assert nobody.get("/identity", follow_redirects=False).status_code == 300
    answer = nobody.get("/identity/")
    assert answer.status_code == 300
    [version] = answer.json()["versions"]["values"]
    assert nobody.get("/identity/v3").json()["version"] == nobody.get("/identity/v3/").json()["version"] == version
    assert version["status"] == "stable" and version["links"][0]["href"].endswith("/identity/v3/")
