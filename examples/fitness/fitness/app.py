"""The API: every route there is.

It keeps no cookies and no sessions. Every request carries a token that Doorward made out to this API, bound to a key
that the browser cannot give away (DPoP, RFC 9449). So no other site can act for anybody, and a token that is stolen is
worth nothing without the key.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, TypeVar

from flask import Flask, Response, request
from werkzeug.exceptions import BadRequest, HTTPException, NotFound

from doorward_client import Unavailable
from doorward_client.flask import Doorward
from doorward_client.uploads import UploadRefused, headers_for
from fitness import reading
from fitness.goodbyes import Forged, Goodbyes
from fitness.pictures import LIMITS, Pictures
from fitness.settings import Settings
from fitness.store import MOST_COINS_A_DAY, Exercise, Full, Gone, Note, Store
from fitness.users import Refused, Users

PAGE = 20
LEADERS = 20
JSON_BYTES = 64_000
PREFLIGHT_SECONDS = 600
_log = logging.getLogger(__name__)
T = TypeVar("T")


def create_app(settings: Settings) -> Flask:  # noqa: C901, PLR0915  one place that lists every route
    """Build the app. Under a server for production: `gunicorn 'fitness.app:create_app(Settings.read())'`."""
    app = Flask(__name__, static_folder=None)
    doorward = Doorward(
        app,
        issuer=settings.issuer,
        client_id=settings.client_id,
        client_secret=settings.client_secret,
        audience=settings.api_url,
        app_url=settings.api_url,
        require_dpop=True,
        sessions=False,
    )
    store, pictures = Store(settings.database), Pictures(settings.pictures)
    users = Users(settings.issuer, settings.api_key)
    goodbyes = Goodbyes(store, pictures, users, settings.webhook_secret)
    app.extensions["fitness"] = (store, pictures, users, goodbyes)

    # Yourself --------------------------------------------------------------------------------------------------------

    @app.get("/me")
    @doorward.login_required
    def get_me() -> Mapping[str, Any]:
        return there(users.find(doorward.user.sub))

    @app.patch("/me")
    @doorward.login_required
    def patch_me() -> Mapping[str, Any]:
        return there(users.change_profile(doorward.user.sub, reading.profile()))

    # Exercises and coins ---------------------------------------------------------------------------------------------

    @app.get("/exercises")
    @doorward.login_required
    def get_exercises() -> Mapping[str, Any]:
        found = store.exercises(doorward.user.sub, PAGE)
        today = {"today": store.coins_today(doorward.user.sub), "most": MOST_COINS_A_DAY}
        return {"data": [shown_exercise(one) for one in found], **today}

    @app.post("/exercises")
    @doorward.login_required
    def post_exercise() -> tuple[Mapping[str, Any], int]:
        """What was done is the user's word; what it is worth is ours, and so is writing it down at Doorward."""
        done = store.log_exercise(doorward.user.sub, *reading.exercise())
        paid = pay(store, users, [done, *store.unpaid()])
        return {**shown_exercise(done), "paid": paid, "most_coins_a_day": MOST_COINS_A_DAY}, 201

    @app.get("/leaderboard")
    @doorward.login_required
    def get_leaderboard() -> Mapping[str, Any]:
        me = doorward.user.sub
        rows = users.leaderboard(LEADERS)
        # Ids stay here: nobody needs those of others.
        shown = [
            {name: row[name] for name in ("rank", "name", "uid", "coins")} | {"own": row["id"] == me} for row in rows
        ]
        return {"data": shown, "own_coins": (users.find(me) or {}).get("coins"), "most": MOST_COINS_A_DAY}

    # Notes: whoever is not the owner is told what they are told of one that is not there ------------------------------

    @app.get("/notes")
    @doorward.login_required
    def get_notes() -> Mapping[str, Any]:
        found = store.notes(doorward.user.sub, request.args.get("before"), PAGE + 1)
        more = found[PAGE - 1].id if len(found) > PAGE else None
        return {"data": [shown_note(note) for note in found[:PAGE]], "before": more}

    @app.post("/notes")
    @doorward.login_required
    def post_note() -> tuple[Mapping[str, Any], int]:
        return shown_note(store.add_note(doorward.user.sub, reading.note_text())), 201

    @app.get("/notes/<note_id>")
    @doorward.login_required
    def get_note(note_id: str) -> Mapping[str, Any]:
        return shown_note(there(store.note(doorward.user.sub, note_id)))

    @app.put("/notes/<note_id>")
    @doorward.login_required
    def put_note(note_id: str) -> Mapping[str, Any]:
        return shown_note(there(store.change_note(doorward.user.sub, note_id, reading.note_text())))

    @app.delete("/notes/<note_id>")
    @doorward.login_required
    def delete_note(note_id: str) -> tuple[str, int]:
        found, file = store.delete_note(doorward.user.sub, note_id)
        pictures.discard([file])
        if not found:
            nothing()
        return "", 204

    @app.get("/notes/<note_id>/picture")
    @doorward.login_required
    def get_picture(note_id: str) -> Response:
        name = there(there(store.note(doorward.user.sub, note_id)).picture)
        # Kept in no cache, where it would outlive the session on a computer that several people use.
        return Response(there(pictures.read(name)), headers={**headers_for(name), "Cache-Control": "no-store"})

    @app.put("/notes/<note_id>/picture")
    @doorward.login_required
    def put_picture(note_id: str) -> Mapping[str, Any]:
        """The body is the file. Its name and its declared type are not asked for."""
        there(store.note(doorward.user.sub, note_id))  # nothing is decoded for a note that is not theirs
        request.max_content_length = LIMITS.max_bytes
        picture = pictures.keep(request.get_data(cache=False))
        try:
            found, file = store.set_picture(doorward.user.sub, note_id, picture.name, len(picture.content))
        except (Full, Gone):
            pictures.discard([picture.name])
            raise
        pictures.discard([file if found else picture.name])
        return shown_note(there(store.note(doorward.user.sub, note_id)))

    @app.delete("/notes/<note_id>/picture")
    @doorward.login_required
    def delete_picture(note_id: str) -> tuple[str, int]:
        found, file = store.set_picture(doorward.user.sub, note_id, None, 0)
        pictures.discard([file])
        if not found:
            nothing()
        return "", 204

    # What Doorward tells us ------------------------------------------------------------------------------------------

    @app.post("/doorward")
    def post_event() -> tuple[str, int]:
        goodbyes.receive(dict(request.headers), request.get_data(cache=False))
        return "", 204

    # Every request, every answer -------------------------------------------------------------------------------------

    @app.before_request
    def begin() -> Response | None:
        request.max_content_length = JSON_BYTES
        return Response(status=204) if request.method == "OPTIONS" else None

    @app.after_request
    def finish(response: Response) -> Response:
        headers = response.headers
        headers.setdefault("Cache-Control", "no-store")
        headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Vary"] = "Origin"
        if request.headers.get("Origin") == settings.web_url:  # scripts of this one origin may read our answers
            headers["Access-Control-Allow-Origin"] = settings.web_url
            headers["Access-Control-Expose-Headers"] = "WWW-Authenticate, DPoP-Nonce, Retry-After"
            if request.method == "OPTIONS":
                headers["Access-Control-Allow-Methods"] = "GET, POST, PUT, PATCH, DELETE"
                headers["Access-Control-Allow-Headers"] = "Authorization, DPoP, Content-Type"
                headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
        return response

    _answer_refusals(app)
    return app


def start(app: Flask) -> None:
    """What is done once, before the first request: hear what was missed, pay what is owed, throw away leavings."""
    store, pictures, users, goodbyes = app.extensions["fitness"]
    try:
        goodbyes.catch_up()
    except Unavailable as error:
        _log.warning("Doorward is not there yet (%s); webhooks wait for us, and the next start catches up", error)
    pay(store, users, store.unpaid())
    pictures.sweep(store.pictures())


def pay(store: Store, users: Users, owed: Iterable[Exercise]) -> bool:
    """Have Doorward add the coins that are owed; whether it did. The exercise's id sees to it that none count twice.

    What was logged is logged: if Doorward is away now, the coins come later.
    """
    try:
        for exercise in owed:
            users.add_coins(exercise.user_id, exercise.coins, once=exercise.id)
            store.paid(exercise.id)
    except Unavailable as error:
        _log.warning("coins are owed: %s", error)
        return False
    return True


def shown_note(note: Note) -> Mapping[str, Any]:
    """A note as JSON has it. Its text is as it was sent: `textContent`, never `innerHTML`."""
    times = {"created_at": note.created_at, "updated_at": note.updated_at}
    return {"id": note.id, "text": note.text, "picture": note.picture is not None, **times}


def shown_exercise(one: Exercise) -> Mapping[str, Any]:
    """An exercise as JSON has it."""
    return {"id": one.id, "kind": one.kind, "minutes": one.minutes, "coins": one.coins, "at": one.at}


def there(found: T | None) -> T:
    """What was found. Raises NotFound."""
    if found is None:
        nothing()
    return found


def nothing() -> NoReturn:
    """Raise NotFound."""
    raise NotFound("There is no such thing, or it is not yours")


def _answer_refusals(app: Flask) -> None:
    """Every refusal has a sentence for people as `message`. What nobody foresaw says nothing of itself: no `str(e)`."""

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> tuple[Mapping[str, Any], int]:
        return {"message": error.description or error.name}, error.code or 500

    @app.errorhandler(UploadRefused)
    def refuse_upload(error: UploadRefused) -> tuple[Mapping[str, Any], int]:
        return {"message": str(error)}, error.status

    @app.errorhandler(Full)
    def refuse_more(error: Full) -> tuple[Mapping[str, Any], int]:
        return {"message": str(error)}, 409

    @app.errorhandler(Refused)
    def refuse_value(error: Refused) -> tuple[Mapping[str, Any], int]:
        return {"message": str(error)}, BadRequest.code

    @app.errorhandler(Gone)
    def refuse_gone(_: Gone) -> tuple[Mapping[str, Any], int]:
        return {"message": "This account was deleted"}, 401

    @app.errorhandler(Forged)
    def refuse_forged(_: Forged) -> tuple[Mapping[str, Any], int]:
        return {"message": "Not signed by Doorward"}, 401
