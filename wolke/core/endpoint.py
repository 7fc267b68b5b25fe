"""From HTTP to a handler and back: authentication, microversion, body, one transaction, audit, the service's error dialect."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio.to_thread
import msgspec
from anyio import CapacityLimiter
from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from starlette.datastructures import Headers, QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router

from wolke.core import log as logs
from wolke.core import metrics
from wolke.core.app import App
from wolke.core.auth import ANONYMOUS, Caller
from wolke.core.bodies import parse
from wolke.core.db import Json
from wolke.core.errors import BadRequest, Conflict, MethodNotAllowed, NotFound, Unauthorized, Unavailable, WolkeError
from wolke.core.events import Event, kept
from wolke.core.http import WRITES, Answer, Call, Change, Ctx, Edge, NeedsWrite, Result, Service, origin, whole
from wolke.core.versions import Version

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Later:
    """An answer whose body has to be fetched once the transaction is over."""

    body: Callable[[], Awaitable[Json | None]]
    status: int
    headers: dict[str, str]


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
                return await self._edge(call, told, version, request), rule
            told.raw = await whole(request, self.app.config.max_body)
            served = await self._thread(self._serve, call, told, version)
            if isinstance(served, Later):
                content = encode(await served.body())
                served = Response(content, served.status, served.headers, media_type="application/json")
            return served, rule
        except ClientDisconnect:
            raise
        except Exception as error:
            return self.refusal(named(error, told), told.request_id, version), rule

    async def _thread(self, call: Callable[..., Result], *arguments: object) -> Result:
        return await anyio.to_thread.run_sync(partial(call, *arguments), limiter=self.threads)

    async def _edge(self, call: Call, told: Told, version: Version | None, request: Request) -> Response:
        assert call.edge
        caller = await self._thread(self._caller, call, told)
        wrote = False

        async def transact(work: Callable[[Ctx], Result], *, writing: bool) -> Result:
            nonlocal wrote
            wrote |= writing
            return await self._thread(self._transact, call, told, version, caller, work, writing)

        response = await call.edge(Edge(self.app, caller, request, transact))
        if told.method in WRITES and not call.public and not wrote:
            raise AssertionError(f"{told.method} {call.path} left no audit event")
        for name, value in self.service.headers(told.request_id, version).items():
            response.headers.setdefault(name, value)
        return response

    def _chosen(self, method: str, version: Version | None) -> Call:
        found = self.calls.get(method) or (self.calls.get("GET") if method == "HEAD" else None)
        if not found:
            raise MethodNotAllowed(f"The method {method} is not allowed for this resource.")
        for call in found:
            if version is None or call.since <= version <= call.until:
                return call
        raise NotFound("The resource could not be found.")

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

        def handled(ctx: Ctx) -> Answer:
            assert call.handler
            result = call.handler(ctx, *body)
            answer = result if isinstance(result, Answer) else Answer(result)
            ctx.status = answer.status = answer.status or call.status
            answer.body = answer.body if isinstance(answer.body, bytes) else encode(answer.body)
            return answer

        answer = self._transact(call, told, version, caller, handled, told.method in WRITES and not call.reads)
        headers = self.service.headers(told.request_id, version) | answer.headers
        if answer.later:
            return Later(answer.later, answer.status, headers)
        return Response(answer.body, answer.status, headers, media_type="application/json" if answer.body else None)

    def _transact(
        self,
        call: Call,
        told: Told,
        version: Version | None,
        caller: Caller,
        work: Callable[[Ctx], Result],
        writing: bool,
    ) -> Result:
        """What ``work`` returns, in one transaction together with the audit event of a write.

        Raises
        ------
        Unavailable: the database is busy
        """
        for attempt in (1, 2, 3):
            try:
                return self._once(call, told, version, caller, work, writing)
            except NeedsWrite:
                writing = True
            except OperationalError as error:  # a deadlock or a lock that did not come: nothing was written
                if attempt == 3:
                    raise Unavailable("The database is busy; try again.", hint=str(error)) from error
        raise AssertionError("unreachable")

    def _once(
        self,
        call: Call,
        told: Told,
        version: Version | None,
        caller: Caller,
        work: Callable[[Ctx], Result],
        writing: bool,
    ) -> Result:
        opened = self.app.database.transaction() if writing else self.app.database.read()
        with opened as db:
            ctx = Ctx(
                self.app, db, caller, version or (0, 0), told.params, told.query, told.headers,
                told.origin + self.service.prefix, told.request_id, self.service, writing, call.status,
            )  # fmt: skip
            result = work(ctx)
            if not call.public and not ctx.asked:
                raise AssertionError(f"{told.method} {call.path} asked no rule")
            if writing:
                db.flush()
                self._audit(ctx, call, told)
        return result

    def _audit(self, ctx: Ctx, call: Call, told: Told) -> None:
        """An event for each thing that the call says it has changed; one that names none tells what was asked."""
        changes = ctx.changes or {("", next(iter(ctx.path.values()), "")): Change()}
        asked = self._asked(told) if all(one.before is None and one.after is None for one in changes.values()) else None
        ctx.db.add_all(
            Event(
                at=ctx.now, request_id=ctx.request_id, service=self.service.name, method=told.method, kind=kind,
                rule=ctx.did or call.rule or call.path, path=told.path[:255], user_id=ctx.caller.user_id,
                user_name=ctx.caller.user_name[:255], user_domain_id=ctx.caller.user_domain_id,
                project_id=ctx.caller.project_id, target_id=id[:255], target_project_id=one.project_id,
                status=ctx.status, address=told.address, before=kept(one.before), after=kept(one.after or asked),
            )
            for (kind, id), one in changes.items()
        )  # fmt: skip

    def _asked(self, told: Told) -> Json | None:
        if not self.service.told or not told.raw:
            return None
        body = msgspec.json.decode(told.raw)
        return body if isinstance(body, dict) else {"body": body}

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


def named(error: Exception, told: Told) -> WolkeError:
    """The error as the caller is told of it; what nobody has foreseen goes to the log."""
    match error:
        case WolkeError():
            return error
        case IntegrityError():
            # the second line of PostgreSQL's names the values
            log.info("conflict: %s", str(error.orig).partition("\n")[0])
            return Conflict("Another request has changed the same thing; try again.")
        case DataError() | OverflowError():  # what only the database could find wrong with a value
            return BadRequest(
                "Invalid input: a value is too large, too long or holds a NUL character.", hint=str(error)
            )
    log.error("%s %s", told.method, told.path, exc_info=error)
    return WolkeError("An unexpected error prevented this request.")


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
