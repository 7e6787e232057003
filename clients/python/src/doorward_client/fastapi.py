"""Protect a FastAPI app.

from doorward_client.fastapi import Doorward, Principal

app = FastAPI()
doorward = Doorward(app)               # settings from DOORWARD_ISSUER, DOORWARD_CLIENT_ID and so on

@app.get("/me")
async def me(user: Annotated[Principal, Depends(doorward.login_required)]):
return {"sub": user.sub}
"""

from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, params
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response

from doorward_client.asgi import bearer_of, request_of
from doorward_client.clock import Clock
from doorward_client.dpop import SeenProofs
from doorward_client.errors import NotSignedIn, Refused
from doorward_client.principal import LOGIN, Principal, Requirement
from doorward_client.request import Reply, Request
from doorward_client.settings import Settings
from doorward_client.tasks import AsyncGuard
from doorward_client.wsgi import Sessions, store_of

__all__ = ["Doorward", "Principal"]

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class Doorward:
    """Dependencies, and the routes `/auth/sign-in`, `/auth/callback` and `/auth/sign-out`.

    `sessions` is a path for SQLite, which the processes of one machine share, or a SessionStore; else memory. Posted
    forms need the package `python-multipart`, as they do in FastAPI itself.
    """

    def __init__(
        self,
        app: FastAPI,
        *,
        sessions: Sessions = None,
        proofs: SeenProofs | None = None,
        clock: Clock | None = None,
        **settings: Any,  # noqa: ANN401  those of Settings
    ) -> None:
        found = Settings.read(**settings)
        self.guard = AsyncGuard(found, store=store_of(sessions, found), proofs=proofs, clock=clock)
        self._let_in = f"doorward.let_in.{id(self):x}"  # an app may have two, for two audiences
        if self.guard.core.browser is not None:
            for name, method in (("sign-in", "GET"), ("callback", "GET"), ("sign-out", "POST")):
                app.add_route(f"{found.prefix}/{name}", self._route, [method], include_in_schema=False)
        app.add_exception_handler(Refused, self._refuse)
        self.login_required = self._requiring(LOGIN)
        """Depend on this: who sends the request. Raises Refused, which is answered with 401 or the like."""

    async def maybe_user(self, connection: HTTPConnection) -> Principal | None:
        """Depend on this: who sends the request, or None when nobody is signed in."""
        try:
            return await self._identify(connection, LOGIN)
        except NotSignedIn:
            return None

    def require(
        self,
        *,
        scope: str | Collection[str] = (),
        role: str | Collection[str] = (),
        fresh: int | None = None,
        mfa: bool = False,
    ) -> Callable[[HTTPConnection], Awaitable[Principal]]:
        """Depend on what this returns: scopes, a role, a sign-in of the last `fresh` seconds, two factors."""
        return self._requiring(Requirement.of(scope=scope, role=role, fresh=fresh, mfa=mfa))

    def router(
        self,
        prefix: str = "",
        *,
        scope: str | Collection[str] = (),
        role: str | Collection[str] = (),
        fresh: int | None = None,
        mfa: bool = False,
        dependencies: Sequence[params.Depends] = (),
        **settings: Any,  # noqa: ANN401  those of APIRouter
    ) -> APIRouter:
        """A router that asks the same of whoever calls any of its endpoints; `user` tells them who it is.

        An endpoint added later cannot be forgotten, nothing of a stranger's body is read, and it takes a small part of
        the time of a dependency. Only WebSockets, front ends and routers that are included in it are asked by one.
        What FastAPI's own `dependencies` do not reach is not asked here either: `mount` and `add_route`.
        """
        required = self._requiring(Requirement.of(scope=scope, role=role, fresh=fresh, mfa=mfa))
        key = self._let_in

        async def let_in(connection: HTTPConnection) -> None:
            connection.scope[key] = await required(connection)

        asks = Depends(let_in)

        class ProtectedRoute(APIRoute):
            def __init__(self, *args: Any, dependencies: Sequence[params.Depends] | None = None, **more: Any) -> None:  # noqa: ANN401  as FastAPI has them
                others = [one for one in dependencies or () if one is not asks]
                super().__init__(*args, dependencies=others, **more)

            def get_route_handler(self) -> Callable[[StarletteRequest], Coroutine[Any, Any, Response]]:
                answer = super().get_route_handler()

                async def protected(request: StarletteRequest) -> Response:
                    request.scope[key] = await required(request)
                    return await answer(request)

                return protected

        return APIRouter(prefix=prefix, route_class=ProtectedRoute, dependencies=[asks, *dependencies], **settings)

    def user(self, connection: HTTPConnection) -> Principal:
        """Who was let in to an endpoint of one of our routers. Raises RuntimeError at any other: nobody was asked."""
        principal: Principal | None = connection.scope.get(self._let_in)
        if principal is None:
            raise RuntimeError("this endpoint is of no router that was made with doorward.router()")
        return principal

    def csrf_token(self, connection: HTTPConnection) -> str:
        """What forms must send as `csrf_token`, or scripts as `X-CSRF-Token`."""
        return self.guard.csrf_token(request_of(connection.scope))

    def _requiring(self, requirement: Requirement) -> Callable[[HTTPConnection], Awaitable[Principal]]:
        quick, allow = self.guard.core.quick_bearer, self.guard.core.allow

        async def required(connection: HTTPConnection) -> Principal:
            token = bearer_of(connection.scope)
            principal = None if token is None else quick(token)
            if principal is None:
                return await self._identify(connection, requirement)
            return principal if requirement is LOGIN else allow(principal, requirement)

        return required

    async def _identify(self, connection: HTTPConnection, requirement: Requirement) -> Principal:
        plain = request_of(connection.scope)
        if isinstance(connection, StarletteRequest):
            plain = await self._with_form(plain, connection)
        return await self.guard.identify(plain, requirement)

    async def _with_form(self, plain: Request, request: StarletteRequest) -> Request:
        """With the field of a form, where it may be needed; reading it here, the app can read it again."""
        browser = self.guard.core.browser
        by_token = plain.header("authorization") is not None or plain.header("x-api-key") is not None
        is_form = (plain.header("content-type") or "").startswith(_FORMS)
        if browser is None or by_token or not is_form or not browser.awaits_form(plain):
            return plain
        token: object = None
        with suppress(HTTPException):  # no form after all: the app will say so
            token = (await request.form()).get("csrf_token")
        field = token if isinstance(token, str) else None
        return replace(plain, form=lambda: field)

    async def _route(self, request: StarletteRequest) -> Response:
        plain = await self._with_form(request_of(request.scope), request)
        return _response(await self.guard.route(plain) or Reply(404))

    async def _refuse(self, request: StarletteRequest, refused: Exception) -> Response:
        if not isinstance(refused, Refused):  # the handler is registered for no other
            raise refused
        return _response(self.guard.refusal(request_of(request.scope), refused))


def _response(reply: Reply) -> Response:
    response = Response(reply.body, reply.status)
    for name, value in reply.headers:
        response.headers.append(name, value)
    return response
