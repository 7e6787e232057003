"""Sessions that somebody else chose: no secret but a new one of ours ever opens a session (C32; ASVS 7.2.4)."""

import re
from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.http.conftest import PASSWORD, Visitor, World

PLANTED = "A" * 43
CURRENT = "/api/sessions/current"
NEW = "another quite different phrase"


async def by_json(visitor: Visitor, held: dict[str, str]) -> httpx.Response:
    return await visitor.post("/api/sessions", {"identifier": "ada", "password": PASSWORD}, headers=held)


async def by_jwt(visitor: Visitor, held: dict[str, str]) -> httpx.Response:
    return await visitor.post("/api/users/authenticate", {"uid": "ada", "password": PASSWORD}, headers=held)


async def by_sign_up(visitor: Visitor, held: dict[str, str]) -> httpx.Response:
    return await visitor.post("/api/users", {"uid": "new", "name": "New", "password": PASSWORD}, headers=held)


async def by_page(visitor: Visitor, held: dict[str, str]) -> httpx.Response:
    # A form fetched with that cookie: with the session's token if it opened one, else with that of a visit.
    shown = await visitor.get("/", headers=held)
    if shown.status_code == 303:
        shown = await visitor.get("/account", headers=held)
    visit = {"cookie": "; ".join([held["cookie"], *(f"{name}={value}" for name, value in shown.cookies.items())])}
    token = re.findall(r'name="csrf_token" value="([^"]+)"', shown.text)[0]
    form = {"csrf_token": token, "identifier": "ada", "password": PASSWORD}
    return await visitor.http.post("/sign-in", data=form, headers=visit)


Way = Callable[[Visitor, dict[str, str]], Awaitable[httpx.Response]]
WAYS = pytest.mark.parametrize("way", [by_json, by_jwt, by_sign_up, by_page])


async def opens(world: World, token: str) -> bool:
    answer = await world.visitor().get(CURRENT, headers={"cookie": f"doorward={token}"})
    return answer.status_code == 200


def given(answer: httpx.Response) -> str:
    """The session that an answer sets."""
    return str(answer.cookies["doorward"])


@pytest.mark.asvs("7.2.4")
@WAYS
async def test_a_planted_secret_is_never_adopted(world: World, way: Way) -> None:
    await world.visitor().sign_up("ada")
    answer = await way(world.visitor(), {"cookie": f"doorward={PLANTED}"})

    assert answer.status_code in {200, 201, 303}
    assert given(answer) != PLANTED
    assert await opens(world, given(answer))
    assert not await opens(world, PLANTED)


@pytest.mark.asvs("7.2.4")
@WAYS
async def test_a_planted_session_is_replaced_and_ends(world: World, way: Way) -> None:
    await world.visitor().sign_up("ada")
    attacker = world.visitor()
    await attacker.sign_up("eve")
    planted = str(attacker.http.cookies["doorward"])
    answer = await way(world.visitor(), {"cookie": f"doorward={planted}"})

    assert given(answer) != planted
    assert await opens(world, given(answer))
    assert not await opens(world, planted)
    assert len(await world.services.sessions.list_of(await attacker_id(world))) == 0


async def attacker_id(world: World) -> str:
    user = await world.services.users.find_by_identifier("eve")
    assert user is not None
    return user.id


@pytest.mark.asvs("7.2.4")
async def test_a_program_that_signs_in_leaves_the_browsers_session_alone(world: World) -> None:
    visitor = world.visitor()
    await visitor.sign_up("ada")
    body = {"identifier": "ada", "password": PASSWORD, "transport": "bearer"}
    assert (await visitor.post("/api/sessions", body)).status_code == 201
    assert (await visitor.get(CURRENT)).status_code == 200


@pytest.mark.asvs("7.2.4")
@pytest.mark.asvs("7.5.3")
@pytest.mark.parametrize("step", ["JSON", "page", "password"])
async def test_proving_oneself_anew_changes_the_secret(world: World, step: str) -> None:
    visitor = world.visitor()
    await visitor.sign_up("ada")
    before = str(visitor.http.cookies["doorward"])
    if step == "JSON":
        answer = await visitor.post("/api/sessions/current/reauthenticate", {"password": PASSWORD})
    elif step == "page":
        answer = await visitor.submit("/confirm", {"password": PASSWORD})
    else:
        answer = await visitor.submit("/account/password", {"current_password": PASSWORD, "new_password": NEW})

    assert answer.status_code in {200, 303}
    assert given(answer) != before
    assert await opens(world, given(answer))
    assert not await opens(world, before)


@pytest.mark.asvs("7.2.1")
@pytest.mark.asvs("14.2.1")
async def test_a_session_is_not_read_from_anywhere_but_its_cookie(world: World) -> None:
    visitor = world.visitor()
    await visitor.sign_up("ada")
    token = str(visitor.http.cookies["doorward"])
    session_id = (await visitor.get(CURRENT)).json()["id"]
    stranger = world.visitor()
    for query in (f"doorward={token}", f"token={token}", f"access_token={token}", f"session={session_id}"):
        assert (await stranger.get(f"{CURRENT}?{query}")).status_code == 401
    for cookie in (
        f"doorward={session_id}",
        f"Doorward={token}",
        f"doorward-visit={token}",
        f"__Host-doorward={token}",
    ):
        assert (await stranger.get(CURRENT, headers={"cookie": cookie})).status_code == 401
    assert (await stranger.get(CURRENT, headers={"authorization": f"Bearer {token}"})).status_code == 401


@pytest.mark.asvs("3.3.3")
async def test_a_cookie_sent_twice_opens_nothing(world: World) -> None:
    victim, attacker = world.visitor(), world.visitor()
    await victim.sign_up("ada")
    await attacker.sign_up("eve")
    own, planted = str(victim.http.cookies["doorward"]), str(attacker.http.cookies["doorward"])
    for cookie in (f"doorward={planted}; doorward={own}", f"doorward={own}; doorward={planted}"):
        assert (await world.visitor().get(CURRENT, headers={"cookie": cookie})).status_code == 401
