"""The app of the document about JavaScript, on two sites; beside it a server of somebody else, who listens."""

import base64
import json
from typing import Any

import flask
from werkzeug.exceptions import HTTPException

import doorward_client.flask
from tests.support.two_sites import ELSEWHERE, ISSUER, ORIGIN, OTHER, RESOURCE, Heard, TwoSites

NONCE = "a-nonce-of-the-api"
FRESH_SECONDS = 600


def notes_app(sites: TwoSites) -> flask.Flask:
    """The page of the document, and an API that takes bound tokens alone."""
    app = flask.Flask("notes")
    made = sites.json("client", "add", "Notes API", "--type", "service", "--resource", RESOURCE)
    guard = doorward_client.flask.Doorward(
        app, issuer=ISSUER, client_id=made["client_id"], client_secret=made["client_secret"], audience=RESOURCE,
        app_url=ORIGIN, require_dpop=True,
    )  # fmt: skip
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
