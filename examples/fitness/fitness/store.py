"""The app's own tables. Users are not among them: those are Doorward's. `user_id` is their `sub`, which never changes.

Written once in SQLAlchemy Core for SQLite and PostgreSQL. Every query about notes names the owner, so a forgotten check
in a route cannot show anybody a stranger's note.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    create_engine,
    delete,
    event,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

MiB = 1 << 20
MINUTE_MS, DAY_MS = 60_000, 86_400_000
MOST_NOTES = 500  # of one user
MOST_PICTURE_BYTES = 50 * MiB  # of one user
MOST_COINS_A_DAY = 60  # however much somebody says they have trained: a leaderboard without a bound is a lie contest

_metadata = MetaData()
_people = Table(
    "people",
    _metadata,
    Column("user_id", String(64), primary_key=True),
    Column("picture_bytes", BigInteger, nullable=False),
    Column("day", Integer, nullable=False),  # since 1970, in UTC: the day that coins_today is of
    Column("coins_today", Integer, nullable=False),
    Column("gone_at", BigInteger),  # deleted at Doorward: nothing more is written for them
)
_notes = Table(
    "notes",
    _metadata,
    Column("id", String(32), primary_key=True),
    Column("user_id", String(64), nullable=False),
    Column("text", Text, nullable=False),  # as it was sent; who shows it makes it harmless
    Column("picture", String(64)),  # name of the file
    Column("picture_bytes", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),  # all times: ms since 1970
    Column("updated_at", BigInteger, nullable=False),
    Column("legacy_id", String(64), unique=True),  # of the system that it was imported from
    Index("notes_of_user", "user_id", "created_at", "id"),
)
_exercises = Table(
    "exercises",
    _metadata,
    Column("id", String(32), primary_key=True),
    Column("user_id", String(64), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("minutes", Integer, nullable=False),
    Column("coins", Integer, nullable=False),
    Column("paid", Boolean, nullable=False),  # whether Doorward has added them
    Column("at", BigInteger, nullable=False),
    Index("exercises_of_user", "user_id", "at"),
)
_places = Table("places", _metadata, Column("name", String(32), primary_key=True), Column("cursor", String(32)))


class Gone(Exception):  # noqa: N818  named for what happened
    """The user was deleted a moment ago; their token has not heard of it yet."""


class Full(Exception):  # noqa: N818  as above
    """One more would be too much. The text may be shown."""


@dataclass(frozen=True, slots=True)
class Note:
    """A note of one user."""

    id: str
    text: str
    picture: str | None
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class Exercise:
    """Something that a user did, and what it earned."""

    id: str
    user_id: str
    kind: str
    minutes: int
    coins: int
    at: int


_NOTE = (_notes.c.id, _notes.c.text, _notes.c.picture, _notes.c.created_at, _notes.c.updated_at)
_EXERCISE = (
    _exercises.c.id, _exercises.c.user_id, _exercises.c.kind, _exercises.c.minutes, _exercises.c.coins, _exercises.c.at,
)  # fmt: skip


class Store:
    """The database. Threads share it."""

    def __init__(self, url: str) -> None:
        """Open it, and make what tables are missing."""
        self._engine = create_engine(url)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _prepare_sqlite)
        _metadata.create_all(self._engine)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    # Notes -----------------------------------------------------------------------------------------------------------

    def notes(self, user_id: str, before: str | None, limit: int) -> Sequence[Note]:
        """Notes of a user, the newest first, from the one that is older than note `before` on."""
        wanted = select(*_NOTE).where(_notes.c.user_id == user_id)
        if before is not None:
            place = select(_notes.c.created_at).where(_mine(user_id, before)).scalar_subquery()
            older = (_notes.c.created_at == place) & (_notes.c.id < before)
            wanted = wanted.where(or_(_notes.c.created_at < place, older))
        newest = wanted.order_by(_notes.c.created_at.desc(), _notes.c.id.desc()).limit(limit)
        with self._engine.connect() as connection:
            return [Note(*row) for row in connection.execute(newest)]

    def note(self, user_id: str, note_id: str) -> Note | None:
        """A note, if it is this user's."""
        with self._engine.connect() as connection:
            return _first_note(connection, user_id, note_id)

    def add_note(self, user_id: str, text: str) -> Note:
        """Write a note. Raises Full and Gone."""
        with self._person(user_id) as (connection, _):
            count = select(func.count()).select_from(_notes).where(_notes.c.user_id == user_id)
            if connection.execute(count).scalar_one() >= MOST_NOTES:
                raise Full(f"You have {MOST_NOTES} notes. Delete some before you write another")
            note = new_note(text, now_ms())
            connection.execute(_insert_note(user_id, note))
            return note

    def import_note(self, user_id: str, note: Note, legacy_id: str, picture_bytes: int) -> bool:
        """Write a note of another system, once: False when it is here already. Raises Gone."""
        with self._person(user_id) as (connection, _):
            if _known_before(connection, legacy_id):
                return False
            connection.execute(_insert_note(user_id, note, legacy_id, picture_bytes))
            _add_bytes(connection, user_id, picture_bytes)
            return True

    def is_imported(self, legacy_id: str) -> bool:
        """Whether a note of another system is here already."""
        with self._engine.connect() as connection:
            return _known_before(connection, legacy_id)

    def change_note(self, user_id: str, note_id: str, text: str) -> Note | None:
        """Write another text into a note; None when this user has no such note. Raises Gone."""
        with self._person(user_id) as (connection, _):
            connection.execute(update(_notes).where(_mine(user_id, note_id)).values(text=text, updated_at=now_ms()))
            return _first_note(connection, user_id, note_id)

    def set_picture(
        self, user_id: str, note_id: str, picture: str | None, picture_bytes: int
    ) -> tuple[bool, str | None]:
        """Give a note another picture, or none: whether there is such a note, and which file nobody needs any more.

        Raises Full and Gone.
        """
        with self._person(user_id) as (connection, person):
            found = _picture_of(connection, user_id, note_id)
            if found is None:
                return False, None
            if person.picture_bytes - found.picture_bytes + picture_bytes > MOST_PICTURE_BYTES:
                raise Full(f"Your pictures fill {MOST_PICTURE_BYTES // MiB} MiB. Delete some before you add another")
            changed = {"picture": picture, "picture_bytes": picture_bytes, "updated_at": now_ms()}
            connection.execute(update(_notes).where(_mine(user_id, note_id)).values(changed))
            _add_bytes(connection, user_id, picture_bytes - found.picture_bytes)
            return True, found.picture

    def delete_note(self, user_id: str, note_id: str) -> tuple[bool, str | None]:
        """Delete a note: whether there was one, and which file nobody needs any more. Raises Gone."""
        with self._person(user_id) as (connection, _):
            found = _picture_of(connection, user_id, note_id)
            if found is None:
                return False, None
            connection.execute(delete(_notes).where(_mine(user_id, note_id)))
            _add_bytes(connection, user_id, -found.picture_bytes)
            return True, found.picture

    # Exercises -------------------------------------------------------------------------------------------------------

    def exercises(self, user_id: str, limit: int) -> Sequence[Exercise]:
        """What a user did last, the newest first."""
        newest = select(*_EXERCISE).where(_exercises.c.user_id == user_id).order_by(_exercises.c.at.desc()).limit(limit)
        with self._engine.connect() as connection:
            return [Exercise(*row) for row in connection.execute(newest)]

    def coins_today(self, user_id: str) -> int:
        """What a user has earned today."""
        today = (_people.c.user_id == user_id) & (_people.c.day == now_ms() // DAY_MS)
        with self._engine.connect() as connection:
            return connection.execute(select(_people.c.coins_today).where(today)).scalar() or 0

    def log_exercise(self, user_id: str, kind: str, minutes: int) -> Exercise:
        """Note an exercise, and what it earns: a coin a minute, up to MOST_COINS_A_DAY. Raises Gone.

        The coins are owed from here on, and paid afterwards: a crash in between loses none (`unpaid`).
        """
        with self._person(user_id) as (connection, person):
            now = now_ms()
            today = now // DAY_MS
            earned_today = person.coins_today if person.day == today else 0
            coins = min(minutes, MOST_COINS_A_DAY - earned_today)
            exercise = Exercise(token_hex(16), user_id, kind, minutes, coins, now)
            row = {name: getattr(exercise, name) for name in Exercise.__slots__}
            connection.execute(insert(_exercises).values(**row, paid=coins == 0))
            counted = update(_people).where(_people.c.user_id == user_id)
            connection.execute(counted.values(day=today, coins_today=earned_today + coins))
            return exercise

    def unpaid(self) -> Sequence[Exercise]:
        """Whose coins are still owed after a minute, and not for longer than Doorward knows what it was asked."""
        now = now_ms()
        left = _exercises.c.at.between(now - DAY_MS * 9 // 10, now - MINUTE_MS)
        with self._engine.connect() as connection:
            owed = connection.execute(select(*_EXERCISE).where(_exercises.c.paid.is_(False), left))
            return [Exercise(*row) for row in owed]

    def paid(self, exercise_id: str) -> None:
        """Note that coins were added."""
        with self._engine.begin() as connection:
            connection.execute(update(_exercises).where(_exercises.c.id == exercise_id).values(paid=True))

    # Goodbyes --------------------------------------------------------------------------------------------------------

    def erase(self, user_id: str) -> Sequence[str]:
        """Delete whatever is a user's, and keep it so: the files that nobody needs any more.

        A row with nothing but the id stays for a day. For as long as their token may still be believed somewhere,
        it keeps a request that was under way from writing a note that belongs to nobody.
        """
        with self._engine.begin() as connection:
            _lock(connection, user_id)
            of_user = select(_notes.c.picture).where(_notes.c.user_id == user_id, _notes.c.picture.is_not(None))
            files = [name for (name,) in connection.execute(of_user)]
            connection.execute(delete(_notes).where(_notes.c.user_id == user_id))
            connection.execute(delete(_exercises).where(_exercises.c.user_id == user_id))
            empty = {"picture_bytes": 0, "day": 0, "coins_today": 0, "gone_at": now_ms()}
            connection.execute(update(_people).where(_people.c.user_id == user_id).values(empty))
            connection.execute(delete(_people).where(_people.c.gone_at < now_ms() - DAY_MS))
            return files

    def cursor(self, name: str) -> str | None:
        """How far something has been read."""
        with self._engine.connect() as connection:
            return connection.execute(select(_places.c.cursor).where(_places.c.name == name)).scalar()

    def set_cursor(self, name: str, cursor: str) -> None:
        """Remember how far something has been read."""
        with self._engine.begin() as connection:
            if not connection.execute(update(_places).where(_places.c.name == name).values(cursor=cursor)).rowcount:
                connection.execute(insert(_places).values(name=name, cursor=cursor))

    def pictures(self) -> set[str]:
        """Every file that some note needs."""
        with self._engine.connect() as connection:
            return set(connection.execute(select(_notes.c.picture).where(_notes.c.picture.is_not(None))).scalars())

    @contextmanager
    def _person(self, user_id: str) -> Iterator[tuple[Connection, Row[Any]]]:
        """A transaction that holds a user's row: whatever else they do at once waits, so no count is overtaken."""
        with self._engine.begin() as connection:
            person = _lock(connection, user_id)
            if person.gone_at is not None:
                raise Gone
            yield connection, person


def new_note(text: str, at: int, picture: str | None = None) -> Note:
    """A note that is not written yet. Its id tells nothing of others."""
    return Note(token_hex(16), text, picture, at, at)


def _insert_into(connection: Connection, table: Table) -> Any:  # noqa: ANN401  each dialect has a type of its own
    """An INSERT that can say ON CONFLICT, which both databases know and Core has no common word for."""
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


def _lock(connection: Connection, user_id: str) -> Row[Any]:
    """SQLite locks by the insert, PostgreSQL by the FOR UPDATE."""
    new = {"user_id": user_id, "picture_bytes": 0, "day": 0, "coins_today": 0}
    connection.execute(_insert_into(connection, _people).values(new).on_conflict_do_nothing())
    return connection.execute(select(_people).where(_people.c.user_id == user_id).with_for_update()).one()


def _mine(user_id: str, note_id: str) -> Any:  # noqa: ANN401  a condition
    return (_notes.c.user_id == user_id) & (_notes.c.id == note_id)


def _first_note(connection: Connection, user_id: str, note_id: str) -> Note | None:
    row = connection.execute(select(*_NOTE).where(_mine(user_id, note_id))).first()
    return None if row is None else Note(*row)


def _insert_note(user_id: str, note: Note, legacy_id: str | None = None, picture_bytes: int = 0) -> Any:  # noqa: ANN401  SQL
    row = {name: getattr(note, name) for name in Note.__slots__}
    return insert(_notes).values(**row, user_id=user_id, legacy_id=legacy_id, picture_bytes=picture_bytes)


def _picture_of(connection: Connection, user_id: str, note_id: str) -> Any:  # noqa: ANN401  a row or None
    return connection.execute(select(_notes.c.picture, _notes.c.picture_bytes).where(_mine(user_id, note_id))).first()


def _known_before(connection: Connection, legacy_id: str) -> bool:
    return connection.execute(select(_notes.c.id).where(_notes.c.legacy_id == legacy_id)).first() is not None


def _add_bytes(connection: Connection, user_id: str, count: int) -> None:
    changed = update(_people).where(_people.c.user_id == user_id)
    connection.execute(changed.values(picture_bytes=_people.c.picture_bytes + count))


def now_ms() -> int:
    """The present."""
    return time.time_ns() // 1_000_000


def _prepare_sqlite(connection: Any, _record: Any) -> None:  # noqa: ANN401  as sqlite3 gives them
    connection.execute("PRAGMA journal_mode = WAL")  # readers and the one writer do not wait for each other
