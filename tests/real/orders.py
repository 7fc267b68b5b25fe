"""Clients that order things of the public API at the same time, and keep a record of what was acknowledged.

A client gets an answer or a broken connection. After a broken one nobody knows whether the thing was made: such a client asks for it by
its mark, and orders it again when there is none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx2

from wolke.lab import wait_for

NETWORK, COMPUTE = "/network/v2.0", "/compute/v2.1"
PATHS = {
    "network": f"{NETWORK}/networks", "subnet": f"{NETWORK}/subnets", "port": f"{NETWORK}/ports", "router": f"{NETWORK}/routers",
    "floatingip": f"{NETWORK}/floatingips", "security_group": f"{NETWORK}/security-groups",
    "security_group_rule": f"{NETWORK}/security-group-rules", "server": f"{COMPUTE}/servers", "flavor": f"{COMPUTE}/flavors",
}  # fmt: skip
NAMELESS = {"floatingip", "security_group_rule"}  # bear their mark as a description
PATIENCE = 90.0  # seconds until a client gives up a cloud that does not answer
Json = dict[str, Any]


class Api:
    """The public API in few words; every answer that is an error raises."""

    def __init__(self, client: httpx2.Client) -> None:
        self.client = client

    def get(self, path: str, **query: str) -> Any:
        return _good(self.client.get(path, params=query)).json()

    def show(self, kind: str, id: str) -> Json:
        return dict(self.get(f"{PATHS[kind]}/{id}")[kind])

    def list(self, kind: str, **query: str) -> list[Json]:
        return list(self.get(PATHS[kind], **query)[f"{kind}s"])

    def make(self, kind: str, **body: Any) -> Json:
        return dict(_good(self.client.post(PATHS[kind], json={kind: body})).json()[kind])

    def act(self, server: str, action: str, body: Any = None) -> httpx2.Response:
        return _good(self.client.post(f"{PATHS['server']}/{server}/action", json={action: body}))

    def put(self, path: str, body: Json) -> Any:
        return _good(self.client.put(path, json=body)).json()

    def delete(self, kind: str, id: str) -> None:
        _good(self.client.delete(f"{PATHS[kind]}/{id}"))

    def status(self, server: str) -> str:
        return str(self.show("server", server)["status"])

    def image(self, name: str, disk_format: str, content: Any) -> str:
        about = {"name": name, "disk_format": disk_format, "container_format": "bare", "visibility": "public"}
        made = _good(self.client.post("/image/v2/images", json=about)).json()
        octets = {"content-type": "application/octet-stream"}
        _good(self.client.put(f"/image/v2/images/{made['id']}/file", content=content, headers=octets))
        return str(made["id"])


def _good(reply: httpx2.Response) -> httpx2.Response:
    assert reply.is_success, f"{reply.request.method} {reply.request.url}: {reply.status_code} {reply.text}"
    return reply


@dataclass
class Orders:
    """What was ordered: ``made`` holds (kind, id, mark) of each thing that was acknowledged, in order; ``broken`` counts connections."""

    api: Api
    made: list[tuple[str, str, str]] = field(default_factory=list)
    broken: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def order(self, kind: str, mark: str, **body: Any) -> Json:
        """One thing; it bears ``mark`` by which it is found again."""
        named = {"description" if kind in NAMELESS else "name": mark}
        known: list[Json] = []
        unsure = False  # whether an earlier try has made it

        def attempt() -> bool:
            nonlocal unsure
            try:
                if unsure:
                    known[:] = self.api.list(kind, **named)
                if not known:
                    known.append(self.api.make(kind, **named, **body))
                return True
            except httpx2.HTTPError:
                unsure = True
                with self._lock:
                    self.broken += 1
                return False

        assert wait_for(attempt, PATIENCE, every=0.2), f"{kind} {mark}: no answer within {PATIENCE:.0f} s"
        with self._lock:
            self.made.append((kind, known[0]["id"], mark))
        return known[0]

    def delete_all(self) -> None:
        """Everything that was made; what hangs on a thing goes before the thing."""
        kinds = ("server", "floatingip", "router", "port", "subnet", "network", "security_group_rule", "security_group")
        with ThreadPoolExecutor(8) as pool:
            for kind in kinds:
                ids = [id for made, id, _ in self.made if made == kind]
                list(pool.map(partial(self.api.delete, kind), ids))
        self.made.clear()


def at_once(stories: list[Callable[[], None]], clients: int = 12) -> tuple[ThreadPoolExecutor, list[Any]]:
    """The stories, told by so many clients at a time; the pool and what is pending."""
    pool = ThreadPoolExecutor(clients)
    return pool, [pool.submit(story) for story in stories]
