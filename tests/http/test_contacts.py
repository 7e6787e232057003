"""How members confirm, change and take back an address, and keep a phone number (UX-33, UX-34)."""

import pytest

from doorward.signup.rules import RegistrationRules
from tests.http.conftest import PASSWORD, Inbox, World
from tests.support.attack import OPERATOR
from tests.support.members import STALE, code, email_of, follow, last, link, member

OLD, NEW = "ada@example.org", "ada@example.net"
NUMBER, SAME_NUMBER = "+4915123456789", "+49 1512 345-6789"
SAME_ORIGIN = {"sec-fetch-site": "same-origin"}


async def test_a_new_address_takes_the_place_of_the_old_one_once_its_code_comes_back(world: World) -> None:
    ada, _ = await member(world, "ada", OLD)
    sent = await ada.submit("/account/email", {"email": f" {NEW} "})
    assert (sent.status_code, sent.headers["location"]) == (303, "/account/email?sent=1")
    page = await ada.get("/account/email?sent=1", headers=SAME_ORIGIN)
    assert OLD in page.text
    assert NEW in page.text
    assert 'name="code"' in page.text
    assert 'class="notice' in page.text
    assert await email_of(ada) == (OLD, True)

    wrong = await ada.submit("/account/email/code", {"code": "000000"}, "/account/email")
    assert wrong.status_code == 400
    assert 'href="#field-code"' in wrong.text
    right = await ada.submit("/account/email/code", {"code": await code(world, NEW)}, "/account/email")
    assert (right.status_code, right.headers["location"]) == (303, "/account/email?confirmed=1")
    assert await email_of(ada) == (NEW, True)
    assert (await last(world, OLD)).template == "email_changed"


async def test_the_link_works_on_another_device_and_starts_no_session_there(world: World) -> None:
    ada, _ = await member(world, "ada", OLD)
    await ada.submit("/account/email", {"email": NEW})
    telephone = world.visitor()
    path = await link(world, NEW)
    assert (await telephone.get(path)).status_code == 200
    assert await email_of(ada) == (OLD, True), "looking changes nothing"
    answer = await follow(telephone, path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?verified=1")
    assert 'class="notice' in (await telephone.get("/sign-in?verified=1", headers=SAME_ORIGIN)).text
    assert (await telephone.get("/api/users/me")).status_code == 401
    assert await email_of(ada) == (NEW, True)


@pytest.mark.asvs("7.5.1")
async def test_the_form_asks_for_the_password_before_anything_is_typed(world: World) -> None:
    ada, _ = await member(world, "ada", OLD)
    fresh = await ada.get("/account/email")
    world.clock.advance(STALE)
    stale = await ada.get("/account/email")
    assert 'name="email"' in fresh.text
    assert 'name="email"' not in stale.text
    assert '/confirm?next=/account/email"' in stale.text
    confirmed = await ada.submit("/confirm", {"password": PASSWORD, "next": "/account/email"})
    assert confirmed.headers["location"] == "/account/email"
    assert 'name="email"' in (await ada.get("/account/email")).text


async def test_a_bad_address_comes_back_with_what_was_typed(world: World) -> None:
    ada, _ = await member(world, "ada", OLD)
    answer = await ada.submit("/account/email", {"email": "ada at example"})
    assert answer.status_code == 400
    assert 'value="ada at example"' in answer.text
    assert 'href="#field-email"' in answer.text
    for same in (OLD, ""):
        assert (await ada.submit("/account/email", {"email": same})).status_code == 400


async def test_resending_gives_a_newer_code_and_the_same_link(world: World) -> None:
    ada, _ = await member(world, "ada", OLD)
    await ada.submit("/account/email", {"email": NEW})
    first_link, first_code = await link(world, NEW), await code(world, NEW)
    again = await ada.submit("/account/email/resend", {}, "/account/email")
    assert again.headers["location"] == "/account/email?sent=1"
    assert await link(world, NEW) == first_link
    newer = await code(world, NEW)
    if newer != first_code:
        assert (await ada.submit("/account/email/code", {"code": first_code}, "/account/email")).status_code == 400
    assert (await ada.submit("/account/email/code", {"code": newer}, "/account/email")).status_code == 303


async def test_a_change_can_be_called_off(world: World) -> None:
    ada, user_id = await member(world, "ada", OLD)
    for by_page in (True, False):
        await ada.submit("/account/email", {"email": NEW})
        path = await link(world, NEW)
        if by_page:
            assert (await ada.submit("/account/email/keep", {}, "/account/email")).status_code == 303
        else:
            assert (await ada.send("DELETE", f"/api/users/{user_id}/email/pending")).status_code == 204
        assert NEW not in (await ada.get("/account/email")).text
        assert (await world.visitor().get(path)).status_code == 410
    assert (await ada.send("DELETE", f"/api/users/{user_id}/email/pending")).status_code == 204, "nothing is left"


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_another_address_in_a_change_of_the_record_has_to_be_proven_too(world: World, method: str) -> None:
    ada, user_id = await member(world, "ada", OLD)
    answer = await ada.send(method, f"/api/users/{user_id}", {"name": "Ada L.", "email": NEW})
    assert (answer.status_code, answer.json()["name"]) == (200, "Ada L.")
    assert (answer.json()["email"], answer.json()["email_verified"]) == (OLD, True)
    assert (await ada.post("/api/verifications", {"code": await code(world, NEW)})).status_code == 200
    assert await email_of(ada) == (NEW, True)


async def test_a_mere_claim_is_replaced_at_once_and_asked_about(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada", email=OLD)
    answer = await ada.send("PATCH", "/api/users/me", {"email": NEW})
    assert (answer.json()["email"], answer.json()["email_verified"]) == (NEW, False)
    assert (await ada.post("/api/verifications", {"code": await code(world, NEW)})).status_code == 200
    assert await email_of(ada) == (NEW, True)
    assert not [mail for mail in await Inbox(world).messages(OLD) if mail.template == "email_changed"]


@pytest.mark.parametrize("address", [None, NEW])
async def test_a_body_that_is_refused_changes_no_address(world: World, address: str | None) -> None:
    ada, user_id = await member(world, "ada", OLD)
    chief, chief_id = await member(world, "chief")
    await world.services.users.set_roles(chief_id, ["admin"], None, OPERATOR)
    await chief.sign_in("chief")
    before = len(await Inbox(world).rows())
    answer = await chief.send("PUT", f"/api/users/{user_id}", {"uid": "chief", "email": address})
    assert answer.status_code == 400
    assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [("uid", "taken")]
    assert await email_of(ada) == (OLD, True)
    assert len(await Inbox(world).rows()) == before
    assert NEW not in (await ada.get("/account/email")).text


async def test_a_claim_that_goes_takes_the_link_to_it_along(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada", email=OLD)
    path = await link(world, OLD)
    assert (await ada.send("PATCH", "/api/users/me", {"email": None})).json()["email"] is None
    assert (await world.visitor().get(path)).status_code == 410


@pytest.mark.parametrize("can_mail", [True, False])
async def test_members_claim_no_address_of_a_denied_domain(world: World, can_mail: bool) -> None:  # noqa: FBT001  a parameter of the test
    ada = world.visitor()
    await ada.sign_up("ada")
    object.__setattr__(world.services.contacts, "rule", RegistrationRules.of([], ["eve.example"], None).error)
    world.services.outbox.can_mail = can_mail
    answer = await ada.send("PATCH", "/api/users/me", {"email": "ada@eve.example"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "domain_not_allowed")
    assert await email_of(ada) == (None, False)
    assert (await ada.send("PATCH", "/api/users/me", {"email": NEW})).json()["email"] == NEW


async def test_where_no_mail_can_be_sent_a_proven_address_stays(world: World) -> None:
    ada, user_id = await member(world, "ada", OLD)
    world.services.outbox.can_mail = False
    for answer in (
        await ada.send("PATCH", "/api/users/me", {"email": NEW, "name": "Ada L."}),
        await ada.post(f"/api/users/{user_id}/email", {"email": NEW}),
    ):
        assert answer.status_code == 409
    me = (await ada.get("/api/users/me")).json()
    assert (me["email"], me["email_verified"]) == (OLD, True)
    assert me["name"] != "Ada L."


async def test_account_pages_remind_of_an_address_that_nobody_confirmed(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada", email=OLD)
    for page in ("/account", "/account/password", "/account/sessions", "/account/data", "/account/delete"):
        text = (await ada.get(page)).text
        assert 'action="/account/email/resend"' in text
        assert OLD in text
    world.clock.advance(1)
    await ada.submit("/account/email/resend", {}, "/account")
    await ada.post("/api/verifications", {"code": await code(world, OLD)})
    assert 'action="/account/email/resend"' not in (await ada.get("/account")).text
    grace = world.visitor()
    await grace.sign_up("grace")
    assert 'action="/account/email/resend"' not in (await grace.get("/account")).text
    assert (await grace.submit("/account/email/resend", {}, "/account/email")).status_code == 409


async def test_whoever_lost_an_address_takes_it_back_and_chooses_a_new_password(world: World) -> None:
    ada, _ = await member(world, "ada", OLD)
    await ada.submit("/account/email", {"email": NEW})
    await follow(world.visitor(), await link(world, NEW))
    notice = await last(world, OLD)
    assert (notice.template, notice.values["new_email"], notice.values["days"]) == ("email_changed", NEW, 7)

    owner = world.visitor()
    page = await owner.get(str(notice.values["path"]))
    assert page.status_code == 200
    assert page.headers["referrer-policy"] == "no-referrer"
    assert OLD in page.text
    assert NEW in page.text
    undone = await follow(owner, str(notice.values["path"]))
    assert undone.status_code == 303
    assert undone.headers["location"].startswith("/recovery/")
    assert undone.headers["referrer-policy"] == "no-referrer"
    state, found = await world.services.confirmations.look(undone.headers["location"].split("/")[-1], "recovery")
    assert state == "live"
    user = await world.services.users.find_by_identifier(OLD)
    assert found is not None
    assert user is not None
    assert (found.user_id, user.uid, user.email_verified) == (user.id, "ada", True)
    assert await world.services.passwords.change_wanted(user.id) == "compromised"
    again = await owner.get(str(notice.values["path"]))
    assert again.status_code == 200
    assert "undone already" in again.text


async def test_removing_an_address_can_be_undone(world: World) -> None:
    ada, _ = await member(world, "ada", OLD)
    assert (await ada.send("PATCH", "/api/users/me", {"email": None})).json()["email"] is None
    assert (await follow(world.visitor(), await link(world, OLD))).status_code == 303
    found = await world.services.users.find_by_identifier(OLD)
    assert found is not None
    assert found.uid == "ada"


async def test_an_administrator_begins_a_change_that_the_new_mailbox_ends(world: World) -> None:
    ada, user_id = await member(world, "ada", OLD)
    chief, chief_id = await member(world, "chief")
    await world.services.users.set_roles(chief_id, ["admin"], None, OPERATOR)
    await chief.sign_in("chief")
    answer = await chief.post(f"/api/users/{user_id}/email", {"email": NEW})
    assert answer.status_code == 202
    assert (await chief.post("/api/verifications", {"code": await code(world, NEW)})).status_code == 400
    assert (await follow(world.visitor(), await link(world, NEW))).status_code == 303
    assert await email_of(ada) == (NEW, True)
    assert (await chief.post(f"/api/users/{user_id}/phone", {"phone": NUMBER})).status_code == 403


async def test_a_phone_number_is_kept_once_its_code_comes_back_and_can_be_removed(world: World) -> None:
    ada, user_id = await member(world, "ada", OLD)
    sent = await ada.submit("/account/phone", {"phone": SAME_NUMBER})
    assert (sent.status_code, sent.headers["location"]) == (303, "/account/phone?sent=1")
    page = await ada.get("/account/phone")
    assert NUMBER in page.text
    assert 'name="code"' in page.text
    assert await world.services.users.contact(user_id, "phone") is None
    world.clock.advance(1)
    again = await ada.submit("/account/phone/resend", {}, "/account/phone")
    assert again.status_code == 303
    right = await ada.submit("/account/phone/code", {"code": await code(world, NUMBER)}, "/account/phone")
    assert (right.status_code, right.headers["location"]) == (303, "/account/phone?confirmed=1")
    contact = await world.services.users.contact(user_id, "phone")
    assert contact is not None
    assert contact[0] == NUMBER
    notice = await last(world, OLD)
    assert notice.template == "phone_changed"
    assert NUMBER not in str(notice.values["number"])
    assert (await ada.submit("/account/phone", {"phone": NUMBER})).status_code == 400, "it is theirs already"

    removed = await ada.submit("/account/phone/remove", {}, "/account/phone")
    assert removed.headers["location"] == "/account/phone?removed=1"
    assert await world.services.users.contact(user_id, "phone") is None


async def test_programs_add_and_remove_a_phone_number(world: World) -> None:
    ada, user_id = await member(world, "ada")
    answer = await ada.post(f"/api/users/{user_id}/phone", {"phone": SAME_NUMBER})
    assert answer.status_code == 202
    body = {"code": await code(world, NUMBER), "purpose": "phone"}
    assert (await ada.post("/api/verifications", body)).status_code == 200
    assert (await world.services.users.contact(user_id, "phone") or [""])[0] == NUMBER
    assert (await ada.send("DELETE", f"/api/users/{user_id}/phone")).status_code == 204
    assert await world.services.users.contact(user_id, "phone") is None


async def test_a_number_goes_to_whoever_proved_it_last_and_the_earlier_owner_hears_of_it(world: World) -> None:
    ada, ada_id = await member(world, "ada", OLD)
    eve, eve_id = await member(world, "eve", "eve@example.org")
    for visitor, user_id in ((ada, ada_id), (eve, eve_id)):
        await visitor.post(f"/api/users/{user_id}/phone", {"phone": NUMBER})
        body = {"code": await code(world, NUMBER), "purpose": "phone"}
        assert (await visitor.post("/api/verifications", body)).status_code == 200
    assert await world.services.users.contact(ada_id, "phone") is None
    assert (await world.services.users.contact(eve_id, "phone") or [""])[0] == NUMBER
    assert [mail.template for mail in await Inbox(world).messages(OLD)].count("phone_changed") == 2
