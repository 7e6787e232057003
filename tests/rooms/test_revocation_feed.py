"""What ends on one node ends on all: every revocation comes through, in whatever order and by whoever's clock."""

import asyncio
import io
from collections.abc import Iterable, Iterator

import pytest
from sqlalchemy import bindparam, insert, text

from doorward import log
from doorward.kernel.instant import HOUR
from doorward.ports import Database
from doorward.sessions import store
from doorward.sessions.feed import RevocationFeed
from doorward.sql import Statement, Work
from doorward.sql.tables import revocation
from doorward.testing import MovableClock
from tests.support.databases import open_database
from tests.support.logs import restored_logging
from tests.support.waiting import until

NUMBERED = Statement(insert(revocation).values({column.name: bindparam(column.name) for column in revocation.columns}))


@pytest.fixture(autouse=True)
def log_lines() -> Iterator[io.StringIO]:
    with restored_logging():
        stream = io.StringIO()
        log.configure(form="json", stream=stream)
        yield stream


class Dropped(list[tuple[str, str]]):
    """What the cache was told to forget, in order."""

    def __call__(self, revocations: Iterable[tuple[str, str]]) -> None:
        self.extend(revocations)


async def numbered(database: Database, *numbers: int) -> None:
    """Revocations as transactions that took these numbers commit them: not always in their order."""

    def work() -> Work[None]:
        for seq in numbers:
            yield NUMBERED(seq=seq, kind="session", id=f"s{seq}", at=0)

    await database.write(work)


async def test_a_revocation_by_a_node_whose_clock_is_slow_comes_through(
    database: Database, clock: MovableClock
) -> None:
    dropped = Dropped()
    feed = RevocationFeed(database, clock, dropped)
    slow = clock.now() - HOUR
    await database.write(lambda: store.insert_revocation("session", "s1", slow, lambda: None))
    await feed.read_once()
    assert dropped == [("session", "s1")]


async def test_a_number_that_commits_late_comes_through_and_none_comes_twice(
    database: Database, clock: MovableClock
) -> None:
    dropped = Dropped()
    feed = RevocationFeed(database, clock, dropped)
    await numbered(database, 1, 4)
    await feed.read_once()
    clock.advance(25)
    await numbered(database, 2)
    await feed.read_once()
    await numbered(database, 3, 5)
    await feed.read_once()
    assert dropped == [("session", f"s{seq}") for seq in (1, 4, 2, 3, 5)]


async def test_what_was_on_its_way_when_the_feed_began_comes_through(database: Database, clock: MovableClock) -> None:
    dropped = Dropped()
    feed = RevocationFeed(database, clock, dropped)
    await numbered(database, 500)
    await feed.start()
    await numbered(database, 499)
    await until(lambda: ("session", "s499") in dropped)
    await feed.stop()


async def test_a_number_that_never_comes_is_not_waited_for_for_ever(database: Database, clock: MovableClock) -> None:
    dropped = Dropped()
    feed = RevocationFeed(database, clock, dropped)
    await numbered(database, 7)
    await feed.read_once()
    clock.advance(31)
    await feed.read_once()
    await numbered(database, 6, 8)
    await feed.read_once()
    assert dropped == [("session", "s7"), ("session", "s8")]


async def test_more_than_one_page_is_read_to_its_end(database: Database, clock: MovableClock) -> None:
    dropped = Dropped()
    feed = RevocationFeed(database, clock, dropped)
    many = 2 * store.REVOCATIONS_AT_ONCE + 1
    await numbered(database, *range(1, many + 1))
    await feed.read_once()
    assert len(dropped) == many


async def test_a_failure_of_any_kind_is_logged_and_survived(
    database: Database, clock: MovableClock, log_lines: io.StringIO
) -> None:
    dropped = Dropped()

    def drop(revocations: Iterable[tuple[str, str]]) -> None:
        found = list(revocations)
        if found and not dropped:
            dropped.append(("failed", "once"))
            raise LookupError
        dropped(found)

    feed = RevocationFeed(database, clock, drop)
    await feed.start()
    await numbered(database, 1)
    await until(lambda: ("session", "s1") in dropped)
    await feed.stop()
    assert "revocation_feed_failed" in log_lines.getvalue()
    assert "LookupError" in log_lines.getvalue()


async def test_slow_lists_do_not_hold_the_feed_up(postgresql_address: str, clock: MovableClock) -> None:
    database = await open_database(postgresql_address)
    dropped = Dropped()
    feed = RevocationFeed(database, clock, dropped)
    lists = [asyncio.create_task(database.search(_slow_list())) for _ in range(4)]
    await asyncio.sleep(0.1)
    await numbered(database, 1)
    async with asyncio.timeout(1):
        await feed.read_once()
    assert dropped == [("session", "s1")]
    await asyncio.gather(*lists)
    await database.close()


def _slow_list() -> Work[None]:
    yield Statement(text("SELECT 1 FROM pg_sleep(2)"))()
