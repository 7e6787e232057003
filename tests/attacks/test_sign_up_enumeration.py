"""Who is registered: signing up by e-mail tells nothing, neither the answer nor the work behind it (C16).

ASVS 5.0: 6.3.8. Work is counted, not timed: hashes computed, reads, transactions, and the statements in them.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from doorward.ports import Database
from doorward.sql import Query, Work
from tests.http.conftest import PASSWORD, Inbox, Visitor, World
from tests.support.attack import OPERATOR, audited, dump, shown

NEW = "nobody@example.org"
ADDRESSES = {  # all of one length
    "new": NEW,
    "known": "active@example.org",
    "disabled": "closed@example.org",
    "pending": "waiter@example.org",
    "claimed": "claims@example.org",
}


async def join(world: World, inbox: Inbox, email: str) -> str:
    """Somebody signs up and proves the address; their id."""
    visitor = world.visitor("203.0.113.9")
    assert (await over_json(visitor, email)).status_code == 202
    answer = await visitor.post("/api/verifications", {"code": (await inbox.last(email)).values["code"]})
    assert answer.status_code == 200
    current = (await visitor.get("/api/sessions/current")).json()
    return str(current["user"]["id"])


@pytest.fixture
async def people(mail_world: World, inbox: Inbox) -> World:
    await join(mail_world, inbox, ADDRESSES["known"])
    closed = await join(mail_world, inbox, ADDRESSES["disabled"])
    await mail_world.services.users.set_status(closed, "disabled", None, OPERATOR)
    await over_json(mail_world.visitor("203.0.113.9"), ADDRESSES["pending"])
    claim = {"uid": "claimer", "name": "Claimer", "email": ADDRESSES["claimed"]}
    await mail_world.services.sign_up.create(mail_world.services.users.validate_sign_up(claim), PASSWORD, OPERATOR)
    return mail_world


async def over_json(visitor: Visitor, email: str, **fields: str) -> httpx.Response:
    return await visitor.post("/api/users", {"email": email, "password": PASSWORD, **fields})


async def over_page(visitor: Visitor, email: str, **fields: str) -> httpx.Response:
    return await visitor.submit("/sign-up", {"email": email, "password": PASSWORD, **fields})


async def waiting_page(visitor: Visitor, email: str) -> httpx.Response:
    await over_json(visitor, email)
    return await visitor.get("/verify")


async def resend(visitor: Visitor, email: str) -> httpx.Response:
    await over_json(visitor, email)
    return await visitor.post("/api/verifications/resend", {})


async def wrong_code(visitor: Visitor, email: str) -> httpx.Response:
    await over_json(visitor, email)
    return await visitor.post("/api/verifications", {"code": "wrong"})


async def sixth_code(visitor: Visitor, email: str) -> httpx.Response:
    await over_json(visitor, email)
    for _ in range(5):
        await visitor.post("/api/verifications", {"code": "wrong"})
    return await visitor.post("/api/verifications", {"code": "wrong"})


async def sixth_mail(visitor: Visitor, email: str) -> httpx.Response:
    answers = [await over_json(visitor, email) for _ in range(6)]
    return answers[-1]


WAYS = {
    "JSON": over_json,
    "page": over_page,
    "waiting page": waiting_page,
    "resend": resend,
    "wrong code": wrong_code,
    "sixth code": sixth_code,
    "sixth mail": sixth_mail,
}


def alike(answer: httpx.Response, email: str, visitor: Visitor) -> Any:
    """An answer without what is random: the values of cookies, and the form's token that goes with one of them."""
    status, headers, body = shown(answer, email, *visitor.http.cookies.values())
    named = [(name, value.split("=")[0] + "=*" + value.partition(";")[2] if name == "set-cookie" else value)
             for name, value in headers]  # fmt: skip
    token = body.split('name="csrf_token" value="')
    return status, named, body.replace(token[1].split('"')[0], "TOKEN") if len(token) > 1 else body


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize("way", WAYS)
async def test_whoever_owns_an_address_the_answer_is_the_same(people: World, way: str) -> None:
    answers = {}
    for number, (kind, address) in enumerate(ADDRESSES.items()):
        if way == "sixth mail" and kind in {"known", "disabled", "pending"}:
            people.clock.advance(15 * 60)  # these have had a mail before
        visitor = people.visitor(f"198.51.100.{number}")
        answers[kind] = alike(await WAYS[way](visitor, address), address, visitor)

    assert answers["new"][0] == {"JSON": 202, "page": 303, "waiting page": 200, "resend": 202}.get(
        way, 429 if way == "sixth mail" else 400
    )
    assert all(answer == answers["new"] for answer in answers.values()), answers


@pytest.mark.asvs("6.3.8")
async def test_every_sign_up_hands_out_a_new_cookie(people: World) -> None:
    values = []
    for address in ADDRESSES.values():
        visitor = people.visitor()
        for _ in range(2):
            answer = await over_json(visitor, address)
            values.append(answer.cookies["doorward-pending"])
            assert "HttpOnly" in answer.headers["set-cookie"]
    assert len(set(values)) == len(values)
    assert {len(value) for value in values} == {43}


class Counting:
    """A database that counts what it is asked."""

    def __init__(self, real: Database) -> None:
        self.counts: dict[str, int] = {}
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def read(self, work: Work[Any]) -> Any:
        self._count("reads")
        return await self._real.read(self._counted(work))

    async def write(self, work: Callable[[], Work[Any]]) -> Any:
        self._count("transactions")
        return await self._real.write(lambda: self._counted(work()))

    def _counted(self, work: Work[Any]) -> Work[Any]:
        rows: Any = None
        try:
            while True:
                query: Query = work.send(rows)
                self._count("statements")
                rows = yield query
        except StopIteration as end:
            return end.value

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize("way", ["JSON", "page", "resend", "wrong code"])
async def test_whoever_owns_an_address_the_work_is_the_same(
    people: World, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    services = people.services
    db = Counting(services.db)
    for part in (
        services.sign_up_by_email,
        services.users,
        services.confirmations,
        services.durable,
        services.refusals,
    ):
        object.__setattr__(part, "_db" if hasattr(part, "_db") else "db", db)
    hashes: list[str] = []
    real = services.hasher.hash

    async def counted(password: str) -> str:
        hashes.append(password)
        return await real(password)

    monkeypatch.setattr(services.hasher, "hash", counted)
    await WAYS[way](people.visitor(), "warmup@example.org")
    work: dict[str, dict[str, Any]] = {}
    for kind, address in ADDRESSES.items():
        people.clock.advance(15 * 60)  # no row of refusals is summed with that of the one before
        before = {table: len(rows) for table, rows in (await dump(services.db)).items()}
        db.counts.clear()
        hashes.clear()
        await WAYS[way](people.visitor("198.51.100.7"), address)
        after = {table: len(rows) for table, rows in (await dump(services.db)).items()}
        grown = {table: after[table] - before[table] for table in after if table != "bucket"}
        work[kind] = {**db.counts, "hashes": len(hashes), "rows": grown}

    assert work["new"]["hashes"] == 1
    assert work["new"]["statements"] > 5
    assert all(done == work["new"] for done in work.values()), work


@pytest.mark.asvs("6.3.8")
async def test_every_case_leaves_one_audit_row(people: World) -> None:
    before = len(await audited(people, "authn_token_created"))
    for address in ADDRESSES.values():
        await over_json(people.visitor(), address)
    rows = (await audited(people, "authn_token_created"))[before:]
    noted = {"purpose": "sign_up", "device": "Python"}
    assert [json.loads(row.payload or "") for row in rows] == [noted] * len(ADDRESSES)
    assert "example.org" not in str(rows)


async def test_the_owner_hears_of_it_and_gets_no_code(people: World, inbox: Inbox) -> None:
    for visitor in (people.visitor(), people.visitor()):
        await over_json(visitor, "ACTIVE@example.org")
        mail = await inbox.last(ADDRESSES["known"])
        assert mail.template == "known_sign_up"
        assert "code" not in mail.values
        await visitor.post("/api/verifications/resend", {})
        assert (await inbox.last(ADDRESSES["known"])).template == "known_sign_up"
    assert await inbox.messages("ACTIVE@example.org") == []


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize("first", ["new", "known"])
async def test_a_second_attempt_with_the_same_handle_learns_nothing(people: World, first: str) -> None:
    one, other = people.visitor("198.51.100.1"), people.visitor("198.51.100.2")
    assert (await over_json(one, ADDRESSES[first], uid="mallory")).status_code == 202
    stranger = await over_json(other, "third@example.org", uid="mallory")
    own = await over_json(one, "fourth@example.org", uid="mallory")
    assert [(e["field"], e["code"]) for e in stranger.json()["errors"]] == [("uid", "taken")]
    assert own.status_code == 202
    people.clock.advance(24 * 3600)
    assert (await over_json(other, "third@example.org", uid="mallory")).status_code == 202


async def test_each_handle_that_an_answer_gives_away_costs_a_place(people: World) -> None:
    visitor = people.visitor("198.51.100.3")
    statuses = []
    for number in range(110):
        answer = await over_json(visitor, f"m{number}@example.org", uid="claimer")
        statuses.append(answer.status_code)
    assert statuses == [400] * 100 + [429] * 10


async def test_many_at_once_for_one_address_make_no_user_and_few_mails(people: World, inbox: Inbox) -> None:
    answers = await asyncio.gather(*(over_json(people.visitor(), NEW) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [202] * 5 + [429] * 15
    assert len(await inbox.messages(NEW)) == 5
    assert await people.services.users.find_by_identifier(NEW) is None
