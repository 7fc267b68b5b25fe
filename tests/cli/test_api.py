"""``wolke init`` and ``wolke api`` as processes: sockets that are handed over, TLS towards hosts, an end in order."""

from __future__ import annotations

import socket
import ssl
import threading
import time

import httpx2
import pytest

from tests.cli.conftest import port_of
from tests.compute.hosts.certificates import key_pem, new_key, request
from tests.waiting import wait_for
from wolke.agent.link import LinkError
from wolke.agent.node import JoinRefused, Node, Token
from wolke.compute.hosts_table import bump
from wolke.core import pki

pytestmark = pytest.mark.slow
PEM = pki.PEM


def test_init_is_safe_to_repeat_and_says_where_the_password_lies(running):
    place = running.config.state_path / "admin.password"
    before = place.read_text()
    done = running.wolke("init")
    assert done.returncode == 0 and str(place) in done.stdout
    assert place.read_text() == before and place.stat().st_mode & 0o077 == 0
    for path in (running.config.state_path, *running.config.state_path.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_the_administrator_gets_a_token(running):
    password = (running.config.state_path / "admin.password").read_text().strip()
    user = {"name": "admin", "domain": {"id": "default"}, "password": password}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
    answer = httpx2.post(f"{running.url}/identity/v3/auth/tokens", json=body, trust_env=False)
    assert answer.status_code == 201
    done = running.wolke("token-keys", "rotate")
    assert done.returncode == 0, done.stderr
    headers = {"X-Auth-Token": answer.headers["X-Subject-Token"], "X-Subject-Token": answer.headers["X-Subject-Token"]}
    assert httpx2.get(f"{running.url}/identity/v3/auth/tokens", headers=headers, trust_env=False).status_code == 200


def test_a_host_joins_asks_waits_and_renews(running):
    node, link = running.join("h1")
    first = link.wanted(0)
    assert (first.host, first.servers) == ("h1", ())
    heard = []
    waiting = threading.Thread(target=lambda: heard.append(link.wanted(first.revision)))
    waiting.start()
    time.sleep(0.3)
    app = running.app()
    with app.database.transaction() as db:
        bump(db, "h1")
    app.close()
    [newer] = wait_for(lambda: heard, 10)  # rung awake: the poll alone lasts 30 s
    assert newer.revision == first.revision + 1
    assert link.renew(node.request("key.new")).startswith("-----BEGIN CERTIFICATE")


def test_a_token_is_no_good_for_a_second_host(running):
    token = Token.parsed(running.wolke("join-token", "h2").stdout)
    Node(running.directory / "h2", "h2").join(running.agent_url, token)
    with pytest.raises(JoinRefused):
        Node(running.directory / "h2 again", "h2").join(running.agent_url, token)


def test_a_host_refuses_another_control_plane(running):
    token = Token.parsed(running.wolke("join-token", "h3").stdout)
    with pytest.raises(JoinRefused):
        Node(running.directory / "h3", "h3").join(running.agent_url, Token(token.whole, "0" * 64))


def calls(running, context) -> int:
    """The status that the bearer of this certificate gets, 0 where TLS already ends it."""
    try:
        return httpx2.get(f"{running.agent_url}/agent/v1/wanted", verify=context, trust_env=False).status_code
    except httpx2.TransportError:
        return 0


def bearer(running, ca, name, now, tmp_path):
    """A TLS context with a certificate for this name, signed by this authority at this time."""
    key = new_key()
    certificate = ca.sign_request(request(name, key), name, now).public_bytes(PEM)
    path = tmp_path / "pair.pem"
    path.write_bytes(certificate + key_pem(key))
    app = running.app()
    with app.database.transaction() as db:
        context = ssl.create_default_context(cadata=pki.authority(db, app.vault).pem)
    app.close()
    context.load_cert_chain(path)
    return context


def test_forged_expired_and_absent_certificates_open_nothing(running, tmp_path):
    running.join("h4")
    app = running.app()
    with app.database.transaction() as db:
        ours = pki.authority(db, app.vault)
    app.close()
    now = time.time()
    assert calls(running, ssl.create_default_context(cadata=ours.pem)) == 401
    assert (
        calls(running, bearer(running, ours, "h4", now, tmp_path)) == 401
    )  # signed by us, but not the one it was given
    assert calls(running, bearer(running, ours, "stranger", now, tmp_path)) == 410  # of a host that was taken out
    assert calls(running, bearer(running, ours, "h4", now - 91 * 86400, tmp_path)) == 0
    assert calls(running, bearer(running, pki.new_authority(now), "h4", now, tmp_path)) == 0
    assert httpx2.get(f"{running.url}/agent/v1/wanted", trust_env=False).status_code == 404


def test_plain_http_is_not_spoken_on_the_agents_listener(running):
    with pytest.raises(httpx2.TransportError):
        httpx2.get(running.agent_url.replace("https", "http") + "/agent/v1/wanted", trust_env=False)


def test_the_api_ends_in_order_and_its_successor_takes_the_same_sockets(running):
    _, link = running.join("h5")
    link.wanted(0)
    ends: list[object] = []

    def hold():
        try:
            ends.append(link.wanted(1))
        except LinkError as error:
            ends.append(error)

    polls = [threading.Thread(target=hold) for _ in range(3)]
    for poll in polls:
        poll.start()
    time.sleep(0.5)
    started = time.monotonic()
    assert running.stop() == 0
    for poll in polls:
        poll.join(10)
    assert time.monotonic() - started < 15 and len(ends) == 3  # a held poll does not hold up the end
    with socket.create_connection(("127.0.0.1", port_of(running.sockets["api"]))):
        pass  # whoever calls meanwhile waits in the queue of the socket and is not refused
    running.start()
    wait_for(running.answers)
    assert link.wanted(0) is not None


def test_without_an_address_it_says_what_is_missing(running):
    done = running.wolke("api")
    assert done.returncode != 0 and "'listen' is not set" in done.stderr
    done = running.wolke("loops")
    assert done.returncode != 0 and "'northbound' is not set" in done.stderr
    done = running.wolke("join-token", "Not A Host")
    assert done.returncode != 0 and "cannot be the name of a host" in done.stderr
