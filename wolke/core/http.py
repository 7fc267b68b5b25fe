"""From HTTP to a handler and back: authentication, microversion, body, one transaction, audit, the service's error dialect.

A ``Service`` is one API (``/network``): its calls, its way to word errors, its microversions. A ``Call`` is one method on one path:
the rule it asks, the body it takes, the plain function behind it. OpenAPI, routing and the door list come from the same declarations.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio.to_thread
import msgspec
from anyio import CapacityLimiter
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session
from starlette.datastructures import Headers, QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router

from wolke.core import log as logs
from wolke.core import metrics, quota
from wolke.core.app import App
from wolke.core.auth import ANONYMOUS, Caller
from wolke.core.bodies import parse
from wolke.core.db import Json
from wolke.core.errors import (
    Conflict,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    Unauthorized,
    Unavailable,
    WolkeError,
)
from wolke.core.events import Event
from wolke.core.versions import Version, Versions
from wolke.core.work import wake

log = logging.getLogger(__name__)
Dialect = Callable[[WolkeError, int], Json | None]
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(slots=True)
class Answer:
    """What a handler returns when a plain body with the call's usual status does not say enough.

    ``body`` : JSON object, bytes (sent as they are) or None
    """

    body: Json | list[Any] | bytes | None = None
    status: int = 0  # 0: the call's own
    headers: dict[str, str] = field(default_factory=dict)
    later: Callable[[], Awaitable[Json | None]] | None = None  # after the commit: asks a host for the body


@dataclass(frozen=True, slots=True)
class Later:
    """An answer whose body has to be fetched once the transaction is over."""

    body: Callable[[], Awaitable[Json | None]]
    status: int
    headers: dict[str, str]


class NeedsWrite(Exception):
    """Raised by a read that finds something to be made first: the call runs again in a write transaction."""


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
    asked: set[str] = field(default_factory=set)  # rules
    changed: tuple[str, str, str] = ("", "", "")  # kind, id, project of what a write is about, for the audit
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

    def about(self, thing: Any) -> None:
        """Tell the audit what this write is about."""
        self.changed = (type(thing).__tablename__, str(thing.id), getattr(thing, "project_id", "") or "")

    @property
    def now(self) -> float:
        return self.app.clock()


Handler = Callable[..., Any]
Edge = Callable[[App, Caller, Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    method: str
    path: str  # without the service's prefix, ``{name}`` for parts
    rule: str  # "" for public calls only
    handler: Handler | None = None
    edge: Edge | None = None  # speaks to hosts or moves bytes: manages its own transactions, is told the caller
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
    ) -> None:
        self.name, self.prefix, self.error, self.versions = name, prefix, error, versions
        self.type = type or name
        self.endpoint = endpoint  # what the catalogue's URL says beyond the prefix
        self.id_header = id_header  # of the request id, beside x-openstack-request-id
        self.strict = strict  # "true" is no boolean and "1" no number in its bodies
        self.calls: list[Call] = []

    def call(self, method: str, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """Declare a call: ``handler(ctx)`` or ``handler(ctx, body)`` when ``body=`` names a type."""

        def declare(handler: Handler) -> Handler:
            summary = options.pop("summary", "") or (handler.__doc__ or "").strip().split("\n")[0]
            self.calls.append(Call(method=method, path=path, handler=handler, summary=summary, **options))
            return handler

        return declare

    def edge(self, method: str, path: str, **options: Any) -> Callable[[Edge], Edge]:
        def declare(edge: Edge) -> Edge:
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


@dataclass(slots=True)
class Told:
    """What came in, read whole, so that a thread can work on it without the event loop."""

    method: str
    path: str
    params: dict[str, str]
    query: QueryParams
    headers: Headers
    origin: str
    raw: bytes
    address: str
    request_id: str


class Endpoint:
    """All methods of one path of one service."""

    def __init__(self, app: App, service: Service, calls: list[Call], threads: CapacityLimiter) -> None:
        self.app, self.service, self.threads = app, service, threads
        self.calls: dict[str, list[Call]] = {}
        for call in calls:
            self.calls.setdefault(call.method, []).append(call)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        started = time.perf_counter()
        told = Told(
            request.method, request.url.path, {key: str(value) for key, value in request.path_params.items()},
            request.query_params, request.headers, origin(request), b"",
            request.client.host if request.client else "", f"req-{uuid.uuid4()}",
        )  # fmt: skip
        token = logs.request_id.set(told.request_id)
        rule = ""
        try:
            response, rule = await self._answer(request, told)
        except ClientDisconnect:
            return
        finally:
            logs.request_id.reset(token)
        took = time.perf_counter() - started
        metrics.requests.labels(self.service.name, told.method, rule, response.status_code).inc()
        metrics.seconds.labels(self.service.name).observe(took)
        log.info(
            "%s %s %d", told.method, told.path, response.status_code,
            extra={"method": told.method, "path": told.path, "status": response.status_code, "milliseconds": round(took * 1e3, 2)},
        )  # fmt: skip
        if told.method == "HEAD":
            response.body = b""
        await response(scope, receive, send)

    async def _answer(self, request: Request, told: Told) -> tuple[Response, str]:
        version: Version | None = None
        rule = ""
        try:
            version = self.service.versions.asked(told.headers) if self.service.versions else None
            call = self._chosen(told.method, version)
            rule = call.rule
            if call.edge:
                caller = await anyio.to_thread.run_sync(self._caller, call, told, limiter=self.threads)
                response = await call.edge(self.app, caller, request)
                for name, value in self.service.headers(told.request_id, version).items():
                    response.headers.setdefault(name, value)
                return response, rule
            told.raw = await self._body(request)
            served = await anyio.to_thread.run_sync(self._serve, call, told, version, limiter=self.threads)
            if isinstance(served, Later):
                content = encode(await served.body())
                served = Response(content, served.status, served.headers, media_type="application/json")
            return served, rule
        except WolkeError as error:
            return self.refusal(error, told.request_id, version), rule

    def _chosen(self, method: str, version: Version | None) -> Call:
        found = self.calls.get(method) or (self.calls.get("GET") if method == "HEAD" else None)
        if not found:
            raise MethodNotAllowed(f"The method {method} is not allowed for this resource.")
        for call in found:
            if version is None or call.since <= version <= call.until:
                return call
        raise NotFound("The resource could not be found.")

    async def _body(self, request: Request) -> bytes:
        limit = self.app.config.max_body
        chunks, size = [], 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"The request is larger than {limit} bytes.")
            chunks.append(chunk)
        return b"".join(chunks)

    def _caller(self, call: Call, told: Told) -> Caller:
        token = told.headers.get("x-auth-token", "")
        if call.public:
            return ANONYMOUS
        if not token:
            raise Unauthorized("The request you have made requires authentication.")
        caller = self.app.authenticate(token)
        if caller.access_rules is not None:
            limited_to(caller, self.service, told.method, told.path)
        return caller

    def _serve(self, call: Call, told: Told, version: Version | None) -> Response | Later:
        try:
            caller = self._caller(call, told)
            body: tuple[Any, ...] = ()
            if call.body is not None:
                body = (
                    call.decode(told.raw, version)
                    if call.decode
                    else parse(call.body, told.raw, version, self.service.strict),
                )
            if call.prepare:
                body = (call.prepare(self.app, caller, told.params, *body),)
            writing = told.method in WRITES and not call.reads
            for attempt in (1, 2, 3):
                try:
                    return self._run(call, told, version, caller, body, writing)
                except NeedsWrite:
                    writing = True
                except OperationalError as error:  # a deadlock or a lock that did not come: nothing was written
                    if attempt == 3:
                        raise Unavailable("The database is busy; try again.", hint=str(error)) from error
            raise AssertionError("unreachable")
        except WolkeError as error:
            return self.refusal(error, told.request_id, version)
        except IntegrityError as error:
            log.info("conflict: %s", error.orig)
            return self.refusal(
                Conflict("Another request has changed the same thing; try again."), told.request_id, version
            )
        except Exception:
            log.exception("%s %s", told.method, told.path)
            return self.refusal(WolkeError("An unexpected error prevented this request."), told.request_id, version)

    def _run(
        self, call: Call, told: Told, version: Version | None, caller: Caller, body: tuple[Any, ...], writing: bool
    ) -> Response | Later:
        assert call.handler
        opened = self.app.database.transaction() if writing else self.app.database.read()
        with opened as db:
            base = told.origin + self.service.prefix
            ctx = Ctx(
                self.app,
                db,
                caller,
                version or (0, 0),
                told.params,
                told.query,
                told.headers,
                base,
                told.request_id,
                self.service,
                writing,
            )
            result = call.handler(ctx, *body)
            answer = result if isinstance(result, Answer) else Answer(result)
            if not call.public and not ctx.asked:
                raise AssertionError(f"{told.method} {call.path} asked no rule")
            status = answer.status or call.status
            if writing:
                db.flush()
                self._audit(ctx, call, told, status)
            content = answer.body if isinstance(answer.body, bytes) else encode(answer.body)
        headers = self.service.headers(told.request_id, version) | answer.headers
        if answer.later:
            return Later(answer.later, status, headers)
        return Response(content, status, headers, media_type="application/json" if content else None)

    def _audit(self, ctx: Ctx, call: Call, told: Told, status: int) -> None:
        kind, id, owner = ctx.changed
        id = id or next(iter(ctx.path.values()), "")
        ctx.db.add(
            Event(
                at=ctx.now, request_id=ctx.request_id, service=self.service.name, method=told.method, kind=kind,
                rule=ctx.did or call.rule or call.path, path=told.path[:255], user_id=ctx.caller.user_id,
                project_id=ctx.caller.project_id, target_id=id[:255], target_project_id=owner, status=status,
                address=told.address,
            )
        )  # fmt: skip

    def refusal(self, error: WolkeError, request_id: str, version: Version | None) -> Response:
        if error.hint or error.status >= 500:
            log.warning("%s: %s", type(error).__name__, error, extra={"hint": error.hint})
        status = error.status
        body = self.service.error(error, status)
        if body is not None:
            status = int(body.pop("__status__", status))
        headers = self.service.headers(request_id, version)
        if status == 401:
            headers["WWW-Authenticate"] = f'Keystone uri="{self.app.config.public_url}/identity"'
        return Response(encode(body), status, headers, media_type="application/json")


class Unknown(Endpoint):
    """Any path that a service does not have, in that service's own words."""

    def _chosen(self, method: str, version: Version | None) -> Call:
        raise NotFound("The resource could not be found.")


def encode(body: Any) -> bytes:
    return b"" if body is None else msgspec.json.encode(body)


def origin(request: Request) -> str:
    scheme = request.headers.get("x-forwarded-proto", request.url.scheme)
    return f"{scheme}://{request.headers.get('host', request.url.netloc)}"


def limited_to(caller: Caller, service: Service, method: str, path: str) -> None:
    """Raises Unauthorized when no access rule of the caller's application credential covers this call.

    A rule's path may hold ``*`` (one part), ``**`` (any parts) and ``{name}`` (one part).
    """
    inner = path.removeprefix(service.prefix)
    for rule in caller.access_rules or ():
        if rule.service == service.type and rule.method == method and covers(rule.path, inner):
            return
    raise Unauthorized("The application credential's access rules do not include this call.")


def covers(pattern: str, path: str) -> bool:
    """
    >>> covers("/v2.1/servers/*", "/v2.1/servers/1"), covers("/v2.1/**", "/v2.1/servers/1"), covers("/v2.1/*", "/v2.1/a/b")
    (True, True, False)
    """
    wanted, given = pattern.strip("/").split("/"), path.strip("/").split("/")
    for at, part in enumerate(wanted):
        if part == "**":
            return True
        if at >= len(given) or (part != given[at] and part != "*" and not (part[:1] == "{" and part[-1:] == "}")):
            return False
    return len(wanted) == len(given)


def router(app: App, service: Service, threads: CapacityLimiter) -> Router:
    """One service as an ASGI app, to be mounted at its prefix. Literal paths win over ``{name}``."""
    paths: dict[str, list[Call]] = {}
    for call in service.calls:
        paths.setdefault(call.path, []).append(call)
    ordered = sorted(paths, key=lambda path: [(part.startswith("{"), part) for part in path.split("/")])
    routes = [Route(path or "/", Endpoint(app, service, paths[path], threads)) for path in ordered]
    return Router(routes, default=Unknown(app, service, [], threads), redirect_slashes=False)
