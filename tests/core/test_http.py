"""The way in and out: bodies, versions, refusals, audit, what a failure leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from anyio import CapacityLimiter
from sqlalchemy import func, select, text
from starlette.requests import Request
from starlette.responses import Response
from starlette.testclient import TestClient

from tests.conftest import Cloud
from wolke.core.endpoint import covers, router
from wolke.core.errors import TooSlow
from wolke.core.events import Event
from wolke.core.http import Ctx, Edge, Service, whole
from wolke.image.table import Image

URL = "/image/v2/images"


def count(cloud: Cloud, table: type) -> int:
    with cloud.app.database.read() as db:
        return db.scalar(select(func.count()).select_from(table)) or 0


def test_every_answer_bears_a_request_id(cloud: Cloud) -> None:
    for answer in (cloud.member.get(URL), cloud.nobody.get(URL), cloud.member.get("/image/nowhere")):
        assert answer.headers["x-openstack-request-id"].startswith("req-")


def test_a_write_and_its_audit_event_are_there_together(cloud: Cloud) -> None:
    before = count(cloud, Event)
    answer = cloud.member.post(URL, json={"name": "a"})
    with cloud.app.database.read() as db:
        event = db.scalars(select(Event).order_by(Event.id.desc())).first()
    assert event and count(cloud, Event) == before + 1
    assert (event.rule, event.kind, event.target_id) == ("add_image", "image", answer.json()["id"])
    assert (event.user_id, event.request_id) == ("user-member", answer.headers["x-openstack-request-id"])


def test_a_refused_write_leaves_nothing(cloud: Cloud) -> None:
    before = count(cloud, Event), count(cloud, Image)
    assert cloud.reader.post(URL, json={"name": "a"}).status_code == 403
    assert cloud.member.post(URL, json={"name": "a", "visibility": "public"}).status_code == 403
    assert (count(cloud, Event), count(cloud, Image)) == before


def test_bodies_that_are_no_json_or_too_large(cloud: Cloud) -> None:
    assert cloud.member.post(URL, content=b"{").status_code == 400
    assert cloud.member.post(URL, content=b"").status_code == 400
    assert cloud.member.post(URL, content=b"\xff\xfe").status_code == 400
    assert cloud.member.post(URL, content=b" " * (cloud.app.config.max_body + 1)).status_code == 413


def test_no_field_holds_a_nul(cloud: Cloud) -> None:
    """SQLite would keep it, PostgreSQL and OVN do not: the row would never get there."""
    url = "/network/v2.0/networks"
    network = cloud.member.post(url, json={"network": {"name": "back\\u0000slash"}}).json()["network"]
    assert network["name"] == "back\\u0000slash"
    for field, value in (
        ("binding:host_id", "a\0b"),
        ("binding:profile", {"a": ["x", "\0"]}),
        ("binding:profile", {"\0": 1}),
        ("allowed_address_pairs", [{"ip_address": "10.0.0.1", "mac_address": "\0"}]),
    ):
        body = {"port": {"network_id": network["id"], field: value}}
        answer = cloud.admin.post("/network/v2.0/ports", json=body)
        assert answer.status_code == 400 and f"port.{field}" in answer.text, answer.text


@pytest.mark.parametrize("levels", [200, 900, 5000, 100_000])
def test_bodies_are_not_nested_without_end(cloud: Cloud, levels: int) -> None:
    network = cloud.member.post("/network/v2.0/networks", json={"network": {}}).json()["network"]
    for left, right in (('{"a":', "}"), ("[", "]")):
        profile = '{"x":' + left * levels + "1" + right * levels + "}"
        body = f'{{"port": {{"network_id": "{network["id"]}", "binding:profile": {profile}}}}}'
        answer = cloud.admin.post("/network/v2.0/ports", content=body)
        assert answer.status_code == 400 and "nested" in answer.text, answer.text


def test_unknown_paths_and_methods_speak_the_service_s_language(cloud: Cloud) -> None:
    assert cloud.member.get("/image/v2/nothing").json()["code"] == "404 Not Found"
    assert cloud.member.patch("/image/v2/schemas/image").json()["code"] == "405 Method Not Allowed"


def test_tokens_that_are_missing_or_wrong(cloud: Cloud) -> None:
    assert cloud.nobody.get(URL).status_code == 401
    answer = cloud.client("forged").get(URL)
    assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Keystone")


def test_access_rule_patterns() -> None:
    assert covers("/v2.1/servers", "/v2.1/servers") and not covers("/v2.1/servers", "/v2.1/servers/1")
    assert covers("/v2.1/servers/{id}", "/v2.1/servers/1") and covers("/**", "/anything/at/all")


def test_health_and_openapi(cloud: Cloud) -> None:
    assert cloud.nobody.get("/healthz").json() == {"status": "ok"}
    document = cloud.nobody.get("/openapi.json").json()
    assert document["paths"]["/image/v2/images"]["post"]["x-rule"] == "add_image"


def probe(cloud: Cloud, declare: Callable[[Service], None]) -> TestClient:
    """A client of a service that has only the calls of one test."""
    service = Service("probe", "/probe", lambda error, status: {"error": str(error)})
    declare(service)
    return TestClient(router(cloud.app, service, CapacityLimiter(2)), headers={"X-Auth-Token": "member"})


def test_an_edge_call_that_writes_without_audit_is_an_error_of_ours(cloud: Cloud) -> None:
    def declare(service: Service) -> None:
        @service.edge("PUT", "/silent", rule="get_images")
        async def silent(edge: Edge) -> Response:
            return Response(status_code=204)

        @service.edge("PUT", "/unasked", rule="get_images")
        async def unasked(edge: Edge) -> Response:
            await edge.write(lambda ctx: None)
            return Response(status_code=204)

    before = count(cloud, Event)
    client = probe(cloud, declare)
    assert client.put("/silent").status_code == 500 and client.put("/unasked").status_code == 500
    assert count(cloud, Event) == before


def test_errors_tell_the_log_nothing_of_what_was_written(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    secret = "hunter" + str(2)  # a traceback shows the lines of this test

    def declare(service: Service) -> None:
        @service.call("POST", "/break", rule="get_images")
        def broken(ctx: Ctx) -> None:
            ctx.db.execute(text("INSERT INTO nowhere VALUES (:secret)"), {"secret": secret})

        @service.call("POST", "/huge", rule="get_images")
        def huge(ctx: Ctx) -> None:
            ctx.db.execute(select(Image.id).where(Image.min_ram == 2**70))

    client = probe(cloud, declare)
    assert client.post("/break").status_code in (500, 503)
    assert client.post("/huge").status_code in (400, 500)
    assert secret not in caplog.text


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    pieces = [{"type": "http.request", "body": b"{", "more_body": True}]

    async def receive() -> dict[str, Any]:
        return pieces.pop() if pieces else await asyncio.get_running_loop().create_future()

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    with pytest.raises(TooSlow):
        asyncio.run(whole(request, 100, seconds=0.01))
