"""Passkeys over HTTP: set up, used alone, used as a second step and to prove oneself anew (C29-C31; UX-20, 27, 43)."""

from typing import Any

import httpx
import pytest
from fido2.utils import websafe_decode

from doorward.testing.authenticator import SoftwareAuthenticator
from tests.http.conftest import ORIGIN, Visitor, World
from tests.support.attack import OPERATOR, audited
from tests.support.factors import OWN, app_code, half_signed_in, make_codes, set_up_app, signed_in, step

OPTIONS, SIGN_IN = "/api/sessions/passkey/options", "/api/sessions/passkey"
AGAIN = "/api/sessions/current/reauthenticate/passkey"
STALE = 602  # the proof of the new one counts a second later


async def add_passkey(visitor: Visitor, device: SoftwareAuthenticator, **tweaks: Any) -> httpx.Response:
    """Register one for somebody signed in just now."""
    options = (await visitor.post(OWN, {"kind": "passkey"})).json()["options"]
    return await visitor.post(
        f"{OWN}/confirm", {"kind": "passkey", "credential": device.create(options, ORIGIN, **tweaks)}
    )  # fmt: skip


async def use_passkey(visitor: Visitor, device: SoftwareAuthenticator, **tweaks: Any) -> httpx.Response:
    """Sign in with nothing typed."""
    options = (await visitor.http.post(OPTIONS, json={})).json()
    answer = await visitor.http.post(SIGN_IN, json={"credential": device.get(options, ORIGIN, **tweaks)})
    if answer.status_code == 201:
        visitor.csrf = answer.json()["csrf_token"]
    return answer


@pytest.fixture
def device() -> SoftwareAuthenticator:
    """A telephone."""
    return SoftwareAuthenticator()


@pytest.mark.asvs("6.7.2")
async def test_a_passkey_signs_in_with_nothing_typed_as_two_factors(
    world: World, device: SoftwareAuthenticator
) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    assert (await add_passkey(ada, device)).status_code == 201
    browser = world.visitor()
    answer = await use_passkey(browser, device)
    assert answer.status_code == 201, answer.text
    session = answer.json()
    assert (session["aal"], session["path"]) == (2, "/account")
    assert {"user", "mfa"} <= set(session["amr"])
    assert await signed_in(browser)


async def test_with_a_passkey_the_password_alone_opens_nothing(world: World, device: SoftwareAuthenticator) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    await add_passkey(ada, device)
    browser, told = await half_signed_in(world, "ada")
    assert told["kinds"] == ["passkey"]
    challenge = await browser.http.post("/api/sessions/authenticator/challenge", json={"kind": "passkey"})
    credential = device.get(challenge.json()["options"], ORIGIN, uv=False)
    done = await browser.http.post("/api/sessions/authenticator", json={"kind": "passkey", "credential": credential})
    assert done.status_code == 201, done.text
    assert done.json()["aal"] == 2


async def test_alone_it_has_to_come_with_a_check_of_the_person(world: World, device: SoftwareAuthenticator) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    await add_passkey(ada, device)
    refused = await use_passkey(world.visitor(), device, uv=False)
    assert refused.status_code == 400
    assert [error["field"] for error in refused.json()["errors"]] == ["credential"]


@pytest.mark.asvs("6.5.1")
async def test_a_challenge_is_answered_once_and_in_the_browser_that_asked(
    world: World, device: SoftwareAuthenticator
) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    await add_passkey(ada, device)
    browser, other = world.visitor(), world.visitor()
    options = (await browser.http.post(OPTIONS, json={})).json()
    await other.http.post(OPTIONS, json={})
    credential = device.get(options, ORIGIN)
    assert (await other.http.post(SIGN_IN, json={"credential": credential})).status_code == 400
    assert (await browser.http.post(SIGN_IN, json={"credential": credential})).status_code == 201
    assert (await browser.http.post(SIGN_IN, json={"credential": credential})).status_code == 400


async def test_a_challenge_is_over_after_five_minutes(world: World, device: SoftwareAuthenticator) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    await add_passkey(ada, device)
    browser = world.visitor()
    options = (await browser.http.post(OPTIONS, json={})).json()
    world.clock.advance(300)
    assert (await browser.http.post(SIGN_IN, json={"credential": device.get(options, ORIGIN)})).status_code == 400


async def test_a_passkey_that_was_removed_is_told_apart_for_the_password_manager(
    world: World, device: SoftwareAuthenticator
) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    key = (await add_passkey(ada, device)).json()["id"]
    assert (await ada.send("DELETE", f"{OWN}/{key}")).status_code == 204
    refused = await use_passkey(world.visitor(), device)
    assert refused.json()["errors"][0]["code"] == "unknown_passkey"
    assert (await world.visitor().sign_in("ada")).status_code == 201


async def test_one_passkey_belongs_to_one_account(world: World, device: SoftwareAuthenticator) -> None:
    ada, eve = world.visitor(), world.visitor()
    await ada.sign_up("ada")
    await eve.sign_up("eve")
    options = (await ada.post(OWN, {"kind": "passkey"})).json()["options"]
    made = device.create(options, ORIGIN)
    assert (await ada.post(f"{OWN}/confirm", {"kind": "passkey", "credential": made})).status_code == 201
    theirs = (await eve.post(OWN, {"kind": "passkey"})).json()["options"]
    stolen = device.create(theirs, ORIGIN, credential_id=websafe_decode(made["id"]))
    refused = await eve.post(f"{OWN}/confirm", {"kind": "passkey", "credential": stolen})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "known")


async def test_one_of_the_same_device_is_not_made_twice(world: World, device: SoftwareAuthenticator) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    await add_passkey(ada, device)
    options = (await ada.post(OWN, {"kind": "passkey"})).json()["options"]
    assert [one["id"] for one in options["excludeCredentials"]] != []


@pytest.mark.asvs("7.5.3")
async def test_it_proves_anew_who_somebody_is(world: World, device: SoftwareAuthenticator) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    await add_passkey(ada, device)
    world.clock.advance(STALE)
    assert (await ada.post(OWN, {"kind": "totp"})).status_code == 403
    options = (await ada.post(f"{AGAIN}/options", {})).json()
    assert (await ada.post(AGAIN, {"credential": device.get(options, ORIGIN, uv=False)})).status_code == 400
    options = (await ada.post(f"{AGAIN}/options", {})).json()
    before = ada.http.cookies["doorward"]
    assert (await ada.post(AGAIN, {"credential": device.get(options, ORIGIN)})).status_code == 200
    assert ada.http.cookies["doorward"] != before
    assert (await ada.post(OWN, {"kind": "totp"})).status_code == 200


async def test_one_that_the_browser_made_by_itself_locks_nobody_out(
    world: World, device: SoftwareAuthenticator
) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    options = (await ada.post(f"{OWN}/upgrade/options", {})).json()
    made = device.create(options, ORIGIN, up=False, uv=False)
    assert (await ada.post(f"{OWN}/upgrade", {"credential": made})).status_code == 204
    (own,) = (await ada.get(OWN)).json()["data"]
    assert own["second_step"] is False
    assert (await world.visitor().sign_in("ada")).status_code == 201, "the password is still enough"
    browser = world.visitor()
    assert (await use_passkey(browser, device)).status_code == 201
    assert await signed_in(browser)


async def test_what_a_browser_made_unasked_is_not_taken_where_somebody_asked(
    world: World, device: SoftwareAuthenticator
) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    assert (await add_passkey(ada, device, up=False, uv=False)).status_code == 400


async def test_a_count_that_goes_back_is_written_down_and_lets_in(world: World, device: SoftwareAuthenticator) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    await add_passkey(ada, device, sign_count=10)
    assert (await use_passkey(world.visitor(), device, sign_count=5)).status_code == 201
    (row,) = await audited(world, "authn_token_reuse")
    assert row.payload is not None
    assert "10" in row.payload


async def test_passkeys_are_named_renamed_and_removed(world: World, device: SoftwareAuthenticator) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    key = (await add_passkey(ada, device)).json()["id"]
    assert (await ada.send("PATCH", f"{OWN}/{key}", {"label": "  My   phone "})).status_code == 204
    (own,) = (await ada.get(OWN)).json()["data"]
    assert own["label"] == "My phone"
    for bad in ("", " ", "x" * 61, 5, "a\nb\x00"):
        assert (await ada.send("PATCH", f"{OWN}/{key}", {"label": bad})).status_code == 400
    shown = await ada.get("/account/security")
    assert "My phone" in shown.text


async def test_a_disabled_user_is_not_let_in_by_passkey(world: World, device: SoftwareAuthenticator) -> None:
    ada = world.visitor()
    user = await ada.sign_up("ada")
    await add_passkey(ada, device)
    await world.services.users.set_status(user["id"], "disabled", None, OPERATOR)
    assert (await use_passkey(world.visitor(), device)).status_code == 401


async def test_password_managers_find_where_passkeys_are(world: World) -> None:
    found = await world.visitor().get("/.well-known/passkey-endpoints")
    page = f"{ORIGIN}/account/security"
    assert (found.headers["content-type"], found.json()) == ("application/json", {"enroll": page, "manage": page})


async def test_kinds_are_offered_with_the_last_used_first_and_recovery_codes_last(
    world: World, device: SoftwareAuthenticator
) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    await make_codes(ada)
    key = await set_up_app(world, ada)
    await add_passkey(ada, device)
    _, told = await half_signed_in(world, "ada")
    assert told["kinds"] == ["passkey", "totp", "recovery_code"]
    browser, _ = await half_signed_in(world, "ada")
    await step(browser, "totp", app_code(world, key))
    _, told = await half_signed_in(world, "ada")
    assert told["kinds"] == ["totp", "passkey", "recovery_code"]


async def test_two_tabs_of_a_browser_do_not_get_in_each_others_way(world: World, device: SoftwareAuthenticator) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    await add_passkey(ada, device)
    browser = world.visitor()
    first = (await browser.http.post(OPTIONS, json={})).json()
    await browser.http.post(OPTIONS, json={})
    assert (await browser.http.post(SIGN_IN, json={"credential": device.get(first, ORIGIN)})).status_code == 201
