"""The app of the document about JavaScript, on two sites; beside it a server of somebody else, who listens."""

import base64
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import flask
from werkzeug.exceptions import HTTPException

import doorward_client.flask
from tests.support.two_sites import ELSEWHERE, FAR, FAR_RESOURCE, ISSUER, ORIGIN, OTHER, RESOURCE, Heard, TwoSites

NONCE = "a-nonce-of-the-api"
FRESH_SECONDS = 600
FAR_PAGE = "<!doctype html><title>Far</title><p id='who'></p><script type='module' src='/far.js'></script>"
FAR_SCRIPT = """import { doorward } from "%(issuer)s/doorward.js";
window.door = doorward({ clientId: "%(client)s", resource: "%(resource)s" });
const user = await door.user();
who.textContent = user ? `Hello, ${user.name}` : "Nobody is signed in.";
const waited = await door.replayed();
if (waited) who.textContent = JSON.stringify((await waited.json()).said);
"""


def notes_app(sites: TwoSites) -> WSGIApplication:
    """The page of the document, an API beside it, and one on a site of its own. Both take bound tokens alone."""
    near, far = _near(sites), _far(sites)

    def by_host(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return (far if environ["HTTP_HOST"] == FAR else near)(environ, start_response)

    return by_host


def _guarded(sites: TwoSites, name: str, resource: str) -> tuple[flask.Flask, doorward_client.flask.Doorward]:
    app, (scheme, host, *_) = flask.Flask(name), urlsplit(resource)
    made = sites.json("client", "add", name, "--type", "service", "--resource", resource, "--scope", "revocations")
    guard = doorward_client.flask.Doorward(
        app, issuer=ISSUER, client_id=made["client_id"], client_secret=made["client_secret"], audience=resource,
        app_url=f"{scheme}://{host}", require_dpop=True,
    )  # fmt: skip
    return app, guard


def _far(sites: TwoSites) -> flask.Flask:
    app, guard = _guarded(sites, "far", FAR_RESOURCE)

    @app.after_request
    def share(answer: flask.Response) -> flask.Response:
        """What the document says an API of another origin answers."""
        answer.headers["access-control-allow-origin"] = ORIGIN
        answer.headers["access-control-allow-headers"] = "Authorization, DPoP, Content-Type"
        answer.headers["access-control-allow-methods"] = "GET, POST"
        answer.headers["access-control-expose-headers"] = "WWW-Authenticate, DPoP-Nonce"
        return answer

    @app.post("/echo")
    @guard.require(fresh=FRESH_SECONDS)
    def echo() -> dict[str, Any]:
        return {"sub": guard.user.sub, "said": flask.request.get_json()}

    return app


def _near(sites: TwoSites) -> flask.Flask:
    app, guard = _guarded(sites, "near", RESOURCE)
    _pages(app, sites)
    _api(app, guard)

    @app.before_request
    def listen() -> flask.Response | None:
        asked = flask.request
        sites.heard.append(
            Heard(asked.host, asked.method, asked.full_path.rstrip("?"), dict(asked.headers), asked.get_data())
        )
        return _elsewhere() if asked.host == OTHER else None

    @app.errorhandler(404)
    def nothing(_: HTTPException) -> tuple[str, int]:
        return "", 404

    return app


def _pages(app: flask.Flask, sites: TwoSites) -> None:
    page, script = sites.example("html"), sites.example("js")

    @app.get("/")
    @app.get("/deep/<path:_>")
    def start(_: str = "") -> str:
        return page.replace('"app.js"', '"/app.js"')

    @app.get("/app.js")
    def app_js() -> flask.Response:
        return flask.Response(script, mimetype="text/javascript")

    @app.get("/far")
    def far_page() -> str:
        return FAR_PAGE

    @app.get("/far.js")
    def far_js() -> flask.Response:
        text = FAR_SCRIPT % {"issuer": ISSUER, "client": sites.client_id, "resource": FAR_RESOURCE}
        return flask.Response(text, mimetype="text/javascript")

    @app.get("/empty")
    def empty() -> str:
        return "<!doctype html><title>Nothing here</title>"


def _api(app: flask.Flask, guard: doorward_client.flask.Doorward) -> None:
    @app.get("/api/me")
    @guard.login_required
    def me() -> dict[str, Any]:
        return {"sub": guard.user.sub}

    @app.get("/api/nonce")
    def with_nonce() -> tuple[dict[str, Any], int, dict[str, str]]:
        given = _payload(flask.request.headers.get("dpop", "")).get("nonce")
        if given != NONCE:
            return {}, 401, {"www-authenticate": 'DPoP error="use_dpop_nonce"', "dpop-nonce": NONCE}
        return {"nonce": given}, 200, {}

    @app.route("/api/notes", methods=["POST", "PUT", "DELETE"])
    @guard.require(fresh=FRESH_SECONDS)
    def change() -> dict[str, Any]:
        return {"method": flask.request.method, "text": flask.request.get_data(as_text=True)}

    @app.route("/api/away", methods=["GET", "POST"])
    def away() -> Any:
        return flask.redirect(f"{ELSEWHERE}/caught", 307)


def _elsewhere() -> flask.Response:
    """Whatever is asked, from wherever, with whatever: a server that wants to be told secrets."""
    asked = flask.request
    answer = flask.jsonify(cookie=asked.cookies.get("third", ""))
    if asked.path == "/cookie":
        answer.set_cookie("third", "party", secure=True, samesite="None")
    answer.headers["access-control-allow-origin"] = asked.headers.get("origin", "*")
    answer.headers["access-control-allow-credentials"] = "true"
    answer.headers["access-control-allow-headers"] = "authorization, dpop, content-type, x-csrf-token"
    answer.headers["access-control-allow-methods"] = "GET, POST"
    return answer


def _payload(proof: str) -> dict[str, Any]:
    body = [*proof.split("."), "", ""][1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)) or b"{}")
    return found
