"""The line to the control plane: HTTPS, mutual TLS, always opened by the agent.

Errors of any kind come as ``LinkError``; whoever calls tries again later, guests go on meanwhile.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import httpx2
import msgspec

from wolke.wire.seen import Seen
from wolke.wire.wanted import Wanted

CONTROL = "wolke-control"  # common name and DNS name of the control plane's certificate
TO_CONTROL = {"sni_hostname": CONTROL}  # who must answer, whatever address it is reached at: no other host will do
POLL_SECONDS = 30.0  # the control plane holds a poll for so long


class LinkError(Exception):
    """The control plane is away or refuses."""


class Dismissed(LinkError):
    """The control plane knows this host no more."""


class Link(Protocol):
    def wanted(self, after: int) -> Wanted | None:
        """The slice if it is newer than ``after``; None when nothing changed while the poll was held."""

    def seen(self, picture: Seen) -> None: ...
    def image(self, id: str, path: Path) -> None:
        """Write the image's bytes to ``path``."""

    def renew(self, csr: str) -> str:
        """The next certificate of this host, PEM."""


class HttpsLink:
    """``Link`` over HTTPS.

    ``context`` is kept: a renewed certificate that is loaded into it is used by the next connection.
    """

    def __init__(self, control: str, context: ssl.SSLContext) -> None:
        self.control, self.context = control, context
        self.reconnect()

    def reconnect(self) -> None:
        """Use no connection again that was opened before: it bears the certificate of that time. Calls under way end as they would."""
        limits = httpx2.Limits(max_connections=16, keepalive_expiry=60)
        self.client = httpx2.Client(
            base_url=self.control, verify=self.context, limits=limits, timeout=15.0, trust_env=False
        )

    def close(self) -> None:
        self.client.close()

    def wanted(self, after: int) -> Wanted | None:
        with speaking():
            timeout = httpx2.Timeout(15.0, read=POLL_SECONDS + 15)
            where = {"after": after}
            reply = self.client.get("/agent/v1/wanted", params=where, timeout=timeout, extensions=TO_CONTROL)
            if reply.status_code in (204, 304):
                return None
            slice = msgspec.json.decode(checked(reply).content, type=Wanted)
        return None if slice.revision == after else slice

    def seen(self, picture: Seen) -> None:
        with speaking():
            body, headers = msgspec.json.encode(picture), {"content-type": "application/json"}
            checked(self.client.put("/agent/v1/seen", content=body, headers=headers, extensions=TO_CONTROL))

    def image(self, id: str, path: Path) -> None:
        with (
            speaking(),
            self.client.stream("GET", f"/agent/v1/images/{id}/file", timeout=60.0, extensions=TO_CONTROL) as reply,
            path.open("wb") as file,
        ):
            if reply.is_error:
                reply.read()
            for chunk in checked(reply).iter_bytes(1 << 20):
                file.write(chunk)

    def renew(self, csr: str) -> str:
        with speaking():
            reply = self.client.post("/agent/v1/renew", json={"csr": csr}, timeout=30.0, extensions=TO_CONTROL)
            return str(checked(reply).json()["certificate"])


def checked(reply: httpx2.Response) -> httpx2.Response:
    if reply.status_code == 410:
        raise Dismissed(f"the control plane answered 410: {reply.text[:300]}")
    if reply.is_error:
        raise LinkError(f"the control plane answered {reply.status_code}: {reply.text[:300]}")
    return reply


@contextmanager
def speaking() -> Iterator[None]:
    try:
        yield
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise LinkError(f"the control plane cannot be reached: {error or type(error).__name__}") from error
    except (msgspec.DecodeError, ValueError, KeyError) as error:
        raise LinkError(f"the control plane's answer cannot be read: {error}") from error
