"""`python -m bench.client_apps flask|fastapi HOW`: an app with one endpoint, on its usual server.

HOW: open to everybody, protected as the README has it, or (FastAPI) by its router. Each is an app of its own, for of
several endpoints in one app the later take longer to find. `/spent` tells the seconds of CPU time that it has used.
Settings come from DOORWARD_ISSUER and so on.
"""

import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import fastapi
import flask
import uvicorn
from werkzeug.serving import WSGIRequestHandler, make_server

import doorward_client.fastapi
import doorward_client.flask

SOMEBODY = "0" * 32  # as long as an id


def flask_app(how: str) -> flask.Flask:
    """The app on Flask."""
    app = flask.Flask("bench")
    doorward = doorward_client.flask.Doorward(app)

    def everybody() -> dict[str, str]:
        return {"sub": SOMEBODY}

    @doorward.login_required
    def protected() -> dict[str, str]:
        return {"sub": doorward.user.sub}

    app.get("/")({"open": everybody, "protected": protected}[how])

    @app.get("/spent")
    def spent() -> dict[str, float]:
        return {"seconds": time.process_time()}

    return app


def fastapi_app(how: str) -> fastapi.FastAPI:
    """The app on FastAPI."""
    app = fastapi.FastAPI()
    doorward = doorward_client.fastapi.Doorward(app)
    router = doorward.router() if how == "router" else fastapi.APIRouter()

    async def everybody() -> dict[str, str]:
        return {"sub": SOMEBODY}

    async def protected(
        user: Annotated[doorward_client.Principal, fastapi.Depends(doorward.login_required)],
    ) -> dict[str, str]:
        return {"sub": user.sub}

    async def in_router(request: fastapi.Request) -> dict[str, str]:
        return {"sub": doorward.user(request).sub}

    endpoints: Mapping[str, Callable[..., Any]] = {"open": everybody, "protected": protected, "router": in_router}
    router.get("/")(endpoints[how])
    app.include_router(router)

    @app.get("/spent")
    async def spent() -> dict[str, float]:
        return {"seconds": time.process_time()}

    return app


class Quiet(WSGIRequestHandler):
    """Keeps connections open, as a server in use does, and writes no log."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002  as werkzeug names it
        """Say nothing."""


def main() -> None:
    """Serve until the process is ended."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://localhost:{listener.getsockname()[1]}", flush=True)
    framework, how = sys.argv[1:]
    if framework == "flask":
        server = make_server("127.0.0.1", 0, flask_app(how), threaded=True, request_handler=Quiet, fd=listener.fileno())
        server.serve_forever()
    else:
        config = uvicorn.Config(fastapi_app(how), loop="uvloop", http="httptools", access_log=False, log_level="error")
        uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main()
