"""Wrong input: each request is answered as Nova answers it, and nothing in the database has changed afterwards."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from sqlalchemy import Table, func, select

from tests.compute.conftest import API, Site
from tests.conftest import Cloud
from wolke.core.db import Base

NOWHERE = "6d1f5a39-3a4b-4b4b-9f21-000000000000"
LONG = "a" * 256


def contents(cloud: Cloud) -> dict[str, Any]:
    """How many rows each table has, and all servers' wanted revisions."""
    with cloud.app.database.read() as db:
        counts: dict[str, Any] = {
            table.name: db.scalar(select(func.count()).select_from(table)) for table in Base.metadata.sorted_tables
        }
        server: Table = Base.metadata.tables["server"]
        counts["revisions"] = sorted(map(tuple, db.execute(select(server.c.id, server.c.revision))))
    return counts


def server(**changes: Any) -> Any:
    """The body of a create that is wrong in one place."""
    return lambda site: {**site.body(**changes)}


CREATES = [  # microversion, body, status, a word of the message
    ("2.1", server(name=""), 400, "name"),
    ("2.1", server(name=LONG), 400, "name"),
    ("2.1", server(name=12345), 400, "name"),
    ("2.1", server(name=" web"), 400, "name"),
    ("2.1", server(name="we\x00b"), 400, "name"),
    ("2.1", server(flavorRef="none-such"), 400, "Flavor"),
    ("2.1", server(flavorRef=None), 400, "flavorRef"),
    ("2.1", server(imageRef="not-a-uuid"), 400, "imageRef"),
    ("2.1", server(imageRef=NOWHERE), 400, "image"),
    ("2.1", server(imageRef=""), 400, "imageRef"),
    ("2.36", server(networks="auto"), 400, "networks"),
    ("2.63", server(networks="auto", trusted_image_certificates=["c"]), 400, "trusted_image_certificates"),
    ("2.37", server(networks="some"), 400, "networks"),
    ("2.1", server(networks=[{}]), 400, "uuid"),
    ("2.1", server(networks=[{"uuid": NOWHERE}]), 400, NOWHERE),
    ("2.1", server(networks=[{"port": "x"}]), 400, "port"),
    ("2.1", server(networks=[{"port": NOWHERE}]), 400, NOWHERE),
    ("2.1", lambda s: s.body(networks=[{"uuid": s.network, "fixed_ip": "10.0.0.999"}]), 400, "10.0.0.999"),
    ("2.1", lambda s: s.body(networks=[{"uuid": s.network, "fixed_ip": "192.0.2.1"}]), 400, "192.0.2.1"),
    ("2.1", lambda s: s.body(networks=[{"uuid": s.network, "tag": "t"}]), 400, "tag"),
    ("2.1", server(networks=[{"uuid": NOWHERE, "nonsense": 1}]), 400, "nonsense"),
    ("2.1", server(metadata={"k" * 256: "v"}), 400, "metadata"),
    ("2.1", server(metadata={"k": "v" * 256}), 400, "metadata"),
    ("2.1", server(metadata={"k": 1}), 400, "metadata"),
    ("2.1", server(metadata={f"k{n}": "v" for n in range(129)}), 403, "metadata items"),
    ("2.1", server(user_data="not base64!"), 400, "user_data"),
    ("2.1", server(user_data=base64.b64encode(b"x" * 50000).decode()), 400, "user_data"),
    ("2.1", server(key_name="none-such"), 400, "key_name"),
    ("2.1", server(security_groups=[{"name": "none-such"}]), 400, "none-such"),
    ("2.1", server(min_count=0), 400, "min_count"),
    ("2.1", server(min_count="many"), 400, "min_count"),
    ("2.1", server(min_count=3, max_count=2), 400, "min_count"),
    ("2.1", server(min_count=11), 403, "Quota exceeded for instances"),
    ("2.1", server(availability_zone="nowhere"), 400, "availability zone"),
    ("2.1", server(availability_zone="nova:h1"), 403, "forced_host"),
    ("2.1", server(config_drive="perhaps"), 400, "config_drive"),
    ("2.1", server(accessIPv4="::1"), 400, "accessIPv4"),
    ("2.1", server(accessIPv6="10.0.0.1"), 400, "accessIPv6"),
    ("2.1", server(**{"OS-DCF:diskConfig": "SOME"}), 400, "diskConfig"),
    ("2.1", server(personality=[{"path": "/etc/motd", "contents": "aGk="}]), 400, "personality"),
    ("2.57", server(personality=[], networks="auto"), 400, "personality"),
    ("2.18", server(description="d"), 400, "description"),
    ("2.51", server(tags=["t"], networks="auto"), 400, "tags"),
    ("2.52", server(tags=["a,b"], networks="auto"), 400, "tags"),
    ("2.52", server(tags=["t" * 61], networks="auto"), 400, "tags"),
    ("2.73", server(host="h1", networks="auto"), 400, "host"),
    ("2.74", server(host="h1", networks="auto"), 403, "requested_destination"),
    ("2.89", server(hostname="h", networks="auto"), 400, "hostname"),
    ("2.90", server(hostname="host.example", networks="auto"), 400, "hostname"),
    ("2.1", server(block_device_mapping_v2=[{"source_type": "volume", "uuid": NOWHERE, "boot_index": 0}]), 400, "volumes"),
    ("2.1", server(block_device_mapping=[{"volume_id": NOWHERE}]), 400, "volumes"),
    ("2.1", server(nonsense=1), 400, "nonsense"),
    ("2.1", lambda s: {**s.body(), "os:scheduler_hints": {"group": "not-a-uuid"}}, 400, "group"),
    ("2.1", lambda s: {**s.body(), "os:scheduler_hints": {"group": NOWHERE}}, 400, NOWHERE),
    ("2.1", lambda s: {**s.body(), "os:scheduler_hints": {"different_host": ["x"]}}, 400, "different_host"),
    ("2.1", lambda s: {**s.body(), "nonsense": 1}, 400, "nonsense"),
    ("2.1", lambda s: {}, 400, "server"),
    ("2.1", lambda s: [], 400, "object"),
]  # fmt: skip


@pytest.mark.parametrize(("version", "body", "status", "word"), CREATES)
def test_creates(site: Site, version: str, body: Any, status: int, word: str) -> None:
    before = contents(site.cloud)
    headers = {"OpenStack-API-Version": f"compute {version}"}
    answer = site.cloud.member.post(f"{API}/servers", json=body(site), headers=headers)
    assert answer.status_code == status, answer.text
    [(fault, told)] = answer.json().items()
    assert fault == {400: "badRequest", 403: "forbidden"}[status]
    assert told["code"] == status and word in told["message"], told
    assert contents(site.cloud) == before


OTHERS = [  # method, path, body, status, fault
    ("PUT", "/servers/{id}", {"server": {"name": ""}}, 400, "badRequest"),
    ("PUT", "/servers/{id}", {"server": {"name": LONG}}, 400, "badRequest"),
    ("PUT", "/servers/{id}", {"server": {"accessIPv4": "x"}}, 400, "badRequest"),
    ("PUT", "/servers/{id}", {"server": {"status": "ACTIVE"}}, 400, "badRequest"),
    ("PUT", f"/servers/{NOWHERE}", {"server": {"name": "x"}}, 404, "itemNotFound"),
    ("GET", f"/servers/{NOWHERE}", None, 404, "itemNotFound"),
    ("GET", "/servers/-1", None, 404, "itemNotFound"),
    ("DELETE", f"/servers/{LONG}", None, 404, "itemNotFound"),
    ("DELETE", "/servers", None, 405, "badMethod"),
    ("GET", "/nonsense", None, 404, "itemNotFound"),
    ("POST", "/servers/{id}/action", {}, 400, "badRequest"),
    ("POST", "/servers/{id}/action", {"nonsense": None}, 400, "badRequest"),
    ("POST", "/servers/{id}/action", {"os-start": None, "os-stop": None}, 400, "badRequest"),
    ("POST", "/servers/{id}/action", {"reboot": {}}, 400, "badRequest"),
    ("POST", "/servers/{id}/action", {"reboot": {"type": "MEDIUM"}}, 400, "badRequest"),
    ("POST", "/servers/{id}/action", {"lock": {"locked_reason": "r"}}, 400, "badRequest"),
    ("POST", "/servers/{id}/action", {"addSecurityGroup": {}}, 400, "badRequest"),
    ("POST", "/servers/{id}/action", {"addSecurityGroup": {"name": "none-such"}}, 404, "itemNotFound"),
    ("POST", "/servers/{id}/action", {"os-getVNCConsole": {"type": "spice"}}, 400, "badRequest"),
    ("POST", "/servers/{id}/action", {"os-getConsoleOutput": {"length": "x"}}, 400, "badRequest"),
    ("POST", "/servers/{id}/action", {"resize": {"flavorRef": "2"}}, 501, "notImplemented"),
    ("POST", f"/servers/{NOWHERE}/action", {"reboot": {"type": "HARD"}}, 404, "itemNotFound"),
    ("POST", "/servers/{id}/metadata", {"metadata": {"": "v"}}, 400, "badRequest"),
    ("POST", "/servers/{id}/metadata", {"metadata": None}, 400, "badRequest"),
    ("POST", "/servers/{id}/metadata", {}, 400, "badRequest"),
    ("PUT", "/servers/{id}/metadata/k", {"meta": {"k": "1", "l": "2"}}, 400, "badRequest"),
    ("GET", "/servers/{id}/metadata/none-such", None, 404, "itemNotFound"),
    ("POST", "/servers/{id}/os-interface", {"interfaceAttachment": {"net_id": NOWHERE, "port_id": NOWHERE}}, 400, "badRequest"),
    ("POST", "/servers/{id}/os-interface", {"interfaceAttachment": {"net_id": NOWHERE}}, 400, "badRequest"),
    ("POST", "/servers/{id}/os-interface", {"interfaceAttachment": {"fixed_ips": [{"ip_address": "10.0.0.9"}]}}, 400, "badRequest"),
    ("POST", "/servers/{id}/os-interface", {"interfaceAttachment": {"port_id": "x"}}, 400, "badRequest"),
    ("DELETE", f"/servers/{{id}}/os-interface/{NOWHERE}", None, 404, "itemNotFound"),
    ("GET", "/servers/{id}/ips/none-such", None, 404, "itemNotFound"),
    ("GET", "/servers/{id}/os-instance-actions/req-none", None, 404, "itemNotFound"),
    ("GET", "/servers?limit=none", None, 400, "badRequest"),
    ("GET", "/flavors?limit=-3", None, 400, "badRequest"),
    ("GET", "/flavors?minRam=much", None, 400, "badRequest"),
    ("GET", "/flavors/none-such", None, 404, "itemNotFound"),
    ("POST", "/flavors", {"flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 1}}, 403, "forbidden"),
    ("GET", "/extensions/none-such", None, 404, "itemNotFound"),
    ("GET", "/os-availability-zone/detail", None, 403, "forbidden"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "status", "fault"), OTHERS)
def test_others(site: Site, method: str, path: str, body: Any, status: int, fault: str) -> None:
    id = site.run()
    before = contents(site.cloud)
    answer = site.cloud.member.request(method, API + path.replace("{id}", id), json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()[fault]["code"] == status
    assert contents(site.cloud) == before


FLAVORS: list[dict[str, Any]] = [
    {"name": ""}, {"name": LONG}, {"ram": 0}, {"ram": -1}, {"ram": "much"}, {"vcpus": 0}, {"vcpus": 1.5}, {"disk": -1},
    {"disk": 2**31}, {"swap": -1}, {"rxtx_factor": 0}, {"id": LONG}, {"id": "a/b"}, {"nonsense": 1}, {"description": "d"},
    {"os-flavor-access:is_public": "perhaps"}, {"OS-FLV-EXT-DATA:ephemeral": -1},
]  # fmt: skip


@pytest.mark.parametrize("wrong", FLAVORS)
def test_flavors(cloud: Cloud, wrong: dict[str, Any]) -> None:
    before = contents(cloud)
    body = {"flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 1, **wrong}}
    answer = cloud.admin.post(f"{API}/flavors", json=body)
    assert answer.status_code == 400 and answer.json()["badRequest"]["code"] == 400
    assert contents(cloud) == before


@pytest.mark.parametrize(
    ("version", "status"), [("compute 2.0", 406), ("compute 2.999", 406), ("compute 3.1", 406), ("compute x", 400)]
)
def test_versions_that_there_are_not(cloud: Cloud, version: str, status: int) -> None:
    answer = cloud.member.get(f"{API}/servers", headers={"OpenStack-API-Version": version})
    assert answer.status_code == status
    assert cloud.member.get(f"{API}/servers", headers={"X-OpenStack-Nova-API-Version": "2.999"}).status_code == 406


def test_tokens(cloud: Cloud) -> None:
    assert cloud.nobody.get(f"{API}/servers").status_code == 401
    forged = cloud.nobody.get(f"{API}/servers", headers={"X-Auth-Token": "forged"})
    assert forged.status_code == 401 and forged.json()["error"]["code"] == 401


@pytest.mark.parametrize("raw", [b"", b"{", b"null", b"\xff\xfe", b'{"server": ' * 50])
def test_what_is_no_json_at_all(cloud: Cloud, raw: bytes) -> None:
    before = contents(cloud)
    for path in ("/servers", "/os-keypairs", f"/servers/{NOWHERE}/action"):
        answer = cloud.member.post(API + path, content=raw, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, answer.text
    assert contents(cloud) == before
