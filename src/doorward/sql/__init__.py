"""SQL written once with SQLAlchemy Core, compiled once for each dialect, run by thin drivers.

A store function is a generator: it yields queries, is sent their rows and returns a value. It opens no connection and
awaits nothing, so the same function runs on SQLite's writer thread, on the event loop and over asyncpg, alone or as a
part of a larger transaction (`yield from`), and it cannot hold a transaction across a password hash.

`insert` knows ON CONFLICT and RETURNING for both databases (SQLAlchemy's own `insert` of SQLite's dialect does not).
`purge` deletes what is over, a thousand rows at a time.
"""

from sqlalchemy.dialects.postgresql import insert

from doorward.sql.purging import PURGE_AT_ONCE, purge
from doorward.sql.sealed import SEALED, purpose_of
from doorward.sql.statement import Dialect, Query, Row, Statement, Value, Work
from doorward.sql.tables import metadata

__all__ = [
    "PURGE_AT_ONCE",
    "SEALED",
    "Dialect",
    "Query",
    "Row",
    "Statement",
    "Value",
    "Work",
    "insert",
    "metadata",
    "purge",
    "purpose_of",
]
