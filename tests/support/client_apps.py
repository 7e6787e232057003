"""One small app, written for every framework that the client library knows, on a real server of its own."""

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import fastapi
import flask
from django.conf import settings as project
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from werkzeug.serving import WSGIRequestHandler as WerkzeugHandler
from werkzeug.serving import make_server

import doorward_client.asgi
import doorward_client.django
import doorward_client.fastapi
import doorward_client.flask
import doorward_client.wsgi
from doorward.testing.hosting import app_in_thread
from doorward_client import Principal
from doorward_client.threads import GUARDS

FRAMEWORKS = ["flask", "fastapi", "fastapi_routers", "django", "django_async", "asgi", "wsgi"]
READS_FORMS = {"flask", "fastapi", "fastapi_routers", "django", "django_async"}
Given = Mapping[str, Any]


def told(user: Principal) -> dict[str, Any]:
    return {"sub": user.sub, "name": user.profile.get("name")}


def in_flask(given: Given) -> WSGIApplication:
    app = flask.Flask("app")
    doorward = doorward_client.flask.Doorward(app, **given)

    @app.get("/open")
    def everybody() -> dict[str, Any]:
        user = doorward.maybe_user
        return {"sub": None if user is None else user.sub}

    @app.route("/me", methods=["GET", "POST"])
    @doorward.login_required
    def me() -> dict[str, Any]:
        return told(doorward.user)

    @app.get("/editor")
    @doorward.require(scope="read", role="editor")
    def editor() -> dict[str, Any]:
        return told(doorward.user)

    @app.get("/fresh")
    @doorward.require(fresh=60)
    def fresh() -> dict[str, Any]:
        return told(doorward.user)

    @app.get("/strong")
    @doorward.require(mfa=True)
    def strong() -> dict[str, Any]:
        return told(doorward.user)

    @app.get("/csrf")
    def csrf() -> dict[str, Any]:
        return {"token": doorward.csrf_token()}

    return app


def in_fastapi(given: Given) -> Any:
    app = fastapi.FastAPI()
    doorward = doorward_client.fastapi.Doorward(app, **given)
    depends = fastapi.Depends

    @app.get("/open")
    async def everybody(user: Annotated[Principal | None, depends(doorward.maybe_user)]) -> dict[str, Any]:
        return {"sub": None if user is None else user.sub}

    @app.api_route("/me", methods=["GET", "POST"])
    async def me(
        user: Annotated[Principal, depends(doorward.login_required)],
        also: Annotated[Principal, depends(doorward.require())],
    ) -> dict[str, Any]:
        assert user is also
        return told(user)

    @app.get("/editor")
    async def editor(
        user: Annotated[Principal, depends(doorward.require(scope="read", role="editor"))],
    ) -> dict[str, Any]:
        return told(user)

    @app.get("/fresh")
    async def fresh(user: Annotated[Principal, depends(doorward.require(fresh=60))]) -> dict[str, Any]:
        return told(user)

    @app.get("/strong")
    async def strong(user: Annotated[Principal, depends(doorward.require(mfa=True))]) -> dict[str, Any]:
        return told(user)

    @app.get("/csrf")
    async def csrf(request: fastapi.Request) -> dict[str, Any]:
        return {"token": doorward.csrf_token(request)}

    return app


def in_fastapi_routers(given: Given) -> Any:
    app = fastapi.FastAPI()
    doorward = doorward_client.fastapi.Doorward(app, **given)

    @app.get("/open")
    async def everybody(user: Annotated[Principal | None, fastapi.Depends(doorward.maybe_user)]) -> dict[str, Any]:
        return {"sub": None if user is None else user.sub}

    @app.get("/csrf")
    async def csrf(request: fastapi.Request) -> dict[str, Any]:
        return {"token": doorward.csrf_token(request)}

    for where, asked in ASKED.items():
        if where != "/open":
            router = doorward.router(**asked)

            @router.api_route(where, methods=["GET", "POST"])
            async def protected(request: fastapi.Request) -> dict[str, Any]:
                return told(doorward.user(request))

            app.include_router(router)
    return app


def _everybody(request: HttpRequest) -> JsonResponse:
    try:
        return JsonResponse({"sub": doorward_client.django.user_of(request).sub})
    except doorward_client.NotSignedIn:
        return JsonResponse({"sub": None})


@doorward_client.django.login_required
def _me(request: HttpRequest) -> JsonResponse:
    return JsonResponse(told(doorward_client.django.user_of(request)))


@doorward_client.django.require(scope="read", role="editor")
def _editor(request: HttpRequest) -> JsonResponse:
    return JsonResponse(told(doorward_client.django.user_of(request)))


@doorward_client.django.require(fresh=60)
def _fresh(request: HttpRequest) -> JsonResponse:
    return JsonResponse(told(doorward_client.django.user_of(request)))


@doorward_client.django.require(mfa=True)
def _strong(request: HttpRequest) -> JsonResponse:
    return JsonResponse(told(doorward_client.django.user_of(request)))


def _csrf(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"token": getattr(request, "doorward_csrf_token")})  # noqa: B009  types do not know it


urlpatterns = [
    path("open", _everybody),
    path("me", _me),
    path("editor", _editor),
    path("fresh", _fresh),
    path("strong", _strong),
    path("csrf", _csrf),
]


async def _aeverybody(request: HttpRequest) -> JsonResponse:
    try:
        return JsonResponse({"sub": (await doorward_client.django.auser_of(request)).sub})
    except doorward_client.NotSignedIn:
        return JsonResponse({"sub": None})


async def _told(request: HttpRequest) -> JsonResponse:
    return JsonResponse(told(await doorward_client.django.auser_of(request)))


class _ByClass(View):
    async def get(self, request: HttpRequest) -> JsonResponse:
        return await _told(request)


@method_decorator(doorward_client.django.require(mfa=True), "dispatch")
class _ByGuardedClass(_ByClass):
    pass


async_urlpatterns = (
    path("open", _aeverybody),
    path("csrf", _csrf),
    path("me", doorward_client.django.login_required(_told)),
    path("editor", doorward_client.django.require(scope="read", role="editor")(_told)),
    path("fresh", doorward_client.django.require(fresh=60)(_ByClass.as_view())),
    path("strong", _ByGuardedClass.as_view()),
)


def in_django(given: Given) -> WSGIApplication:
    _set_up(given, __name__)
    return WSGIHandler()


def in_django_async(given: Given) -> Any:
    _set_up(given, async_urlpatterns)
    return ASGIHandler()


def _set_up(given: Given, urls: object) -> None:
    if not project.configured:
        project.configure(
            ALLOWED_HOSTS=["*"],
            SECRET_KEY="for tests",
            MIDDLEWARE=["doorward_client.django.Middleware"],
        )
        import django  # noqa: PLC0415  the name is that of the module above

        django.setup(set_prefix=False)
    project.DOORWARD, project.ROOT_URLCONF = dict(given), urls


ASKED: Mapping[str, Mapping[str, Any]] = {
    "/open": {},
    "/me": {},
    "/editor": {"scope": "read", "role": "editor"},
    "/fresh": {"fresh": 60},
    "/strong": {"mfa": True},
}


def in_asgi(given: Given) -> Any:
    from doorward_client.asgi import csrf_token, require  # noqa: PLC0415  the same names as below

    async def said(scope: Any) -> dict[str, Any]:
        if scope["path"] == "/csrf":
            return {"token": csrf_token(scope)}
        try:
            return told(await require(scope, **ASKED[scope["path"]]))
        except doorward_client.NotSignedIn:
            if scope["path"] != "/open":
                raise
            return {"sub": None}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        known = scope["path"] in {"/csrf", *ASKED}
        body = json.dumps(await said(scope) if known else {}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200 if known else 404, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return doorward_client.asgi.Doorward(app, **given)


def in_wsgi(given: Given) -> WSGIApplication:
    from doorward_client.wsgi import csrf_token, require  # noqa: PLC0415  the same names as above

    def said(environ: WSGIEnvironment) -> dict[str, Any]:
        if environ["PATH_INFO"] == "/csrf":
            return {"token": csrf_token(environ)}
        try:
            return told(require(environ, **ASKED[environ["PATH_INFO"]]))
        except doorward_client.NotSignedIn:
            if environ["PATH_INFO"] != "/open":
                raise
            return {"sub": None}

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        known = environ["PATH_INFO"] in {"/csrf", *ASKED}
        body = json.dumps(said(environ) if known else {}).encode()
        start_response(
            "200 OK" if known else "404 Not Found",
            [("Content-Type", "application/json"), ("Content-Length", str(len(body)))],
        )
        return [body]

    return doorward_client.wsgi.Doorward(app, **given)


BUILT: Mapping[str, Callable[[Given], Any]] = {
    "flask": in_flask,
    "fastapi": in_fastapi,
    "fastapi_routers": in_fastapi_routers,
    "django": in_django,
    "django_async": in_django_async,
    "asgi": in_asgi,
    "wsgi": in_wsgi,
}


@contextmanager
def listening() -> Iterator[tuple[socket.socket, str]]:
    """A port on the loopback, and the address of the app that will be served there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def serving(framework: str, listener: socket.socket, given: Given) -> Iterator[None]:
    """The small app on a server that is usual for its framework."""
    before = set(GUARDS)
    serve = _werkzeug if framework == "flask" else app_in_thread
    with serve(BUILT[framework](given), listener):
        yield
    for guard in set(GUARDS) - before:
        guard.close()


class _QuietWerkzeug(WerkzeugHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  as werkzeug names it
        """Say nothing."""


@contextmanager
def _werkzeug(app: WSGIApplication, listener: socket.socket) -> Iterator[None]:
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_QuietWerkzeug, fd=listener.fileno())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
