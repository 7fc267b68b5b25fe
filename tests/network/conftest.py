"""``net``: the cloud's Network API in a few words."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.conftest import Cloud
from tests.network.doorman import Doorman

BASE = "/network/v2.0"


class Net:
    """``net.create("network", name="red")`` as the member; ``by=cloud.admin`` as somebody else."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def send(self, method: str, path: str, *, by: TestClient | None = None, **options: Any) -> Any:
        return (by or self.cloud.member).request(method, f"{BASE}/{path}", **options)

    def create(self, kind: str, *, by: TestClient | None = None, **body: Any) -> Any:
        answer = self.send("POST", f"{kind.replace('_', '-')}s", by=by, json={kind: body})
        assert answer.status_code == 201, answer.text
        return answer.json()[kind]

    def show(self, kind: str, id: str, *, by: TestClient | None = None) -> Any:
        answer = self.send("GET", f"{kind.replace('_', '-')}s/{id}", by=by)
        assert answer.status_code == 200, answer.text
        return answer.json()[kind]

    def update(self, kind: str, id: str, *, by: TestClient | None = None, **body: Any) -> Any:
        answer = self.send("PUT", f"{kind.replace('_', '-')}s/{id}", by=by, json={kind: body})
        assert answer.status_code == 200, answer.text
        return answer.json()[kind]

    def delete(self, kind: str, id: str, *, by: TestClient | None = None) -> None:
        answer = self.send("DELETE", f"{kind.replace('_', '-')}s/{id}", by=by)
        assert answer.status_code == 204, answer.text

    def list(self, kinds: str, query: str = "", *, by: TestClient | None = None) -> Any:
        answer = self.send("GET", f"{kinds}?{query}", by=by)
        assert answer.status_code == 200, answer.text
        return answer.json()[kinds.replace("-", "_")]

    def refused(self, method: str, path: str, status: int, type: str, **options: Any) -> str:
        """The message of a refusal, which must have this status and Neutron's name of the error."""
        answer = self.send(method, path, **options)
        assert (answer.status_code, answer.json().get("NeutronError", {}).get("type")) == (status, type), answer.text
        return str(answer.json()["NeutronError"]["message"])

    def network(self, **body: Any) -> Any:
        return self.create("network", **{"name": "red", **body})

    def subnet(self, network: Any, cidr: str = "10.0.0.0/24", **body: Any) -> Any:
        return self.create(
            "subnet", network_id=network["id"], cidr=cidr, **{"ip_version": 6 if ":" in cidr else 4, **body}
        )

    def port(self, network: Any, **body: Any) -> Any:
        return self.create("port", network_id=network["id"], **body)


@pytest.fixture
def net(cloud: Cloud) -> Net:
    return Net(cloud)


@pytest.fixture
def door(cloud: Cloud) -> Doorman:
    return Doorman(cloud)


@pytest.fixture
def public(net: Net, cloud: Cloud) -> Any:
    made = net.network(
        name="public", by=cloud.admin, **{"router:external": True, "provider:network_type": "flat", "provider:physical_network": "public"}
    )  # fmt: skip
    made["subnet"] = net.subnet(made, "198.51.100.0/24", by=cloud.admin)
    return made
