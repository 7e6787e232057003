"""What only PostgreSQL promises: retries, waking the nodes that listen, coming back after the server was away."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial

import pytest
from sqlalchemy import bindparam, insert, select, text, update

from doorward.adapters.postgres import PostgresDatabase
from doorward.kernel.errors import Malformed, NotFound, Unavailable
from doorward.sql import Row, Statement, Work
from doorward.sql.migrate import raw
from doorward.sql.tables import lease, revocation, setting
from tests.support.postgres import PostgresServer
from tests.support.waiting import until

REVOKE = Statement(insert(revocation).values(kind="session", id="7", at=0))
ADD = Statement(
    update(lease).where(lease.c.name == bindparam("wanted")).values(until=lease.c.until + 1).returning(lease.c.until)
)
INSERT = Statement(insert(lease).values(name=bindparam("name"), holder="", until=0))
FIND = Statement(select(setting.c.value).where(setting.c.key == bindparam("key")))


FIND_BACKENDS = Statement(
    text("""
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = :application AND pid <> pg_backend_pid()
    """)
)


@pytest.fixture
async def database(postgresql_address: str) -> AsyncIterator[PostgresDatabase]:
    opened = await PostgresDatabase.open(postgresql_address, connections=4)
    yield opened
    await opened.close()


def run(*sql: str) -> Work[Sequence[Row]]:
    rows: Sequence[Row] = ()
    for statement in sql:
        rows = yield raw(statement)
    return rows


def revoke() -> Work[None]:
    yield REVOKE()


def add_in_order(*names: str) -> Work[None]:
    for name in names:
        yield ADD(wanted=name)
        yield raw("SELECT pg_sleep(0.02)")


def insert_leases(*names: str) -> Work[None]:
    for name in names:
        yield INSERT(name=name)


def find_backends(application: str) -> Work[list[int]]:
    rows = yield FIND_BACKENDS(application=application)
    return [pid for (pid,) in rows]


def hang_up_on(pids: Sequence[int]) -> Work[None]:
    for pid in pids:
        yield raw(f"SELECT pg_terminate_backend({pid})")


async def test_transactions_that_block_each_other_are_tried_again(database: PostgresDatabase) -> None:
    await database.write(lambda: insert_leases("a", "b"))
    await asyncio.gather(
        *(database.write(lambda: add_in_order("a", "b")) for _ in range(2)),
        *(database.write(lambda: add_in_order("b", "a")) for _ in range(2)),
    )
    assert await database.read(run("SELECT name, until FROM lease ORDER BY name")) == [("a", 4), ("b", 4)]


async def test_a_failed_work_gives_its_connection_back_clean(database: PostgresDatabase) -> None:
    def refuse() -> Work[None]:
        yield from insert_leases("a")
        raise NotFound

    for _ in range(10):
        with pytest.raises(NotFound):
            await database.write(refuse)
    assert await database.read(run("SELECT count(*) FROM lease")) == [(0,)]
    assert len(await database.read(find_backends("doorward"))) < 4


async def test_connections_are_never_more_than_asked_for(database: PostgresDatabase) -> None:
    await asyncio.gather(*(database.read(run("SELECT pg_sleep(0.01)")) for _ in range(40)))
    assert len(await database.read(find_backends("doorward"))) == 3


async def test_look_ups_do_not_wait_for_searches(database: PostgresDatabase) -> None:
    searches = [asyncio.create_task(database.search(run("SELECT pg_sleep(5)"))) for _ in range(8)]
    await asyncio.sleep(0.1)
    started = time.monotonic()
    await database.read(run("SELECT 1"))
    assert time.monotonic() - started < 2
    for search in searches:
        search.cancel()
    await asyncio.gather(*searches, return_exceptions=True)


async def test_a_cancelled_look_up_leaves_no_connection_in_disorder(database: PostgresDatabase) -> None:
    looking = [asyncio.create_task(database.read(run("SELECT pg_sleep(1)"))) for _ in range(4)]
    await asyncio.sleep(0.1)
    for task in looking:
        task.cancel()
    await asyncio.gather(*looking, return_exceptions=True)
    answers = await asyncio.gather(*(database.read(run(f"SELECT {number}")) for number in range(20)))
    assert answers == [[(number,)] for number in range(20)]


async def test_text_with_nul_is_malformed(database: PostgresDatabase) -> None:
    def look() -> Work[None]:
        yield FIND(key="a\0b")

    with pytest.raises(Malformed):
        await database.read(look())


async def test_a_value_of_the_wrong_type_is_our_mistake_and_is_not_shown(database: PostgresDatabase) -> None:
    def wrong() -> Work[None]:
        yield FIND(key=b"secret")

    with pytest.raises(TypeError) as caught:
        await database.read(wrong())
    assert "secret" not in str(caught.value)


async def test_statements_go_on_working_when_the_schema_changes_under_them(database: PostgresDatabase) -> None:
    everything = ("SELECT * FROM lease",)
    assert await asyncio.gather(*(database.read(run(*everything)) for _ in range(4))) == [[]] * 4
    await database.alter(lambda: run("ALTER TABLE lease ADD COLUMN note text"))
    await database.write(lambda: insert_leases("a"))
    answers = await asyncio.gather(*(database.write(lambda: run(*everything)) for _ in range(4)))
    assert answers == [[("a", "", 0, None)]] * 4


async def test_one_node_at_a_time_changes_the_schema(database: PostgresDatabase) -> None:
    """The second finds what the first has made, instead of making it too."""

    def make_if_missing() -> Work[bool]:
        if (yield raw("SELECT 1 FROM pg_tables WHERE tablename = 'made'")):
            return False
        yield raw("SELECT pg_sleep(0.05)")
        yield raw("CREATE TABLE made (x int)")
        return True

    made = await asyncio.gather(*(database.alter(make_if_missing) for _ in range(4)))
    assert sorted(made) == [False, False, False, True]


# waking


async def test_a_revocation_wakes_every_node(database: PostgresDatabase, postgresql_address: str) -> None:
    other = await PostgresDatabase.open(postgresql_address)
    woken: list[str] = []
    assert await database.listen(lambda: woken.append("here"))
    assert await other.listen(lambda: woken.append("there"))
    await until(lambda: set(woken) == {"here", "there"})  # what may have been missed before
    woken.clear()
    await database.write(revoke)
    await until(lambda: set(woken) == {"here", "there"})
    await other.close()


async def test_a_revocation_that_is_rolled_back_wakes_nobody(database: PostgresDatabase) -> None:
    woken: list[bool] = []

    def refuse() -> Work[None]:
        yield from revoke()
        raise NotFound

    await database.listen(lambda: woken.append(True))
    await until(lambda: woken == [True])
    with pytest.raises(NotFound):
        await database.write(refuse)
    await asyncio.sleep(0.2)
    assert woken == [True]


async def test_a_listener_whose_line_was_cut_calls_again_and_wakes(database: PostgresDatabase) -> None:
    woken: list[bool] = []
    await database.listen(lambda: woken.append(True))
    await until(lambda: len(woken) == 1)
    await database.read(hang_up_on(await database.read(find_backends("doorward listener"))))
    await until(lambda: len(woken) == 2)
    await database.write(revoke)
    await until(lambda: len(woken) == 3)


# when the server is away


async def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await PostgresDatabase.open("postgresql://nobody:secret@127.0.0.1:1/nowhere")


async def test_a_database_that_does_not_exist_is_said_so(postgres: PostgresServer) -> None:
    with pytest.raises(Unavailable) as caught:
        await PostgresDatabase.open(postgres.url("nowhere"))
    assert caught.value.reason == 'postgresql: database "nowhere" does not exist'


async def test_a_transaction_that_is_cut_off_is_unavailable_and_leaves_nothing(database: PostgresDatabase) -> None:
    def cut_off() -> Work[None]:
        yield from insert_leases("a")
        yield raw("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(Unavailable):
        await database.write(cut_off)
    assert await database.read(run("SELECT count(*) FROM lease")) == [(0,)]


async def test_idle_connections_that_were_cut_are_replaced(database: PostgresDatabase) -> None:
    await asyncio.gather(*(database.read(run("SELECT pg_sleep(0.05)")) for _ in range(4)))
    await database.read(hang_up_on(await database.read(find_backends("doorward"))))
    await asyncio.sleep(1)  # they hear of it
    assert await asyncio.gather(*(database.read(run("SELECT 1")) for _ in range(8))) == [[(1,)]] * 8


async def no_backends(database: PostgresDatabase, name: str) -> bool:
    return await database.read(find_backends(name)) == []


async def test_after_closing_everything_is_refused_and_no_connection_is_left(
    database: PostgresDatabase, postgresql_address: str
) -> None:
    other = await PostgresDatabase.open(postgresql_address)
    await other.listen(lambda: None)
    writes = [asyncio.create_task(other.write(partial(insert_leases, f"{n}"))) for n in range(20)]
    await asyncio.sleep(0)
    await other.close()
    assert await asyncio.gather(*writes) == [None] * 20
    with pytest.raises(Unavailable):
        await other.read(run("SELECT 1"))
    for name in ("doorward", "doorward listener"):
        await until(partial(no_backends, database, name))  # they hear that we are gone, and go
