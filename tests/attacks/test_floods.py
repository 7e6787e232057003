"""More sign-ins than the machine can hash: some wait, some are sent away, and everything else goes on (C7)."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from doorward.config import Settings
from doorward.datadir import DataDir
from doorward.testing import MovableClock
from tests.http.conftest import World, running
from tests.support.attack import audited

TRIES = 120


@pytest.fixture
async def costly(tmp_path: Path, settings: Settings, clock: MovableClock) -> AsyncIterator[World]:
    """Hashes of the shipped cost, which is what fills the queue."""
    settings = msgspec.structs.replace(settings, password=Settings().password)
    async with running(settings, DataDir.open(tmp_path / "data"), clock) as world:
        yield world


@pytest.mark.asvs("15.2.2")
@pytest.mark.asvs("11.4.2")
async def test_a_full_hash_queue_sends_sign_ins_away_and_nothing_else(costly: World) -> None:
    owner, watcher = costly.visitor(), costly.visitor()
    await owner.sign_up("ada")
    wrong = "not the password of anybody"
    flood = [
        asyncio.create_task(costly.visitor(f"198.51.100.{number + 1}").sign_in(f"name-{number}", wrong))
        for number in range(TRIES)
    ]
    await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)  # the first to be done are those sent away
    assert (await watcher.get("/livez")).status_code == 200
    assert (await watcher.get("/readyz")).status_code == 200
    assert (await owner.get("/api/sessions/current")).status_code == 200
    assert (await owner.get("/api/users/me")).status_code == 200
    assert (await watcher.get("/sign-in")).status_code == 200
    assert sum(task.done() for task in flood) < TRIES, "all this was answered while hashes were waiting"

    answers = await asyncio.gather(*flood)
    refused = [answer for answer in answers if answer.status_code == 503]
    assert {answer.status_code for answer in answers} == {401, 503}
    assert refused
    assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
    assert all(answer.json()["code"] == "unavailable" for answer in refused)
    assert len(await audited(costly, "authn_login_fail")) == TRIES - len(refused), "who was sent away has not failed"
    assert (await costly.visitor("203.0.113.1").sign_in("ada")).status_code == 201
