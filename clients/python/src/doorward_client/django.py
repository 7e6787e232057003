"""Protect a Django project.

    # settings.py
    MIDDLEWARE = ["doorward_client.django.Middleware", ...]
    DOORWARD = {"issuer": "https://id.example.org", "client_id": "...", "client_secret": "..."}

    # views.py
    from doorward_client.django import login_required, user_of

    @login_required
    def me(request):
        return JsonResponse({"sub": user_of(request).sub})

Views are synchronous ones. Where a Doorward session signs somebody in, its own CSRF token is asked for, whatever
Django's middleware does besides: `{{ request.doorward_csrf_token }}` as the field `csrf_token`, or `X-CSRF-Token`.
"""

from collections.abc import Callable, Collection
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import quote

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
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]
_KEY = "_doorward"


class Middleware:
    """Answers `/auth/sign-in`, `/auth/callback` and `/auth/sign-out`, and says no where a view's decorator does.

    Settings come from `DOORWARD` in the project's settings, and what is not there from DOORWARD_ISSUER and so on.
    `sessions` in it is a path for SQLite, which the processes of one machine share, or a SessionStore; else memory.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        given = dict(getattr(project, "DOORWARD", {}))
        sessions, clock = given.pop("sessions", None), given.pop("clock", None)
        found = Settings.read(**given)
        self.guard = Guard(found, store=store_of(sessions, found), clock=clock)
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer, or let the views answer."""
        plain = _request(request)
        reply = self.guard.route(plain)
        if reply is not None:
            return _response(reply)
        setattr(request, _KEY, (self.guard, plain))
        setattr(request, "doorward_csrf_token", self.guard.csrf_token(plain))  # noqa: B010  Django's way to hand on
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Turn a refusal into its answer."""
        return _response(self.guard.refusal(_request(request), error)) if isinstance(error, Refused) else None


def user_of(request: HttpRequest) -> Principal:
    """Who sends the request. Raises Refused, which the middleware answers with 401 or the like."""
    return _identify(request, LOGIN)


def login_required(view: "View[P]") -> "View[P]":
    """Decorate a view that is for those who are signed in."""
    return _requiring(LOGIN)(view)


def require(
    *, scope: str | Collection[str] = (), role: str | Collection[str] = (), fresh: int | None = None, mfa: bool = False
) -> "Callable[[View[P]], View[P]]":
    """Decorate a view that asks for more: scopes, a role, a sign-in of the last `fresh` seconds, two factors."""
    return _requiring(Requirement.of(scope=scope, role=role, fresh=fresh, mfa=mfa))


def _requiring(requirement: Requirement) -> "Callable[[View[P]], View[P]]":
    def decorate(view: "View[P]") -> "View[P]":
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            _identify(request, requirement)
            return view(request, *args, **kwargs)

        return guarded

    return decorate


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
