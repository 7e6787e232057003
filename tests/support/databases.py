"""Opening the databases that tests run on, by address: a PostgreSQL URL, or the path of an SQLite file."""

import asyncio

from doorward.adapters.postgres import PostgresDatabase
from doorward.adapters.sqlite import SqliteDatabase
from doorward.sql.migrate import upgrade


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
