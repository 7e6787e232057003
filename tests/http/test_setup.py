"""The one-time link of the first administrator (C10)."""

import asyncio

import pytest

from tests.http.conftest import PASSWORD, Visitor, World
from tests.support.attack import audited, dump

CHIEF = {"uid": "chief", "name": "The Chief", "password": PASSWORD}


@pytest.fixture
async def link(world: World) -> str:
    found = await world.services.setup.first_link()
    assert found is not None
    return found


async def roles_of(visitor: Visitor) -> list[str]:
    answer = await visitor.get("/api/users/me")
    return list(answer.json().get("roles", [])) if answer.status_code == 200 else []


@pytest.mark.asvs("6.3.2")
async def test_the_link_makes_one_administrator(world: World, link: str) -> None:
    visitor = world.visitor()
    answer = await visitor.submit(link, CHIEF)

    assert answer.status_code == 303
    assert await roles_of(visitor) == ["admin"]
    assert await world.services.setup.first_link() is None
    assert [event.outcome for event in await audited(world, "user_created")] == ["success"]


@pytest.mark.asvs("6.3.2")
@pytest.mark.asvs("15.4.2")
async def test_twenty_at_once_make_one_administrator(world: World, link: str) -> None:
    visitors = [world.visitor(f"198.51.100.{number + 1}") for number in range(20)]

    async def one(number: int) -> int:
        return (await visitors[number].submit(link, {**CHIEF, "uid": f"chief-{number}"}, "/sign-in")).status_code

    statuses = await asyncio.gather(*(one(number) for number in range(20)))
    assert sorted(statuses) == [303] + [404] * 19
    assert sum([await roles_of(visitor) == ["admin"] for visitor in visitors]) == 1
    tables = await dump(world.services.db)
    assert len(tables["users"]) == len(tables["password"]) == len(tables["session"]) == 1


async def test_twenty_at_once_promote_one_member(world: World, link: str) -> None:
    members = [world.visitor() for _ in range(20)]
    for number, visitor in enumerate(members):
        await visitor.sign_up(f"member-{number}")
    answers = await asyncio.gather(*(one.http.post(link, data={"csrf_token": one.csrf}) for one in members))

    assert sorted(answer.status_code for answer in answers) == [303] + [404] * 19
    assert await world.services.users.any_with_role("admin")
    assert len([row for row in (await dump(world.services.db))["users"] if '["admin"]' in row]) == 1


@pytest.mark.asvs("6.4.1")
async def test_looking_at_the_link_consumes_nothing(world: World, link: str) -> None:
    before = await dump(world.services.db)
    for _ in range(3):
        page = await world.visitor().get(link)
        assert page.status_code == 200
        assert (await world.visitor().http.head(link)).status_code == 200
    assert await dump(world.services.db) == before
    assert (await world.visitor().submit(link, CHIEF)).status_code == 303


@pytest.mark.asvs("6.4.1")
async def test_a_used_link_is_dead(world: World, link: str) -> None:
    await world.visitor().submit(link, CHIEF)
    assert (await world.visitor().get(link)).status_code == 404
    late = world.visitor()
    assert (await late.submit(link, {**CHIEF, "uid": "late"}, "/sign-in")).status_code == 404
    assert (await late.sign_in("late")).status_code == 401


@pytest.mark.asvs("6.4.1")
async def test_the_link_lives_an_hour(world: World, link: str) -> None:
    world.clock.advance(3599)
    assert (await world.visitor().get(link)).status_code == 200
    world.clock.advance(1)
    assert (await world.visitor().get(link)).status_code == 404
    assert (await world.visitor().submit(link, CHIEF, "/sign-in")).status_code == 404


async def test_a_new_link_kills_the_one_before(world: World, link: str) -> None:
    later = await world.services.setup.new_link()
    assert (await world.visitor().get(link)).status_code == 404
    assert (await world.visitor().get(later)).status_code == 200


async def test_a_mistake_does_not_consume_the_link(world: World, link: str) -> None:
    visitor = world.visitor()
    answer = await visitor.submit(link, {**CHIEF, "password": "short"})
    assert answer.status_code == 400
    assert "There is a problem" in answer.text
    await world.visitor().sign_up("taken")
    assert (await visitor.submit(link, {**CHIEF, "uid": "taken"})).status_code == 400
    assert (await visitor.submit(link, CHIEF)).status_code == 303
    assert await roles_of(visitor) == ["admin"]


async def test_the_link_promotes_who_is_signed_in_and_asks_them_to_sign_in_again(world: World, link: str) -> None:
    visitor = world.visitor()
    user = await visitor.sign_up("ada")
    before = visitor.cookie_header()
    answer = await visitor.submit(link, {})

    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert (await world.visitor().get("/api/users/me", headers=before)).status_code == 401
    assert (await visitor.sign_in("ada")).json()["user"] == {
        "id": user["id"], "uid": "ada", "name": user["name"], "roles": ["admin"]
    }  # fmt: skip
    (change,) = await audited(world, "authz_change")
    assert (change.user_id, change.actor_id) == (user["id"], user["id"])


@pytest.mark.parametrize("path", ["/setup/", "/setup/x", "/setup/" + "A" * 43, "/setup/A/B"])
async def test_a_made_up_link_leads_nowhere(world: World, path: str) -> None:
    assert (await world.visitor().get(path)).status_code == 404
    assert (await world.visitor().submit(path, CHIEF, "/sign-in")).status_code in {404, 405}
    assert (await dump(world.services.db))["users"] == []


async def test_the_link_holds_256_random_bits(world: World) -> None:
    links = {await world.services.setup.new_link() for _ in range(20)}
    assert len(links) == 20
    assert {len(link.removeprefix("/setup/")) for link in links} == {43}


@pytest.mark.asvs("6.3.2")
async def test_there_is_nobody_to_sign_in_as_before_the_first_sign_up(world: World) -> None:
    assert (await dump(world.services.db))["users"] == []
    for uid in ("admin", "root", "doorward", "administrator"):
        for password in ("admin", "password", "doorward", ""):
            assert (await world.visitor().sign_in(uid, password)).status_code in {400, 401}


async def test_the_last_administrator_cannot_go(world: World, link: str) -> None:
    chief = world.visitor()
    await chief.submit(link, CHIEF)
    await chief.learn_csrf()
    assert (await chief.send("DELETE", "/api/users/me")).status_code == 409
    refused = await chief.submit("/account/delete", {"confirm": CHIEF["uid"]})
    assert refused.status_code == 409
    assert await roles_of(chief) == ["admin"]


async def test_two_last_administrators_cannot_both_go_at_once(world: World, link: str) -> None:
    first, second = world.visitor(), world.visitor()
    await first.submit(link, CHIEF)
    await second.submit(await world.services.setup.new_link(), {**CHIEF, "uid": "second"})
    for visitor in (first, second):
        await visitor.learn_csrf()
    answers = await asyncio.gather(*(one.send("DELETE", "/api/users/me") for one in (first, second)))
    assert sorted(answer.status_code for answer in answers) == [204, 409]
