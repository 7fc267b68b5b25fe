"""Logging in: methods, scopes, and that a refusal says nothing to a stranger."""

from __future__ import annotations

import bcrypt
import pytest
from sqlalchemy import update

from tests.identity.conftest import People
from wolke.identity import passwords
from wolke.identity.login import totp
from wolke.identity.table import User


def set_user(people: People, id: str, **values: object) -> None:
    with people.cloud.app.database.transaction() as db:
        db.execute(update(User).where(User.id == id).values(**values))


def test_unknown_users_and_wrong_passwords_get_one_answer(people: People) -> None:
    people.user("ann")
    named = {"name": "ann", "domain": {"id": "default"}, "password": "wrong"}
    wrong = people.login({"user": named})
    unknown = people.login({"user": {**named, "name": "nobody"}})
    elsewhere = people.login({"user": {**named, "password": "open sesame", "domain": {"name": "nowhere"}}})
    assert wrong.status_code == unknown.status_code == elsewhere.status_code == 401
    assert wrong.json() == unknown.json() == elsewhere.json()
    assert wrong.headers["www-authenticate"].startswith("Keystone uri=")


def test_an_unknown_user_costs_a_hash_too(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    real = passwords.matches
    monkeypatch.setattr(passwords, "matches", lambda given, stored: seen.append(stored) or real(given, stored))
    people.login({"user": {"id": "f" * 32, "password": "x"}})
    assert seen == [""] and not real("x", "")


def test_an_imported_bcrypt_hash_opens(people: People) -> None:
    user = people.user("ann")
    set_user(people, user, password_hash=bcrypt.hashpw(b"from keystone", bcrypt.gensalt(4)).decode())
    assert people.enter(user, password="from keystone").status_code == 201
    assert people.enter(user, password="other").status_code == 401


def test_who_has_no_password_cannot_log_in_with_one(people: People) -> None:
    user = people.make("/users", "user", name="robot")["id"]
    for password in ("", "x"):
        assert people.enter(user, password=password).status_code == 401


def test_without_a_scope_the_default_project_is_taken_if_it_can_be(people: People) -> None:
    red = people.project("red")
    user = people.user("ann", default_project_id=red)
    assert "project" not in people.enter(user).json()["token"]
    people.give("member", f"projects/{red}/users/{user}")
    assert people.enter(user).json()["token"]["project"]["id"] == red
    unscoped = people.enter(user, "unscoped").json()["token"]
    assert "project" not in unscoped and "roles" not in unscoped and "catalog" not in unscoped
    people.admin.patch(f"/projects/{red}", json={"project": {"enabled": False}})
    assert "project" not in people.enter(user).json()["token"]


def test_scopes_need_a_role_there(people: People) -> None:
    user = people.user("ann")
    for scope in ({"system": {"all": True}}, {"domain": {"id": "default"}}, {"project": {"id": people.project("red")}}):
        assert people.enter(user, scope).status_code == 401
    people.give("reader", f"system/users/{user}")
    people.give("manager", f"domains/default/users/{user}")
    said = people.enter(user, {"system": {"all": True}}).json()["token"]
    assert said["system"] == {"all": True} and [role["name"] for role in said["roles"]] == ["reader"]
    said = people.enter(user, {"domain": {"name": "Default"}}).json()["token"]
    assert said["domain"] == {"id": "default", "name": "Default"}
    assert [role["name"] for role in said["roles"]] == ["manager", "member", "reader"]
    token = people.token(people.enter(user))
    assert people.client(token).get("/auth/system").json()["system"] == [{"all": True}]
    assert [one["id"] for one in people.client(token).get("/auth/domains").json()["domains"]] == ["default"]
    assert people.client(token).get("/auth/projects").json()["projects"] == []


def test_an_expired_password_can_only_be_changed(people: People) -> None:
    user = people.user("ann")
    set_user(people, user, password_expires_at=people.cloud.now - 1)
    assert "expired" in people.enter(user).json()["error"]["message"]
    change = {"user": {"password": "fresh", "original_password": "open sesame"}}
    assert people.client("").post(f"/users/{user}/password", json=change).status_code == 204
    assert people.enter(user, password="fresh").status_code == 201


def test_a_locked_password_stays(people: People) -> None:
    user = people.user("ann", options={"lock_password": True})
    change = {"user": {"password": "fresh", "original_password": "open sesame"}}
    assert people.client("").post(f"/users/{user}/password", json=change).status_code == 403
    assert people.enter(user).status_code == 201


def test_the_last_passwords_do_not_come_back(people: People) -> None:
    people.cloud.app.config.unique_last_password_count = 3
    user, now = people.user("ann", password="zero"), "zero"
    for wanted, status in (
        ("one", 204), ("zero", 400), ("one", 400), ("two", 204), ("zero", 400), ("one", 400), ("three", 204), ("one", 400),
        ("zero", 204),
    ):  # fmt: skip
        change = {"user": {"password": wanted, "original_password": now}}
        assert people.client("").post(f"/users/{user}/password", json=change).status_code == status, wanted
        now = wanted if status == 204 else now
    assert people.enter(user, password="zero").status_code == 201


def test_too_many_wrong_passwords_lock_out_for_a_while(people: People) -> None:
    config = people.cloud.app.config
    config.lockout_failure_attempts, config.lockout_seconds = 3, 60
    ann, bob = people.user("ann"), people.user("bob", options={"ignore_lockout_failure_attempts": True})
    for _ in range(3):
        assert people.enter(ann, password="x").status_code == people.enter(bob, password="x").status_code == 401
    assert people.enter(ann).status_code == 401
    assert people.enter(bob).status_code == 201
    people.cloud.now += 61
    assert people.enter(ann, password="x").status_code == 401
    assert people.enter(ann).status_code == 201


def test_several_factors_where_they_are_asked_for(people: People) -> None:
    seed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    user = people.user("ann", options={"multi_factor_auth_rules": [["password", "totp"]]})
    people.make("/credentials", "credential", user_id=user, type="totp", blob=seed)
    who = {"user": {"id": user, "password": "open sesame"}}

    def both(code: str) -> int:
        parts = {"methods": ["password", "totp"], "password": who, "totp": {"user": {"id": user, "passcode": code}}}
        return people.auth(parts).status_code

    assert people.login(who).status_code == 401
    assert both(totp(seed, people.cloud.now)) == 201
    assert both(totp(seed, people.cloud.now - 3000)) == 401
    parts = {"methods": ["totp"], "totp": {"user": {"id": user, "passcode": totp(seed, people.cloud.now)}}}
    assert people.auth(parts).status_code == 401


def test_methods_must_prove_the_same_user(people: People) -> None:
    ann, bob = people.user("ann"), people.user("bob")
    token = people.token(people.enter(ann))
    parts = {
        "methods": ["password", "token"], "token": {"id": token},
        "password": {"user": {"id": bob, "password": "open sesame"}},
    }  # fmt: skip
    assert people.auth(parts).status_code == 401


def test_the_password_never_stands_in_the_database(people: People) -> None:
    people.user("ann", password="correct horse battery")
    assert "correct horse battery" not in str(people.dump())
