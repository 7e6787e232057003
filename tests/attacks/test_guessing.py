"""Guessing over HTTP: how many tries get an answer, and who is kept waiting (C11, C12)."""

import asyncio
import json

import httpx
import msgspec
import pytest

from doorward.config import Settings
from tests.http.conftest import PASSWORD, World
from tests.support.attack import audited

WRONG = "not the password of anybody"
FREE = 5
LADDER = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, limits={"sign-up": {"per_address": "3/10m"}})


async def guess(world: World, identifier: str, number: int = 0) -> httpx.Response:
    """One wrong password, from a network of its own."""
    return await world.visitor(f"198.51.{number // 250}.{number % 250 + 1}").sign_in(identifier, WRONG)


@pytest.mark.asvs("6.3.1")
@pytest.mark.parametrize("identifier", ["ada", "nobody"])
async def test_the_sixth_wrong_try_is_refused_whether_or_not_there_is_such_a_user(
    world: World, identifier: str
) -> None:
    await world.visitor().sign_up("ada")
    answers = [await guess(world, identifier, number) for number in range(FREE + 1)]

    assert [answer.status_code for answer in answers] == [401] * FREE + [429]
    assert answers[-1].headers["retry-after"] == "1"
    assert answers[-1].json()["retry_after"] == 1
    assert await audited(world, "excess_rate_limit_exceeded")


@pytest.mark.asvs("6.3.1")
@pytest.mark.asvs("15.4.2")
@pytest.mark.parametrize("identifier", ["ada", "nobody"])
async def test_fifty_guesses_at_once_get_no_more_answers_than_fifty_in_a_row(world: World, identifier: str) -> None:
    await world.visitor().sign_up("ada")
    answers = await asyncio.gather(*(guess(world, identifier, number) for number in range(50)))

    assert sorted(answer.status_code for answer in answers) == [401] * FREE + [429] * 45


@pytest.mark.asvs("6.1.1")
@pytest.mark.asvs("6.3.1")
async def test_each_further_failure_doubles_the_wait_up_to_an_hour(world: World) -> None:
    await world.visitor().sign_up("ada")
    number, told = FREE, []
    for _ in range(FREE):
        await guess(world, "ada")
    for _ in LADDER:
        number += 1
        refused = await guess(world, "ada", number)
        told.append(int(refused.headers["retry-after"]))
        world.clock.advance(told[-1] - 0.5)
        assert (await guess(world, "ada", number)).status_code == 429
        world.clock.advance(0.5)
        assert (await guess(world, "ada", number)).status_code == 401
    assert told == LADDER

    world.clock.advance(3600)
    assert (await world.visitor().sign_in("ada")).status_code == 201
    assert [(await guess(world, "ada", 99)).status_code for _ in range(FREE)] == [401] * FREE


@pytest.mark.asvs("6.1.1")
async def test_two_hundred_wrong_tries_of_strangers_leave_the_owners_device_open(world: World) -> None:
    owner = world.visitor()
    await owner.sign_up("ada")
    for number in range(200):
        world.clock.advance(3601 if number < 110 else 0)
        assert (await guess(world, "ada", number)).status_code in {401, 429}
    assert len(await audited(world, "authn_login_fail")) >= 100
    assert await audited(world, "authn_login_lock")

    assert (await world.visitor("203.0.113.5").sign_in("ada")).status_code == 429
    assert (await owner.sign_in("ada")).status_code == 201


@pytest.mark.asvs("6.3.1")
async def test_one_network_cannot_try_one_password_on_many_names(world: World) -> None:
    neighbours = [world.visitor(f"2001:db8:0:1::{number:x}") for number in range(1, 32)]
    statuses = [(await one.sign_in(f"name-{number}", WRONG)).status_code for number, one in enumerate(neighbours)]

    assert statuses == [401] * 30 + [429]
    assert (await world.visitor("2001:db8:0:2::1").sign_in("other", WRONG)).status_code == 401


@pytest.mark.asvs("6.3.1")
async def test_reauthentication_is_limited_like_sign_in(world: World) -> None:
    visitor = world.visitor()
    await visitor.sign_up("ada")
    path = "/api/sessions/current/reauthenticate"
    statuses = [(await visitor.post(path, {"password": WRONG})).status_code for _ in range(FREE + 1)]

    assert statuses == [401] * FREE + [429]
    assert (await visitor.send("DELETE", "/api/users/me", {"password": PASSWORD})).status_code == 429


@pytest.mark.asvs("2.4.1")
async def test_refused_sign_ups_are_told_and_audited(world: World) -> None:
    bodies = [{"uid": f"user-{number}", "name": "Somebody", "password": PASSWORD} for number in range(4)]
    answers = [await world.visitor().post("/api/users", body) for body in bodies]

    assert [answer.status_code for answer in answers] == [201, 201, 201, 429]
    assert int(answers[-1].headers["retry-after"]) > 0
    (noted,) = await audited(world, "excess_rate_limit_exceeded")
    assert json.loads(noted.payload or "")["action"] == "sign-up"
