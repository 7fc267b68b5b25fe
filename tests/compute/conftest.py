"""A cloud with an image, a network and a host, so that servers can run."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import RED, Cloud
from wolke.image.store import Store
from wolke.image.table import Image

Json = dict[str, Any]
API = "/compute/v2.1"


def image(cloud: Cloud, content: bytes = b"a disk", **columns: Any) -> str:
    """An image whose bytes are there."""
    fresh: Json = {
        "id": str(uuid.uuid4()), "project_id": RED, "name": "tiny", "visibility": "public", "disk_format": "raw",
        "container_format": "bare", "data": "active", "size": len(content), "virtual_size": len(content),
        "os_hash_value": hashlib.sha512(content).hexdigest(), "created_at": cloud.now, "updated_at": cloud.now,
    }  # fmt: skip
    made = Image(**{**fresh, **columns})
    cloud.app.part(Store).path(made.id).write_bytes(content)
    with cloud.app.database.transaction() as db:
        db.add(made)
    return made.id


class Site:
    """What every server test needs: ids, and the calls in few words."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.image = image(cloud)
        net = cloud.member.post("/network/v2.0/networks", json={"network": {"name": "red-net"}})
        assert net.status_code == 201, net.text
        self.network: str = net.json()["network"]["id"]
        subnet = {"network_id": self.network, "cidr": "10.0.0.0/16", "ip_version": 4}
        made = cloud.member.post("/network/v2.0/subnets", json={"subnet": subnet})
        assert made.status_code == 201, made.text

    def body(self, **changes: Any) -> Json:
        return {"server": {"name": "web", "flavorRef": "42", "imageRef": self.image, **changes}}

    def post(self, client: Any = None, version: str = "2.1", **changes: Any) -> Any:
        headers = {"OpenStack-API-Version": f"compute {version}"}
        return (client or self.cloud.member).post(f"{API}/servers", json=self.body(**changes), headers=headers)

    def create(self, client: Any = None, **changes: Any) -> str:
        """The id of a new server, as the API has just taken it."""
        answer = self.post(client, **changes)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["server"]["id"])

    def run(self, **changes: Any) -> str:
        """The id of a server that runs."""
        if not self.cloud.hosts:
            self.cloud.add_host("h1")
        id = self.create(**changes)
        self.cloud.settle()
        assert self.show(id)["status"] == "ACTIVE"
        return id

    def show(self, id: str, client: Any = None, version: str = "2.1") -> Json:
        headers = {"OpenStack-API-Version": f"compute {version}"}
        answer = (client or self.cloud.member).get(f"{API}/servers/{id}", headers=headers)
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["server"])

    def act(self, id: str, name: str, body: Any = None, client: Any = None, version: str = "2.1") -> Any:
        headers = {"OpenStack-API-Version": f"compute {version}"}
        return (client or self.cloud.member).post(f"{API}/servers/{id}/action", json={name: body}, headers=headers)


@pytest.fixture
def site(cloud: Cloud) -> Site:
    return Site(cloud)


@pytest.fixture
def at() -> Callable[[str], dict[str, str]]:
    """``headers=at("2.47")``"""
    return lambda version: {"OpenStack-API-Version": f"compute {version}"}
