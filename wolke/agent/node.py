"""Who this host is: its key, its certificate and the authority it trusts, in ``STATE/node``.

A join token is ``wolke-join.<secret>.<sha256 of the authority's certificate, hex>``: the agent believes the control
plane only if its certificate chain holds exactly this authority, before it says the secret.
"""

from __future__ import annotations

import hashlib
import logging
import socket
import ssl
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from wolke.agent.link import CONTROL, TO_CONTROL, HttpsLink, LinkError, checked, speaking
from wolke.agent.notes import write_whole

log = logging.getLogger(__name__)


class JoinRefused(RuntimeError):
    """The token or the control plane is not what it should be; trying again does not help."""


@dataclass(frozen=True, slots=True)
class Token:
    whole: str
    fingerprint: str

    @classmethod
    def parsed(cls, text: str) -> Token:
        match text.strip().split("."):
            case ["wolke-join", secret, fingerprint] if secret and len(fingerprint) == 64:
                return cls(text.strip(), fingerprint.lower())
        raise JoinRefused("the join token is not of the form wolke-join.<secret>.<fingerprint>")


class Node:
    """The host's identity on disk."""

    def __init__(self, state: Path, host: str) -> None:
        self.directory, self.host = state / "node", host
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.key, self.certificate, self.ca = (self.directory / name for name in ("key.pem", "cert.pem", "ca.pem"))

    @property
    def joined(self) -> bool:
        """A host that was off for longer than its certificate lives has to join again."""
        if not (self.certificate.exists() and self.key.exists()):
            return False
        return datetime.now(UTC) < x509.load_pem_x509_certificate(self.certificate.read_bytes()).not_valid_after_utc

    def request(self, name: str) -> str:
        """A new key in ``name`` and the signing request for it, PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem = serialization.Encoding.PEM
        plain = serialization.NoEncryption()
        write_whole(self.directory / name, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.host)])
        request = x509.CertificateSigningRequestBuilder().subject_name(subject)
        return request.sign(key, hashes.SHA256()).public_bytes(pem).decode()

    def join(self, control: str, token: Token) -> None:
        """Exchange the one-time token for a certificate.

        Raises
        ------
        LinkError: the control plane is away; try again
        JoinRefused: another control plane, or the token is used up
        """
        authority = trusted_authority(control, token.fingerprint)
        context = ssl.create_default_context(cadata=authority)
        csr = self.request("key.new")
        with speaking():
            body = {"token": token.whole, "host": self.host, "csr": csr}
            url = f"{control}/agent/v1/join"
            with httpx2.Client(verify=context, timeout=30.0, trust_env=False) as client:
                reply = client.post(url, json=body, extensions=TO_CONTROL)
            if reply.status_code in (400, 401, 403, 404, 409):
                raise JoinRefused(f"the control plane refused the token: {reply.text[:300]}")
            answer = checked(reply).json()
            certificate = str(answer["certificate"])
        self.adopt(certificate, authority)

    def adopt(self, certificate: str, authority: str) -> None:
        """Take the certificate that was signed for ``key.new``; ``finish`` mends a crash between the renames."""
        write_whole(self.ca, authority.encode())
        write_whole(self.directory / "cert.new", certificate.encode())
        self.finish()

    def finish(self) -> None:
        """Move a whole new pair into place; also after a crash in the middle of it."""
        new_key, new_certificate = self.directory / "key.new", self.directory / "cert.new"
        if new_certificate.exists():
            if new_key.exists():
                new_key.replace(self.key)
            new_certificate.replace(self.certificate)

    def server_context(self) -> ssl.SSLContext:
        """For our listener: only bearers of a certificate of our authority get through."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        return self._loaded(context)

    def client_context(self) -> ssl.SSLContext:
        return self._loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    def _loaded(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(self.ca)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def renewal_due(self) -> float:
        """Unix seconds; when two thirds of the certificate's life are over."""
        certificate = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        return (begin + (end - begin) * 2 / 3).timestamp()

    def renew(self, link: HttpsLink, contexts: list[ssl.SSLContext]) -> None:
        """Get the next certificate and use it for every connection from now on."""
        self.adopt(link.renew(self.request("key.new")), self.ca.read_text())
        for context in contexts:
            context.load_cert_chain(self.certificate, self.key)
        link.reconnect()  # the control plane refuses the old certificate as soon as it has seen the new one
        log.info("certificate renewed, next at %s", datetime.fromtimestamp(self.renewal_due(), UTC))


def joined(node: Node, control: str, token_file: Path | None, stop: threading.Event, *, wait: float = 2.0) -> None:
    """Return once the host has its certificate, or ``stop`` is set; waits for a control plane that is not there yet."""
    node.finish()
    while not node.joined and not stop.is_set():
        if token_file is None or not token_file.exists():
            raise JoinRefused("this host has no valid certificate and there is no join token")
        try:
            node.join(control, Token.parsed(token_file.read_text()))
        except LinkError as error:
            log.warning("cannot join yet: %s", error)
            stop.wait(wait)
        else:
            log.info("joined as %s", node.host)


def trusted_authority(control: str, fingerprint: str) -> str:
    """The authority's certificate (PEM) out of the chain that the control plane shows, if it is the one we know."""
    where = urlsplit(control)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only looked at: nothing is sent over this connection
    for der in shown_chain(where.hostname or "", where.port or 443, context):
        if hashlib.sha256(der).hexdigest() == fingerprint:
            return ssl.DER_cert_to_PEM_cert(der)
    raise JoinRefused("the control plane's authority is not the one that the join token names")


def shown_chain(host: str, port: int, context: ssl.SSLContext) -> list[bytes]:
    """The certificates a server shows, its own first; DER."""
    try:
        with (
            socket.create_connection((host, port), timeout=15) as plain,
            context.wrap_socket(plain, server_hostname=CONTROL) as tls,
        ):
            chain = tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # public from Python 3.13 on
    except OSError as error:
        raise LinkError(f"the control plane cannot be reached: {error}") from error
    return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in chain]
