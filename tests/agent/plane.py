"""What an agent needs of a control plane, over real TLS with the project's own certificate authority."""

from __future__ import annotations

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
from cryptography import x509

from wolke.agent.node import Token
from wolke.core import pki
from wolke.wire.seen import Seen
from wolke.wire.wanted import Wanted

SECRET = "s3cret"


class Plane(ThreadingHTTPServer):
    """What an agent needs of a control plane, with the project's own certificate authority."""

    daemon_threads = True

    def __init__(self, listening: socket.socket | None = None, host: str = "alpha") -> None:
        super().__init__(("127.0.0.1", 0), Handler, bind_and_activate=listening is None)
        if listening is not None:
            self.socket.close()
            self.socket = listening
            self.server_address = listening.getsockname()
        self.ca = pki.new_authority(time.time())
        self.own = self.ca.control([], time.time())
        self.tls = pki.server_context(self.ca, self.own)
        self.socket = self.tls.wrap_socket(self.socket, server_side=True)
        self.host = host  # the only one that may join
        self.used: list[str] = []
        self.pictures: list[bytes] = []
        self.images: dict[str, Path] = {}
        self.slice = b""
        self.bell = threading.Condition()
        self.peers: list[str] = []
        self.serials: list[int] = []  # of the certificates that were shown

    @property
    def url(self) -> str:
        return f"https://{self.server_address[0]}:{self.server_address[1]}"

    @property
    def token(self) -> Token:
        return Token.parsed(f"wolke-join.{SECRET}.{self.ca.fingerprint}\n")

    def want(self, slice: Wanted, **unknown: object) -> None:
        with self.bell:
            self.slice = json.dumps(json.loads(msgspec.json.encode(slice)) | unknown).encode()
            self.bell.notify_all()

    @property
    def picture(self) -> Seen | None:
        """The last one."""
        return msgspec.json.decode(self.pictures[-1], type=Seen) if self.pictures else None

    def handle_error(self, request: object, address: object) -> None:
        """Peers that hang up in the middle are the point of some tests."""


class Handler(BaseHTTPRequestHandler):
    server: Plane
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers["content-length"]))

    def certificate(self) -> str:
        der = self.connection.getpeercert(binary_form=True)
        if not der:
            return ""
        shown = x509.load_der_x509_certificate(der)
        self.server.serials.append(shown.serial_number)
        return pki.common_name(shown)

    def do_POST(self) -> None:
        asked = json.loads(self.body())
        if self.path == "/agent/v1/join":
            if asked["token"] in self.server.used or SECRET not in asked["token"]:
                return self.answer(401, b"the token is used up")
            self.server.used.append(asked["token"])
        elif self.certificate() != self.server.host:
            return self.answer(401)
        signed = self.server.ca.sign_request(asked["csr"], self.server.host, time.time()).public_bytes(pki.PEM).decode()
        return self.answer(200, json.dumps({"certificate": signed, "ca": self.server.ca.pem}).encode())

    def do_GET(self) -> None:
        self.server.peers.append(self.certificate())
        if self.certificate() != self.server.host:
            return self.answer(401)
        if self.path.startswith("/agent/v1/wanted?after="):
            after = int(self.path.partition("=")[2])
            with self.server.bell:
                newer = self.server.bell.wait_for(
                    lambda: self.server.slice and json.loads(self.server.slice)["revision"] > after, 5
                )
            return self.answer(200, self.server.slice) if newer else self.answer(304)
        if self.path == "/agent/v1/images/big/file":
            return self.answer(200, b"0123456789abcdef" * (1 << 18))
        if self.path == "/agent/v1/images/torn/file":
            self.send_response(200)
            self.send_header("content-length", "1000000")
            self.end_headers()
            self.wfile.write(b"half")
            self.close_connection = True
            return None
        image = self.server.images.get(self.path.split("/")[-2])
        return self.answer(200, image.read_bytes()) if image else self.answer(404, b"no such image")

    def do_PUT(self) -> None:
        self.server.pictures.append(self.body())
        self.answer(204)
