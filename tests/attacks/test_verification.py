"""Links and codes against those who guess, look, repeat, come too late or come from elsewhere (C14, C16, C23).

ASVS 5.0: 6.5.1 (single use), 6.5.5 (lifetime), 6.6.2 (bound to the request), 6.6.3 (codes against brute force).
"""

import asyncio
import hmac
import json
from typing import Any

import httpx
import pytest

from doorward.confirmations import holder_of_cookie
from doorward.ports import Database
from tests.http.conftest import ORIGIN, PASSWORD, Inbox, Visitor, World
from tests.support.attack import OPERATOR, dump

ADDRESS = "ada@example.org"
MINE = "three brass lamps in the fog"
FORM = {"origin": ORIGIN, "sec-fetch-site": "same-origin"}


async def begin(visitor: Visitor, email: str = ADDRESS, **fields: str) -> None:
    answer = await visitor.post("/api/users", {"email": email, "password": PASSWORD, **fields})
    assert answer.status_code == 202, answer.text


async def token_of(inbox: Inbox, to: str | None = None) -> str:
    path: str = (await inbox.last(to)).values["path"]
    return path.removeprefix("/verify/")


async def code_of(inbox: Inbox) -> str:
    code: str = (await inbox.last()).values["code"]
    return code


def wrong(code: str, number: int = 0) -> str:
    return f"{(int(code) + 1 + number) % 1_000_000:06}"


def codes(answer: httpx.Response) -> list[tuple[str, str]]:
    return [(error["field"], error["code"]) for error in answer.json().get("errors", [])]


async def kept(db: Database) -> Any:
    tables = await dump(db)
    return {name: tables[name] for name in ("confirmation", "users", "session", "identifier", "message", "password")}


@pytest.fixture
def browser(mail_world: World) -> Visitor:
    return mail_world.visitor()


@pytest.mark.asvs("6.5.1")
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"])
async def test_nothing_but_a_post_uses_a_link(browser: Visitor, inbox: Inbox, method: str) -> None:
    await begin(browser)
    token = await token_of(inbox)
    before = await kept(inbox.world.services.db)
    for visitor in (browser, inbox.world.visitor("198.51.100.1", **{"user-agent": "a mail scanner"})):
        for path in (f"/verify/{token}", f"/verify?token={token}", f"/verify/{token}?password={MINE}", "/verify"):
            await visitor.http.request(method, path, follow_redirects=True)
    assert await kept(inbox.world.services.db) == before
    assert (await browser.post("/api/verifications", {"token": token})).status_code == 200


async def test_a_post_without_the_pages_own_token_uses_nothing(browser: Visitor, inbox: Inbox) -> None:
    await begin(browser)
    path = f"/verify/{await token_of(inbox)}"
    before = await kept(inbox.world.services.db)
    await browser.get(path)
    for headers in (FORM, {"origin": "https://evil.example"}, {}):
        assert (await browser.http.post(path, data={"csrf_token": "x"}, headers=headers)).status_code == 403
    elsewhere = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    answer = await browser.post("/api/verifications", {"token": path.rpartition("/")[2]}, headers=elsewhere)
    assert answer.status_code == 403
    assert await kept(inbox.world.services.db) == before


@pytest.mark.asvs("6.5.1")
async def test_of_twenty_posts_of_one_link_one_wins(browser: Visitor, inbox: Inbox) -> None:
    await begin(browser, uid="ada")
    token = await token_of(inbox)
    cookie = browser.cookie_header()
    visitors = [inbox.world.visitor() for _ in range(20)]
    answers = await asyncio.gather(
        *(visitor.post("/api/verifications", {"token": token}, headers=cookie) for visitor in visitors)
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 19
    assert {code for answer in answers for code in codes(answer)} == {("token", "used")}
    tables = await dump(inbox.world.services.db)
    assert [len(tables[name]) for name in ("users", "session", "identifier", "password")] == [1, 1, 1, 1]


@pytest.mark.asvs("6.5.1")
async def test_of_twenty_new_passwords_from_elsewhere_one_counts(browser: Visitor, inbox: Inbox) -> None:
    await begin(browser, uid="ada")
    token = await token_of(inbox)
    visitors = [inbox.world.visitor() for _ in range(20)]
    passwords = [f"{MINE} {number}" for number in range(20)]
    answers = await asyncio.gather(
        *(
            visitor.post("/api/verifications", {"token": token, "password": password})
            for visitor, password in zip(visitors, passwords, strict=True)
        )
    )
    won = [number for number, answer in enumerate(answers) if answer.status_code == 200]
    assert len(won) == 1
    assert (await browser.sign_in(ADDRESS, passwords[won[0]])).status_code == 201


@pytest.mark.asvs("6.6.3")
async def test_a_code_takes_five_wrong_tries_newer_ones_included(browser: Visitor, inbox: Inbox) -> None:
    await begin(browser)
    for number in range(5):
        code = await code_of(inbox)
        answer = await browser.post("/api/verifications", {"code": wrong(code, number)})
        assert (answer.status_code, codes(answer)) == (400, [("code", "wrong")])
        if number < 3:
            assert (await browser.post("/api/verifications/resend", {})).status_code == 202
    right = await browser.post("/api/verifications", {"code": await code_of(inbox)})
    assert codes(right) == [("code", "exhausted")], "five tries in all"
    sent = len(await inbox.messages())
    again = await browser.post("/api/verifications/resend", {})
    assert codes(again) == [("code", "exhausted")], "a newer code would help nobody, so none is sent"
    assert len(await inbox.messages()) == sent
    assert (await browser.post("/api/verifications", {"token": await token_of(inbox)})).status_code == 200


@pytest.mark.asvs("6.6.3")
async def test_of_fifty_guesses_at_once_five_are_compared(
    browser: Visitor, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    await begin(browser)
    code = await code_of(inbox)
    compared: list[bytes] = []
    real = hmac.compare_digest

    def counted(one: Any, other: Any) -> bool:
        if isinstance(one, bytes):
            compared.append(one)
        return real(one, other)

    monkeypatch.setattr("doorward.confirmations.service.hmac.compare_digest", counted)
    cookie = browser.cookie_header()
    visitors = [inbox.world.visitor(f"198.51.100.{number}") for number in range(50)]
    answers = await asyncio.gather(
        *(
            visitor.post("/api/verifications", {"code": wrong(code, number)}, headers=cookie)
            for number, visitor in enumerate(visitors)
        )
    )
    assert {answer.status_code for answer in answers} <= {400, 429}
    assert len(compared) <= 5
    assert codes(await browser.post("/api/verifications", {"code": code})) in ([("code", "wrong")], [])
    assert await inbox.world.services.users.find_by_identifier(ADDRESS) is None


@pytest.mark.asvs("6.5.5")
async def test_a_code_lives_ten_minutes_and_the_link_a_day(browser: Visitor, inbox: Inbox) -> None:
    await begin(browser)
    code, token = await code_of(inbox), await token_of(inbox)
    inbox.world.clock.advance(600)
    assert codes(await browser.post("/api/verifications", {"code": code})) == [("code", "wrong")]
    inbox.world.clock.advance(24 * 3600 - 600)
    assert codes(await browser.post("/api/verifications", {"token": token})) == [("token", "expired")]
    assert (await browser.submit(f"/verify/{token}", {}, page="/sign-in")).status_code == 400
    assert codes(await browser.post("/api/verifications", {"code": code})) == [("code", "wrong")]


@pytest.mark.asvs("6.5.5")
async def test_one_second_earlier_both_still_work(mail_world: World, inbox: Inbox) -> None:
    for seconds, name in ((599, "code"), (24 * 3600 - 1, "token")):
        visitor, address = mail_world.visitor(), f"{name}@example.org"
        await begin(visitor, address)
        mail = (await inbox.last(address)).values
        mail_world.clock.advance(seconds)
        sent = {"code": mail["code"]} if name == "code" else {"token": mail["path"].removeprefix("/verify/")}
        assert (await visitor.post("/api/verifications", sent)).status_code == 200


@pytest.mark.asvs("6.6.2")
async def test_a_code_is_dead_once_a_newer_one_was_sent(browser: Visitor, inbox: Inbox) -> None:
    await begin(browser)
    old = await code_of(inbox)
    await browser.post("/api/verifications/resend", {})
    new = await code_of(inbox)
    assert codes(await browser.post("/api/verifications", {"code": old})) == ([] if old == new else [("code", "wrong")])
    assert (await browser.post("/api/verifications", {"code": new})).status_code == 200


@pytest.mark.asvs("6.6.2")
async def test_a_code_works_in_no_other_browser(browser: Visitor, inbox: Inbox) -> None:
    await begin(browser)
    code = await code_of(inbox)
    other = inbox.world.visitor()
    await begin(other, "mallory@example.org")
    for visitor in (other, inbox.world.visitor()):
        assert codes(await visitor.post("/api/verifications", {"code": code})) == [("code", "wrong")]
        assert (await visitor.submit("/verify", {"code": code}, page="/sign-in")).status_code == 400
    for made_up in ("", "x", "A" * 43, "A" * 5_000, '"', "\u00e9"):
        headers = {b"cookie": f"doorward-pending={made_up}".encode("latin-1")}
        answer = await inbox.world.visitor().post("/api/verifications", {"code": code}, headers=headers)
        assert codes(answer) == [("code", "wrong")]


async def test_a_cookie_sent_twice_opens_nothing(browser: Visitor, inbox: Inbox) -> None:
    await begin(browser)
    cookie = browser.cookie_header()["cookie"]
    headers = {"cookie": f"{cookie}; doorward-pending=planted"}
    answer = await inbox.world.visitor().post("/api/verifications", {"code": await code_of(inbox)}, headers=headers)
    assert codes(answer) == [("code", "wrong")]


@pytest.mark.asvs("6.6.2")
async def test_a_link_of_another_purpose_opens_nothing_here(browser: Visitor, inbox: Inbox) -> None:
    services = inbox.world.services
    for purpose in ("recovery", "invitation", "email_undo", "password"):
        now = services.clock.now()
        opened = await services.db.write(
            lambda: services.confirmations.begin(
                purpose,  # noqa: B023  called at once
                ADDRESS,
                ADDRESS,
                now=now,  # noqa: B023  as above
                holder=holder_of_cookie("x"),
            )
        )
        headers = {"cookie": "doorward-pending=x"}
        sent = {"token": opened.token, "password": MINE}
        assert codes(await browser.post("/api/verifications", sent, headers=headers)) == [("token", "unknown")]
        assert (await browser.get(f"/verify/{opened.token}")).status_code == 404
        by_code = await browser.post("/api/verifications", {"code": opened.code, "purpose": purpose}, headers=headers)
        assert codes(by_code) == [("code", "wrong")]
    setup = (await services.setup.new_link()).rpartition("/")[2]
    assert codes(await browser.post("/api/verifications", {"token": setup})) == [("token", "unknown")]


@pytest.mark.asvs("6.6.2")
async def test_who_signs_up_with_anothers_address_never_gets_in(browser: Visitor, inbox: Inbox) -> None:
    attacker = browser
    await begin(attacker, uid="victim", name="Not the victim")
    token = await token_of(inbox)
    victim = inbox.world.visitor("198.51.100.5")

    page = await victim.get(f"/verify/{token}")
    assert 'name="password"' in page.text
    bare = await victim.submit(f"/verify/{token}", {})
    assert bare.status_code == 400
    assert (await attacker.sign_in(ADDRESS)).status_code == 401
    assert (await victim.submit(f"/verify/{token}", {"password": MINE})).status_code == 303

    assert (await attacker.sign_in(ADDRESS, PASSWORD)).status_code == 401
    assert (await attacker.sign_in("victim", PASSWORD)).status_code == 401
    assert (await attacker.get("/api/sessions/current")).status_code == 401
    assert codes(await attacker.post("/api/verifications", {"token": token})) == [("token", "used")]
    assert (await victim.sign_in(ADDRESS, MINE)).status_code == 201


async def test_a_wrong_password_field_in_the_holders_browser_changes_nothing(browser: Visitor, inbox: Inbox) -> None:
    await begin(browser)
    answer = await browser.post("/api/verifications", {"token": await token_of(inbox), "password": MINE})
    assert answer.json()["signed_in"] is True
    assert (await inbox.world.visitor().sign_in(ADDRESS, MINE)).status_code == 401
    assert (await inbox.world.visitor().sign_in(ADDRESS, PASSWORD)).status_code == 201


async def test_what_others_claim_is_void_once_the_owner_has_proven_it(browser: Visitor, inbox: Inbox) -> None:
    """What others began with the address goes on looking as before: else they would see when its owner comes."""
    world = inbox.world
    claim = world.services.users.validate_sign_up({"uid": "claimer", "name": "Claimer", "email": ADDRESS})
    claimer, _ = await world.services.sign_up.create(claim, PASSWORD, OPERATOR)
    claimed = await token_of(inbox)
    other = world.visitor()
    await begin(other)
    pending = await token_of(inbox)
    await begin(browser)
    assert (await browser.post("/api/verifications", {"token": await token_of(inbox)})).status_code == 200

    found = await world.services.users.find(claimer.id)
    assert found is not None
    assert found.email is None
    assert "Check your inbox" in (await other.get("/verify")).text
    # Only who reads the mailbox has these.
    answer = await other.post("/api/verifications", {"token": pending, "password": MINE})
    assert codes(answer) == [("email", "known")]
    assert (await other.post("/api/verifications", {"token": claimed, "password": MINE})).status_code == 409


async def test_an_address_that_was_proven_meanwhile_is_said_to_have_an_account(browser: Visitor, inbox: Inbox) -> None:
    """The mail went out, then the address was proven in another way: whoever follows the link is told what to do."""
    await begin(browser)
    token = await token_of(inbox)
    services = inbox.world.services
    claim = services.users.validate_sign_up({"uid": "owner", "name": "Owner"})
    owner, _ = await services.sign_up.create(claim, MINE, OPERATOR)
    now = services.clock.now()
    await services.db.write(lambda: services.users.prove(owner.id, "email", ADDRESS, OPERATOR, now))

    assert codes(await browser.post("/api/verifications", {"token": token})) == [("email", "known")]
    page = await browser.submit(f"/verify/{token}", {})
    assert (page.status_code, "has an account already" in page.text) == (400, True)
    found = await services.users.find_by_identifier(ADDRESS)
    assert found is not None
    assert found.id == owner.id


async def test_a_session_of_somebody_else_lends_nothing(mail_world: World, inbox: Inbox) -> None:
    browser = mail_world.visitor()
    await begin(browser, "mallory@example.org")
    await browser.post("/api/verifications", {"code": await code_of(inbox)})
    await browser.learn_csrf()
    await begin(mail_world.visitor())
    token = await token_of(inbox, ADDRESS)
    assert 'name="password"' in (await browser.get(f"/verify/{token}")).text
    assert codes(await browser.post("/api/verifications", {"token": token})) == [("password", "required")]
    without = await browser.http.post("/api/verifications", json={"token": token, "password": MINE})
    assert without.status_code == 403, "a session cookie needs its token"


async def test_the_session_in_the_browser_gives_way_to_the_new_one(mail_world: World, inbox: Inbox) -> None:
    browser = mail_world.visitor()
    await begin(browser, "first@example.org")
    await browser.post("/api/verifications", {"code": await code_of(inbox)})
    old = browser.cookie_header()
    await browser.learn_csrf()
    await begin(browser, "second@example.org")
    answer = await browser.post("/api/verifications", {"code": (await inbox.last("second@example.org")).values["code"]})
    assert answer.json()["signed_in"] is True
    assert (await mail_world.visitor().get("/api/sessions/current", headers=old)).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"token": "a", "code": "b"},
        {"token": ["a"]},
        {"code": 123456},
        {"code": {"$ne": ""}},
        {"code": "1", "password": ["x"]},
        {"code": "1", "purpose": "admin"},
        {"code": "1", "user_id": "x"},
        {"token": "\ud800"},
        {"code": "\ud800" * 9},
        {"code": "9" * 10_000},
        {"\ud800": "x", "code": "1"},
        {"token": None, "code": None},
    ],
)
async def test_strange_bodies_are_refused(browser: Visitor, body: Any) -> None:
    kind = {"content-type": "application/json"}
    answer = await browser.http.post("/api/verifications", content=json.dumps(body), headers=kind)
    assert answer.status_code == 400
    answer.json()


async def test_no_secret_of_a_sign_up_lies_open_in_the_database(browser: Visitor, inbox: Inbox) -> None:
    await begin(browser)
    mail = (await inbox.last()).values
    text = repr(await dump(inbox.world.services.db))
    for secret in (
        mail["path"].removeprefix("/verify/"),
        browser.http.cookies["doorward-pending"],
        PASSWORD,
        "$argon2",
    ):
        assert secret not in text
