"""Wrong input: each is answered as keystone answers, the message says what is wrong, and nothing has changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.identity.conftest import People


@dataclass(frozen=True)
class Wrong:
    """A request by ``who``; ``{red}``, ``{ann}`` ... in path and body stand for ids. ``says`` is in the message."""

    method: str
    path: str
    body: Any
    status: int
    says: str
    who: str = "admin"


def P(path: str, body: Any, status: int, says: str, who: str = "admin") -> Wrong:
    return Wrong("POST", path, body, status, says, who)


def user(**fields: Any) -> Any:
    return {"user": {"name": "x"} | fields}


def project(**fields: Any) -> Any:
    return {"project": {"name": "x"} | fields}


def login(**identity: Any) -> Any:
    return {"auth": {"identity": identity}}


def scoped(scope: Any) -> Any:
    whole = login(methods=["password"], password={"user": {"id": "{ann}", "password": "open sesame"}})
    return {"auth": {**whole["auth"], "scope": scope}}


def lent(**fields: Any) -> Any:
    return {"application_credential": {"name": "x"} | fields}


MINE = "/users/{ann}/application_credentials"
UNKNOWN = "f" * 32
CASES = [
    # bodies that are none
    P("/users", b"", 400, "JSON body is required"),
    P("/users", b"{", 400, "Malformed"),
    P("/users", b"\xff\xfe", 400, "Malformed"),
    P("/users", [], 400, "Expected `object`"),
    P("/users", {}, 400, "user"),
    P("/users", {"user": None}, 400, "user"),
    P("/users", {"user": {}, "other": {}}, 400, "user"),
    # types and lengths
    P("/users", {"user": {"password": "x"}}, 400, "name"),
    P("/users", user(name=""), 400, "user.name"),
    P("/users", user(name="  "), 400, "user.name"),
    P("/users", user(name="a" * 256), 400, "user.name"),
    P("/users", user(name=7), 400, "user.name"),
    P("/users", user(enabled="true"), 400, "user.enabled"),
    P("/users", user(enabled=None), 400, "user.enabled"),
    P("/users", user(password=12345), 400, "user.password"),
    P("/users", user(password=""), 400, "user.password"),
    P("/users", user(password="a" * 4097), 400, "user.password"),
    P("/users", user(domain_id=""), 400, "user.domain_id"),
    P("/users", user(default_project_id="a/b"), 400, "user.default_project_id"),
    P("/users", user(default_project_id="default"), 400, "default_project_id"),
    P("/users", user(options={"lock_password": "yes"}), 400, "options.lock_password"),
    P("/users", user(options={"lock_pasword": True}), 400, "lock_pasword"),
    P("/users", user(options={"multi_factor_auth_rules": ["password"]}), 400, "multi_factor_auth_rules"),
    P("/projects", project(name="a" * 65), 400, "project.name"),
    P("/projects", project(tags="gold"), 400, "project.tags"),
    P("/projects", project(tags=["a,b"]), 400, "project.tags"),
    P("/projects", project(tags=["x"] * 81), 400, "project.tags"),
    P("/projects", project(is_domain=1), 400, "project.is_domain"),
    P("/projects", project(options={"immutable": 1}), 400, "options.immutable"),
    P("/domains", {"domain": {"name": "a" * 65}}, 400, "domain.name"),
    P("/domains", {"domain": {"name": "x", "explicit_domain_id": "{red}"}}, 400, "explicit_domain_id"),
    P("/roles", {"role": {"name": 1}}, 400, "role.name"),
    P("/services", {"service": {"name": "x"}}, 400, "type"),
    P("/endpoints", {"endpoint": {"service_id": UNKNOWN, "interface": "public", "url": "http://a"}}, 400, "service_id"),
    P("/endpoints", {"endpoint": {"service_id": "{nova}", "interface": "secret", "url": "http://a"}}, 400, "interface"),
    P("/endpoints", {"endpoint": {"service_id": "{nova}", "interface": "public", "url": "nowhere"}}, 400, "url"),
    P("/endpoints", {"endpoint": {"service_id": "{nova}", "interface": "public", "url": "http://a/$(x)s"}}, 400, "url"),
    P("/endpoints", {"endpoint": {"service_id": "{nova}", "interface": "public", "url": "http://a", "region_id": "x"}},
      400, "region"),
    P("/regions", {"region": {"id": "a" * 256}}, 400, "region.id"),
    P("/registered_limits", {"registered_limits": []}, 400, "registered_limits"),
    P("/registered_limits", {"registered_limits": [{"service_id": "{nova}", "resource_name": "x", "default_limit": -2}]},
      400, "default_limit"),
    P("/limits", {"limits": [{"service_id": "{nova}", "resource_name": "x", "resource_limit": 1}]}, 400, "project_id"),
    Wrong("PATCH", "/users/{ann}", {"user": {"domain_id": "{acme}"}}, 400, "Domain ID"),
    Wrong("PATCH", "/users/{ann}", {"user": {"name": None}}, 400, "user.name"),
    Wrong("PATCH", "/projects/{red}", {"project": {"domain_id": "{acme}"}}, 400, "domain_id"),
    Wrong("PATCH", "/projects/{red}", {"project": {"is_domain": True}}, 400, "is_domain"),
    Wrong("PUT", "/projects/{red}/tags", {"tags": [""]}, 400, "tags"),
    Wrong("GET", "/users?limit=many", None, 400, "limit"),
    Wrong("GET", "/users?marker=" + UNKNOWN, None, 400, "marker"),
    Wrong("GET", "/users?password_expires_at=soon", None, 400, "password_expires_at"),
    # references to what there is not
    P("/users", user(domain_id=UNKNOWN), 404, "Could not find domain"),
    P("/users", user(domain_id="{red}"), 404, "Could not find domain"),
    P("/groups", {"group": {"name": "x", "domain_id": UNKNOWN}}, 404, "Could not find domain"),
    P("/roles", {"role": {"name": "x", "domain_id": UNKNOWN}}, 404, "Could not find domain"),
    P("/projects", project(parent_id=UNKNOWN), 404, "Could not find project"),
    P("/projects", project(parent_id="{red}", domain_id="{acme}"), 400, "parent_id"),
    P("/regions", {"region": {"parent_region_id": "nowhere"}}, 404, "Could not find region"),
    P("/credentials", {"credential": {"user_id": UNKNOWN, "type": "cert", "blob": "x"}}, 404, "Could not find user"),
    P("/credentials", {"credential": {"user_id": "{ann}", "type": "ec2", "blob": "x", "project_id": "{red}"}}, 400, "blob"),
    P("/credentials", {"credential": {"user_id": "{ann}", "type": "ec2", "blob": '{"access": "a"}'}}, 400, "project_id"),
    Wrong("PUT", "/projects/{red}/users/{ann}/roles/" + UNKNOWN, None, 404, "Could not find role"),
    Wrong("PUT", "/projects/{red}/users/" + UNKNOWN + "/roles/{member}", None, 404, "Could not find user"),
    Wrong("PUT", "/projects/" + UNKNOWN + "/users/{ann}/roles/{member}", None, 404, "Could not find project"),
    Wrong("PUT", "/domains/{red}/users/{ann}/roles/{member}", None, 404, "Could not find domain"),
    Wrong("DELETE", "/projects/{red}/users/{bob}/roles/{member}", None, 404, "role assignment"),
    Wrong("PUT", "/groups/" + UNKNOWN + "/users/{ann}", None, 404, "Could not find group"),
    Wrong("GET", "/users/" + UNKNOWN, None, 404, "Could not find user"),
    Wrong("GET", "/domains/{red}", None, 404, "Could not find domain"),
    Wrong("DELETE", "/domains/default", None, 403, "disable it first"),
    Wrong("GET", "/nothing", None, 404, "could not be found"),
    Wrong("PUT", "/users", None, 405, "not allowed"),
    # what belongs to others
    Wrong("PATCH", "/users/{bob}", {"user": {"name": "x"}}, 403, "identity:update_user", "ann"),
    Wrong("PATCH", "/users/{ann}", {"user": {"enabled": False}}, 403, "identity:update_user", "ann"),
    Wrong("DELETE", "/users/{bob}", None, 403, "identity:delete_user", "ann"),
    Wrong("PATCH", "/projects/{red}", {"project": {"name": "x"}}, 403, "identity:update_project", "ann"),
    Wrong("DELETE", "/projects/" + UNKNOWN, None, 403, "identity:delete_project", "ann"),
    Wrong("PUT", "/projects/{red}/users/{ann}/roles/{admin}", None, 403, "identity:create_grant", "ann"),
    Wrong("PUT", "/system/users/{ann}/roles/{admin}", None, 403, "identity:create_system_grant_for_user", "ann"),
    Wrong("PUT", "/roles/{member}/implies/{manager}", None, 403, "identity:create_implied_role", "ann"),
    Wrong("GET", "/users/{bob}/application_credentials", None, 403, "list_application_credentials", "ann"),
    P("/credentials", {"credential": {"user_id": "{bob}", "type": "cert", "blob": "x"}}, 403, "create_credential", "ann"),
    P("/users/{bob}/credentials/OS-EC2", {"tenant_id": "{red}"}, 403, "ec2_create_credential", "ann"),
    P("/users/{bob}/password", {"user": {"password": "x", "original_password": "guess"}}, 401, "authentication", "ann"),
    P("/users/{ann}/password", {"user": {"password": "open sesame", "original_password": "open sesame"}}, 400, "differ", "ann"),
    P("/users/{ann}/password", {"user": {"password": "x"}}, 400, "original_password", "ann"),
    P("/users/" + UNKNOWN + "/password", {"user": {"password": "x", "original_password": "y"}}, 401, "authentication"),
    # application credentials
    P(MINE, lent(roles=[{"name": "admin"}]), 400, "admin", "ann"),
    P(MINE, lent(roles=[{"id": UNKNOWN}]), 400, UNKNOWN, "ann"),
    P(MINE, lent(expires_at="tomorrow"), 400, "expires_at", "ann"),
    P(MINE, lent(expires_at="2001-01-01T00:00:00Z"), 400, "expires_at", "ann"),
    P(MINE, lent(unrestricted="yes"), 400, "unrestricted", "ann"),
    P(MINE, lent(access_rules=[{"service": "compute", "method": "BREW", "path": "/"}]), 400, "method", "ann"),
    P(MINE, lent(access_rules=[{"service": "compute"}]), 400, "access_rules", "ann"),
    P(MINE, lent(access_rules=[{"id": UNKNOWN}]), 404, "access rule", "ann"),
    # logins
    P("/auth/tokens", b"", 400, "JSON body is required"),
    P("/auth/tokens", {}, 400, "auth"),
    P("/auth/tokens", {"auth": {}}, 400, "identity"),
    P("/auth/tokens", login(methods=[]), 400, "methods"),
    P("/auth/tokens", login(methods="password"), 400, "methods"),
    P("/auth/tokens", login(methods=["password"]), 400, "password"),
    P("/auth/tokens", login(methods=["telepathy"]), 401, "telepathy"),
    P("/auth/tokens", login(methods=["password"], password={"user": {"name": "ann", "password": "x"}}), 400, "domain"),
    P("/auth/tokens", login(methods=["password"], password={"user": {"password": "x"}}), 400, "user"),
    P("/auth/tokens", login(methods=["password"], password={"user": {"id": "{ann}"}}), 400, "password"),
    P("/auth/tokens", login(methods=["password"], password={"user": {"id": "{ann}", "password": 1}}), 400, "password"),
    P("/auth/tokens", login(methods=["password"], password={"user": {"id": "{ann}", "password": "x"}}), 401, "authentication"),
    P("/auth/tokens", login(methods=["token"], token={"id": "{forged}"}), 404, "token"),
    P("/auth/tokens", login(methods=["application_credential"], application_credential={"id": "x", "secret": "y"}), 401, ""),
    P("/auth/tokens", login(methods=["application_credential"], application_credential={"name": "x", "secret": "y"}), 400,
      "application_credential"),
    P("/auth/tokens", scoped({"project": {"name": "red"}}), 400, "domain"),
    P("/auth/tokens", scoped({"project": {"id": UNKNOWN}}), 401, ""),
    P("/auth/tokens", scoped({"project": {"id": "{blue}"}}), 401, "no access"),
    P("/auth/tokens", scoped({"project": {"id": "default"}}), 401, "no access"),
    P("/auth/tokens", scoped({"domain": {"id": "{red}"}}), 401, ""),
    P("/auth/tokens", scoped({"system": {}}), 400, "system"),
    P("/auth/tokens", scoped({"system": {"all": True}, "domain": {"id": "default"}}), 400, "scope"),
    P("/auth/tokens", scoped("everything"), 400, "scope"),
    # tokens
    Wrong("GET", "/users", None, 401, "authentication", "nobody"),
    Wrong("GET", "/users", None, 401, "authentication", "forged"),
    Wrong("GET", "/users", None, 401, "authentication", "expired"),
    Wrong("GET", "/users", None, 401, "authentication", "revoked"),
    P("/users", user(), 401, "authentication", "forged"),
    Wrong("DELETE", "/auth/tokens", None, 404, "token"),
]  # fmt: skip


class Stage:
    """Two projects, two users, a domain, and tokens good and bad."""

    def __init__(self, people: People) -> None:
        self.people = people
        red, blue = people.project("red"), people.project("blue")
        old, expired = people.member("old", red)
        people.cloud.now += 3000
        _, revoked = people.member("mallory", red)
        people.client(revoked).delete("/auth/tokens", headers={"X-Subject-Token": revoked})
        ann, token = people.member("ann", red)
        bob = people.user("bob")
        acme = people.domain("acme")
        people.cloud.now += 1000
        people.admin = people.client(people.token(people.login(people.admin_login, people.admin_scope)))
        [service] = people.admin.get("/services?type=compute").json()["services"]
        forged = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
        self.ids = {
            "red": red, "blue": blue, "ann": ann, "bob": bob, "acme": acme, "nova": service["id"], "old": old,
            "forged": forged, **people.roles,
        }  # fmt: skip
        self.clients = {"admin": people.admin, "nobody": people.client("")} | {
            name: people.client(one)
            for name, one in {"ann": token, "forged": forged, "expired": expired, "revoked": revoked}.items()
        }

    def fill(self, value: Any) -> Any:
        match value:
            case str():
                for name, id in self.ids.items():
                    value = value.replace(f"{{{name}}}", id)
                return value
            case dict():
                return {key: self.fill(inner) for key, inner in value.items()}
            case list():
                return [self.fill(inner) for inner in value]
        return value


def test_wrong_requests_are_refused_and_change_nothing(people: People) -> None:
    stage = Stage(people)
    before = people.dump()
    failures = []
    for case in CASES:
        body: dict[str, Any] = {}
        if case.body is not None:
            body = {"content": case.body} if isinstance(case.body, bytes) else {"json": stage.fill(case.body)}
        answer = stage.clients[case.who].request(case.method, stage.fill(case.path), **body)
        error = answer.json().get("error", {})
        fits = set(error) == {"code", "message", "title"} and error["code"] == answer.status_code == case.status
        if not fits or case.says not in error["message"]:
            failures.append(f"{case.method} {case.path} {case.body} by {case.who}: {answer.status_code} {answer.text}")
        if people.dump() != before:
            failures.append(f"{case.method} {case.path} {case.body} by {case.who}: something has changed")
            before = people.dump()
    assert not failures, "\n".join(failures)
    assert len(CASES) >= 40


@pytest.mark.parametrize("who", ["nobody", "forged", "expired", "revoked"])
def test_a_bad_token_opens_no_call_that_is_not_public(people: People, who: str) -> None:
    from wolke.identity.service import identity

    client = Stage(people).clients[who]
    for call in identity.calls:
        if not call.public:
            path = call.path.replace("{", "").replace("}", "").removeprefix("/v3")
            assert client.request(call.method, path).status_code == 401, call
