"""Links and codes that sign in, against those who have them forwarded, guess, repeat or ask who is here (C14, C16).

ASVS 5.0: 6.3.8, 6.5.1, 6.5.5, 6.6.2 (bound to the request), 6.6.3 (codes against brute force).
"""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from doorward.config import Settings
from doorward.config.settings import Signin
from doorward.testing import MovableClock
from tests.attacks.test_compromised import flag
from tests.attacks.test_one_recipient import REFUSED
from tests.attacks.test_sign_up_enumeration import Counting
from tests.http.conftest import PASSWORD, Inbox, Visitor, World, on_database
from tests.support.attack import OPERATOR, audited, dump, shown
from tests.support.members import code as code_at
from tests.support.members import last, member

ADDRESS = "active@example.org"
ADDRESSES = {"nobody's": "nobody@example.org", "known": ADDRESS, "disabled": "closed@example.org",
             "claimed": "claims@example.org"}  # fmt: skip
FIREFOX = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}


@pytest.fixture
async def people(
    database_address: str, settings: Settings, tmp_path: Path, clock: MovableClock
) -> AsyncIterator[World]:
    changed = msgspec.structs.replace(settings, signin=Signin(email_link=True))
    async with on_database(database_address, changed, tmp_path, clock) as world:
        services = world.services
        await member(world, "ada", ADDRESS)
        _, closed = await member(world, "closed", ADDRESSES["disabled"])
        await services.users.set_status(closed, "disabled", None, OPERATOR)
        claim = {"uid": "claimer", "name": "Claimer", "email": ADDRESSES["claimed"]}
        await services.sign_up.create(services.users.validate_sign_up(claim), PASSWORD, OPERATOR)
        world.clock.advance(15 * 60)
        yield world


async def over_json(visitor: Visitor, email: Any) -> httpx.Response:
    return await visitor.http.post("/api/sessions/email", json={"email": email})


async def over_page(visitor: Visitor, email: str) -> httpx.Response:
    return await visitor.submit("/sign-in/email", {"email": email})


async def code_page(visitor: Visitor, email: str) -> httpx.Response:
    await over_json(visitor, email)
    return await visitor.get("/sign-in/email/code")


async def wrong_code(visitor: Visitor, email: str) -> httpx.Response:
    await over_json(visitor, email)
    return await visitor.submit("/sign-in/email/code", {"code": "wrong"})


async def sixth_code(visitor: Visitor, email: str) -> httpx.Response:
    await over_json(visitor, email)
    return [await send_code(visitor, "wrong") for _ in range(6)][-1]


async def resent(visitor: Visitor, email: str) -> httpx.Response:
    await over_json(visitor, email)
    return await visitor.submit("/sign-in/email/resend", {}, "/sign-in/email/code")


async def sixth_mail(visitor: Visitor, email: str) -> httpx.Response:
    return [await over_json(visitor, email) for _ in range(6)][-1]


WAYS = {"JSON": over_json, "page": over_page, "code page": code_page, "wrong code": wrong_code,
        "sixth code": sixth_code, "resent": resent, "sixth mail": sixth_mail}  # fmt: skip
EXPECTED = {"JSON": 202, "page": 303, "code page": 200, "wrong code": 400, "sixth code": 400, "resent": 303,
            "sixth mail": 429}  # fmt: skip


async def send_code(visitor: Visitor, code: str) -> httpx.Response:
    return await visitor.post("/api/verifications", {"code": code, "purpose": "sign_in"})


async def begin(world: World, visitor: Visitor, address: str = ADDRESS) -> tuple[str, str]:
    """Ask for a link; its path and its code."""
    assert (await over_json(visitor, address)).status_code == 202
    mail = await last(world, address, "sign_in_link")
    return str(mail.values["path"]), str(mail.values["code"])


def codes(answer: httpx.Response) -> list[tuple[str, str]]:
    return [(error["field"], error["code"]) for error in answer.json().get("errors", [])]


async def is_signed_in(visitor: Visitor) -> bool:
    return (await visitor.get("/api/sessions/current")).status_code == 200


# As it should be ----------------------------------------------------------------------------------------------------


async def test_the_code_signs_in_the_browser_that_asked(people: World) -> None:
    browser = people.visitor(**FIREFOX)
    assert 'href="/sign-in/email?next=/account"' in (await browser.get("/sign-in")).text
    sent = await browser.submit("/sign-in/email", {"email": ADDRESS, "next": "/members"})
    assert (sent.status_code, sent.headers["location"]) == (303, "/sign-in/email/code")
    mail = await last(people, ADDRESS)
    assert (mail.template, mail.values["device"], mail.values["minutes"]) == ("sign_in_link", "Firefox on Linux", 10)
    assert ADDRESS in (await browser.get("/sign-in/email/code")).text
    spaced = f"{str(mail.values['code'])[:3]} {str(mail.values['code'])[3:]}"
    done = await browser.submit("/sign-in/email/code", {"code": spaced})
    assert (done.status_code, done.headers["location"]) == (303, "/members")
    assert await is_signed_in(browser)
    assert "doorward-pending" not in browser.http.cookies


async def test_so_does_the_link_after_a_button_is_pressed(people: World) -> None:
    browser = people.visitor()
    path, _ = await begin(people, browser)
    page = await browser.get(path)
    assert page.headers["referrer-policy"] == "no-referrer"
    assert not await is_signed_in(browser)
    assert (await browser.submit(path, {})).headers["location"] == "/account"
    assert await is_signed_in(browser)
    over = await people.visitor().get(path)
    assert (over.status_code, "has been used already" in over.text) == (410, True)
    assert f'value="{ADDRESS}"' in over.text


async def test_a_newer_code_takes_the_place_of_the_older(people: World) -> None:
    browser = people.visitor()
    path, old = await begin(people, browser)
    answer = await browser.submit("/sign-in/email/resend", {}, "/sign-in/email/code")
    assert answer.headers["location"] == "/sign-in/email/code?sent=1"
    mail = await last(people, ADDRESS)
    assert mail.values["path"] == path
    if mail.values["code"] != old:
        assert codes(await send_code(browser, old)) == [("code", "wrong")]
    assert (await send_code(browser, str(mail.values["code"]))).json()["signed_in"] is True


@pytest.mark.asvs("6.3.3")
async def test_a_mailbox_is_one_factor_and_never_two(people: World) -> None:
    browser = people.visitor()
    _, code = await begin(people, browser)
    await send_code(browser, code)
    session = (await browser.get("/api/sessions/current")).json()
    assert (session["amr"], session["aal"]) == (["otp"], 1)
    row = (await audited(people, "authn_login_success"))[-1]
    assert json.loads(row.payload or "") == {"amr": ["otp"], "device": "Python"}


async def test_nothing_of_it_is_there_unless_it_is_configured(world: World) -> None:
    visitor = world.visitor()
    assert "/sign-in/email" not in (await visitor.get("/sign-in")).text
    for path in ("/sign-in/email", "/sign-in/email/code", f"/sign-in/link/{'A' * 43}"):
        assert (await visitor.get(path)).status_code == 404
    assert (await over_json(visitor, ADDRESS)).status_code == 405, "a session of that id can only be ended"
    services = world.services
    now = services.clock.now()
    opened = await services.db.write(lambda: services.confirmations.begin("sign_in", ADDRESS, ADDRESS, now=now))
    assert codes(await visitor.post("/api/verifications", {"token": opened.token})) == [("token", "unknown")]


# Other browsers -----------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.6.2")
async def test_the_link_signs_nobody_in_elsewhere_and_approves_nobody(people: World) -> None:
    """The attacker asks with the victim's address and waits; the victim presses whatever there is to press."""
    attacker, victim = people.visitor("203.0.113.66", **FIREFOX), people.visitor("198.51.100.5")
    path, _ = await begin(people, attacker)
    page = await victim.get(path)
    assert page.status_code == 200
    for told in ("Firefox on Linux", "203.0.113.66", "<time", "This was not me"):
        assert told in page.text
    assert f'action="{path}"' not in page.text
    forced = await victim.submit(path, {})
    assert forced.status_code == 400
    token = path.rpartition("/")[2]
    assert codes(await victim.post("/api/verifications", {"token": token})) == [("token", "elsewhere")]
    for visitor in (attacker, victim):
        assert not await is_signed_in(visitor)
    assert (await victim.submit(f"{path}/not-me", {}, path)).headers["location"] == path
    assert (await victim.get(path)).status_code == 410
    assert codes(await attacker.post("/api/verifications", {"token": token})) == [("token", "void")]
    assert [json.loads(row.payload or "")["why"] for row in await audited(people, "authn_token_revoked")] == [
        "not asked for"
    ]


@pytest.mark.asvs("6.6.2")
async def test_calling_it_off_kills_the_code_too(people: World) -> None:
    attacker, victim = people.visitor(), people.visitor()
    path, code = await begin(people, attacker)
    await victim.submit(f"{path}/not-me", {}, path)
    assert codes(await send_code(attacker, code)) == [("code", "wrong")]


@pytest.mark.asvs("6.6.2")
async def test_a_forwarded_link_does_not_sign_its_reader_in_as_the_sender(people: World) -> None:
    """Login CSRF: the attacker asks for their own account and has the victim open the link."""
    await member(people, "eve", "eve@example.org")
    attacker, victim = people.visitor(), people.visitor()
    path, code = await begin(people, attacker, "eve@example.org")
    await victim.submit(path, {})
    assert codes(await send_code(victim, code)) == [("code", "wrong")]
    assert (await victim.submit("/sign-in/email/code", {"code": code}, "/sign-in")).status_code == 400
    assert not await is_signed_in(victim)


@pytest.mark.asvs("6.6.2")
async def test_a_browser_that_asked_for_something_else_has_no_use_for_it(people: World) -> None:
    one, other = people.visitor(), people.visitor()
    path, code = await begin(people, one)
    await begin(people, other)
    mine = await code_at_of(people)
    if mine != code:
        assert codes(await send_code(other, code)) == [("code", "wrong")]
    assert codes(await other.post("/api/verifications", {"token": path.rpartition("/")[2]})) == [("token", "elsewhere")]
    for made_up in ("", "x", "A" * 43, "A" * 5_000):
        headers = {"cookie": f"doorward-pending={made_up}"}
        answer = await people.visitor().post("/api/verifications", {"code": code}, headers=headers)
        assert codes(answer) == [("code", "wrong")]


async def code_at_of(people: World) -> str:
    return await code_at(people, ADDRESS)


# Once, and in time --------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.5.1")
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"])
async def test_nothing_but_a_post_uses_a_link(people: World, method: str) -> None:
    browser = people.visitor()
    path, code = await begin(people, browser)
    before = await dump(people.services.db)
    for visitor in (browser, people.visitor()):
        for tried in (path, f"{path}/not-me", "/sign-in/email/code", "/sign-in/email/resend"):
            await visitor.http.request(method, tried)
    assert await dump(people.services.db) == before
    assert (await send_code(browser, code)).status_code == 200


@pytest.mark.asvs("6.5.1")
@pytest.mark.parametrize("what", ["token", "code"])
async def test_of_twenty_at_once_one_wins(people: World, what: str) -> None:
    browser = people.visitor()
    path, code = await begin(people, browser)
    sent = {"token": path.rpartition("/")[2]} if what == "token" else {"code": code, "purpose": "sign_in"}
    cookie = browser.cookie_header()
    visitors = [people.visitor(f"198.51.100.{number}") for number in range(20)]
    answers = await asyncio.gather(*(one.post("/api/verifications", sent, headers=cookie) for one in visitors))
    assert sorted(answer.status_code for answer in answers).count(200) == 1
    assert len(await audited(people, "authn_login_success")) == 1
    after = await browser.post("/api/verifications", sent)
    assert after.status_code == 400


@pytest.mark.asvs("6.5.1")
async def test_signing_in_voids_the_other_links(people: World) -> None:
    one, other = people.visitor(), people.visitor()
    first, _ = await begin(people, one)
    _, code = await begin(people, other)
    await send_code(other, code)
    assert (await one.submit(first, {}, "/sign-in/email")).status_code == 400
    assert not await is_signed_in(one)


@pytest.mark.asvs("6.5.5")
async def test_a_code_lives_ten_minutes_and_the_link_fifteen(people: World) -> None:
    browser = people.visitor()
    path, code = await begin(people, browser)
    people.clock.advance(600 - 1)
    assert codes(await send_code(browser, code)) == [("code", "wrong")]
    assert "This code has expired" in (await browser.get("/sign-in/email/code")).text
    assert (await browser.get(path)).status_code == 200
    people.clock.advance(300)
    assert (await browser.get(path)).status_code == 410
    assert (await browser.submit(path, {}, "/sign-in/email")).status_code == 400


@pytest.mark.parametrize("what", ["password", "address", "status"])
async def test_it_dies_with_what_it_stood_on(people: World, what: str) -> None:
    browser, ada = people.visitor(), people.visitor()
    await ada.sign_in("ada")
    path, code = await begin(people, browser)
    if what == "password":
        change = {"current_password": PASSWORD, "new_password": "three brass lamps in the fog"}
        await ada.send("PUT", "/api/users/me/password", change)
    elif what == "address":
        await ada.submit("/account/email", {"email": "ada@example.net"})
        sent = {"code": await code_at(people, "ada@example.net")}
        await ada.submit("/account/email/code", sent, "/account/email")
    else:
        user = await people.services.users.find_by_identifier("ada")
        assert user is not None
        await people.services.users.set_status(user.id, "disabled", None, OPERATOR)
    assert (await send_code(browser, code)).status_code == 400
    assert (await browser.submit(path, {}, "/sign-in/email")).status_code == 400
    assert not await is_signed_in(browser)


# A password that others know ----------------------------------------------------------------------------------------


@pytest.mark.asvs("6.2.12")
@pytest.mark.parametrize("way", ["link", "code", "link over JSON", "code over JSON"])
async def test_a_password_that_others_know_is_replaced_before_a_session_begins(people: World, way: str) -> None:
    ada = await flag(people, "ada")
    browser = people.visitor()
    path, code = await begin(people, browser)
    if way.endswith("JSON"):
        sent = {"token": path.rpartition("/")[2]} if way.startswith("link") else {"code": code, "purpose": "sign_in"}
        answer = await browser.post("/api/verifications", sent)
        assert (answer.status_code, answer.json()["code"]) == (403, "password_change_required")
        place = f"/recovery/{answer.json()['token']}"
    else:
        fields = {} if way == "link" else {"code": code}
        answer = await browser.submit(path if way == "link" else "/sign-in/email/code", fields)
        place = answer.headers["location"]
        assert answer.status_code == 303
    assert "doorward-session" not in str(answer.headers.get("set-cookie"))
    assert not await is_signed_in(browser)
    assert ada not in repr((await dump(people.services.db))["session"])
    assert not await audited(people, "authn_login_success"), "nobody is in yet"
    assert (await browser.get(path)).status_code == 410

    page = await browser.get(place)
    assert "has become known to others" in page.text
    assert (await browser.submit(place, {"password": PASSWORD})).status_code == 400
    assert (await browser.submit(place, {"password": "three brass lamps in the fog"})).status_code == 303
    people.clock.advance(1)  # the notice of the change comes before the next code
    _, code = await begin(people, browser)
    assert (await send_code(browser, code)).json()["signed_in"] is True


@pytest.mark.asvs("7.4.3")
async def test_a_report_at_the_same_time_leaves_no_session(people: World) -> None:
    for number in range(5):
        people.clock.advance(15 * 60)
        browser = people.visitor(f"198.51.100.{number}")
        _, code = await begin(people, browser)
        await asyncio.gather(send_code(browser, code), flag(people, "ada"))
        assert not await is_signed_in(browser)
        user = await people.services.users.find_by_identifier("ada")
        assert user is not None
        digest, user_id = await people.services.passwords.hash_new(PASSWORD, ()), user.id
        await people.services.db.write(lambda: people.services.passwords.set_password(user_id, digest))  # noqa: B023  called at once


# Guessing -----------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.6.3")
async def test_five_wrong_tries_in_all_newer_codes_included(people: World) -> None:
    browser = people.visitor()
    path, _ = await begin(people, browser)
    for _ in range(5):
        assert codes(await send_code(browser, "wrong")) == [("code", "wrong")]
    await browser.submit("/sign-in/email/resend", {}, "/sign-in/email/code")
    assert codes(await send_code(browser, await code_at(people, ADDRESS))) == [("code", "exhausted")]
    assert (await browser.submit(path, {})).status_code == 303, "the link needs no guess"


@pytest.mark.asvs("6.6.3")
async def test_asking_again_and_again_gives_no_more_than_thirty_guesses_a_day(people: World) -> None:
    guessed = 0
    for number in range(40):
        people.clock.advance(180)
        browser = people.visitor(f"198.51.100.{number}")
        if (await over_json(browser, ADDRESS)).status_code != 202:
            continue
        for _ in range(5):
            guessed += (await send_code(browser, "wrong")).status_code == 400
    assert guessed <= 30 + 5


# Who is here --------------------------------------------------------------------------------------------------------


def alike(answer: httpx.Response, email: str, visitor: Visitor) -> Any:
    status, headers, body = shown(answer, email, *visitor.http.cookies.values())
    named = [(name, value.split("=")[0] + "=*" + value.partition(";")[2] if name == "set-cookie" else value)
             for name, value in headers]  # fmt: skip
    for mark in ('name="csrf_token" value="',):
        parts = body.split(mark)
        body = mark.join([parts[0], *(part.partition('"')[2] for part in parts[1:])])
    return status, named, body


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize("way", WAYS)
async def test_whoever_owns_an_address_the_answer_is_the_same(people: World, way: str) -> None:
    answers = {}
    for number, (kind, address) in enumerate(ADDRESSES.items()):
        visitor = people.visitor(f"198.51.100.{number}")
        answers[kind] = alike(await WAYS[way](visitor, address), address, visitor)
    assert answers["nobody's"][0] == EXPECTED[way]
    assert all(answer == answers["nobody's"] for answer in answers.values()), answers


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize("way", ["JSON", "page", "resent", "wrong code"])
async def test_whoever_owns_an_address_the_work_is_the_same(people: World, way: str) -> None:
    services = people.services
    db = Counting(services.db)
    for part in (services.sign_in_by_email, services.users, services.sessions, services.confirmations,
                 services.durable, services.refusals):  # fmt: skip
        object.__setattr__(part, "_db" if hasattr(part, "_db") else "db", db)
    await WAYS[way](people.visitor(), "warmup@example.org")
    work: dict[str, dict[str, Any]] = {}
    for kind, address in ADDRESSES.items():
        people.clock.advance(15 * 60)
        before = {table: len(rows) for table, rows in (await dump(services.db)).items()}
        db.counts.clear()
        await WAYS[way](people.visitor("198.51.100.7"), address)
        after = {table: len(rows) for table, rows in (await dump(services.db)).items()}
        work[kind] = {**db.counts, "rows": {name: after[name] - before[name] for name in after if name != "bucket"}}
    assert work["nobody's"]["rows"]["message"] >= 1
    assert all(done == work["nobody's"] for done in work.values()), work


@pytest.mark.asvs("2.2.1")
@pytest.mark.parametrize("typed", REFUSED)
async def test_what_is_not_one_address_is_refused(people: World, typed: str) -> None:
    before = len(await Inbox(people).rows())
    answer = await over_json(people.visitor(), REFUSED[typed])
    assert (answer.status_code, [field for field, _ in codes(answer)]) == (400, ["email"])
    assert len(await Inbox(people).rows()) == before


# Canaries -----------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("16.2.5")
async def test_no_secret_is_in_the_logs_or_the_database(people: World, log_lines: io.StringIO) -> None:
    browser = people.visitor()
    path, code = await begin(people, browser)
    pending = browser.http.cookies["doorward-pending"]
    await browser.get(path)
    await people.visitor().get(path)
    await send_code(browser, "123 123")
    await send_code(browser, code)
    text = log_lines.getvalue() + repr(await dump(people.services.db))
    assert '"otp"' in text
    for secret in (path.rpartition("/")[2], pending):
        assert secret not in text
    assert f'"{code}"' not in text
