"""A client that costs next to nothing: one kept connection, the standard library alone."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit


class Refused(Exception):
    """The API answered with an error."""


class Client:
    """The API as one user of one project."""

    def __init__(self, url: str, username: str, password: str, project: str) -> None:
        where = urlsplit(url)
        self.connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=120)
        domain = {"id": "default"}
        user = {"name": username, "domain": domain, "password": password}
        self.login_body = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"name": project, "domain": domain}},
            }
        }
        self.headers = {"Content-Type": "application/json"}
        self.project_id = self.login()["token"]["project"]["id"]

    def login(self) -> Any:
        """A fresh token by password."""
        answer, headers = self.exchange("POST", "/identity/v3/auth/tokens", self.login_body)
        self.headers["X-Auth-Token"] = headers["X-Subject-Token"]
        return answer

    def exchange(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[Any, Any]:
        """Answer's body and headers.

        Raises
        ------
        Refused: the status is an error's
        """
        sent = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        self.connection.request(method, path, sent, {**self.headers, **headers})
        reply = self.connection.getresponse()
        said = reply.read()
        if reply.status >= 400:
            raise Refused(f"{method} {path}: {reply.status} {said[:400].decode(errors='replace')}")
        is_json = reply.headers.get("Content-Type", "").startswith("application/json")
        return (json.loads(said) if said and is_json else said), reply.headers

    def raw(self, method: str, path: str, **headers: str) -> bytes:
        """The body as it came, so that reading it is not in the figure."""
        self.connection.request(method, path, None, {**self.headers, **headers})
        reply = self.connection.getresponse()
        said = reply.read()
        if reply.status >= 400:
            raise Refused(f"{method} {path}: {reply.status} {said[:400].decode(errors='replace')}")
        return said

    def get(self, path: str) -> Any:
        return self.exchange("GET", path)[0]

    def post(self, path: str, body: Any) -> Any:
        return self.exchange("POST", path, body)[0]

    def put(self, path: str, body: Any = None) -> Any:
        return self.exchange("PUT", path, body)[0]

    def delete(self, path: str) -> None:
        self.exchange("DELETE", path)
