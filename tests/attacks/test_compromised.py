"""A password that others know opens nothing: neither for them nor, before it is replaced, for its owner (C8).

ASVS 5.0: 6.2.12 (known passwords), 6.4.3 (no bypass), 7.4.3 (sessions end).
"""

import asyncio
import io
import json

import pytest

from tests.http.conftest import PASSWORD, Inbox, World
from tests.support.attack import OPERATOR, audited, dump
from tests.support.members import last, member

ADDRESS = "ada@example.org"
NEW = "three brass lamps in the fog"


async def flag(world: World, uid: str) -> str:
    user = await world.services.users.find_by_identifier(uid)
    assert user is not None
    await world.services.recovery.flag_compromised(user.id, OPERATOR)
    return user.id


@pytest.mark.asvs("7.4.3")
async def test_every_session_ends_and_no_device_is_known_any_more(world: World) -> None:
    ada, _ = await member(world, "ada", ADDRESS)
    sent = {"identifier": "ada", "password": PASSWORD, "transport": "bearer"}
    bearer = (await world.visitor().post("/api/sessions", sent)).json()["token"]
    user_id = await flag(world, "ada")
    assert (await ada.get("/api/sessions/current")).status_code == 401
    header = {"authorization": f"Bearer {bearer}"}
    assert (await world.visitor().get("/api/sessions/current", headers=header)).status_code == 401
    tables = await dump(world.services.db)
    assert user_id not in repr([tables["session"], tables["known_device"]])
    rows = [json.loads(row.payload or "{}") for row in await audited(world, "user_updated")]
    assert {"fields": ["password"], "password": "compromised"} in rows


@pytest.mark.asvs("6.2.12")
@pytest.mark.parametrize("way", ["JSON", "bearer", "JWT", "page"])
async def test_the_right_password_starts_no_session_and_a_link_goes_to_the_owner(world: World, way: str) -> None:
    ada, _ = await member(world, "ada", ADDRESS)
    await flag(world, "ada")
    if way == "page":
        answer = await ada.submit("/sign-in", {"identifier": "ada", "password": PASSWORD, "next": "/account"})
        assert "We have sent you an e-mail" in answer.text
        assert PASSWORD not in answer.text
    else:
        named = "uid" if way == "JWT" else "identifier"
        body = {named: "ada", "password": PASSWORD, **({"transport": "bearer"} if way == "bearer" else {})}
        answer = await ada.post("/api/users/authenticate" if way == "JWT" else "/api/sessions", body)
        assert answer.json()["code"] == "password_change_required"
        assert "token" not in answer.json()
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert not [row for row in (await dump(world.services.db))["session"] if "operator" not in row]

    mail = await last(world, ADDRESS)
    assert (mail.template, mail.values["minutes"]) == ("password_compromised", 60)
    browser = world.visitor()
    assert (await browser.submit(str(mail.values["path"]), {"password": NEW})).status_code == 303
    assert (await browser.sign_in("ada", PASSWORD)).status_code == 401
    assert (await browser.sign_in("ada", NEW)).status_code == 201


@pytest.mark.asvs("6.2.12")
async def test_the_password_that_others_know_cannot_be_chosen_anew(world: World) -> None:
    await member(world, "ada", ADDRESS)
    await flag(world, "ada")
    await world.visitor().sign_in("ada")
    path = str((await last(world, ADDRESS)).values["path"])
    body = {"token": path.removeprefix("/recovery/"), "password": PASSWORD}
    answer = await world.visitor().post("/api/recovery/complete", body)
    assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [("password", "unchanged")]
    assert (await world.visitor().submit(path, {"password": NEW})).status_code == 303
    assert (await world.visitor().sign_in("ada", NEW)).status_code == 201


async def test_a_wrong_password_is_answered_as_ever(world: World) -> None:
    await member(world, "ada", ADDRESS)
    plain = await world.visitor().sign_in("ada", "not the password of ada")
    await flag(world, "ada")
    flagged = await world.visitor().sign_in("ada", "not the password of ada")
    nobody = await world.visitor().sign_in("bob", "not the password of ada")
    bodies = [{**answer.json(), "request_id": ""} for answer in (plain, flagged, nobody)]
    assert bodies[0] == bodies[1] == bodies[2]
    assert "password_compromised" not in [one.template for one in await Inbox(world).messages()]


@pytest.mark.asvs("6.2.12")
async def test_without_an_address_the_browser_that_knew_it_chooses_another(world: World) -> None:
    await world.visitor().sign_up("ada")
    await flag(world, "ada")
    browser = world.visitor()
    answer = await browser.submit("/sign-in", {"identifier": "ada", "password": PASSWORD, "next": "/account"})
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/recovery/")
    assert "set-cookie" not in answer.headers
    page = await browser.get(answer.headers["location"])
    assert "has become known to others" in page.text
    first = answer.headers["location"]
    token = (await world.visitor().sign_in("ada")).json()["token"]
    assert (await browser.submit(first, {"password": NEW})).status_code == 400, "a newer one took its place"
    done = await world.visitor().post("/api/recovery/complete", {"token": token, "password": NEW})
    assert done.status_code == 200
    assert (await browser.sign_in("ada", PASSWORD)).status_code == 401
    assert (await browser.sign_in("ada", NEW)).status_code == 201


async def test_a_claimed_address_gets_no_link(world: World) -> None:
    await world.visitor().sign_up("ada", email=ADDRESS)
    await flag(world, "ada")
    before = len(await Inbox(world).rows())
    answer = await world.visitor().sign_in("ada")
    assert answer.json()["token"]
    assert len(await Inbox(world).rows()) == before


@pytest.mark.asvs("6.5.5")
async def test_the_browsers_token_lives_a_quarter_of_an_hour(world: World) -> None:
    await world.visitor().sign_up("ada")
    await flag(world, "ada")
    token = (await world.visitor().sign_in("ada")).json()["token"]
    world.clock.advance(15 * 60)
    answer = await world.visitor().post("/api/recovery/complete", {"token": token, "password": NEW})
    assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [("token", "expired")]


async def test_who_knows_the_password_cannot_flood_its_owner(world: World) -> None:
    await member(world, "ada", ADDRESS)
    await flag(world, "ada")
    world.clock.advance(15 * 60)
    answers = [await world.visitor().sign_in("ada") for _ in range(8)]
    assert {answer.status_code for answer in answers} == {403}
    sent = [one for one in await Inbox(world).messages(ADDRESS) if one.template == "password_compromised"]
    assert len(sent) == 5


@pytest.mark.asvs("7.4.3")
async def test_a_sign_in_at_the_same_time_leaves_no_session(world: World) -> None:
    ada, _ = await member(world, "ada", ADDRESS)
    for number in range(5):
        visitors = [world.visitor(f"198.51.100.{number}") for _ in range(4)]
        await asyncio.gather(*(visitor.sign_in("ada") for visitor in visitors), flag(world, "ada"))
        tables = await dump(world.services.db)
        assert tables["session"] == []
        user = await world.services.users.find_by_identifier("ada")
        assert user is not None
        digest = await world.services.passwords.hash_new(PASSWORD, ())
        user_id = user.id
        await world.services.db.write(lambda: world.services.passwords.set_password(user_id, digest))  # noqa: B023  called at once
    assert (await ada.get("/api/sessions/current")).status_code == 401


async def test_no_token_is_in_the_logs(world: World, log_lines: io.StringIO) -> None:
    await world.visitor().sign_up("ada")
    await flag(world, "ada")
    token = (await world.visitor().sign_in("ada")).json()["token"]
    assert token not in log_lines.getvalue()
    assert "password known to others" in log_lines.getvalue()
