"""Protect any ASGI app.

from doorward_client.asgi import Doorward, require

app = Doorward(app)                    # settings from DOORWARD_ISSUER, DOORWARD_CLIENT_ID and so on

async def app(scope, receive, send):
user = await require(scope, role="editor")
"""

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, TypeAlias

from doorward_client.clock import Clock
from doorward_client.dpop import SeenProofs
from doorward_client.errors import Refused
from doorward_client.principal import Principal, Requirement
from doorward_client.request import WEBSOCKET, Reply, Request
from doorward_client.settings import Settings
from doorward_client.tasks import AsyncGuard
from doorward_client.wsgi import Sessions, store_of

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
KEY = "doorward"


class Doorward:
    """Middleware: answers `/auth/sign-in`, `/auth/callback` and `/auth/sign-out`; says no when the app calls `require`.

    With `protect`, nobody gets through to the app who does not meet that requirement (`Requirement.of()`: is signed
    in). `sessions` is a path for SQLite, which the processes of one machine share, or a SessionStore; else memory.
    """

    def __init__(
        self,
        app: App,
        *,
        protect: Requirement | None = None,
        sessions: Sessions = None,
        proofs: SeenProofs | None = None,
        clock: Clock | None = None,
        **settings: Any,  # noqa: ANN401  those of Settings
    ) -> None:
        found = Settings.read(**settings)
        self.guard = AsyncGuard(found, store=store_of(sessions, found), proofs=proofs, clock=clock)
        self._app = app
        self._protect = protect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the app answer."""
        if scope["type"] == "lifespan":
            try:
                await self._app(scope, receive, send)
            finally:
                await self.guard.close()
            return
        request = request_of(scope)
        if scope["type"] == "http":
            reply = await self.guard.route(request)
            if reply is not None:
                await _send(reply, send)
                return
        scope[KEY] = (self.guard, request)
        try:
            if self._protect is not None:
                await self.guard.identify(request, self._protect)
            await self._app(scope, receive, send)
        except Refused as refused:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": refused.description})
            else:
                await _send(self.guard.refusal(request, refused), send)


async def require(
    asgi: Scope,
    /,
    *,
    scope: str | Collection[str] = (),
    role: str | Collection[str] = (),
    fresh: int | None = None,
    mfa: bool = False,
) -> Principal:
    """Who sent the request. Raises Refused, which the middleware turns into the answer; call it before answering."""
    guard, request = asgi[KEY]
    asked = Requirement.of(scope=scope, role=role, fresh=fresh, mfa=mfa)
    principal: Principal = await guard.identify(request, asked)
    return principal


def csrf_token(scope: Scope) -> str:
    """What scripts must send as `X-CSRF-Token`. Forms cannot be read here: their fields belong to the app."""
    guard, request = scope[KEY]
    token: str = guard.csrf_token(request)
    return token


def request_of(scope: Scope) -> Request:
    """The request, or the handshake of a WebSocket, as we look at it."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]

    def header(name: str) -> str | None:
        wanted = name.encode()
        found = [value.decode("latin-1") for given, value in headers if given == wanted]
        return ("; " if name == "cookie" else ", ").join(found) if found else None

    raw = scope.get("raw_path")
    path: str = scope["path"] if raw is None else raw.decode("latin-1").partition("?")[0]
    return Request(
        scope.get("method", WEBSOCKET), path, header, scope.get("query_string", b"").decode("latin-1"), kept=scope
    )


def bearer_of(scope: Scope) -> bytes | None:
    """The token of a request that has one in the usual place and no other credentials, without looking any further."""
    token: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            if token is not None or not value.startswith(b"Bearer "):
                return None
            token = value[7:]
        elif name == b"x-api-key":
            return None
    return token


async def _send(reply: Reply, send: Send) -> None:
    headers = [*reply.headers, ("content-length", str(len(reply.body)))]
    encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": encoded})
    await send({"type": "http.response.body", "body": reply.body})
