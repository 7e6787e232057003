"""Signing up with a passkey, against those who race, replay, borrow a browser's try, forge answers, ask who is here.

ASVS 5.0: 6.3.8 (no enumeration), 6.5.1 (single use), 6.7.2 (WebAuthn). C16, C29-C31. Work is counted, not timed.
"""

import asyncio
import hashlib
import json
from typing import Any

import httpx
import pytest
from fido2.utils import websafe_decode, websafe_encode

from doorward.testing.authenticator import SoftwareAuthenticator
from tests.attacks.test_sign_up_enumeration import Counting
from tests.http.conftest import ORIGIN, PASSWORD, Inbox, Visitor, World
from tests.support.attack import OPERATOR, audited, dump, shown
from tests.support.factors import OWN, signed_in
from tests.support.members import link
from tests.support.newcomers import AGAIN, CREATE_PAGE, OPTIONS, PAGE, SIGN_UP, join, options_for, send, use

ADDRESS = "victim@example.org"


@pytest.fixture
def device() -> SoftwareAuthenticator:
    """A telephone."""
    return SoftwareAuthenticator()


def codes_of(answer: httpx.Response) -> list[tuple[str, str]]:
    return [(error["field"], error["code"]) for error in answer.json().get("errors", [])]


async def users_of(world: World) -> int:
    return len((await dump(world.services.db))["users"])


# One try, one browser, one user --------------------------------------------------------------------------------------


@pytest.mark.asvs("6.5.1")
async def test_of_twenty_at_once_one_becomes_a_user(world: World, device: SoftwareAuthenticator) -> None:
    browser = world.visitor()
    made = device.create(await options_for(browser, uid="ada", name="Ada"), ORIGIN)
    held = browser.cookie_header()

    async def post() -> httpx.Response:
        return await world.visitor().http.post(SIGN_UP, json={"credential": made}, headers=held)

    answers = await asyncio.gather(*(post() for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201] + [400] * 19
    tables = await dump(world.services.db)
    assert [len(tables[name]) for name in ("users", "authenticator", "passkey_user", "session")] == [1] * 4
    assert tables["challenge"] == []


@pytest.mark.asvs("6.5.1")
async def test_the_handle_of_an_earlier_try_goes_on_in_one_of_those_that_follow_it(world: World) -> None:
    browser = world.visitor()
    await options_for(browser, uid="ada", name="Ada")
    held = browser.cookie_header()

    async def again(number: int) -> str:
        body = {"uid": f"ada-{number}", "name": "Ada"}
        answer = await world.visitor().http.post(OPTIONS, json=body, headers=held)
        return str(answer.json()["user"]["id"])

    handles = await asyncio.gather(*(again(number) for number in range(19)))
    assert len(set(handles)) == 19


@pytest.mark.asvs("6.5.1")
async def test_of_several_passkeys_made_for_one_try_one_counts(world: World) -> None:
    browser = world.visitor()
    options = [await options_for(browser, uid="ada", name="Ada")]
    options += [(await browser.http.post(AGAIN, json={})).json() for _ in range(7)]
    made = [SoftwareAuthenticator().create(one, ORIGIN) for one in options]
    held = browser.cookie_header()
    answers = await asyncio.gather(
        *(world.visitor().http.post(SIGN_UP, json={"credential": one}, headers=held) for one in made)
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [400] * 7
    tables = await dump(world.services.db)
    assert [len(tables[name]) for name in ("users", "authenticator", "passkey_user", "session")] == [1] * 4


@pytest.mark.asvs("6.5.1")
async def test_of_several_passkeys_made_for_one_address_one_is_mailed(mail_world: World) -> None:
    browser = mail_world.visitor()
    options = [await options_for(browser, email=ADDRESS)]
    options += [(await browser.http.post(AGAIN, json={})).json() for _ in range(3)]
    made = [SoftwareAuthenticator().create(one, ORIGIN) for one in options]
    held = browser.cookie_header()
    answers = await asyncio.gather(
        *(mail_world.visitor().http.post(SIGN_UP, json={"credential": one}, headers=held) for one in made)
    )
    assert sorted(answer.status_code for answer in answers) == [202] + [400] * 3
    assert len(await Inbox(mail_world).messages(ADDRESS)) == 1


async def test_what_one_browser_has_begun_no_other_finishes(world: World, device: SoftwareAuthenticator) -> None:
    browser, thief, nobody = world.visitor(), world.visitor(), world.visitor()
    made = device.create(await options_for(browser, uid="ada", name="Ada"), ORIGIN)
    await options_for(thief, uid="eve", name="Eve")
    for other in (thief, nobody):
        assert (await send(other, made)).status_code == 400
    assert await users_of(world) == 0
    assert codes_of(await nobody.http.post(AGAIN, json={})) == [("credential", "expired")]
    assert (await send(browser, made)).status_code == 201, "the others have used nothing up"


async def test_a_cookie_that_was_planted_gives_nothing_of_what_is_filled_in_later(
    world: World, device: SoftwareAuthenticator
) -> None:
    thief, victim = world.visitor(), world.visitor()
    await options_for(thief, uid="eve", name="Eve")
    planted = thief.http.cookies["doorward-newcomer"]
    answer = await victim.http.post(
        OPTIONS, json={"uid": "ada", "name": "Ada"}, headers={"cookie": f"doorward-newcomer={planted}"}
    )
    assert answer.cookies["doorward-newcomer"] != planted
    assert (await send(thief, device.create(answer.json(), ORIGIN))).status_code == 400
    assert await users_of(world) == 0


@pytest.mark.parametrize("seconds", [300, 900])
async def test_what_took_too_long_is_over(world: World, device: SoftwareAuthenticator, seconds: int) -> None:
    browser = world.visitor()
    made = device.create(await options_for(browser, uid="ada", name="Ada"), ORIGIN)
    world.clock.advance(seconds)
    assert (await send(browser, made)).status_code == 400
    again = await browser.http.post(AGAIN, json={})
    assert again.status_code == (200 if seconds < 900 else 400)
    if again.status_code == 200:
        assert (await send(browser, device.create(again.json(), ORIGIN))).status_code == 201


async def test_a_challenge_of_a_sign_up_is_of_no_use_elsewhere_and_the_other_way_round(
    world: World, device: SoftwareAuthenticator
) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    mine = await options_for(ada, uid="eve", name="Eve")
    theirs = (await ada.post(OWN, {"kind": "passkey"})).json()["options"]
    for_me = {"kind": "passkey", "credential": device.create(mine, ORIGIN)}
    assert (await ada.post(f"{OWN}/confirm", for_me)).status_code == 400
    assert (await send(ada, device.create(theirs, ORIGIN))).status_code == 400


@pytest.mark.asvs("6.7.2")
async def test_a_passkey_that_somebody_has_is_not_taken(world: World, device: SoftwareAuthenticator) -> None:
    ada, eve = world.visitor(), world.visitor()
    await join(ada, device, "ada")
    stolen = websafe_decode(
        device.get((await ada.http.post("/api/sessions/passkey/options", json={})).json(), ORIGIN)["id"]
    )
    other = SoftwareAuthenticator()
    options = await options_for(eve, uid="eve", name="Eve")
    answer = await send(eve, other.create(options, ORIGIN, credential_id=stolen))
    assert codes_of(answer) == [("credential", "known")]
    assert await users_of(world) == 1, "nothing of eve was written"
    assert not await signed_in(eve)


@pytest.mark.asvs("6.7.2")
@pytest.mark.parametrize(
    "tweak",
    [
        {"uv": False},
        {"up": False},
        {"challenge": websafe_encode(bytes(32))},
        {"origin": "https://evil.example"},
        {"cross_origin": True},
        {"top_origin": "https://evil.example"},
        {"type": "webauthn.get"},
        {"rp_id": "evil.example"},
        {"be": False, "bs": True},
        {"alg": -36},
        {"attested": False},
        {"left_over": b"\0"},
        {"raw_id": "AAAA"},
    ],
    ids=str,
)
async def test_what_a_device_must_not_say_makes_nobody(
    world: World, device: SoftwareAuthenticator, tweak: dict[str, Any]
) -> None:
    browser = world.visitor()
    options = await options_for(browser, uid="ada", name="Ada")
    refused = await send(browser, device.create(options, ORIGIN, **tweak))
    assert codes_of(refused) == [("credential", "wrong")]
    assert await users_of(world) == 0
    if "challenge" not in tweak:  # that one answers nothing that was asked
        good = device.create(options, ORIGIN)
        assert (await send(browser, good)).status_code == 400, "the challenge was asked once"
    again = (await browser.http.post(AGAIN, json={})).json()
    assert (await send(browser, device.create(again, ORIGIN))).status_code == 201


@pytest.mark.asvs("2.2.1")
@pytest.mark.parametrize(
    "body", [{}, {"credential": None}, {"credential": "x"}, {"credential": []}, {"credential": {}, "uid": "root"}]
)
async def test_strange_bodies_are_refused(world: World, body: Any) -> None:
    browser = world.visitor()
    await options_for(browser, uid="ada", name="Ada")
    before = await dump(world.services.db)
    assert (await browser.http.post(SIGN_UP, json=body)).status_code == 400
    assert (await browser.http.post(AGAIN, json={**body, "x": 1})).status_code == 400
    assert await dump(world.services.db) == before


async def test_a_post_without_the_pages_own_token_does_nothing(world: World, device: SoftwareAuthenticator) -> None:
    browser = world.visitor()
    made = json.dumps(device.create(await options_for(browser, uid="ada", name="Ada"), ORIGIN))
    before = await dump(world.services.db)
    for headers in ({"origin": ORIGIN, "sec-fetch-site": "same-origin"}, {"origin": "https://evil.example"}, {}):
        for path, sent in ((PAGE, {"uid": "eve", "name": "Eve"}), (CREATE_PAGE, {"credential": made})):
            answer = await browser.http.post(path, data={"csrf_token": "x", **sent}, headers=headers)
            assert answer.status_code == 403
    evil = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    for path in (OPTIONS, AGAIN, SIGN_UP):
        assert (await browser.http.post(path, json={}, headers=evil)).status_code == 403
    assert await dump(world.services.db) == before


async def test_nothing_that_was_filled_in_lies_there_in_clear(mail_world: World, device: SoftwareAuthenticator) -> None:
    browser = mail_world.visitor()
    options = await options_for(browser, email=ADDRESS, uid="secretly", name="Secret Name")
    rows = repr((await dump(mail_world.services.db))["challenge"])
    made = device.create(options, ORIGIN)
    assert (await send(browser, made)).status_code == 202
    rows += repr((await dump(mail_world.services.db))["confirmation"])
    handle = websafe_decode(options["user"]["id"])
    cookies = [*browser.http.cookies.values()]
    for secret in ("Secret Name", made["id"], options["user"]["id"], handle.hex(), repr(handle), *cookies):
        assert secret not in rows


# Who is here ---------------------------------------------------------------------------------------------------------

ADDRESSES = {  # all of one length
    "new": "nobody@example.org",
    "known": "active@example.org",
    "disabled": "closed@example.org",
    "pending": "waiter@example.org",
    "claimed": "claims@example.org",
}


@pytest.fixture
async def people(mail_world: World, device: SoftwareAuthenticator) -> World:
    services, ids = mail_world.services, {}
    for kind in ("known", "disabled"):
        visitor, address = mail_world.visitor("203.0.113.9"), ADDRESSES[kind]
        await visitor.post("/api/users", {"email": address, "password": PASSWORD})
        sent = {"code": (await Inbox(mail_world).last(address)).values["code"]}
        assert (await visitor.post("/api/verifications", sent)).status_code == 200
        ids[kind] = (await visitor.get("/api/users/me")).json()["id"]
    await services.users.set_status(ids["disabled"], "disabled", None, OPERATOR)
    pending = mail_world.visitor("203.0.113.9")
    await send(pending, device.create(await options_for(pending, email=ADDRESSES["pending"]), ORIGIN))
    claim = {"uid": "claimer", "name": "Claimer", "email": ADDRESSES["claimed"]}
    await services.sign_up.create(services.users.validate_sign_up(claim), PASSWORD, OPERATOR)
    mail_world.clock.advance(15 * 60)
    return mail_world


async def sign_up(visitor: Visitor, email: str) -> httpx.Response:
    """Sign up with a device of one's own: what is random has the same length everywhere."""
    return await send(visitor, SoftwareAuthenticator().create(await options_for(visitor, email=email), ORIGIN))


async def over_page(visitor: Visitor, email: str) -> httpx.Response:
    await visitor.submit(PAGE, {"email": email})
    options = (await visitor.http.post(AGAIN, json={})).json()
    made = SoftwareAuthenticator().create(options, ORIGIN)
    return await visitor.submit(CREATE_PAGE, {"credential": json.dumps(made)})


async def refused(visitor: Visitor, email: str) -> httpx.Response:
    made = SoftwareAuthenticator().create(await options_for(visitor, email=email), ORIGIN, uv=False)
    return await send(visitor, made)


async def sixth(visitor: Visitor, email: str) -> httpx.Response:
    return [await sign_up(visitor, email) for _ in range(6)][-1]


WAYS = {"JSON": sign_up, "page": over_page, "refused": refused, "sixth": sixth}
EXPECTED = {"JSON": 202, "page": 303, "refused": 400, "sixth": 429}


def alike(answer: httpx.Response, email: str, visitor: Visitor) -> Any:
    """An answer without what is random: the values of cookies."""
    status, headers, body = shown(answer, email, *visitor.http.cookies.values())
    named = [(name, value.split("=")[0] + "=*" + value.partition(";")[2] if name == "set-cookie" else value)
             for name, value in headers]  # fmt: skip
    return status, named, body


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize("way", WAYS)
async def test_whoever_owns_an_address_the_answer_is_the_same(people: World, way: str) -> None:
    answers = {}
    for number, (kind, address) in enumerate(ADDRESSES.items()):
        visitor = people.visitor(f"198.51.100.{number}")
        answers[kind] = alike(await WAYS[way](visitor, address), address, visitor)
    assert answers["new"][0] == EXPECTED[way]
    assert all(answer == answers["new"] for answer in answers.values()), answers


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize("way", ["JSON", "page", "refused"])
async def test_whoever_owns_an_address_the_work_is_the_same(people: World, way: str) -> None:
    services = people.services
    db = Counting(services.db)
    for part in (
        services.sign_up_by_email,
        services.users,
        services.confirmations,
        services.durable,
        services.refusals,
        services.binding.challenges,
    ):
        object.__setattr__(part, "_db" if hasattr(part, "_db") else "db", db)
    await WAYS[way](people.visitor(), "warmup@example.org")
    work: dict[str, dict[str, Any]] = {}
    for kind, address in ADDRESSES.items():
        before = {table: len(rows) for table, rows in (await dump(services.db)).items()}
        db.counts.clear()
        await WAYS[way](people.visitor("198.51.100.7"), address)
        after = {table: len(rows) for table, rows in (await dump(services.db)).items()}
        grown = {table: after[table] - before[table] for table in after if table != "bucket"}
        work[kind] = {**db.counts, "rows": grown}
    assert work["new"]["rows"]["confirmation"] == work["new"]["rows"]["message"] == (0 if way == "refused" else 1)
    assert all(done == work["new"] for done in work.values()), work


async def test_the_owner_of_a_known_address_gets_the_message(people: World) -> None:
    await sign_up(people.visitor(), ADDRESSES["known"])
    assert (await Inbox(people).last(ADDRESSES["known"])).template == "known_sign_up"


async def test_a_victim_who_follows_the_link_gets_no_passkey_of_a_stranger(
    mail_world: World, device: SoftwareAuthenticator
) -> None:
    thief, victim = mail_world.visitor(), mail_world.visitor()
    made = device.create(await options_for(thief, email=ADDRESS, uid="victim"), ORIGIN)
    assert (await send(thief, made)).status_code == 202
    path = await link(mail_world, ADDRESS)
    assert (await victim.submit(path, {"password": PASSWORD})).status_code == 303
    assert codes_of(await use(thief, device)) == [("credential", "unknown_passkey")]
    assert not await signed_in(thief)
    assert (await victim.sign_in(ADDRESS)).status_code == 201, "their password alone opens it: nothing else is bound"
    tables = await dump(mail_world.services.db)
    assert tables["authenticator"] == tables["passkey_user"] == []


async def test_an_address_that_found_its_owner_takes_no_pending_passkey(
    mail_world: World, device: SoftwareAuthenticator
) -> None:
    late, owner = mail_world.visitor(), mail_world.visitor()
    made = device.create(await options_for(late, email=ADDRESS), ORIGIN)
    await send(late, made)
    first = (await link(mail_world, ADDRESS)).removeprefix("/verify/")
    await owner.post("/api/users", {"email": ADDRESS, "password": PASSWORD})
    second = (await link(mail_world, ADDRESS)).removeprefix("/verify/")
    assert (await owner.post("/api/verifications", {"token": second})).json()["signed_in"] is True
    answer = await late.post("/api/verifications", {"token": first})
    assert answer.status_code == 400
    assert not await signed_in(late)
    assert (await dump(mail_world.services.db))["authenticator"] == []


# Floods --------------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("2.4.1")
async def test_beyond_twenty_an_hour_a_browser_shows_that_it_is_no_program(world: World) -> None:
    visitor = world.visitor("198.51.100.9")
    for number in range(20):
        await options_for(visitor, uid=f"name-{number}", name="Name")
    body = {"uid": "ada", "name": "Ada"}
    asked = await visitor.http.post(OPTIONS, json=body)
    assert (asked.status_code, asked.json()["code"]) == (429, "challenge_required")
    challenge = asked.json()["challenge"]
    page = await visitor.submit(PAGE, body)
    assert page.status_code == 429
    assert "data-challenge" in page.text
    proof = {"challenge": challenge["token"], "challenge_number": solved(challenge)}
    assert (await visitor.http.post(OPTIONS, json={**body, **proof})).status_code == 200
    assert (await visitor.http.post(AGAIN, json={})).status_code == 200, "who is in asks for no place again"


def solved(challenge: dict[str, Any]) -> str:
    salt, rounds = bytes.fromhex(challenge["salt"]), challenge["iterations"]
    return next(
        str(number)
        for number in range(challenge["numbers"])
        if hashlib.pbkdf2_hmac("sha256", str(number).encode(), salt, rounds).hex() == challenge["target"]
    )


async def test_each_name_that_an_answer_gives_away_costs_a_place(world: World) -> None:
    await world.visitor().sign_up("ada")
    visitor = world.visitor("198.51.100.9")
    statuses = [(await visitor.http.post(OPTIONS, json={"uid": "ada", "name": "Ada"})).status_code for _ in range(101)]
    assert statuses == [400] * 100 + [429]


async def test_the_audit_says_who_was_made_and_what_they_have(world: World, device: SoftwareAuthenticator) -> None:
    browser = world.visitor()
    user = await join(browser, device, "ada")
    (created,) = await audited(world, "user_created")
    (bound,) = await audited(world, "user_updated")
    assert created.user_id == bound.user_id == user["id"]
    told = json.loads(bound.payload or "")
    assert told == {"authenticator": "passkey", "fields": ["authenticators"], "what": "bound", "device": "Python"}
