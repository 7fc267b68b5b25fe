"""The console: through the real relay and the agent's real listener, over TLS, to something that answers as a screen does."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from dataclasses import replace

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from wolke.agent.listener import Listener
from wolke.agent.node import Node
from wolke.compute.hosts import joining
from wolke.compute.hosts.console import console_output, console_url, digest
from wolke.core import pki
from wolke.core.errors import Conflict, Unavailable
from wolke.core.serving import Listening, server

BANNER = b"RFB 003.008\n"


class Origin:
    """The public origin, served by a thread on 127.0.0.1."""

    def __init__(self, cloud):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.netloc = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.serve(cloud.web)))
        self.thread.start()
        self.ready.wait(10)

    async def serve(self, app):
        self.server, self.loop = server(Listening(app, [self.socket])), asyncio.get_running_loop()
        self.ready.set()
        await self.server.serve([self.socket])

    def close(self):
        self.loop.call_soon_threadsafe(self.server.end)
        self.thread.join(20)
        assert not self.thread.is_alive()


class Screen:
    """A guest's screen: says who it is, then sends back what it gets, until it hears ``bye``."""

    def __init__(self, path):
        path.unlink(missing_ok=True)
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(path))
        self.listening.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                one, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(one,), daemon=True).start()

    @staticmethod
    def answer(one):
        with one:
            one.sendall(BANNER)
            while data := one.recv(65536):
                if data == b"bye":
                    return
                one.sendall(data)


class Scene:
    def __init__(self, cloud, farm, directory):
        cloud.now = time.time()  # certificates are checked by real clocks
        self.cloud, self.farm = cloud, farm
        self.host = cloud.add_host("h1")
        node = Node(directory / "node", "h1")
        with cloud.app.database.transaction() as db:
            ca = pki.authority(db, cloud.app.vault)
        token = joining.new_token(cloud.app, "h1")
        node.adopt(joining.join(cloud.app, ca, token, "h1", node.request("key.new")), ca.pem)
        self.node = node
        self.agent = Listener("127.0.0.1:0", node.server_context(), self.host.hypervisor)
        self.agent.start()
        self.tell(self.agent.address)
        self.origin = Origin(cloud)
        self.id = farm.server()
        cloud.settle()
        self.screen = Screen(self.host.hypervisor.vnc(self.id))

    def tell(self, address):
        """The host tells where its agent listens."""
        self.host.agent.about = replace(self.host.agent.about, address=address)
        self.host.agent.changed()
        self.cloud.settle()

    def link(self):
        with self.cloud.app.database.transaction() as db:
            return console_url(db, f"http://{self.origin.netloc}", self.farm.row(self.id))

    def socket_of(self, link, **options):
        token = link.partition("token=")[2]
        url = f"ws://{self.origin.netloc}/console/websockify?token={token}"
        return connect(url, subprotocols=["binary"], proxy=None, **options)

    def close(self):
        self.origin.close()
        self.agent.stop()


@pytest.fixture
def scene(cloud, farm, tmp_path):
    made = Scene(cloud, farm, tmp_path)
    yield made
    made.close()


async def opens(scene, link, **options):
    """The first bytes of the screen, or the status of the refusal."""
    try:
        async with scene.socket_of(link, **options) as browser:
            return await asyncio.wait_for(browser.recv(), 10)
    except InvalidStatus as error:
        return error.response.status_code


def test_bytes_go_both_ways_and_the_end_is_told(scene):
    link = scene.link()

    async def look():
        async with scene.socket_of(link) as browser:
            assert browser.subprotocol == "binary"
            assert await browser.recv() == BANNER
            for size in (1, 1000, 300_000):
                sent, got = bytes(size), b""
                await browser.send(sent)
                while len(got) < size:
                    got += await asyncio.wait_for(browser.recv(), 10)
                assert got == sent
            await browser.send(b"bye")
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(browser.recv(), 10)
            assert browser.close_code == 1000

    asyncio.run(look())


def test_a_browser_that_leaves_lets_go_of_the_screen(scene):
    async def look():
        async with scene.socket_of(scene.link()) as browser:
            await browser.recv()

    for _ in range(3):
        asyncio.run(look())
    end = time.monotonic() + 10
    while scene.agent.server.connections:  # of the agent: none is left behind
        assert time.monotonic() < end
        time.sleep(0.02)


def test_links_that_open_nothing(scene):
    link = scene.link()
    assert asyncio.run(opens(scene, link)) == BANNER
    assert asyncio.run(opens(scene, link + "x")) == 403
    assert asyncio.run(opens(scene, f"?token={digest(link.partition('token=')[2])}")) == 403  # what the database holds
    assert asyncio.run(opens(scene, link, origin="https://evil.example")) == 403
    assert asyncio.run(opens(scene, link, origin=f"http://{scene.origin.netloc}")) == BANNER
    scene.cloud.now += 601
    assert asyncio.run(opens(scene, link)) == 403


def test_a_deleted_servers_link_opens_nothing(scene):
    link = scene.link()
    scene.farm.change(scene.id, deleting=True)
    assert asyncio.run(opens(scene, link)) == 403


def test_a_server_that_is_off_has_no_screen(scene):
    scene.farm.change(scene.id, power="stopped", hard=True)
    scene.cloud.settle()
    with pytest.raises(Conflict):
        scene.link()


def test_the_serial_log_comes_from_the_host(scene):
    log = scene.host.hypervisor.console(scene.id)
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    row = scene.farm.row(scene.id)
    assert console_output(scene.cloud.app, row).endswith("line 98\nline 99\n")
    assert console_output(scene.cloud.app, row, 2) == "line 98\nline 99\n"


def test_another_host_at_the_address_is_not_believed(scene, tmp_path):
    """h2 has got the address that h1 had: its certificate says h2."""
    ca_token = joining.new_token(scene.cloud.app, "h2")
    node = Node(tmp_path / "h2", "h2")
    with scene.cloud.app.database.transaction() as db:
        ca = pki.authority(db, scene.cloud.app.vault)
    node.adopt(joining.join(scene.cloud.app, ca, ca_token, "h2", node.request("key.new")), ca.pem)
    other = Listener("127.0.0.1:0", node.server_context(), scene.host.hypervisor)
    other.start()
    scene.tell(other.address)
    try:
        with pytest.raises(Unavailable):
            console_output(scene.cloud.app, scene.farm.row(scene.id))
        assert asyncio.run(opens(scene, scene.link())) == 403
    finally:
        other.stop()


def test_a_host_that_is_away_is_told_as_such(scene):
    scene.tell("127.0.0.1:1")
    with pytest.raises(Unavailable, match="cannot be reached now"):
        console_output(scene.cloud.app, scene.farm.row(scene.id))


def test_agents_answer_nobody_but_the_control_plane(scene):
    log = scene.host.hypervisor.console(scene.id)
    log.write_text("secret")
    url = f"https://{scene.agent.address}/servers/{scene.id}/console"
    mine = scene.node.client_context()
    mine.check_hostname = False
    assert httpx2.get(url, verify=mine, trust_env=False).status_code == 403  # a host's certificate
    nobody = ssl.create_default_context(cadata=scene.node.ca.read_text())
    nobody.check_hostname = False
    with pytest.raises(httpx2.TransportError):
        httpx2.get(url, verify=nobody, trust_env=False)


def test_the_page_and_its_parts(scene):
    page = httpx2.get(f"http://{scene.origin.netloc}/console/?token=x", trust_env=False)
    assert page.status_code == 200 and "frame-ancestors 'none'" in page.headers["content-security-policy"]
    for path, kind in (("console.js", "javascript"), ("novnc/core/rfb.js", "javascript"), ("console.css", "text/css")):
        part = httpx2.get(f"http://{scene.origin.netloc}/console/{path}", trust_env=False)
        assert part.status_code == 200 and kind in part.headers["content-type"]
    assert (
        httpx2.get(f"http://{scene.origin.netloc}/console/novnc/../../../../etc/passwd", trust_env=False).status_code
        == 404
    )


def test_the_page_is_told_the_servers_name_and_why_it_has_no_screen(scene):
    about = f"{scene.link().replace('/console/', '/console/about')}"
    assert httpx2.get(about, trust_env=False).json() == {"name": scene.farm.row(scene.id).name}
    scene.farm.change(scene.id, power="stopped", hard=True)
    scene.cloud.settle()
    off = httpx2.get(about, trust_env=False)
    assert off.status_code == 200 and "is off" in off.json()["error"]
    scene.cloud.now += 601
    late = httpx2.get(about, trust_env=False)
    assert late.status_code == 401 and "has expired" in late.json()["error"]
