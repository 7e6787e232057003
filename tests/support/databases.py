"""Opening the databases that tests run on, by address: a PostgreSQL URL, or the path of an SQLite file."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from doorward.adapters.postgres import PostgresDatabase
from doorward.adapters.sqlite import SqliteDatabase
from doorward.kernel.errors import Unavailable
from doorward.ports import Database
from doorward.sql import Work
from doorward.sql.migrate import upgrade

T = TypeVar("T")


class Interrupted:
    """A real database that refuses writes, or longer reads, while it is told to."""

    def __init__(self, database: Database) -> None:
        """`database` writes whenever `down` is false and searches unless it is `silent`; reads by key always."""
        self.read, self._search, self.alter = database.read, database.search, database.alter
        self.listen, self.close, self._write = database.listen, database.close, database.write
        self.dialect = database.dialect
        self.down = self.silent = False

    async def search(self, work: Work[T]) -> T:
        """As in `ports.Database`. Raises Unavailable while silent."""
        if self.silent:
            work.close()
            raise Unavailable(retry_after_seconds=1, reason="silent")
        return await self._search(work)

    async def write(self, work: Callable[[], Work[T]]) -> T:
        """As in `ports.Database`. Raises Unavailable while down."""
        if self.down:
            raise Unavailable(retry_after_seconds=1, reason="down")
        return await self._write(work)


async def open_database(address: str) -> SqliteDatabase | PostgresDatabase:
    """Open what is there; several may be open at one address, as several workers have it."""
    if address.startswith("postgresql:"):
        return await PostgresDatabase.open(address)
    return await SqliteDatabase.open(address, synchronous="OFF")


def migrate(address: str) -> None:
    """Bring an empty database to today's schema. On a loop of its own, which leaves that of the tests alone."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(_migrate(address))


async def _migrate(address: str) -> None:
    database = await open_database(address)
    try:
        await upgrade(database)
    finally:
        await database.close()
