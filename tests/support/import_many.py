"""Imports a CSV file into an SQLite database and prints how many came in and the most memory it took, in KiB."""

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

from sqlalchemy import bindparam

from doorward import log
from doorward.adapters.argon2 import Argon2Hasher
from doorward.adapters.clock import SystemClock
from doorward.adapters.sealing import KeyFileSealer
from doorward.adapters.sqlite import SqliteDatabase
from doorward.audit import AuditTrail
from doorward.sql import Statement, Work, insert
from doorward.sql.tables import password
from doorward.users import Declaration, Importer, Schema, read_source

SCHEMA = Schema({"coins": Declaration(type="integer", write="app"), "tracking": Declaration(type="json")})
INSERT = Statement(insert(password).values({column.name: bindparam(column.name) for column in password.columns}))


def set_password(user_id: str, digest: str) -> Work[None]:
    """As the authenticators room does it, but for what it forgets of earlier passwords."""
    yield INSERT(user_id=user_id, digest=digest, set_at=0, change_wanted=None)


async def main(database: str, source: str, key: Path) -> None:
    """Import and tell."""
    db = await SqliteDatabase.open(database)
    hasher = Argon2Hasher(memory_kib=8, time_cost=1, threads=1)
    clock = SystemClock()
    audit = AuditTrail(KeyFileSealer.open_or_create(key), clock)
    importer = Importer(db, clock, audit, SCHEMA, hasher.recognises, set_password)
    totals = await importer.import_users(read_source("csv", Path(source)), print)
    await db.close()
    hasher.close()
    print(totals.imported, peak_kib())  # noqa: T201  its only answer


def peak_kib() -> int:
    """The most memory this program has had; getrusage would count that of the process it was forked from."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.split("VmHWM:")[1].split()[0])


if __name__ == "__main__":
    log.configure(form="json", level="warning")
    logging.getLogger("doorward.audit").setLevel(logging.CRITICAL + 1)  # as the command line does: the rows count
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(sys.argv[1], sys.argv[2], Path(folder) / "sealing.key"))
