"""The cloud's own certificate authority: who is a host of ours, and who the control plane.

One authority per cloud, its key sealed in the database, so that every api process issues and shows certificates of the same one.
A certificate's common name says who its bearer is: a host's name, or ``CONTROL``. RFC 5280.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from sqlalchemy import Text
from sqlalchemy.orm import Mapped, Session, mapped_column

from wolke.core.db import Base, lock
from wolke.core.errors import BadRequest
from wolke.core.secrets import Vault

CONTROL = "wolke-control"  # common name of the control plane's certificate
AUTHORITY_DAYS, CONTROL_DAYS, HOST_DAYS = 7300, 90, 90
SKEW = timedelta(hours=1)  # a host's clock may be late by so much
PEM = serialization.Encoding.PEM


class AuthorityRow(Base):
    __tablename__ = "authority"

    name: Mapped[str] = mapped_column(primary_key=True)
    certificate: Mapped[str] = mapped_column(Text)  # PEM
    key: Mapped[str] = mapped_column(Text)  # PEM, sealed by the vault


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its key, PEM; ``chain`` is the certificate and its authority's."""

    chain: str
    key: str


@dataclass(frozen=True, slots=True)
class Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(PEM).decode()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as join tokens name it."""
        return fingerprint(self.certificate)

    def sign_request(self, csr: str, host: str, now: float) -> x509.Certificate:
        """A host's certificate for the key in a signing request. Names in the request other than the host's are passed over:
        whoever speaks to a host checks its name, and no host can get a certificate for somebody else's address.

        Raises
        ------
        BadRequest: no signing request, not signed by its own key, for another name, or its key is too weak
        """
        try:
            request = x509.load_pem_x509_csr(csr.encode())
            names = [attribute.value for attribute in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
            key = request.public_key()
            signed = request.is_signature_valid
        except (ValueError, InvalidSignature) as error:
            raise BadRequest("Invalid input for csr: it is no certificate signing request") from error
        if not signed:
            raise BadRequest("Invalid input for csr: its signature is not of its own key")
        if names != [host]:
            raise BadRequest(f"Invalid input for csr: its common name must be '{host}'")
        if not (isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1"):
            raise BadRequest("Invalid input for csr: its key must be an elliptic curve key on P-256")
        return self._issue(host, key, [x509.DNSName(host)], HOST_DAYS, now)

    def control(self, addresses: Iterable[str], now: float) -> Issued:
        """A fresh certificate of the control plane, for the names and addresses that agents know it by."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(CONTROL), *map(general_name, dict.fromkeys(addresses))]
        certificate = self._issue(CONTROL, key.public_key(), names, CONTROL_DAYS, now)
        return Issued(certificate.public_bytes(PEM).decode() + self.pem, private_pem(key))

    def _issue(
        self, name: str, key: CertificateIssuerPublicKeyTypes, names: list[x509.GeneralName], days: int, now: float
    ) -> x509.Certificate:
        both = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return (
            begun(name, self.certificate.subject, key, days, now)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(both), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(issuer, critical=False)
            .sign(self.key, hashes.SHA256())
        )


def authority(db: Session, vault: Vault) -> Authority:
    """The cloud's authority; made on first call (which needs a write transaction)."""
    row = db.get(AuthorityRow, "hosts")
    if row is None:
        lock(db, "authority")
        row = db.get(AuthorityRow, "hosts")
    if row is None:
        made = new_authority(db.info["clock"]())
        row = AuthorityRow(name="hosts", certificate=made.pem, key=vault.seal(private_pem(made.key).encode()))
        db.add(row)
        db.flush()
        return made
    key = serialization.load_pem_private_key(vault.open(row.key), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Authority(x509.load_pem_x509_certificate(row.certificate.encode()), key)


def new_authority(now: float) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Wolke hosts")])
    usage = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "encipher_only", "decipher_only"), False,
    )  # fmt: skip
    certificate = (
        begun("Wolke hosts", subject, key.public_key(), AUTHORITY_DAYS, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def begun(
    name: str, issuer: x509.Name, key: CertificateIssuerPublicKeyTypes, days: int, now: float
) -> x509.CertificateBuilder:
    start = datetime.fromtimestamp(now, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - SKEW)
        .not_valid_after(start + timedelta(days=days))
    )


def general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 in hex."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def private_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


# TLS ----------------------------------------------------------------------------------------------------------------
def server_context(authority: Authority, own: Issued) -> ssl.SSLContext:
    """For the listener that agents speak to. Who has no certificate yet gets through and may only join."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_OPTIONAL
    return equipped(context, authority, own)


def client_context(authority: Authority, own: Issued) -> ssl.SSLContext:
    """For our connections to agents, which are asked for by the host's name (``server_hostname``), not by their address."""
    return equipped(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), authority, own)


def equipped(context: ssl.SSLContext, authority: Authority, own: Issued) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=authority.pem)
    show(context, own)
    return context


def show(context: ssl.SSLContext, own: Issued) -> None:
    """Use this certificate for every connection from now on. OpenSSL reads files only: the key goes through memory, not a disk."""
    handle = os.memfd_create("certificate", os.MFD_CLOEXEC)
    with os.fdopen(handle, "wb") as file:
        file.write((own.key + own.chain).encode())
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{handle}")


def common_name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""
