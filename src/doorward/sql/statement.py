"""One statement, both dialects."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias, TypeVar

from sqlalchemy import Executable
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.sql.elements import ClauseElement

T = TypeVar("T")
Dialect: TypeAlias = Literal["sqlite", "postgresql"]
Value: TypeAlias = str | int | float | bytes | None
Row: TypeAlias = tuple[Any, ...]
Work: TypeAlias = Generator["Query", Sequence[Row], T]


@dataclass(frozen=True, slots=True)
class Compiled:
    """SQL text with positional places, and the parameter names in their order."""

    sql: str
    names: tuple[str, ...]
    fixed: Mapping[str, Any]


class Statement:
    """A SQLAlchemy Core construct with `bindparam` places; columns are int, text or bytes only, so rows need no processing."""

    def __init__(self, clause: Executable) -> None:
        """`clause`: select, insert, update or delete; use RETURNING where the caller must know what was touched."""
        self._clause = clause

    @cached_property
    def sqlite(self) -> Compiled:
        """The text for SQLite."""
        return _compile(self._clause, sqlite.dialect(paramstyle="qmark"))

    @cached_property
    def postgresql(self) -> Compiled:
        """The text for PostgreSQL, in asyncpg's numbered places."""
        return _compile(self._clause, postgresql.dialect(paramstyle="numeric_dollar"))

    def __call__(self, **params: Value) -> "Query":
        """Fill the places; a missing or surplus name fails when the query runs."""
        return Query(self, params)


@dataclass(frozen=True, slots=True)
class Query:
    """A statement with its values. A store yields it and is sent the rows."""

    statement: Statement
    params: Mapping[str, Value]
    committed: Callable[[], None] | None = None

    def then(self, committed: Callable[[], None]) -> "Query":
        """Ask the database to call `committed` once this query's transaction is durable, never if it rolled back.

        For what must not be said before it is true, such as the log line of an audit row. It runs on the event loop,
        before `Database.write` returns, also when the task that waits was cancelled; it must not raise.
        """
        return replace(self, committed=committed)

    def bound(self, compiled: Compiled) -> tuple[Value, ...]:
        """The values in the order of the compiled text."""
        return tuple(self.params[name] if name in self.params else compiled.fixed[name] for name in compiled.names)


def _compile(clause: Executable, dialect: DefaultDialect) -> Compiled:
    assert isinstance(clause, ClauseElement)
    compiled = clause.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    names = tuple(getattr(compiled, "positiontup", None) or ())
    fixed = {name: value for name, value in compiled.params.items() if value is not None}
    return Compiled(str(compiled), names, fixed)
