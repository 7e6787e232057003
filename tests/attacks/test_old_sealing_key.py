"""A thief has the sealing key that was in use until it was rotated (C19; ASVS 11.2.2, 13.3.4)."""

import base64
import binascii
import shutil
from pathlib import Path

import pytest
from sqlalchemy import bindparam, delete, update

from doorward.adapters.keyring import SealingKeyRefused
from doorward.adapters.sealing import KeyFileSealer, open_sealer_of
from doorward.kernel.errors import Unavailable
from doorward.sealing import Begun, Forgotten, Rotated
from doorward.sql import SEALED, Statement, Work, metadata, purpose_of
from doorward.sql.tables import setting, signing_key
from doorward.tokens import SigningKeys
from doorward.tokens.keys import new_key
from doorward.tokens.store import insert_key
from tests.attacks.test_dump import live
from tests.http.conftest import World
from tests.support.attack import dump
from tests.support.sealed import fill, sealed_values


def stolen(tmp_path: Path) -> KeyFileSealer:
    """What the thief has: a copy of the file from before."""
    return KeyFileSealer.open_file(Path(shutil.copy(tmp_path / "data/sealing.key", tmp_path / "stolen.key")))


async def rotate(world: World) -> None:
    """Seal everything anew; the old key still opens."""
    keys = world.services.sealing
    keys.late_seconds = 0
    begun = await keys.begin(alone=True)
    assert isinstance(begun, Begun)
    assert isinstance(await keys.seal_anew(begun), Rotated)


async def opens(world: World, key: KeyFileSealer) -> list[str]:
    """Everything in a dump that opens for what it may have been sealed for: bytes, and texts that stand for bytes."""
    found = []
    for table, rows in (await dump(world.services.db)).items():
        key_at = list(metadata.tables[table].columns).index(*metadata.tables[table].primary_key.columns)
        for row in rows:
            purpose = purpose_of(table, row[key_at]) if table in SEALED else f"{table}:{row[key_at]}"
            for value in row:
                try:
                    key.open(value if isinstance(value, bytes) else base64.b64decode(value, validate=True), purpose)
                except (ValueError, TypeError, binascii.Error):
                    continue
                found.append(purpose)
    return found


@pytest.mark.asvs("11.2.2")
@pytest.mark.asvs("13.3.4")
async def test_a_new_dump_and_the_old_key_open_nothing(world: World, tmp_path: Path) -> None:
    await live(world, world.visitor())
    await fill(world.services.db, world.services.sealer, rows=2)
    thief = stolen(tmp_path)
    everything = {*await sealed_values(world.services.db), f"{setting.name}:sealing.mac_key"}
    assert set(await opens(world, thief)) == everything
    await rotate(world)
    assert await opens(world, thief) == []


async def test_the_key_alone_makes_no_mac(world: World, tmp_path: Path) -> None:
    """No CSRF token, no challenge, no audit row: MACs come from a key that lies sealed in the database."""
    ours, thief = world.services.sealer, stolen(tmp_path)
    for purpose in ("audit", "challenge", "csrf", "throttle"):
        assert thief.mac(b"m", purpose) != ours.mac(b"m", purpose)


@pytest.mark.asvs("13.3.4")
async def test_what_is_planted_under_the_old_key_is_believed_no_more_once_it_is_forgotten(
    world: World, tmp_path: Path
) -> None:
    """A thief who can also write to the database makes us a key to sign tokens with."""
    services, thief = world.services, stolen(tmp_path)
    await rotate(world)
    planted = new_key(thief, world.clock.now(), active_from=0)
    await services.db.write(lambda: insert_key(planted))
    believing = SigningKeys(services.db, world.clock, services.sealer)
    await believing.refresh()
    assert believing.believes(planted.kid)  # until it is forgotten, the old key opens
    await services.db.write(lambda: forget_signing_key(planted.kid))

    assert isinstance(await services.sealing.forget_old(), Forgotten)
    await services.db.write(lambda: insert_key(planted))
    with pytest.raises(Unavailable) as refused:
        await SigningKeys(services.db, world.clock, services.sealer).refresh()
    assert "does not open" in refused.value.reason


def forget_signing_key(kid: str) -> Work[None]:
    yield Statement(delete(signing_key).where(signing_key.c.kid == bindparam("which")))(which=kid)


@pytest.mark.asvs("13.3.4")
async def test_nobody_can_have_us_seal_under_a_key_that_was_forgotten(world: World, tmp_path: Path) -> None:
    """The database names the key that seals, so whoever can write to it names the one they have."""
    services, thief = world.services, stolen(tmp_path)
    await rotate(world)
    assert isinstance(await services.sealing.forget_old(), Forgotten)
    put = Statement(update(setting).where(setting.c.key == "sealing.key_id").values(value=bindparam("wanted")))
    await services.db.write(lambda: write(put, thief.key_id))
    await services.sealing.follow()
    with pytest.raises(ValueError, match="another key"):
        thief.open(services.sealer.seal(b"secret", "test"), "test")
    assert (await world.visitor().get("/readyz")).status_code == 503  # somebody looks
    with pytest.raises(SealingKeyRefused, match="another sealing key"):
        await open_sealer_of(services.db, tmp_path / "data/sealing.key", {})


def write(statement: Statement, wanted: str) -> Work[None]:
    yield statement(wanted=wanted)
