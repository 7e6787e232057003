"""Sessions over JSON: start, look, list, end."""

import httpx
import pytest

from tests.http.conftest import PASSWORD, Visitor, World

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
