"""Bringing images that were asked for by address, in the loops. An import that is cut off starts again.

A project names the address, so this is a request that the cloud makes on a stranger's behalf: names are resolved here, and only
addresses that the whole internet may reach, or that the operator has listed (``image_import_networks``), are spoken to.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urljoin

import httpx2
from sqlalchemy import select

from wolke.core import work
from wolke.core.app import App
from wolke.core.errors import BadRequest, Conflict, TooLarge, WolkeError
from wolke.core.work import Again, Done, Item, Next
from wolke.image.data import Held, finish, importing
from wolke.image.store import Store
from wolke.image.table import Image

REDIRECTS, TRIES = 5, 5
AT_ONCE = 3  # imports of one process
CLEAN_SECONDS = 3600.0
SLOWEST = 64 * 1024  # bytes a second, from the second minute on: while one import trickles, the others wait


def reachable(app: App, host: str, port: int) -> str:
    """An address of ``host`` that may be spoken to. Raises BadRequest."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise BadRequest(f"The name {host} cannot be resolved") from error
    allowed = [ipaddress.ip_network(network) for network in app.config.image_import_networks]
    for text in sorted(map(str, found)):
        address = ipaddress.ip_address(text.partition("%")[0])
        if is_public(address) or any(address in network for network in allowed):
            return str(address)
    raise BadRequest(f"{host} has no address that images may be imported from")


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether it is an address of the internet; IPv6 forms of IPv4 addresses (mapped, NAT64, 6to4) hide what they lead to.

    >>> [is_public(ipaddress.ip_address(text)) for text in ("1.1.1.1", "64:ff9b::a00:1", "::127.0.0.1", "224.0.0.1")]
    [True, False, False, False]
    """
    return address.is_global and not address.is_multicast and not address.is_reserved


def fetch(app: App, held: Held, uri: str) -> None:
    """Download to the store and make it the image's data."""
    for _ in range(REDIRECTS):
        try:
            url = httpx2.URL(uri)
        except httpx2.InvalidURL as error:
            raise BadRequest(f"{uri} is no address: {error}") from error
        if url.scheme not in ("http", "https") or not url.host:
            raise BadRequest(f"{uri} is no http or https address")
        address = reachable(app, url.host, url.port or (443 if url.scheme == "https" else 80))
        target = url.copy_with(host=address)
        headers = {"Host": url.netloc.decode(), "Accept-Encoding": "identity"}
        extensions = {"sni_hostname": url.host}
        with (
            httpx2.Client(timeout=60.0, trust_env=False) as client,
            client.stream("GET", target, headers=headers, extensions=extensions) as answer,
        ):
            if answer.is_redirect:
                uri = urljoin(uri, answer.headers["location"])
                continue
            if answer.status_code != httpx2.codes.OK:
                raise BadRequest(f"{uri} answers {answer.status_code}")
            incoming = app.part(Store).incoming(held.image_id)
            try:
                started = time.monotonic()
                for piece in answer.iter_raw():  # as it lies there: nothing is unpacked on the way
                    incoming.write(piece)
                    held.keep(app)
                    if incoming.size > app.config.max_image:
                        raise TooLarge(f"The image is larger than {app.config.max_image} bytes")
                    took = time.monotonic() - started
                    if took > 60 and incoming.size < took * SLOWEST:
                        raise BadRequest(f"{uri} sends less than {SLOWEST} bytes a second")
            except BaseException:
                incoming.drop()
                raise
        finish(app, held, incoming)
        return
    raise BadRequest(f"{uri} redirects too often")


def staged(app: App, held: Held) -> None:
    source, incoming = app.part(Store).staged(held.image_id), app.part(Store).incoming(held.image_id)
    with source.open("rb") as file:
        while piece := file.read(2**20):
            incoming.write(piece)
            held.keep(app)
    finish(app, held, incoming)
    source.unlink(missing_ok=True)


def run(app: App, items: Sequence[Item]) -> dict[Item, Next]:
    """One import; what cannot work goes back to ``queued`` with its reason, the rest is tried again later."""
    [item] = items
    with app.database.read() as db:
        row = importing(db, item.id)
    if row is None:
        return {item: Done()}
    if row.data_until > app.clock():  # a download outlasts the item's lease; whoever does it says that he still does
        return {item: Again(row.data_until - app.clock())}
    held = Held(row.id, str(row.disk_format), "importing", row.data_until, work.LEASE_SECONDS)
    try:
        held.renew(app)
        if row.import_uri == "staged:":
            staged(app, held)
        else:
            fetch(app, held, row.import_uri)
    except (WolkeError, httpx2.HTTPError) as error:
        if isinstance(error, httpx2.HTTPError) and item.attempts < TRIES - 1:
            let_go(app, held, data_until=0.0)
            raise
        let_go(app, held, data="queued", data_until=0.0, import_uri="", import_error=str(error))
    except BaseException:
        let_go(app, held, data_until=0.0)
        raise
    return {item: Done()}


def let_go(app: App, held: Held, **values: object) -> None:
    """Write how it ended, unless somebody else imports it by now, or it is gone."""
    with suppress(Conflict), app.database.transaction() as db:
        held.write(db, **values)
        if "import_uri" in values:
            app.part(Store).remove(held.image_id)


def tidy(app: App, items: Sequence[Item]) -> dict[Item, Next]:
    """Remove files that serve no image any more."""

    def images() -> dict[str, bool]:
        with app.database.read() as db:
            rows = db.execute(select(Image.id, Image.data).where(Image.deleting.is_(False))).all()
        return {row.id: row.data == "active" for row in rows}

    app.part(Store).sweep(images)
    return {item: Again(CLEAN_SECONDS) for item in items}
