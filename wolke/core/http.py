"""What a domain declares of its API, and what its functions are handed. ``endpoint.py`` serves it.

A ``Service`` is one API (``/network``): its calls, its way to word errors, its microversions. A ``Call`` is one method on one path:
the rule it asks, the body it takes, the plain function behind it. OpenAPI, routing and the door list come from the same declarations.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from sqlalchemy.orm import Session
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request
from starlette.responses import Response

from wolke.core import quota
from wolke.core.app import App
from wolke.core.auth import Caller
from wolke.core.db import Json
from wolke.core.errors import Forbidden, TooLarge, TooSlow, WolkeError
from wolke.core.versions import Version, Versions
from wolke.core.work import wake

Result = TypeVar("Result")
Dialect = Callable[[WolkeError, int], Json | None]
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
BODY_SECONDS = 60.0  # in which a body that is read whole has to arrive


@dataclass(slots=True)
class Answer:
    """What a handler returns when a plain body with the call's usual status does not say enough.

    ``body`` : JSON object, bytes (sent as they are) or None
    """

    body: Json | list[Any] | bytes | None = None
    status: int = 0  # 0: the call's own
    headers: dict[str, str] = field(default_factory=dict)
    later: Callable[[], Awaitable[Json | None]] | None = None  # after the commit: asks a host for the body


class NeedsWrite(Exception):
    """Raised by a read that finds something to be made first: the call runs again in a write transaction."""


@dataclass(frozen=True, slots=True)
class Change:
    """Of one thing, for the audit."""

    project_id: str = ""
    before: Json | None = None
    after: Json | None = None


@dataclass(slots=True)
class Ctx:
    """One call under way. ``db`` is its transaction; whatever the handler does is committed or nothing is."""

    app: App
    db: Session
    caller: Caller
    version: Version
    path: Mapping[str, str]
    query: QueryParams
    headers: Headers
    base: str  # scheme, host and prefix of the service as the client spelt them, for links
    request_id: str
    service: Service
    writing: bool = True  # False in a read transaction: raise NeedsWrite to get another
    status: int = 200  # of the answer, for the audit
    asked: set[str] = field(default_factory=set)  # rules
    changes: dict[tuple[str, str], Change] = field(default_factory=dict)  # what a write is about, for the audit
    kept: list[Any] = field(default_factory=list)  # what was read and is asked for again before the call ends
    did: str = ""  # the rule that the audit names, where one call stands for many (actions)

    def allows(self, rule: str, target: Any) -> bool:
        self.asked.add(rule)
        return self.app.policy.allows(rule, self.caller, target)

    def require(self, rule: str, target: Any) -> None:
        """Raises Forbidden, naming the rule."""
        if not self.allows(rule, target):
            raise Forbidden(f"Policy doesn't allow {rule} to be performed.")

    def wake(self, kind: str, id: str) -> None:
        wake(self.db, kind, id)

    def claim(self, project_id: str, **amounts: int) -> None:
        quota.claim(self.db, self.service.name, project_id, **amounts)

    def about(self, thing: Any, *, before: Json | None = None, after: Json | None = None) -> None:
        """Tell the audit what this write changes, and how it was shown before and after."""
        project_id = getattr(thing, "project_id", "") or ""
        self.note(type(thing).__tablename__, str(thing.id), project_id, before=before, after=after)

    def note(
        self, kind: str, id: str, project_id: str, *, before: Json | None = None, after: Json | None = None
    ) -> None:
        """The same of what has no row of its own."""
        known = self.changes.get((kind, id))
        if known:
            before, after = before or known.before, after or known.after
        self.changes[kind, id] = Change(project_id, before, after)

    @property
    def now(self) -> float:
        """When the call is made, unix seconds: one moment, however often it is asked for."""
        return float(self.db.info.setdefault("now", self.app.clock()))


class Transact(Protocol):
    async def __call__(self, work: Callable[[Ctx], Result], *, writing: bool) -> Result: ...


@dataclass(slots=True)
class Edge:
    """An async call under way, one that moves bytes or speaks to hosts: a transaction is open only while ``read`` or ``write`` run."""

    app: App
    caller: Caller
    request: Request
    transact: Transact

    async def read(self, work: Callable[[Ctx], Result]) -> Result:
        """What ``work`` finds, in a thread and a read transaction."""
        return await self.transact(work, writing=False)

    async def write(self, work: Callable[[Ctx], Result]) -> Result:
        """What ``work`` returns, in a thread and a write transaction, which leaves its audit event like any other write."""
        return await self.transact(work, writing=True)


Handler = Callable[..., Any]
EdgeHandler = Callable[[Edge], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    method: str
    path: str  # without the service's prefix, ``{name}`` for parts
    rule: str  # "" for public calls only
    handler: Handler | None = None
    edge: EdgeHandler | None = None  # instead of ``handler``: speaks to hosts or moves bytes
    body: Any = None  # type that msgspec decodes the JSON body to, or None
    decode: Callable[[bytes, Version | None], Any] | None = None  # instead of ``parse``, where a type cannot say it
    status: int = 200
    public: bool = False
    since: Version = (0, 0)  # microversions that know this call
    until: Version = (99, 999)
    summary: str = ""
    # slow work on the body, before a transaction is open: (app, caller, parts of the path, body) -> what the handler gets as its body
    prepare: Callable[[App, Caller, Mapping[str, str], Any], Any] | None = None
    reads: bool = False  # a write method that changes nothing of ours (a token, a dry run)


class Service:
    """One API below the common origin."""

    def __init__(
        self,
        name: str,
        prefix: str,
        error: Dialect,
        *,
        type: str = "",
        endpoint: str = "",
        versions: Versions | None = None,
        id_header: str = "",
        strict: bool = False,
        told: bool = False,
    ) -> None:
        self.name, self.prefix, self.error, self.versions = name, prefix, error, versions
        self.type = type or name
        self.endpoint = endpoint  # what the catalogue's URL says beyond the prefix
        self.id_header = id_header  # of the request id, beside x-openstack-request-id
        self.strict = strict  # "true" is no boolean and "1" no number in its bodies
        self.told = told  # the audit keeps what was asked where a call does not say what it changed
        self.calls: list[Call] = []

    def call(self, method: str, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """Declare a call: ``handler(ctx)`` or ``handler(ctx, body)`` when ``body=`` names a type."""

        def declare(handler: Handler) -> Handler:
            summary = options.pop("summary", "") or (handler.__doc__ or "").strip().split("\n")[0]
            self.calls.append(Call(method=method, path=path, handler=handler, summary=summary, **options))
            return handler

        return declare

    def edge(self, method: str, path: str, **options: Any) -> Callable[[EdgeHandler], EdgeHandler]:
        """Declare a call that opens its own transactions: ``async handler(edge) -> Response``."""

        def declare(edge: EdgeHandler) -> EdgeHandler:
            summary = (edge.__doc__ or "").strip().split("\n")[0]
            self.calls.append(Call(method=method, path=path, edge=edge, summary=summary, **options))
            return edge

        return declare

    def headers(self, request_id: str, version: Version | None) -> dict[str, str]:
        found = {"x-openstack-request-id": request_id}
        if self.id_header:
            found[self.id_header] = request_id
        if self.versions and version:
            found |= self.versions.headers(version)
        return found


def origin(request: Request) -> str:
    """Scheme and host as the client spelt them."""
    scheme = request.headers.get("x-forwarded-proto", request.url.scheme)
    return f"{scheme}://{request.headers.get('host', request.url.netloc)}"


async def whole(request: Request, limit: int, seconds: float = BODY_SECONDS) -> bytes:
    """The body of a request that fits into memory.

    Raises
    ------
    TooLarge: more than ``limit`` bytes
    TooSlow: it did not arrive in time
    """
    chunks, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"The request is larger than {limit} bytes.")
                chunks.append(chunk)
    except TimeoutError as error:
        raise TooSlow(f"The request did not arrive within {seconds:.0f} seconds.") from error
    return b"".join(chunks)
