"""For those who write to users over the API: versions, requests that come twice, and numbers that many add to."""

import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from doorward.sql import Statement, Work
from doorward.sql.tables import idempotency
from tests.http.conftest import PASSWORD, Visitor, World
from tests.support.attack import OPERATOR, dump, make_admin, name_of, route_table

ME = "/api/users/me"
PARALLEL = 20


@pytest.fixture
async def chief(world: World) -> Visitor:
    visitor = world.visitor()
    await make_admin(world, visitor, "chief")
    return visitor


@pytest.fixture
async def ada(world: World) -> dict[str, Any]:
    return await world.visitor().sign_up("ada")


async def patch(visitor: Visitor, path: str, body: Any, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await visitor.send("PATCH", path, body, headers=named)


# If-Match -----------------------------------------------------------------------------------------------------------


async def test_every_answer_about_a_user_names_its_version_and_every_change_counts_it_up(world: World) -> None:
    visitor = world.visitor()
    user = await visitor.sign_up("ada", email="ada@example.org")
    path, seen = f"/api/users/{user['id']}", []
    for change in ({"name": "Ada L."}, {"motto": "on"}, {"motto": "on"}, {"email": None}):
        seen.append((await visitor.get(path)).headers["etag"])
        answer = await patch(visitor, path, change)
        assert answer.headers["etag"] == (await visitor.get(ME)).headers["etag"]
    seen.append((await visitor.get(ME)).headers["etag"])
    assert seen[2] == seen[3], "nothing changed"
    assert len(set(seen)) == len(seen) - 1
    assert all(tag.strip('"').isdigit() for tag in seen)


async def test_a_proven_address_is_another_version(world: World) -> None:
    visitor = world.visitor()
    user = await visitor.sign_up("ada", email="ada@example.org")
    before = (await visitor.get(ME)).headers["etag"]
    now = world.clock.now()
    users = world.services.users
    await world.services.db.write(lambda: users.prove(user["id"], "email", "ada@example.org", OPERATOR, now))
    assert (await visitor.get(ME)).headers["etag"] != before


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_a_change_meant_for_another_version_is_refused(world: World, method: str) -> None:
    visitor = world.visitor()
    await visitor.sign_up("ada")
    tag = (await visitor.get(ME)).headers["etag"]

    async def send(given: str) -> int:
        return (await visitor.send(method, ME, {"motto": given}, headers={"if-match": given})).status_code

    assert await send(tag) == 200
    for given in (tag, '"0"', f"W/{tag}", '"abc"', '""'):
        answer = await visitor.send(method, ME, {"motto": "no"}, headers={"if-match": given})
        assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed"), given
    newer = (await visitor.get(ME)).headers["etag"]
    assert await send(f'"0" , {newer}') == 200
    assert await send("*") == 200
    for given in ("", "7", "'7'", '"7', "x, y"):
        assert await send(given) == 400, given


async def test_a_deletion_meant_for_another_version_is_refused(chief: Visitor, ada: dict[str, Any]) -> None:
    path = f"/api/users/{ada['id']}"
    tag = (await chief.get(path)).headers["etag"]
    await patch(chief, path, {"coins": 1})
    assert (await chief.send("DELETE", path, headers={"if-match": tag})).status_code == 412
    newer = (await chief.get(path)).headers["etag"]
    assert (await chief.send("DELETE", path, headers={"if-match": newer})).status_code == 204


async def test_one_of_many_parallel_changes_of_one_version_wins(chief: Visitor, ada: dict[str, Any]) -> None:
    path = f"/api/users/{ada['id']}"
    tag = (await chief.get(path)).headers["etag"]
    answers = await asyncio.gather(
        *(patch(chief, path, {"coins": number}, if_match=tag) for number in range(1, PARALLEL + 1))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * (PARALLEL - 1)


# Increments ---------------------------------------------------------------------------------------------------------


async def test_twenty_parallel_increments_add_up(chief: Visitor, ada: dict[str, Any]) -> None:
    path = f"/api/users/{ada['id']}"
    answers = await asyncio.gather(*(patch(chief, path, {"coins": {"increment": 5}}) for _ in range(PARALLEL)))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["coins"] for answer in answers) == [5 * number for number in range(1, PARALLEL + 1)]
    assert (await chief.get(path)).json()["coins"] == 5 * PARALLEL
    spent = await asyncio.gather(*(patch(chief, path, {"coins": {"increment": -7}}) for _ in range(PARALLEL)))
    assert sorted(answer.status_code for answer in spent) == [200] * 14 + [400] * 6, "no balance falls below zero"
    assert (await chief.get(path)).json()["coins"] == 2


async def test_an_increment_keeps_to_the_rules_of_its_field(world: World, chief: Visitor, ada: dict[str, Any]) -> None:
    path = f"/api/users/{ada['id']}"
    for wrong in ({"increment": 1.5}, {"increment": True}, {"increment": "5"}, {},
                  {"increment": 1, "by": 2}, {"decrement": 1}, {"increment": None}):  # fmt: skip
        answer = await patch(chief, path, {"coins": wrong})
        assert [error["field"] for error in answer.json()["errors"]] == ["coins"], wrong
    top = await patch(chief, path, {"coins": 2**63 - 1})
    assert top.status_code == 200
    over = await patch(chief, path, {"coins": {"increment": 1}, "motto": "over"})
    assert [(error["field"], error["code"]) for error in over.json()["errors"]] == [("coins", "out_of_range")]
    assert (await chief.get(path)).json()["motto"] is None, "nothing of a refused request is carried out"
    assert (await patch(chief, path, {"motto": {"increment": 1}})).status_code == 400, "not a number"
    kept = await patch(chief, path, {"exercise": {"increment": 1}})
    assert kept.json()["exercise"] == {"increment": 1}, "a value like any other in a field of JSON"
    member = world.visitor()
    await member.sign_up("eve")
    refused = await patch(member, ME, {"coins": {"increment": 5}})
    assert [error["code"] for error in refused.json()["errors"]] == ["not_writable"]
    assert (await chief.send("PUT", path, {"coins": {"increment": 5}})).status_code == 400, "PUT may be repeated"


# Idempotency-Key ----------------------------------------------------------------------------------------------------


async def test_the_same_request_sent_twice_is_carried_out_once(chief: Visitor, ada: dict[str, Any]) -> None:
    path, body = f"/api/users/{ada['id']}", {"coins": {"increment": 5}}
    first = await patch(chief, path, body, idempotency_key="a-1")
    again = await patch(chief, path, body, idempotency_key='"a-1"')
    assert (first.status_code, first.json()["coins"]) == (200, 5)
    assert (again.status_code, again.content, again.headers["etag"]) == (200, first.content, first.headers["etag"])
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert (await patch(chief, path, body, idempotency_key="a-2")).json()["coins"] == 10


async def test_a_key_that_came_with_another_request_is_refused(chief: Visitor, ada: dict[str, Any]) -> None:
    path = f"/api/users/{ada['id']}"
    await patch(chief, path, {"coins": 1}, idempotency_key="a")
    tag = (await chief.get(path)).headers["etag"]
    others = [
        await patch(chief, path, {"coins": 2}, idempotency_key="a"),
        await patch(chief, f"{path}?x=1", {"coins": 1}, idempotency_key="a"),
        await patch(chief, ME, {"coins": 1}, idempotency_key="a"),
        await patch(chief, path, {"coins": 1}, idempotency_key="a", if_match=tag),
    ]
    assert {(answer.status_code, answer.json()["code"]) for answer in others} == {(422, "key_used_otherwise")}
    assert (await chief.get(path)).json()["coins"] == 1


async def test_of_many_at_once_one_is_carried_out(chief: Visitor, ada: dict[str, Any]) -> None:
    path, body = f"/api/users/{ada['id']}", {"coins": {"increment": 1}}
    answers = await asyncio.gather(*(patch(chief, path, body, idempotency_key="a") for _ in range(PARALLEL)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert {answer.json()["coins"] for answer in answers if answer.status_code == 200} == {1}
    assert (await patch(chief, path, body, idempotency_key="a")).json()["coins"] == 1
    assert (await chief.get(path)).json()["coins"] == 1


async def test_what_was_refused_may_be_tried_again(world: World, chief: Visitor, ada: dict[str, Any]) -> None:
    path, body = f"/api/users/{ada['id']}", {"coins": {"increment": -1}}
    assert (await patch(chief, path, body, idempotency_key="a")).status_code == 400
    await patch(chief, path, {"coins": 5})
    assert (await patch(chief, path, body, idempotency_key="a")).json()["coins"] == 4
    world.clock.advance(86_400)
    await chief.sign_in("chief")
    await world.services.idempotency.purge()
    assert (await dump(world.services.db))["idempotency"] == []


async def test_after_a_day_a_key_is_new(world: World, chief: Visitor, ada: dict[str, Any]) -> None:
    path, body = f"/api/users/{ada['id']}", {"coins": {"increment": 1}}
    made = (await chief.post("/api/users/me/keys", {"name": "App", "scopes": ["users:write"]})).json()
    program = world.visitor(**{"x-api-key": made["secret"]})
    for coins in (1, 1):
        assert (await patch(program, path, body, idempotency_key="a")).status_code == 200
        assert (await chief.get(path)).json()["coins"] == coins
    assert (await patch(chief, path, body, idempotency_key="a")).json()["coins"] == 2, "keys are each sender's own"
    world.clock.advance(86_400)
    assert (await patch(program, path, body, idempotency_key="a")).status_code == 200
    await chief.sign_in("chief")
    assert (await chief.get(path)).json()["coins"] == 3


async def test_nobody_is_given_an_answer_that_they_may_not_have(
    world: World, chief: Visitor, ada: dict[str, Any]
) -> None:
    """A replay passes every check that the request itself would."""
    path, body = f"/api/users/{ada['id']}", {"coins": {"increment": 1}}
    first = await patch(chief, path, body, idempotency_key="a")
    again = await patch(chief, path, body, idempotency_key="a")
    assert first.json() == again.json()
    assert (await chief.http.patch(path, json=body, headers={"idempotency-key": "a"})).status_code == 403
    other = world.visitor()
    await other.sign_in("chief")
    assert (await patch(other, path, body, idempotency_key="a")).json()["coins"] == 2
    kept = (await dump(world.services.db))["idempotency"]
    assert kept
    assert first.json()["name"] not in repr(kept)


@pytest.mark.asvs("2.4.1")
async def test_no_member_can_have_any_number_of_answers_kept(world: World, chief: Visitor, ada: dict[str, Any]) -> None:
    eve, too = world.visitor(), world.visitor()
    person = await eve.sign_up("eve")
    await too.sign_in("eve")  # another session of hers is no other person
    for _ in range(597):
        async with await world.services.limiter.admit("idempotency", "203.0.113.9", {"account": person["id"]}):
            pass
    sent = [await patch(one, ME, {"motto": "x"}, idempotency_key=f"{n}") for one in (eve, too) for n in range(3)]
    assert [answer.status_code for answer in sent] == [200] * 3 + [429] * 3
    assert int(sent[-1].headers["retry-after"]) > 0
    assert len((await dump(world.services.db))["idempotency"]) == 3
    assert (await patch(eve, ME, {"motto": "y"})).status_code == 200, "without a key nothing is kept"
    assert (await patch(chief, f"/api/users/{ada['id']}", {"coins": 1}, idempotency_key="a")).status_code == 200


@pytest.mark.asvs("14.2.6")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/users/me/keys", {"name": "App", "scopes": ["users:read"]}),
        ("/api/users/me/authenticators", {"kind": "totp"}),
        ("/api/users/me/authenticators", {"kind": "recovery_code"}),
    ],
)
async def test_what_is_shown_once_is_neither_kept_nor_shown_again(
    world: World, chief: Visitor, path: str, body: dict[str, Any]
) -> None:
    """Whoever has a stale session, and the key of a request, is asked to prove who they are like anybody else (C48)."""
    first = await chief.send("POST", path, body, headers={"idempotency-key": "a"})
    again = await chief.send("POST", path, body, headers={"idempotency-key": "a"})
    assert first.is_success
    assert again.is_success
    for secret in {"secret", "codes"} & first.json().keys():
        assert first.json()[secret] != again.json()[secret]
    world.clock.advance(601)
    stale = await chief.send("POST", path, body, headers={"idempotency-key": "a"})
    assert (stale.status_code, stale.json()["max_age"]) == (403, 600)
    assert (await dump(world.services.db))["idempotency"] == []


async def test_every_operation_that_shows_a_secret_says_so(world: World) -> None:
    def holds_secret(schema: Any) -> bool:
        if isinstance(schema, list):
            return any(map(holds_secret, schema))
        if not isinstance(schema, dict):
            return False
        named = {"secret", "codes", "token", "jwt", "ticket"} & dict(schema.get("properties", {})).keys()
        return bool(named) or any(map(holds_secret, schema.values()))

    telling = [
        operation
        for operation in route_table(world)
        if operation.tag != "Users"  # where `secret` is a custom field of these tests
        and any(status < 300 and holds_secret(answer.schema) for status, answer in operation.answers.items())
    ]
    assert {name_of(operation) for operation in telling} >= {
        "POST /api/users/me/keys",
        "POST /api/users/me/authenticators",
    }
    assert [name_of(operation) for operation in telling if operation.takes_idempotency_key] == []


async def test_a_new_session_secret_is_never_kept(world: World) -> None:
    visitor = world.visitor()
    await visitor.sign_up("ada")
    path = "/api/sessions/current/reauthenticate"
    key = {"idempotency-key": "a"}
    tokens = {
        (await visitor.send("POST", path, {"password": PASSWORD}, headers=key)).headers["set-cookie"] for _ in range(2)
    }
    assert len(tokens) == 2
    assert (await dump(world.services.db))["idempotency"] == []


@pytest.mark.parametrize("wrong", ["", '""', "x" * 201, "a b", '"a', "ä".encode().decode("latin-1"), 'a"b'])
async def test_a_key_is_visible_and_short(chief: Visitor, wrong: str) -> None:
    headers = [(b"idempotency-key", wrong.encode("latin-1")), (b"x-csrf-token", chief.csrf.encode())]
    answer = await chief.http.patch(ME, json={"motto": "x"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


async def test_an_answer_that_could_not_be_kept_is_not_guessed(
    world: World, chief: Visitor, ada: dict[str, Any]
) -> None:
    path, body = f"/api/users/{ada['id']}", {"coins": {"increment": 1}}
    await patch(chief, path, body, idempotency_key="a")
    await world.services.db.write(_forget_answers)
    answer = await patch(chief, path, body, idempotency_key="a")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert (await chief.get(path)).json()["coins"] == 1


def _forget_answers() -> Work[None]:
    yield Statement(update(idempotency).values(answer_sealed=None))()
