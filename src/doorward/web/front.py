"""The outermost ASGI application: everything that holds for every request, whatever its path.

Request id, the sender's address, the fast lane, security headers on every answer, and the last resort for anything
unforeseen. Pure ASGI: a BaseHTTPMiddleware would start a task and open a stream for each request.
"""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias, cast

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from doorward.kernel.caller import Caller
from doorward.kernel.errors import MethodNotAllowed, NotFound, Problem, Unavailable
from doorward.web.gate import Gate
from doorward.web.headers import complete
from doorward.web.origins import Site
from doorward.web.problems import Internal
from doorward.web.routing import Access, Call, Operation, json_response
from doorward.web.seldom import Seldom

Lane: TypeAlias = Callable[[Scope, Send, str], Awaitable[bool]]
"""Answers a request at once and says True, or leaves it untouched and says False."""

KnowsOrigin: TypeAlias = Callable[[str], Awaitable[bool]]


async def no_origin(_: str) -> bool:
    """Let no other origin in."""
    return False


_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_log = structlog.get_logger("doorward.web")


class Front:
    """Serves HTTP; lifespan and websockets are the composition root's business."""

    def __init__(
        self,
        gate: Gate,
        operations: Sequence[Operation],
        lanes: Mapping[str, Lane],
        knows_origin: KnowsOrigin = no_origin,
    ) -> None:
        """`lanes`: exact paths answered before the router. `knows_origin`: whose scripts may call what is open to them.

        No operation that listens to cookies is open to other origins.
        """
        self._gate = gate
        self._site: Site = gate.site
        self._ignored = Seldom("forwarding_header_ignored", gate.clock)
        self._lanes = lanes
        self.operations = tuple(operations)
        self._router = Router(
            routes=[
                Route(path, _Endpoint(gate, methods, knows_origin)) for path, methods in _by_path(operations).items()
            ],
            default=self._not_found,
            redirect_slashes=False,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        request_id = os.urandom(8).hex()
        lane = self._lanes.get(scope["path"])
        if lane is not None and await lane(scope, send, request_id):
            return
        started = False

        async def send_complete(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": complete(message.get("headers", ()), request_id)}
            await send(message)

        scope["doorward.caller"] = self._caller(scope, request_id)
        try:
            await self._router(scope, receive, send_complete)
        except ClientDisconnect:
            return  # nobody is there to be answered
        except Exception:
            _log.exception("unforeseen", request_id=request_id, method=scope["method"])
            if started:
                raise
            await self._last_resort(scope, receive, send_complete)

    async def _last_resort(self, scope: Scope, receive: Receive, send: Send) -> None:
        document = {
            "title": Internal.title,
            "status": 500,
            "code": "internal",
            "message": Internal.title,
            "detail": Internal.title,
            "type": "about:blank",
            "request_id": caller_of(scope).request_id,
        }
        await json_response(document, 500, media_type="application/problem+json")(scope, receive, send)

    async def _not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem: Problem = NotFound() if scope["method"] in _METHODS else MethodNotAllowed(_METHODS)
        operation = _stand_in(scope["path"], problem)
        response = await self._gate.handle(operation, Request(scope, receive), caller_of(scope), problem)
        await response(scope, receive, send)

    def _caller(self, scope: Scope, request_id: str) -> Caller:
        hops: list[str] = []
        user_agent = None
        for name, value in scope["headers"]:
            if name == b"x-forwarded-for":
                hops.append(value.decode("latin-1"))  # several lines are one list (RFC 9110 §5.3)
            elif name == b"user-agent":
                user_agent = value.decode("latin-1")
        peer = scope["client"][0] if scope.get("client") else "local"
        forwarded_for = ",".join(hops) if hops else None
        if forwarded_for is not None and not self._site.trusts(peer):
            self._ignored.warn(peer=peer, hint="list the proxy in [server] trusted_proxies, if it is yours")
        return Caller(self._site.client_address(peer, forwarded_for), (user_agent or "")[:400], request_id)


class _Endpoint:
    """One path; chooses by method."""

    def __init__(self, gate: Gate, methods: Mapping[str, Operation], knows_origin: KnowsOrigin) -> None:
        self._gate = gate
        self._methods = methods
        self._knows_origin = knows_origin
        self._open = [operation for operation in methods.values() if operation.cross_origin]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, request = "GET" if scope["method"] == "HEAD" else scope["method"], Request(scope, receive)
        if self._open:
            response = await self._across_origins(method, request, scope)
        else:
            response = await self._answer(method, request, scope)
        await response(scope, receive, send)

    async def _answer(self, method: str, request: Request, scope: Scope) -> Response:
        operation, refusal = self._methods.get(method), None
        if operation is None:
            refusal = MethodNotAllowed(sorted(self._methods))
            operation = _stand_in(scope["path"], refusal)
        return await self._gate.handle(operation, request, caller_of(scope), refusal)

    async def _across_origins(self, method: str, request: Request, scope: Scope) -> Response:
        """Answer also to scripts of other origins that are known. Credentials of the browser are never let through."""
        origin = request.headers.get("origin")
        known = False
        with suppress(Unavailable):  # then nobody's scripts are known
            known = origin is not None and await self._knows_origin(origin)
        if known and method == "OPTIONS":
            methods = ", ".join(sorted(operation.method for operation in self._open))
            response = Response(status_code=204, headers={**_PREFLIGHT, "access-control-allow-methods": methods})
        else:
            response = await self._answer(method, request, scope)
        response.headers["vary"] = "Origin"
        if known and origin is not None:
            response.headers["access-control-allow-origin"] = origin
            response.headers["access-control-expose-headers"] = "WWW-Authenticate, DPoP-Nonce, Date"
        return response


_PREFLIGHT = {"access-control-allow-headers": "Authorization, Content-Type, DPoP", "access-control-max-age": "600"}


def caller_of(scope: Scope) -> Caller:
    """Who sent the request in `scope`."""
    return cast("Caller", scope["doorward.caller"])


def _stand_in(path: str, problem: Problem) -> Operation:
    """An operation that only refuses, in the language of its path: JSON below /api and /oauth, else a page."""

    async def refuse(_: Call) -> Any:  # noqa: ANN401  never returns
        raise problem

    tag = "api" if path.startswith(("/api/", "/.well-known/", "/oauth/")) else ""
    return Operation("GET", path, refuse, Access.ANYONE if tag else Access.OPTIONAL, problem.title, tag=tag)


def _by_path(operations: Sequence[Operation]) -> Mapping[str, Mapping[str, Operation]]:
    paths: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        methods = paths.setdefault(operation.path, {})
        if operation.method in methods:
            message = f"{operation.method} {operation.path} is declared twice"
            raise ValueError(message)
        methods[operation.method] = operation
    return paths
