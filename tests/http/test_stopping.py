"""Stopping the application: what is only in memory is written down, and a database that is down keeps nobody here."""

import asyncio
import io
import json
from collections.abc import Mapping
from contextlib import AsyncExitStack

import pytest
from starlette.types import Message

from doorward.adapters.sqlite import SqliteDatabase
from doorward.app import App
from doorward.audit.store import list_events
from doorward.config import Settings
from doorward.datadir import DataDir
from doorward.testing import MovableClock
from tests.http.conftest import World, running


async def test_a_stop_while_the_database_is_down_is_told_and_goes_through(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory, clock: MovableClock, log_lines: io.StringIO
) -> None:
    app = App(settings, DataDir.open(tmp_path_factory.mktemp("data")), clock)
    asked: asyncio.Queue[Message] = asyncio.Queue()
    sent: asyncio.Queue[Mapping[str, str]] = asyncio.Queue()
    lifespan = asyncio.create_task(app({"type": "lifespan"}, asked.get, sent.put))
    await asked.put({"type": "lifespan.startup"})
    assert (await sent.get())["type"] == "lifespan.startup.complete"
    assert app.services is not None
    await app.services.db.close()
    await asked.put({"type": "lifespan.shutdown"})
    assert (await sent.get())["type"] == "lifespan.shutdown.complete"
    await lifespan
    assert "shutdown_not_recorded" in log_lines.getvalue()


async def test_sums_of_refusals_are_written_at_a_stop(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory, clock: MovableClock
) -> None:
    data = DataDir.open(tmp_path_factory.mktemp("data"))
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(running(settings, data, clock))
        ada, eve = world.visitor(), world.visitor()
        user = await ada.sign_up("ada")
        await eve.sign_up("eve")
        for _ in range(5):
            assert (await eve.send("PATCH", f"/api/users/{user['id']}", {"name": "Eve"})).status_code == 403
        assert await refused(world) == [1]
        clock.advance(1)
    database = await SqliteDatabase.open(data.database)
    found = await database.search(list_events(limit=100))
    await database.close()
    assert [json.loads(row.payload or "")["refused"] for row in found if row.event == "authz_fail"] == [4, 1]
    assert "sys_shutdown" in {row.event for row in found}


async def refused(world: World) -> list[int]:
    found = await world.services.db.search(list_events(limit=100))
    return [json.loads(row.payload or "")["refused"] for row in found if row.event == "authz_fail"]
