"""What only SQLite promises: the file, the sync before the answer, groups, turns among processes, a full disk."""

import asyncio
import contextlib
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import bindparam, func, select

from doorward.adapters import sqlite
from doorward.adapters.sqlite import SqliteDatabase
from doorward.kernel.errors import Unavailable
from doorward.sql import Row, Statement, Work, insert
from doorward.sql.migrate import raw
from doorward.sql.tables import password, setting, users
from tests.support.strace import COMMAND, count_syncs, unsynced_answers

ROOT = Path(__file__).parents[2]
INSERT = Statement(insert(setting).values(key=bindparam("key"), value="x" * 100))
COUNT = Statement(select(func.count()).select_from(setting))
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
async def database(sqlite_address: str) -> AsyncIterator[SqliteDatabase]:
    opened = await SqliteDatabase.open(sqlite_address, synchronous="OFF")
    yield opened
    await opened.close()


def insert_row(key: str) -> Work[None]:
    yield INSERT(key=key)


def count_rows() -> Work[int]:
    ((count,),) = yield COUNT()
    return int(count)


def run(sql: str) -> Work[Sequence[Row]]:
    return (yield raw(sql))


def modes_in(directory: Path) -> dict[str, int]:
    return {found.name: stat.S_IMODE(found.stat().st_mode) for found in directory.iterdir()}


def trace_writer(address: str, synchronous: str, tasks: int, rows: int) -> list[str]:
    trace = Path(address).with_suffix(".trace")
    writer = [sys.executable, "-m", "tests.support.writer", address, "row", str(tasks), str(rows), synchronous]
    subprocess.run([*COMMAND, "-o", str(trace), *writer], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return trace.read_text().splitlines()


# the file


async def test_nobody_else_may_read_the_file_or_its_log(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    database = await SqliteDatabase.open(path)
    await database.write(lambda: run("CREATE TABLE t (x)"))
    modes = modes_in(tmp_path)
    await database.close()
    assert modes == {"new.db": 0o600, "new.db-wal": 0o600, "new.db-shm": 0o600}


async def test_a_missing_directory_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        await SqliteDatabase.open(tmp_path / "nowhere" / "doorward.db")
    assert "No such file or directory" in caught.value.reason


async def test_opening_waits_for_another_process_that_is_making_the_file(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        soon = threading.Timer(0.2, other.execute, ["COMMIT"])
        soon.start()
        database = await SqliteDatabase.open(path)
        soon.join()
        await database.close()


async def test_look_ups_and_searches_cannot_write(database: SqliteDatabase) -> None:
    for look in (database.read, database.search):
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await look(insert_row("a"))


# durability


def test_the_log_is_synced_between_the_request_and_its_acknowledgement(sqlite_address: str) -> None:
    trace = trace_writer(sqlite_address, "FULL", tasks=1, rows=20)
    assert sum("written row" in line for line in trace) == 20
    assert unsynced_answers(trace, Path(sqlite_address), r"\"written row") == []


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_the_trace_would_show_it_if_nothing_were_synced(sqlite_address: str, synchronous: str) -> None:
    trace = trace_writer(sqlite_address, synchronous, tasks=1, rows=20)
    assert len(unsynced_answers(trace, Path(sqlite_address), r"\"written row")) == 20


def test_writes_that_come_together_share_a_sync(sqlite_address: str) -> None:
    trace = trace_writer(sqlite_address, "FULL", tasks=100, rows=5)
    assert sum("written row" in line for line in trace) == 500
    assert count_syncs(trace, Path(sqlite_address)) < 250, "19 to 92 were seen; alone they would be 500"


async def test_closing_commits_what_is_queued(sqlite_address: str) -> None:
    database = await SqliteDatabase.open(sqlite_address)
    writes = [asyncio.create_task(database.write(partial(insert_row, f"{n}"))) for n in range(50)]
    await asyncio.sleep(0)
    await database.close()
    assert await asyncio.gather(*writes) == [None] * 50
    with pytest.raises(Unavailable):
        await database.write(lambda: insert_row("late"))


FULL_DISK = """
import asyncio, resource, sys
from doorward.adapters.sqlite import SqliteDatabase
from doorward.kernel.errors import Unavailable
from tests.support.writer import insert_row

async def write(database, key):
    try:
        await database.write(lambda: insert_row(key))
    except Unavailable as refused:
        return refused.reason
    print(key, flush=True)

async def main():
    database = await SqliteDatabase.open(sys.argv[1])
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    reasons = [await asyncio.gather(*(write(database, f"{round}-{n}") for n in range(20))) for round in range(30)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    print(max(filter(None, sum(reasons, []))), file=sys.stderr)
    assert await write(database, "after") is None
    await database.close()

asyncio.run(main())
"""


def test_on_a_full_disk_nothing_is_acknowledged_that_is_not_kept(sqlite_address: str) -> None:
    # A limit on the size of a file is a full disk that needs no root.
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, sqlite_address], cwd=ROOT, capture_output=True, text=True, check=True
    )
    acknowledged = ran.stdout.split()
    with contextlib.closing(sqlite3.connect(sqlite_address)) as connection:
        kept = [key for (key,) in connection.execute("SELECT key FROM setting")]
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert "sqlite: " in ran.stderr
    assert 20 < len(acknowledged) < 600
    assert acknowledged[-1] == "after"
    assert sorted(kept) == sorted(acknowledged)


# turns


@contextlib.contextmanager
def write_lock(path: str) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


async def test_a_write_waits_while_another_process_writes(database: SqliteDatabase, sqlite_address: str) -> None:
    with write_lock(sqlite_address) as other:
        waiting = asyncio.create_task(database.write(lambda: insert_row("a")))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        other.execute("COMMIT")
        await waiting
    assert await database.read(count_rows()) == 1


async def test_a_write_gives_up_when_its_turn_never_comes(
    database: SqliteDatabase, sqlite_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.1)
    with write_lock(sqlite_address):
        refused = await asyncio.gather(
            *(database.write(partial(insert_row, f"{n}")) for n in range(3)), return_exceptions=True
        )
    assert [type(error) for error in refused] == [Unavailable] * 3
    await database.write(lambda: insert_row("a"))
    assert await database.read(count_rows()) == 1


async def test_too_many_writes_are_refused_at_once(
    database: SqliteDatabase, sqlite_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "QUEUE", 5)
    with write_lock(sqlite_address) as other:
        queued = [asyncio.create_task(database.write(partial(insert_row, f"{n}"))) for n in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="try again"):
            await database.write(lambda: insert_row("one too many"))
        other.execute("COMMIT")
        await asyncio.gather(*queued)
    assert await database.read(count_rows()) == 5


RECOVERING = """
import fcntl, sys, time
with open(sys.argv[1] + "-shm", "r+b", buffering=0) as shared:
    fcntl.lockf(shared, fcntl.LOCK_EX, 1, 120)  # WAL_WRITE_LOCK
    fcntl.lockf(shared, fcntl.LOCK_EX, 1, 122)  # WAL_RECOVER_LOCK
    shared.write(bytes(136))
    print("recovering", flush=True)
    sys.stdin.read()
"""


async def test_a_look_up_that_meets_a_lock_waits_without_stopping_the_event_loop(
    database: SqliteDatabase, sqlite_address: str
) -> None:
    """Another process seems to be recovering the log, as after a crash: the one lock that readers meet in WAL mode."""
    await database.write(lambda: insert_row("a"))
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RECOVERING, sqlite_address, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    assert await other.stdout.readline() == b"recovering\n"
    looking = asyncio.create_task(database.read(count_rows()))
    started = time.monotonic()
    await asyncio.sleep(0.1)
    assert time.monotonic() - started < 1
    assert not looking.done()
    await other.communicate(b"")
    assert await looking == 1


# searches


async def test_a_search_sees_one_moment(database: SqliteDatabase) -> None:
    looked, wrote = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def search() -> Work[tuple[int, int]]:
        before = yield from count_rows()
        loop.call_soon_threadsafe(looked.set)
        wrote.wait(5)
        return before, (yield from count_rows())

    searching = asyncio.create_task(database.search(search()))
    await looked.wait()
    await database.write(lambda: insert_row("a"))
    wrote.set()
    assert await searching == (0, 0)
    assert await database.search(count_rows()) == 1


async def test_cancelled_searches_make_room(database: SqliteDatabase) -> None:
    endless = [asyncio.create_task(database.search(run(ENDLESS))) for _ in range(2 * sqlite.READERS)]
    await asyncio.sleep(0.05)
    for task in endless:
        task.cancel()
    await asyncio.gather(*endless, return_exceptions=True)
    assert await asyncio.wait_for(database.search(count_rows()), 5) == 0


async def test_a_search_that_takes_too_long_is_given_up(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "SEARCH_SECONDS", 0.1)
    with pytest.raises(Unavailable) as caught:
        await database.search(run(ENDLESS))
    assert caught.value.reason == "sqlite: a search took too long"


# the schema


def rebuild_users(*, forgetful: bool = False) -> Work[None]:
    """What Alembic does on SQLite to change a column."""
    yield raw("CREATE TABLE new_users AS SELECT * FROM users")
    if forgetful:
        yield raw("DELETE FROM new_users")
    yield raw("DROP TABLE users")
    yield raw("ALTER TABLE new_users RENAME TO users")
    yield raw("CREATE UNIQUE INDEX users_id ON users (id)")


def insert_user_with_password() -> Work[None]:
    yield Statement(
        insert(users).values(
            id="7", uid="ada", uid_key="ada", name="Ada", status="active", roles="[]", fields="{}",
            version=1, created_at=0, updated_at=0,
        )
    )()  # fmt: skip
    yield Statement(insert(password).values(user_id="7", digest="", set_at=0))()


async def test_rebuilding_a_table_keeps_the_rows_that_point_to_it(database: SqliteDatabase) -> None:
    await database.write(insert_user_with_password)
    await database.alter(rebuild_users)
    assert await database.read(run("SELECT user_id FROM password")) == [("7",)]


async def test_a_change_of_the_schema_that_breaks_a_foreign_key_is_undone(database: SqliteDatabase) -> None:
    await database.write(insert_user_with_password)
    with pytest.raises(sqlite3.IntegrityError, match="a row of password points to a row missing from users"):
        await database.alter(lambda: rebuild_users(forgetful=True))
    assert await database.read(run("SELECT id FROM users")) == [("7",)]
    await database.write(lambda: insert_row("a"))


async def test_statements_without_places_may_hold_colons(database: SqliteDatabase) -> None:
    assert await database.read(run("SELECT 'a:b', ':c'")) == [("a:b", ":c")]
