"""What every database adapter promises (ports.Database), on SQLite and on PostgreSQL."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import bindparam, select, text, update

from doorward.kernel.errors import Conflict, Malformed, NotFound
from doorward.ports import Database
from doorward.sql import Row, Statement, Work, insert
from doorward.sql.tables import bucket, lease, password, revocation, setting, users
from tests.support.databases import open_database

BIG = 2**63 - 1

INSERT = Statement(insert(setting).values(key=bindparam("key"), value=bindparam("value")))
CLAIM = Statement(
    insert(setting)
    .values(key=bindparam("key"), value=bindparam("value"))
    .on_conflict_do_nothing()
    .returning(setting.c.value)
)
FIND = Statement(select(setting.c.value).where(setting.c.key == bindparam("key")))
LIST = Statement(select(setting.c.key).order_by(setting.c.key))
TAKE = Statement(
    update(lease)
    .where(lease.c.name == bindparam("wanted"), lease.c.holder == "")
    .values(holder=bindparam("holder"))
    .returning(lease.c.holder)
)
INSERT_LEASE = Statement(insert(lease).values(name=bindparam("name"), holder="", until=0))
COUNT_UP = Statement(update(lease).values(until=lease.c.until + 1).returning(lease.c.until))


def insert_setting(key: str, value: str = "") -> Work[None]:
    yield INSERT(key=key, value=value)


def find_setting(key: str) -> Work[str | None]:
    rows = yield FIND(key=key)
    return rows[0][0] if rows else None


def list_settings() -> Work[list[str]]:
    rows = yield LIST()
    return [key for (key,) in rows]


def run(statement: Statement, **params: str | int | bytes | None) -> Work[Sequence[Row]]:
    return (yield statement(**params))


def insert_and_refuse(key: str) -> Work[None]:
    yield INSERT(key=key, value="")
    raise NotFound(reason="second thoughts")


# transactions


async def test_what_was_written_is_read_by_look_up_and_by_search(database: Database) -> None:
    await database.write(lambda: insert_setting("a", "1"))
    assert await database.read(find_setting("a")) == "1"
    assert await database.search(find_setting("a")) == "1"
    assert await database.read(find_setting("b")) is None


async def test_a_work_sees_its_own_rows(database: Database) -> None:
    def work() -> Work[str | None]:
        yield from insert_setting("a", "1")
        return (yield from find_setting("a"))

    assert await database.write(work) == "1"


@pytest.mark.asvs("2.3.3")
async def test_an_error_rolls_back_all_of_its_work_and_is_raised_as_it_was(database: Database) -> None:
    with pytest.raises(NotFound) as caught:
        await database.write(lambda: insert_and_refuse("a"))
    assert caught.value.reason == "second thoughts"
    assert await database.read(find_setting("a")) is None


async def test_a_work_that_fails_takes_none_of_its_neighbours_with_it(database: Database) -> None:
    works = [insert_and_refuse if number % 3 == 0 else insert_setting for number in range(30)]
    outcomes = await asyncio.gather(
        *(database.write(partial(work, f"{number:02}")) for number, work in enumerate(works)),
        return_exceptions=True,
    )
    failed = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, NotFound)]
    assert failed == list(range(0, 30, 3))
    assert await database.read(list_settings()) == [f"{number:02}" for number in range(30) if number % 3]


async def test_a_key_that_exists_already_is_a_conflict_that_rolls_back(database: Database) -> None:
    def work() -> Work[None]:
        yield from insert_setting("b")
        yield from insert_setting("a")

    await database.write(lambda: insert_setting("a"))
    with pytest.raises(Conflict):
        await database.write(work)
    assert await database.read(list_settings()) == ["a"]


async def test_a_row_cannot_point_to_nobody(database: Database) -> None:
    statement = Statement(insert(password).values(user_id="nobody", digest="", set_at=0))
    with pytest.raises(Conflict):
        await database.write(lambda: run(statement))


async def test_on_conflict_do_nothing_returns_no_row(database: Database) -> None:
    assert await database.write(lambda: run(CLAIM, key="a", value="1")) == [("1",)]
    assert await database.write(lambda: run(CLAIM, key="a", value="2")) == []
    assert await database.read(find_setting("a")) == "1"


async def test_on_conflict_do_update_is_one_statement(database: Database) -> None:
    asked = insert(bucket).values(key=bindparam("key"), arrival_at=bindparam("now"), expires_at=0)
    upsert = Statement(
        asked.on_conflict_do_update(
            index_elements=[bucket.c.key],
            set_={"arrival_at": bucket.c.arrival_at + asked.excluded.arrival_at},
            where=bucket.c.arrival_at < 10,
        ).returning(bucket.c.arrival_at)
    )
    answers = [await database.write(lambda: run(upsert, key=b"\0k", now=6)) for _ in range(3)]
    assert answers == [[(6,)], [(12,)], []]


@pytest.mark.asvs("15.4.2")
async def test_of_twenty_in_parallel_one_takes_what_can_be_taken_once(database: Database) -> None:
    await database.write(lambda: run(INSERT_LEASE, name="ticket"))
    answers = await asyncio.gather(
        *(database.write(partial(run, TAKE, wanted="ticket", holder=f"{n}")) for n in range(20))
    )
    assert sum(len(rows) for rows in answers) == 1


async def test_of_twenty_in_parallel_one_gets_the_name(database: Database) -> None:
    answers = await asyncio.gather(*(database.write(partial(run, CLAIM, key="name", value=f"{n}")) for n in range(20)))
    assert [rows for rows in answers if rows] == [[(await database.read(find_setting("name")),)]]


async def test_two_workers_in_parallel_lose_no_update(database: Database, database_address: str) -> None:
    other = await open_database(database_address)
    try:
        await database.write(lambda: run(INSERT_LEASE, name="counter"))
        answers = await asyncio.gather(*(worker.write(lambda: run(COUNT_UP)) for worker in (database, other) * 20))
    finally:
        await other.close()
    assert sorted(count for ((count,),) in answers) == list(range(1, 41))


async def test_a_write_goes_on_when_the_task_that_waits_for_it_is_cancelled(database: Database) -> None:
    waiting = [asyncio.create_task(database.write(partial(insert_setting, f"{number:02}"))) for number in range(20)]
    await asyncio.sleep(0)
    for task in waiting[::2]:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await database.write(lambda: insert_setting("last"))
    assert set(await database.read(list_settings())) >= {"last", *(f"{number:02}" for number in range(1, 20, 2))}


async def test_a_work_is_closed_when_its_query_fails(database: Database) -> None:
    closed = []

    def work() -> Work[None]:
        try:
            yield from insert_setting("a")
            yield from insert_setting("a")
        finally:
            closed.append(True)

    with pytest.raises(Conflict):
        await database.write(work)
    assert closed == [True]


# after the commit


async def test_call_backs_come_after_the_commit_in_the_order_of_the_queries(database: Database) -> None:
    said: list[str] = []

    def work() -> Work[None]:
        yield INSERT(key="a", value="").then(lambda: said.append("a"))
        yield INSERT(key="b", value="").then(lambda: said.append("b"))
        assert said == []

    await database.write(work)
    assert said == ["a", "b"]


async def test_what_was_rolled_back_is_not_said(database: Database) -> None:
    said: list[str] = []

    def work() -> Work[None]:
        yield INSERT(key="a", value="").then(lambda: said.append("a"))
        raise NotFound

    with pytest.raises(NotFound):
        await database.write(work)
    assert said == []


async def test_call_backs_come_also_when_nobody_waits_any_more(database: Database) -> None:
    said = asyncio.Event()

    def work() -> Work[None]:
        yield INSERT(key="a", value="").then(said.set)

    waiting = asyncio.create_task(database.write(work))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait_for(said.wait(), 5)


# values


def insert_user(fields: str, name: str = "Ada", dob: str | None = None) -> Work[None]:
    statement = Statement(
        insert(users).values(
            id="7", uid="ada", uid_key="ada", status="active", roles="[]", legacy_id=None,
            name=bindparam("name"), dob=bindparam("dob"), fields=bindparam("fields"),
            version=BIG, created_at=-BIG, updated_at=0,
        )
    )  # fmt: skip
    yield statement(fields=fields, name=name, dob=dob)


async def test_json_goes_in_and_comes_out_as_text(database: Database) -> None:
    await database.write(lambda: insert_user('{"coins": 7, "note": "\\u00e9 : ?"}'))
    ((fields, roles),) = await database.read(run(Statement(select(users.c.fields, users.c.roles))))
    assert (json.loads(fields), json.loads(roles)) == ({"coins": 7, "note": "é : ?"}, [])


async def test_numbers_of_64_bits_and_none_come_back_as_they_were(database: Database) -> None:
    await database.write(lambda: insert_user("{}"))
    columns = (users.c.version, users.c.created_at, users.c.dob, users.c.legacy_id)
    assert await database.read(run(Statement(select(*columns)))) == [(BIG, -BIG, None, None)]


async def test_bytes_come_back_as_bytes(database: Database) -> None:
    key = bytes(range(256))
    statement = Statement(insert(bucket).values(key=bindparam("key"), arrival_at=0, expires_at=0))
    await database.write(lambda: run(statement, key=key))
    ((found,),) = await database.read(run(Statement(select(bucket.c.key))))
    assert (type(found), found) == (bytes, key)


async def test_any_text_comes_back_as_it_was(database: Database) -> None:
    name = "Zoë\u202e 王 👩‍👩‍👧 %s %(x)s :y $1 ? '; DROP TABLE users; --\\"
    await database.write(lambda: insert_user("{}", name=name))
    assert await database.read(run(Statement(select(users.c.name)))) == [(name,)]


async def test_a_row_is_a_tuple(database: Database) -> None:
    await database.write(lambda: insert_setting("a", "1"))
    (row,) = await database.read(run(FIND, key="a"))
    assert type(row) is tuple


async def test_a_json_value_can_be_picked_and_compared(database: Database) -> None:
    await database.write(lambda: insert_user('{"coins": 12}'))
    coins = text("CAST(fields ->> 'coins' AS BIGINT)")
    assert await database.search(run(Statement(select(coins).select_from(users).where(text("true"))))) == [(12,)]


@pytest.mark.parametrize("unfit", ["\ud800", 2**63])
async def test_a_value_that_no_database_can_hold_is_malformed(database: Database, unfit: str | int) -> None:
    statement = Statement(
        select(setting.c.key).where(setting.c.value == bindparam("value", type_=setting.c.value.type))
    )
    number = Statement(select(lease.c.name).where(lease.c.until == bindparam("value")))
    with pytest.raises(Malformed) as caught:
        await database.read(run(statement if isinstance(unfit, str) else number, value=unfit))
    assert caught.value.__cause__ is None


async def test_the_database_goes_on_after_a_wrong_statement(database: Database) -> None:
    wrong = Statement(text("SELECT * FROM nowhere"))
    for run_it in (database.read, database.search):
        with pytest.raises(Exception, match="nowhere"):
            await run_it(run(wrong))
    with pytest.raises(Exception, match="nowhere"):
        await database.write(lambda: run(wrong))
    await database.write(lambda: insert_setting("a"))
    assert await database.read(list_settings()) == ["a"]


async def test_a_wrong_parameter_name_is_a_type_error(database: Database) -> None:
    with pytest.raises(TypeError, match="surplus"):
        await database.write(lambda: run(FIND, kye="a"))
    assert await database.read(list_settings()) == []


async def test_a_sequence_counts_up(database: Database) -> None:
    statement = Statement(insert(revocation).values(kind="session", id="7", at=0).returning(revocation.c.seq))
    numbers = [(await database.write(lambda: run(statement)))[0][0] for _ in range(3)]
    assert numbers == sorted(set(numbers))


# durability


def written(lines: bytes) -> set[str]:
    """The keys that were acknowledged in whole lines."""
    whole = lines.decode().rpartition("\n")[0].splitlines()
    return {key for said, _, key in (line.partition(" ") for line in whole) if said == "written"}


def kill_while_it_writes(address: str, name: str, seconds: float) -> set[str]:
    """Start a writer, kill it after its first acknowledgement and `seconds`; the keys it had acknowledged."""
    command = [sys.executable, "-m", "tests.support.writer", address, name, "20", "1000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as writer:
        assert writer.stdout is not None
        lines: list[bytes] = []
        while not written(b"".join(lines)):
            lines.append(os.read(writer.stdout.fileno(), 1 << 16))
            assert lines[-1], "it has ended by itself"
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            lines.append(os.read(writer.stdout.fileno(), 1 << 16))
        writer.send_signal(signal.SIGKILL)
        lines.append(writer.stdout.read())
    return written(b"".join(lines))


@pytest.mark.slow
async def test_a_killed_process_loses_nothing_that_it_had_acknowledged(database_address: str, rounds: int) -> None:
    acknowledged: set[str] = set()
    for number in range(max(3, rounds // 4)):
        found = await asyncio.to_thread(
            kill_while_it_writes, database_address, f"round{number}", 0.05 + 0.04 * (number % 5)
        )
        assert found
        acknowledged |= found
        database = await open_database(database_address)
        kept = set(await database.search(list_settings()))
        await database.close()
        assert acknowledged <= kept


@pytest.mark.slow
async def test_four_processes_write_at_once_without_error_or_loss(database_address: str) -> None:
    commands = [
        [sys.executable, "-m", "tests.support.writer", database_address, f"process{number}", "10", "50"]
        for number in range(4)
    ]
    programs = [
        await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for command in commands
    ]
    outputs = await asyncio.gather(*(program.communicate() for program in programs))
    assert [(program.returncode, errors) for program, (_, errors) in zip(programs, outputs, strict=True)] == [
        (0, b"")
    ] * 4
    acknowledged = {key for output, _ in outputs for key in written(output)}
    database = await open_database(database_address)
    kept = set(await database.search(list_settings()))
    await database.close()
    assert len(acknowledged) == 4 * 10 * 50
    assert acknowledged <= kept
