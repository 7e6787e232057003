"""An empty database and an old one end in the same schema; a newer one is left alone."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from doorward.ports import Database
from doorward.sql import Row, Work, migrate, migrations
from doorward.sql.migrate import HEAD, SchemaTooNewError, raw, upgrade
from tests.support.databases import open_database
from tests.support.postgres import PostgresServer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def sqlite_empty(tmp_path: Path) -> str:
    return str(tmp_path / "empty.db")


@pytest.fixture
def postgresql_empty(postgres: PostgresServer) -> Iterator[str]:
    postgres.create("empty")
    yield postgres.url("empty")
    postgres.drop("empty")


@pytest.fixture(params=["sqlite", "postgresql"])
def dialect(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def empty_address(dialect: str, request: pytest.FixtureRequest) -> str:
    address: str = request.getfixturevalue(f"{dialect}_empty")
    return address


@pytest.fixture
def created_address(dialect: str, request: pytest.FixtureRequest) -> str:
    address: str = request.getfixturevalue(f"{dialect}_address")
    return address


@pytest.fixture
async def empty_database(empty_address: str) -> AsyncIterator[Database]:
    """An open database without a table."""
    opened = await open_database(empty_address)
    yield opened
    await opened.close()


def run(sql: Sequence[str]) -> Work[Sequence[Row]]:
    rows: Sequence[Row] = ()
    for statement in sql:
        rows = yield raw(statement)
    return rows


SQLITE_SCHEMA = (
    """
    SELECT t.name, 'column', c.name, c.type, c."notnull", c.dflt_value, c.pk
    FROM sqlite_master t, pragma_table_xinfo(t.name) c WHERE t.type = 'table'
    """,
    """
    SELECT t.name, 'foreign key', f."from", f."table", f."to", f.on_delete
    FROM sqlite_master t, pragma_foreign_key_list(t.name) f WHERE t.type = 'table'
    """,
    """
    SELECT t.name, 'index', m.sql, i.origin, i."unique", (SELECT group_concat(name) FROM pragma_index_info(i.name))
    FROM sqlite_master t, pragma_index_list(t.name) i LEFT JOIN sqlite_master m ON m.name = i.name
    WHERE t.type = 'table'
    """,
    "SELECT name, type, sql LIKE '%autoincrement%' FROM sqlite_master WHERE type = 'table'",
    "SELECT tbl_name, type, name, sql FROM sqlite_master WHERE type NOT IN ('table', 'index')",
)
POSTGRESQL_SCHEMA = (
    """
    SELECT table_name, 'column', column_name, data_type, is_nullable, column_default
    FROM information_schema.columns WHERE table_schema = 'public'
    """,
    """
    SELECT conrelid::regclass::text, 'constraint', conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    """,
    "SELECT tablename, 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "SELECT tgrelid::regclass::text, 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    """
    SELECT '', 'function', proname, regexp_replace(pg_get_functiondef(oid), '\\s+', ' ', 'g')
    FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    """,
)


async def describe(database: Database) -> set[Row]:
    """The whole schema as rows; column order and white space do not count."""
    questions = SQLITE_SCHEMA if database.dialect == "sqlite" else POSTGRESQL_SCHEMA
    return {row for question in questions for row in await database.search(run([question]))}


async def test_migrations_from_nothing_make_the_schema_of_a_new_database(
    empty_database: Database, created_address: str
) -> None:
    created = await open_database(created_address)
    wanted = await describe(created)
    await created.close()
    await empty_database.alter(lambda: run(migrations.statements(empty_database.dialect, None)))
    assert await describe(empty_database) == wanted
    assert await empty_database.read(migrate.find_version()) == HEAD


def test_head_is_the_newest_revision() -> None:
    assert migrations.newest() == HEAD


async def test_several_workers_may_start_on_an_empty_database_at_once(
    empty_database: Database, empty_address: str
) -> None:
    workers = [empty_database, *[await open_database(empty_address) for _ in range(3)]]
    await asyncio.gather(*(upgrade(worker) for worker in workers))
    assert [await worker.read(migrate.find_version()) for worker in workers] == [HEAD] * 4
    for worker in workers[1:]:
        await worker.close()


async def test_a_database_of_a_newer_version_is_left_alone(database: Database) -> None:
    await database.alter(lambda: run(["UPDATE alembic_version SET version_num = '9999'"]))
    before = await describe(database)
    with pytest.raises(SchemaTooNewError, match="has schema 9999, which this version of Doorward"):
        await upgrade(database)
    assert await describe(database) == before


async def test_extra_statements_run_when_they_change(database: Database) -> None:
    await upgrade(database, extra=["CREATE INDEX IF NOT EXISTS first ON users (status)"])
    await upgrade(database, extra=["CREATE INDEX IF NOT EXISTS second ON users (name)"])
    indexes = str([row for row in await describe(database) if "index" in row])
    assert "INDEX first ON" in indexes
    assert "INDEX second ON" in indexes


async def test_a_failing_extra_statement_leaves_the_database_as_it_was(empty_database: Database) -> None:
    with pytest.raises(Exception, match="nowhere"):
        await upgrade(empty_database, extra=["CREATE INDEX i ON nowhere (x)"])
    assert await describe(empty_database) == set()


def test_alembic_is_not_imported_for_new_databases_nor_for_those_at_head(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from tests.support.databases import migrate\n"
        "migrate(sys.argv[1])\n"
        "migrate(sys.argv[1])\n"
        "print([name for name in sys.modules if name.startswith('alembic')])\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "new.db")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
