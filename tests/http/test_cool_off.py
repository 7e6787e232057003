"""The wait of somebody who lost every second step (C22): two channels, 72 hours, called off anywhere."""

from dataclasses import dataclass

import msgspec
import pytest

from doorward.config import Settings
from doorward.config.settings import Factors
from tests.http.conftest import PASSWORD, Inbox, Visitor, World
from tests.support.factors import app_code, half_signed_in, set_up_app, signed_in, step
from tests.support.members import code, last, member

ADDRESS, NUMBER = "ada@example.org", "+4915123456789"
PAGE = "/sign-in/cool-off"
HOURS = 72 * 3600


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, factors=Factors(cool_off=True))


@dataclass
class Ada:
    """Somebody with an app, a proven address and a proven number."""

    visitor: Visitor
    user_id: str
    key: str


async def ada_with_everything(world: World) -> Ada:
    visitor, user_id = await member(world, "ada", ADDRESS)
    await visitor.post(f"/api/users/{user_id}/phone", {"phone": NUMBER})
    answer = await visitor.post("/api/verifications", {"code": await code(world, NUMBER), "purpose": "phone"})
    assert answer.status_code == 200, answer.text
    return Ada(visitor, user_id, await set_up_app(world, visitor))


async def begin_to_wait(world: World) -> Visitor:
    """Show the password, and that both channels are still there."""
    browser, _ = await half_signed_in(world, "ada")
    assert (await browser.submit(PAGE, {})).status_code == 303
    by_mail = (await Inbox(world).last(ADDRESS)).values["code"]
    by_text = (await Inbox(world).last(NUMBER)).values["code"]
    world.clock.advance(1)
    for channel, sent in (("email", by_mail), ("phone", by_text)):
        answer = await browser.submit(f"{PAGE}/code", {"channel": channel, "code": sent}, page=PAGE)
        assert answer.status_code == 303, answer.text
    return browser


async def go_on(world: World) -> tuple[Visitor, int]:
    """Come back with the password and try to go on."""
    browser, _ = await half_signed_in(world, "ada")
    shown = await browser.get(PAGE)
    if "/go-on" not in shown.text:
        return browser, 0
    return browser, (await browser.submit(f"{PAGE}/go-on", {}, page=PAGE)).status_code


async def test_after_the_wait_another_factor_takes_the_place_of_what_was_lost(world: World) -> None:
    ada = await ada_with_everything(world)
    await begin_to_wait(world)
    told = await Inbox(world).messages()
    assert {(one.template, one.recipient) for one in told[-2:]} == {
        ("cool_off_begun", ADDRESS),
        ("cool_off_text", NUMBER),
    }
    world.clock.advance(HOURS - 2)
    assert (await go_on(world))[1] == 0, "not yet"
    world.clock.advance(2)
    browser, status = await go_on(world)
    assert status == 303
    offer = (await browser.http.post("/api/sessions/enrolment", json={"kind": "totp"})).json()
    confirm = {"kind": "totp", "code": app_code(world, offer["secret"])}
    done = await browser.http.post("/api/sessions/enrolment/confirm", json=confirm)
    assert done.status_code == 201, done.text
    assert await signed_in(browser)
    world.clock.advance(30)
    again, _ = await half_signed_in(world, "ada")
    assert (await step(again, "totp", app_code(world, ada.key))).status_code == 400, "the lost one is gone"


@pytest.mark.parametrize("how", ["link", "session", "factor", "password"])
async def test_it_is_called_off_anywhere(world: World, how: str) -> None:
    ada = await ada_with_everything(world)
    owner, _ = await half_signed_in(world, "ada")
    assert (await step(owner, "totp", app_code(world, ada.key))).status_code == 201
    world.clock.advance(30)
    await begin_to_wait(world)
    if how == "link":
        link = str((await Inbox(world).last(ADDRESS)).values["path"])
        assert (await world.visitor().get(link)).status_code == 200
        assert (await world.visitor().submit(link, {})).status_code == 303
    elif how == "session":
        assert (await owner.submit("/account/security/keep", {}, page="/account/security")).status_code == 303
    elif how == "factor":
        browser, _ = await half_signed_in(world, "ada")
        assert (await step(browser, "totp", app_code(world, ada.key))).status_code == 201
    else:
        change = {"current_password": PASSWORD, "new_password": "another quite different phrase"}
        assert (await owner.send("PUT", "/api/users/me/password", change)).status_code == 204
        change = {"current_password": change["new_password"], "new_password": PASSWORD}
        assert (await owner.send("PUT", "/api/users/me/password", change)).status_code == 204
    world.clock.advance(HOURS)
    assert (await go_on(world))[1] == 0


async def test_one_channel_is_not_enough(world: World) -> None:
    await ada_with_everything(world)
    browser, _ = await half_signed_in(world, "ada")
    await browser.submit(PAGE, {})
    sent = (await last(world, ADDRESS)).values["code"]
    await browser.submit(f"{PAGE}/code", {"channel": "email", "code": str(sent)}, page=PAGE)
    world.clock.advance(HOURS)
    assert (await go_on(world))[1] == 0


async def test_a_code_of_one_channel_is_none_for_the_other(world: World) -> None:
    await ada_with_everything(world)
    browser, _ = await half_signed_in(world, "ada")
    await browser.submit(PAGE, {})
    sent = (await last(world, ADDRESS)).values["code"]
    refused = await browser.submit(f"{PAGE}/code", {"channel": "phone", "code": str(sent)}, page=PAGE)
    assert refused.status_code == 400


async def test_who_has_no_number_is_told_so_and_nothing_is_sent(world: World) -> None:
    visitor, _ = await member(world, "ada", ADDRESS)
    await set_up_app(world, visitor)
    browser, _ = await half_signed_in(world, "ada")
    before = len(await Inbox(world).messages())
    assert "This way in is not open to you" in (await browser.get(PAGE)).text
    assert len(await Inbox(world).messages()) == before


async def test_a_wait_that_nobody_came_back_for_is_over_after_a_week(world: World) -> None:
    await ada_with_everything(world)
    await begin_to_wait(world)
    world.clock.advance(HOURS + 7 * 86_400)
    assert (await go_on(world))[1] == 0


async def test_the_owner_sees_it_in_their_account_and_can_keep_the_step(world: World) -> None:
    ada = await ada_with_everything(world)
    owner, _ = await half_signed_in(world, "ada")
    await step(owner, "totp", app_code(world, ada.key))
    await begin_to_wait(world)
    shown = await owner.get("/account")
    assert "/account/security/keep" in shown.text
