"""A host joins by a token that works once, and is known by its certificate from then on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select

from tests.compute.hosts.certificates import new_key, request
from wolke.compute.hosts import joining
from wolke.compute.hosts.joining import JoinToken
from wolke.compute.hosts_table import Host
from wolke.core.app import App, quiet_app
from wolke.core.config import Config
from wolke.core.errors import BadRequest, Forbidden, Unauthorized
from wolke.core.pki import Authority, authority, common_name, new_authority


class Place:
    """A control plane with its authority, and a clock."""

    def __init__(self, directory: str) -> None:
        self.now = 1_800_000_000.0
        self.app: App = quiet_app(Config(state=directory), clock=lambda: self.now)
        self.app.database.create_tables()

    @property
    def ca(self) -> Authority:
        with self.app.database.transaction() as db:
            return authority(db, self.app.vault)

    def token(self, host: str = "h1") -> str:
        return joining.new_token(self.app, host)

    def join(self, token: str, host: str = "h1", csr: str = "") -> x509.Certificate:
        made = joining.join(self.app, self.ca, token, host, csr or request(host))
        return x509.load_pem_x509_certificate(made.encode())

    def renew(self, certificate: x509.Certificate, csr: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate(joining.renew(self.app, self.ca, certificate, csr).encode())

    def who(self, certificate: x509.Certificate | None) -> str:
        return joining.host_of(self.app, certificate)


@pytest.fixture
def place(tmp_path) -> Iterator[Place]:
    made = Place(str(tmp_path))
    yield made
    made.app.close()


def test_every_process_shows_the_same_authority_and_its_key_is_sealed(place):
    first, second = place.ca, place.ca
    assert first.fingerprint == second.fingerprint
    with place.app.database.read() as db:
        [row] = db.connection().exec_driver_sql("SELECT key FROM authority")
    assert "PRIVATE KEY" not in row[0]


def test_a_token_makes_a_host_once(place):
    token = place.token()
    certificate = place.join(token)
    assert place.who(certificate) == "h1"
    with pytest.raises(Unauthorized):
        place.join(token)
    assert place.who(certificate) == "h1"  # the second try took nothing away


def test_the_secret_of_a_token_is_not_in_the_database(place):
    secret = place.token().split(".")[1]
    with place.app.database.read() as db:
        [kept] = db.scalars(select(JoinToken.digest))
    assert secret not in kept
    with pytest.raises(Unauthorized):
        place.join(f"wolke-join.{kept}.{place.ca.fingerprint}")


def test_a_token_ends_after_an_hour(place):
    token = place.token()
    place.now += 3601
    with pytest.raises(Unauthorized):
        place.join(token)


def test_a_token_is_for_one_host(place):
    token = place.token("h1")
    with pytest.raises(Unauthorized):
        place.join(token, "h2")
    assert place.join(token, "h1")


@pytest.mark.parametrize("token", ["", "wolke-join", "wolke-join..", "wolke-join.guess.00", "a.b.c.d"])
def test_a_token_that_nobody_gave_is_refused(place, token):
    with pytest.raises(Unauthorized):
        place.join(token)


@pytest.mark.parametrize("name", ["", "wolke-control", "H1", "h1/../h2", "-h1", "h1 ", "a" * 64, "h1\n"])
def test_only_host_names_can_join(place, name):
    with pytest.raises(BadRequest):
        place.token(name)


def test_a_refused_request_does_not_use_up_the_token(place):
    token = place.token()
    for csr in ("no request", request("h2"), request("wolke-control"), request("h1", new_key(ec.SECP192R1()))):
        with pytest.raises(BadRequest):
            place.join(token, csr=csr)
    assert place.who(place.join(token)) == "h1"


def test_a_host_gets_no_certificate_for_other_names(place):
    wanted = [x509.DNSName("wolke-control"), x509.DNSName("control.example.org"), x509.DNSName("h1")]
    certificate = place.join(place.token(), csr=request("h1", new_key(), *wanted))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["h1"]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_renewed_certificate_replaces_the_old_one_when_it_is_first_used(place):
    old = place.join(place.token())
    new = place.renew(old, request("h1"))
    assert place.who(old) == "h1"  # the answer may have been lost: the old one still works
    assert place.who(new) == "h1"
    with pytest.raises(Unauthorized):
        place.who(old)
    with pytest.raises(Forbidden):
        place.renew(old, request("h1"))


def test_a_renewal_whose_answer_was_lost_is_simply_asked_again(place):
    old = place.join(place.token())
    lost = place.renew(old, request("h1"))
    again = place.renew(old, request("h1"))
    assert place.who(again) == "h1"
    with pytest.raises(Unauthorized):
        place.who(lost)


def test_joining_again_ends_the_former_certificate(place):
    stolen = place.join(place.token())
    place.join(place.token())
    with pytest.raises(Unauthorized):
        place.who(stolen)


def test_a_certificate_ends(place):
    certificate = place.join(place.token())
    place.now += 91 * 86400
    with pytest.raises(Unauthorized):
        place.who(certificate)


def test_who_is_no_host_is_not_let_in(place):
    place.join(place.token())
    control = x509.load_pem_x509_certificate(place.ca.control(["127.0.0.1"], place.now).chain.encode())
    assert common_name(control) == "wolke-control"
    with pytest.raises(Forbidden):
        place.who(control)
    with pytest.raises(Unauthorized):
        place.who(None)


def test_another_authoritys_certificate_is_not_ours(place):
    place.join(place.token())
    forged = new_authority(place.now).sign_request(request("h1"), "h1", place.now)
    with pytest.raises(Unauthorized):
        place.who(forged)


def test_a_host_that_was_taken_out_is_not_let_in(place):
    certificate = place.join(place.token())
    with place.app.database.transaction() as db:
        db.delete(db.get(Host, "h1"))
    with pytest.raises(Forbidden):
        place.who(certificate)
