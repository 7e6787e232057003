"""Rows with a sealed value in every table that has one, whatever rooms make of them."""

from collections.abc import Iterator, Mapping
from itertools import count

from sqlalchemy import BigInteger, Column, LargeBinary, Table, insert, select
from sqlalchemy import bindparam as p

from doorward.ports import Database, Sealer
from doorward.sql import SEALED, Row, Statement, Value, Work, purpose_of
from doorward.sql.tables import Json

_numbers = count()


def secret_of(table: str, key: str) -> bytes:
    """What a row holds."""
    return f"the secret of {table} {key}".encode()


async def fill(database: Database, sealer: Sealer, rows: int = 1) -> None:
    """Add rows to every table that seals something."""
    for column in SEALED.values():
        for _ in range(rows):
            await add(database, sealer, column)


async def add(database: Database, sealer: Sealer, column: Column[bytes]) -> str:
    """Add one row with a sealed value, and those that it points to; its primary key."""
    rows = list(_rows(column.table, {}))
    _, own = rows[-1]
    (key,) = column.table.primary_key.columns
    name = str(own[key.name])
    own[column.name] = sealer.seal(secret_of(column.table.name, name), purpose_of(column.table.name, name))

    def work() -> Work[None]:
        for table, values in rows:
            yield Statement(insert(table).values({each: p(f"new_{each}") for each in values}))(
                **{f"new_{each}": value for each, value in values.items()}
            )

    await database.write(work)
    return name


async def sealed_values(database: Database) -> Mapping[str, bytes]:
    """Every sealed value of the database, by the purpose that it is sealed for."""

    def work(column: Column[bytes]) -> Work[list[Row]]:
        (key,) = column.table.primary_key.columns
        return list((yield Statement(select(key, column).where(column.is_not(None)))()))

    return {
        purpose_of(table, key): bytes(sealed)
        for table, column in SEALED.items()
        for key, sealed in await database.search(work(column))
        if sealed
    }


async def opened(database: Database, sealer: Sealer) -> Mapping[str, bytes]:
    """What opens of it, by purpose. Raises ValueError when anything does not."""
    return {purpose: sealer.open(sealed, purpose) for purpose, sealed in (await sealed_values(database)).items()}


def _rows(table: Table, given: Mapping[str, Value]) -> Iterator[tuple[Table, dict[str, Value]]]:
    """A row for a table, behind the rows that its foreign keys need."""
    values: dict[str, Value] = {}
    for column in table.columns:
        if column.name in given:
            values[column.name] = given[column.name]
        elif not column.nullable:
            values[column.name] = _value(column)
    for key in table.foreign_keys:
        if key.parent.name in values:
            yield from _rows(key.column.table, {key.column.name: values[key.parent.name]})
    yield table, values


def _value(column: Column[object]) -> Value:
    number = next(_numbers)
    if isinstance(column.type, BigInteger):
        return number
    if isinstance(column.type, LargeBinary):
        return f"{column.name} {number}".encode()
    return "{}" if column.type is Json else f"{column.name}-{number:06}"
