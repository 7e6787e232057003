"""A server that is killed while it sends loses no message: it may send again what it did not live to note."""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import func, select

from doorward.adapters.clock import SystemClock
from doorward.adapters.sealing import KeyFileSealer
from doorward.kernel.instant import SECOND
from doorward.messages import Outbox, Values
from doorward.messages.delivery import AT_A_TIME, CLAIM
from doorward.ports import Database
from doorward.sql import Statement, Work
from doorward.sql.tables import message
from tests.support.databases import open_database
from tests.support.serving import Running, running
from tests.support.smtp_server import SmtpServer, smtp_server

A_ROUND = 12
WAIT_SECONDS = 30
LAST_SECONDS = CLAIM / SECOND + WAIT_SECONDS
_COUNT = Statement(select(message.c.state, func.count()).group_by(message.c.state))


@dataclass(frozen=True)
class Place:
    """Where the data are, and how a server is started on them."""

    data: Path
    address: str
    environ: Mapping[str, str]

    def start(self) -> AbstractContextManager[Running]:
        """A server of its own process."""
        arguments = ("serve", "--port", "0", "--data", str(self.data))
        return running("doorward.cli", *arguments, environ={**os.environ, **self.environ})


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Both databases in turn."""
    data = tmp_path / "data"
    if request.param == "sqlite":
        return Place(data, str(data / "doorward.db"), {})
    url = request.getfixturevalue("postgresql_address")
    return Place(data, url, {"DOORWARD_DATABASE__URL": url})


async def queue(database: Database, outbox: Outbox, recipients: list[str]) -> None:
    """Each in a transaction of its own, as sign-ups do."""
    for recipient in recipients:
        values: Values = {"path": "/verify/x", "code": "123456", "hours": 24, "minutes": 10}
        await database.write(lambda to=recipient, values=values: outbox.mail("confirm_sign_up", to, "en", values))  # type: ignore[misc]  # mypy's gap


async def states(database: Database) -> dict[str, int]:
    """How many messages are in which state."""

    def work() -> Work[dict[str, int]]:
        return {row[0]: row[1] for row in (yield _COUNT())}

    return await database.search(work())


async def wait_for_more(server: SmtpServer, before: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while len(server.accepted()) <= before:
        assert time.monotonic() < deadline, "nothing is sent"
        await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_a_killed_server_loses_no_message(place: Place, rounds: int, tmp_path: Path) -> None:
    rounds = max(3, rounds // 4)
    with smtp_server(tmp_path / "accepted.jsonl", "--plan", "slow,ok,slow") as mail:
        place = Place(
            place.data,
            place.address,
            {
                **place.environ,
                "DOORWARD_MAIL__URL": f"smtp://127.0.0.1:{mail.port}",
                "DOORWARD_MAIL__FROM": "Example <id@example.org>",
            },
        )
        with place.start():
            pass
        database = await open_database(place.address)
        sealer = KeyFileSealer.open_file(place.data / "sealing.key")
        outbox = Outbox(SystemClock(), sealer, can_mail=True, can_text=False)
        people: list[str] = []
        for number in range(rounds):
            newest = [f"round{number}-{count}@example.com" for count in range(A_ROUND)]
            people += newest
            with place.start() as server:
                before = len(mail.accepted())
                await queue(database, outbox, newest)
                await wait_for_more(mail, before)
                await asyncio.sleep(0.03 * (number % 7))
                assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        unfinished = (await states(database)).get("queued", 0)
        with place.start():
            deadline = time.monotonic() + LAST_SECONDS
            while (await states(database)).get("queued"):
                assert time.monotonic() < deadline, "something is not sent"
                await asyncio.sleep(0.2)
        assert await states(database) == {"sent": len(people)}
        await database.close()
        accepted = mail.accepted()
    counts = Counter(one["to"][0] for one in accepted)
    assert sorted(counts) == sorted(people)
    ids = {(one["to"][0], one["headers"]["message-id"]) for one in accepted}
    assert len(ids) == len(people), "every try at a message has the same Message-ID"
    twice = sum(counts.values()) - len(people)
    assert twice <= rounds * AT_A_TIME
    assert unfinished, "it was never killed in the middle"
    sys.stdout.write(
        f"{len(people)} messages, {rounds} kills, {unfinished} left by the last: 0 lost, {twice} sent again\n"
    )
