"""Sessions over JSON: start, look, list, end."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest

from doorward.app import App
from doorward.config import Settings
from doorward.datadir import DataDir
from doorward.kernel.startup import StartRefused
from doorward.sessions.model import MAX_SESSIONS
from doorward.testing import MovableClock
from tests.http.conftest import PASSWORD, Visitor, World, on_database
from tests.support.attack import audited
from tests.support.geoip import FRANCE, NOWHERE, PARIS, place, write_places

FIREFOX = "Mozilla/5.0 (X11; Debian; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
PROFILE_AGE = 30 * 86400


async def test_signing_in_sets_a_cookie_that_scripts_cannot_read(world: World) -> None:
    await world.visitor().sign_up("ada")
    answer = await world.visitor().sign_in("ada")

    assert answer.status_code == 201
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    assert "Domain" not in cookie
    assert "token" not in answer.json()


async def test_a_program_gets_its_token_in_the_body_and_no_cookie(world: World) -> None:
    await world.visitor().sign_up("ada")
    program = world.visitor()
    body = {"identifier": "ada", "password": PASSWORD, "transport": "bearer"}
    answer = await program.post("/api/sessions", body)

    assert "set-cookie" not in answer.headers
    bearer = {"authorization": f"Bearer {answer.json()['token']}"}
    assert (await program.get("/api/users/me", headers=bearer)).json()["uid"] == "ada"
    changed = await program.send("PATCH", "/api/users/me", {"name": "Ada L."}, headers=bearer)
    assert changed.json()["name"] == "Ada L."


@pytest.mark.asvs("7.4.1")
async def test_a_program_token_is_refused_from_a_browser(world: World) -> None:
    await world.visitor().sign_up("ada")
    program = world.visitor()
    token = (
        await program.post("/api/sessions", {"identifier": "ada", "password": PASSWORD, "transport": "bearer"})
    ).json()["token"]
    headers = {"authorization": f"Bearer {token}", "sec-fetch-site": "same-origin"}

    assert (await program.get("/api/users/me", headers=headers)).status_code == 403


@pytest.mark.asvs("6.3.8")
async def test_wrong_credentials_get_one_answer(world: World) -> None:
    await world.visitor().sign_up("ada")
    wrong = await world.visitor().sign_in("ada", "wrong horse battery staple")
    unknown = await world.visitor().sign_in("nobody", "wrong horse battery staple")

    assert wrong.status_code == unknown.status_code == 401
    strip = {"request_id"}
    assert {k: v for k, v in wrong.json().items() if k not in strip} == {
        k: v for k, v in unknown.json().items() if k not in strip
    }
    assert _names(wrong) == _names(unknown)


@pytest.mark.asvs("7.4.1")
async def test_signing_out_kills_the_cookie(world: World, visitor: Visitor) -> None:
    await visitor.sign_up("ada")
    stolen = visitor.cookie_header()
    assert (await visitor.send("DELETE", "/api/sessions/current")).status_code == 204

    replayed = await world.visitor().get("/api/sessions/current", headers=stolen)
    assert replayed.status_code == 401


async def test_sessions_are_listed_and_one_can_be_ended(world: World) -> None:
    first, second = world.visitor(), world.visitor()
    await first.sign_up("ada")
    await second.sign_in("ada")
    listed = (await first.get("/api/sessions")).json()["data"]
    assert [row["current"] for row in listed].count(True) == 1
    other = next(row["id"] for row in listed if not row["current"])

    assert (await first.send("DELETE", f"/api/sessions/{other}")).status_code == 204
    assert (await second.get("/api/sessions/current")).status_code == 401
    assert (await first.get("/api/sessions/current")).status_code == 200


@pytest.mark.asvs("8.2.2")
async def test_nobody_ends_somebody_elses_session(world: World) -> None:
    ada, eve = world.visitor(), world.visitor()
    await ada.sign_up("ada")
    await eve.sign_up("eve")
    session_id = (await ada.get("/api/sessions/current")).json()["id"]

    assert (await eve.send("DELETE", f"/api/sessions/{session_id}")).status_code == 404
    assert (await ada.get("/api/sessions/current")).status_code == 200


@pytest.mark.asvs("7.3.2")
async def test_a_session_ends_by_itself(world: World, visitor: Visitor) -> None:
    await visitor.sign_up("ada")
    world.clock.advance(PROFILE_AGE - 60)
    assert (await visitor.get("/api/sessions/current")).status_code == 200
    world.clock.advance(61)
    assert (await visitor.get("/api/sessions/current")).status_code == 401


async def test_the_write_ups_sign_in_answers_in_its_own_words(world: World) -> None:
    user = await world.visitor().sign_up("ada")
    visitor = world.visitor()
    answer = await visitor.post("/api/users/authenticate", {"uid": "ada", "password": PASSWORD})

    assert answer.status_code == 200
    data = answer.json()["data"]
    assert data["user"]["id"] == user["id"]
    assert data["user"]["name"] == user["name"]
    bearer = {"authorization": f"Bearer {data['jwt']}"}
    program = world.visitor()
    assert (await program.get("/api/users/me", headers=bearer)).json()["uid"] == "ada"
    # The JWT dies with the session that the cookie carries.
    await visitor.learn_csrf()
    await visitor.send("DELETE", "/api/sessions/current")
    assert (await program.get("/api/users/me", headers=bearer)).status_code == 401


async def test_a_jwt_lives_ten_minutes(world: World, visitor: Visitor) -> None:
    await visitor.sign_up("ada")
    jwt = (await visitor.post("/api/users/authenticate", {"uid": "ada", "password": PASSWORD})).json()["data"]["jwt"]
    bearer = {"authorization": f"Bearer {jwt}"}
    program = world.visitor()
    world.clock.advance(599)
    assert (await program.get("/api/users/me", headers=bearer)).status_code == 200
    world.clock.advance(62)
    assert (await program.get("/api/users/me", headers=bearer)).status_code == 401


@pytest.mark.asvs("7.2.4")
async def test_changing_the_password_ends_the_others_and_renews_this_one(world: World) -> None:
    here, there = world.visitor(), world.visitor()
    await here.sign_up("ada")
    await there.sign_in("ada")
    before = here.cookie_header()
    answer = await here.submit(
        "/account/password", {"current_password": PASSWORD, "new_password": "a wholly different phrase"}
    )

    assert answer.status_code == 303
    assert (await here.get("/api/sessions/current")).status_code == 200
    assert (await there.get("/api/sessions/current")).status_code == 401
    old = world.visitor()
    assert (await old.get("/api/sessions/current", headers=before)).status_code == 401
    assert (await world.visitor().sign_in("ada", "a wholly different phrase")).status_code == 201
    assert (await world.visitor().sign_in("ada")).status_code == 401


def _names(answer: httpx.Response) -> list[str]:
    return sorted(answer.headers.keys())


async def test_a_program_changes_its_users_password_and_goes_on(world: World) -> None:
    await world.visitor().sign_up("ada")
    program = world.visitor()
    body = {"identifier": "ada", "password": PASSWORD, "transport": "bearer"}
    token = (await program.post("/api/sessions", body)).json()["token"]
    bearer = {"authorization": f"Bearer {token}"}
    wanted = {"current_password": PASSWORD, "new_password": "a wholly different phrase"}
    refused = await program.send("PUT", "/api/users/me/password", {**wanted, "new_password": "short"}, headers=bearer)
    assert [error["field"] for error in refused.json()["errors"]] == ["new_password"]
    answer = await program.send("PUT", "/api/users/me/password", wanted, headers=bearer)

    assert answer.status_code == 200
    assert (await program.get("/api/users/me", headers=bearer)).status_code == 401
    renewed = {"authorization": f"Bearer {answer.json()['token']}"}
    assert (await program.get("/api/users/me", headers=renewed)).status_code == 200


# where they are


@pytest.fixture
async def placed(
    database_address: str, settings: Settings, tmp_path: Path, clock: MovableClock
) -> AsyncIterator[World]:
    """The application with a file of places."""
    file = write_places(tmp_path / "places.mmdb")
    server = msgspec.structs.replace(settings.server, geoip_file=str(file))
    async with on_database(
        database_address, msgspec.structs.replace(settings, server=server), tmp_path, clock
    ) as world:
        yield world


async def test_sessions_are_listed_with_device_and_place(placed: World) -> None:
    here = placed.visitor(PARIS, **{"user-agent": FIREFOX})
    await here.sign_up("ada")
    for address in (FRANCE, NOWHERE, "10.0.0.1"):
        placed.clock.advance(60)
        await placed.visitor(address).sign_in("ada")

    listed = (await here.get("/api/sessions")).json()["data"]
    assert {row["address"]: row["place"] for row in listed} == {
        PARIS: "Paris, France",
        FRANCE: "France",
        NOWHERE: None,
        "10.0.0.1": None,
    }
    (current,) = [row for row in listed if row["current"]]
    assert (current["address"], current["device"]) == (PARIS, "Firefox on Debian")
    german = await here.get("/api/sessions", headers={"accept-language": "de"})
    assert "Paris, Frankreich" in {row["place"] for row in german.json()["data"]}


async def test_the_page_names_device_place_and_the_session_in_use(placed: World) -> None:
    here = placed.visitor(PARIS, **{"user-agent": FIREFOX})
    await here.sign_up("ada")
    await placed.visitor(FRANCE).sign_in("ada")
    await placed.visitor(NOWHERE, **{"user-agent": "curl/8.14.1"}).sign_in("ada")

    rows = await _rows(here)
    assert len(rows) == 3
    (current,) = [row for row in rows if "This device" in row]
    assert current.startswith("Firefox on Debian · Paris, France (approximate) This device Last used ")
    assert [row for row in rows if row.startswith("Python · France (approximate) Last used ")]
    assert [row for row in rows if row.startswith("curl Last used ")]
    assert "A place is a guess" in (await here.get("/account/sessions")).text


async def test_without_a_file_no_place_is_named(world: World) -> None:
    here = world.visitor(PARIS)
    await here.sign_up("ada")
    assert [row["place"] for row in (await here.get("/api/sessions")).json()["data"]] == [None]
    page = (await here.get("/account/sessions")).text
    assert "approximate" not in page
    assert "A place is a guess" not in page


async def test_a_newer_file_is_taken_over_while_we_run(placed: World, tmp_path: Path) -> None:
    here = placed.visitor(PARIS)
    await here.sign_up("ada")
    write_places(tmp_path / "places.mmdb", {f"{PARIS}/32": place("Rome", "Italy")})
    for _ in range(2):
        await placed.services.places.renew()
    assert [row["place"] for row in (await here.get("/api/sessions")).json()["data"]] == ["Rome, Italy"]


async def test_nothing_starts_with_a_file_that_cannot_be_read(settings: Settings, tmp_path: Path) -> None:
    server = msgspec.structs.replace(settings.server, geoip_file=str(tmp_path / "places.mmdb"))
    app = App(msgspec.structs.replace(settings, server=server), DataDir.open(tmp_path / "data"))
    with pytest.raises(StartRefused, match=r"\[server\] geoip_file"):
        async with app.running():
            pass


# the end of several


@pytest.mark.asvs("7.5.2")
async def test_signing_out_everywhere_ends_every_session_this_one_too(world: World) -> None:
    here, there, eve = world.visitor(), world.visitor(), world.visitor()
    await here.sign_up("ada")
    await there.sign_in("ada")
    await eve.sign_up("eve")
    sent = {"identifier": "ada", "password": PASSWORD, "transport": "bearer"}
    bearer = {"authorization": f"Bearer {(await world.visitor().post('/api/sessions', sent)).json()['token']}"}
    stolen = here.cookie_header()
    answer = await here.send("DELETE", "/api/sessions")

    assert answer.status_code == 204
    assert answer.headers["clear-site-data"] == '"cache", "storage"'
    assert "doorward" not in here.http.cookies
    assert (await world.visitor().get("/api/sessions/current", headers=stolen)).status_code == 401
    assert (await there.get("/api/sessions/current")).status_code == 401
    assert (await world.visitor().get("/api/users/me", headers=bearer)).status_code == 401
    assert (await eve.get("/api/sessions/current")).status_code == 200
    assert len(await audited(world, "session_logout")) == 3


@pytest.mark.asvs("7.5.2")
async def test_signing_out_everywhere_else_keeps_this_session(world: World) -> None:
    here, there = world.visitor(), world.visitor()
    await here.sign_up("ada")
    await there.sign_in("ada")
    answer = await here.send("DELETE", "/api/sessions?others=true")

    assert answer.status_code == 204
    assert "clear-site-data" not in answer.headers
    assert "set-cookie" not in answer.headers
    assert (await there.get("/api/sessions/current")).status_code == 401
    assert (await here.get("/api/sessions/current")).status_code == 200


@pytest.mark.parametrize("query", ["others=yes", "others=", "others=TRUE", "others=1", "others=true&others=false"])
async def test_what_is_to_end_is_not_guessed(world: World, query: str) -> None:
    here, there = world.visitor(), world.visitor()
    await here.sign_up("ada")
    await there.sign_in("ada")
    assert (await here.send("DELETE", f"/api/sessions?{query}")).status_code == 400
    assert [(await who.get("/api/sessions/current")).status_code for who in (here, there)] == [200, 200]


@pytest.mark.asvs("7.5.2")
async def test_the_page_signs_out_everywhere(world: World) -> None:
    here, there = world.visitor(), world.visitor()
    await here.sign_up("ada")
    page = (await here.get("/account/sessions")).text
    assert "/account/sessions/end-others" not in page
    assert ' action="/account/sessions/end-all"' in page, "for there may be apps"
    await there.sign_in("ada")
    page = (await here.get("/account/sessions")).text
    assert 'formaction="/account/sessions/end-others"' in page
    assert ' action="/account/sessions/end-all"' in page
    answer = await here.submit("/account/sessions/end-all", {}, page="/account/sessions")

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert answer.headers["clear-site-data"] == '"cache", "storage"'
    assert "doorward" not in here.http.cookies
    assert [(await who.get("/api/sessions/current")).status_code for who in (here, there)] == [401, 401]


async def test_the_page_ends_the_session_it_was_fetched_with_as_signing_out_does(visitor: Visitor) -> None:
    await visitor.sign_up("ada")
    own = (await visitor.get("/api/sessions/current")).json()["id"]
    answer = await visitor.submit(f"/account/sessions/{own}/end", {}, page="/account/sessions")

    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert answer.headers["clear-site-data"] == '"cache", "storage"'
    assert "doorward" not in visitor.http.cookies


@pytest.mark.asvs("7.1.2")
async def test_of_more_than_fifty_sessions_the_oldest_end(world: World) -> None:
    first, second = world.visitor(), world.visitor()
    user = await first.sign_up("ada")
    for visitor in (second, *(world.visitor() for _ in range(49))):
        world.clock.advance(1)
        assert (await visitor.sign_in("ada")).status_code == 201

    assert (await first.get("/api/sessions/current")).status_code == 401
    assert (await second.get("/api/sessions/current")).status_code == 200
    assert len((await second.get("/api/sessions")).json()["data"]) == MAX_SESSIONS == 50
    ended = await audited(world, "session_logout")
    assert [(row.user_id, json.loads(row.payload or "")["why"]) for row in ended] == [
        (user["id"], "more than fifty sessions")
    ]


async def _rows(visitor: Visitor) -> list[str]:
    """What the list shows of each session, without its markup."""
    page = (await visitor.get("/account/sessions")).text
    rows = re.findall(r"<li>\s*<svg.*?</svg>(.*?)</li>", page, re.DOTALL)
    return [" ".join(re.sub("<[^>]*>", " ", row).split()) for row in rows]
