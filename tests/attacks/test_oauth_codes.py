"""Authorization codes that somebody else has, or that come twice (C52, C54; ASVS 10.4.2, 10.4.6; RFC 9700 §4.5)."""

import asyncio
import json
import secrets

import pytest

from tests.http.conftest import ORIGIN, World
from tests.support.apps import CALLBACK, Key, back, challenge_of, claims_of, member, register, register_public
from tests.support.attack import audited, dump

VERIFIER = secrets.token_urlsafe(32)


@pytest.mark.asvs("10.4.2")
@pytest.mark.parametrize("seconds", [0, 31])
async def test_a_code_that_comes_again_gets_nothing_and_ends_what_the_first_got(world: World, seconds: float) -> None:
    app, ada = await register(world), await member(world)
    code = await app.code(ada, VERIFIER)
    first = (await app.redeem(code, VERIFIER)).json()
    assert (await app.introspect(first["access_token"]))["active"]
    world.clock.advance(seconds)
    again = await app.redeem(code, VERIFIER)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert await app.introspect(first["access_token"]) == {"active": False}
    assert (await app.userinfo(first["access_token"])).status_code == 401
    assert (await app.refresh(first["refresh_token"])).json()["error"] == "invalid_grant"
    (event,) = await audited(world, "authn_token_reuse")
    assert json.loads(event.payload or "")["why"] == "code"


@pytest.mark.asvs("10.4.2")
@pytest.mark.asvs("15.4.2")
async def test_of_twenty_that_redeem_one_code_at_once_one_gets_tokens_and_they_end(world: World) -> None:
    app, ada = await register(world), await member(world)
    code = await app.code(ada, VERIFIER)
    answers = await asyncio.gather(*(app.redeem(code, VERIFIER) for _ in range(20)))
    won = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(won) == 1
    assert {answer.json()["error"] for answer in answers if answer.status_code != 200} == {"invalid_grant"}
    assert not (await app.introspect(won[0]["access_token"]))["active"]
    assert len(await audited(world, "authn_token_reuse")) == 1


@pytest.mark.asvs("10.4.6")
async def test_a_stolen_code_is_worth_nothing_without_its_verifier(world: World) -> None:
    app, public, ada = await register(world), await register_public(world), await member(world)
    for victim in (app, public):
        code = await victim.code(ada, VERIFIER)
        for verifier in (secrets.token_urlsafe(32), challenge_of(VERIFIER), VERIFIER + "x", VERIFIER.swapcase()):
            assert (await victim.redeem(code, verifier)).json()["error"] == "invalid_grant"
        assert (await victim.redeem(code, VERIFIER)).status_code == 200, "and the thief has not used it up"


@pytest.mark.asvs("10.4.6")
async def test_a_verifier_where_there_was_no_challenge_is_no_way_around_it(world: World) -> None:
    """RFC 9700 §4.8.2: no request without a challenge ever becomes a code."""
    app, ada = await register(world), await member(world)
    for changed in ({"code_challenge": None, "code_challenge_method": None}, {"code_challenge_method": "plain"}):
        assert back(await ada.get(app.url(VERIFIER, **changed)))["error"] == "invalid_request"


async def test_a_code_of_one_client_is_worth_nothing_to_another(world: World) -> None:
    app, other, ada = await register(world), await register(world, name="Other"), await member(world)
    code = await app.code(ada, VERIFIER)
    assert (await other.redeem(code, VERIFIER)).json()["error"] == "invalid_grant"
    assert (await app.redeem(code, VERIFIER)).status_code == 200
    assert (await other.redeem(code, VERIFIER)).json()["error"] == "invalid_grant"
    assert await audited(world, "authn_token_reuse") == [], "another client ends nothing of this one's"


@pytest.mark.asvs("10.4.14")
async def test_a_code_bound_to_a_key_wants_the_proof_of_that_key(world: World) -> None:
    """RFC 9449 §10."""
    app, ada = await register_public(world), await member(world)
    own, thief = Key(world), Key(world)
    code = await app.code(ada, VERIFIER, dpop_jkt=own.thumbprint)
    for proof in (None, thief.proof()):
        assert (await app.redeem(code, VERIFIER, proof)).json()["error"] == "invalid_grant"
    assert (await app.redeem(code, VERIFIER, own.proof())).json()["token_type"] == "DPoP"


async def test_no_code_lies_in_the_database_or_comes_in_another_way_than_a_303(world: World) -> None:
    app, ada = await register(world), await member(world)
    answer = await ada.get(app.url(VERIFIER))
    code = back(answer)["code"]
    assert answer.status_code == 303
    assert len(code) == 43
    assert code not in str(await dump(world.services.db))
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["location"].startswith(CALLBACK)
    assert back(answer)["iss"] == ORIGIN, "RFC 9207: mix-up"


async def test_a_code_asked_for_in_one_session_speaks_of_that_one(world: World) -> None:
    app, ada, eve = await register(world), await member(world), await member(world, "eve")
    codes = [await app.code(visitor, VERIFIER) for visitor in (ada, eve)]
    subjects = [claims_of((await app.redeem(code, VERIFIER)).json()["access_token"])["sub"] for code in codes]
    assert subjects == [(await visitor.get("/api/users/me")).json()["id"] for visitor in (ada, eve)]
