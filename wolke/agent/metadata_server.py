"""The metadata service: guests ask 169.254.169.254 or fe80::a9fe:a9fe who they are.

One thread answers for all networks. Each network has its own namespace with its own listening sockets, so the same
address in two networks is two guests; the source address, which OVN's port security vouches for, tells who asks.
Guests are strangers: whatever they send is bounded in size, time and number.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import h11

from wolke.agent import metadata, namespaces
from wolke.agent.notes import Notes
from wolke.drivers.hypervisor import DriverError, VirtualSwitch
from wolke.wire.wanted import MetadataPort, Server, Wanted

log = logging.getLogger(__name__)

MAX_HEAD = 8 * 1024
MAX_BODY = 4 * 1024
MAX_CONNECTIONS = 128  # per network
MAX_CONNECTIONS_OF_ONE = 16
REQUEST_SECONDS = 10.0  # for a request to arrive and for its answer to be taken
REQUESTS_PER_SECOND, BURST = 50.0, 200.0  # of one address; who asks faster waits
RETRY_SECONDS = 5.0
LOOK_SECONDS = 60.0  # between two looks whether somebody took a namespace or a port away
PASSWORD_PATH = re.compile(r"/openstack/(?:latest|20\d\d-\d\d-\d\d)/password/?")
PRINTABLE = re.compile(rb"[\x20-\x7e\r\n]+")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes = b""
    kind: str = "text/plain; charset=utf-8"


class Pace:
    """Lets each name go at a rate, after a first burst."""

    def __init__(self) -> None:
        self.left: dict[str, tuple[float, float]] = {}  # name -> (what it may still ask at once, when that was so)

    def wait(self, name: str, now: float) -> float:
        """Count one request; seconds until it may be answered."""
        left, since = self.left.get(name, (BURST, now))
        left = min(BURST, left + (now - since) * REQUESTS_PER_SECOND) - 1
        self.left[name] = (left, now)
        if len(self.left) > 4096:
            whole = BURST / REQUESTS_PER_SECOND
            self.left = {name: (left, since) for name, (left, since) in self.left.items() if now - since < whole}
        return max(0.0, -left / REQUESTS_PER_SECOND)


class MetadataServer:
    """Serves what ``apply`` was last given."""

    def __init__(self, switch: VirtualSwitch, notes: Notes) -> None:
        self.switch, self.notes = switch, notes
        self.changed: Callable[[], None] = lambda: None
        self.slice: Wanted | None = None
        self.ports: dict[str, MetadataPort] = {}  # by network id
        self.servers: dict[str, Server] = {}
        self.trouble: dict[str, str] = {}
        self.connections: Counter[str] = Counter()  # by network id, and by network id and address
        self.pace = Pace()
        self.listening: dict[str, list[asyncio.Server]] = {}
        self.plumbed: dict[str, MetadataPort] = {}
        self.loop = asyncio.new_event_loop()
        self.pending = threading.Event()
        self.stopping = False
        self.threads = [
            threading.Thread(target=self.loop.run_forever, name="metadata", daemon=True),
            threading.Thread(target=self._keep_plumbing, name="metadata-namespaces", daemon=True),
        ]

    def start(self, changed: Callable[[], None] = lambda: None) -> None:
        """``changed`` is called when errors or passwords are other ones."""
        self.changed = changed
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """Stop answering. The namespaces stay: the next agent takes them over."""
        self.stopping = True
        self.pending.set()
        self.threads[1].join()
        for network_id in list(self.listening):
            self._close(network_id)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.threads[0].join()
        self.loop.close()

    def apply(self, slice: Wanted) -> None:
        self.servers = {server.id: server for server in slice.servers}
        self.ports = {port.network_id: port for port in slice.metadata_ports}
        self.slice = slice
        self.pending.set()

    def errors(self) -> dict[str, str]:
        return (
            {"metadata": "; ".join(f"{name}: {text}" for name, text in sorted(self.trouble.items()))}
            if self.trouble
            else {}
        )

    # Namespaces -------------------------------------------------------------------------------------------------

    def _keep_plumbing(self) -> None:
        while not self.stopping:
            self.pending.wait(RETRY_SECONDS if self.trouble else LOOK_SECONDS)
            self.pending.clear()
            if self.slice is not None and not self.stopping:
                before = dict(self.trouble)
                try:
                    self.plumb()
                except DriverError as error:
                    self.trouble = {"switch": described(error)}
                if self.trouble != before:
                    self.changed()

    def plumb(self) -> None:
        """Make the namespaces what the slice says; what fails stands in ``trouble`` and is tried again."""
        ports = self.ports
        trouble: dict[str, str] = {}
        self._forget_lost()
        for network_id, port in ports.items():
            wish = replace(port, servers={})
            if self.plumbed.get(network_id) == wish and network_id in self.listening:
                continue
            try:
                namespaces.prepare(port, self.switch)
                if network_id not in self.listening:
                    self._listen(network_id)
                self.plumbed[network_id] = wish
            except Exception as error:
                trouble[network_id] = described(error)
                log.warning("metadata of network %s cannot be served yet: %s", network_id, trouble[network_id])
        for network_id in self.listening.keys() - ports.keys():
            self._close(network_id)
            self.plumbed.pop(network_id, None)
        wished = {namespaces.name_of(network_id) for network_id in ports}
        for name in namespaces.existing() - wished:
            try:
                namespaces.remove(name, self.switch)
            except Exception as error:
                trouble[name] = described(error)
                log.warning("the namespace %s cannot be removed yet: %s", name, trouble[name])
        self.trouble = trouble

    def _forget_lost(self) -> None:
        """What was made and is no longer there is made again."""
        existing, attached = namespaces.existing(), self.switch.ports()
        for network_id, port in list(self.plumbed.items()):
            if namespaces.name_of(network_id) not in existing:
                self._close(network_id)
                del self.plumbed[network_id]
            elif attached.get(namespaces.outside_of(network_id)) != port.port_id:
                del self.plumbed[network_id]

    def _listen(self, network_id: str) -> None:
        async def begin() -> list[asyncio.Server]:
            return [
                await self.loop.create_server(lambda: Conversation(self, network_id), sock=handle)
                for handle in namespaces.sockets(namespaces.name_of(network_id))
            ]

        self.listening[network_id] = asyncio.run_coroutine_threadsafe(begin(), self.loop).result()

    def _close(self, network_id: str) -> None:
        async def end() -> None:
            for server in self.listening.pop(network_id):
                server.close()

        asyncio.run_coroutine_threadsafe(end(), self.loop).result()

    # Answers ----------------------------------------------------------------------------------------------------

    def answer(self, network_id: str, address: str, method: str, path: str, body: bytes) -> Answer:
        """What the guest at ``address`` in a network is told; nothing here blocks, except the one write of a password."""
        port = self.ports.get(network_id)
        server = self.servers.get(port.servers.get(address, "")) if port else None
        if server is None:
            return Answer(404, b"no server of this host has this address\n")
        path = path.split("?", maxsplit=1)[0]
        if PASSWORD_PATH.fullmatch(path) and method == "POST":
            return self.keep_password(server, body)
        if method not in ("GET", "HEAD"):
            return Answer(405)
        password = self.notes.get(server.id).password
        content = metadata.answer(server, path, seed=os.urandom(512), password=password)
        if content is None:
            return Answer(404)
        if path.endswith(".json"):
            return Answer(200, content, "application/json")
        return Answer(200, content)

    def keep_password(self, server: Server, body: bytes) -> Answer:
        if not PRINTABLE.fullmatch(body):
            return Answer(400, b"a password is printable and has 1 to 4096 bytes\n")
        if not self.notes.password(server.id, body.decode("ascii").strip()):
            return Answer(409, b"there is a password already\n")
        self.changed()
        return Answer(200)


def described(error: Exception) -> str:
    if isinstance(error, DriverError):
        return f"{error} {error.hint}".strip()
    return f"{type(error).__name__}: {error}"


class Conversation(asyncio.Protocol):
    """One connection of a guest."""

    def __init__(self, service: MetadataServer, network_id: str) -> None:
        self.service, self.network_id = service, network_id
        self.http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self.request: h11.Request | None = None
        self.body = b""
        self.transport: asyncio.Transport
        self.counted: list[str] = []
        self.deadline: asyncio.TimerHandle | None = None
        self.full = False  # the guest does not take what it asked for
        self.early = False  # the guest asks too fast

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        peer = transport.get_extra_info("peername")
        if not peer:
            transport.abort()
            return
        self.address = str(ipaddress.ip_address(peer[0].partition("%")[0]))
        self.whose = whose = f"{self.network_id} {self.address}"
        counts = self.service.connections
        if counts[self.network_id] >= MAX_CONNECTIONS or counts[whose] >= MAX_CONNECTIONS_OF_ONE:
            transport.abort()
            return
        self.counted = [self.network_id, whose]
        counts.update(self.counted)
        self._expect()

    def connection_lost(self, error: Exception | None) -> None:
        if self.deadline:
            self.deadline.cancel()
        for name in self.counted:
            self.service.connections[name] -= 1
            if not self.service.connections[name]:
                del self.service.connections[name]

    def _expect(self) -> None:
        if self.deadline:
            self.deadline.cancel()
        self.deadline = self.service.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def pause_writing(self) -> None:
        self.full = True
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.full = False
        self._resume()

    def _resume(self) -> None:
        if not (self.full or self.early or self.transport.is_closing()):
            self.transport.resume_reading()
            self._go_on()

    def data_received(self, data: bytes) -> None:
        self.http.receive_data(data)
        self._go_on()

    def eof_received(self) -> bool:
        self.http.receive_data(b"")
        self._go_on()
        return False

    def _go_on(self) -> None:
        try:
            while not (self.full or self.early or self.transport.is_closing()):
                match self.http.next_event():
                    case h11.NEED_DATA:
                        if self.http.they_are_waiting_for_100_continue:
                            self._send(h11.InformationalResponse(status_code=100, headers=[]))
                        return
                    case h11.PAUSED | h11.ConnectionClosed():
                        self.transport.close()
                        return
                    case h11.Request() as request:
                        self.request, self.body = request, b""
                    case h11.Data(data=chunk):
                        self.body += chunk
                        if len(self.body) > MAX_BODY:
                            self._reply(Answer(413), close=True)
                            return
                    case h11.EndOfMessage():
                        self._handle()
        except h11.RemoteProtocolError as error:
            if self.http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                self._reply(Answer(error.error_status_hint), close=True)
            self.transport.close()

    def _handle(self) -> None:
        loop = self.service.loop
        if wait := self.service.pace.wait(self.whose, loop.time()):
            self.early = True
            self.transport.pause_reading()
            loop.call_later(wait, self._answer_late)
        else:
            self._answer()

    def _answer_late(self) -> None:
        self.early = False
        if not self.transport.is_closing():
            self._answer()
            self._resume()

    def _answer(self) -> None:
        assert self.request is not None
        method, path = self.request.method.decode("ascii"), self.request.target.decode("ascii", "replace")
        try:
            answer = self.service.answer(self.network_id, self.address, method, path, self.body)
        except Exception:
            log.exception("a metadata request failed")
            answer = Answer(500)
        self._reply(answer)

    def _reply(self, answer: Answer, *, close: bool = False) -> None:
        headers = [
            ("content-type", answer.kind),
            ("content-length", str(len(answer.body))),
            ("server", "wolke"),
            *([("connection", "close")] if close else []),
        ]
        self._send(h11.Response(status_code=answer.status, headers=headers))
        if answer.body and not (self.request and self.request.method == b"HEAD"):
            self._send(h11.Data(data=answer.body))
        self._send(h11.EndOfMessage())
        if close or self.http.our_state is h11.MUST_CLOSE:
            self.transport.close()
            return
        self.http.start_next_cycle()
        self._expect()

    def _send(self, event: h11.Event) -> None:
        if data := self.http.send(event):
            self.transport.write(data)
