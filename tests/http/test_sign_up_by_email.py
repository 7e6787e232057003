"""Signing up with an e-mail address: the journey over JSON and from the pages."""

import asyncio

import pytest

from tests.http.conftest import ORIGIN, PASSWORD, Inbox, Visitor, World
from tests.support.attack import OPERATOR

ADDRESS = "ada@example.org"
NEW_PASSWORD = "three brass lamps in the fog"


@pytest.fixture
def browser(mail_world: World) -> Visitor:
    return mail_world.visitor()


async def begin(visitor: Visitor, email: str = ADDRESS, **fields: str) -> None:
    answer = await visitor.post("/api/users", {"email": email, "password": PASSWORD, **fields})
    assert answer.status_code == 202, answer.text


async def me(visitor: Visitor) -> dict[str, object]:
    current = (await visitor.get("/api/sessions/current")).json()
    user: dict[str, object] = (await visitor.get(f"/api/users/{current['user']['id']}")).json()
    return user


async def test_nobody_is_a_user_before_the_address_has_answered(browser: Visitor, inbox: Inbox) -> None:
    await begin(browser, uid="ada", name="Ada Lovelace")
    assert (await browser.get("/api/sessions/current")).status_code == 401
    assert await inbox.world.services.users.find_by_identifier("ada") is None
    assert (await browser.sign_in(ADDRESS)).status_code == 401

    mail = await inbox.last()
    assert (mail.template, mail.recipient) == ("confirm_sign_up", ADDRESS)
    assert (mail.values["hours"], mail.values["minutes"]) == (24, 10)


async def test_the_code_signs_in_where_it_was_asked_for(browser: Visitor, inbox: Inbox) -> None:
    await begin(browser, uid="ada", name="Ada Lovelace")
    code = (await inbox.last()).values["code"]
    answer = await browser.post("/api/verifications", {"code": f"{code[:3]} {code[3:]}"})

    assert (answer.status_code, answer.json()["signed_in"]) == (200, True)
    user = await me(browser)
    assert (user["uid"], user["name"], user["email"], user["email_verified"]) == ("ada", "Ada Lovelace", ADDRESS, True)
    assert (await inbox.world.visitor().sign_in(ADDRESS)).status_code == 201
    assert (await inbox.world.visitor().sign_in("ada")).status_code == 201


async def test_the_link_signs_in_where_it_was_asked_for(browser: Visitor, inbox: Inbox) -> None:
    await begin(browser)
    token = (await inbox.last()).values["path"].removeprefix("/verify/")
    answer = await browser.post("/api/verifications", {"token": token})

    assert answer.json()["signed_in"] is True
    user = await me(browser)
    assert str(user["uid"]).startswith("member-")
    assert user["name"] == user["uid"]


async def test_the_link_shows_what_whoever_began_has_typed(browser: Visitor, inbox: Inbox) -> None:
    await begin(browser, uid="ada.l", name="<Ada & all>")
    path = (await inbox.last()).values["path"]
    for visitor in (browser, inbox.world.visitor()):
        page = (await visitor.get(path)).text
        assert "<dt>Name</dt><dd><bdi>&lt;Ada &amp; all&gt;</bdi></dd>" in page
        assert "<dt>Username</dt><dd><bdi>ada.l</bdi></dd>" in page
        assert page.index("ada.l") < page.index('<button class="full"')
    await begin(inbox.world.visitor(), "bob@example.org")
    page = (await browser.get((await inbox.last("bob@example.org")).values["path"])).text
    assert "<dt>" not in page


async def test_another_device_chooses_a_new_password_and_is_not_signed_in(browser: Visitor, inbox: Inbox) -> None:
    await begin(browser, uid="ada")
    token = (await inbox.last()).values["path"].removeprefix("/verify/")
    telephone = inbox.world.visitor()
    refused = await telephone.post("/api/verifications", {"token": token})
    assert [(error["field"], error["code"]) for error in refused.json()["errors"]] == [("password", "required")]
    weak = await telephone.post("/api/verifications", {"token": token, "password": "ada@example.org"})
    assert [error["field"] for error in weak.json()["errors"]] == ["password"]

    answer = await telephone.post("/api/verifications", {"token": token, "password": NEW_PASSWORD})
    assert (answer.status_code, answer.json()["signed_in"]) == (200, False)
    assert "set-cookie" not in answer.headers
    assert (await browser.sign_in(ADDRESS, PASSWORD)).status_code == 401
    assert (await browser.sign_in(ADDRESS, NEW_PASSWORD)).status_code == 201


async def test_every_bad_field_is_named_at_once(browser: Visitor, inbox: Inbox) -> None:
    answer = await browser.post("/api/users", {"uid": "a", "email": "ada", "role": "admin", "password": "short"})
    assert answer.status_code == 400
    assert {error["field"] for error in answer.json()["errors"]} == {"uid", "email", "role", "password"}
    empty = await browser.post("/api/users", {})
    assert {error["field"] for error in empty.json()["errors"]} == {"email", "password"}
    assert await inbox.rows() == []


@pytest.mark.parametrize("password", ["ada@example.org", "Lady Lovelace 1815", "lady.lovelace.15"])
async def test_a_password_of_ones_own_name_or_address_is_refused(browser: Visitor, password: str) -> None:
    body = {"email": ADDRESS, "uid": "lady.lovelace.", "name": "Lady Lovelace", "password": password}
    answer = await browser.post("/api/users", body)
    assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [("password", "too_personal")]


async def test_a_taken_handle_says_so(browser: Visitor, inbox: Inbox) -> None:
    await begin(browser, uid="ada")
    await browser.post("/api/verifications", {"code": (await inbox.last()).values["code"]})
    answer = await inbox.world.visitor().post(
        "/api/users", {"email": "b@example.org", "uid": "ADA", "password": PASSWORD}
    )
    assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [("uid", "taken")]


async def test_a_handle_is_kept_for_a_day_for_whoever_asked_first(browser: Visitor, inbox: Inbox) -> None:
    await begin(browser, uid="ada")
    other = inbox.world.visitor()
    body = {"email": "b@example.org", "uid": "Ada", "password": PASSWORD}
    assert (await other.post("/api/users", body)).status_code == 400
    inbox.world.clock.advance(24 * 3600)
    assert (await other.post("/api/users", body)).status_code == 202


async def test_the_same_browser_may_try_again_with_its_own_handle(browser: Visitor, inbox: Inbox) -> None:
    await begin(browser, "typo@example.org", uid="ada")
    await begin(browser, uid="ada")
    await browser.post("/api/verifications", {"code": (await inbox.last(ADDRESS)).values["code"]})
    assert (await me(browser))["uid"] == "ada"


async def test_of_ten_at_once_for_one_handle_one_keeps_it(mail_world: World) -> None:
    async def ask(number: int) -> int:
        body = {"email": f"a{number}@example.org", "uid": "ada", "password": PASSWORD}
        return (await mail_world.visitor().post("/api/users", body)).status_code

    statuses = await asyncio.gather(*(ask(number) for number in range(10)))
    assert sorted(statuses) == [202] + [400] * 9


async def test_a_handle_that_went_to_another_meanwhile_is_no_dead_end(browser: Visitor, inbox: Inbox) -> None:
    await begin(browser, uid="ada", name="Ada")
    services = inbox.world.services
    new = services.users.validate_sign_up({"uid": "Ada", "name": "Imported"})
    await services.sign_up.create(new, PASSWORD, OPERATOR)
    await browser.post("/api/verifications", {"code": (await inbox.last()).values["code"]})
    user = await me(browser)
    assert str(user["uid"]).startswith("member-")
    assert user["name"] == "Ada"


async def test_a_newer_sign_up_for_an_address_makes_no_second_account_once_the_first_was_confirmed(
    browser: Visitor, inbox: Inbox
) -> None:
    await begin(browser)
    first = await inbox.last()
    other = inbox.world.visitor()
    await begin(other)
    second = await inbox.last()
    assert (await browser.post("/api/verifications", {"code": first.values["code"]})).status_code == 200
    token = second.values["path"].removeprefix("/verify/")
    refused = await other.post("/api/verifications", {"token": token})
    assert [(error["field"], error["code"]) for error in refused.json()["errors"]] == [("email", "known")]


async def test_declared_fields_and_the_language_are_kept(mail_world: World, inbox: Inbox) -> None:
    browser = mail_world.visitor(**{"accept-language": "ar"})
    await begin(browser, motto="Onwards", dob="1990-12-10")
    mail = await inbox.last()
    assert mail.locale == "ar"
    await browser.post("/api/verifications", {"code": mail.values["code"]})
    user = await me(browser)
    assert (user["motto"], user["dob"], user["coins"]) == ("Onwards", "1990-12-10", 0)
    found = await mail_world.services.users.find(str(user["id"]))
    assert found is not None
    assert found.locale == "ar"


# Pages --------------------------------------------------------------------------------------------------------------


async def test_the_page_leads_to_the_code_and_then_to_where_one_came_from(browser: Visitor, inbox: Inbox) -> None:
    page = await browser.get("/sign-up?next=/members")
    order = [page.text.index(f'name="{name}"') for name in ("email", "password", "name", "uid")]
    assert order == sorted(order)
    sent = await browser.submit("/sign-up", {"email": ADDRESS, "password": PASSWORD, "next": "/members"})
    assert (sent.status_code, sent.headers["location"]) == (303, "/verify")

    waiting = await browser.get("/verify")
    assert ADDRESS in waiting.text
    assert 'autocomplete="one-time-code"' in waiting.text
    assert 'inputmode="numeric"' in waiting.text
    code = (await inbox.last()).values["code"]
    done = await browser.submit("/verify", {"code": f" {code[:3]}-{code[3:]} "})
    assert (done.status_code, done.headers["location"]) == (303, "/members")
    assert (await browser.get("/members")).status_code == 200


async def test_a_wrong_form_comes_back_with_what_was_typed_but_the_password(browser: Visitor) -> None:
    answer = await browser.submit("/sign-up", {"email": "ada", "name": "Ada", "uid": "ada", "password": PASSWORD})
    assert answer.status_code == 400
    assert "There is a problem" in answer.text
    assert 'value="ada"' in answer.text
    assert PASSWORD not in answer.text
    assert (await browser.get("/verify")).text.count("Nothing waits") > 0


async def test_the_link_page_on_another_device_asks_for_a_password_and_says_why(browser: Visitor, inbox: Inbox) -> None:
    await begin(browser)
    path = (await inbox.last()).values["path"]
    own = await browser.get(path)
    assert "new-password" not in own.text
    telephone = inbox.world.visitor()
    page = await telephone.get(path)
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert 'autocomplete="new-password"' in page.text
    assert "another browser" in page.text

    missing = await telephone.submit(path, {"password": ""})
    assert missing.status_code == 400
    done = await telephone.submit(path, {"password": NEW_PASSWORD})
    assert (done.status_code, done.headers["location"]) == (303, "/sign-in?verified=1")
    assert done.headers["referrer-policy"] == "no-referrer"
    shown = await telephone.get("/sign-in?verified=1", headers={"sec-fetch-site": "same-origin"})
    assert "Your address is confirmed" in shown.text
    again = await telephone.get(path)
    assert (again.status_code, "confirmed already" in again.text) == (200, True)
    assert "/sign-in" in again.text


async def test_a_double_click_is_harmless(browser: Visitor, inbox: Inbox) -> None:
    await begin(browser)
    path = (await inbox.last()).values["path"]
    token = (await browser.get(path)).text.split('name="csrf_token" value="')[1].split('"')[0]
    headers = {"origin": ORIGIN, "sec-fetch-site": "same-origin"}
    answers = await asyncio.gather(
        *(browser.http.post(path, data={"csrf_token": token}, headers=headers) for _ in range(2))
    )
    assert sorted(answer.status_code for answer in answers) == [303, 400]
    loser = max(answers, key=lambda answer: answer.status_code)
    assert "confirmed already" in loser.text


async def test_dead_links_say_why(browser: Visitor, inbox: Inbox) -> None:
    await begin(browser)
    path = (await inbox.last()).values["path"]
    unknown = await browser.get("/verify/" + "A" * 43)
    assert (unknown.status_code, "does not work" in unknown.text) == (404, True)
    inbox.world.clock.advance(24 * 3600)
    expired = await browser.get(path)
    assert (expired.status_code, "has expired" in expired.text) == (410, True)
    assert "/sign-up" in expired.text


async def test_another_mail_can_be_asked_for(browser: Visitor, inbox: Inbox) -> None:
    await begin(browser)
    first = await inbox.last()
    page = await browser.get("/verify")
    assert "0:30" in page.text
    inbox.world.clock.advance(3600)
    assert "has expired" in (await browser.get("/verify")).text
    sent = await browser.submit("/verify/resend", {}, page="/verify")
    assert (sent.status_code, sent.headers["location"]) == (303, "/verify?sent=1")
    second = await inbox.last()
    assert second.values["path"] == first.values["path"]
    assert second.values["code"] != first.values["code"]
    assert (await browser.submit("/verify", {"code": second.values["code"]})).status_code == 303


async def test_a_token_may_come_as_a_parameter(browser: Visitor) -> None:
    answer = await browser.get("/verify?token=" + "A" * 43)
    assert (answer.status_code, answer.headers["location"]) == (303, "/verify/" + "A" * 43)
    for other in ("a%2Fb", "%2F%2Fevil.example", "x", "A" * 44):
        assert (await browser.get(f"/verify?token={other}")).status_code == 200


async def test_the_first_administrator_still_chooses_a_handle(browser: Visitor, inbox: Inbox) -> None:
    link = await inbox.world.services.setup.new_link()
    done = await browser.submit(link, {"uid": "root.of.all", "name": "Root", "password": PASSWORD})
    assert (done.status_code, done.headers["location"]) == (303, "/account?welcome=1")
