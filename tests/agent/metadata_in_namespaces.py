"""The metadata service in real namespaces: two networks with one address range, and guests that behave badly.

Run by ``test_metadata_server.py`` in a network and mount namespace of their own, so that the machine sees no bridge and no
name of theirs. Linux bridges stand in for OVN's switches here.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pyroute2 import IPRoute, netns

from tests.agent.hosts import ID, server
from tests.waiting import wait_for
from wolke.agent import namespaces
from wolke.agent.metadata_server import BURST, MAX_CONNECTIONS_OF_ONE, REQUESTS_PER_SECOND, MetadataServer
from wolke.agent.notes import Notes
from wolke.drivers.hypervisor import DriverError
from wolke.wire.wanted import Metadata, MetadataPort, Wanted

RED, BLUE = "aaaaaaaa-1111-4000-8000-000000000001", "bbbbbbbb-2222-4000-8000-000000000002"
OTHER = ID.replace("0001", "0002")


class Bridges:
    """A virtual switch out of Linux bridges, one per logical port's network."""

    def __init__(self) -> None:
        self.attached: dict[str, str] = {}
        self.broken = False

    def add_port(self, bridge: str, interface: str, port_id: str) -> None:
        assert bridge == "br-int"
        if self.broken:
            raise DriverError("The virtual switch does not answer.")
        with IPRoute() as links:
            master = links.link_lookup(ifname=f"br-{port_id}")[0]
            links.link("set", index=links.link_lookup(ifname=interface)[0], master=master)
        self.attached[interface] = port_id

    def ports(self) -> dict[str, str]:
        return dict(self.attached)

    def remove_port(self, interface: str) -> None:
        self.attached.pop(interface, None)


def port(network_id: str, name: str, servers: dict[str, str], *addresses: str) -> MetadataPort:
    return MetadataPort(
        network_id=network_id,
        port_id=name,
        mac="fa:16:3e:aa:00:01",
        addresses=addresses or ("10.0.0.2/24",),
        mtu=1442,
        servers=servers,
    )


def named(id: str, name: str):
    about = Metadata(hostname=name, name=name, project_id=name, availability_zone="nova", user_data=b"u" * 60_000)
    return server(id, metadata=about)


def guest(network: str) -> None:
    """A namespace with 10.0.0.5 on the network's bridge, that reaches 169.254.169.254 as DHCP's route says."""
    name = f"guest-{network}"
    netns.create(name)
    with IPRoute() as links:
        links.link("add", ifname=f"br-{network}", kind="bridge")
        bridge = links.link_lookup(ifname=f"br-{network}")[0]
        links.link("set", index=bridge, state="up")
        links.link("add", ifname=f"tap-{network}", kind="veth", peer={"ifname": f"eth-{network}", "net_ns_fd": name})
        links.link("set", index=links.link_lookup(ifname=f"tap-{network}")[0], master=bridge, state="up")

    def furnish() -> None:
        Path(f"/proc/sys/net/ipv6/conf/eth-{network}/addr_gen_mode").write_text("1")
        with IPRoute() as links:
            index = links.link_lookup(ifname=f"eth-{network}")[0]
            links.link("set", index=index, state="up")
            for address in ("10.0.0.5", "10.0.0.66"):
                links.addr("add", index=index, address=address, prefixlen=24)
            links.addr("add", index=index, address="fe80::5", prefixlen=64, flags=2)
            links.route("add", dst="169.254.169.254/32", gateway="10.0.0.2")

    namespaces.inside(name, furnish)


def ask(
    network: str,
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    to: str = "169.254.169.254",
    source: str = "10.0.0.5",
):
    """(status, body) of one request of the guest."""

    def request() -> tuple[int, bytes]:
        begin = None if ":" in to else (source, 0)
        connection = http.client.HTTPConnection(to, 80, timeout=20, source_address=begin)
        connection.request(method, path, body)
        reply = connection.getresponse()
        return reply.status, reply.read()

    return namespaces.inside(f"guest-{network}", request)


def plain(network: str) -> socket.socket:
    """A connection of the guest, to misuse."""
    return namespaces.inside(f"guest-{network}", lambda: socket.create_connection(("169.254.169.254", 80), 20))


def everything(handle: socket.socket) -> bytes:
    return b"".join(iter(lambda: handle.recv(65536), b""))


def ended(handle: socket.socket) -> bool:
    try:
        while handle.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


SLICE = Wanted(
    revision=1,
    host="alpha",
    ovn_remote="",
    servers=(named(ID, "red"), named(OTHER, "blue")),
    metadata_ports=(
        port(RED, "red", {"10.0.0.5": ID, "fe80::5": ID}),
        port(BLUE, "blue", {"10.0.0.5": OTHER}),
    ),
)


class Service:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.switch = Bridges()
        self.start()

    def start(self) -> None:
        self.server = MetadataServer(self.switch, Notes(self.directory))
        self.server.start()

    def apply(self, slice: Wanted) -> None:
        self.server.apply(slice)
        wished = {port.network_id: replace(port, servers={}) for port in slice.metadata_ports}
        wait_for(lambda: self.server.plumbed == wished and not self.server.pending.is_set())
        wait_for(lambda: namespaces.existing() == {namespaces.name_of(id) for id in wished})


@pytest.fixture(scope="module")
def guests() -> None:
    with IPRoute() as links:
        links.link("set", index=1, state="up")
    for name in ("red", "blue"):
        guest(name)


@pytest.fixture
def service(guests: None, tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path)
    service.apply(SLICE)
    yield service
    service.apply(replace(SLICE, metadata_ports=()))
    service.server.stop()
    assert namespaces.existing() == set() and service.switch.attached == {}


def hostname(network: str, **more: str) -> str:
    status, body = ask(network, "GET", "/openstack/latest/meta_data.json", **more)
    assert status == 200, body
    return json.loads(body)["hostname"]


def test_the_same_address_in_two_networks_is_two_guests(service):
    assert (hostname("red"), hostname("blue")) == ("red", "blue")
    assert ask("red", "GET", "/latest/meta-data/hostname") == (200, b"red")
    assert ask("red", "GET", "/latest/user-data") == (200, b"u" * 60_000)
    assert ask("red", "HEAD", "/latest/user-data") == (200, b"")


def test_an_ipv6_only_guest_is_answered(service):
    assert hostname("red", to="fe80::a9fe:a9fe%eth-red") == "red"


def test_an_address_that_is_no_servers_learns_nothing(service):
    status, body = ask("red", "GET", "/latest/meta-data/hostname", source="10.0.0.66")
    assert status == 404 and b"red" not in body
    assert ask("blue", "GET", "/latest/meta-data/hostname", to="fe80::a9fe:a9fe%eth-blue")[0] == 404


def test_a_password_is_kept_once_and_over_a_restart(service):
    path = "/openstack/latest/password"
    assert ask("red", "GET", path) == (200, b"")
    for bad in (b"", b"\x00", b"x" * 4097):
        assert ask("red", "POST", path, bad)[0] in (400, 413)
    assert ask("red", "POST", "/openstack/latest/user_data", b"x")[0] == 405
    assert ask("red", "PUT", path, b"x")[0] == 405
    assert ask("red", "POST", path, b"c2VjcmV0\n")[0] == 200
    assert ask("red", "POST", path, b"other")[0] == 409
    assert ask("red", "GET", path) == (200, b"c2VjcmV0")
    assert ask("blue", "GET", path) == (200, b"")
    service.server.stop()
    service.start()
    service.apply(SLICE)
    assert ask("red", "GET", path) == (200, b"c2VjcmV0")
    assert service.server.notes.get(ID).password == "c2VjcmV0"


def test_a_restarted_agent_takes_its_namespaces_over(service):
    name = namespaces.name_of(RED)
    before = namespaces.inside(name, lambda: namespaces.index_of("meta0"))
    service.server.stop()
    service.start()
    service.apply(SLICE)
    assert hostname("red") == "red"
    assert namespaces.inside(name, lambda: namespaces.index_of("meta0")) == before


def test_half_made_namespaces_are_finished(service):
    service.server.stop()
    with IPRoute() as links:
        links.link("del", index=links.link_lookup(ifname=namespaces.outside_of(RED))[0])
    namespaces.remove(namespaces.name_of(BLUE), service.switch)
    netns.create(namespaces.name_of(BLUE))
    netns.create("wolke-meta-left-over-0")
    service.start()
    service.apply(SLICE)
    assert (hostname("red"), hostname("blue")) == ("red", "blue")


def test_what_somebody_takes_away_is_made_again(service, monkeypatch):
    monkeypatch.setattr("wolke.agent.metadata_server.LOOK_SECONDS", 0.1)
    service.apply(SLICE)
    netns.remove(namespaces.name_of(RED))
    service.switch.remove_port(namespaces.outside_of(BLUE))
    wait_for(lambda: len(namespaces.existing()) == 2 and len(service.switch.attached) == 2)
    wait_for(lambda: len(service.server.listening) == 2 and len(service.server.plumbed) == 2)
    assert (hostname("red"), hostname("blue")) == ("red", "blue")


def test_addresses_follow_the_slice(service):
    moved = port(RED, "red", {"10.0.0.5": ID}, "10.0.0.3/24", "2001:db8::3/64")
    service.apply(replace(SLICE, metadata_ports=(moved, SLICE.metadata_ports[1])))
    assert ask("red", "GET", "/latest/meta-data/hostname", to="10.0.0.3") == (200, b"red")
    assert b"10.0.0.2\n" not in namespaces.inside(
        namespaces.name_of(RED), lambda: Path("/proc/thread-self/net/fib_trie").read_bytes()
    )
    service.apply(SLICE)
    assert hostname("red") == "red"


def test_a_switch_that_does_not_answer_is_told_and_asked_again(service):
    service.apply(replace(SLICE, metadata_ports=()))
    service.switch.broken = True
    service.server.apply(SLICE)
    wait_for(lambda: "does not answer" in service.server.errors().get("metadata", ""))
    service.switch.broken = False
    wait_for(lambda: not service.server.errors())
    assert hostname("red") == "red"


@pytest.mark.parametrize(
    "bytes",
    [b"GARBAGE\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /" + b"a" * 20_000, b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 3000,
     b"POST /openstack/latest/password HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n" + b"x" * 9000,
     b"POST /openstack/latest/password HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + b"fff\r\n" + b"x" * 9000,
     b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 100],
)  # fmt: skip
def test_bad_requests_are_refused_and_the_connection_ends(service, bytes):
    with plain("red") as handle:
        handle.sendall(bytes)
        reply = b""
        try:
            while chunk := handle.recv(65536):
                reply += chunk
        except ConnectionError:
            pass
    assert not reply or reply.split()[1][:1] == b"4", reply
    assert hostname("red") == "red"


def test_one_guest_cannot_take_all_connections(service):
    held = [plain("red") for _ in range(MAX_CONNECTIONS_OF_ONE)]
    with plain("red") as one_too_many:
        assert ended(one_too_many)
    assert hostname("blue") == "blue"
    for handle in held:
        handle.close()
    wait_for(lambda: not service.server.connections)
    assert hostname("red") == "red"


def test_slow_guests_are_let_go(service, monkeypatch):
    monkeypatch.setattr("wolke.agent.metadata_server.REQUEST_SECONDS", 0.5)
    with plain("red") as silent, plain("red") as slow, plain("red") as greedy:
        slow.sendall(b"GET / HT")
        greedy.sendall(b"GET /latest/user-data HTTP/1.1\r\nhost: x\r\n\r\n" * 100)  # and never reads
        assert ended(silent) and ended(slow)
        wait_for(lambda: not service.server.connections)


def test_requests_in_one_go_are_answered_in_order(service):
    with plain("red") as handle:
        paths = ["instance-id", "hostname", "local-hostname"]
        handle.sendall(
            b"".join(b"GET /latest/meta-data/%s HTTP/1.1\r\nhost: x\r\n\r\n" % path.encode() for path in paths)
        )
        handle.shutdown(socket.SHUT_WR)
        reply = everything(handle)
    assert [part[:3] for part in reply.split(b"HTTP/1.1 ")[1:]] == [b"200"] * 3
    assert reply.index(b"i-5d5e7a3c") < reply.rindex(b"red")


def test_a_guest_that_asks_without_end_is_slowed_down_and_nobody_else_is(service):
    path = b"GET /latest/meta-data/hostname HTTP/1.1\r\nhost: x\r\n\r\n"
    begun = time.monotonic()
    with plain("red") as one, plain("red") as other:
        for handle in (one, other):
            handle.sendall(path * (int(BURST) // 2 + 50))
        assert ask("blue", "GET", "/latest/meta-data/hostname") == (200, b"blue")
        for handle in (one, other):
            handle.shutdown(socket.SHUT_WR)
        replies = b"".join(everything(handle) for handle in (one, other))
    assert replies.count(b"HTTP/1.1 200") == 2 * (BURST // 2 + 50)
    assert time.monotonic() - begun > 100 / REQUESTS_PER_SECOND - 0.1


def test_a_hundred_networks_are_served_by_the_same_threads(service):
    before = threading.active_count()
    ids = [f"{number:08x}-3333-4000-8000-000000000003" for number in range(100)]
    more = tuple(port(id, "red", {}, f"10.0.9.{number}/24") for number, id in enumerate(ids))
    service.apply(replace(SLICE, metadata_ports=SLICE.metadata_ports + more))
    assert threading.active_count() == before
    assert hostname("blue") == "blue"
