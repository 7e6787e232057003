"""SQL of the sealing room: every sealed column of the schema, and how far a rotation is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Column, ColumnElement, LargeBinary, Text, delete, func, literal_column, select, update
from sqlalchemy import bindparam as p

from doorward.ports.sealer import KEY_ID_AT
from doorward.sql import SEALED, Statement, Work, insert
from doorward.sql.tables import setting

AT_ONCE: Final = 100  # a few ms of SQLite's one writer; others take their turn in between
_UNFINISHED: Final = "sealing.unfinished"  # the id of the key that a rotation goes to, and of the one it comes from

_BEGIN = Statement(
    insert(setting)
    .values(key=_UNFINISHED, value=p("way"))
    .on_conflict_do_update(index_elements=[setting.c.key], set_={"value": p("way")})
)
_FIND = Statement(select(setting.c.value).where(setting.c.key == _UNFINISHED))
_FINISH = Statement(
    delete(setting).where(setting.c.key == _UNFINISHED, setting.c.value == p("way")).returning(setting.c.key)
)


@dataclass(frozen=True, slots=True)
class Change:
    """A row's value, and what is to take its place."""

    key: str
    before: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """The sealed column of one table."""

    table: str
    others: Statement
    replace: Statement
    count: Statement

    @classmethod
    def of(cls, column: Column[bytes]) -> "Place":
        """Its statements."""
        (key,) = column.table.primary_key.columns
        under, holds = _key_id(column), (column.is_not(None), func.length(column) > literal_column("0"))
        return cls(
            column.table.name,
            Statement(
                select(key, column)
                .where(key > p("after", type_=Text()), *holds, under != p("under", type_=LargeBinary()))
                .order_by(key)
                .limit(AT_ONCE)
            ),
            Statement(
                update(column.table)
                .where(key == p("row_key"), column == p("before"))
                .values({column: p("after")})
                .returning(key)
            ),
            Statement(select(under.label("under"), func.count()).where(*holds).group_by("under")),
        )


def _key_id(column: Column[bytes]) -> ColumnElement[bytes]:
    first, length = KEY_ID_AT.start + 1, KEY_ID_AT.stop - KEY_ID_AT.start
    # Written out: PostgreSQL takes an expression with two different places for two expressions.
    return func.substr(column, literal_column(str(first)), literal_column(str(length)))


PLACES: Final = tuple(map(Place.of, SEALED.values()))


def list_others(place: Place, key_id: str, after: str) -> Work[Sequence[tuple[str, bytes]]]:
    """Some of the values that are not under a key, in the order of their rows, behind the row `after`."""
    return [(row[0], bytes(row[1])) for row in (yield place.others(after=after, under=bytes.fromhex(key_id)))]


def replace(place: Place, changes: Sequence[Change]) -> Work[int]:
    """Put new values in the place of old ones, each if nobody has touched it meanwhile; how many."""
    done = 0
    for change in changes:
        done += len((yield place.replace(row_key=change.key, before=change.before, after=change.after)))
    return done


def count_by_key() -> Work[Mapping[str, int]]:
    """How many values are under each key that anything is under."""
    found: dict[str, int] = {}
    for place in PLACES:
        for under, count in (yield place.count()):
            found[under.hex()] = found.get(under.hex(), 0) + count
    return found


def begin(to: str, former: str) -> Work[None]:
    """Note that everything is to be sealed anew."""
    yield _BEGIN(way=f"{to} {former}")


def find_unfinished() -> Work[tuple[str, str] | None]:
    """The key that everything is to be sealed under and the one that sealed before, until that is done."""
    rows = yield _FIND()
    if not rows:
        return None
    to, former = str(rows[0][0]).split()
    return to, former


def finish(to: str, former: str) -> Work[bool]:
    """Note that it is done; False when somebody else has."""
    return bool((yield _FINISH(way=f"{to} {former}")))
