"""Protect a Django project.

    # settings.py
    MIDDLEWARE = ["doorward_client.django.Middleware", ...]
    DOORWARD = {"issuer": "https://id.example.org", "client_id": "...", "client_secret": "..."}

    # views.py
    from doorward_client.django import login_required, user_of

    @login_required
    def me(request):
        return JsonResponse({"sub": user_of(request).sub})

Views may be asynchronous; there it is `await auser_of(request)`. Where a Doorward session signs somebody in, its own
CSRF token is asked for, whatever Django's middleware does besides: `{{ request.doorward_csrf_token }}` as the field
`csrf_token`, or `X-CSRF-Token`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from functools import wraps
from inspect import isawaitable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast
from urllib.parse import quote

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings as project
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from doorward_client.errors import Refused
from doorward_client.principal import LOGIN, Principal, Requirement
from doorward_client.request import Reply, Request
from doorward_client.settings import Settings
from doorward_client.threads import Guard
from doorward_client.wsgi import PATH, store_of

P = ParamSpec("P")
R = TypeVar("R")
View = Callable[Concatenate[HttpRequest, P], R]
_KEY = "_doorward"


class Middleware:
    """Answers `/auth/sign-in`, `/auth/callback` and `/auth/sign-out`, and says no where a view's decorator does.

    Settings come from `DOORWARD` in the project's settings, and what is not there from DOORWARD_ISSUER and so on.
    `sessions` in it is a path for SQLite, which the processes of one machine share, or a SessionStore; else memory.
    """

    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        given = dict(getattr(project, "DOORWARD", {}))
        sessions, proofs, clock = (given.pop(name, None) for name in ("sessions", "proofs", "clock"))
        found = Settings.read(**given)
        self.guard = Guard(found, store=store_of(sessions, found), proofs=proofs, clock=clock)
        self._get_response = get_response
        self._waits = iscoroutinefunction(get_response)
        if self._waits:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer, or let the views answer; on an event loop without holding it up."""
        if self._waits:
            return self._answer(request)
        plain = _request(request)
        reply = self.guard.route(plain)
        return self._pass_on(request, plain) if reply is None else _response(reply)

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        plain = _request(request)
        ours = self.guard.core.route(plain) is not None
        reply = await _in_a_thread(self.guard.route)(plain) if ours else None
        return await self._pass_on(request, plain) if reply is None else _response(reply)

    def _pass_on(self, request: HttpRequest, plain: Request) -> Any:  # noqa: ANN401  as the project waits
        setattr(request, _KEY, (self.guard, plain))
        setattr(request, "doorward_csrf_token", self.guard.csrf_token(plain))  # noqa: B010  Django's way to hand on
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Turn a refusal into its answer."""
        return _response(self.guard.refusal(_request(request), error)) if isinstance(error, Refused) else None


def user_of(request: HttpRequest) -> Principal:
    """Who sends the request. Raises Refused, which the middleware answers with 401 or the like."""
    return _identify(request, LOGIN)


async def auser_of(request: HttpRequest) -> Principal:
    """The same in an asynchronous view."""
    return await _identify_in_time(request, LOGIN)


def login_required(view: "View[P, R]") -> "View[P, R]":
    """Decorate a view that is for those who are signed in."""
    return _guarded(view, LOGIN)


def require(
    *, scope: str | Collection[str] = (), role: str | Collection[str] = (), fresh: int | None = None, mfa: bool = False
) -> "Callable[[View[P, R]], View[P, R]]":
    """Decorate a view that asks for more: scopes, a role, a sign-in of the last `fresh` seconds, two factors."""
    requirement = Requirement.of(scope=scope, role=role, fresh=fresh, mfa=mfa)
    return lambda view: _guarded(view, requirement)


def _guarded(view: "View[P, R]", requirement: Requirement) -> "View[P, R]":
    @wraps(view)
    async def awaiting(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401  its answer
        await _identify_in_time(request, requirement)
        answer: Any = view(request, *args, **kwargs)
        return await answer if isawaitable(answer) else answer

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if _on_a_loop():  # `dispatch` of a class whose methods are asynchronous: the answer will be awaited
            return cast("R", awaiting(request, *args, **kwargs))
        _identify(request, requirement)
        return view(request, *args, **kwargs)

    return cast("View[P, R]", awaiting) if iscoroutinefunction(view) else guarded


def _on_a_loop() -> bool:
    """Whether there is an event loop to hold up. Django calls synchronous views in threads that have none."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _identify_in_time(request: HttpRequest, requirement: Requirement) -> Principal:
    """On the event loop when it can be told at once, as it nearly always can."""
    guard: Guard
    guard, plain = getattr(request, _KEY)
    principal = guard.core.quick(plain)
    if principal is None:
        principal = await _in_a_thread(guard.identify)(plain)
    return guard.core.allow(principal, requirement)


def _identify(request: HttpRequest, requirement: Requirement) -> Principal:
    guard: Guard
    guard, plain = getattr(request, _KEY)
    return guard.identify(plain, requirement)


def _request(request: HttpRequest) -> Request:
    def form() -> str | None:
        value = request.POST.get("csrf_token")
        return value if isinstance(value, str) else None

    query: Any = request.META.get("QUERY_STRING", "")
    path = quote(request.path, safe=PATH)
    return Request(request.method or "GET", path, request.headers.get, query, form, kept=request.META)


def _response(reply: Reply) -> HttpResponse:
    response = HttpResponse(reply.body, status=reply.status)
    del response.headers["Content-Type"]
    for name, value in reply.headers:
        if name == "Set-Cookie":
            _set_cookie(response, value)
        else:
            response.headers[name] = value
    return response


def _set_cookie(response: HttpResponse, value: str) -> None:
    """Django keeps cookies apart from headers."""
    response.cookies.load(value)


def _in_a_thread(work: Callable[[Request], R]) -> Callable[[Request], Awaitable[R]]:
    """Guards are safe in any thread, so none has to wait for Django's own."""
    return sync_to_async(work, thread_sensitive=False)
