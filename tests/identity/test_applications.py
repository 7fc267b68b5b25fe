"""Application credentials: a part of one's roles for a program, and no more than that."""

from __future__ import annotations

from typing import Any

from tests.identity.conftest import People


def lend(people: People, user: str, token: str, **fields: Any) -> dict[str, Any]:
    path = f"/users/{user}/application_credentials"
    return people.make(path, "application_credential", people.client(token), **{"name": "robot"} | fields)


def enter(people: People, credential: dict[str, Any], scope: Any = None, **who: Any) -> Any:
    given = {"secret": credential["secret"], **(who or {"id": credential["id"]})}
    return people.auth({"methods": ["application_credential"], "application_credential": given}, scope)


def test_a_program_gets_the_roles_it_was_lent(people: People) -> None:
    red = people.project("red")
    user, token = people.member("ann", red, "manager")
    made = lend(people, user, token, roles=[{"name": "member"}])
    assert made["project_id"] == red and [role["name"] for role in made["roles"]] == ["member"] and made["secret"]
    answer = enter(people, made)
    said = answer.json()["token"]
    assert said["project"]["id"] == red and [role["name"] for role in said["roles"]] == ["member", "reader"]
    assert said["application_credential"] == {"id": made["id"], "name": "robot", "restricted": True}
    by_name = enter(people, made, name="robot", user={"name": "ann", "domain": {"id": "default"}})
    assert by_name.status_code == 201
    assert enter(people, {**made, "secret": "wrong"}).status_code == 401
    path = f"/users/{user}/application_credentials"
    [shown] = people.client(token).get(path).json()["application_credentials"]
    assert shown == {key: value for key, value in made.items() if key != "secret"}
    assert made["secret"] not in str(people.dump())


def test_it_stays_on_its_project(people: People) -> None:
    red, blue = people.project("red"), people.project("blue")
    user, token = people.member("ann", red)
    people.give("member", f"projects/{blue}/users/{user}")
    made = lend(people, user, token)
    assert enter(people, made, {"project": {"id": blue}}).status_code == 401
    assert enter(people, made, {"system": {"all": True}}).status_code == 401
    inner = people.token(enter(people, made))
    again = people.auth({"methods": ["token"], "token": {"id": inner}}, {"project": {"id": blue}})
    assert again.status_code == 401
    again = people.auth({"methods": ["token"], "token": {"id": inner}}, "unscoped")
    assert again.status_code == 401


def test_deleting_it_voids_its_tokens_at_once(people: People) -> None:
    user, token = people.member("ann", people.project("red"))
    made = lend(people, user, token)
    inner = people.token(enter(people, made))
    assert people.works(inner)
    path = f"/users/{user}/application_credentials/{made['id']}"
    assert people.client(inner).delete(path).status_code == 403  # it may not manage its like
    assert people.client(token).delete(path).status_code == 204
    assert not people.works(inner) and people.works(token) and enter(people, made).status_code == 401


def test_a_role_that_its_user_loses_is_lost_to_it(people: People) -> None:
    red = people.project("red")
    user, token = people.member("ann", red, "member", "service")
    whole, part = lend(people, user, token), lend(people, user, token, name="part", roles=[{"name": "service"}])
    tokens = [people.token(enter(people, one)) for one in (whole, part)]
    people.take("member", f"projects/{red}/users/{user}")
    assert [people.works(one) for one in tokens] == [False, True]
    assert enter(people, whole).status_code == 401


def test_it_ends_when_it_says(people: People) -> None:
    user, token = people.member("ann", people.project("red"))
    made = lend(people, user, token, expires_at="2027-01-15T08:10:00")  # ten minutes from now
    answer = enter(people, made)
    assert answer.json()["token"]["expires_at"] == "2027-01-15T08:10:00.000000Z"
    assert made["expires_at"] == "2027-01-15T08:10:00.000000"
    people.cloud.now += 599
    assert people.works(people.token(answer))
    people.cloud.now += 1
    assert not people.works(people.token(answer)) and enter(people, made).status_code == 401


def test_access_rules_limit_the_calls(people: People) -> None:
    user, token = people.member("ann", people.project("red"))
    rule = {"service": "identity", "method": "GET", "path": "/v3/users/*"}
    made = lend(people, user, token, access_rules=[rule])
    inner = people.client(people.token(enter(people, made)))
    assert inner.get(f"/users/{user}").status_code == 200
    assert inner.get("/auth/projects").status_code == inner.get("/regions").status_code == 401
    client = people.client(token)
    [listed] = client.get(f"/users/{user}/access_rules").json()["access_rules"]
    assert listed.items() >= rule.items()
    url = f"/users/{user}/access_rules/{listed['id']}"
    assert client.get(url).json()["access_rule"] == listed
    assert client.delete(url).status_code == 403
    second = lend(people, user, token, name="second", access_rules=[{"id": listed["id"]}])
    assert second["access_rules"] == made["access_rules"]
    none = people.client(people.token(enter(people, lend(people, user, token, name="none", access_rules=[]))))
    assert none.get(f"/users/{user}").status_code == 401
    for one in client.get(f"/users/{user}/application_credentials").json()["application_credentials"]:
        client.delete(f"/users/{user}/application_credentials/{one['id']}")
    assert client.delete(url).status_code == 204


def test_only_an_unrestricted_one_makes_others(people: People) -> None:
    user, token = people.member("ann", people.project("red"))
    path = f"/users/{user}/application_credentials"
    body = {"application_credential": {"name": "child"}}
    bound = people.client(people.token(enter(people, lend(people, user, token))))
    assert bound.post(path, json=body).status_code == 403
    free = people.client(people.token(enter(people, lend(people, user, token, name="free", unrestricted=True))))
    assert free.post(path, json=body).status_code == 201


def test_nobody_makes_one_for_somebody_else(people: People) -> None:
    red = people.project("red")
    user, _ = people.member("ann", red)
    _, other = people.member("bob", red)
    path, body = f"/users/{user}/application_credentials", {"application_credential": {"name": "x"}}
    assert people.client(other).post(path, json=body).status_code == 403
    assert people.client(other).get(path).status_code == 403
    assert people.admin.post(path, json=body).status_code == 403
