"""Protect a Flask app.

from doorward_client.flask import Doorward

app = Flask(__name__)
doorward = Doorward(app)               # settings from DOORWARD_ISSUER, DOORWARD_CLIENT_ID and so on

@app.get("/me")
@doorward.login_required
def me():
return {"sub": doorward.user.sub}
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flask import Flask, Response, current_app, request

from doorward_client.clock import Clock
from doorward_client.dpop import SeenProofs
from doorward_client.errors import NotSignedIn, Refused
from doorward_client.principal import LOGIN, Principal, Requirement
from doorward_client.request import Reply, Request
from doorward_client.settings import Settings
from doorward_client.threads import Guard
from doorward_client.wsgi import Sessions, bearer_of, request_of, store_of

P = ParamSpec("P")
R = TypeVar("R")


class Doorward:
    """Decorators for views, and the routes `/auth/sign-in`, `/auth/callback` and `/auth/sign-out`.

    `sessions` is a path for SQLite, which the processes of one machine share, or a SessionStore; else memory. False: no
    browser signs in here, as in an API that takes tokens alone.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        sessions: Sessions = None,
        proofs: SeenProofs | None = None,
        clock: Clock | None = None,
        **settings: Any,  # noqa: ANN401  those of Settings
    ) -> None:
        found = Settings.read(**settings)
        self.guard = Guard(found, store=store_of(sessions, found), proofs=proofs, clock=clock)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Serve an app that was made later. Templates may say `{{ doorward.csrf_token() }}`."""
        if self.guard.core.browser is not None:
            prefix = self.guard.settings.prefix
            app.add_url_rule(f"{prefix}/sign-in", "doorward.sign_in", self._route, methods=["GET"])
            app.add_url_rule(f"{prefix}/callback", "doorward.callback", self._route, methods=["GET"])
            app.add_url_rule(f"{prefix}/sign-out", "doorward.sign_out", self._route, methods=["POST"])
        app.register_error_handler(Refused, self._refuse)
        app.jinja_env.globals["doorward"] = self

    @property
    def user(self) -> Principal:
        """Who sends the request. Raises Refused, which is answered with 401 or the like."""
        return self._identify(LOGIN)

    @property
    def maybe_user(self) -> Principal | None:
        """Who sends the request, or None when nobody is signed in. Raises Refused for a token that does not count."""
        try:
            return self._identify(LOGIN)
        except NotSignedIn:
            return None

    def csrf_token(self) -> str:
        """What forms must send as `csrf_token`, or scripts as `X-CSRF-Token`."""
        return self.guard.csrf_token(_request())

    def login_required(self, view: Callable[P, R]) -> Callable[P, R]:
        """Decorate a view that is for those who are signed in."""
        return self._requiring(LOGIN)(view)

    def require(
        self,
        *,
        scope: str | Collection[str] = (),
        role: str | Collection[str] = (),
        fresh: int | None = None,
        mfa: bool = False,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorate a view that asks for more: scopes, a role, a sign-in of the last `fresh` seconds, two factors."""
        return self._requiring(Requirement.of(scope=scope, role=role, fresh=fresh, mfa=mfa))

    def _requiring(self, requirement: Requirement) -> Callable[[Callable[P, R]], Callable[P, R]]:
        def decorate(view: Callable[P, R]) -> Callable[P, R]:
            @wraps(view)
            def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
                self._identify(requirement)
                answer: R = current_app.ensure_sync(view)(*args, **kwargs)
                return answer

            return guarded

        return decorate

    def _identify(self, requirement: Requirement) -> Principal:
        token = bearer_of(request.environ)
        known = None if token is None else self.guard.core.quick_bearer(token)
        return (
            self.guard.identify(_request(), requirement) if known is None else self.guard.core.allow(known, requirement)
        )

    def _route(self) -> Response:
        reply = self.guard.route(_request())
        return _response(reply or Reply(404))

    def _refuse(self, refused: Refused) -> Response:
        return _response(self.guard.refusal(_request(), refused))


def _request() -> Request:
    return replace(request_of(request.environ), form=lambda: request.form.get("csrf_token"))


def _response(reply: Reply) -> Response:
    response = Response(reply.body, reply.status)
    del response.headers["Content-Type"]
    for name, value in reply.headers:
        response.headers.add(name, value)
    return response
