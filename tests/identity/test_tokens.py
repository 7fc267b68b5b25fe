"""Tokens: what they say, how long they are good, and that they end at the very moment when they should."""

from __future__ import annotations

import pytest
from sqlalchemy import event, select

from tests.identity.conftest import People
from wolke.identity.keys import EXPIRED_WINDOW, ROTATE_SECONDS, rotate
from wolke.identity.table import FernetKey, Revocation, User
from wolke.identity.tokens import issue

RED = {"project": {"name": "red", "domain": {"id": "default"}}}


def test_a_password_opens_a_project(people: People) -> None:
    red = people.project("red")
    user, _ = people.member("ann", red)
    answer = people.login({"user": {"name": "ann", "domain": {"name": "Default"}, "password": "open sesame"}}, RED)
    said = answer.json()["token"]
    assert said["user"] == {
        "id": user, "name": "ann", "domain": {"id": "default", "name": "Default"}, "password_expires_at": None,
    }  # fmt: skip
    assert said["project"] == {"id": red, "name": "red", "domain": {"id": "default", "name": "Default"}}
    assert [role["name"] for role in said["roles"]] == ["member", "reader"]
    assert said["methods"] == ["password"] and said["is_domain"] is False
    assert {service["type"] for service in said["catalog"]} >= {"identity", "compute", "network", "image"}
    assert said["issued_at"] < said["expires_at"]
    assert len(people.token(answer)) == 183


def test_the_catalogue_tells_where_this_cloud_is(people: People) -> None:
    catalog = people.admin.get("/auth/catalog").json()["catalog"]
    [identity] = [service for service in catalog if service["type"] == "identity"]
    assert {endpoint["interface"] for endpoint in identity["endpoints"]} == {"public", "internal", "admin"}
    for endpoint in identity["endpoints"]:
        assert endpoint["url"] == "http://127.0.0.1:8774/identity" and endpoint["region_id"] == "RegionOne"


def test_a_check_shows_what_the_login_showed(people: People) -> None:
    red = people.project("red")
    user, _ = people.member("ann", red)
    answer = people.enter(user, RED)
    token = people.token(answer)
    shown = people.admin.get("/auth/tokens", headers={"X-Subject-Token": token})
    assert shown.json() == answer.json()
    bare = people.admin.get("/auth/tokens?nocatalog", headers={"X-Subject-Token": token}).json()["token"]
    assert "catalog" not in bare and bare["audit_ids"] == answer.json()["token"]["audit_ids"]
    head = people.admin.head("/auth/tokens", headers={"X-Subject-Token": token})
    assert (head.status_code, head.content) == (200, b"")


def test_a_check_shows_what_has_changed_since_the_last_one(people: People) -> None:
    """Checks are remembered, as long as nothing that they show has changed."""
    red = people.project("red")
    user, token = people.member("ann", red)

    def shown() -> tuple[str, set[str], set[str]]:
        said = people.admin.get("/auth/tokens", headers={"X-Subject-Token": token}).json()["token"]
        types = {service["type"] for service in said["catalog"]}
        return said["user"]["name"], {role["name"] for role in said["roles"]}, types

    assert shown() == shown()
    service = people.make("/services", "service", type="object-store", name="swift")["id"]
    assert "object-store" in shown()[2]
    people.admin.patch(f"/services/{service}", json={"service": {"enabled": False}})
    assert "object-store" not in shown()[2]
    people.admin.patch(f"/users/{user}", json={"user": {"name": "anna"}})
    assert shown()[0] == "anna"
    people.give("manager", f"projects/{red}/users/{user}")
    assert "manager" in shown()[1]
    people.admin.patch(f"/projects/{red}", json={"project": {"enabled": False}})
    assert people.admin.get("/auth/tokens", headers={"X-Subject-Token": token}).status_code == 404


def test_a_token_is_checked_by_its_user_and_by_services_only(people: People) -> None:
    red = people.project("red")
    _, ann = people.member("ann", red)
    _, bob = people.member("bob", red)
    _, nova = people.member("nova", red, "service")
    headers = {"X-Subject-Token": ann}
    assert people.client(ann).get("/auth/tokens", headers=headers).status_code == 200
    assert people.client(bob).get("/auth/tokens", headers=headers).status_code == 403
    assert people.client(nova).get("/auth/tokens", headers=headers).status_code == 200
    assert people.client(bob).delete("/auth/tokens", headers=headers).status_code == 403
    assert people.works(ann)


def test_a_revoked_token_is_void_at_once_and_no_other_is(people: People) -> None:
    red = people.project("red")
    user, first = people.member("ann", red)
    second = people.token(people.enter(user, RED))
    assert people.works(first) and people.works(second)
    assert people.client(first).delete("/auth/tokens", headers={"X-Subject-Token": first}).status_code == 204
    assert not people.works(first) and people.works(second)
    assert people.admin.get("/auth/tokens", headers={"X-Subject-Token": first}).status_code == 404


def test_time_ends_a_token_also_one_that_is_cached(people: People) -> None:
    _, token = people.member("ann", people.project("red"))
    assert people.works(token)
    people.cloud.now += 3599
    assert people.works(token)
    people.cloud.now += 2
    assert not people.works(token)


def test_services_may_look_at_a_token_that_ended_lately(people: People) -> None:
    red = people.project("red")
    _, ended = people.member("ann", red)
    people.cloud.now += 3601
    fresh_admin(people)
    nova, bob = people.member("nova", red, "service")[1], people.member("bob", red)[1]
    url, headers = "/auth/tokens?allow_expired=1", {"X-Subject-Token": ended}
    assert people.client(nova).get(url, headers=headers).status_code == 200
    assert people.client(nova).get("/auth/tokens", headers=headers).status_code == 404
    assert people.client(bob).get(url, headers=headers).status_code == 404
    assert not people.works(ended)
    people.cloud.now += EXPIRED_WINDOW
    fresh_admin(people)
    nova = people.member("nova2", red, "service")[1]
    assert people.client(nova).get(url, headers=headers).status_code == 404


def fresh_admin(people: People) -> None:
    people.admin = people.client(people.token(people.login(people.admin_login, people.admin_scope)))


@pytest.mark.parametrize("at", [0, 1, 9, 30, 100, -1])
def test_a_token_with_one_changed_letter_is_forged(people: People, at: int) -> None:
    _, token = people.member("ann", people.project("red"))
    letters = list(token)
    letters[at] = "A" if letters[at] not in "AB" else "z"
    assert not people.works("".join(letters))


@pytest.mark.parametrize("token", ["x", "gAAAAA", "ä", "a" * 183, "gAAAAABo" + "é" * 40, "=" * 10])
def test_rubbish_is_no_token(people: People, token: str) -> None:
    answer = people.client("").get("/auth/projects", headers={"X-Auth-Token": token.encode()})
    assert answer.status_code == 401 and answer.json()["error"]["title"] == "Unauthorized"


# What voids a token -------------------------------------------------------------------------------------------------
def test_a_changed_password_voids_older_tokens_for_good(people: People) -> None:
    user, token = people.member("ann", people.project("red"))
    change = {"user": {"password": "new one", "original_password": "open sesame"}}
    assert people.client(token).post(f"/users/{user}/password", json=change).status_code == 204
    assert not people.works(token)
    assert people.enter(user).status_code == 401
    assert people.works(people.token(people.enter(user, RED, "new one")))


@pytest.mark.parametrize("kind", ["users", "projects", "domains"])
def test_what_was_disabled_voids_older_tokens_also_when_enabled_again(people: People, kind: str) -> None:
    domain = people.domain("acme")
    red = people.project("red", domain_id=domain)
    user = people.user("ann", domain_id=domain)
    people.give("member", f"projects/{red}/users/{user}")
    token = people.token(people.enter(user, {"project": {"id": red}}))
    assert people.works(token)
    id = {"users": user, "projects": red, "domains": domain}[kind]
    for enabled in (False, True):
        answer = people.admin.patch(f"/{kind}/{id}", json={kind[:-1]: {"enabled": enabled}})
        assert answer.status_code == 200
        assert not people.works(token)
        expected = 201 if enabled else 401
        assert people.enter(user, {"project": {"id": red}}).status_code == expected


@pytest.mark.parametrize("kind", ["users", "projects"])
def test_what_is_deleted_voids_its_tokens(people: People, kind: str) -> None:
    red = people.project("red")
    user, token = people.member("ann", red)
    assert people.works(token)
    people.admin.delete(f"/{kind}/{user if kind == 'users' else red}")
    assert not people.works(token)


def test_the_last_role_taken_voids_the_token(people: People) -> None:
    red = people.project("red")
    user, token = people.member("ann", red, "member", "reader")
    people.take("member", f"projects/{red}/users/{user}")
    shown = people.admin.get("/auth/tokens", headers={"X-Subject-Token": token}).json()["token"]
    assert [role["name"] for role in shown["roles"]] == ["reader"]
    people.take("reader", f"projects/{red}/users/{user}")
    assert not people.works(token)


def test_who_leaves_a_group_loses_its_roles_at_once(people: People) -> None:
    red, user = people.project("red"), people.user("ann")
    group = people.group("staff", user)
    people.give("member", f"projects/{red}/groups/{group}")
    token = people.token(people.enter(user, RED))
    assert people.works(token)
    assert people.admin.delete(f"/groups/{group}/users/{user}").status_code == 204
    assert not people.works(token)


def test_a_role_that_no_longer_implies_is_gone_from_tokens(people: People) -> None:
    user, token = people.member("ann", people.project("red"))
    caller = people.cloud.app.authenticate(token)
    assert caller.roles == {"member", "reader"} and caller.user_id == user
    prior, implied = people.roles["member"], people.roles["reader"]
    assert people.admin.delete(f"/roles/{prior}/implies/{implied}").status_code == 204
    assert people.cloud.app.authenticate(token).roles == {"member"}


# From token to token ------------------------------------------------------------------------------------------------
def test_a_token_gets_another_that_ends_no_later(people: People) -> None:
    red, blue = people.project("red"), people.project("blue")
    user, first = people.member("ann", red)
    people.give("reader", f"projects/{blue}/users/{user}")
    people.cloud.now += 600
    answer = people.auth({"methods": ["token"], "token": {"id": first}}, {"project": {"id": blue}})
    said = answer.json()["token"]
    shown = people.admin.get("/auth/tokens", headers={"X-Subject-Token": first}).json()["token"]
    assert said["expires_at"] == shown["expires_at"] and said["issued_at"] > shown["issued_at"]
    assert said["audit_ids"][1:] == shown["audit_ids"] and sorted(said["methods"]) == ["password", "token"]
    again = people.auth({"methods": ["token"], "token": {"id": people.token(answer)}}, {"project": {"id": red}})
    assert again.json()["token"]["audit_ids"][1:] == shown["audit_ids"]


def test_keys_rotate_without_voiding_tokens(people: People) -> None:
    app = people.cloud.app
    _, token = people.member("ann", people.project("red"))
    with app.database.transaction() as db:
        rotate(db, app.vault, people.cloud.now, 3600)
    with app.database.read() as db:
        states = sorted(db.scalars(select(FernetKey.state)))
    assert states == ["primary", "secondary", "staged"]
    assert people.works(token)
    fresh_admin(people)
    assert people.admin.get("/auth/projects").status_code == 200


def test_the_recurring_job_rotates_weekly_and_forgets(people: People) -> None:
    user, token = people.member("ann", people.project("red"))
    people.client(token).delete("/auth/tokens", headers={"X-Subject-Token": token})

    def look() -> tuple[list[str], int]:
        with people.cloud.app.database.read() as db:
            return sorted(db.scalars(select(FernetKey.state))), len(db.scalars(select(Revocation)).all())

    people.cloud.settle()
    assert look() == (["primary", "staged"], 1)
    people.cloud.now += ROTATE_SECONDS + 1
    people.cloud.settle()
    assert look() == (["primary", "secondary", "staged"], 0)
    people.cloud.now += ROTATE_SECONDS + 1
    people.cloud.settle()
    assert look() == (["primary", "secondary", "staged"], 0)
    assert people.enter(user).status_code == 201


def test_keys_do_not_lie_in_the_database_in_the_clear(people: People) -> None:
    with people.cloud.app.database.read() as db:
        for sealed in db.scalars(select(FernetKey.sealed)):
            assert people.cloud.app.vault.open(sealed) not in sealed.encode()


def test_a_check_that_is_known_costs_one_select(people: People) -> None:
    app, said = people.cloud.app, []
    with app.database.read() as db:
        user = db.scalars(select(User.id).where(User.name == "admin")).one()
    token = issue(app, user_id=user, system=True)
    assert app.authenticate(token).system

    def count(connection: object, cursor: object, statement: str, *rest: object) -> None:
        said.append(statement)

    event.listen(app.database.engine, "before_cursor_execute", count)
    app.authenticate(token)
    assert sum(statement.startswith("SELECT") for statement in said) == 1
