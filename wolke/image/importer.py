"""Bringing images that were asked for by address, in the loops. An import that is cut off starts again.

A project names the address, so this is a request that the cloud makes on a stranger's behalf: names are resolved here, and only
addresses that the whole internet may reach, or that the operator has listed (``image_import_networks``), are spoken to.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urljoin

import httpx
from sqlalchemy import select

from wolke.core.app import App
from wolke.core.errors import BadRequest, WolkeError
from wolke.core.work import Again, Done, Item, Next
from wolke.drivers.imageformat import UnsafeImage
from wolke.image.data import TooBig, finish, importing, set_data
from wolke.image.store import Store
from wolke.image.table import Image

REDIRECTS = 5
CLEAN_SECONDS = 3600.0


def reachable(app: App, host: str, port: int) -> str:
    """An address of ``host`` that may be spoken to. Raises BadRequest."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise BadRequest(f"The name {host} cannot be resolved") from error
    allowed = [ipaddress.ip_network(network) for network in app.config.image_import_networks]
    for text in sorted(map(str, found)):
        address = ipaddress.ip_address(text.partition("%")[0])
        if address.is_global or any(address in network for network in allowed):
            return str(address)
    raise BadRequest(f"{host} has no address that images may be imported from")


def fetch(app: App, image_id: str, uri: str, disk_format: str) -> None:
    """Download to the store and make it the image's data."""
    for _ in range(REDIRECTS):
        url = httpx.URL(uri)
        address = reachable(app, url.host, url.port or (443 if url.scheme == "https" else 80))
        target = url.copy_with(host=address)
        headers = {"Host": url.netloc.decode(), "Accept-Encoding": "identity"}
        extensions = {"sni_hostname": url.host}
        with (
            httpx.Client(timeout=60.0, trust_env=False) as client,
            client.stream("GET", target, headers=headers, extensions=extensions) as answer,
        ):
            if answer.is_redirect:
                uri = urljoin(uri, answer.headers["location"])
                continue
            if answer.status_code != httpx.codes.OK:
                raise BadRequest(f"{uri} answers {answer.status_code}")
            incoming = app.part(Store).incoming(image_id)
            try:
                for piece in answer.iter_bytes(2**20):
                    incoming.write(piece)
                    if incoming.size > app.config.max_image:
                        raise TooBig(f"The image is larger than {app.config.max_image} bytes")
            except BaseException:
                incoming.drop()
                raise
        finish(app, image_id, disk_format, incoming)
        return
    raise BadRequest(f"{uri} redirects too often")


def staged(app: App, image_id: str, disk_format: str) -> None:
    source, incoming = app.part(Store).staged(image_id), app.part(Store).incoming(image_id)
    with source.open("rb") as file:
        while piece := file.read(2**20):
            incoming.write(piece)
    finish(app, image_id, disk_format, incoming)
    source.unlink()


def run(app: App, items: Sequence[Item]) -> dict[Item, Next]:
    """One import each; what cannot work goes back to ``queued`` with its reason, the rest is tried again later."""
    [item] = items
    if item.kind == "image_clean":
        clean(app)
        return {item: Again(CLEAN_SECONDS)}
    with app.database.read() as db:
        row = importing(db, item.id)
    if row is None:
        return {item: Done()}
    try:
        if row.import_uri == "staged:":
            staged(app, row.id, row.disk_format)
        else:
            fetch(app, row.id, row.import_uri, row.disk_format)
    except (WolkeError, UnsafeImage) as error:
        with app.database.transaction() as db:
            set_data(db, row.id, data="queued", import_uri="", import_error=str(error))
        app.part(Store).remove(row.id)
    return {item: Done()}


def clean(app: App) -> None:
    """Remove files that belong to no image."""
    with app.database.read() as db:
        living = list(db.scalars(select(Image.id).where(Image.deleting.is_(False))))
    app.part(Store).sweep(living)
