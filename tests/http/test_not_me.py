"""What owners are told of, and the pages behind "This was not me", on both databases."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from doorward.kernel.instant import Instant
from doorward.sql import Work
from doorward.users import User
from tests.http.conftest import PASSWORD, Inbox, World
from tests.support.members import follow, headings, last, link, member
from tests.support.notices import DEVICE, notice, user_of

ADDRESS = "ada@example.org"
NUMBER = "+4915123456789"

Telling = Callable[[World, User, Instant], Work[None]]
TOLD: dict[str, tuple[Telling, dict[str, str | int]]] = {
    "new_device": (
        lambda world, user, now: world.services.notices.new_device(user, DEVICE, "192.0.2.7", now, "Berlin, Germany"),
        {"device": DEVICE, "address": "192.0.2.7", "place": "Berlin, Germany"},
    ),
    "factor_added": (
        lambda world, user, now: world.services.notices.factor_added(user, "Passkey", "My key", DEVICE, now),
        {"kind": "Passkey", "label": "My key", "device": DEVICE},
    ),
    "factor_removed": (
        lambda world, user, now: world.services.notices.factor_removed(user, "Passkey", "Passkey", DEVICE, now),
        {"kind": "Passkey", "label": "", "device": DEVICE},
    ),
    "factor_failed": (
        lambda world, user, now: world.services.notices.factor_failed(user, "Authenticator app", DEVICE, now),
        {"kind": "Authenticator app", "device": DEVICE},
    ),
    "factors_reset": (lambda world, user, now: world.services.notices.factors_reset(user, now), {}),
    "recovery_codes_made": (
        lambda world, user, now: world.services.notices.recovery_codes_made(user, DEVICE, now),
        {"device": DEVICE},
    ),
    "recovery_code_used": (
        lambda world, user, now: world.services.notices.recovery_code_used(user, 0, DEVICE, now),
        {"left": 0, "device": DEVICE},
    ),
    "app_ended": (
        lambda world, user, now: world.services.notices.app_ended(user, "Notes", DEVICE, now),
        {"app": "Notes", "device": DEVICE},
    ),
    "api_key_created": (
        lambda world, user, now: world.services.notices.api_key_created(user, "Report", DEVICE, now),
        {"label": "Report", "device": DEVICE},
    ),
    "api_key_rotated": (
        lambda world, user, now: world.services.notices.api_key_rotated(user, "Report", DEVICE, now),
        {"label": "Report", "device": DEVICE},
    ),
    "password_changed": (
        lambda world, user, now: world.services.notices.changed(user, DEVICE, now),
        {"device": DEVICE},
    ),
    "phone_changed": (
        lambda world, user, now: world.services.notices.phone_changed(user, NUMBER, DEVICE, now),
        {"number": "+49 … 89", "device": DEVICE},
    ),
}


@pytest.mark.asvs("6.3.5")
@pytest.mark.asvs("6.3.7")
@pytest.mark.parametrize("template", TOLD)
async def test_an_owner_is_told_in_their_language_with_a_link_of_its_own(world: World, template: str) -> None:
    _, user_id = await member(world, "ada", ADDRESS)
    await world.services.users.set_locale(user_id, "de")
    user, (tell, values) = await user_of(world, user_id), TOLD[template]
    paths = []
    for _ in range(2):
        now = world.clock.now()
        await world.services.db.write(partial(tell, world, user, now))
        mail = await last(world, ADDRESS)
        paths.append(str(mail.values["path"]))
        assert (mail.template, mail.locale) == (template, "de")
        assert dict(mail.values) == {**values, "name": "Name of ada", "happened_at": now, "path": paths[-1]}
        world.clock.advance(3_600)
    assert len(set(paths)) == 2
    assert {path.rpartition("/")[0] for path in paths} == {"/not-me"}
    page = await world.visitor(**{"accept-language": "en"}).get(paths[-1])
    assert (page.status_code, headings(page)[0]) == (200, "Was this you?")
    assert "Something happened in your account" not in page.text, "the page has a sentence for each"
    for shown in (values.get("device"), values.get("kind")):
        assert shown is None or str(shown) in page.text


async def test_where_no_mail_can_be_sent_nothing_is_begun(world: World) -> None:
    _, user_id = await member(world, "ada", ADDRESS)
    user, now = await user_of(world, user_id), world.clock.now()
    before = len(await Inbox(world).rows())
    quiet = replace(world.services.notices, outbox=replace(world.services.outbox, can_mail=False))
    await world.services.db.write(lambda: quiet.new_device(user, DEVICE, "192.0.2.7", now))
    assert len(await Inbox(world).rows()) == before
    assert await world.services.confirmations.of_user(user_id, "not_me") == []


async def test_each_kind_and_each_owner_has_places_of_their_own(world: World) -> None:
    people = [await member(world, uid, f"{uid}@example.org") for uid in ("ada", "bob")]
    for _, user_id in people:
        user, now, notices = await user_of(world, user_id), world.clock.now(), world.services.notices
        for _ in range(3):
            await world.services.db.write(partial(notices.factor_failed, user, "Passkey", DEVICE, now))
            await world.services.db.write(partial(notices.new_device, user, DEVICE, "", now))
    for address in ("ada@example.org", "bob@example.org"):
        sent = [mail.template for mail in await Inbox(world).messages(address)]
        assert (sent.count("factor_failed"), sent.count("new_device")) == (1, 3)


async def test_the_pages_of_links_that_are_over_say_why_and_what_to_do(world: World) -> None:
    ada, user_id = await member(world, "ada", ADDRESS)
    first, second, third = [await notice(world, user_id) for _ in range(3)]
    assert (await follow(world.visitor(), second)).status_code == 303
    found = {}
    for state, path in (("used", second), ("void", third), ("unknown", f"/not-me/{'A' * 43}")):
        page = await world.visitor().get(path)
        found[state] = (page.status_code, headings(page)[0], 'href="/recovery"' in page.text)
    world.clock.advance(7 * 86_400)
    page = await world.visitor().get(first)
    found["expired"] = (page.status_code, headings(page)[0], 'href="/recovery"' in page.text)
    assert found == {
        "used": (200, "This has been done already", True),
        "void": (410, "There is nothing left to take back", True),
        "unknown": (404, "This link does not work", True),
        "expired": (410, "This link has expired", True),
    }
    assert (await ada.get("/api/users/me")).status_code == 401


async def test_a_changed_password_and_number_are_told_with_the_way_back(world: World) -> None:
    ada, user_id = await member(world, "ada", ADDRESS, **{"user-agent": "Mozilla/5.0 (X11; Linux) Firefox/140.0"})
    await ada.post(f"/api/users/{user_id}/phone", {"phone": NUMBER})
    body = {"code": str((await last(world, NUMBER)).values["code"]), "purpose": "phone"}
    assert (await ada.post("/api/verifications", body)).status_code == 200
    numbers = await last(world, ADDRESS)
    assert (numbers.template, numbers.values["device"]) == ("phone_changed", DEVICE)
    change = {"current_password": PASSWORD, "new_password": "three brass lamps in the fog"}
    assert (await ada.send("PUT", "/api/users/me/password", change)).status_code == 204
    passwords = await last(world, ADDRESS)
    assert (passwords.template, passwords.values["device"]) == ("password_changed", DEVICE)
    for mail in (numbers, passwords):
        assert (await world.visitor().get(str(mail.values["path"]))).status_code == 200


async def test_whoever_loses_a_number_is_not_told_whose_device_took_it(world: World) -> None:
    for uid in ("ada", "eve"):
        visitor, user_id = await member(world, uid, f"{uid}@example.org", **{"user-agent": "Mozilla/5.0 Firefox/140.0"})
        await visitor.post(f"/api/users/{user_id}/phone", {"phone": NUMBER})
        body = {"code": str((await last(world, NUMBER)).values["code"]), "purpose": "phone"}
        assert (await visitor.post("/api/verifications", body)).status_code == 200
        world.clock.advance(1)
    told = [mail.values["device"] for mail in await Inbox(world).messages(ADDRESS) if mail.template == "phone_changed"]
    assert told == ["Firefox", ""]


async def test_the_sentences_after_a_click_lead_on(world: World) -> None:
    _, user_id = await member(world, "ada", ADDRESS)
    path = await notice(world, user_id)
    world.clock.advance(3_600)
    browser = world.visitor()
    assert (await follow(browser, path)).headers["location"] == "/not-me/sent"
    page = await browser.get("/not-me/sent")
    assert (page.status_code, headings(page)[0]) == (200, "Everybody is shut out")
    assert 'href="/dev/mail"' in page.text
    assert "/recovery/" in await link(world, ADDRESS)
