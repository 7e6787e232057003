"""Signing keys on a real database: one first key whoever starts, sealed at rest, published before use."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import bindparam, select, update

from doorward.adapters.sealing import KeyFileSealer
from doorward.kernel.errors import NotSignedIn, Unavailable
from doorward.kernel.instant import DAY, SECOND, Instant
from doorward.ports import Database, Sealer
from doorward.sql import Row, Statement, Work
from doorward.sql.tables import signing_key
from doorward.testing import MovableClock
from doorward.tokens import AccessTokens, SigningKeys
from doorward.tokens.keys import new_key
from doorward.tokens.store import insert_key, list_keys

ISSUER = "https://id.example"


def service(database: Database, clock: MovableClock, sealer: Sealer) -> SigningKeys:
    return SigningKeys(database, clock, sealer)


def published(keys: SigningKeys) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(keys.jwks())["keys"]
    return found


def issue(keys: SigningKeys, clock: MovableClock) -> str:
    tokens = AccessTokens(keys, ISSUER, clock)
    return tokens.issue(user_id="u", sid="s", auth_time=clock.now(), amr=("pwd",), audience=ISSUER)


def kid_of(token: str, keys: SigningKeys) -> str:
    found = keys.find(token.partition(".")[0], "at+jwt")
    assert found is not None
    return found.kid


@pytest.mark.asvs("11.2.3")
async def test_the_first_start_makes_one_p256_key_and_the_next_start_finds_it(
    database: Database, clock: MovableClock, sealer: Sealer
) -> None:
    first, second = service(database, clock, sealer), service(database, clock, sealer)
    await first.ready()
    await second.ready()
    assert first.jwks() == second.jwks()
    (key,) = published(first)
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")


async def test_twenty_starting_at_once_agree_on_one_key(
    database: Database, clock: MovableClock, sealer: Sealer
) -> None:
    starting = [service(database, clock, sealer) for _ in range(20)]
    await asyncio.gather(*(keys.ready() for keys in starting))
    assert len({keys.jwks() for keys in starting}) == 1
    assert len(await database.search(list_keys())) == 1


async def test_what_one_node_signs_the_others_verify(database: Database, clock: MovableClock, sealer: Sealer) -> None:
    one, other = service(database, clock, sealer), service(database, clock, sealer)
    await asyncio.gather(one.ready(), other.ready())
    assert AccessTokens(other, ISSUER, clock).verify(issue(one, clock), ISSUER).sub == "u"


async def test_a_node_whose_clock_is_behind_can_sign_too(database: Database, sealer: Sealer) -> None:
    ahead, behind = MovableClock(), MovableClock(MovableClock().now() - 30 * SECOND)
    await service(database, ahead, sealer).ready()
    keys = service(database, behind, sealer)
    await keys.ready()
    assert AccessTokens(keys, ISSUER, ahead).verify(issue(keys, behind), ISSUER).sub == "u"


async def test_the_jwks_holds_no_private_part(database: Database, clock: MovableClock, sealer: Sealer) -> None:
    keys = service(database, clock, sealer)
    await keys.ready()
    assert set(published(keys)[0]) == {"kty", "crv", "x", "y", "kid", "alg", "use"}


@pytest.mark.asvs("13.3.1")
async def test_a_dump_of_the_table_does_not_hold_the_private_key(
    database: Database, clock: MovableClock, sealer: Sealer
) -> None:
    """C19."""
    keys = service(database, clock, sealer)
    await keys.ready()
    private = keys.find(issue(keys, clock).partition(".")[0], "at+jwt")
    assert private is not None
    secret = private.jwk.as_dict(private=True)["d"]
    assert str(secret) not in str(await database.search(all_columns()))


def all_columns() -> Work[list[Row]]:
    return list((yield Statement(select(*signing_key.columns))()))


async def test_a_key_under_another_sealing_key_stops_the_start(
    database: Database, clock: MovableClock, sealer: Sealer, tmp_path: Path
) -> None:
    await service(database, clock, sealer).ready()
    other = KeyFileSealer.open_or_create(tmp_path / "other.key")
    with pytest.raises(Unavailable) as refused:
        await service(database, clock, other).ready()
    assert "sealing key of this database" in refused.value.reason


async def test_a_public_key_changed_in_the_database_is_not_believed(
    database: Database, clock: MovableClock, sealer: Sealer
) -> None:
    """Who can write to the table, but lacks the sealing key, must not be able to make us believe a key of theirs."""
    keys, strangers = service(database, clock, sealer), new_key(sealer, clock.now(), active_from=0)
    await keys.ready()
    await database.write(lambda: change("public_jwk", strangers.public_jwk))
    later = service(database, clock, sealer)
    await later.ready()
    assert later.jwks() == keys.jwks()


async def test_a_sealed_key_moved_to_another_row_is_refused(
    database: Database, clock: MovableClock, sealer: Sealer
) -> None:
    await service(database, clock, sealer).ready()
    await database.write(lambda: change("private_sealed", new_key(sealer, clock.now(), active_from=0).private_sealed))
    with pytest.raises(Unavailable) as refused:
        await service(database, clock, sealer).ready()
    assert "does not open" in refused.value.reason


def change(column: str, value: str | bytes | Instant) -> Work[None]:
    yield Statement(update(signing_key).values({column: bindparam("value")}))(value=value)


@pytest.mark.asvs("13.3.4")
async def test_a_key_is_published_before_it_signs_and_believed_until_it_is_retired(
    database: Database, clock: MovableClock, sealer: Sealer
) -> None:
    """C50."""
    keys = service(database, clock, sealer)
    await keys.ready()
    (old,) = (key["kid"] for key in published(keys))
    new = new_key(sealer, clock.now(), active_from=clock.now() + DAY)
    await database.write(lambda: insert_key(new))

    await keys.refresh()
    assert {key["kid"] for key in published(keys)} == {old, new.kid}
    assert kid_of(issue(keys, clock), keys) == old

    clock.advance(DAY // SECOND - 1)
    last_of_old = issue(keys, clock)
    clock.advance(1)
    assert kid_of(issue(keys, clock), keys) == new.kid
    tokens = AccessTokens(keys, ISSUER, clock)
    assert tokens.verify(last_of_old, ISSUER).sub == "u"

    await database.write(lambda: retire(old, clock.now()))
    await keys.refresh()
    assert [key["kid"] for key in published(keys)] == [new.kid]
    with pytest.raises(NotSignedIn):
        tokens.verify(last_of_old, ISSUER)


def retire(kid: str, at: Instant) -> Work[None]:
    statement = update(signing_key).values(retired_at=bindparam("at")).where(signing_key.c.kid == bindparam("gone"))
    yield Statement(statement)(at=at, gone=kid)


async def test_nothing_is_signed_before_the_first_key_is_active(
    database: Database, clock: MovableClock, sealer: Sealer
) -> None:
    await database.write(lambda: insert_key(new_key(sealer, clock.now(), active_from=clock.now() + DAY)))
    with pytest.raises(Unavailable) as refused:
        await service(database, clock, sealer).ready()
    assert "clock" in refused.value.reason


async def test_a_key_of_an_unknown_algorithm_stops_the_start(
    database: Database, clock: MovableClock, sealer: Sealer
) -> None:
    await service(database, clock, sealer).ready()
    await database.write(lambda: change("alg", "HS256"))
    with pytest.raises(Unavailable) as refused:
        await service(database, clock, sealer).ready()
    assert "algorithm" in refused.value.reason
