"""Who is registered: nothing about a failed sign-in tells, neither the answer nor the work behind it (C16).

Work is counted, not timed: hashes computed and transactions written.
"""

from collections.abc import Callable
from typing import Any

import pytest

from doorward.sql import Work
from doorward.users import User
from tests.http.conftest import PASSWORD, Visitor, World
from tests.support.attack import OPERATOR, shown

WRONG = "not the password of anybody"
KINDS = {  # all names are of one length
    "unknown": ("nobody", WRONG),
    "wrong": ("active", WRONG),
    "disabled": ("closed", PASSWORD),
    "disabled and wrong": ("closed", WRONG),
    "without a password": ("nopass", WRONG),
}


@pytest.fixture
async def people(world: World) -> World:
    await world.visitor().sign_up("active")
    closed = await world.visitor().sign_up("closed")
    await world.services.users.set_status(closed["id"], "disabled", None, OPERATOR)
    new = world.services.users.validate_sign_up({"uid": "nopass", "name": "No Password"})
    await world.services.users.create(new, OPERATOR, also=_nothing)
    return world


def _nothing(_: User, __: int) -> Work[None]:
    yield from ()


async def over_sessions(visitor: Visitor, identifier: str, password: str) -> Any:
    return await visitor.sign_in(identifier, password)


async def over_authenticate(visitor: Visitor, identifier: str, password: str) -> Any:
    return await visitor.post("/api/users/authenticate", {"uid": identifier, "password": password})


async def over_page(visitor: Visitor, identifier: str, password: str) -> Any:
    return await visitor.submit("/sign-in", {"identifier": identifier, "password": password})


WAYS = {"JSON": over_sessions, "JWT": over_authenticate, "page": over_page}


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize("way", WAYS)
async def test_every_failed_sign_in_gets_the_same_bytes(people: World, way: str) -> None:
    visitor = people.visitor()
    await visitor.get("/sign-in")  # one visit cookie, so one form token
    answers = {kind: shown(await WAYS[way](visitor, *tried), tried[0]) for kind, tried in KINDS.items()}

    assert answers["unknown"][0] == 401
    assert all(answer == answers["unknown"] for answer in answers.values())
    assert all("set-cookie" not in dict(headers) for _, headers, _ in answers.values())


@pytest.mark.asvs("6.3.8")
async def test_every_failed_sign_in_costs_the_same_work(people: World, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"hashes": 0, "writes": 0}

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def count(*arguments: Any, **named: Any) -> Any:
            counts[name] += 1
            return real(*arguments, **named)

        return count

    services = people.services
    monkeypatch.setattr(services.hasher, "_matches", counted("hashes", services.hasher._matches))  # noqa: SLF001  the one place where work is done
    monkeypatch.setattr(services.db, "write", counted("writes", services.db.write))
    work = {}
    for kind, (identifier, password) in KINDS.items():
        counts.update(hashes=0, writes=0)
        await people.visitor("198.51.100.7").sign_in(identifier, password)
        work[kind] = dict(counts)

    assert work["unknown"]["hashes"] == 1
    assert all(done == work["unknown"] for done in work.values()), work


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize(
    "others", [("{}", " {}", "{} ", "\t{}", "{}\n", "{}"), ("{}", "{:>9}", "{:<9}", "{}", "{}", "{}")]
)
async def test_other_spellings_of_a_name_are_counted_alike(people: World, others: tuple[str, ...]) -> None:
    statuses = {}
    for name in ("active", "nobody"):
        visitor = people.visitor("198.51.100.8")
        statuses[name] = [
            (await visitor.sign_in(spelling.format(text), WRONG)).status_code
            for spelling in others
            for text in (name, name.upper())
        ]
    assert statuses["active"] == statuses["nobody"]
    assert statuses["active"] == [401] * 5 + [429] * 7


@pytest.mark.asvs("6.3.8")
async def test_an_address_that_nobody_has_proven_names_nobody(people: World) -> None:
    visitor = people.visitor()
    await visitor.sign_up("claimer", email="active@example.org")
    stranger = people.visitor("198.51.100.9")
    claimed = await stranger.sign_in("active@example.org", PASSWORD)
    unknown = await stranger.sign_in("nobody@example.org", PASSWORD)

    assert shown(claimed) == shown(unknown)
    assert claimed.status_code == 401
    answer = await people.visitor().post(
        "/api/users", {"uid": "second", "name": "Second", "email": "active@example.org", "password": PASSWORD}
    )
    assert answer.status_code == 201, "sign-up does not tell whose address it is"
