"""Protect any WSGI app.

from doorward_client.wsgi import Doorward, require

app = Doorward(app)                    # settings from DOORWARD_ISSUER, DOORWARD_CLIENT_ID and so on

def app(environ, start_response):
user = require(environ, scope="coins:write")
"""

from collections.abc import Collection, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from doorward_client.clock import Clock
from doorward_client.dpop import SeenProofs
from doorward_client.errors import Refused
from doorward_client.principal import Principal, Requirement
from doorward_client.request import Reply, Request
from doorward_client.sessions import SessionsInMemory, SessionsInSQLite, SessionStore
from doorward_client.settings import Settings
from doorward_client.threads import Guard

Sessions: TypeAlias = SessionStore | Path | str | Literal[False] | None
KEY = "doorward"


def store_of(sessions: Sessions, settings: Settings) -> SessionStore | None:
    """The store that an app means: its own, a file, or memory; none where nobody can sign in with a browser."""
    if sessions is False or settings.app_url is None or not settings.confidential:
        return None
    if sessions is None:
        return SessionsInMemory()
    return SessionsInSQLite(sessions) if isinstance(sessions, str | Path) else sessions


class Doorward:
    """Middleware: answers `/auth/sign-in`, `/auth/callback` and `/auth/sign-out`; says no when the app calls `require`.

    With `protect`, nobody gets through to the app who does not meet that requirement (`Requirement.of()`: is signed
    in). `sessions` is a path for SQLite, which the processes of one machine share, or a SessionStore; else memory.
    False: no browser signs in here, as in an API that takes tokens alone.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        protect: Requirement | None = None,
        sessions: Sessions = None,
        proofs: SeenProofs | None = None,
        clock: Clock | None = None,
        **settings: Any,  # noqa: ANN401  those of Settings
    ) -> None:
        found = Settings.read(**settings)
        self.guard = Guard(found, store=store_of(sessions, found), proofs=proofs, clock=clock)
        self._app = app
        self._protect = protect

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer, or let the app answer."""
        request = request_of(environ)
        reply = self.guard.route(request)
        if reply is not None:
            return _send(reply, start_response)
        environ[KEY] = (self.guard, request)
        try:
            if self._protect is not None:
                self.guard.identify(request, self._protect)
            return self._app(environ, start_response)
        except Refused as refused:
            return _send(self.guard.refusal(request, refused), start_response)


def require(
    environ: WSGIEnvironment,
    *,
    scope: str | Collection[str] = (),
    role: str | Collection[str] = (),
    fresh: int | None = None,
    mfa: bool = False,
) -> Principal:
    """Who sent the request. Raises Refused, which the middleware turns into the answer; call it before answering."""
    guard, request = environ[KEY]
    principal: Principal = guard.identify(request, Requirement.of(scope=scope, role=role, fresh=fresh, mfa=mfa))
    return principal


def csrf_token(environ: WSGIEnvironment) -> str:
    """What scripts must send as `X-CSRF-Token`. Forms cannot be read here: their fields belong to the app."""
    guard, request = environ[KEY]
    token: str = guard.csrf_token(request)
    return token


def request_of(environ: WSGIEnvironment) -> Request:
    """The request as we look at it. WSGI decodes the path; it is encoded again, as a DPoP proof names it."""

    def header(name: str) -> str | None:
        value: str | None = environ.get("HTTP_" + name.upper().replace("-", "_"))
        return value

    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return Request(
        environ["REQUEST_METHOD"],
        quote(path.encode("latin-1"), safe=PATH),
        header,
        environ.get("QUERY_STRING", ""),
        kept=environ,
    )


def bearer_of(environ: WSGIEnvironment) -> bytes | None:
    """The token of a request that has one in the usual place and no other credentials, without looking any further."""
    authorization: str = environ.get("HTTP_AUTHORIZATION", "")
    if not authorization.startswith("Bearer ") or "HTTP_X_API_KEY" in environ:
        return None
    return authorization[7:].encode()


PATH = "/:@!$&'()*+,;=-._~"  # what stands for itself in a path (RFC 3986 §3.3)


def _send(reply: Reply, start_response: StartResponse) -> Iterable[bytes]:
    headers = [*reply.headers, ("Content-Length", str(len(reply.body)))]
    start_response(f"{reply.status} {HTTPStatus(reply.status).phrase}", headers)
    return [reply.body]
