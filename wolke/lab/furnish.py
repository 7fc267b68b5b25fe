"""What a fresh cloud in the lab gets through its own public API: the demo project, the public network, ``clouds.yaml``.

API: https://docs.openstack.org/api-ref/identity/v3/, https://docs.openstack.org/api-ref/network/v2/
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import yaml

from wolke.lab.node import LabError
from wolke.lab.waiting import wait_for

if TYPE_CHECKING:
    from wolke.lab.lab import Lab

PUBLIC = {
    "name": "public",
    "router:external": True,
    "provider:network_type": "flat",
    "provider:physical_network": "public",
}
SUBNETS: list[dict[str, Any]] = [
    {
        "name": "public-v4", "ip_version": 4, "cidr": "198.51.100.0/24", "gateway_ip": "198.51.100.1", "enable_dhcp": False,
        "allocation_pools": [{"start": "198.51.100.10", "end": "198.51.100.199"}],
    },
    {"name": "public-v6", "ip_version": 6, "cidr": "2001:db8::/64", "gateway_ip": "2001:db8::1", "enable_dhcp": False},
]  # fmt: skip


class Api:
    """The cloud's public API as one user in one project."""

    def __init__(self, url: str, username: str, password: str, project: str) -> None:
        self.client = httpx2.Client(base_url=url, timeout=60, trust_env=False)
        domain = {"name": "Default"}
        user = {"name": username, "domain": domain, "password": password}
        scope = {"project": {"name": project, "domain": domain}}
        auth = {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}
        reply = self._call("POST", "/identity/v3/auth/tokens", json={"auth": auth})
        self.client.headers["X-Auth-Token"] = reply.headers["X-Subject-Token"]

    def _call(self, method: str, path: str, **more: Any) -> httpx2.Response:
        try:
            reply = self.client.request(method, path, **more)
        except httpx2.HTTPError as error:
            raise LabError(f"{method} {path}: {error}") from error
        if reply.is_error:
            raise LabError(f"{method} {path}: {reply.status_code} {reply.text[:500]}")
        return reply

    def call(self, method: str, path: str, **body: Any) -> Any:
        """The answer to a call with this JSON, parsed; None where it has none. Raises LabError: it is refused."""
        reply = self._call(method, path, **({"json": body} if body else {}))
        return reply.json() if reply.content else None

    def get(self, path: str, **query: str) -> Any:
        return self._call("GET", path, params=query).json()

    def put(self, path: str) -> None:
        self._call("PUT", path)

    def delete(self, path: str) -> None:
        self._call("DELETE", path)

    def ensure(self, path: str, kind: str, wanted: dict[str, Any], **owner: str) -> dict[str, Any]:
        """The thing of that name, made when there is none."""
        found = self.get(path, name=wanted["name"], **owner)[f"{kind}s"]
        if found:
            return dict(found[0])
        return dict(self.call("POST", path, **{kind: wanted})[kind])

    def member(self, name: str, password: str) -> dict[str, Any]:
        """The project of that name, with a member of the same name; an operator's call. What is there is left as it is."""
        project = self.ensure("/identity/v3/projects", "project", {"name": name, "domain_id": "default"})
        user = {"name": name, "password": password, "domain_id": "default", "default_project_id": project["id"]}
        user = self.ensure("/identity/v3/users", "user", user)
        [role] = self.get("/identity/v3/roles", name="member")["roles"]
        self.put(f"/identity/v3/projects/{project['id']}/users/{user['id']}/roles/{role['id']}")
        return project


def administrator(lab: Lab) -> Api:
    return Api(lab.url, "admin", admin_password(lab), "admin")


def admin_password(lab: Lab) -> str:
    """As ``wolke init`` left it."""
    return (lab.directory / "state" / "admin.password").read_text().strip()


def wait_for_hosts(lab: Lab, seconds: float = 60) -> None:
    """Every host has joined and tells what it sees."""
    api = administrator(lab)
    names = {host.name for host in lab.hosts}

    def up() -> set[str]:
        shown = api.get("/compute/v2.1/os-hypervisors/detail")["hypervisors"]
        return {hypervisor["hypervisor_hostname"] for hypervisor in shown if hypervisor["state"] == "up"}

    if not wait_for(lambda: names <= up(), seconds, every=0.2):
        logs = ", ".join(str(lab.daemons.log(f"{name}/agent")) for name in sorted(names - up()))
        raise LabError(f"hosts that did not join within {seconds:.0f} s; see {logs}")


def furnish(lab: Lab) -> None:
    """Safe to repeat: what has its name is left as it is."""
    api = administrator(lab)
    file = lab.directory / "clouds.yaml"
    known = yaml.safe_load(file.read_text())["clouds"] if file.exists() else {}
    password = known["demo"]["auth"]["password"] if known else secrets.token_urlsafe(12)
    api.member("demo", password)
    network = api.ensure("/network/v2.0/networks", "network", PUBLIC)
    for subnet in SUBNETS:
        api.ensure("/network/v2.0/subnets", "subnet", {**subnet, "network_id": network["id"]}, network_id=network["id"])
    clouds = {
        "admin": entry(lab.url, "admin", admin_password(lab), "admin"),
        "demo": entry(lab.url, "demo", password, "demo"),
    }
    write_secret(file, yaml.safe_dump({"clouds": clouds}, sort_keys=False))


def entry(url: str, username: str, password: str, project: str) -> dict[str, Any]:
    """One cloud of a ``clouds.yaml``."""
    auth = {
        "auth_url": f"{url}/identity/v3", "username": username, "password": password, "project_name": project,
        "user_domain_name": "Default", "project_domain_name": "Default",
    }  # fmt: skip
    return {"auth": auth, "region_name": "RegionOne", "identity_api_version": "3"}


def write_secret(path: Path, text: str) -> None:
    """Write the whole file, readable only by its owner: whoever called sudo."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
        os.fchown(out.fileno(), int(os.environ.get("SUDO_UID", "0")), int(os.environ.get("SUDO_GID", "0")))
    temporary.replace(path)
