"""Reading what was not meant to be written: canaries planted in every secret, searched for in logs and on the disk.

ASVS 16.2.5, 14.2.1, 13.3.1; C19, C60.
"""

import contextlib
import io
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec
import pytest

from doorward import log
from doorward.config import Settings
from doorward.config.settings import Signup
from doorward.datadir import DataDir
from doorward.testing import MovableClock
from tests.http.conftest import World, running
from tests.support.attack import call, path_of, route_table
from tests.support.logs import restored_logging

PASSWORD = "canary-first-password-of-ada"
NEW_PASSWORD = "canary-second-password-of-ada"
WRONG = "canary-wrong-password-of-ada"
TYPED_INTO_THE_WRONG_FIELD = "canary-password-as-a-handle"


@dataclass
class Secrets:
    """What was secret in the run below."""

    found: set[str] = field(
        default_factory=lambda: {PASSWORD, NEW_PASSWORD, WRONG, TYPED_INTO_THE_WRONG_FIELD, "canary-cookie",
                                 "canary-bearer", "canary-csrf", "canary-setup-link", "canary-query"}
    )  # fmt: skip

    def learn(self, answer: httpx.Response) -> httpx.Response:
        """Take note of the secrets that an answer hands out."""
        self.found.update(cookie for cookie in answer.cookies.values() if len(cookie) > 20)
        if answer.headers.get("content-type", "").startswith("application/json"):
            body = answer.json()
            self.found.update(body[name] for name in ("token", "csrf_token") if isinstance(body, dict) and name in body)
        return answer


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    with restored_logging():
        stream = io.StringIO()
        log.configure(form="json", stream=stream)
        yield stream


@pytest.fixture
async def world(tmp_path: Path, clock: MovableClock) -> AsyncIterator[World]:
    plain = Settings(signup=Signup(identifier="uid"))
    cheap = msgspec.structs.replace(plain.password, memory_kib=8, time_cost=1)
    settings = msgspec.structs.replace(plain, password=cheap)
    async with running(settings, DataDir.open(tmp_path / "data"), clock) as world:
        yield world


async def live(world: World) -> Secrets:
    """Do everything that handles a secret, rightly and wrongly."""
    secrets, ada, program, stranger = Secrets(), world.visitor(), world.visitor(), world.visitor()
    body = {"uid": "ada", "name": "Ada", "password": PASSWORD}
    secrets.learn(await ada.post("/api/users", body))
    secrets.learn(await ada.get("/api/sessions/current"))
    await ada.learn_csrf()
    secrets.learn(await ada.sign_in("ada", PASSWORD))
    changed = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    secrets.learn(await ada.submit("/account/password", changed))

    asked = {"identifier": "ada", "password": NEW_PASSWORD, "transport": "bearer"}
    secrets.learn(await program.post("/api/sessions", asked))
    given = await program.post("/api/users/authenticate", {"uid": "ada", "password": NEW_PASSWORD})
    secrets.found.update(given.json().get("data", {}).get("jwt", "canary").split(".")[2:])

    for uid, password in (("ada", WRONG), (TYPED_INTO_THE_WRONG_FIELD, WRONG)):
        secrets.learn(await stranger.sign_in(uid, password))
    await stranger.post("/api/users", {"uid": "ada", "name": "", "password": WRONG, "dob": TYPED_INTO_THE_WRONG_FIELD})
    await stranger.http.post(
        "/api/users", content=f'{{"password": "{WRONG}"', headers={"content-type": "application/json"}
    )
    await stranger.get("/api/users/me", headers={"authorization": "Bearer canary-bearer"})
    await stranger.get("/api/users/me", headers={"authorization": "Bearer canary-bearer.a.b"})
    await stranger.get("/api/users/me", headers={"cookie": "doorward_session=canary-cookie"})
    await ada.send("PATCH", "/api/users/me", {"name": "x"}, headers={"x-csrf-token": "canary-csrf"})
    await stranger.get("/setup/canary-setup-link")
    await stranger.get("/sign-in?next=/&token=canary-query&password=canary-query")
    handed_out = [secret for secret in secrets.found if "canary" not in secret]
    assert len(handed_out) >= 6, "cookies, CSRF tokens, a bearer token and the signature of a JWT"
    return secrets


@pytest.mark.asvs("16.2.5")
@pytest.mark.asvs("14.2.1")
async def test_no_secret_is_ever_logged(lines: io.StringIO, world: World) -> None:
    secrets = await live(world)
    text = lines.getvalue()
    events = [json.loads(line)["event"] for line in text.splitlines()]
    assert {"user_created", "authn_login_success", "authn_login_fail", "authn_password_change"} <= set(events)
    assert [secret for secret in secrets.found if secret in text] == []


@pytest.mark.asvs("13.3.1")
async def test_no_secret_lies_in_the_database(world: World, tmp_path: Path) -> None:
    secrets = await live(world)
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "doorward.db")) as connection:
        dump = "\n".join(connection.iterdump())
    private = next(iter(world.services.keys._keys.values())).jwk.as_dict(private=True)["d"]  # noqa: SLF001  ours
    assert "ada" in dump
    assert [secret for secret in {*secrets.found, str(private)} if secret in dump] == []


async def everywhere(world: World) -> list[httpx.Response]:
    """Send canaries in every place of a request, to every operation; what came back."""
    marked = {"x-csrf-token": "canary-csrf", "referer": "http://localhost:8000/setup/canary-setup-link"}
    credentials: tuple[dict[str, str], ...] = (
        {"authorization": "Bearer canary-bearer"},
        {"authorization": "Basic canary-bearer"},
        {"cookie": "doorward=canary-cookie; doorward-device=canary-cookie"},
        {},
    )
    answers = []
    for operation in route_table(world):
        path = path_of(operation, token="canary-setup-link") + "?token=canary-query&password=canary-query"
        for headers in credentials:
            visitor = world.visitor()
            answers.append(await call(visitor, operation, path, **marked, **headers))
            for kind, body in (
                ("application/json", json.dumps({"password": WRONG, "identifier": "x"})),
                ("application/json", json.dumps({"password": WRONG, "uid": "x"})),
                ("application/json", f'{{"password": "{WRONG}'),
                ("application/x-www-form-urlencoded", f"password={WRONG}&identifier=x&csrf_token=canary-csrf"),
                ("text/plain", WRONG),
            ):
                sent = {**marked, **headers, "content-type": kind}
                answers.append(await visitor.http.request(operation.method, path, content=body, headers=sent))
    return answers


@pytest.mark.asvs("16.2.5")
@pytest.mark.asvs("16.5.1")
async def test_what_was_sent_as_a_secret_comes_back_nowhere(lines: io.StringIO, world: World, tmp_path: Path) -> None:
    answers = await everywhere(world)
    assert len(answers) > 500
    canaries = ("canary-bearer", "canary-cookie", "canary-csrf", "canary-query", "canary-setup-link", WRONG)
    for answer in answers:
        shown = repr(answer.headers.multi_items())
        if answer.headers.get("content-type", "").startswith("application/"):
            shown += answer.text
        found = [canary for canary in canaries if canary in shown]
        assert found == [], (answer.request.method, answer.request.url, answer.status_code)
        page = [canary for canary in (*canaries[:3], WRONG) if canary in answer.text]
        assert page == [], (answer.request.method, answer.request.url, answer.status_code)
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "doorward.db")) as connection:
        dump = "\n".join(connection.iterdump())
    assert "authn_login_fail" in dump
    assert [canary for canary in canaries if canary in dump or canary in lines.getvalue()] == []
