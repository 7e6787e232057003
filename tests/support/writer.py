"""A program that writes rows and says on its standard output when each was asked for and when it was acknowledged.

    python -m tests.support.writer ADDRESS NAME TASKS ROWS [SYNCHRONOUS]

TASKS writers at a time write ROWS rows each, with keys NAME-<task>-<row>. One line a step: "asked KEY", "written KEY".
"""

import asyncio
import os
import sys
from functools import partial
from typing import cast

from sqlalchemy import bindparam

from doorward.adapters.postgres import PostgresDatabase
from doorward.adapters.sqlite import SqliteDatabase, Synchronous
from doorward.ports import Database
from doorward.sql import Statement, Work, insert
from doorward.sql.tables import setting

INSERT = Statement(insert(setting).values(key=bindparam("key"), value="x" * 100))


def insert_row(key: str) -> Work[None]:
    yield INSERT(key=key)


async def main(address: str, name: str, tasks: str, rows: str, synchronous: str = "FULL") -> None:
    database = await _open(address, cast("Synchronous", synchronous))
    try:
        await asyncio.gather(*(_write(database, f"{name}-{task}", int(rows)) for task in range(int(tasks))))
    finally:
        await database.close()


async def _open(address: str, synchronous: Synchronous) -> Database:
    if address.startswith("postgresql:"):
        return await PostgresDatabase.open(address)
    return await SqliteDatabase.open(address, synchronous=synchronous)


async def _write(database: Database, name: str, rows: int) -> None:
    for row in range(rows):
        key = f"{name}-{row}"
        _say(f"asked {key}")
        await database.write(partial(insert_row, key))
        _say(f"written {key}")


def _say(line: str) -> None:
    # Straight to the kernel: what was said before the process died counts.
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
