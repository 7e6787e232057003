"""Doorward and an app behind one proxy: one origin, as a small site would have it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flask
import httpx
from werkzeug.exceptions import HTTPException
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.support.ports import free_port
from tests.support.serving import operate, running
from tests.support.two_sites import PASSWORD, Heard

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_OF_THE_HOP = {"connection", "keep-alive", "transfer-encoding", "content-encoding", "content-length"}
PAGE = """<!doctype html>
<html lang="en">
<title>Notes</title>
<p id="who" role="status"></p>
<button id="sign-in">Sign in</button>
<script type="module">
  import { doorward } from "/doorward.js";
  const door = doorward();
  const show = (user) => (who.textContent = user ? `Hello, ${user.name}` : "Nobody is signed in.");
  document.getElementById("sign-in").onclick = () => door.signIn();
  door.onChange(show);
  show(await door.user());
  const waited = await door.replayed();
  if (waited) who.textContent = `${waited.status} ${waited.headers.get("content-type")}`;
</script>
</html>
"""


@dataclass
class OneOrigin:
    """Where it is, and what arrived at the app."""

    url: str
    data: Path
    heard: list[Heard] = field(default_factory=list)


@contextmanager
def one_origin(folder: Path) -> Iterator[OneOrigin]:
    """Start all three. The app answers below /app, Doorward everywhere else."""
    port, behind, data, file = free_port(), free_port(), folder / "data", folder / "doorward.toml"
    site = OneOrigin(f"http://localhost:{port}", data)
    file.write_text(f'[server]\npublic_url = "{site.url}"\n[signup]\nidentifier = "uid"\n')
    place = ("--data", str(data), "--config", str(file))
    for uid in ("ada", "bob"):
        operate("user", "add", uid, "--name", uid.title(), "--password-stdin", *place, typed=PASSWORD)
    with (
        running("doorward.cli", "serve", *place, "--port", str(behind)),
        httpx.HTTPTransport() as http,  # not a client: that would keep cookies, and be everybody at once
        _serving(_proxy(site, http, f"http://127.0.0.1:{behind}"), port),
    ):
        yield site


def _proxy(site: OneOrigin, http: httpx.HTTPTransport, behind: str) -> flask.Flask:
    app = flask.Flask("proxy")

    @app.get("/app/")
    def page() -> str:
        return PAGE

    @app.route("/app/api/<path:path>", methods=METHODS)
    def api(path: str) -> Any:
        asked = flask.request
        site.heard.append(Heard(asked.host, asked.method, asked.path, dict(asked.headers), asked.get_data()))
        if path == "away":
            return flask.redirect("http://127.0.0.1:9/caught", 307)
        return {"method": asked.method, "csrf": asked.headers.get("x-csrf-token")}

    @app.errorhandler(404)
    @app.errorhandler(405)
    def doorward(_: HTTPException) -> flask.Response:
        asked = flask.request
        headers = [(name, value) for name, value in asked.headers if name.lower() not in _OF_THE_HOP]
        url = f"{behind}{asked.full_path.rstrip('?')}"
        answer = http.handle_request(httpx.Request(asked.method, url, headers=headers, content=asked.get_data()))
        content = answer.read()
        kept = [(name, value) for name, value in answer.headers.multi_items() if name not in _OF_THE_HOP]
        return flask.Response(content, answer.status_code, kept)

    return app


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  as werkzeug names it
        """Say nothing."""


@contextmanager
def _serving(app: Callable[..., Any], port: int) -> Iterator[None]:
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
