"""Recovery against those who ask who is here, guess, repeat, flood, or wait at an old address (C9, C14-C16, C23).

ASVS 5.0: 6.3.8 (no enumeration), 6.4.3 (no bypass of factors), 6.5.1 (single use), 6.5.5 (lifetime), 7.4.3 (sessions
end). Work is counted, not timed.
"""

import asyncio
import io
import json
from typing import Any

import httpx
import pytest

from tests.attacks.test_one_recipient import LIES, REFUSED
from tests.attacks.test_sign_up_enumeration import Counting
from tests.http.conftest import ORIGIN, PASSWORD, Inbox, Visitor, World
from tests.support.attack import OPERATOR, audited, dump, shown
from tests.support.members import code, follow, last, member

ADDRESS = "active@example.org"
NEW = "three brass lamps in the fog"
ADDRESSES = {  # all of one length
    "nobody's": "nobody@example.org",
    "known": ADDRESS,
    "disabled": "closed@example.org",
    "claimed": "claims@example.org",
    "without a password": "unpass@example.org",
}


@pytest.fixture
async def people(world: World) -> World:
    services = world.services
    await member(world, "ada", ADDRESS)
    _, closed = await member(world, "closed", ADDRESSES["disabled"])
    await services.users.set_status(closed, "disabled", None, OPERATOR)
    claim = {"uid": "claimer", "name": "Claimer", "email": ADDRESSES["claimed"]}
    await services.sign_up.create(services.users.validate_sign_up(claim), PASSWORD, OPERATOR)
    await services.users.create(
        services.users.validate_sign_up({"uid": "bare", "name": "Bare"}),
        OPERATOR,
        also=lambda user, now: services.users.prove(
            user.id, "email", ADDRESSES["without a password"], OPERATOR, now
        ),
    )  # fmt: skip
    world.clock.advance(15 * 60)
    return world


async def over_json(visitor: Visitor, email: Any, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await visitor.http.post("/api/recovery", json={"email": email}, headers=named)


async def over_page(visitor: Visitor, email: str) -> httpx.Response:
    return await visitor.submit("/recovery", {"email": email})


async def sixth(visitor: Visitor, email: str) -> httpx.Response:
    return [await over_json(visitor, email) for _ in range(6)][-1]


async def sixth_over_page(visitor: Visitor, email: str) -> httpx.Response:
    for _ in range(5):
        await over_json(visitor, email)
    return await over_page(visitor, email)


WAYS = {"JSON": over_json, "page": over_page, "sixth": sixth, "sixth over the page": sixth_over_page}
EXPECTED = {"JSON": 202, "page": 303, "sixth": 429, "sixth over the page": 429}


async def token_of(world: World, address: str = ADDRESS) -> str:
    """Ask for a link as somebody else than any of the visitors in these tests; its token."""
    assert (await over_json(world.visitor("203.0.113.99"), address)).status_code == 202
    return str((await last(world, address, "recovery")).values["path"]).removeprefix("/recovery/")


async def complete(visitor: Visitor, token: str, password: str = NEW) -> httpx.Response:
    return await visitor.http.post("/api/recovery/complete", json={"token": token, "password": password})


def codes(answer: httpx.Response) -> list[tuple[str, str]]:
    return [(error["field"], error["code"]) for error in answer.json().get("errors", [])]


def alike(answer: httpx.Response, email: str, visitor: Visitor) -> Any:
    """An answer without what is random: a page's token and the cookie that goes with it."""
    status, headers, body = shown(answer, email, *visitor.http.cookies.values())
    token = body.split('name="csrf_token" value="')
    return status, headers, body.replace(token[1].split('"')[0], "TOKEN") if len(token) > 1 else body


# Who is here --------------------------------------------------------------------------------------------------------


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
@pytest.mark.parametrize("device", ["none", "somebody else's"])
async def test_whoever_owns_an_address_the_work_is_the_same(people: World, device: str) -> None:
    services = people.services
    db = Counting(services.db)
    for part in (services.recovery, services.users, services.sessions, services.durable, services.refusals):
        object.__setattr__(part, "_db" if hasattr(part, "_db") else "db", db)
    cookies = {}
    if device != "none":
        eve, _ = await member(people, "eve", "eve@example.org")
        cookies = {"cookie": f"doorward-device={eve.http.cookies['doorward-device']}"}
    await over_json(people.visitor(), "warmup@example.org", **cookies)
    work: dict[str, dict[str, Any]] = {}
    for kind, address in ADDRESSES.items():
        before = {table: len(rows) for table, rows in (await dump(services.db)).items()}
        db.counts.clear()
        await over_json(people.visitor("198.51.100.7"), address, **cookies)
        after = {table: len(rows) for table, rows in (await dump(services.db)).items()}
        grown = {table: after[table] - before[table] for table in after if table != "bucket"}
        work[kind] = {**db.counts, "rows": grown}
    assert work["nobody's"]["rows"]["confirmation"] == work["nobody's"]["rows"]["message"] == 1
    assert work["nobody's"]["rows"]["audit_event"] == 1
    assert all(done == work["nobody's"] for done in work.values()), work


async def test_only_who_has_proven_an_address_gets_a_link(people: World) -> None:
    inbox = Inbox(people)
    before = len(await inbox.messages())
    for address in ADDRESSES.values():
        await over_json(people.visitor(), address.upper())
    sent = (await inbox.messages())[before:]
    assert sorted(one.recipient for one in sent) == sorted([ADDRESS, ADDRESSES["without a password"]])
    assert {one.template for one in sent} == {"recovery"}
    for row in await inbox.rows():
        if row.state == "void" and str(row.values.get("path")).startswith("/recovery/"):
            unsent = str(row.values["path"]).removeprefix("/recovery/")
            assert codes(await complete(people.visitor(), unsent)) == [("token", "void")]


@pytest.mark.asvs("6.3.8")
async def test_the_audit_names_no_address(people: World, log_lines: io.StringIO) -> None:
    before = len(await audited(people, "authn_token_created"))
    for address in ADDRESSES.values():
        await over_json(people.visitor(), address)
    rows = (await audited(people, "authn_token_created"))[before:]
    noted = {"purpose": "recovery", "device": "Python"}
    assert [json.loads(row.payload or "") for row in rows] == [noted] * len(ADDRESSES)
    assert "example.org" not in log_lines.getvalue()


# What is typed ------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("2.2.1")
@pytest.mark.parametrize("typed", REFUSED)
async def test_what_is_not_one_address_is_refused(people: World, typed: str) -> None:
    before = await dump(people.services.db)
    answer = await over_json(people.visitor(), REFUSED[typed])
    assert (answer.status_code, [field for field, _ in codes(answer)]) == (400, ["email"])
    assert await dump(people.services.db) == before


@pytest.mark.parametrize(
    "body",
    [{}, {"email": None}, {"email": ADDRESS, "to": "eve@evil.example"}, {"email": ADDRESS, "user_id": "x"}],
)
async def test_strange_bodies_are_refused(people: World, body: Any) -> None:
    assert (await people.visitor().post("/api/recovery", body)).status_code == 400
    assert (await people.visitor().post("/api/recovery/complete", body)).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {"token": ["x"], "password": NEW},
        {"token": {"$ne": ""}, "password": NEW},
        {"token": "x" * 5_000, "password": NEW},
        {"token": "\ud800", "password": NEW},
        {"token": "", "password": NEW},
        {"token": "x", "password": NEW, "user_id": "1"},
    ],
)
async def test_strange_tokens_are_refused(people: World, body: Any) -> None:
    kind = {"content-type": "application/json"}
    answer = await people.visitor().http.post("/api/recovery/complete", content=json.dumps(body), headers=kind)
    assert answer.status_code == 400
    assert answer.json()["code"] in {"invalid", "malformed"}


@pytest.mark.parametrize("password", [None, 7, ["x" * 20], {"a": "b"}])
async def test_a_password_that_is_no_text_uses_nothing_up(people: World, password: Any) -> None:
    token = await token_of(people)
    answer = await complete(people.visitor(), token, password)
    assert (answer.status_code, [field for field, _ in codes(answer)]) == (400, ["password"])
    assert (await complete(people.visitor(), token)).status_code == 200


@pytest.mark.parametrize("lie", LIES, ids=str)
async def test_no_header_decides_where_the_link_leads(people: World, lie: dict[str, str]) -> None:
    await over_json(people.visitor(**lie), ADDRESS)
    assert (await over_page(people.visitor(), ADDRESS)).headers["location"] == "/recovery/sent"
    for mail in (await Inbox(people).messages(ADDRESS))[-2:]:
        assert mail.template == "recovery"
        assert "evil" not in repr(mail.values)
        assert str(mail.values["path"]).startswith("/recovery/")


# The link -----------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.5.1")
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"])
async def test_nothing_but_a_post_uses_a_link(people: World, method: str) -> None:
    token = await token_of(people)
    before = await dump(people.services.db)
    for path in (f"/recovery/{token}", f"/recovery/{token}?password={NEW}", "/recovery", "/recovery/sent"):
        await people.visitor(**{"user-agent": "a mail scanner"}).http.request(method, path)
    assert await dump(people.services.db) == before
    assert (await complete(people.visitor(), token)).status_code == 200


async def test_a_post_without_the_pages_own_token_uses_nothing(people: World) -> None:
    token = await token_of(people)
    browser = people.visitor()
    await browser.get(f"/recovery/{token}")
    before = await dump(people.services.db)
    for headers in ({"origin": ORIGIN, "sec-fetch-site": "same-origin"}, {"origin": "https://evil.example"}, {}):
        sent = {"csrf_token": "x", "password": NEW}
        assert (await browser.http.post(f"/recovery/{token}", data=sent, headers=headers)).status_code == 403
    elsewhere = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    body = {"token": token, "password": NEW}
    assert (await browser.http.post("/api/recovery/complete", json=body, headers=elsewhere)).status_code == 403
    assert await dump(people.services.db) == before


@pytest.mark.asvs("6.5.1")
async def test_of_twenty_at_once_one_wins(people: World) -> None:
    token = await token_of(people)
    passwords = [f"{NEW} {number}" for number in range(20)]
    answers = await asyncio.gather(*(complete(people.visitor(), token, password) for password in passwords))
    won = [number for number, answer in enumerate(answers) if answer.status_code == 200]
    assert len(won) == 1
    assert {answer.status_code for answer in answers} == {200, 400}
    assert (await people.visitor().sign_in("ada", passwords[won[0]])).status_code == 201
    changed = [row for row in await audited(people, "authn_password_change") if row.outcome == "success"]
    assert [json.loads(row.payload or "") for row in changed] == [{"by": "recovery", "device": "Python"}]


@pytest.mark.asvs("6.5.1")
async def test_of_two_links_at_once_one_wins(people: World) -> None:
    tokens = [await token_of(people) for _ in range(4)]
    answers = await asyncio.gather(*(complete(people.visitor(), token) for token in tokens))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400]


@pytest.mark.asvs("6.5.5")
async def test_a_link_lives_an_hour(people: World) -> None:
    late, just = await token_of(people), await token_of(people)
    people.clock.advance(3_600 - 2)
    assert (await people.visitor().get(f"/recovery/{just}")).status_code == 200
    people.clock.advance(2)
    assert codes(await complete(people.visitor(), late)) == [("token", "expired")]


async def test_a_link_dies_with_the_password_it_was_to_replace(people: World) -> None:
    token = await token_of(people)
    ada = people.visitor()
    await ada.sign_in("ada")
    change = {"current_password": PASSWORD, "new_password": NEW}
    assert (await ada.send("PUT", "/api/users/me/password", change)).status_code in {200, 204}
    assert codes(await complete(people.visitor(), token, "another one of the passwords")) == [("token", "void")]


async def test_a_link_dies_with_the_address_it_was_sent_to(people: World) -> None:
    token = await token_of(people)
    ada = people.visitor()
    await ada.sign_in("ada")
    await ada.submit("/account/email", {"email": "ada@example.net"})
    sent = {"code": await code(people, "ada@example.net")}
    assert (await ada.submit("/account/email/code", sent, "/account/email")).status_code == 303
    assert codes(await complete(people.visitor(), token)) == [("token", "void")]


@pytest.mark.parametrize("gone", ["disabled", "deleted", "address removed", "another address"])
async def test_a_link_dies_with_its_account(people: World, gone: str) -> None:
    token = await token_of(people)
    services = people.services
    user = await services.users.find_by_identifier("ada")
    assert user is not None
    user_id = user.id
    if gone == "disabled":
        await services.users.set_status(user_id, "disabled", None, OPERATOR)
    elif gone == "deleted":
        await services.users.delete(user_id, None, OPERATOR)
    elif gone == "address removed":
        now = services.clock.now()
        await services.db.write(lambda: services.users.remove_contact(user_id, "email", OPERATOR, now))
    else:
        now = services.clock.now()
        await services.db.write(lambda: services.users.prove(user_id, "email", "new@example.org", OPERATOR, now))
    answer = await complete(people.visitor(), token)
    assert (answer.status_code, [field for field, _ in codes(answer)]) == (400, ["token"])


async def test_a_link_of_another_purpose_opens_nothing_here(people: World) -> None:
    services = people.services
    user = await services.users.find_by_identifier("ada")
    assert user is not None
    user_id = user.id
    for purpose in ("sign_in", "email", "email_undo", "sign_up", "invitation"):
        now = services.clock.now()
        opened = await services.db.write(
            lambda: services.confirmations.begin(
                purpose, ADDRESS, ADDRESS, now=now, user_id=user_id  # noqa: B023  called at once
            )
        )  # fmt: skip
        assert codes(await complete(people.visitor(), opened.token)) == [("token", "unknown")]
        assert (await people.visitor().get(f"/recovery/{opened.token}")).status_code == 404
    recovery = await token_of(people)
    answer = await people.visitor().post("/api/verifications", {"token": recovery, "password": NEW})
    assert codes(answer) == [("token", "unknown")]


# What a new password does -------------------------------------------------------------------------------------------


@pytest.mark.asvs("7.4.3")
async def test_every_session_and_device_ends_and_none_begins(people: World) -> None:
    thief, program = people.visitor(), people.visitor()
    await thief.sign_in("ada")
    sent = {"identifier": "ada", "password": PASSWORD, "transport": "bearer"}
    bearer = (await program.post("/api/sessions", sent)).json()["token"]
    token = await token_of(people)
    browser = people.visitor()
    answers = [await complete(browser, token), await browser.submit(f"/recovery/{token}", {"password": NEW})]
    for answer in answers:
        assert "doorward=" not in str(answer.headers.get_list("set-cookie"))
    assert (await browser.get("/api/sessions/current")).status_code == 401
    assert (await thief.get("/api/sessions/current")).status_code == 401
    header = {"authorization": f"Bearer {bearer}"}
    assert (await program.get("/api/sessions/current", headers=header)).status_code == 401
    user = await people.services.users.find_by_identifier("ada")
    assert user is not None
    tables = await dump(people.services.db)
    assert user.id not in repr([tables["session"], tables["known_device"]])


@pytest.mark.asvs("6.3.7")
async def test_the_owner_is_told(people: World) -> None:
    await complete(people.visitor(), await token_of(people))
    assert (await last(people, ADDRESS)).template == "password_changed"


async def test_the_undo_of_a_change_of_address_leads_to_a_new_password(people: World) -> None:
    """Taking an address back hands its owner a recovery at once; what the thief knows opens nothing meanwhile."""
    thief = people.visitor()
    await thief.sign_in("ada")
    await thief.submit("/account/email", {"email": "thief@example.net"})
    sent = {"code": await code(people, "thief@example.net")}
    await thief.submit("/account/email/code", sent, "/account/email")
    owner = people.visitor()
    undone = await follow(owner, str((await last(people, ADDRESS)).values["path"]))
    assert undone.headers["location"].startswith("/recovery/")
    assert (await thief.sign_in("ada")).status_code == 403
    assert (await owner.submit(undone.headers["location"], {"password": NEW})).status_code == 303
    assert (await thief.sign_in("ada")).status_code == 401
    assert (await owner.sign_in("ada", NEW)).status_code == 201


# Floods -------------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.3.1")
@pytest.mark.parametrize("kind", ["known", "nobody's"])
async def test_five_mails_in_a_quarter_of_an_hour_and_ten_a_day(people: World, kind: str) -> None:
    address, statuses = ADDRESSES[kind], list[int]()
    before = len(await Inbox(people).rows())
    answers = [await over_json(people.visitor(f"198.51.100.{number}"), address) for number in range(8)]
    statuses.extend(answer.status_code for answer in answers)
    assert statuses == [202] * 5 + [429] * 3
    answer = answers[-1]
    assert answer.headers["retry-after"] == str(answer.json()["retry_after"])
    for number in range(8):
        people.clock.advance(20 * 60)
        statuses.append((await over_json(people.visitor(f"198.51.100.{number}"), address)).status_code)
    assert 10 <= statuses.count(202) <= 11, "a place comes back every 2.4 hours"
    assert len(await Inbox(people).rows()) - before == statuses.count(202)


@pytest.mark.asvs("6.3.1")
async def test_strangers_cannot_use_up_the_places_of_the_owners_browser(people: World) -> None:
    ada = people.visitor("203.0.113.5")
    await ada.sign_in("ada")
    device = {"cookie": f"doorward-device={ada.http.cookies['doorward-device']}"}
    for number in range(6):
        await over_json(people.visitor(f"198.51.100.{number}"), ADDRESS)
    assert (await over_json(people.visitor("203.0.113.6"), ADDRESS)).status_code == 429
    own = await over_json(people.visitor("203.0.113.5"), ADDRESS, **device)
    assert own.status_code == 202
    other = await over_json(people.visitor("203.0.113.5"), ADDRESSES["claimed"], **device)
    assert other.status_code == 202
    eve, _ = await member(people, "eve", "eve@example.org")
    hers = {"cookie": f"doorward-device={eve.http.cookies['doorward-device']}"}
    assert (await over_json(people.visitor("203.0.113.8"), ADDRESS, **hers)).status_code == 429
    made_up = {"cookie": "doorward-device=made-up"}
    assert (await over_json(people.visitor("203.0.113.7"), ADDRESS, **made_up)).status_code == 429


async def test_a_newer_link_leaves_the_older_one_alone(people: World) -> None:
    """Else whoever asks again and again makes every link void before its owner can follow it."""
    token = await token_of(people)
    await token_of(people)
    assert (await complete(people.visitor(), token)).status_code == 200


# Canaries -----------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("16.2.5")
async def test_no_token_and_no_password_is_in_the_logs_or_the_database(people: World, log_lines: io.StringIO) -> None:
    token = await token_of(people)
    browser = people.visitor()
    await browser.get(f"/recovery/{token}")
    await browser.submit(f"/recovery/{token}", {"password": "short"})
    await complete(browser, token, "a canary that sings")
    await complete(browser, token, "a canary that sings")
    await browser.get(f"/recovery/{token}")
    text = log_lines.getvalue() + repr(await dump(people.services.db))
    assert "authn_password_change" in text
    for secret in (token, "a canary that sings"):
        assert secret not in text
