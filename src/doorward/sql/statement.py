"""One statement, both dialects."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias, TypeVar, cast

from sqlalchemy import Executable
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

T = TypeVar("T")
Dialect: TypeAlias = Literal["sqlite", "postgresql"]
Value: TypeAlias = str | int | float | bytes | None
Row: TypeAlias = tuple[Any, ...]
Work: TypeAlias = Generator["Query", Sequence[Row], T]


@dataclass(frozen=True, slots=True)
class Compiled:
    """SQL text with positional places, and what fills them."""

    sql: str
    names: tuple[str, ...]  # one for each place, in order
    required: frozenset[str]  # the names a query must give
    fixed: Mapping[str, Value]  # literals of the construct

    def arrange(self, params: Mapping[str, Value]) -> tuple[Value, ...]:
        """The values in the order of the places. Raises TypeError for a missing or surplus name."""
        if params.keys() != self.required:
            raise TypeError(self._complaint(params))
        values = {**self.fixed, **params} if self.fixed else params
        return tuple([values[name] for name in self.names])

    def _complaint(self, params: Mapping[str, Value]) -> str:
        # Names only: a value may be a secret.
        missing = sorted(self.required - params.keys())
        surplus = sorted(params.keys() - self.required)
        return f"missing parameters {missing}, surplus parameters {surplus} for: {self.sql}"


class Statement:
    """A SQLAlchemy Core construct with `bindparam` places.

    Columns are int, text or bytes only, so rows need no processing: JSON goes in and comes out as text on both.
    Write `insert` from `doorward.sql` where ON CONFLICT is needed.
    """

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
        return _compile(self._clause, asyncpg.dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy's own gap

    def __call__(self, **params: Value) -> "Query":
        """Fill the places; a missing or surplus name raises TypeError when the query runs."""
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
        return compiled.arrange(self.params)


def _compile(clause: Executable, dialect: DefaultDialect) -> Compiled:
    compiled = cast("SQLCompiler", cast("ClauseElement", clause).compile(dialect=dialect))
    required = frozenset(name for name, place in compiled.binds.items() if place.required and name == place.key)
    if any(compiled.binds[name].expanding for name in required):
        message = "a list of unknown length has no fixed places: give IN a literal list or a subquery"
        raise TypeError(message)
    # A literal list (`column.in_([...])`) becomes one place for each of its values.
    expanded = compiled.construct_expanded_state(dict.fromkeys(required), escape_names=False)
    fixed = {name: value for name, value in expanded.parameters.items() if name not in required}
    return Compiled(expanded.statement, tuple(expanded.positiontup or ()), required, fixed)
