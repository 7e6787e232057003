"""SQL of the orders in which the directory lists users, and the indexes that make them fast.

Every order has an index (sort value, id) over active users only, so a page is a walk along it from where the last one
ended. Both databases compare texts by code point and numbers by value, and a value of another type than the declared
one (left from an earlier declaration) counts as none.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Double, Numeric, Select, Text, and_, func, literal_column, select
from sqlalchemy import bindparam as p
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from doorward.sql import Dialect, Row, Statement, Work
from doorward.sql.tables import users
from doorward.users.fields import Declaration, FieldType
from doorward.users.store import COLUMNS, WITH_EMAIL

SortValue: TypeAlias = str | int | float

EXACT = 50_000  # a rank up to here is counted at the moment of asking
STEP = 1_000  # users between two rungs of a ladder

_ACTIVE = users.c.status == literal_column("'active'")  # literal, or no database could match the partial indexes
_TYPES: Mapping[FieldType, Any] = {"integer": Numeric(), "number": Double(), "string": Text(), "date": Text()}
_JSON_TYPES = {"integer": "'integer', 'real'", "number": "'integer', 'real'", "string": "'text'", "date": "'text'"}
_POSTGRESQL = {  # JSON type, what makes a sort value of it
    "integer": ("number", "({})::numeric"),
    "number": ("number", "({})::double precision"),
    "string": ("string", '({}) COLLATE "C"'),
    "date": ("string", '({}) COLLATE "C"'),
}


class _FieldValue(ColumnElement[Any]):
    """The value of a custom field, or NULL when it has none of its type."""

    inherit_cache = False

    def __init__(self, name: str, kind: FieldType) -> None:
        self.name = name  # [a-z][a-z0-9_]*, so it stands in SQL as it is
        self.kind = kind
        self.type = _TYPES[kind]


class _NameValue(ColumnElement[Any]):
    """The name without regard to the case of ASCII letters; alike on both databases."""

    inherit_cache = False
    type = Text()


class _KeysWithoutValue(ColumnElement[Any]):
    """The sort keys of those without a value: its NULL must be among them for PostgreSQL to walk the index.

    SQLite walks the index only when it is not.
    """

    inherit_cache = False

    def __init__(self, value: ColumnElement[Any], *, descending: bool) -> None:
        self.value = value
        self.direction = "DESC" if descending else "ASC"


@compiles(_FieldValue, "sqlite")
def _field_in_sqlite(element: _FieldValue, _: SQLCompiler, **__: Any) -> str:  # noqa: ANN401  SQLAlchemy's signature
    path = f"fields, '$.{element.name}'"
    return f"(CASE WHEN json_type({path}) IN ({_JSON_TYPES[element.kind]}) THEN json_extract({path}) END)"


@compiles(_FieldValue, "postgresql")
def _field_in_postgresql(element: _FieldValue, _: SQLCompiler, **__: Any) -> str:  # noqa: ANN401  SQLAlchemy hands on whatever it was given
    json_type, cast = _POSTGRESQL[element.kind]
    value = cast.format(f"fields ->> '{element.name}'")
    return f"(CASE WHEN jsonb_typeof(fields -> '{element.name}') = '{json_type}' THEN {value} END)"


@compiles(_NameValue, "sqlite")
def _name_in_sqlite(*_: object, **__: object) -> str:
    return "lower(name)"


@compiles(_NameValue, "postgresql")
def _name_in_postgresql(*_: object, **__: object) -> str:
    return 'lower(name COLLATE "C")'


@compiles(_KeysWithoutValue, "sqlite")
def _keys_in_sqlite(element: _KeysWithoutValue, _: SQLCompiler, **__: Any) -> str:  # noqa: ANN401  handed on by SQLAlchemy
    return f"users.id {element.direction}"


@compiles(_KeysWithoutValue, "postgresql")
def _keys_in_postgresql(element: _KeysWithoutValue, compiler: SQLCompiler, **__: Any) -> str:  # noqa: ANN401  as above
    return f"{compiler.process(element.value)} {element.direction}, users.id {element.direction}"


def index_statements(declarations: Mapping[str, Declaration], dialect: Dialect) -> list[str]:
    """The CREATE INDEX IF NOT EXISTS statements for every order of these declarations."""
    chosen = {"sqlite": sqlite.dialect, "postgresql": postgresql.dialect}[dialect]()

    def sql(element: ColumnElement[Any]) -> str:
        return str(element.compile(dialect=chosen))

    by_value: dict[str, ColumnElement[Any]] = {"by_name": _NameValue()}
    for name, declared in declarations.items():
        if declared.sortable:
            # The type is part of the name: another type is another expression, and needs another index.
            by_value[f"by_{name}_{declared.type}"] = _FieldValue(name, declared.type)
    start = "CREATE INDEX IF NOT EXISTS ix_users_"
    return [
        f"{start}with_roles ON users (id) WHERE roles <> '[]'",
        *(f"{start}{name} ON users ({sql(value)}, id) WHERE status = 'active'" for name, value in by_value.items()),
    ]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended: the last row's sort value, None among those without one, and its id."""

    value: SortValue | None
    id: str


@dataclass(frozen=True, slots=True)
class Rung:
    """A value, how many users are better, and how many have exactly it."""

    value: SortValue
    better: int
    ties: int


class Order:
    """One sort order. Ties go by id in the same direction; users without a value come last."""

    def __init__(self, name: str, kind: FieldType | None, *, descending: bool) -> None:
        """`kind`: the type of a custom field; None for name and created_at, which give no ranks."""
        self.name = name
        self.descending = descending
        self.ranked = kind is not None
        self.numeric = kind in {"integer", "number"}
        self._value: ColumnElement[Any]
        if kind is not None:
            self._value = _FieldValue(name, kind)
        else:
            # Ids are UUIDv7: they sort by time of creation.
            self._value = users.c.id if name == "created_at" else _NameValue()

    def is_better(self, one: SortValue, other: SortValue) -> bool:
        """Whether `one` comes strictly before `other`."""
        a: Any = one
        b: Any = other
        return bool(a > b if self.descending else a < b)

    def could_be(self, value: object) -> bool:
        """Whether a sort value of this order can look so."""
        if value is None:
            return self.ranked
        if self.numeric:
            return isinstance(value, int | float) and not isinstance(value, bool)
        return isinstance(value, str) and "\0" not in value

    # Pages --------------------------------------------------------------------------------------------------------

    def list_page(self, after: Position | None, count: int) -> Work[list[Row]]:
        """The next `count` users after a position, each as (sort value, *COLUMNS)."""
        rows: list[Row] = []
        for statement, params in self._stretches(after):
            rows += yield statement(**params, count=count - len(rows))
            if len(rows) == count:
                break
        return [(_plain(row[0]), *row[1:]) for row in rows]

    def _stretches(self, after: Position | None) -> Iterator[tuple[Statement, Mapping[str, Any]]]:
        """The parts of the index still to walk: the rest of the ties, what is worse, those without a value."""
        if after is None:
            yield self._best, {}
        elif after.value is not None:
            yield self._rest_of_ties, {"at": after.value, "last": after.id}
            yield self._worse, {"at": after.value}
        if after is not None and after.value is None:
            yield self._rest_without, {"last": after.id}
        else:
            yield self._without, {}

    @cached_property
    def _best(self) -> Statement:
        return self._page(self._value.is_not(None), self._value, users.c.id)

    @cached_property
    def _rest_of_ties(self) -> Statement:
        return self._page(and_(self._value == p("at"), self._beyond(users.c.id, "last")), users.c.id)

    @cached_property
    def _worse(self) -> Statement:
        return self._page(self._beyond(self._value, "at"), self._value, users.c.id)

    @cached_property
    def _without(self) -> Statement:
        return self._page_without(self._value.is_(None))

    @cached_property
    def _rest_without(self) -> Statement:
        return self._page_without(and_(self._value.is_(None), self._beyond(users.c.id, "last")))

    def _page(self, where: ColumnElement[bool], *keys: ColumnElement[Any]) -> Statement:
        # SQLite sorts again unless the keys leave out what `where` holds constant.
        return Statement(self._sorted(self._select(where), *keys).limit(p("count")))

    def _page_without(self, where: ColumnElement[bool]) -> Statement:
        keys = _KeysWithoutValue(self._value, descending=self.descending)
        return Statement(self._select(where).order_by(keys).limit(p("count")))

    def _select(self, where: ColumnElement[bool]) -> Select[Any]:
        return select(self._value.label("sort_value"), *COLUMNS).select_from(WITH_EMAIL).where(_ACTIVE, where)

    # Ranks --------------------------------------------------------------------------------------------------------

    def find_row(self, user_id: str) -> Work[Row | None]:
        """One active user, as (sort value, *COLUMNS)."""
        rows = yield self._of_user(user_id=user_id)
        return (_plain(rows[0][0]), *rows[0][1:]) if rows else None

    def count_better(self, value: SortValue) -> Work[int | None]:
        """How many come strictly before `value`; None when there are more than EXACT."""
        counted = (yield self._better_capped(at=value))[0][0]
        return None if counted > EXACT else counted

    def count_between(self, rung: SortValue, value: SortValue) -> Work[int]:
        """How many are strictly worse than `rung` and strictly better than `value`."""
        counted: int = (yield self._between(low=value, high=rung))[0][0]
        return counted

    def build_ladder(self) -> Work[list[Rung]]:
        """Walk the whole index in steps: from each rung to the value STEP users further on."""
        rungs: list[Rung] = []
        better = 0
        rows = yield self._first_value()
        while rows:
            value = _plain(rows[0][0])
            if rungs:
                better += yield from self.count_between(rungs[-1].value, value)
            ties = (yield self._ties(at=value))[0][0]
            rungs.append(Rung(value, better, ties))
            better += ties
            rows = yield self._value_after(at=value, skipped=STEP - 1)
        return rungs

    @cached_property
    def _of_user(self) -> Statement:
        found = select(self._value.label("sort_value"), *COLUMNS).select_from(WITH_EMAIL)
        return Statement(found.where(users.c.id == p("user_id"), _ACTIVE))

    @cached_property
    def _better_capped(self) -> Statement:
        better = (
            select(users.c.id).where(_ACTIVE, self._before(self._value, "at")).limit(literal_column(str(EXACT + 1)))
        )
        return Statement(select(func.count()).select_from(better.subquery()))

    @cached_property
    def _between(self) -> Statement:
        between = and_(self._before(self._value, "low"), self._beyond(self._value, "high"))
        return Statement(select(func.count()).select_from(users).where(_ACTIVE, between))

    @cached_property
    def _ties(self) -> Statement:
        return Statement(select(func.count()).select_from(users).where(_ACTIVE, self._value == p("at")))

    @cached_property
    def _first_value(self) -> Statement:
        found = select(self._value).where(_ACTIVE, self._value.is_not(None))
        return Statement(self._sorted(found, self._value).limit(1))

    @cached_property
    def _value_after(self) -> Statement:
        worse = select(self._value).where(_ACTIVE, self._beyond(self._value, "at"))
        return Statement(self._sorted(worse, self._value).limit(1).offset(p("skipped")))

    def _before(self, key: ColumnElement[Any], place: str) -> ColumnElement[bool]:
        return key > p(place) if self.descending else key < p(place)

    def _beyond(self, key: ColumnElement[Any], place: str) -> ColumnElement[bool]:
        return key < p(place) if self.descending else key > p(place)

    def _sorted(self, found: Select[Any], *keys: ColumnElement[Any]) -> Select[Any]:
        return found.order_by(*(key.desc() if self.descending else key.asc() for key in keys))


def _plain(value: Any) -> Any:  # noqa: ANN401  a value of the driver
    """A PostgreSQL numeric as the int it was."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value
