"""Cookies, tokens and JWTs used again after their session ended, whatever ended it (C35, C36)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
import pytest

from doorward.datadir import DataDir
from tests.http.conftest import PASSWORD, Visitor, World, running
from tests.support.attack import OPERATOR

CURRENT = "/api/sessions/current"
NEW = "another quite different phrase"


@dataclass
class Stolen:
    """Everything that opens the sessions of one user: a browser's cookie, a program's token, a JWT."""

    owner: Visitor
    user_id: str
    keys: dict[str, dict[str, str]]

    async def open(self, world: World) -> dict[str, bool]:
        """Which of them still do."""
        opened = {}
        for name, headers in self.keys.items():
            answers = [await world.visitor().get(path, headers=headers) for path in (CURRENT, "/api/users/me")]
            assert len({answer.status_code for answer in answers}) == 1
            opened[name] = answers[0].status_code == 200
        return opened


async def steal(world: World) -> Stolen:
    owner, program = world.visitor(), world.visitor()
    user = await owner.sign_up("ada")
    jwt = await owner.post("/api/users/authenticate", {"uid": "ada", "password": PASSWORD})
    body = {"identifier": "ada", "password": PASSWORD, "transport": "bearer"}
    token = (await program.post("/api/sessions", body)).json()["token"]
    await owner.learn_csrf()
    keys = {
        "cookie": {"cookie": f"doorward={owner.http.cookies['doorward']}"},
        "token": {"authorization": f"Bearer {token}"},
        "JWT": {"authorization": f"Bearer {jwt.json()['data']['jwt']}"},
    }
    stolen = Stolen(owner, user["id"], keys)
    assert await stolen.open(world) == dict.fromkeys(keys, True)
    return stolen


GONE = {"cookie": False, "token": False, "JWT": False}


@pytest.mark.asvs("7.4.1")
@pytest.mark.parametrize("way", ["JSON", "page", "list"])
async def test_signing_out_ends_the_cookie_and_its_jwt(world: World, way: str) -> None:
    stolen = await steal(world)
    if way == "JSON":
        answer = await stolen.owner.send("DELETE", CURRENT)
    elif way == "page":
        answer = await stolen.owner.submit("/sign-out", {}, "/account")
    else:
        own = (await stolen.owner.get(CURRENT)).json()["id"]
        answer = await stolen.owner.send("DELETE", f"/api/sessions/{own}")

    assert answer.status_code in {204, 303}
    assert answer.headers["clear-site-data"] == '"cache", "storage"'
    assert await stolen.open(world) == {**GONE, "token": True}


@pytest.mark.asvs("7.4.3")
async def test_a_new_password_ends_every_other_session_and_the_old_secret(world: World) -> None:
    stolen = await steal(world)
    await stolen.owner.submit("/account/password", {"current_password": PASSWORD, "new_password": NEW})

    opened = await stolen.open(world)
    assert not opened["cookie"]
    assert not opened["token"]


@pytest.mark.asvs("7.4.2")
async def test_disabling_a_user_ends_their_sessions_for_good(world: World) -> None:
    stolen = await steal(world)
    users = world.services.users
    await users.set_status(stolen.user_id, "disabled", None, OPERATOR)
    assert await stolen.open(world) == GONE
    await users.set_status(stolen.user_id, "active", None, OPERATOR)
    assert await stolen.open(world) == GONE, "letting somebody in again wakes no old session"
    assert (await world.visitor().sign_in("ada")).status_code == 201


@pytest.mark.asvs("7.2.4")
@pytest.mark.asvs("8.3.2")
async def test_a_change_of_roles_ends_the_sessions_that_began_before(world: World) -> None:
    stolen = await steal(world)
    await world.services.users.set_roles(stolen.user_id, ["admin"], None, OPERATOR)
    assert await stolen.open(world) == GONE
    again = world.visitor()
    assert (await again.sign_in("ada")).json()["user"]["roles"] == ["admin"]
    await world.services.users.set_roles(stolen.user_id, ["admin"], None, OPERATOR)
    assert (await again.get(CURRENT)).status_code == 200, "what changes nothing ends nothing"


async def test_a_new_name_ends_nothing_and_is_seen_at_once(world: World) -> None:
    stolen = await steal(world)
    await stolen.owner.send("PATCH", "/api/users/me", {"name": "Somebody Else"})
    assert await stolen.open(world) == dict.fromkeys(GONE, True)
    assert (await stolen.owner.get(CURRENT)).json()["user"]["name"] == "Somebody Else"


@pytest.mark.asvs("7.4.2")
async def test_a_deleted_user_leaves_nothing_that_opens(world: World) -> None:
    stolen = await steal(world)
    assert (await stolen.owner.send("DELETE", "/api/users/me")).status_code == 204
    assert await stolen.open(world) == GONE
    asked = await world.visitor().sign_in("ada")
    assert (asked.status_code, asked.json()["next"]) == (200, "restoration"), "whether to come back, and no session"


@asynccontextmanager
async def second_worker(world: World, tmp_path: Path) -> AsyncIterator[World]:
    async with running(world.services.settings, DataDir.open(tmp_path / "data"), world.clock) as second:
        yield second


@pytest.mark.asvs("7.4.1")
@pytest.mark.asvs("8.3.2")
@pytest.mark.parametrize("how", ["sign-out", "disable", "roles", "delete"])
async def test_another_worker_believes_in_an_ended_session_for_less_than_a_second(
    world: World, tmp_path: Path, how: str
) -> None:
    stolen = await steal(world)
    async with second_worker(world, tmp_path) as second:
        assert all((await stolen.open(second)).values()), "now it is in the other worker's memory, too"
        match how:
            case "sign-out":
                await stolen.owner.send("DELETE", CURRENT)
            case "disable":
                await world.services.users.set_status(stolen.user_id, "disabled", None, OPERATOR)
            case "roles":
                await world.services.users.set_roles(stolen.user_id, ["support"], None, OPERATOR)
            case _:
                await stolen.owner.send("DELETE", "/api/users/me")
        world.clock.advance(1)
        opened = await stolen.open(second)
    assert opened == ({**GONE, "token": True} if how == "sign-out" else GONE)


async def test_what_was_never_given_out_is_refused_like_what_has_ended(world: World) -> None:
    stolen = await steal(world)
    await stolen.owner.send("DELETE", CURRENT)
    answers = [
        await world.visitor().get(CURRENT, headers=headers)
        for headers in (stolen.keys["cookie"], {"cookie": "doorward=" + "B" * 43}, {})
    ]
    assert {_without_id(answer) for answer in answers} == {_without_id(answers[0])}
    assert answers[0].status_code == 401


def _without_id(answer: httpx.Response) -> bytes:
    return msgspec.json.encode({key: value for key, value in answer.json().items() if key != "request_id"})
