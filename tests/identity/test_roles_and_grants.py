"""Who may do what where: grants, inheritance, implication, and the list that shows how it works out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.identity.conftest import People


def lines(people: People, query: str) -> set[tuple[str, str, str]]:
    """(actor, place, role) of a list with names."""
    found = set()
    for one in people.admin.get(f"/role_assignments?include_names&{query}").json()["role_assignments"]:
        scope = {key: value for key, value in one["scope"].items() if key != "OS-INHERIT:inherited_to"}
        [(kind, place)] = scope.items()
        actor = one.get("user") or one.get("group")
        found.add((actor["name"], kind if kind == "system" else place["name"], one["role"]["name"]))
    return found


@pytest.mark.parametrize("actor", ["users", "groups"])
@pytest.mark.parametrize(
    ("place", "inherited"),
    [("projects", False), ("projects", True), ("domains", False), ("domains", True), ("system", False)],
)
def test_a_grant_is_given_shown_and_taken(people: People, actor: str, place: str, inherited: bool) -> None:
    who = people.user("ann") if actor == "users" else people.group("staff")
    where = {"projects": f"projects/{people.project('red')}", "domains": "domains/default", "system": "system"}[place]
    head, tail = ("/OS-INHERIT", "/inherited_to_projects") if inherited else ("", "")
    every = f"{head}/{where}/{actor}/{who}/roles"
    url = f"{every}/{people.roles['member']}{tail}"
    assert people.admin.head(url).status_code == people.admin.delete(url).status_code == 404
    for _ in range(2):
        assert people.admin.put(url).status_code == 204
    assert people.admin.head(url).status_code == people.admin.get(url).status_code == 204
    [role] = people.admin.get(f"{every}{tail}").json()["roles"]
    assert role["name"] == "member"
    [line] = people.admin.get(f"/role_assignments?{actor[:-1]}.id={who}").json()["role_assignments"]
    assert line["links"]["assignment"].endswith(url) and ("OS-INHERIT:inherited_to" in line["scope"]) is inherited
    assert people.admin.delete(url).status_code == 204
    assert people.admin.head(url).status_code == 404


def test_inherited_roles_count_below_and_not_here(people: People) -> None:
    domain = people.domain("acme")
    top = people.project("top", domain_id=domain)
    leaf = people.project("leaf", domain_id=domain, parent_id=top)
    ann, bob = people.user("ann"), people.user("bob")
    people.give("member", f"projects/{top}/users/{ann}", inherited=True)
    people.give("reader", f"domains/{domain}/users/{bob}", inherited=True)
    assert people.enter(ann, {"project": {"id": leaf}}).status_code == 201
    assert people.enter(ann, {"project": {"id": top}}).status_code == 401
    assert people.enter(bob, {"project": {"id": leaf}}).status_code == 201
    assert people.enter(bob, {"project": {"id": top}}).status_code == 201
    assert people.enter(bob, {"domain": {"id": domain}}).status_code == 401

    def projects(user: str) -> set[str]:
        return {one["name"] for one in people.admin.get(f"/users/{user}/projects").json()["projects"]}

    assert projects(ann) == {"leaf"} and projects(bob) == {"leaf", "top"}
    assert lines(people, f"effective&user.id={ann}") == {("ann", "leaf", "member"), ("ann", "leaf", "reader")}
    assert lines(people, f"effective&scope.project.id={leaf}") == {
        ("ann", "leaf", "member"), ("ann", "leaf", "reader"), ("bob", "leaf", "reader"),
    }  # fmt: skip
    assert lines(people, f"scope.project.id={top}&include_subtree") == {("ann", "top", "member")}


def test_effective_lines_say_where_they_come_from(people: People) -> None:
    red, ann = people.project("red"), people.user("ann")
    group = people.group("staff", ann)
    people.give("member", f"projects/{red}/groups/{group}")
    found: list[Any] = people.admin.get(f"/role_assignments?effective&user.id={ann}").json()["role_assignments"]
    assert {one["role"]["id"] for one in found} == {people.roles["member"], people.roles["reader"]}
    for one in found:
        assert one["links"]["membership"].endswith(f"/groups/{group}/users/{ann}")
        assert one["links"]["assignment"].endswith(f"/projects/{red}/groups/{group}/roles/{people.roles['member']}")
    [implied] = [one for one in found if "prior_role" in one["links"]]
    assert implied["role"]["id"] == people.roles["reader"]
    assert lines(people, f"group.id={group}") == {("staff", "red", "member")}
    assert lines(people, f"user.id={ann}") == set()


def test_filters_that_exclude_each_other(people: People) -> None:
    for query in (
        "user.id=a&group.id=b", "scope.project.id=a&scope.domain.id=b", "effective&group.id=a", "include_subtree",
        "effective&scope.domain.id=a&scope.OS-INHERIT:inherited_to=projects",
    ):  # fmt: skip
        assert people.admin.get(f"/role_assignments?{query}").status_code == 400, query


def test_a_domains_role_counts_by_what_it_implies(people: People) -> None:
    domain = people.domain("acme")
    red = people.project("red", domain_id=domain)
    user = people.user("ann", domain_id=domain)
    own = people.make("/roles", "role", name="operator", domain_id=domain)["id"]
    people.give(own, f"projects/{red}/users/{user}")
    assert people.enter(user, {"project": {"id": red}}).status_code == 401
    assert people.admin.put(f"/roles/{own}/implies/{people.roles['member']}").status_code == 201
    said = people.enter(user, {"project": {"id": red}}).json()["token"]
    assert [role["name"] for role in said["roles"]] == ["member", "reader"]
    assert "operator" not in [role["name"] for role in people.admin.get("/roles").json()["roles"]]
    [listed] = people.admin.get(f"/roles?domain_id={domain}").json()["roles"]
    assert listed["name"] == "operator"
    elsewhere = people.project("elsewhere")
    assert people.admin.put(f"/projects/{elsewhere}/users/{user}/roles/{own}").status_code == 403


def test_implications_are_listed_and_cannot_run_in_circles(people: People) -> None:
    rules = people.admin.get("/role_inferences").json()["role_inferences"]
    chain = {one["prior_role"]["name"]: [role["name"] for role in one["implies"]] for one in rules}
    assert chain == {"admin": ["manager"], "manager": ["member"], "member": ["reader"]}
    ids = people.roles
    assert people.admin.put(f"/roles/{ids['reader']}/implies/{ids['manager']}").status_code == 400
    assert people.admin.put(f"/roles/{ids['reader']}/implies/{ids['admin']}").status_code == 403
    assert people.admin.put(f"/roles/{ids['admin']}/implies/{ids['manager']}").status_code == 409
    assert people.admin.put(f"/roles/{ids['service']}/implies/{ids['reader']}").status_code == 201
    shown = people.admin.get(f"/roles/{ids['service']}/implies").json()["role_inference"]
    assert [role["name"] for role in shown["implies"]] == ["reader"]
    url = f"/roles/{ids['service']}/implies/{ids['reader']}"
    assert people.admin.head(url).status_code == 204
    assert people.admin.delete(url).status_code == 204
    assert people.admin.get(url).status_code == 404


def test_an_immutable_role_changes_only_after_it_is_freed(people: People) -> None:
    role = people.make("/roles", "role", name="auditor", options={"immutable": True})["id"]
    url = f"/roles/{role}"
    assert people.admin.patch(url, json={"role": {"name": "x"}}).status_code == 403
    assert people.admin.delete(url).status_code == 403
    assert people.admin.delete(f"/roles/{people.roles['admin']}").status_code == 403
    assert people.admin.patch(url, json={"role": {"options": {"immutable": False}}}).status_code == 200
    assert people.admin.delete(url).status_code == 204


# Personas ------------------------------------------------------------------------------------------------------------
def test_the_manager_of_a_domain_manages_that_domain_only(people: People) -> None:
    acme, other = people.domain("acme"), people.domain("other")
    boss = people.user("boss", domain_id=acme)
    people.give("manager", f"domains/{acme}/users/{boss}")
    client = people.client(people.token(people.enter(boss, {"domain": {"id": acme}})))
    red = people.make("/projects", "project", client, name="red")
    assert red["domain_id"] == acme
    ann = people.make("/users", "user", client, name="ann")["id"]
    member, admin = people.roles["member"], people.roles["admin"]
    assert client.put(f"/projects/{red['id']}/users/{ann}/roles/{member}").status_code == 204
    assert client.put(f"/projects/{red['id']}/users/{ann}/roles/{admin}").status_code == 403
    stranger, foreign = people.user("eve", domain_id=other), people.project("foreign", domain_id=other)
    assert client.put(f"/projects/{red['id']}/users/{stranger}/roles/{member}").status_code == 403
    assert client.put(f"/projects/{foreign}/users/{ann}/roles/{member}").status_code == 403
    assert client.get(f"/users/{stranger}").status_code == client.get(f"/projects/{foreign}").status_code == 403
    assert client.post("/users", json={"user": {"name": "x", "domain_id": other}}).status_code == 403
    assert client.post("/domains", json={"domain": {"name": "x"}}).status_code == 403
    assert {one["name"] for one in client.get("/users").json()["users"]} == {"boss", "ann"}
    assert {one["name"] for one in client.get("/projects").json()["projects"]} == {"red"}
    assert {one["id"] for one in client.get("/domains").json().get("domains", [])} <= {acme}
    places = [one["scope"] for one in client.get("/role_assignments").json()["role_assignments"]]
    assert places and all(scope in ({"project": {"id": red["id"]}}, {"domain": {"id": acme}}) for scope in places)
    assert client.delete(f"/users/{ann}").status_code == 204


def test_the_reader_of_the_system_sees_all_and_changes_nothing(people: People) -> None:
    user = people.user("auditor")
    people.give("reader", f"system/users/{user}")
    client = people.client(people.token(people.enter(user, {"system": {"all": True}})))
    for path in ("users", "projects", "domains", "groups", "roles", "role_assignments", "services", "endpoints"):
        assert client.get(f"/{path}").status_code == 200, path
        assert client.post(f"/{path}", json={}).status_code in (400, 405), path
    assert client.post("/projects", json={"project": {"name": "x"}}).status_code == 403
    assert client.delete(f"/users/{user}").status_code == 403


def test_a_member_sees_himself_and_little_else(people: People) -> None:
    red = people.project("red")
    user, token = people.member("ann", red)
    other, _ = people.member("bob", people.project("blue"))
    client = people.client(token)
    assert client.get(f"/users/{user}").json()["user"]["name"] == "ann"
    assert [one["name"] for one in client.get(f"/users/{user}/projects").json()["projects"]] == ["red"]
    assert client.get(f"/users/{user}/groups").json()["groups"] == []
    assert client.get(f"/projects/{red}").status_code == client.get("/domains/default").status_code == 200
    assert client.get("/regions").status_code == 200
    for path in (f"/users/{other}", f"/users/{other}/projects", "/users", "/projects", "/domains", "/role_assignments"):
        assert client.get(path).status_code == 403, path
    assert client.get("/users/0123456789").status_code == 403  # what there is not looks like what is not his
