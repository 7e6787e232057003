"""Signing up with a passkey instead of a password, and living without one (UX-12; C29-C31)."""

import asyncio
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fido2.utils import websafe_decode, websafe_encode

from doorward.config import Settings
from doorward.config.settings import Server, Signup
from doorward.datadir import DataDir
from doorward.testing import MovableClock
from doorward.testing.authenticator import SoftwareAuthenticator
from doorward.users import Declaration
from tests.http.conftest import ORIGIN, PASSWORD, Inbox, Visitor, World, running
from tests.support.attack import audited
from tests.support.factors import OWN, make_codes, set_up_app, signed_in, step
from tests.support.members import code, link
from tests.support.newcomers import (
    AGAIN,
    CREATE_PAGE,
    OPTIONS,
    PAGE,
    SIGN_UP,
    join,
    options_for,
    over_pages,
    send,
    use,
)

ADDRESS = "ada@example.org"
STALE = 601
ANEW = "/api/sessions/current/reauthenticate/passkey"
PUT = "/api/users/me/password"


@pytest.fixture
def device() -> SoftwareAuthenticator:
    """A telephone."""
    return SoftwareAuthenticator()


async def confirm_anew(visitor: Visitor, device: SoftwareAuthenticator) -> None:
    options = (await visitor.post(f"{ANEW}/options", {})).json()
    assert (await visitor.post(ANEW, {"credential": device.get(options, ORIGIN)})).status_code == 200


# With a handle -------------------------------------------------------------------------------------------------------


async def test_who_makes_a_passkey_is_a_user_and_signed_in_with_two_factors(
    world: World, device: SoftwareAuthenticator
) -> None:
    browser = world.visitor()
    user = await join(browser, device, "ada", motto="on")
    assert (user["uid"], user["name"], user["motto"], user["email"]) == ("ada", "Name of ada", "on", None)
    session = (await browser.get("/api/sessions/current")).json()
    assert session["aal"] == 2
    assert {"user", "mfa"} <= set(session["amr"])
    assert "pwd" not in session["amr"]
    (own,) = (await browser.get(OWN)).json()["data"]
    assert (own["kind"], own["second_step"]) == ("passkey", True)

    elsewhere = world.visitor()
    assert (await use(elsewhere, device)).status_code == 201
    assert await signed_in(elsewhere)
    assert "doorward-newcomer" not in browser.http.cookies


async def test_the_options_name_the_newcomer_by_random_bytes(world: World, device: SoftwareAuthenticator) -> None:
    browser = world.visitor()
    options = await options_for(browser, uid="ada", name="Ada", email=ADDRESS)
    assert len(websafe_decode(options["user"]["id"])) == 64
    assert (options["user"]["name"], options["user"]["displayName"]) == ("ada", "Ada")
    assert options["authenticatorSelection"]["userVerification"] == "required"
    user = (await send(browser, device.create(options, ORIGIN))).json()
    handle = await world.services.binding.handle_of(user["id"])
    assert websafe_encode(handle) == options["user"]["id"]


async def test_the_pages_lead_from_the_form_to_the_account(world: World, device: SoftwareAuthenticator) -> None:
    browser = world.visitor()
    assert f'href="{PAGE}?next=/members"' in (await browser.get("/sign-up?next=/members")).text
    form = (await browser.get(PAGE)).text
    assert 'name="password"' not in form
    done = await over_pages(browser, device, uid=" ada ", name="Ada")
    assert (done.status_code, done.headers["location"]) == (303, "/account?welcome=1")
    page = await browser.get("/account?welcome=1", headers={"sec-fetch-site": "same-origin"})
    assert "Welcome! Your account is ready." in page.text
    assert "If you lose your passkey, nothing lets you back in yet." in page.text


async def test_the_page_of_the_passkey_has_what_its_script_needs(world: World) -> None:
    browser = world.visitor()
    await browser.submit(PAGE, {"uid": "ada", "name": "Ada", "next": "/members"})
    shown = (await browser.get(CREATE_PAGE)).text
    assert "<bdi>ada</bdi>" in shown
    assert f'action="{CREATE_PAGE}"' in shown
    assert f'data-options="{AGAIN}" data-options-body="{{}}"' in shown
    assert re.search(r"/static/passkey\.\w+\.js", shown)


async def test_a_page_goes_on_where_it_was_going(world: World, device: SoftwareAuthenticator) -> None:
    done = await over_pages(world.visitor(), device, uid="ada", name="Ada", next="/members")
    assert done.headers["location"] == "/members"
    away = await over_pages(
        world.visitor(), SoftwareAuthenticator(), uid="eve", name="Eve", next="https://evil.example"
    )
    assert away.headers["location"] == "/account?welcome=1"


async def test_every_bad_field_is_named_as_at_the_ordinary_sign_up(world: World) -> None:
    await world.visitor().sign_up("ada")
    body = {"uid": "ADA", "name": "", "coins": 5, "dob": "tomorrow", "email": "no"}
    ordinary = await world.visitor().http.post("/api/users", json={**body, "password": PASSWORD})
    answer = await world.visitor().http.post(OPTIONS, json=body)
    assert (answer.status_code, answer.json()["errors"]) == (400, ordinary.json()["errors"])
    assert "set-cookie" not in answer.headers
    shown = await world.visitor().submit(PAGE, {"uid": "ADA", "name": "", "email": "no"})
    assert shown.status_code == 400
    for sentence in ("This username is taken", "Enter your name"):
        assert sentence in shown.text
    assert 'value="ADA"' in shown.text


async def test_a_password_has_no_place_here(world: World) -> None:
    answer = await world.visitor().http.post(OPTIONS, json={"uid": "ada", "name": "Ada", "password": PASSWORD})
    assert [error["field"] for error in answer.json()["errors"]] == ["password"]


async def test_required_fields_of_the_site_are_asked_for(
    settings: Settings, tmp_path: Path, clock: MovableClock, device: SoftwareAuthenticator
) -> None:
    fields = {"points": Declaration(type="integer", required=True)}
    served = msgspec.structs.replace(settings, fields=fields)
    async with running(served, DataDir.open(tmp_path / "data"), clock) as world:
        browser = world.visitor()
        refused = await browser.submit(PAGE, {"uid": "ada", "name": "Ada", "points": "many"})
        assert refused.status_code == 400
        assert 'value="many"' in refused.text
        assert (await over_pages(browser, device, uid="ada", name="Ada", points="7")).status_code == 303
        assert (await browser.get("/api/users/me")).json()["points"] == 7


async def test_what_was_filled_in_is_still_there_for_who_goes_back(world: World) -> None:
    browser = world.visitor()
    await browser.submit(PAGE, {"uid": "ada", "name": "Ada <L>"})
    form = (await browser.get(PAGE)).text
    assert 'value="ada"' in form
    assert 'value="Ada &lt;L&gt;"' in form


async def test_whoever_cancels_tries_again_with_new_options_and_one_passkey_on_the_device(
    world: World, device: SoftwareAuthenticator
) -> None:
    browser = world.visitor()
    first = await options_for(browser, uid="ada", name="Ada")
    device.create(first, ORIGIN)
    second = (await browser.http.post(AGAIN, json={})).json()
    assert second["challenge"] != first["challenge"]
    changed = await options_for(browser, uid="ada2", name="Ada")
    assert changed["user"]["id"] == second["user"]["id"] == first["user"]["id"]
    assert (await send(browser, device.create(changed, ORIGIN))).status_code == 201
    assert len(device.residents) == 1
    assert (await use(world.visitor(), device)).status_code == 201


async def test_another_sign_up_of_the_same_browser_gets_another_handle(
    world: World, device: SoftwareAuthenticator
) -> None:
    browser = world.visitor()
    await join(browser, device, "ada")
    first = websafe_encode(device.residents[0].user_handle)
    options = await options_for(browser, uid="eve", name="Eve")
    assert options["user"]["id"] != first


async def test_an_address_that_was_given_is_asked_to_confirm(world: World, device: SoftwareAuthenticator) -> None:
    browser = world.visitor()
    await join(browser, device, "ada", email=ADDRESS)
    answer = await browser.post("/api/verifications", {"code": await code(world, ADDRESS)})
    assert answer.status_code == 200, answer.text
    me = (await browser.get("/api/users/me")).json()
    assert (me["email"], me["email_verified"]) == (ADDRESS, True)


async def test_somebody_signed_in_is_led_away_and_their_session_gives_way(
    world: World, device: SoftwareAuthenticator
) -> None:
    browser = world.visitor()
    await browser.sign_up("ada")
    old = browser.cookie_header()
    assert (await browser.get(PAGE)).headers["location"] == "/account"
    await join(browser, device, "eve")
    assert (await world.visitor().get("/api/sessions/current", headers=old)).status_code == 401
    assert (await browser.get("/api/users/me")).json()["uid"] == "eve"


async def test_a_name_that_went_to_another_meanwhile_is_said_and_can_be_changed(
    world: World, device: SoftwareAuthenticator
) -> None:
    browser = world.visitor()
    await browser.submit(PAGE, {"uid": "ada", "name": "Ada"})
    await world.visitor().sign_up("ada")
    options = (await browser.http.post(AGAIN, json={})).json()
    made = msgspec.json.encode(device.create(options, ORIGIN)).decode()
    refused = await browser.submit(CREATE_PAGE, {"credential": made})
    assert refused.status_code == 400
    assert "This username is taken" in refused.text
    assert f'href="{PAGE}"' in refused.text
    assert (await over_pages(browser, device, uid="ada2", name="Ada")).status_code == 303
    assert len(device.residents) == 1


async def test_without_anything_filled_in_the_page_goes_back(world: World) -> None:
    browser = world.visitor()
    assert (await browser.get(CREATE_PAGE)).headers["location"] == PAGE
    refused = await browser.submit(CREATE_PAGE, {"credential": "{}"}, page="/sign-in")
    assert refused.status_code == 400
    assert "That took too long" in refused.text


async def test_by_invitation_only_there_is_no_other_way_in(
    settings: Settings, tmp_path: Path, clock: MovableClock
) -> None:
    served = msgspec.structs.replace(settings, signup=Signup(identifier="uid", invitation_only=True))
    async with running(served, DataDir.open(tmp_path / "data"), clock) as world:
        browser = world.visitor()
        assert "By invitation only" in (await browser.get(PAGE)).text
        body = {"uid": "ada", "name": "Ada"}
        assert (await browser.http.post(OPTIONS, json=body)).status_code == 403
        assert (await browser.http.post(SIGN_UP, json={"credential": {}})).status_code == 403
        assert (await browser.submit(PAGE, body, page="/sign-in")).status_code == 403
        assert (await browser.submit(CREATE_PAGE, {"credential": "{}"}, page="/sign-in")).status_code == 403


async def test_where_browsers_take_no_passkeys_none_is_offered(
    settings: Settings, tmp_path: Path, clock: MovableClock
) -> None:
    served = msgspec.structs.replace(settings, server=Server(host="192.0.2.1", public_url="https://192.0.2.1"))
    async with running(served, DataDir.open(tmp_path / "data"), clock) as world:
        assert PAGE not in (await world.visitor().get("/sign-up")).text
        assert (await world.visitor().get(PAGE)).headers["location"] == "/sign-up"


# With an address -----------------------------------------------------------------------------------------------------


async def begin(visitor: Visitor, device: SoftwareAuthenticator, email: str = ADDRESS, **fields: Any) -> None:
    options = await options_for(visitor, email=email, **fields)
    answer = await send(visitor, device.create(options, ORIGIN))
    assert answer.status_code == 202, answer.text


async def test_the_passkey_counts_in_the_browser_that_made_it_once_the_address_has_answered(
    mail_world: World, device: SoftwareAuthenticator
) -> None:
    browser = mail_world.visitor()
    await begin(browser, device, uid="ada", name="Ada Lovelace")
    assert await mail_world.services.users.find_by_identifier("ada") is None
    assert not await signed_in(browser)
    refused = await use(mail_world.visitor(), device)
    assert refused.json()["errors"][0]["code"] == "unknown_passkey"

    answer = await browser.post("/api/verifications", {"code": await code(mail_world, ADDRESS)})
    assert (answer.status_code, answer.json()["signed_in"]) == (200, True)
    session = (await browser.get("/api/sessions/current")).json()
    assert (session["user"]["uid"], session["aal"]) == ("ada", 2)
    assert {"user", "mfa"} <= set(session["amr"])
    me = (await browser.get("/api/users/me")).json()
    assert (me["email"], me["email_verified"]) == (ADDRESS, True)
    assert (await use(mail_world.visitor(), device)).status_code == 201
    assert "nothing lets you back in yet" not in (await browser.get("/account")).text


async def test_only_the_address_is_needed_and_names_the_passkey(
    mail_world: World, device: SoftwareAuthenticator
) -> None:
    browser = mail_world.visitor()
    options = await options_for(browser, email=ADDRESS)
    assert (options["user"]["name"], options["user"]["displayName"]) == (ADDRESS, ADDRESS)
    await send(browser, device.create(options, ORIGIN))
    token = (await link(mail_world, ADDRESS)).removeprefix("/verify/")
    assert (await browser.post("/api/verifications", {"token": token})).json()["signed_in"] is True
    assert str((await browser.get("/api/users/me")).json()["uid"]).startswith("member-")


async def test_the_pages_lead_through_the_mail_to_the_account(mail_world: World, device: SoftwareAuthenticator) -> None:
    browser = mail_world.visitor()
    done = await over_pages(browser, device, email=f" {ADDRESS} ")
    assert done.headers["location"] == "/verify"
    path = await link(mail_world, ADDRESS)
    assert 'name="password"' not in (await browser.get(path)).text
    answer = await browser.submit(path, {})
    assert (answer.status_code, answer.headers["location"]) == (303, "/account?welcome=1")
    assert await signed_in(browser)


async def test_elsewhere_a_password_is_asked_for_and_the_passkey_never_counts(
    mail_world: World, device: SoftwareAuthenticator
) -> None:
    browser, elsewhere = mail_world.visitor(), mail_world.visitor()
    await begin(browser, device, uid="ada")
    path = await link(mail_world, ADDRESS)
    assert 'name="password"' in (await elsewhere.get(path)).text
    refused = await elsewhere.submit(path, {})
    assert refused.status_code == 400
    assert (await elsewhere.submit(path, {"password": PASSWORD})).headers["location"] == "/sign-in?verified=1"
    assert (await use(mail_world.visitor(), device)).json()["errors"][0]["code"] == "unknown_passkey"
    assert (await elsewhere.sign_in(ADDRESS)).status_code == 201
    assert (await elsewhere.get(OWN)).json()["data"] == []


async def test_what_was_shown_long_ago_is_asked_for_again(mail_world: World, device: SoftwareAuthenticator) -> None:
    browser = mail_world.visitor()
    await begin(browser, device, uid="ada")
    token = (await link(mail_world, ADDRESS)).removeprefix("/verify/")
    mail_world.clock.advance(600)
    answer = await browser.post("/api/verifications", {"token": token})
    assert (answer.status_code, answer.json()["next"], answer.json()["kinds"]) == (200, "authenticator", ["passkey"])
    assert not await signed_in(browser)
    asked = await browser.http.post("/api/sessions/authenticator/challenge", json={"kind": "passkey"})
    credential = device.get(asked.json()["options"], ORIGIN)
    done = await browser.http.post("/api/sessions/authenticator", json={"kind": "passkey", "credential": credential})
    assert done.status_code == 201, done.text
    assert done.json()["aal"] == 2


async def test_the_domain_decides_here_too_who_may_sign_up(
    mail_settings: Settings, tmp_path: Path, clock: MovableClock
) -> None:
    signup = msgspec.structs.replace(mail_settings.signup, deny_domains=("example.org",))
    served = msgspec.structs.replace(mail_settings, signup=signup)
    async with running(served, DataDir.open(tmp_path / "data"), clock) as world:
        answer = await world.visitor().http.post(OPTIONS, json={"email": ADDRESS})
        assert answer.json()["errors"][0]["code"] == "domain_not_allowed"


# Living without a password -------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.2.2")
async def test_a_password_is_set_from_the_page_after_a_fresh_proof(world: World, device: SoftwareAuthenticator) -> None:
    ada = world.visitor()
    await join(ada, device, "ada")
    shown = (await ada.get("/account/password")).text
    assert "<h1>Set a password</h1>" in shown
    assert "current_password" not in shown
    world.clock.advance(STALE)
    assert (await ada.get("/account/password")).headers["location"] == "/confirm?next=/account/password"
    stale = {"csrf_token": ada.csrf, "new_password": PASSWORD}
    page = {"origin": ORIGIN, "sec-fetch-site": "same-origin"}
    refused = await ada.http.post("/account/password", data=stale, headers=page)
    assert refused.headers["location"] == "/confirm?next=/account/password"
    await confirm_anew(ada, device)

    weak = await ada.submit("/account/password", {"new_password": "ada"})
    assert weak.status_code == 400
    assert "current_password" not in weak.text
    assert (await ada.submit("/account/password", {})).status_code == 400
    before = ada.http.cookies["doorward"]
    done = await ada.submit("/account/password", {"new_password": PASSWORD})
    assert done.headers["location"] == "/account/password?password=1"
    assert ada.http.cookies["doorward"] != before
    assert "<h1>Change your password</h1>" in (await ada.get("/account/password")).text
    told = await world.visitor().http.post("/api/sessions", json={"identifier": "ada", "password": PASSWORD})
    assert (told.json()["next"], told.json()["kinds"]) == ("authenticator", ["passkey"])


async def test_a_password_is_set_over_json_and_ends_other_sessions(world: World, device: SoftwareAuthenticator) -> None:
    ada, elsewhere = world.visitor(), world.visitor()
    user = await join(ada, device, "ada")
    await use(elsewhere, device)
    world.clock.advance(STALE)
    stale = await ada.send("PUT", PUT, {"new_password": PASSWORD})
    assert (stale.status_code, stale.json()["acr_values"]) == (403, "aal2")
    await confirm_anew(ada, device)
    assert (await ada.send("PUT", PUT, {})).json()["errors"][0]["field"] == "new_password"
    assert (await ada.send("PUT", PUT, {"new_password": "ada"})).json()["errors"][0]["code"] == "too_short"
    assert (await ada.send("PUT", PUT, {"new_password": PASSWORD})).status_code == 204
    assert await signed_in(ada)
    assert not await signed_in(elsewhere)
    rows = await audited(world, "authn_password_change")
    assert [(row.user_id, row.outcome) for row in rows] == [(user["id"], "success")]


@pytest.mark.asvs("6.2.3")
async def test_who_has_a_password_cannot_pass_it_by(world: World, device: SoftwareAuthenticator) -> None:
    ada, grace = world.visitor(), world.visitor()
    await ada.sign_up("ada")
    await join(grace, device, "grace")
    assert (await grace.send("PUT", PUT, {"new_password": PASSWORD})).status_code == 204
    for visitor in (ada, grace):
        for body in ({"new_password": "another phrase of some length"},
                     {"current_password": None, "new_password": "another phrase of some length"}):  # fmt: skip
            refused = await visitor.send("PUT", PUT, body)
            assert [error["field"] for error in refused.json()["errors"]] == ["current_password"]
        page = await visitor.submit("/account/password", {"new_password": "another phrase of some length"})
        assert page.status_code == 400


async def test_of_ten_first_passwords_at_once_one_is_set(world: World, device: SoftwareAuthenticator) -> None:
    ada = world.visitor()
    await join(ada, device, "ada")
    headers = {**ada.cookie_header(), "x-csrf-token": ada.csrf}
    answers = await asyncio.gather(
        *(
            world.visitor().http.put(PUT, json={"new_password": f"{PASSWORD} {number}"}, headers=headers)
            for number in range(10)
        )
    )
    assert [answer.status_code for answer in answers].count(204) == 1
    assert len(await audited(world, "authn_password_change")) == 1


async def test_a_password_that_somebody_guesses_for_them_is_never_right(
    world: World, device: SoftwareAuthenticator
) -> None:
    ada = world.visitor()
    await join(ada, device, "ada")
    refused = await ada.send("PUT", PUT, {"current_password": "", "new_password": PASSWORD})
    assert refused.json()["errors"][0]["field"] == "current_password"
    for body in ({"password": PASSWORD}, {"password": " "}):
        assert (await ada.post("/api/sessions/current/reauthenticate", body)).status_code == 401
        assert (await ada.send("DELETE", "/api/users/me", body)).status_code == 401
    assert (await world.visitor().sign_in("ada")).status_code == 401


async def test_the_last_passkey_stays_until_there_is_a_password(world: World, device: SoftwareAuthenticator) -> None:
    ada = world.visitor()
    await join(ada, device, "ada")
    await set_up_app(world, ada)
    keys = {one["kind"]: one["id"] for one in (await ada.get(OWN)).json()["data"]}
    assert (await ada.send("DELETE", f"{OWN}/{keys['passkey']}")).status_code == 409
    assert (await ada.send("PUT", PUT, {"new_password": PASSWORD})).status_code == 204
    assert (await ada.send("DELETE", f"{OWN}/{keys['passkey']}")).status_code == 204


@pytest.mark.asvs("6.4.3")
async def test_recovery_codes_are_a_way_back_from_a_lost_passkey(world: World, device: SoftwareAuthenticator) -> None:
    ada = world.visitor()
    await join(ada, device, "ada")
    codes = await make_codes(ada)
    assert "nothing lets you back in yet" not in (await ada.get("/account")).text
    back = world.visitor()
    sent = {"identifier": "ada", "code": codes[0]}
    token = (await back.http.post("/api/recovery/code", json=sent)).json()["token"]
    done = await back.http.post("/api/recovery/complete", json={"token": token, "password": PASSWORD})
    assert done.status_code == 200
    answer = await back.http.post("/api/sessions", json={"identifier": "ada", "password": PASSWORD})
    assert (answer.json()["next"], answer.json()["kinds"]) == ("authenticator", ["passkey"])
    assert (await step(back, "recovery_code", codes[1])).status_code == 400


async def test_a_link_by_mail_sets_the_first_password(mail_world: World, device: SoftwareAuthenticator) -> None:
    browser = mail_world.visitor()
    await begin(browser, device, uid="ada")
    await browser.post("/api/verifications", {"code": await code(mail_world, ADDRESS)})
    assert (await mail_world.visitor().http.post("/api/recovery", json={"email": ADDRESS})).status_code == 202
    path = await link(mail_world, ADDRESS)
    assert (await mail_world.visitor().submit(path, {"password": PASSWORD})).status_code == 303
    told = await mail_world.visitor().http.post("/api/sessions", json={"identifier": ADDRESS, "password": PASSWORD})
    assert told.json()["kinds"] == ["passkey"]


async def test_nobody_is_mailed_of_the_passkey_they_have_just_signed_up_with(
    mail_world: World, inbox: Inbox, device: SoftwareAuthenticator
) -> None:
    browser = mail_world.visitor()
    await begin(browser, device)
    await browser.post("/api/verifications", {"code": await code(mail_world, ADDRESS)})
    assert [one.template for one in await inbox.messages()] == ["confirm_sign_up"]
