"""Signing in with a second factor, as programs and browsers do."""

import asyncio
import re

import msgspec
import pytest

from doorward.config import Settings
from doorward.config.settings import Factors
from doorward.testing.authenticator import SoftwareAuthenticator
from tests.http.conftest import PASSWORD, World
from tests.support.attack import OPERATOR, audited, make_admin
from tests.support.factors import (
    OWN,
    STEP,
    app_code,
    half_signed_in,
    make_codes,
    set_up_app,
    signed_in,
    step,
)
from tests.support.newcomers import join

CURRENT = "/api/sessions/current"
STALE = 601


@pytest.mark.asvs("6.3.3")
async def test_a_password_alone_opens_nothing_once_an_app_is_set_up(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    key = await set_up_app(world, ada)

    browser, told = await half_signed_in(world, "ada")
    assert (told["next"], told["kinds"]) == ("authenticator", ["totp"])
    assert "ticket" not in told
    assert not await signed_in(browser)

    answer = await step(browser, "totp", app_code(world, key))
    assert answer.status_code == 201, answer.text
    session = answer.json()
    assert (session["amr"], session["aal"]) == (["pwd", "otp", "mfa"], 2)
    assert await signed_in(browser)
    assert "doorward-ticket" not in browser.http.cookies


async def test_the_first_factor_ends_sessions_that_began_without_and_lifts_this_one(world: World) -> None:
    ada, elsewhere = world.visitor(), world.visitor()
    await ada.sign_up("ada")
    assert (await elsewhere.sign_in("ada")).status_code == 201
    before = ada.http.cookies["doorward"]
    await set_up_app(world, ada)

    assert not await signed_in(elsewhere)
    assert ada.http.cookies["doorward"] != before
    assert (await ada.get(CURRENT)).json()["aal"] == 2


async def test_the_page_asks_for_the_code_and_goes_on(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    key = await set_up_app(world, ada)
    browser = world.visitor()
    answer = await browser.submit("/sign-in", {"identifier": "ada", "password": PASSWORD, "next": "/members"})
    assert answer.headers["location"] == "/sign-in/step"

    wrong = await browser.submit("/sign-in/step", {"kind": "totp", "code": "000000"})
    assert wrong.status_code == 400
    assert "This code is not right" in wrong.text
    done = await browser.submit("/sign-in/step", {"kind": "totp", "code": app_code(world, key)})
    assert (done.status_code, done.headers["location"]) == (303, "/members")
    assert await signed_in(browser)


async def test_a_program_carries_its_ticket_in_the_body(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    key = await set_up_app(world, ada)
    program = world.visitor()
    body = {"identifier": "ada", "password": PASSWORD, "transport": "bearer"}
    told = (await program.post("/api/sessions", body)).json()
    answer = await step(program, "totp", app_code(world, key), ticket=told["ticket"])
    assert answer.status_code == 201, answer.text
    token = answer.json()["token"]
    assert token.startswith("dws_")
    me = await world.visitor().get("/api/users/me", headers={"authorization": f"Bearer {token}"})
    assert me.json()["uid"] == "ada"


async def test_the_answer_of_the_write_up_comes_after_the_second_step(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    key = await set_up_app(world, ada)
    browser = world.visitor()
    told = await browser.post("/api/users/authenticate", {"uid": "ada", "password": PASSWORD})
    assert (told.status_code, told.json()["next"]) == (200, "authenticator")
    assert "data" not in told.json()
    done = await step(browser, "totp", app_code(world, key))
    assert done.status_code == 200
    jwt = done.json()["data"]["jwt"]
    me = await world.visitor().get("/api/users/me", headers={"authorization": f"Bearer {jwt}"})
    assert me.json()["uid"] == "ada"


@pytest.mark.asvs("6.5.1")
async def test_one_code_opens_one_session_also_under_twenty_parallel_posts(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    key = await set_up_app(world, ada)
    browsers = [(await half_signed_in(world, "ada"))[0] for _ in range(20)]
    code = app_code(world, key)
    answers = await asyncio.gather(*(step(browser, "totp", code) for browser in browsers))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 201
    assert set(statuses[1:]) <= {400, 429}, statuses
    assert sum([await signed_in(browser) for browser in browsers]) == 1


# Recovery codes ------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.4.4")
async def test_a_recovery_code_leads_to_a_new_factor_and_the_old_one_is_gone(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    old = await set_up_app(world, ada)
    codes = await make_codes(ada)

    browser, told = await half_signed_in(world, "ada")
    assert told["kinds"] == ["totp", "recovery_code"]
    answer = await step(browser, "recovery_code", codes[0].upper())
    assert (answer.status_code, answer.json()["next"]) == (200, "enrolment")
    assert not await signed_in(browser)

    offer = (await browser.http.post("/api/sessions/enrolment", json={"kind": "totp"})).json()
    confirm = {"kind": "totp", "code": app_code(world, offer["secret"])}
    done = await browser.http.post("/api/sessions/enrolment/confirm", json=confirm)
    assert done.status_code == 201, done.text
    assert await signed_in(browser)
    assert not await signed_in(ada), "every other session has ended"

    world.clock.advance(30)
    again, _ = await half_signed_in(world, "ada")
    assert (await step(again, "totp", app_code(world, old))).status_code == 400
    assert (await step(again, "totp", app_code(world, offer["secret"]))).status_code == 201


@pytest.mark.asvs("6.5.1")
async def test_a_recovery_code_works_once(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    await set_up_app(world, ada)
    codes = await make_codes(ada)
    first, _ = await half_signed_in(world, "ada")
    assert (await step(first, "recovery_code", codes[3])).status_code == 200
    second, _ = await half_signed_in(world, "ada")
    assert (await step(second, "recovery_code", codes[3])).status_code == 400


async def test_new_codes_take_the_place_of_the_old_only_when_they_are_kept(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    await set_up_app(world, ada)
    old = await make_codes(ada)
    new = (await ada.post(OWN, {"kind": "recovery_code"})).json()["codes"]
    browser, _ = await half_signed_in(world, "ada")
    assert (await step(browser, "recovery_code", new[0])).status_code == 400
    assert (await ada.post(f"{OWN}/confirm", {"kind": "recovery_code"})).status_code == 400
    assert (await ada.post(f"{OWN}/confirm", {"kind": "recovery_code", "code": new[1]})).status_code == 201
    assert (await step(browser, "recovery_code", old[0])).status_code == 400
    assert (await step(browser, "recovery_code", new[1])).status_code == 200


async def test_after_a_recovery_code_the_second_step_can_be_given_up_where_nobody_has_to_have_one(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    await set_up_app(world, ada)
    codes = await make_codes(ada)
    browser, _ = await half_signed_in(world, "ada")
    await step(browser, "recovery_code", codes[0])
    done = await browser.http.post("/api/sessions/enrolment/skip", json={})
    assert done.status_code == 201, done.text
    assert (await world.visitor().sign_in("ada")).status_code == 201


async def test_the_pages_of_recovery_codes_show_them_once_and_ask_for_one_or_a_tick(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    shown = await ada.submit("/account/security/codes", {}, page="/account/security")
    codes = re.findall(r"<code>([0-9a-z-]{19})</code>", shown.text)
    assert len(set(codes)) == 10
    token = re.search(r'name="csrf_token" value="([^"]+)"', shown.text)
    assert token
    form = {"csrf_token": token[1], "recovery_codes": " ".join(codes)}
    origin = {"origin": "http://localhost:8000", "sec-fetch-site": "same-origin"}
    refused = await ada.http.post("/account/security/codes/confirm", data=form, headers=origin)
    assert refused.status_code == 400
    assert re.findall(r"<code>([0-9a-z-]{19})</code>", refused.text) == codes
    done = await ada.http.post("/account/security/codes/confirm", data={**form, "kept": "true"}, headers=origin)
    assert done.headers["location"] == "/account/security?codes-on=1"
    assert codes[0] not in (await ada.get("/account/security")).text


# Who has to have one -------------------------------------------------------------------------------------------------


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    chosen = getattr(request, "param", None)
    return settings if chosen is None else msgspec.structs.replace(settings, factors=chosen)


AT_ONCE = pytest.mark.parametrize("settings", [Factors(required="all", grace_days=0)], indirect=True)
LATER = pytest.mark.parametrize("settings", [Factors(required="all", grace_days=7)], indirect=True)


@pytest.mark.asvs("6.3.3")
@AT_ONCE
async def test_where_all_have_to_have_one_it_is_set_up_before_the_first_session(world: World) -> None:
    browser = world.visitor()
    body = {"uid": "ada", "name": "Ada", "password": PASSWORD}
    told = await browser.http.post("/api/users", json=body)
    assert (told.status_code, told.json()["next"], told.json()["kinds"]) == (200, "enrolment", [])
    assert not await signed_in(browser)
    offer = (await browser.http.post("/api/sessions/enrolment", json={"kind": "totp"})).json()
    done = await browser.http.post(
        "/api/sessions/enrolment/confirm", json={"kind": "totp", "code": app_code(world, offer["secret"])}
    )
    assert done.status_code == 201, done.text
    assert done.json()["aal"] == 2
    assert await signed_in(browser)


@AT_ONCE
async def test_the_page_leads_from_sign_up_to_the_account(world: World) -> None:
    browser = world.visitor()
    answer = await browser.submit("/sign-up", {"uid": "ada", "name": "Ada", "password": PASSWORD})
    assert answer.headers["location"] == "/sign-in/step"
    assert (await browser.get("/sign-in/step")).headers["location"] == "/sign-in/set-up"
    await browser.submit("/sign-in/set-up/app", {}, page="/sign-in/set-up")
    shown = await browser.get("/sign-in/set-up")
    key = re.search(r'id="app-key">([A-Z2-7 ]+)<', shown.text)
    assert key, shown.text
    done = await browser.submit("/sign-in/set-up", {"kind": "totp", "code": app_code(world, key[1])})
    assert done.headers["location"] == "/account/security?set-up=1"
    assert await signed_in(browser)


@LATER
async def test_days_of_grace_begin_with_the_first_sign_in_and_end(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    assert "has to have a second step" in (await ada.get("/account/security")).text
    world.clock.advance(7 * 86_400 - 1)
    assert (await world.visitor().sign_in("ada")).status_code == 201
    world.clock.advance(1)
    _, told = await half_signed_in(world, "ada")
    assert told["next"] == "enrolment"


async def test_administrators_have_to_have_one_after_the_days_of_grace(world: World) -> None:
    ada, bob = world.visitor(), world.visitor()
    user = await ada.sign_up("ada")
    await bob.sign_up("bob")
    await world.services.users.set_roles(user["id"], ["admin"], None, OPERATOR)
    assert (await world.visitor().sign_in("ada")).status_code == 201
    world.clock.advance(8 * 86_400)
    assert (await half_signed_in(world, "ada"))[1]["next"] == "enrolment"
    assert (await world.visitor().sign_in("bob")).status_code == 201


@LATER
async def test_the_last_factor_stays_where_one_has_to_have_one(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    await set_up_app(world, ada)
    bound = (await ada.get(OWN)).json()["data"][0]["id"]
    assert (await ada.send("DELETE", f"{OWN}/{bound}")).status_code == 409


# Proving anew --------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("7.5.1")
@pytest.mark.asvs("7.5.3")
async def test_a_sensitive_step_asks_for_the_factor_too(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    key = await set_up_app(world, ada)
    world.clock.advance(STALE)
    refused = await ada.post(OWN, {"kind": "recovery_code"})
    assert (refused.status_code, refused.json()["max_age"], refused.json()["acr_values"]) == (403, 600, "aal2")
    assert 'acr_values="aal2", max_age=600' in refused.headers["www-authenticate"]

    told = await ada.post("/api/sessions/current/reauthenticate", {"password": PASSWORD})
    assert told.json()["next"] == "authenticator"
    assert (await ada.post(OWN, {"kind": "recovery_code"})).status_code == 403, "the password alone is not enough"
    before = ada.http.cookies["doorward"]
    done = await ada.post(STEP, {"kind": "totp", "code": app_code(world, key)})
    assert done.status_code == 200, done.text
    assert ada.http.cookies["doorward"] != before
    assert (await ada.post(OWN, {"kind": "recovery_code"})).status_code == 200


async def test_what_was_being_sent_is_sent_after_the_proof(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    world.clock.advance(STALE)
    shown = await ada.get("/account/email")
    token = re.search(r'name="csrf_token" value="([^"]+)"', shown.text)
    assert token
    page = {"origin": "http://localhost:8000", "sec-fetch-site": "same-origin"}
    form = {"csrf_token": token[1], "email": "ada@example.org"}
    answer = await ada.http.post("/account/email", data=form, headers=page)
    assert answer.headers["location"] == "/confirm?next=/confirm/continue"
    answer = await ada.submit("/confirm", {"password": PASSWORD, "next": "/confirm/continue"})
    assert answer.headers["location"] == "/confirm/continue"
    assert (await ada.get("/confirm/continue")).headers["location"] == "/account", "a link from elsewhere sends nothing"

    answer = await ada.http.post("/account/email", data=form, headers=page)
    assert answer.headers["location"] == "/account/email?sent=1", "fresh now"


async def test_a_kept_form_is_shown_once_with_what_was_typed(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    world.clock.advance(STALE)
    page = {"origin": "http://localhost:8000", "sec-fetch-site": "same-origin"}
    form = {"csrf_token": ada.csrf, "email": "<ada>@example.org"}
    await ada.http.post("/account/email", data=form, headers=page)
    await ada.submit("/confirm", {"password": PASSWORD, "next": "/confirm/continue"})
    shown = await ada.get("/confirm/continue", headers={"sec-fetch-site": "same-origin"})
    assert 'action="/account/email"' in shown.text
    assert 'name="email" value="&lt;ada&gt;@example.org"' in shown.text
    again = await ada.get("/confirm/continue", headers={"sec-fetch-site": "same-origin"})
    assert again.headers["location"] == "/account"


async def test_sessions_with_a_factor_end_after_an_hour_without_use_and_after_a_day(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    key = await set_up_app(world, ada)
    world.clock.advance(3_600 - 30 - 1)
    assert await signed_in(ada)
    world.clock.advance(3_600)
    assert not await signed_in(ada)
    browser, _ = await half_signed_in(world, "ada")
    await step(browser, "totp", app_code(world, key))
    for _ in range(24):
        assert await signed_in(browser)
        world.clock.advance(3_599)
    world.clock.advance(25)
    assert not await signed_in(browser)


async def test_a_session_without_a_factor_goes_on_for_thirty_days(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    world.clock.advance(29 * 86_400)
    assert await signed_in(ada)
    world.clock.advance(86_400)
    assert not await signed_in(ada)


# Help ----------------------------------------------------------------------------------------------------------------


async def test_an_administrator_resets_lost_factors_and_it_is_written_down(world: World) -> None:
    ada, root = world.visitor(), world.visitor()
    user = await ada.sign_up("ada")
    await set_up_app(world, ada)
    admin = await root.sign_up("boss")
    await world.services.users.set_roles(admin["id"], ["admin"], None, OPERATOR)
    assert (await root.sign_in("boss")).status_code == 201
    assert (await root.send("DELETE", f"/api/users/{user['id']}/authenticators")).status_code == 204
    assert not await signed_in(ada)
    assert (await world.visitor().sign_in("ada")).status_code == 201
    rows = [row for row in await audited(world, "authz_change") if row.actor_id == admin["id"]]
    assert [row.user_id for row in rows] == [user["id"]]


async def test_an_administrator_does_not_take_the_only_way_in(world: World) -> None:
    hedy, device, root = world.visitor(), SoftwareAuthenticator(), world.visitor()
    user = await join(hedy, device, "hedy")
    await make_admin(world, root, "boss")
    answer = await root.send("DELETE", f"/api/users/{user['id']}/authenticators")
    assert answer.status_code == 409
    assert answer.json()["detail"].startswith("This account has no password and no confirmed e-mail address")
    assert await signed_in(hedy)


async def test_the_page_of_lost_factors_names_what_is_left_and_whom_to_ask(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    await set_up_app(world, ada)
    browser, _ = await half_signed_in(world, "ada")
    shown = await browser.get("/sign-in/lost")
    assert "Ask for help" in shown.text
    assert '/sign-in/step?with=totp"' in shown.text
