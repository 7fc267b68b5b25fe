"""``people``: the cloud with real logins, and ways to make projects, users and tokens in it."""

from __future__ import annotations

from typing import Any

import pytest
from httpx2 import Response
from sqlalchemy import select
from starlette.testclient import TestClient

from tests.conftest import Cloud
from wolke.core.db import Base
from wolke.identity.table import Role
from wolke.identity.tokens import Tokens

V3 = "/identity/v3"
Json = dict[str, Any]


class People:
    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        cloud.app.authenticate = cloud.app.part(Tokens).authenticate
        self.password = (cloud.app.config.state_path / "admin.password").read_text().strip()
        self.admin_login = {"user": {"name": "admin", "domain": {"id": "default"}, "password": self.password}}
        self.admin_scope = {"project": {"name": "admin", "domain": {"name": "Default"}}}
        self.admin = self.client(self.token(self.login(self.admin_login, self.admin_scope)))
        with cloud.app.database.read() as db:
            self.roles = {role.name: role.id for role in db.scalars(select(Role))}

    # Logging in ----------------------------------------------------------------------------------------------------
    def client(self, token: str, **headers: str) -> TestClient:
        base = f"http://testserver{V3}"
        return TestClient(
            self.cloud.web, base_url=base, headers={"X-Auth-Token": token, **headers}, raise_server_exceptions=False
        )

    def auth(self, identity: Json, scope: Any = None) -> Response:
        body: Json = {"auth": {"identity": identity}}
        if scope is not None:
            body["auth"]["scope"] = scope
        return self.cloud.nobody.post(f"{V3}/auth/tokens", json=body)

    def login(self, password: Json, scope: Any = None) -> Response:
        return self.auth({"methods": ["password"], "password": password}, scope)

    def enter(self, user_id: str, scope: Any = None, password: str = "open sesame") -> Response:
        return self.login({"user": {"id": user_id, "password": password}}, scope)

    @staticmethod
    def token(answer: Response) -> str:
        assert answer.status_code == 201, answer.text
        return answer.headers["X-Subject-Token"]

    def works(self, token: str) -> bool:
        """Whether a token is still good for a call that everybody may make."""
        answer = self.client(token).get("/auth/projects")
        assert answer.status_code in (200, 401), answer.text
        return answer.status_code == 200

    # Making things -------------------------------------------------------------------------------------------------
    def make(self, path: str, kind: str, client: TestClient | None = None, **fields: Any) -> Json:
        answer = (client or self.admin).post(path, json={kind: fields})
        assert answer.status_code == 201, answer.text
        return answer.json()[kind]

    def project(self, name: str, **fields: Any) -> str:
        return self.make("/projects", "project", name=name, **fields)["id"]

    def domain(self, name: str) -> str:
        return self.make("/domains", "domain", name=name)["id"]

    def user(self, name: str, **fields: Any) -> str:
        return self.make("/users", "user", **{"name": name, "password": "open sesame"} | fields)["id"]

    def group(self, name: str, *users: str, **fields: Any) -> str:
        id = self.make("/groups", "group", name=name, **fields)["id"]
        for user in users:
            assert self.admin.put(f"/groups/{id}/users/{user}").status_code == 204
        return id

    def give(self, role: str, where: str, *, inherited: bool = False) -> None:
        """``give("member", "projects/ID/users/ID")``"""
        id = self.roles.get(role, role)
        tail = "/inherited_to_projects" if inherited else ""
        url = f"{'/OS-INHERIT' if inherited else ''}/{where}/roles/{id}{tail}"
        assert self.admin.put(url).status_code == 204

    def take(self, role: str, where: str) -> None:
        assert self.admin.delete(f"/{where}/roles/{self.roles.get(role, role)}").status_code == 204

    def member(self, name: str, project: str, *roles: str) -> tuple[str, str]:
        """A user with roles on a project, and a token of his for it."""
        user = self.user(name)
        for role in roles or ("member",):
            self.give(role, f"projects/{project}/users/{user}")
        return user, self.token(self.enter(user, {"project": {"id": project}}))

    def dump(self) -> dict[str, list[Any]]:
        """All rows of all tables, to see that nothing has changed."""
        with self.cloud.app.database.read() as db:
            return {
                name: sorted(map(repr, db.execute(select(table)).all())) for name, table in Base.metadata.tables.items()
            }


@pytest.fixture
def people(cloud: Cloud) -> People:
    return People(cloud)
