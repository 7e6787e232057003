"""Guessing at the second step with the right password: how many tries, and who is kept waiting (C11, C12, C14, C15).

The thief knows the password and has a network of their own for every try, as a botnet does. What they use up is theirs:
the owner's known device has a lane, tickets and messages of its own.
"""

import asyncio

import httpx
import msgspec
import pytest

from doorward.config import Settings
from doorward.config.settings import Factors, Signin
from doorward.kernel.limits import load_limits
from tests.http.conftest import ORIGIN, PASSWORD, Visitor, World
from tests.support.attack import dump
from tests.support.factors import OWN, STEP, app_code, half_signed_in, signed_in, step
from tests.support.members import code as latest_code
from tests.support.second_step import (
    AGAIN,
    ENROL,
    STALE,
    WRONG,
    Member,
    full_member,
    half_in,
    lend,
    mailed,
    plain_member,
    use_passkey,
)

ACCOUNT = load_limits().account
FREE, STOP = ACCOUNT.free_failures, ACCOUNT.stop_of_name
NUMBER = "+4915123456789"
CHALLENGE = f"{STEP}/challenge"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    factors = Factors(required="optional", sms=True, email=True)
    return msgspec.structs.replace(settings, factors=factors, signin=Signin(email_link=True))


async def thief_at(world: World, member: Member, number: int = 0) -> Visitor:
    """Somebody in a network of their own who has just shown the right password."""
    visitor = world.visitor(f"198.51.{number // 250}.{number % 250 + 1}")
    world.clock.advance(0.001)  # for ids alone put tickets and messages in order
    await half_in(world, member, visitor)
    return visitor


async def guess(world: World, member: Member, number: int = 0, kind: str = "totp") -> httpx.Response:
    return await step(await thief_at(world, member, number), kind, WRONG)


async def owner_at_home(world: World, member: Member) -> Visitor:
    """The owner on a device that is known, half signed in."""
    browser = world.visitor()
    lend(member.browser, browser, "doorward-device")
    world.clock.advance(0.001)
    await half_in(world, member, browser)
    return browser


async def with_number(world: World, member: Member) -> Member:
    """The same, who has codes sent to a number, too."""
    assert (await member.browser.post(f"/api/users/{member.id}/phone", {"phone": NUMBER})).status_code == 202
    proof = {"code": await latest_code(world, NUMBER), "purpose": "phone"}
    assert (await member.browser.post("/api/verifications", proof)).status_code == 200
    assert (await member.browser.post(f"{OWN}/confirm", {"kind": "sms_code"})).status_code == 201
    return member


# How many -------------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.3.1")
@pytest.mark.asvs("6.6.3")
async def test_the_sixth_wrong_code_waits_and_each_further_one_twice_as_long(world: World) -> None:
    ada = await full_member(world, "ada")
    answers = [await guess(world, ada, number) for number in range(FREE + 1)]
    assert [answer.status_code for answer in answers] == [400] * FREE + [429]
    told = [int(answers[-1].headers["retry-after"])]
    number = FREE
    for _ in range(13):
        world.clock.advance(told[-1])
        number += 2
        assert (await guess(world, ada, number)).status_code == 400
        refused = await guess(world, ada, number + 1)
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        told.append(int(refused.headers["retry-after"]))
    assert told == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600]


@pytest.mark.asvs("6.3.1")
@pytest.mark.asvs("15.4.2")
async def test_fifty_wrong_codes_at_once_get_no_more_answers_than_fifty_in_a_row(world: World) -> None:
    ada = await full_member(world, "ada")
    thief = await thief_at(world, ada)
    held = {"cookie": f"doorward-ticket={thief.http.cookies['doorward-ticket']}"}
    visitors = [world.visitor(f"198.51.100.{number + 1}") for number in range(50)]
    body = {"kind": "totp", "code": WRONG}
    answers = await asyncio.gather(*(one.http.post(STEP, json=body, headers=held) for one in visitors))
    assert sorted(answer.status_code for answer in answers) == [400] * FREE + [429] * 45


@pytest.mark.asvs("6.3.1")
async def test_there_is_a_hard_stop_that_neither_the_password_nor_a_new_ticket_lifts(world: World) -> None:
    ada = await full_member(world, "ada")
    answered = 0
    for number in range(STOP + 5):
        answered += (await guess(world, ada, number)).status_code == 400
        world.clock.advance(3600)
    assert answered == STOP + 5, "one an hour"
    counted = 0
    for number in range(20):
        counted += (await guess(world, ada, number)).status_code == 400
        world.clock.advance(300)
    assert counted == 2, "and no more, however many tickets there are"


async def test_each_kind_is_counted_by_itself(world: World) -> None:
    """As NIST SP 800-63B §3.2.2 has it: a thief who guesses at the app leaves the codes on paper as they are."""
    ada = await full_member(world, "ada")
    for number in range(FREE):
        await guess(world, ada, number)
    assert (await guess(world, ada)).status_code == 429
    owner = await thief_at(world, ada, 99)
    assert (await step(owner, "recovery_code", ada.codes[0])).status_code == 200


async def test_a_success_elsewhere_gives_a_thief_no_more_tries(world: World) -> None:
    ada = await full_member(world, "ada")
    for number in range(FREE):
        await guess(world, ada, number)
    home = await owner_at_home(world, ada)
    assert (await step(home, "totp", app_code(world, ada.app))).status_code == 201
    assert (await guess(world, ada, FREE)).status_code == 429


# Known devices --------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.1.1")
@pytest.mark.parametrize("kind", ["totp", "recovery_code", "email_code", "sms_code"])
async def test_a_thief_keeps_no_known_device_from_the_second_step(world: World, kind: str) -> None:
    ada = await with_number(world, await full_member(world, "ada"))
    for number in range(FREE + 10):
        await guess(world, ada, number, kind)
    assert (await guess(world, ada, 99, kind)).status_code == 429
    home = await owner_at_home(world, ada)
    answer = await step(home, kind, await right(world, ada, home, kind))
    assert answer.status_code in {200, 201}, answer.text


async def right(world: World, member: Member, browser: Visitor, kind: str) -> str:
    """What the owner of a factor answers."""
    if kind == "totp":
        return app_code(world, member.app)
    if kind == "recovery_code":
        return member.codes[0]
    assert (await browser.http.post(CHALLENGE, json={"kind": kind})).status_code == 200
    if kind == "email_code":
        return await mailed(world, member.address, "code", "factor_code")
    return await latest_code(world, NUMBER)


@pytest.mark.asvs("6.1.1")
async def test_a_thief_ends_no_ticket_of_a_known_device_nor_of_a_session(world: World) -> None:
    """Twenty tickets are kept of everybody else together, so that they cannot fill the database."""
    ada = await full_member(world, "ada")
    world.clock.advance(STALE)
    home = await owner_at_home(world, ada)
    await ada.browser.post(AGAIN, {"password": PASSWORD})
    for number in range(40):
        world.clock.advance(0.01)
        await thief_at(world, ada, number)
    assert len((await dump(world.services.db))["ticket"]) == 22
    assert (await step(home, "totp", app_code(world, ada.app))).status_code == 201
    world.clock.advance(30)
    done = await ada.browser.post(STEP, {"kind": "totp", "code": app_code(world, ada.app)})
    assert done.status_code == 200, done.text


@pytest.mark.asvs("6.1.1")
async def test_a_thief_on_a_known_device_has_ten_tries_there(world: World) -> None:
    """With every device of an owner a thief must not have a hard stop each (C11)."""
    ada = await full_member(world, "ada")
    world.clock.advance(STALE)
    for number in range(10):
        thief = world.visitor(f"198.51.100.{number + 1}")
        lend(ada.browser, thief, "doorward-device")
        await half_in(world, ada, thief)
        assert (await step(thief, "totp", WRONG)).status_code == 400
        world.clock.advance(3600)
    assert (await dump(world.services.db))["known_device"] == []


@pytest.mark.asvs("6.1.1")
async def test_passkeys_wait_for_nobody(world: World) -> None:
    ada = await full_member(world, "ada")
    for kind in ("totp", "recovery_code"):
        for number in range(STOP):
            await guess(world, ada, number, kind)
    assert (await use_passkey(world.visitor("203.0.113.1"), ada.device)).status_code == 201
    elsewhere = await thief_at(world, ada, 240)
    asked = (await elsewhere.http.post(CHALLENGE, json={"kind": "passkey"})).json()["options"]
    body = {"kind": "passkey", "credential": ada.device.get(asked, ORIGIN)}
    assert (await elsewhere.http.post(STEP, json=body)).status_code == 201


# Codes that are sent --------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.6.3")
@pytest.mark.parametrize("kind", ["sms_code", "email_code"])
async def test_a_newer_code_gives_no_more_than_five_tries(world: World, kind: str) -> None:
    ada = await with_number(world, await full_member(world, "ada"))
    home = await owner_at_home(world, ada)
    for _ in range(2):
        await right(world, ada, home, kind)
        assert (await step(home, kind, WRONG)).status_code == 400
        assert (await step(home, kind, WRONG)).status_code == 400
    newest = await right(world, ada, home, kind)
    assert (await step(home, kind, WRONG)).status_code == 400
    world.clock.advance(2)
    assert (await step(home, kind, newest)).status_code == 400, "the sixth try, right as it is"
    refused = await home.http.post(CHALLENGE, json={"kind": kind})
    assert refused.status_code == 400, "nor is there another code to be had with this ticket"
    assert not await signed_in(home)


@pytest.mark.asvs("6.6.3")
@pytest.mark.parametrize("kind", ["sms_code", "email_code"])
async def test_another_ticket_gives_no_more_tries_either(world: World, kind: str) -> None:
    ada = await with_number(world, await full_member(world, "ada"))
    statuses = []
    for number in range(4):
        thief = await thief_at(world, ada, number)
        assert (await thief.http.post(CHALLENGE, json={"kind": kind})).status_code == 200
        statuses += [(await step(thief, kind, WRONG)).status_code for _ in range(2)]
    assert statuses == [400] * FREE + [429] * 3


@pytest.mark.asvs("6.6.2")
@pytest.mark.parametrize("kind", ["sms_code", "email_code"])
async def test_only_the_newest_code_counts_and_for_ten_minutes(world: World, kind: str) -> None:
    ada = await with_number(world, await full_member(world, "ada"))
    home = await owner_at_home(world, ada)
    first = await right(world, ada, home, kind)
    second = await right(world, ada, home, kind)
    if first != second:
        assert (await step(home, kind, first)).status_code == 400
    world.clock.advance(600)
    again = await owner_at_home(world, ada)
    assert (await step(again, kind, second)).status_code == 400
    assert not await signed_in(again)


@pytest.mark.asvs("2.4.1")
@pytest.mark.parametrize("kind", ["sms_code", "email_code"])
async def test_a_thief_has_five_codes_sent_in_a_quarter_of_an_hour_and_a_known_device_its_own(
    world: World, kind: str
) -> None:
    ada = await with_number(world, await full_member(world, "ada"))
    world.clock.advance(900)
    statuses = []
    for number in range(7):
        thief = await thief_at(world, ada, number)
        statuses.append((await thief.http.post(CHALLENGE, json={"kind": kind})).status_code)
    assert statuses == [200] * 5 + [429] * 2
    home = await owner_at_home(world, ada)
    assert (await step(home, kind, await right(world, ada, home, kind))).status_code in {200, 201}
    asked = 1
    while (await (await owner_at_home(world, ada)).http.post(CHALLENGE, json={"kind": kind})).status_code == 200:
        asked += 1
    assert asked == 5, "as many, and no more"


@pytest.mark.asvs("6.1.1")
async def test_strangers_who_guess_at_other_codes_for_an_address_keep_its_owner_from_nothing(world: World) -> None:
    """They need no password: anybody asks for a link to sign in with, and guesses at its code."""
    ada = await plain_member(world, "ada")
    assert (await ada.browser.post(f"{OWN}/confirm", {"kind": "email_code"})).status_code == 201
    answers = []
    for number in range(8):
        stranger = world.visitor(f"198.51.100.{number + 1}")
        await stranger.http.post("/api/sessions/email", json={"email": ada.address})
        body = {"code": WRONG, "purpose": "sign_in"}
        answers += [(await stranger.post("/api/verifications", body)).status_code for _ in range(5)]
        world.clock.advance(200)
    assert answers.count(429) > 0, "thirty a day are answered for one address"
    for browser in (await owner_at_home(world, ada), await thief_at(world, ada, 99)):
        code = await right(world, ada, browser, "email_code")
        assert (await step(browser, "email_code", code)).status_code == 201


# Filling the server ---------------------------------------------------------------------------------------------------


async def test_whoever_is_half_signed_in_leaves_little_behind(world: World) -> None:
    ada = await full_member(world, "ada")
    thief = await thief_at(world, ada)
    before = len((await dump(world.services.db))["challenge"])
    for _ in range(40):
        await thief.http.post(CHALLENGE, json={"kind": "passkey"})
    assert len((await dump(world.services.db))["challenge"]) <= before + 8
    later, _ = await half_signed_in(world, "ada")
    await step(later, "recovery_code", ada.codes[0])
    before = len((await dump(world.services.db))["challenge"])
    for _ in range(20):
        assert (await later.http.post(ENROL, json={"kind": "totp"})).status_code == 200
        assert (await later.http.post(ENROL, json={"kind": "passkey"})).status_code == 200
    assert len((await dump(world.services.db))["challenge"]) <= before + 9


@pytest.mark.asvs("2.4.1")
@pytest.mark.parametrize("step_", ["made", "copied"])
async def test_one_member_keeps_the_hasher_from_nobody(world: World, step_: str) -> None:
    """A set of recovery codes takes ten slow digests, and a try to copy one takes one."""
    ada = await plain_member(world, "ada")
    assert (await ada.browser.post(OWN, {"kind": "recovery_code"})).status_code == 200
    body: dict[str, object] = {"kind": "recovery_code"}
    path = OWN
    if step_ == "copied":
        path, body = f"{OWN}/confirm", {**body, "code": "aaaa-bbbb-cccc-dddd"}
    answers = [await ada.browser.post(path, body) for _ in range(25)]
    assert [answer.status_code for answer in answers].count(429) == 6
    assert int(answers[-1].headers["retry-after"]) > 0
