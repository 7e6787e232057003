"""Sessions of browsers at an app: where they are kept, and how they are refreshed however many tabs ask."""

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from doorward_client import (
    Clock,
    ForgedRequest,
    Guard,
    NotSignedIn,
    Request,
    SessionsInMemory,
    SessionsInSQLite,
    SessionStore,
    Settings,
    Unavailable,
)
from doorward_client.flows import Answer, Call, Exclusive, Flow
from doorward_client.sessions import Session, Sessions
from doorward_client.testing import Issuer, MovableClock, User
from doorward_client.testing.issuer import Client
from tests.support.client_calls import Asked, guarding, request
from tests.support.waiting import wait_until

COOKIE = "c" * 43
SESSION = Session("access", 100.0, "refresh", "sub", 200.0, {"name": "Ada"})


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SessionStore]:
    if request.param == "memory":
        yield SessionsInMemory()
    else:
        kept = SessionsInSQLite(tmp_path / "sessions.db")
        yield kept
        kept.close()


def test_a_session_is_found_by_its_cookie_until_it_ends(store: SessionStore) -> None:
    sessions = Sessions(store)
    sessions.save(COOKIE, SESSION, 0)
    assert sessions.load(COOKIE, 199) == SESSION
    assert sessions.load(COOKIE, 200) is None
    assert sessions.load("d" * 43, 0) is None
    sessions.end(COOKIE)
    sessions.end(COOKIE)
    assert sessions.load(COOKIE, 0) is None


def test_what_has_ended_does_not_pile_up(store: SessionStore) -> None:
    store.write(b"old", b"x", now=0, until=10)
    store.write(b"new", b"x", now=10, until=20)
    assert store.read(b"old", 0) is None
    assert store.read(b"new", 0) == b"x"


@pytest.mark.asvs("14.2.4")
def test_a_copy_of_the_file_opens_nothing(tmp_path: Path) -> None:
    store = SessionsInSQLite(tmp_path / "sessions.db")
    Sessions(store).save(COOKIE, SESSION, 0)
    rows = list(sqlite3.connect(tmp_path / "sessions.db").execute("SELECT * FROM session"))
    assert len(rows) == 1
    for secret in (COOKIE, "access", "refresh", "Ada"):
        assert secret not in repr(rows)
    store.close()


def test_rows_that_were_exchanged_are_not_taken(store: SessionStore) -> None:
    sessions = Sessions(store)
    other = "d" * 43
    sessions.save(COOKIE, SESSION, 0)
    sessions.save(other, SESSION, 0)
    mine = store.read(hashlib.sha256(COOKIE.encode()).digest(), 0)
    assert mine is not None
    store.write(hashlib.sha256(other.encode()).digest(), mine, now=0, until=200)
    assert sessions.load(other, 0) is None
    assert sessions.load(COOKIE, 0) == SESSION


def test_processes_share_a_file(tmp_path: Path) -> None:
    one, two = SessionsInSQLite(tmp_path / "s.db"), SessionsInSQLite(tmp_path / "s.db")
    Sessions(one).save(COOKIE, SESSION, 0)
    assert Sessions(two).load(COOKIE, 0) == SESSION
    Sessions(two).end(COOKIE)
    assert Sessions(one).load(COOKIE, 0) is None
    one.close()
    two.close()


# Refreshing ----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["threads", "tasks"])
def guard(request: pytest.FixtureRequest, settings: Settings, doorward_clock: MovableClock) -> Iterator[Asked]:
    clock = doorward_clock.as_clock(real_monotonic=True)
    with guarding(request.param, settings, clock, SessionsInMemory()) as guard:
        yield guard


@pytest.fixture
def cookie(guard: Asked, doorward_issuer: Issuer, app: Client, ada: User) -> str:
    """Somebody signed in, by the shortest way: the routes are tried in test_frameworks."""
    granted = doorward_issuer.grant(ada, app, "openid offline_access")
    session = Session(
        access_token=granted["access_token"],
        expires_at=doorward_issuer.clock.now() + granted["expires_in"],
        refresh_token=granted["refresh_token"],
        sub=ada.sub,
        until=doorward_issuer.clock.now() + 1e6,
        profile={},
    )
    assert guard.core.browser is not None
    guard.core.browser.sessions.save(COOKIE, session, 0)
    return COOKIE


def visit(cookie: str) -> Request:
    return Request("GET", "/", {"cookie": f"doorward-session={cookie}"}.get)


def tokens_asked_for(issuer: Issuer) -> int:
    return issuer.asked.count("/oauth/token")


def test_twenty_tabs_refresh_once_and_nobody_is_signed_out(
    guard: Asked, cookie: str, doorward_issuer: Issuer, ada: User, doorward_clock: MovableClock
) -> None:
    for time in range(1, 4):
        doorward_clock.advance(590)
        start = threading.Barrier(20)

        def one(_: int, start: threading.Barrier = start) -> str:
            start.wait()
            return guard.identify(visit(cookie)).sub

        with ThreadPoolExecutor(20) as pool:
            assert set(pool.map(one, range(20))) == {ada.sub}
        assert tokens_asked_for(doorward_issuer) == time
    assert doorward_issuer.ended == []


def test_two_processes_that_refresh_at_once_get_the_same_successor(
    settings: Settings, guard: Asked, cookie: str, doorward_issuer: Issuer, ada: User, doorward_clock: MovableClock
) -> None:
    assert guard.core.browser is not None
    before = SessionsInMemory()
    session = guard.core.browser.sessions.load(cookie, 0)
    assert session is not None
    Sessions(before).save(cookie, session, 0)
    doorward_clock.advance(590)
    with Guard(settings, clock=Clock(doorward_clock.now), store=before) as other:
        assert guard.identify(visit(cookie)).sub == ada.sub
        assert other.identify(visit(cookie)).sub == ada.sub
        doorward_clock.advance(590)
        assert guard.identify(visit(cookie)).sub == ada.sub
        assert other.identify(visit(cookie)).sub == ada.sub
    assert doorward_issuer.ended == []


def test_while_nothing_can_be_refreshed_the_old_token_is_used_to_its_end(
    guard: Asked, cookie: str, doorward_issuer: Issuer, ada: User, doorward_clock: MovableClock
) -> None:
    guard.identify(visit(cookie))
    wait_until(lambda: guard.core.revocations.fresh)
    doorward_issuer.broken.add("/oauth/token")
    doorward_clock.advance(599)
    assert guard.identify(visit(cookie)).sub == ada.sub
    doorward_clock.advance(1)
    with pytest.raises(Unavailable):
        guard.identify(visit(cookie))
    doorward_issuer.broken.clear()
    assert guard.identify(visit(cookie)).sub == ada.sub


def under_way(flow: Flow[Any]) -> tuple[str, Flow[Any]]:
    """What a flow does while nobody else does the same, and the name of that."""
    step = flow.send(None)
    assert isinstance(step, Exclusive)
    return step.name, step.flow()


@pytest.mark.asvs("7.4.1")
def test_a_refresh_that_is_under_way_does_not_bring_back_who_has_signed_out(guard: Asked, cookie: str) -> None:
    browser = guard.core.browser
    assert browser is not None
    session = browser.sessions.load(cookie, 0)
    assert session is not None
    headers = {"cookie": f"doorward-session={cookie}", "x-csrf-token": browser.csrf_token(visit(cookie))}
    guard.verify(session.access_token)
    renewing, refresh = under_way(browser.refresh(cookie, session))
    assert isinstance(refresh.send(None), Call)
    ending, end = under_way(browser.sign_out(Request("POST", "/auth/sign-out", headers.get)))
    assert renewing == ending, "in one process they wait for each other"
    with pytest.raises(StopIteration):
        end.send(None)
    renewed = {"access_token": session.access_token, "token_type": "Bearer"}
    with pytest.raises(NotSignedIn):
        refresh.send(Answer(200, json.dumps(renewed).encode()))
    assert browser.sessions.load(cookie, 0) is None


def test_a_session_ends_when_its_refresh_is_refused_at_the_second_attempt(guard: Asked, cookie: str) -> None:
    browser = guard.core.browser
    assert browser is not None
    session = browser.sessions.load(cookie, 0)
    assert session is not None
    guard.verify(session.access_token)
    _, refresh = under_way(browser.refresh(cookie, session))
    assert isinstance(refresh.send(None), Call)
    assert isinstance(refresh.throw(Unavailable("the answer was lost")), Call)
    with pytest.raises(NotSignedIn):
        refresh.send(Answer(400, b'{"error": "invalid_grant"}'))
    assert browser.sessions.load(cookie, 0) is None


@pytest.mark.asvs("10.4.5")
def test_a_session_whose_refresh_token_was_stolen_and_used_ends(
    guard: Asked, cookie: str, doorward_issuer: Issuer, app: Client, doorward_clock: MovableClock
) -> None:
    assert guard.core.browser is not None
    stolen = guard.core.browser.sessions.load(cookie, 0)
    assert stolen is not None
    assert stolen.refresh_token is not None
    doorward_issuer.refresh(stolen.refresh_token, app)
    doorward_clock.advance(590)
    with pytest.raises(NotSignedIn):
        guard.identify(visit(cookie))
    assert guard.core.browser.sessions.load(cookie, 0) is None
    assert [end["kind"] for end in doorward_issuer.ended] == ["family"]


def test_a_session_ends_at_its_latest_day(guard: Asked, cookie: str, doorward_clock: MovableClock) -> None:
    doorward_clock.advance(1e6)
    with pytest.raises(NotSignedIn):
        guard.identify(visit(cookie))


@pytest.mark.parametrize("value", ["", "x", "c" * 42, "c" * 44, "../" * 20, "c" * 42 + "é", '"' + COOKIE + '"'])
def test_what_is_no_cookie_of_ours_is_not_looked_up(guard: Asked, cookie: str, value: str) -> None:
    assert guard.identify(visit(cookie)).sub
    with pytest.raises(NotSignedIn):
        guard.identify(visit(value))


@pytest.mark.asvs("3.5.1", "4.4.2")
@pytest.mark.parametrize("origin", [None, "https://evil.example", "null", "http://127.0.0.1:9.evil.example"])
def test_a_websocket_of_another_site_is_not_opened(
    guard: Asked, cookie: str, settings: Settings, ada: User, origin: str | None
) -> None:
    own = {"cookie": f"doorward-session={cookie}", "origin": settings.app_url or ""}
    assert guard.identify(Request("WEBSOCKET", "/", own.get)).sub == ada.sub
    foreign = {name: value for name, value in (own | {"origin": origin}).items() if value is not None}
    with pytest.raises(ForgedRequest):
        guard.identify(Request("WEBSOCKET", "/", foreign.get))


def test_behind_tls_the_cookie_is_bound_to_its_host(doorward_issuer: Issuer, app: Client) -> None:
    settings = Settings(doorward_issuer.url, app.client_id, app.secret, app_url="https://app.example")
    with Guard(settings, store=SessionsInMemory()) as guard:
        reply = guard.route(request(path="/auth/sign-in"))
    assert reply is not None
    (line,) = [value for name, value in reply.headers if name == "Set-Cookie"]
    assert line.startswith("__Host-doorward-sign-in-")
    assert "Secure" in line.split("; ")
