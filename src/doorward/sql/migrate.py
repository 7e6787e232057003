"""Brings a database to the schema of this version.

A new database gets the tables as they stand in `tables.py`; one of an earlier version goes through the revisions in
`migrations/`; a test proves that both ways end in the same schema. Alembic takes 350 ms to import, so only the second
way imports it. Everything happens in one transaction under the database's lock, so several nodes may start at once.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol, TypeVar

from sqlalchemy import Column, MetaData, PrimaryKeyConstraint, String, Table, bindparam, select, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import asyncpg, insert
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.schema import CreateIndex, CreateTable

from doorward.kernel.startup import StartRefused
from doorward.sql.statement import Dialect, Query, Statement, Work
from doorward.sql.tables import metadata, setting

T = TypeVar("T")

HEAD: Final = "0004"  # the newest revision in migrations/versions
EXTRA: Final = "schema.extra"  # the setting that names the extra statements last run

_version: Final = Table(  # Alembic's own
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
# Wakes every node that listens, when the transaction of a revocation commits (ports.Database.listen).
_POSTGRESQL_ONLY: Final = (
    """
    CREATE FUNCTION doorward_revocation_notify() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_notify('doorward_revocation', ''); RETURN NULL; END $$
    """,
    """
    CREATE TRIGGER doorward_revocation_notify AFTER INSERT ON revocation
    FOR EACH STATEMENT EXECUTE FUNCTION doorward_revocation_notify()
    """,
)

_HAS_VERSION: Final = {
    "sqlite": Statement(text("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'")),
    "postgresql": Statement(text("SELECT 1 WHERE to_regclass('alembic_version') IS NOT NULL")),
}
_FIND_VERSION: Final = Statement(select(_version.c.version_num))
_FIND_EXTRA: Final = Statement(select(setting.c.value).where(setting.c.key == EXTRA))
_SET_EXTRA: Final = Statement(
    insert(setting)
    .values(key=EXTRA, value=bindparam("digest"))
    .on_conflict_do_update(index_elements=[setting.c.key], set_={"value": bindparam("digest")})
)


class SchemaTooNewError(StartRefused):
    """A newer Doorward has changed this database; ours could damage it."""

    def __init__(self, version: str) -> None:
        """`version`: the revision that the database is at."""
        super().__init__(
            f"The database has schema {version}, which this version of Doorward (schema {HEAD}) does not know. "
            "Install the newer version again, or restore a backup made by this one."
        )


class Alterable(Protocol):
    """What `upgrade` needs of a database; both adapters have it."""

    @property
    def dialect(self) -> Dialect:
        """Which SQL it speaks."""
        ...

    async def read(self, work: Work[T]) -> T:
        """As in `ports.Database`."""
        ...

    async def alter(self, work: Callable[[], Work[T]]) -> T:
        """Run one transaction that changes the schema, one at a time among all processes and nodes."""
        ...


async def upgrade(database: Alterable, *, extra: Sequence[str] = ()) -> None:
    """Bring `database` to HEAD; two look-ups when it is there already. Raises SchemaTooNewError.

    `extra`: idempotent statements for what the configuration declares, such as indexes; run when they have changed.
    """
    if not await database.read(_is_current(database.dialect, extra)):
        await database.alter(lambda: _bring_up(database.dialect, extra))


def find_version() -> Work[str | None]:
    """The revision the database is at."""
    rows = yield _FIND_VERSION()
    return str(rows[0][0]) if rows else None


def creation(dialect: Dialect) -> Iterator[str]:
    """The statements that make an empty database one at HEAD."""
    compiler = _compiler(dialect)
    for table in (*metadata.sorted_tables, _version):
        yield str(CreateTable(table).compile(dialect=compiler))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            yield str(CreateIndex(index).compile(dialect=compiler))
    if dialect == "postgresql":
        yield from _POSTGRESQL_ONLY
    stamp = insert(_version).values(version_num=HEAD)
    yield str(stamp.compile(dialect=compiler, compile_kwargs={"literal_binds": True}))


def raw(sql: str) -> Query:
    """A query of SQL text that has no places."""
    return Statement(text(sql.replace(":", r"\:")))()


def _is_current(dialect: Dialect, extra: Sequence[str]) -> Work[bool]:
    if (yield from _stored_version(dialect)) != HEAD:
        return False
    return (yield from _extra_is_current(extra))


def _stored_version(dialect: Dialect) -> Work[str | None]:
    """None for a database that has never been ours."""
    if not (yield _HAS_VERSION[dialect]()):
        return None
    return (yield from find_version())


def _extra_is_current(extra: Sequence[str]) -> Work[bool]:
    rows = yield _FIND_EXTRA()
    return (rows[0][0] if rows else _digest(())) == _digest(extra)


def _bring_up(dialect: Dialect, extra: Sequence[str]) -> Work[None]:
    # Asked again, because another node may have done it while we waited for the lock.
    version = yield from _stored_version(dialect)
    if version != HEAD:
        for sql in _steps(dialect, version):
            yield raw(sql)
    if not (yield from _extra_is_current(extra)):
        for sql in extra:
            yield raw(sql)
        yield _SET_EXTRA(digest=_digest(extra))


def _steps(dialect: Dialect, version: str | None) -> Iterator[str]:
    if version is None:
        return creation(dialect)
    from doorward.sql import migrations  # noqa: PLC0415  imports Alembic, 350 ms, for old databases only

    if not migrations.is_known(version):
        raise SchemaTooNewError(version)
    return iter(migrations.statements(dialect, version))


def _digest(extra: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(extra).encode()).hexdigest()


def _compiler(dialect: Dialect) -> DefaultDialect:
    return sqlite.dialect() if dialect == "sqlite" else asyncpg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy
