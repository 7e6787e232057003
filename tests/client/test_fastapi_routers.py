"""Routers of FastAPI whose endpoints all ask the same: whatever is added to one cannot be forgotten."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import fastapi
import httpx
import pytest
from starlette.requests import HTTPConnection

from doorward.testing.hosting import app_in_thread
from doorward_client import Principal
from doorward_client.fastapi import Doorward
from doorward_client.testing import Issuer, MovableClock, User
from tests.client.test_frameworks import settings_for
from tests.support.client_apps import listening

counted: list[str] = []


def seen(connection: HTTPConnection) -> None:
    counted.append(connection.url.path)


def app_of(given: dict[str, Any]) -> fastapi.FastAPI:
    app = fastapi.FastAPI()
    doorward = app.state.doorward = Doorward(app, **given)
    notes = doorward.router("/notes", scope="read", dependencies=[fastapi.Depends(seen)])
    editors = doorward.router("/editors", role="editor")
    others = fastapi.APIRouter(prefix="/others")  # asks for nothing by itself

    @notes.get("/{number}")
    async def note(number: int, request: fastapi.Request) -> dict[str, Any]:
        return {"number": number, "sub": doorward.user(request).sub}

    @notes.post("/")
    async def add(note: Annotated[dict[str, int], fastapi.Body()], request: fastapi.Request) -> dict[str, Any]:
        return {"note": note, "sub": doorward.user(request).sub}

    @notes.post("/form")
    async def add_form(text: Annotated[str, fastapi.Form()]) -> str:
        return text

    @editors.get("/")
    def in_a_thread(
        request: fastapi.Request, also: Annotated[Principal, fastapi.Depends(doorward.require(scope="read"))]
    ) -> str:
        assert doorward.user(request) == also
        return also.sub

    @others.get("/")
    async def other(request: fastapi.Request) -> str:
        return doorward.user(request).sub

    @notes.websocket("/talk")
    async def talk(socket: fastapi.WebSocket) -> None:
        await socket.accept()
        await socket.close(reason=doorward.user(socket).sub)

    @app.websocket("/talk")
    async def talk_here(
        socket: fastapi.WebSocket, user: Annotated[Principal, fastapi.Depends(doorward.login_required)]
    ) -> None:
        await socket.accept()
        await socket.close(reason=user.sub)

    @app.get("/elsewhere")
    async def elsewhere(
        request: fastapi.Request, _: Annotated[Principal, fastapi.Depends(doorward.login_required)]
    ) -> str:
        return doorward.user(request).sub

    notes.include_router(editors)
    notes.include_router(others)
    notes.frontend("/pages", directory=Path(__file__).parent)
    app.include_router(notes, prefix="/api")

    @notes.get("/late/comer", status_code=202)
    async def late() -> str:
        return "late"

    return app


@pytest.fixture
def http(doorward_issuer: Issuer, doorward_clock: MovableClock) -> Iterator[httpx.Client]:
    with listening() as (listener, url):
        app = app_of(settings_for(doorward_issuer, doorward_clock, url))
        with app_in_thread(app, listener), httpx.Client(base_url=url) as client:
            yield client


def token_of(issuer: Issuer, user: User, scope: str = "read") -> dict[str, str]:
    return {"authorization": f"Bearer {issuer.access_token(user, issuer.clients['web'], scope=scope)}"}


@pytest.mark.asvs("8.3.1")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/notes/1"),
        ("HEAD", "/api/notes/1"),
        ("GET", "/api/notes/none"),
        ("POST", "/api/notes/"),
        ("POST", "/api/notes/form"),
        ("GET", "/api/notes/editors/"),
        ("GET", "/api/notes/others/"),
        ("GET", "/api/notes/pages/conftest.py"),
        ("GET", "/api/notes/late/comer"),
    ],
)
def test_strangers_get_nowhere_and_learn_nothing(http: httpx.Client, method: str, path: str) -> None:
    for content, kind in ((b"", "application/json"), (b"{", "application/json"), (b"a=b", "multipart/form-data")):
        answer = http.request(method, path, content=content, headers={"content-type": kind})
        assert answer.status_code == (405 if method == "HEAD" else 401), (path, answer.text)
        assert "none" not in answer.text
        assert "number" not in answer.text


def test_what_is_asked_for_is_known_to_the_endpoint(http: httpx.Client, doorward_issuer: Issuer, ada: User) -> None:
    bearer = token_of(doorward_issuer, ada)
    for _ in range(2):  # a token met before goes another way
        assert http.get("/api/notes/7", headers=bearer).json() == {"number": 7, "sub": ada.sub}
        assert http.post("/api/notes/", headers=bearer, json={"a": 1}).json() == {"note": {"a": 1}, "sub": ada.sub}
        assert http.post("/api/notes/form", headers=bearer, data={"text": "hello"}).json() == "hello"
        assert http.get("/api/notes/editors/", headers=bearer).json() == ada.sub
        assert http.get("/api/notes/others/", headers=bearer).json() == ada.sub
        assert http.get("/api/notes/pages/conftest.py", headers=bearer).status_code == 200
        assert http.get("/api/notes/late/comer", headers=bearer).status_code == 202
    assert counted.count("/api/notes/7") == 2, "dependencies of its own stay"
    assert http.get("/api/notes/none", headers=bearer).status_code == 422


def test_each_router_asks_for_its_own(http: httpx.Client, doorward_issuer: Issuer) -> None:
    bob = doorward_issuer.user("Bob")
    for scope, note, editors in (("read", 200, 403), ("", 403, 403)):
        token = token_of(doorward_issuer, bob, scope)
        for _ in range(2):
            assert http.get("/api/notes/1", headers=token).status_code == note
            assert http.get("/api/notes/editors/", headers=token).status_code == editors


def test_an_endpoint_of_no_such_router_is_told_so_and_nobody(
    http: httpx.Client, doorward_issuer: Issuer, ada: User
) -> None:
    headers = {**token_of(doorward_issuer, ada), "connection": "close"}
    for _ in range(2):
        assert http.get("/elsewhere", headers=headers).status_code == 500


@pytest.mark.parametrize("where", ["/talk", "/api/notes/talk"])
async def test_a_websocket_asks_by_a_dependency(
    doorward_issuer: Issuer, doorward_clock: MovableClock, ada: User, where: str
) -> None:
    app = app_of(settings_for(doorward_issuer, doorward_clock, "http://127.0.0.1:9"))
    authorization = token_of(doorward_issuer, ada)["authorization"]

    async def answers(*headers: tuple[bytes, bytes]) -> list[Any]:
        sent: list[Any] = []

        async def receive() -> dict[str, str]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "websocket", "path": where, "headers": headers, "query_string": b""}
        await app(scope | {"extensions": {"websocket.http.response": {}}}, receive, send)
        return sent

    accepted, closed = await answers((b"authorization", authorization.encode()))
    assert (accepted["type"], closed["reason"]) == ("websocket.accept", ada.sub)
    refused, _ = await answers()
    assert (refused["type"], refused["status"]) == ("websocket.http.response.start", 401)
    await app.state.doorward.guard.close()
