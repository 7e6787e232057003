"""Recovery codes as a way back without a mailbox: offered to whoever has none, and used from the page."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from doorward.config import Settings
from doorward.config.settings import Mail, Server
from doorward.datadir import DataDir
from doorward.testing import MovableClock
from tests.http.conftest import PASSWORD, World, running
from tests.support.attack import OPERATOR, audited
from tests.support.factors import make_codes
from tests.support.members import code, member

NEW = "three brass lamps in the fog"
BOX = "If you forget your password, nothing lets you back in yet."
PAGES = ("/account?welcome=1", "/account/password", "/account/sessions", "/account/email", "/account/delete")


# On the way back -----------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.4.3")
async def test_the_pages_lead_from_a_forgotten_password_to_the_account(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    codes = await make_codes(ada)
    browser = world.visitor()
    assert 'href="/recovery"' in (await browser.get("/sign-in")).text
    assert 'href="/recovery/code"' in (await browser.get("/recovery")).text
    assert 'href="/recovery/code"' in (await browser.get("/recovery/nonsense")).text

    typed = {"identifier": " Ada ", "code": f" {codes[4].upper().replace('-', ' ')} "}
    answer = await browser.submit("/recovery/code", typed)
    assert answer.status_code == 303, answer.text
    place = answer.headers["location"]
    assert re.fullmatch(r"/recovery/[A-Za-z0-9_-]{43}", place)
    shown = await browser.get(place)
    assert "Your other recovery codes end with it" in shown.text
    assert "known to others" not in shown.text
    assert shown.headers["referrer-policy"] == "no-referrer"
    done = await browser.submit(place, {"password": NEW})
    assert done.headers["location"] == "/sign-in?recovered=1"
    assert (await browser.sign_in("ada", NEW)).status_code == 201
    assert (await world.visitor().sign_in("ada", PASSWORD)).status_code == 401
    assert BOX in (await browser.get("/account")).text, "the set has ended with it"


async def test_the_api_does_the_same(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    codes = await make_codes(ada)
    program = world.visitor()
    answer = await program.http.post("/api/recovery/code", json={"identifier": "ada", "code": codes[0]})
    assert (answer.status_code, set(answer.json())) == (200, {"token"})
    body = {"token": answer.json()["token"], "password": NEW}
    assert (await program.http.post("/api/recovery/complete", json=body)).status_code == 200
    changed = (await audited(world, "authn_password_change"))[-1]
    assert json.loads(changed.payload or "") == {"by": "recovery_code", "device": "Python"}


async def test_a_wrong_code_is_said_beside_its_field_and_never_sent_back(world: World) -> None:
    answer = await world.visitor().submit("/recovery/code", {"identifier": "<ada>", "code": "n0ne-0f-y0ur-c0de"})
    assert answer.status_code == 400
    assert "This recovery code is not right" in answer.text
    assert 'value="&lt;ada&gt;"' in answer.text
    assert "n0ne" not in answer.text
    empty = await world.visitor().submit("/recovery/code", {})
    assert empty.status_code == 400
    assert "Enter one of your recovery codes" in empty.text


async def test_the_form_says_how_long_to_wait(world: World) -> None:
    browser = world.visitor()
    for _ in range(5):
        await browser.submit("/recovery/code", {"identifier": "ada", "code": "no"})
    answer = await browser.submit("/recovery/code", {"identifier": "ada", "code": "no"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert 'data-wait="1"' in answer.text


async def test_a_password_that_others_know_cannot_be_chosen_again_with_a_code(world: World) -> None:
    ada = world.visitor()
    user = await ada.sign_up("ada")
    codes = await make_codes(ada)
    await world.services.recovery.flag_compromised(user["id"], OPERATOR)
    browser = world.visitor()
    place = (await browser.submit("/recovery/code", {"identifier": "ada", "code": codes[0]})).headers["location"]
    refused = await browser.submit(place, {"password": PASSWORD})
    assert "Choose a password you do not use yet" in refused.text
    assert (await browser.submit(place, {"password": NEW})).status_code == 303
    assert (await world.visitor().sign_in("ada", NEW)).status_code == 201


# The offer -----------------------------------------------------------------------------------------------------------


async def test_whoever_has_no_way_back_is_offered_two_right_after_signing_up(world: World) -> None:
    browser = world.visitor()
    answer = await browser.submit("/sign-up", {"uid": "ada", "name": "Ada", "password": PASSWORD})
    assert answer.headers["location"] == "/account?welcome=1"
    for page in PAGES:
        shown = (await browser.get(page)).text
        assert BOX in shown, page
        assert 'action="/account/security/codes"' in shown, page
        assert ("Add an e-mail address" in shown) == (page != "/account/email"), page
    for page in ("/account/security", "/members"):
        assert BOX not in (await browser.get(page)).text, page
    codes = await browser.submit("/account/security/codes", {}, page="/account")
    assert "Your recovery codes" in codes.text
    assert BOX not in codes.text


async def test_codes_or_a_proven_address_end_the_offer(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    await make_codes(ada)
    grace, _ = await member(world, "grace", "grace@example.org")
    for visitor in (ada, grace):
        assert BOX not in (await visitor.get("/account")).text


async def test_a_claim_is_no_way_back_and_is_spoken_of_in_one_box(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada", email="ada@example.org")
    shown = (await ada.get("/account")).text
    assert "is yours. Without it" in shown
    assert BOX not in shown
    assert shown.count('action="/account/security/codes"') == 1
    assert 'action="/account/email/resend"' in shown
    await make_codes(ada)
    assert 'action="/account/security/codes"' not in (await ada.get("/account")).text
    assert (await ada.post("/api/verifications", {"code": await code(world, "ada@example.org")})).status_code == 200
    assert "is yours. Without it" not in (await ada.get("/account")).text


async def test_codes_that_are_all_used_up_are_no_way_back(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    for number, one in enumerate(await make_codes(ada)):
        assert BOX not in (await ada.get("/account")).text, number
        sent = {"identifier": "ada", "code": one}
        assert (await world.visitor().http.post("/api/recovery/code", json=sent)).status_code == 200
    assert BOX in (await ada.get("/account")).text


async def test_where_no_mail_can_be_sent_codes_alone_are_offered(
    settings: Settings, tmp_path: Path, clock: MovableClock
) -> None:
    served = msgspec.structs.replace(
        settings, server=Server(host="192.0.2.1", public_url="https://id.example.org"), mail=Mail()
    )
    async with running(served, DataDir.open(tmp_path / "data"), clock) as world:
        new = {"uid": "ada", "name": "Ada", "password": PASSWORD, "email": "ada@example.org"}
        given = (await world.visitor().http.post("/api/users", json=new)).headers.get_list("set-cookie")
        held = {"cookie": "; ".join(cookie.partition(";")[0] for cookie in given)}
        shown = (await world.visitor().get("/account", headers=held)).text
        assert BOX in shown
        assert "Add an e-mail address" not in shown
        assert 'href="/recovery/code"' in (await world.visitor().get("/recovery")).text
