"""`python -m bench.client_apps flask|fastapi`: an app with an open and a protected endpoint, on its usual server.

`/spent` tells the seconds of CPU time that the process has used.
Settings come from DOORWARD_ISSUER and so on.
"""

import socket
import sys
import time
from typing import Annotated

import fastapi
import flask
import uvicorn
from werkzeug.serving import WSGIRequestHandler, make_server

import doorward_client.fastapi
import doorward_client.flask


def flask_app() -> flask.Flask:
    """Two views that do the same, but for who may see them."""
    app = flask.Flask("bench")
    doorward = doorward_client.flask.Doorward(app)

    @app.get("/protected")
    @doorward.login_required
    def protected() -> dict[str, str]:
        return {"sub": doorward.user.sub}

    @app.get("/open")
    def everybody() -> dict[str, str]:
        return {"sub": "somebody"}

    @app.get("/spent")
    def spent() -> dict[str, float]:
        return {"seconds": time.process_time()}

    return app


def fastapi_app() -> fastapi.FastAPI:
    """Endpoints that do the same, but for who may see them: whoever it is, by a dependency, or by their router."""
    app = fastapi.FastAPI()
    doorward = doorward_client.fastapi.Doorward(app)
    free, guarded = fastapi.APIRouter(), doorward.router()

    @free.get("/open")
    async def everybody() -> dict[str, str]:
        return {"sub": "somebody"}

    @free.get("/protected")
    async def protected(
        user: Annotated[doorward_client.Principal, fastapi.Depends(doorward.login_required)],
    ) -> dict[str, str]:
        return {"sub": user.sub}

    @free.get("/spent")
    async def spent() -> dict[str, float]:
        return {"seconds": time.process_time()}

    @guarded.get("/router")
    async def in_router(request: fastapi.Request) -> dict[str, str]:
        return {"sub": doorward.user(request).sub}

    app.include_router(free)
    app.include_router(guarded)
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
    if sys.argv[1] == "flask":
        server = make_server("127.0.0.1", 0, flask_app(), threaded=True, request_handler=Quiet, fd=listener.fileno())
        server.serve_forever()
    else:
        config = uvicorn.Config(fastapi_app(), loop="uvloop", http="httptools", access_log=False, log_level="error")
        uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main()
