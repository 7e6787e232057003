"""Recovery codes as a way back, against those who ask who is here, guess, repeat, race, or hold the sheet alone.

ASVS 5.0: 6.3.8 (no enumeration), 6.4.3 and 6.4.4 (no bypass of factors), 6.5.1 (single use). C11, C16, C21, C22.
Work is counted, not timed.
"""

import asyncio
import json
from typing import Any

import httpx
import pytest

from doorward.authenticators.kinds.recovery_code import new_codes
from doorward.kernel.instant import HOUR, SECOND
from doorward.ports import Cost
from tests.attacks.test_sign_up_enumeration import Counting
from tests.http.conftest import ORIGIN, PASSWORD, Visitor, World
from tests.support.attack import OPERATOR, audited, dump, shown
from tests.support.factors import OWN, app_code, half_signed_in, make_codes, set_up_app, step
from tests.support.members import member

NEW = "three brass lamps in the fog"
ADDRESS = "active@example.org"
WRONG = new_codes()[0]  # of no set
NAMES = {  # all of one length
    "nobody's": "nobody",
    "known": "active",
    "disabled": "closed",
    "without codes": "barely",
    "without a password": "unpass",
}


async def use(visitor: Visitor, identifier: Any, code: Any, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"identifier": identifier, "code": code}
    return await visitor.http.post("/api/recovery/code", json=body, headers=named)


async def over_page(visitor: Visitor, identifier: str, code: str) -> httpx.Response:
    return await visitor.submit("/recovery/code", {"identifier": identifier, "code": code})


async def sixth(visitor: Visitor, identifier: str, code: str) -> httpx.Response:
    return [await use(visitor, identifier, code) for _ in range(6)][-1]


async def complete(visitor: Visitor, token: str, password: str = NEW) -> httpx.Response:
    return await visitor.http.post("/api/recovery/complete", json={"token": token, "password": password})


async def token_of(visitor: Visitor, identifier: str, code: str) -> str:
    answer = await use(visitor, identifier, code)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def codes_of(answer: httpx.Response) -> list[tuple[str, str]]:
    return [(error["field"], error["code"]) for error in answer.json().get("errors", [])]


@pytest.fixture
async def people(world: World) -> World:
    services = world.services
    await world.visitor().sign_up("barely")
    ids = {}
    for uid in ("active", "closed"):
        visitor = world.visitor()
        ids[uid] = (await visitor.sign_up(uid))["id"]
        await make_codes(visitor)
    await services.users.set_status(ids["closed"], "disabled", None, OPERATOR)
    new = services.users.validate_sign_up({"uid": "unpass", "name": "No password"})
    await services.users.create(new, OPERATOR, also=lambda user, _: services.users.locked(user.id))
    return world


def alike(answer: httpx.Response, name: str, visitor: Visitor) -> Any:
    """An answer without what is random: a page's token and the cookie that goes with it."""
    status, headers, body = shown(answer, name, *visitor.http.cookies.values())
    token = body.split('name="csrf_token" value="')
    return status, headers, body.replace(token[1].split('"')[0], "TOKEN") if len(token) > 1 else body


# Who is here ---------------------------------------------------------------------------------------------------------

WAYS = {"JSON": use, "page": over_page, "sixth": sixth}
EXPECTED = {"JSON": 400, "page": 400, "sixth": 429}


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("code", [WRONG, "no code at all"], ids=["wrong", "no code"])
async def test_whoever_is_named_the_answer_is_the_same(people: World, way: str, code: str) -> None:
    answers = {}
    for number, (kind, name) in enumerate(NAMES.items()):
        visitor = people.visitor(f"198.51.100.{number}")
        answers[kind] = alike(await WAYS[way](visitor, name, code), name, visitor)
    assert answers["nobody's"][0] == EXPECTED[way]
    assert all(answer == answers["nobody's"] for answer in answers.values()), answers


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize("device", ["none", "somebody else's"])
@pytest.mark.parametrize("code", [WRONG, "no code at all"], ids=["wrong", "no code"])
async def test_whoever_is_named_the_work_is_the_same(
    people: World, monkeypatch: pytest.MonkeyPatch, device: str, code: str
) -> None:
    services = people.services
    eve = people.visitor()
    await eve.sign_up("eve")
    headers = {} if device == "none" else {"cookie": f"doorward-device={eve.http.cookies['doorward-device']}"}
    db = Counting(services.db)
    for part in (services.recovery, services.factors, services.factors.tries, services.users, services.sessions,
                 services.refusals):  # fmt: skip
        object.__setattr__(part, "_db" if hasattr(part, "_db") else "db", db)
    derived: list[tuple[int, Cost]] = []
    real = services.hasher.derive

    async def counted(secret: str, salt: bytes, cost: Cost) -> bytes:
        derived.append((len(salt), cost))
        return await real(secret, salt, cost)

    monkeypatch.setattr(services.hasher, "derive", counted)
    await use(people.visitor(), "warmup", code, **headers)
    work: dict[str, Any] = {}
    for kind, name in NAMES.items():
        before = {table: len(rows) for table, rows in (await dump(services.db)).items()}
        db.counts.clear()
        derived.clear()
        await use(people.visitor("198.51.100.7"), name, code, **headers)
        after = {table: len(rows) for table, rows in (await dump(services.db)).items()}
        grown = {table: after[table] - before[table] for table in after if table != "bucket"}
        work[kind] = {**db.counts, "derived": list(derived), "rows": grown}
    assert len(work["nobody's"]["derived"]) == (1 if code == WRONG else 0)
    assert work["nobody's"]["rows"]["audit_event"] == work["nobody's"]["rows"]["throttle"] == 1
    assert all(done == work["nobody's"] for done in work.values()), work


async def test_the_audit_knows_why_and_names_whom(people: World) -> None:
    before = len(await audited(people, "authn_login_fail"))
    for name in NAMES.values():
        await use(people.visitor(), name, WRONG)
        people.clock.advance(1)
    rows = (await audited(people, "authn_login_fail"))[before:]
    told = [json.loads(row.payload or "") for row in rows]
    assert [one["reason"] for one in told] == ["unknown user", "wrong", "wrong", "no codes", "no codes"]
    assert {(one["action"], one["kind"], one["failures"]) for one in told} == {("factor", "recovery_code", 1)}
    assert [row.user_id is None for row in rows] == [True, False, False, False, False]


async def test_a_right_code_of_somebody_disabled_is_answered_like_a_wrong_one_and_stays_unspent(world: World) -> None:
    ada = world.visitor()
    user = await ada.sign_up("ada")
    codes = await make_codes(ada)
    await world.services.users.set_status(user["id"], "disabled", None, OPERATOR)
    one, other = world.visitor(), world.visitor()
    right, wrong = await use(one, "ada", codes[0]), await use(other, "ada", WRONG)
    assert alike(right, "ada", one) == alike(wrong, "ada", other)
    await world.services.users.set_status(user["id"], "active", None, OPERATOR)
    assert (await use(world.visitor(), "ada", codes[0])).status_code == 200


# What is typed -------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("2.2.1")
@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, [("identifier", "required"), ("code", "required")]),
        ({"identifier": "", "code": None}, [("identifier", "required"), ("code", "required")]),
        ({"identifier": ["ada"], "code": {"$ne": ""}}, [("identifier", "wrong_type"), ("code", "wrong_type")]),
        ({"identifier": "a" * 321, "code": "0" * 321}, [("identifier", "too_long"), ("code", "too_long")]),
        ({"identifier": "ada", "code": WRONG, "user_id": "x"}, [("user_id", "unknown_field")]),
    ],
)
async def test_strange_bodies_are_refused_before_anything_is_counted(
    people: World, body: Any, wrong: list[tuple[str, str]]
) -> None:
    before = await dump(people.services.db)
    answer = await people.visitor().post("/api/recovery/code", body)
    assert (answer.status_code, codes_of(answer)) == (400, wrong)
    assert await dump(people.services.db) == before


@pytest.mark.parametrize("name", ["\0", "ada\0", "' or 1=1 --", "a@b@c", "\u202eada", "ada\ud800"])
async def test_strange_names_are_nobodys(people: World, name: str) -> None:
    content = json.dumps({"identifier": name, "code": WRONG})
    kind = {"content-type": "application/json"}
    answer = await people.visitor().http.post("/api/recovery/code", content=content, headers=kind)
    assert answer.status_code == 400


async def test_a_post_without_the_pages_own_token_spends_nothing(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    codes = await make_codes(ada)
    browser = world.visitor()
    await browser.get("/recovery/code")
    before = await dump(world.services.db)
    sent = {"csrf_token": "x", "identifier": "ada", "code": codes[0]}
    for headers in ({"origin": ORIGIN, "sec-fetch-site": "same-origin"}, {"origin": "https://evil.example"}, {}):
        assert (await browser.http.post("/recovery/code", data=sent, headers=headers)).status_code == 403
    assert (await use(browser, "ada", codes[0], origin="https://evil.example")).status_code == 403
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        path = f"/recovery/code?identifier=ada&code={codes[0]}"
        await browser.http.request(method, path)
    assert await dump(world.services.db) == before


# Guessing ------------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.3.1")
@pytest.mark.parametrize("name", ["ada", "nobody"])
async def test_wrong_codes_are_counted_under_the_name_from_wherever_they_come(world: World, name: str) -> None:
    await world.visitor().sign_up("ada")
    statuses = [(await use(world.visitor(f"198.51.100.{number}"), name, WRONG)).status_code for number in range(12)]
    assert statuses == [400] * 5 + [429] * 7
    for wait in (1, 2, 4, 8):
        world.clock.advance(wait)
        assert (await use(world.visitor(), name.upper(), WRONG)).status_code == 400


@pytest.mark.asvs("6.3.1")
async def test_fifty_at_once_do_not_exceed_the_count(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    await make_codes(ada)
    guesses = [code for _ in range(5) for code in new_codes()]
    answers = await asyncio.gather(
        *(use(world.visitor(f"198.51.100.{number}"), "ada", code) for number, code in enumerate(guesses))
    )
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(400), statuses.count(429)) == (5, 45)


async def test_guesses_under_a_name_neither_slow_its_password_nor_the_owners_browser(world: World) -> None:
    ada = world.visitor("203.0.113.5")
    await ada.sign_up("ada")
    codes = await make_codes(ada)
    for number in range(12):
        await use(world.visitor(f"198.51.100.{number}"), "ada", WRONG)
    assert (await use(world.visitor(), "ada", codes[0])).status_code == 429
    assert (await world.visitor().sign_in("ada")).status_code == 201
    device = {"cookie": f"doorward-device={ada.http.cookies['doorward-device']}"}
    assert (await use(world.visitor(), "ada", codes[0], **device)).status_code == 200
    eve = world.visitor()
    await eve.sign_up("eve")
    hers = {"cookie": f"doorward-device={eve.http.cookies['doorward-device']}"}
    assert (await use(world.visitor(), "ada", codes[1], **hers)).status_code == 429


@pytest.mark.asvs("6.3.1")
async def test_sixty_failures_from_one_address_fill_its_bucket_whoever_is_named(world: World) -> None:
    thief = world.visitor("198.51.100.9")
    statuses = [(await use(thief, f"name-{number}", WRONG)).status_code for number in range(70)]
    assert statuses == [400] * 60 + [429] * 10


async def test_a_right_code_ends_the_count(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    codes = await make_codes(ada)
    for _ in range(4):
        await use(world.visitor(), "ada", WRONG)
    assert (await use(world.visitor(), "ada", codes[0])).status_code == 200
    statuses = [(await use(world.visitor(), "ada", WRONG)).status_code for _ in range(6)]
    assert statuses == [400] * 5 + [429]


# The code ------------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.5.1")
async def test_of_twenty_at_once_one_gets_a_token(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    codes = await make_codes(ada)
    visitors = [world.visitor(f"198.51.100.{number}") for number in range(20)]
    answers = await asyncio.gather(*(use(visitor, "ada", codes[0]) for visitor in visitors))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 200
    assert set(statuses[1:]) <= {400, 429}, statuses
    made = [json.loads(row.payload or "") for row in await audited(world, "authn_token_created")]
    assert made.count({"purpose": "password", "by": "recovery_code", "device": "Python"}) == 1


@pytest.mark.asvs("6.5.1")
async def test_of_ten_codes_at_once_none_is_lost_and_the_last_token_alone_works(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    codes = await make_codes(ada)
    answers = [await use(world.visitor(), "ada", code) for code in codes[:3]]
    tokens = [answer.json()["token"] for answer in answers]
    assert [codes_of(await complete(world.visitor(), token)) for token in tokens[:2]] == [[("token", "void")]] * 2
    assert (await complete(world.visitor(), tokens[2])).status_code == 200


async def test_codes_spent_at_the_same_moment_leave_both_spent_or_one_to_be_sent_again(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    codes = await make_codes(ada)
    sent = await asyncio.gather(*(use(world.visitor(), "ada", code) for code in codes[:2]))
    for code, answer in zip(codes, sent, strict=False):
        assert (await use(world.visitor(), "ada", code)).status_code == (400 if answer.status_code == 200 else 200)


@pytest.mark.parametrize("what", ["new codes", "password changed", "disabled", "reset", "a quarter of an hour"])
async def test_a_token_dies_with_what_it_came_from(world: World, what: str) -> None:
    ada = world.visitor()
    user = await ada.sign_up("ada")
    codes = await make_codes(ada)
    token = await token_of(world.visitor(), "ada", codes[0])
    if what == "new codes":
        await make_codes(ada)
    elif what == "password changed":
        change = {"current_password": PASSWORD, "new_password": "another phrase of some length"}
        assert (await ada.send("PUT", "/api/users/me/password", change)).status_code == 204
    elif what == "disabled":
        await world.services.users.set_status(user["id"], "disabled", None, OPERATOR)
    elif what == "reset":
        await world.services.steps.reset_for(user["id"], None, OPERATOR)
    else:
        world.clock.advance(900)
    answer = await complete(world.visitor(), token)
    assert (answer.status_code, [field for field, _ in codes_of(answer)]) == (400, ["token"])
    if what != "disabled":
        new = PASSWORD if what != "password changed" else "another phrase of some length"
        assert (await world.visitor().sign_in("ada", new)).status_code == 201


# The sheet alone -----------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.4.3")
@pytest.mark.asvs("6.4.4")
async def test_the_sheet_alone_is_never_both_the_password_and_the_second_step(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    key = await set_up_app(world, ada)
    sheet = await make_codes(ada)
    thief = world.visitor()
    token = await token_of(thief, "ada", sheet[0])
    assert (await complete(thief, token)).status_code == 200
    assert (await thief.get("/api/sessions/current")).status_code == 401

    answer = await thief.http.post("/api/sessions", json={"identifier": "ada", "password": NEW})
    assert (answer.status_code, answer.json()["next"], answer.json()["kinds"]) == (200, "authenticator", ["totp"])
    for code in sheet:
        world.clock.advance(HOUR // SECOND)
        browser = world.visitor()
        await browser.http.post("/api/sessions", json={"identifier": "ada", "password": NEW})
        assert (await step(browser, "recovery_code", code)).status_code == 400
        assert (await use(world.visitor(), "ada", code)).status_code == 400
    owner = world.visitor()
    await owner.http.post("/api/sessions", json={"identifier": "ada", "password": NEW})
    assert (await step(owner, "totp", app_code(world, key))).status_code == 201


async def test_the_set_goes_with_the_password_and_not_before(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    await set_up_app(world, ada)
    sheet = await make_codes(ada)
    token = await token_of(world.visitor(), "ada", sheet[0])
    assert codes_of(await complete(world.visitor(), token, "short")) == [("password", "too_short")]
    browser, _ = await half_signed_in(world, "ada")
    assert (await step(browser, "recovery_code", sheet[1])).status_code == 200, "the others are good as they were"
    kinds = [one["kind"] for one in (await ada.get(OWN)).json()["data"]]
    assert sorted(kinds) == ["recovery_code", "totp"]


@pytest.mark.asvs("7.4.3")
async def test_every_session_and_device_ends_and_none_begins(world: World) -> None:
    ada = world.visitor()
    user = await ada.sign_up("ada")
    sheet = await make_codes(ada)
    browser = world.visitor()
    answer = await complete(browser, await token_of(browser, "ada", sheet[0]))
    assert "doorward=" not in str(answer.headers.get_list("set-cookie"))
    tables = await dump(world.services.db)
    assert user["id"] not in repr([tables["session"], tables["known_device"], tables["authenticator"]])
    assert (await ada.get("/api/sessions/current")).status_code == 401


async def test_only_the_digest_of_a_token_is_kept(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    sheet = await make_codes(ada)
    token = await token_of(world.visitor(), "ada", sheet[0])
    rows = repr(await dump(world.services.db))
    assert token not in rows
    assert sheet[0] not in rows
    assert sheet[0].replace("-", "") not in rows


async def test_an_address_names_its_owner_only_once_it_is_proven(world: World) -> None:
    ada, _ = await member(world, "ada", ADDRESS)
    sheet = await make_codes(ada)
    eve = world.visitor()
    await eve.sign_up("eve", email="claimed@example.org")
    hers = await make_codes(eve)
    assert (await use(world.visitor(), "claimed@example.org", hers[0])).status_code == 400
    assert (await use(world.visitor(), ADDRESS.upper(), sheet[0])).status_code == 200
