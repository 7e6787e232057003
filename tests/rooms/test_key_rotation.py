"""Signing keys replace themselves: published before they sign, believed until their last token has expired (C50)."""

import asyncio
import json
from base64 import urlsafe_b64decode
from typing import Any

import pytest

from doorward.kernel.instant import DAY, HOUR, MINUTE, SECOND
from doorward.ports import Database, Sealer
from doorward.testing import MovableClock
from doorward.tokens import ALGORITHMS, AccessTokens, AppToken, SigningKeys, import_key, verified
from doorward.tokens.store import list_keys

ISSUER = "https://id.example"


@pytest.fixture
async def keys(database: Database, clock: MovableClock, sealer: Sealer) -> SigningKeys:
    made = SigningKeys(database, clock, sealer)
    await made.ready()
    return made


def published(keys: SigningKeys) -> dict[str, dict[str, Any]]:
    return {key["kid"]: key for key in json.loads(keys.jwks())["keys"]}


def app_token(alg: str = "ES256") -> AppToken:
    return AppToken("user-1", "https://api.example", "app", "openid", alg, sid="session-1")


@pytest.mark.asvs("11.2.3")
@pytest.mark.parametrize("alg", ALGORITHMS)
async def test_a_key_of_each_algorithm_is_made_when_somebody_needs_it(
    keys: SigningKeys, clock: MovableClock, alg: str
) -> None:
    token = await AccessTokens(keys, ISSUER, clock).issue_for_app(app_token(alg))
    header = json.loads(urlsafe_b64decode(token.partition(".")[0] + "=="))
    assert (header["alg"], header["typ"]) == (alg, "at+jwt")
    public = published(keys)[header["kid"]]
    named, key = import_key(public)
    assert named == alg
    assert json.loads(verified(token, key, alg))["aud"] == "https://api.example"
    assert AccessTokens(keys, ISSUER, clock).read_issued(token).sid == "session-1"
    assert not {"d", "p", "q"} & set(public)
    assert len(public.get("n", "")) in {0, 512}, "RSA has 3072 bits"


async def test_twenty_nodes_that_need_an_algorithm_at_once_agree_on_one_key(
    database: Database, clock: MovableClock, sealer: Sealer
) -> None:
    nodes = [SigningKeys(database, clock, sealer) for _ in range(20)]
    await asyncio.gather(*(node.ensure("EdDSA") for node in nodes))
    assert len({node.jwks() for node in nodes}) == 1


@pytest.mark.asvs("13.3.4")
async def test_after_ninety_days_the_next_key_signs_and_no_verification_fails_on_the_way(
    keys: SigningKeys, database: Database, clock: MovableClock, sealer: Sealer
) -> None:
    """A client that reads the JWKS every 23 hours, and a node that looks every minute, never meet an unknown key."""
    other, tokens = SigningKeys(database, clock, sealer), AccessTokens(keys, ISSUER, clock)
    await other.ready()
    read_at, copy, living, kids = clock.now(), published(keys), list[tuple[int, str]](), set[str]()
    clock.advance(88 * DAY // SECOND)
    for _ in range(3 * 24 * 12):
        clock.advance(5 * MINUTE // SECOND)
        await keys.follow()
        if clock.now() - read_at >= 23 * HOUR:
            read_at, copy = clock.now(), published(keys)
        living.append((clock.now(), await tokens.issue_for_app(app_token())))
        living = [(at, token) for at, token in living if clock.now() - at < 600 * SECOND]
        for _, token in living:
            kid = tokens.keys.find(token.partition(".")[0], "at+jwt")
            assert kid is not None
            kids.add(kid.kid)
            assert verified(token, import_key(copy[kid.kid])[1], "ES256")
    assert len(kids) == 2
    await other.follow()
    assert other.jwks() == keys.jwks()
    assert len(published(keys)) == 1, "the old key is retired"
    await keys.follow()
    assert len(await database.search(list_keys())) == 1, "and destroyed"


async def test_twenty_nodes_that_rotate_at_once_make_one_key(
    keys: SigningKeys, database: Database, clock: MovableClock, sealer: Sealer
) -> None:
    nodes = [SigningKeys(database, clock, sealer) for _ in range(20)]
    await asyncio.gather(*(node.ready() for node in nodes))
    await asyncio.gather(*(node.rotate("ES256") for node in nodes))
    assert len(await database.search(list_keys())) == 2
    assert await keys.rotate("ES256") is not None, "this one has not heard of it, and finds the same"
    assert len(await database.search(list_keys())) == 2
    assert await keys.rotate("ES256") is None
    assert len(keys.signing_kids) == 1
