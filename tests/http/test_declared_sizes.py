"""What may be declared can also be sent."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from doorward.config import Settings
from doorward.datadir import DataDir
from doorward.testing import MovableClock
from doorward.users import Declaration, Schema
from tests.http.conftest import World, running

BIG = {
    "big": Declaration(type="json", max_bytes=200_000),
    **{name: Declaration(type="string", max_length=4_000) for name in ("one", "two", "three")},
}


@pytest.fixture
async def roomy(settings: Settings, tmp_path: Path, clock: MovableClock) -> AsyncIterator[World]:
    data = DataDir.open(tmp_path / "roomy")
    async with running(msgspec.structs.replace(settings, fields=BIG), data, clock) as world:
        yield world


async def test_json_of_the_declared_size_is_taken_and_more_is_refused(roomy: World) -> None:
    visitor = roomy.visitor()
    await visitor.sign_up("ada", big={"a": "x" * 150_000})
    fits = await visitor.send("PATCH", "/api/users/me", {"big": "y" * 199_998})
    assert fits.status_code == 200
    assert len(fits.json()["big"]) == 199_998
    assert (await visitor.send("PATCH", "/api/users/me", {"big": "y" * 200_000})).status_code == 400
    assert (await visitor.send("PATCH", "/api/users/me", {"big": "y" * 5_000_000})).status_code == 413


async def test_a_profile_full_of_long_texts_is_taken_as_a_form(roomy: World) -> None:
    visitor = roomy.visitor()
    await visitor.sign_up("ada")
    texts = dict.fromkeys(("one", "two", "three"), "\N{CAT FACE}" * 4_000)  # 12 bytes each on the way
    answer = await visitor.submit("/account/profile", {"name": "Ada", **texts}, "/account")
    assert answer.status_code == 303, answer.text
    assert (await visitor.get("/api/users/me")).json()["three"] == texts["three"]


def test_without_long_fields_a_body_stays_small() -> None:
    assert Schema({}).body_limit == 64 * 1024
