"""The agent and the control plane over real TLS: joining, the long poll, images, renewal, and who is let in."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.agent.hosts import ID, server
from tests.agent.plane import Plane
from wolke.agent.link import HttpsLink, LinkError
from wolke.agent.listener import Listener
from wolke.agent.node import JoinRefused, Node, Token, joined
from wolke.core import pki
from wolke.drivers.fake.hypervisor import FakeHypervisor
from wolke.drivers.traffic import Traffic
from wolke.wire.seen import Capacity, Seen
from wolke.wire.wanted import Wanted


@pytest.fixture
def plane() -> Iterator[Plane]:
    plane = Plane()
    thread = threading.Thread(target=plane.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield plane
    plane.shutdown()
    plane.server_close()


@pytest.fixture
def node(plane: Plane, tmp_path: Path) -> Node:
    node = Node(tmp_path, "alpha")
    node.join(plane.url, plane.token)
    return node


@pytest.fixture
def link(plane: Plane, node: Node) -> Iterator[HttpsLink]:
    link = HttpsLink(plane.url, node.client_context())
    yield link
    link.close()


SLICE = Wanted(revision=5, host="alpha", ovn_remote="tcp:127.0.0.1:6642", servers=(server(),))


def test_a_token_is_exchanged_for_a_certificate_once(plane, node, tmp_path):
    assert node.joined
    for path in (node.key, node.certificate, node.ca):
        assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(JoinRefused, match="used up"):
        Node(tmp_path / "other", "alpha").join(plane.url, plane.token)


def test_a_host_whose_certificate_has_expired_joins_again(plane, node, tmp_path):
    request = node.request("key.new")
    year_ago = time.time() - 365 * 86400
    node.adopt(plane.ca.sign_request(request, "alpha", year_ago).public_bytes(pki.PEM).decode(), plane.ca.pem)
    assert not node.joined
    with pytest.raises(JoinRefused, match="no valid certificate"):
        joined(node, plane.url, None, threading.Event())
    plane.used.clear()
    (tmp_path / "token").write_text(plane.token.whole)
    joined(node, plane.url, tmp_path / "token", threading.Event())
    assert node.joined


def test_the_secret_is_not_told_to_another_control_plane(plane, tmp_path):
    token = Token(plane.token.whole, "0" * 64)
    with pytest.raises(JoinRefused, match="authority"):
        Node(tmp_path, "alpha").join(plane.url, token)
    assert plane.used == []


def test_a_host_of_the_same_cloud_is_no_control_plane(plane, node):
    plane.tls.load_cert_chain(node.certificate, node.key)
    with pytest.raises(LinkError):
        HttpsLink(plane.url, node.client_context()).wanted(0)
    assert plane.peers == []


@pytest.mark.parametrize("text", ["", "wolke-join", "wolke-join.a.b", f"other.a.{'0' * 64}", f"wolke-join..{'0' * 64}"])
def test_a_bad_token_is_told(text):
    with pytest.raises(JoinRefused):
        Token.parsed(text)


def test_joining_waits_for_the_control_plane(plane, tmp_path):
    file = tmp_path / "token"
    file.write_text(plane.token.whole)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        node, stop = Node(tmp_path, "alpha"), threading.Event()
        url = f"https://127.0.0.1:{taken.getsockname()[1]}"
        waiting = threading.Thread(target=joined, args=(node, url, file, stop), kwargs={"wait": 0.01})
        waiting.start()
        stop.set()
        waiting.join(20)
        assert not waiting.is_alive() and not node.joined
    joined(node, plane.url, file, threading.Event())
    assert node.joined


def test_the_slice_comes_when_it_is_newer_and_unknown_fields_are_passed_over(plane, link):
    plane.want(SLICE, colour="blue")
    assert link.wanted(0) == SLICE
    newer = replace(SLICE, revision=6)
    late = threading.Timer(0.2, plane.want, [newer])
    late.start()
    assert link.wanted(5) == newer


def test_the_picture_arrives_whole(plane, link):
    picture = Seen(
        host="alpha",
        agent="1",
        revision=5,
        capacity=Capacity(vcpus=1, ram_mib=2, disk_gib=3),
        chassis="alpha",
        hypervisor="qemu",
        address="127.0.0.1:1",
    )
    link.seen(picture)
    assert msgspec.json.decode(plane.pictures[0], type=Seen) == picture


def test_images_are_streamed_and_a_torn_one_is_an_error(link, tmp_path):
    link.image("big", tmp_path / "big")
    assert (tmp_path / "big").stat().st_size == 4 << 20
    with pytest.raises(LinkError):
        link.image("torn", tmp_path / "torn")
    with pytest.raises(LinkError, match="404"):
        link.image("none", tmp_path / "none")


def test_a_renewed_certificate_is_used_from_the_next_connection_on(plane, node, link, tmp_path):
    link.image("big", tmp_path / "big")
    node.renew(link, [link.context, node.server_context()])
    link.image("big", tmp_path / "big")
    assert plane.serials[-1] != plane.serials[0] == plane.serials[1]
    assert node.renewal_due() > time.time()


@pytest.mark.parametrize("at", range(4))
def test_dying_while_a_certificate_is_put_in_place(plane, node, link, tmp_path, monkeypatch, at):
    class Killed(BaseException):
        pass

    moves = iter(range(10))
    move = Path.replace

    def dying(self: Path, target: Path) -> Path:
        if {self.name, target.name} & {"key.new", "cert.new"} and next(moves) == at:
            raise Killed
        return move(self, target)

    monkeypatch.setattr(Path, "replace", dying)
    with pytest.raises(Killed):
        node.renew(link, [])
    monkeypatch.undo()
    again = Node(tmp_path, "alpha")
    joined(again, plane.url, None, threading.Event())
    HttpsLink(plane.url, again.client_context()).image("big", tmp_path / "big")


class Files(FakeHypervisor):
    """Consoles and screens lie in a directory of the test's."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory

    def console(self, id: str) -> Path:
        return self.directory / f"{id}.log"

    def vnc(self, id: str) -> Path:
        return self.directory / f"{id}.vnc"


# Our own listener ---------------------------------------------------------------------------------------------------
@pytest.fixture
def listener(node: Node, state: Path) -> Iterator[Listener]:
    listener = Listener("127.0.0.1:0", node.server_context(), Files(state))
    listener.start()
    yield listener
    listener.stop()


@pytest.fixture
def control(plane: Plane) -> ssl.SSLContext:
    return pki.client_context(plane.ca, plane.own)


def get(listener: Listener, context: ssl.SSLContext, path: str) -> httpx2.Response:
    """From the host by its name, as the control plane asks."""
    with httpx2.Client(verify=context, trust_env=False) as client:
        return client.get(f"https://{listener.address}{path}", extensions={"sni_hostname": "alpha"})


def screen_of(listener: Listener, context: ssl.SSLContext, **options: Any) -> ClientConnection:
    url = f"wss://{listener.address}/servers/{ID}/vnc"
    return connect(url, ssl=context, server_hostname="alpha", **options)


def test_the_control_plane_reads_consoles(listener, control, state):
    assert get(listener, control, "/healthz").text == "ok\n"
    assert get(listener, control, f"/servers/{ID}/console").text == ""
    log = state / f"{ID}.log"
    log.write_bytes(b"".join(b"line %d \xff\r\n" % number for number in range(100_000)))
    reply = get(listener, control, f"/servers/{ID}/console?lines=2")
    assert reply.text == "line 99998 �\r\nline 99999 �\r\n"
    whole = get(listener, control, f"/servers/{ID}/console")
    assert whole.text.endswith(reply.text) and 90_000 < len(whole.content) < 130_000
    assert get(listener, control, f"/servers/{ID}/console?lines=0").text == ""
    for path in ("/servers/../console", "/servers/x/console", "/", "/node/key.pem"):
        assert get(listener, control, path).status_code == 404


def test_the_control_plane_asks_what_goes_through_the_switch(listener, control, tmp_path):
    listener.traffic = Traffic(ovs=tmp_path)
    for path in ("/counters", "/meters", "/conversations"):
        assert get(listener, control, path).status_code == 503, "no switch answers here"
    listener.traffic.counters = lambda: '{"in": {}}'
    assert get(listener, control, "/counters").json() == {"in": {}}


def test_nobody_else_is_answered(listener, node, plane):
    context = ssl.create_default_context(cadata=plane.ca.pem)
    with pytest.raises(httpx2.HTTPError):
        get(listener, context, "/healthz")
    other_host = node.client_context()
    assert get(listener, other_host, f"/servers/{ID}/console").status_code == 403
    with pytest.raises(InvalidStatus):
        screen_of(listener, other_host)


def test_a_screen_is_carried_both_ways(listener, control, state):
    with socket.socket(socket.AF_UNIX) as screen:
        screen.bind(str(state / f"{ID}.vnc"))
        screen.listen()
        with screen_of(listener, control, subprotocols=["binary"]) as browser:
            guest, _ = screen.accept()
            guest.sendall(b"RFB 003.008\n")
            assert browser.recv(10) == b"RFB 003.008\n"
            browser.send(b"x" * 200_000)
            received = b""
            while len(received) < 200_000:
                received += guest.recv(65536)
            guest.close()
            with pytest.raises(ConnectionClosed):
                browser.recv(10)


def test_a_guest_that_is_off_has_no_screen(listener, control):
    with (
        screen_of(listener, control) as browser,
        pytest.raises(ConnectionClosed) as end,
    ):
        browser.recv(10)
    assert end.value.rcvd.code == 1011
