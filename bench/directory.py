"""Top ten, own rank and deep pages among a million users in SQLite, for several spreads of values.

Wanted: top ten < 10 ms, own rank p99 < 30 ms. The first rank of a field is slow, because it builds the field's ladder.
"""

import asyncio
import json
import random
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path

from doorward.adapters.clock import SystemClock
from doorward.adapters.sqlite import SqliteDatabase
from doorward.kernel.ids import new_id
from doorward.kernel.text import uid_key
from doorward.sql import migrate
from doorward.sql.tables import users
from doorward.users import Declaration, Directory, Schema, index_statements

SPREADS: dict[str, Callable[[random.Random], int]] = {
    "wide": lambda chance: chance.randrange(10**9),  # hardly any ties
    "bell": lambda chance: int(chance.gauss(1_000, 200)),  # hundreds to thousands of ties
    "skewed": lambda chance: min(int(chance.expovariate(1) * 2), 9),  # ten values, 40 % have the least
    "same": lambda _: 5,  # everybody ties
}
FIELDS = {name: Declaration(type="integer", write="app", read="public", sortable=True) for name in SPREADS}
USERS, ROUNDS = 1_000_000, 1_000
START = 1_700_000_000_000_000  # µs; users sign up 1 ms apart


def main(_: float) -> None:
    """Fill a file, measure every spread, print."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder) / "directory.db", USERS, ROUNDS))


async def measure(path: Path, count: int, rounds: int) -> None:
    """Measure every spread."""
    db = await SqliteDatabase.open(path, synchronous="OFF")
    await migrate.upgrade(db)
    await asyncio.to_thread(fill, path, count)
    await migrate.upgrade(db, extra=index_statements(FIELDS, "sqlite"))
    ids = await asyncio.to_thread(sample, path, rounds)
    print(f"{count:,} users; milliseconds")
    print(f"{'':10}{'':12}{'median':>9}{'p99':>9}{'max':>9}")
    for name in SPREADS:
        await measure_spread(Directory(db, Schema(FIELDS), SystemClock()), name, ids)
    await db.close()


async def measure_spread(directory: Directory, name: str, ids: list[str]) -> None:
    """Measure one field; the first own rank builds the ladder."""
    sort = f"-{name}"

    async def own_rank(user_id: str) -> None:
        await directory.page(sort=sort, limit=1, viewer_id=user_id)

    async def top_ten(_: str) -> None:
        await directory.page(sort=sort, limit=10)

    deep = (await directory.page(sort=sort, limit=10)).next_cursor

    async def next_pages(_: str) -> None:
        nonlocal deep
        deep = (await directory.page(sort=sort, limit=200, cursor=deep)).next_cursor

    report(name, "top ten", await timed(top_ten, ids))
    report(name, "first rank", await timed(own_rank, ids[:1]))
    report(name, "own rank", await timed(own_rank, ids))
    report(name, "next page", await timed(next_pages, ids[: len(ids) // 10]))


async def timed(ask: Callable[[str], Awaitable[None]], ids: list[str]) -> list[float]:
    """Milliseconds of each call, sorted."""
    found = []
    for user_id in ids:
        started = time.perf_counter()
        await ask(user_id)
        found.append((time.perf_counter() - started) * 1000)
    return sorted(found)


def report(name: str, what: str, milliseconds: list[float]) -> None:
    """Print one line."""
    count = len(milliseconds)
    figures = (milliseconds[count // 2], milliseconds[count * 99 // 100], milliseconds[-1])
    print(f"{name:10}{what:12}" + "".join(f"{figure:9.2f}" for figure in figures))


def sample(path: Path, count: int) -> list[str]:
    """Ids of random active users."""
    with closing(sqlite3.connect(path)) as connection:
        most: int = connection.execute("SELECT max(rowid) FROM users").fetchone()[0]
        chance = random.Random(2)  # noqa: S311  sample data
        query = "SELECT id FROM users WHERE rowid = ? AND status = 'active'"
        drawn = (connection.execute(query, (chance.randint(1, most),)).fetchone() for _ in range(2 * count))
        return [row[0] for row in drawn if row is not None][:count]


def fill(path: Path, count: int) -> None:
    """Add users until there are `count`; one in fifty is disabled."""
    names = ", ".join(column.name for column in users.columns)
    places = ", ".join("?" for _ in users.columns)
    with closing(sqlite3.connect(path)) as connection:
        present: int = connection.execute("SELECT count(*) FROM users").fetchone()[0]
        connection.execute("PRAGMA synchronous = OFF")
        started = time.perf_counter()
        statement = f"INSERT INTO users ({names}) VALUES ({places})"  # noqa: S608  names of our own columns
        connection.executemany(statement, rows(present, count))
        connection.commit()
        print(f"filled in {time.perf_counter() - started:.1f} s")


def rows(first: int, end: int) -> Iterator[tuple[object, ...]]:
    """Users as rows of the table."""
    chance = random.Random(1)  # noqa: S311  sample data
    for number in range(first, end):
        at = START + number * 1_000
        fields = {name: spread(chance) for name, spread in SPREADS.items()}
        status = "disabled" if number % 50 == 0 else "active"
        uid = f"user{number}"
        yield (
            new_id(at), uid, uid_key(uid), f"Name {chance.randrange(10**6)}", None, status, "[]",
            json.dumps({**fields, "tracking": {"goal": "run", "km": [1, 2, 3]}}), None, 1, at, at,
        )  # fmt: skip
