"""An export read by a thief, or one that tells of somebody else: what must not be in it, and who must not get it.

ASVS 5.0: 7.5.1 (fresh authentication), 8.2.2 (own data only), 13.3.1, 14.2.6 (no secret), 15.4.2.
"""

import asyncio
import base64
import io
import json
import zipfile
from typing import Any

import httpx
import pytest
from sqlalchemy import bindparam

from doorward.account.activity import EXPORTED
from doorward.audit import Event, Outcome
from doorward.kernel.caller import Caller
from doorward.sql import Row, Statement, Value, Work, insert
from doorward.sql.tables import authenticator, challenge, passkey_user
from tests.attacks.test_dump import forms_of
from tests.http.conftest import PASSWORD, Inbox, Visitor, World
from tests.support.attack import OPERATOR, audited, dump, live_token, make_admin
from tests.support.members import STALE, code, member

ADDRESS, EVES, NUMBER = "ada@example.org", "eve@example.net", "+4915123456789"
EVES_HOME = "203.0.113.66"
API = "/api/users/me/export"
NEW = "three brass lamps in the fog"
CANARIES: dict[str, Value] = {
    "secret_sealed": b"canary-of-a-totp-secret-sealed",
    "state": '{"codes": ["canary-of-a-recovery-code"], "step": 4711}',
    "lookup": b"canary-of-a-credential-id",
}


def unpacked(answer: httpx.Response) -> bytes:
    """Everything in it, as it would be read."""
    assert answer.status_code == 200, answer.text
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    return b"\n".join(name.encode() + b"\n" + archive.read(name) for name in archive.namelist())


def part_of(answer: httpx.Response, name: str) -> Any:
    return json.loads(zipfile.ZipFile(io.BytesIO(answer.content)).read(name))


def add(statement: Statement, **params: Value) -> Work[list[Row]]:
    return list((yield statement(**params)))


def into(table: Any) -> Statement:
    return Statement(insert(table).values({column.name: bindparam(column.name) for column in table.columns}))


async def plant(world: World, user_id: str) -> None:
    """Second factors with canaries in everything that is secret about them."""
    facts: dict[str, Value] = {
        "id": "f1",
        "user_id": user_id,
        "kind": "email_code",  # which makes no session stale
        "label": "My phone",
        "version": 1,
        "step": 1,
        "bound_at": 0,
    }
    await world.services.db.write(lambda: add(into(authenticator), **facts, last_used_at=None, **CANARIES))
    handle = b"canary-of-a-passkey-user-handle"
    await world.services.db.write(lambda: add(into(passkey_user), user_id=user_id, handle=handle))
    asked: dict[str, Value] = {"id": "c1", "purpose": "x", "user_id": user_id, "created_at": 0, "expires_at": 2**60}
    sealed: dict[str, Value] = {"holder_digest": b"canary-of-a-holder", "content_sealed": b"canary-of-a-challenge"}
    await world.services.db.write(lambda: add(into(challenge), **asked, **sealed))


async def live(world: World) -> tuple[Visitor, str, dict[str, str]]:
    """Use everything that has a secret; whose, and the secrets by name."""
    ada, user_id = await member(world, "ada", ADDRESS)
    body = {"identifier": "ada", "password": PASSWORD, "transport": "bearer"}
    bearer = (await world.visitor().post("/api/sessions", body)).json()["token"]
    jwt = (await world.visitor().post("/api/users/authenticate", {"uid": "ada", "password": PASSWORD})).json()
    await world.visitor().sign_in("ada", "a wrong password somebody typed")
    await ada.post(f"/api/users/{user_id}/email", {"email": "new@example.org"})
    change = (await Inbox(world).last("new@example.org")).values
    recovery = await live_token(world, "recovery", user_id)
    await plant(world, user_id)
    cookies = ada.http.cookies
    return (
        ada,
        user_id,
        {
            "password": PASSWORD,
            "wrong password": "a wrong password somebody typed",
            "session": str(cookies["doorward"]),
            "device": str(cookies["doorward-device"]),
            "visit": str(cookies.get("doorward-visit", "canary")),
            "CSRF token": ada.csrf,
            "bearer token": bearer,
            "JWT": jwt["data"]["jwt"].split(".")[2],
            "recovery link": recovery,
            "link of a change": str(change["path"]).rpartition("/")[2],
            "code of a change": f'"{change["code"]}"',
        },
    )


SECRET_TEXTS = {"password.digest", "authenticator.state"}  # besides everything that is bytes


def forms_of_bytes(value: bytes) -> set[bytes]:
    return {
        value, value.hex().encode(), base64.b64encode(value).rstrip(b"="), base64.urlsafe_b64encode(value).rstrip(b"="),
        repr(value)[2:-1].encode(),
    }  # fmt: skip


@pytest.mark.asvs("13.3.1")
@pytest.mark.asvs("14.2.6")
async def test_no_secret_is_in_it_nor_what_would_prove_one(world: World) -> None:
    ada, _, secrets = await live(world)
    text = unpacked(await ada.post(API))

    assert b"My phone" in text, "the label of a second factor"
    assert [name for name, secret in secrets.items() if any(form in text for form in forms_of(secret))] == []
    assert b"canary" not in text
    assert b"argon2" not in text
    columns = {name: [column.name for column in table.columns] for name, table in tables().items()}
    looked = set()
    for table, rows in (await dump(world.services.db)).items():
        for column, value in (
            (column, value) for row in rows for column, value in zip(columns[table], row, strict=True)
        ):
            if isinstance(value, bytes) or f"{table}.{column}" in SECRET_TEXTS:
                looked.add(table)
                plain = value if isinstance(value, bytes) else str(value).encode()
                assert not plain or not any(form in text for form in forms_of_bytes(plain)), (table, column)
    kept = {"password", "authenticator", "passkey_user", "challenge", "session", "known_device", "signing_key"}
    assert kept | {"confirmation", "message", "throttle", "audit_event"} <= looked


def tables() -> dict[str, Any]:
    return {table.name: table for table in authenticator.metadata.sorted_tables}


# Somebody else --------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("8.2.2")
async def test_nothing_of_anybody_else_is_in_it(world: World) -> None:
    """Two users who met in every way there is: rights, refusals, an address, a number, a browser, an invitation."""
    ada, user_id = await member(world, "ada", ADDRESS)
    chief = world.visitor("198.51.100.99")
    boss = await make_admin(world, chief, "chief")
    _, eve_id = await member(world, "eve-the-other", EVES, **{"user-agent": "EvesBrowser/1"})
    far = world.visitor(EVES_HOME, **{"user-agent": "EvesBrowser/1"})
    await far.sign_in("eve-the-other")
    for method in ("PATCH", "DELETE"):
        await far.send(method, f"/api/users/{user_id}", {"name": "Mallory"} if method == "PATCH" else None)
    session = (await ada.get("/api/sessions/current")).json()["id"]
    await far.send("DELETE", f"/api/sessions/{session}")
    # A claim of hers that Ada's proof voids, and one of Ada's that hers voids.
    await chief.send("PATCH", f"/api/users/{user_id}", {"coins": 3})
    await far.post(f"/api/users/{eve_id}/email", {"email": ADDRESS})
    await ada.post(f"/api/users/{user_id}/email", {"email": EVES})
    for visitor, owner in ((far, eve_id), (ada, user_id)):  # a number that goes from one to the other
        await visitor.post(f"/api/users/{owner}/phone", {"phone": NUMBER})
        answer = await visitor.post("/api/verifications", {"code": await code(world, NUMBER), "purpose": "phone"})
        assert answer.status_code == 200, answer.text
        world.clock.advance(1)
    await world.services.users.set_roles(user_id, ["support"], boss["id"], Caller("198.51.100.99"))
    await ada.sign_in("ada")

    text = unpacked(await ada.post(API)).decode()
    assert user_id in text
    eves_session = (await far.get("/api/sessions/current")).json()["id"]
    others = [eve_id, "eve-the-other", "Name of eve", EVES_HOME, "EvesBrowser", eves_session]
    others += [boss["id"], "chief", "Name of chief", "198.51.100.99"]
    assert [other for other in others if other in text] == []
    hers = unpacked(await far.post(API)).decode()
    assert [other for other in (user_id, "Name of ada", ADDRESS) if other in hers] == []
    assert NUMBER not in hers, "it is another's now"


async def test_what_was_sent_to_an_address_before_it_was_theirs_is_not_told(world: World) -> None:
    eve, _ = await member(world, "eve", ADDRESS)
    world.clock.advance(60)
    await eve.send("PUT", "/api/users/me/password", {"current_password": PASSWORD, "new_password": NEW})
    world.clock.advance(60)
    await eve.sign_in("eve", NEW)
    assert (await eve.send("PATCH", "/api/users/me", {"email": None})).status_code == 200
    world.clock.advance(900)
    ada, _ = await member(world, "ada", ADDRESS)
    sent = part_of(await ada.post(API), "messages.json")
    assert [one["template"] for one in sent] == []
    await member(world, "grace", EVES)
    world.clock.advance(1)
    claimer = world.visitor()
    await claimer.sign_up("claimer", email=EVES)
    assert [one["value"] for one in part_of(await claimer.post(API), "contacts.json")] == [EVES]
    assert part_of(await claimer.post(API), "messages.json") == [], "an address that is only claimed"


# Who gets it ----------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("7.5.1")
@pytest.mark.parametrize("how", ["cookie", "token"])
async def test_a_stolen_session_that_is_not_fresh_gets_none(world: World, how: str) -> None:
    ada, _ = await member(world, "ada")
    body = {"identifier": "ada", "password": PASSWORD, "transport": "bearer"}
    token = (await world.visitor().post("/api/sessions", body)).json()["token"]
    thief = world.visitor(EVES_HOME)
    own = {**ada.cookie_header(), "x-csrf-token": ada.csrf}
    headers = own if how == "cookie" else {"authorization": f"Bearer {token}"}
    world.clock.advance(STALE)
    answer = await thief.post(API, headers=headers)
    assert (answer.status_code, answer.json()["max_age"]) == (403, 600)
    assert await audited(world, "sensitive_read") == []


async def test_strangers_get_none(world: World) -> None:
    for headers in ({}, {"authorization": "Bearer dws_" + "A" * 43}, {"cookie": "doorward=" + "A" * 43}):
        assert (await world.visitor().post(API, headers=headers)).status_code == 401


async def test_an_administrator_gets_their_own_and_nobody_elses(world: World) -> None:
    chief = world.visitor()
    boss = await make_admin(world, chief, "chief")
    _, user_id = await member(world, "ada")
    assert part_of(await chief.post(API), "profile.json")["id"] == boss["id"]
    assert (await chief.post(f"/api/users/{user_id}/export")).status_code == 404


@pytest.mark.asvs("15.4.2")
async def test_many_at_once_do_not_exceed_the_limit(world: World) -> None:
    ada, _ = await member(world, "ada")
    answers = await asyncio.gather(*(ada.post(API) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [429] * 15


# Bounds ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("database_address", ["sqlite"], indirect=True)
async def test_however_much_happened_it_has_an_end_and_says_so(world: World) -> None:
    ada, user_id = await member(world, "ada")
    services = world.services

    def many() -> Work[None]:
        for _ in range(EXPORTED):
            yield from services.audit.record(Event.AUTHN_LOGIN_FAIL, Outcome.FAILURE, OPERATOR, user_id=user_id)

    await services.db.write(many)
    world.clock.advance(1)
    found = part_of(await ada.post(API), "activity.json")
    assert (found["count"], found["complete"], len(found["events"])) == (EXPORTED, False, EXPORTED)
    assert found["events"][0]["event"] == "sensitive_read", "the newest are kept"
