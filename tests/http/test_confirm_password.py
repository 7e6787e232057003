"""Where the operator wants it, the page asks for the password twice (docs/adr/0003)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from doorward.config import Settings
from doorward.config.settings import Signup
from doorward.datadir import DataDir
from doorward.testing import MovableClock
from tests.http.conftest import World, running

PASSWORD = "engines weave algebra"
SAID = "The two passwords are not the same"


@pytest.fixture(params=["uid", "email"])
async def twice(
    request: pytest.FixtureRequest, settings: Settings, clock: MovableClock, tmp_path: Path
) -> AsyncIterator[World]:
    identifier: Literal["uid", "email"] = request.param
    asked = msgspec.structs.replace(settings, signup=Signup(identifier=identifier, confirm_password=True))
    async with running(asked, DataDir.open(tmp_path / "twice"), clock) as world:
        yield world


def typed(again: str | None, **more: str) -> dict[str, str]:
    sent = {"uid": "ada", "name": "Ada", "email": "ada@example.org", "password": PASSWORD, **more}
    return sent if again is None else {**sent, "password_confirmation": again}


async def test_the_page_asks_twice_and_takes_what_is_the_same(twice: World) -> None:
    visitor = twice.visitor()
    page = await visitor.get("/sign-up")
    assert 'name="password_confirmation"' in page.text
    assert 'data-matches="field-password"' in page.text
    taken = await visitor.submit("/sign-up", typed(PASSWORD), "/sign-up")
    assert taken.status_code == 303, taken.text


@pytest.mark.parametrize("again", [PASSWORD.upper(), "", None])
async def test_what_is_not_the_same_is_refused_beside_its_field_with_everything_else(
    twice: World, again: str | None
) -> None:
    visitor = twice.visitor()
    refused = await visitor.submit("/sign-up", typed(again, uid="a"), "/sign-up")
    assert refused.status_code == 400
    assert SAID in refused.text
    assert "at least 2 characters" in refused.text
    assert PASSWORD not in refused.text


async def test_over_json_nobody_is_asked_twice(twice: World) -> None:
    sent = await twice.visitor().send("POST", "/api/users", typed(None))
    assert sent.status_code in {201, 202}, sent.text
    unknown = await twice.visitor().send("POST", "/api/users", typed(PASSWORD, uid="bob", email="bob@example.org"))
    assert unknown.status_code == 400


async def test_the_page_asks_once_unless_told_otherwise(world: World) -> None:
    visitor = world.visitor()
    assert "password_confirmation" not in (await visitor.get("/sign-up")).text
    refused = await visitor.submit("/sign-up", typed(PASSWORD), "/sign-up")
    assert refused.status_code == 400
