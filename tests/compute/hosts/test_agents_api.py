"""The agents' API: who bears which certificate sees which slice; no other listener has it."""

from __future__ import annotations

import asyncio
import dataclasses
import time

import httpx2
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from sqlalchemy import text, update
from starlette.testclient import TestClient

from tests.compute.hosts.certificates import request
from wolke.compute.hosts import agents as module
from wolke.compute.hosts.agents import Agents
from wolke.compute.hosts.joining import new_token
from wolke.compute.hosts_table import bump
from wolke.compute.servers.table import Server
from wolke.core.pki import authority, new_authority
from wolke.wire import seen
from wolke.wire.wanted import Wanted

PEM = serialization.Encoding.PEM


class Listener:
    """The agents' listener, without TLS around it: the scope says which certificate TLS has checked."""

    def __init__(self, cloud):
        self.cloud = cloud
        with cloud.app.database.transaction() as db:
            self.ca = authority(db, cloud.app.vault)
        self.agents = Agents(cloud.app, self.ca)

    def app(self, pem):
        async def with_certificate(scope, receive, send):
            scope["extensions"] = {"tls": {"client_cert_chain": [pem] if pem else []}}
            await self.agents.app(scope, receive, send)

        return with_certificate

    def bearing(self, pem: str = "") -> TestClient:
        return TestClient(self.app(pem), raise_server_exceptions=False)

    def join(self, host: str) -> TestClient:
        body = {"token": new_token(self.cloud.app, host), "host": host, "csr": request(host)}
        answer = self.bearing().post("/agent/v1/join", json=body)
        assert answer.status_code == 201, answer.text
        return self.bearing(answer.json()["certificate"])


@pytest.fixture
def listener(cloud):
    return Listener(cloud)


def slice_for(client) -> Wanted:
    answer = client.get("/agent/v1/wanted?after=0")
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=Wanted)


def test_hosts_see_their_own_slice_and_images(cloud, farm, listener):
    clients = {name: listener.join(name) for name in ("h1", "h2")}
    for name in clients:
        cloud.add_host(name)
    images = {name: farm.image(name.encode()) for name in clients}
    servers = {name: farm.server(host_wanted=name, image=images[name]) for name in clients}
    cloud.settle()
    for name, client in clients.items():
        assert [server.id for server in slice_for(client).servers] == [servers[name]]
        assert client.get(f"/agent/v1/images/{images[name]}/file").content == name.encode()
        other = images["h2" if name == "h1" else "h1"]
        assert client.get(f"/agent/v1/images/{other}/file").status_code == 404
    assert clients["h1"].get("/agent/v1/images/..%2fmaster.key/file").status_code == 404


def test_a_host_tells_its_own_picture_only(cloud, listener):
    h1 = listener.join("h1")
    cloud.add_host("h1")
    picture = msgspec.json.encode(cloud.hosts["h1"].agent.sent)
    assert h1.put("/agent/v1/seen", content=picture).status_code == 204
    assert h1.put("/agent/v1/seen", content=picture.replace(b'"host":"h1"', b'"host":"h2"')).status_code == 403
    assert h1.put("/agent/v1/seen", content=b'{"host": "h1"}').status_code == 400


def test_the_last_word_of_a_host_that_was_taken_out_does_not_bring_it_back(cloud, listener):
    """Its certificate was good when the report came in, and the host gone when it was to be written."""
    client = listener.join("h1")
    write = listener.agents._record

    def late(picture):
        assert cloud.admin.delete("/wolke/v1/hosts/h1").status_code == 204
        write(picture)

    listener.agents._record = late
    capacity = seen.Capacity(vcpus=1, ram_mib=1, disk_gib=1)
    picture = seen.Seen(
        host="h1", agent="0", revision=0, capacity=capacity, chassis="h1", hypervisor="qemu", address="h1:1"
    )
    assert client.put("/agent/v1/seen", content=msgspec.json.encode(picture)).status_code == 410
    assert cloud.admin.get("/wolke/v1/hosts").json()["hosts"] == []


def test_a_host_can_say_nothing_of_anothers_servers(cloud, farm, listener):
    """Neither what they do nor that they are gone: a host that was broken into is one host."""
    clients = {name: listener.join(name) for name in ("h1", "h2")}
    for name in clients:
        cloud.add_host(name)
    victim = farm.server(host_wanted="h2")
    cloud.settle()
    state = "SELECT seen_state, seen_error, seen_machine, seen_password, deleted_at, host FROM server"
    with cloud.app.database.transaction() as db:
        db.execute(update(Server).where(Server.id == victim).values(deleting=True))
        before = db.execute(text(state)).all()
    lie = seen.Server(id=victim, revision=99, state=seen.State.CRASHED, boot=9, error="gone", password="mine")
    told = dataclasses.replace(cloud.hosts["h1"].agent.sent, servers=(lie,), removed=(victim,))
    assert clients["h1"].put("/agent/v1/seen", content=msgspec.json.encode(told)).status_code == 204
    with cloud.app.database.read() as db:
        assert db.execute(text(state)).all() == before


CALLS = [
    ("GET", "/agent/v1/wanted"),
    ("PUT", "/agent/v1/seen"),
    ("POST", "/agent/v1/renew"),
    ("GET", "/agent/v1/images/x/file"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_no_call_without_the_right_certificate(cloud, listener, method, path):
    listener.join("h1")
    now = cloud.now
    revoked = listener.ca.sign_request(request("h1"), "h1", now)  # of our authority, yet not the one that was given out
    stranger = listener.ca.sign_request(request("h9"), "h9", now)
    forged = new_authority(now).sign_request(request("h1"), "h1", now)
    control = listener.ca.control(["127.0.0.1"], now).chain
    pems = {"": 401, control: 410}
    pems |= {one.public_bytes(PEM).decode(): status for one, status in ((revoked, 401), (stranger, 410), (forged, 401))}
    for pem, status in pems.items():
        assert listener.bearing(pem).request(method, path, json={"csr": "x"}).status_code == status


def test_the_public_origin_has_no_agents_api(cloud):
    for method, path in [*CALLS, ("POST", "/agent/v1/join")]:
        assert cloud.admin.request(method, path, json={}).status_code == 404


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"token": 1}', b'{"token": "t", "host": "h1", "csr": "c", "more": 1}', b"\xff\xfe"]
)
def test_malformed_joins_are_refused(listener, body):
    assert listener.bearing().post("/agent/v1/join", content=body).status_code == 400


def test_a_renewed_certificate_is_taken_up(cloud, listener):
    h1 = listener.join("h1")
    answer = h1.post("/agent/v1/renew", json={"csr": request("h1")})
    new = listener.bearing(answer.json()["certificate"])
    assert slice_for(new).host == "h1"
    assert h1.get("/agent/v1/wanted").status_code == 401


def test_a_poll_is_answered_when_something_changes(cloud, listener):
    """Fifty hosts wait at once and cost no thread; each hears of its own change."""
    pems = {}
    for number in range(50):
        body = {"token": new_token(cloud.app, f"h{number}"), "host": f"h{number}", "csr": request(f"h{number}")}
        pems[f"h{number}"] = listener.bearing().post("/agent/v1/join", json=body).json()["certificate"]

    async def poll(host):
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(listener.app(pems[host])), base_url="http://x"
        ) as client:
            return (await client.get("/agent/v1/wanted?after=1", timeout=30)).status_code

    async def scene():
        waiting = {host: asyncio.ensure_future(poll(host)) for host in pems}
        while sum(listener.agents.polling.values()) < 50:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # they wait now, and nobody has an answer yet
        assert not any(one.done() for one in waiting.values())
        assert listener.agents.threads.borrowed_tokens == 0
        with cloud.app.database.transaction() as db:
            bump(db, "h7")
        assert await waiting["h7"] == 200
        assert [host for host, one in waiting.items() if one.done()] == ["h7"]
        listener.agents.end()  # the process is told to stop
        return [await one for host, one in waiting.items() if host != "h7"]

    started = time.monotonic()
    assert asyncio.run(scene()) == [204] * 49
    assert time.monotonic() - started < 25  # far from the end of the poll


def test_a_poll_ends_by_itself(cloud, listener, monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.05)
    h1 = listener.join("h1")
    assert h1.get("/agent/v1/wanted?after=1").status_code == 204
    assert h1.get("/agent/v1/wanted?after=99").status_code == 200  # a database that was restored has smaller numbers
    assert h1.get("/agent/v1/wanted?after=x").status_code == 400
