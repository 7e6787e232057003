"""Records of other systems, one after the other, as the importer takes them. Nothing is held but the record at hand."""

import csv
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from doorward.kernel import strict_json
from doorward.kernel.errors import Malformed
from doorward.users.rules import Unreadable

DIGEST = "password_digest"
_SURPLUS: Final = "surplus"
_CHUNK = 1 << 16
_RECORD_MOST = 1 << 20  # characters of one JSON record


@dataclass(frozen=True, slots=True)
class Record:
    """One user of another system. `text`: the values of `body` are texts, as in CSV."""

    legacy_id: str
    body: Mapping[str, Any]
    digest: str | None
    text: bool = False
    fault: str = ""  # why it is no record after all; a gettext msgid


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something in the source that is no user and has none; it is reported and not imported."""

    legacy_id: str
    why: str  # a gettext msgid


Source: TypeAlias = Iterator[Record | Leftover]


def read_source(kind: str, path: Path) -> Source:
    """Read a file of one of FORMATS. Raises Malformed when it is not of that format, at once or on the way."""
    return FORMATS[kind](path)


def read_flask_portfolio(path: Path) -> Source:
    """The SQLite file of the Flask portfolio: users(id, _name, _uid, _password, _dob, tracking, exercise, coins)."""
    # Read only, and told not to trust functions and triggers that the file may define.
    with closing(_open_foreign(path)) as connection:
        users = _select(connection, "users", "id, _name, _uid, _password, _dob, tracking, exercise, coins", "id")
        for number, name, uid, digest, dob, tracking, exercise, coins in users:
            body = {"uid": uid, "name": name, "dob": dob, "coins": coins}
            body |= {"tracking": _json_column(tracking), "exercise": _json_column(exercise)}
            yield Record(f"flask-portfolio:{number}", body, _text(digest))
        orphans = 'notes WHERE "userID" IS NULL OR "userID" NOT IN (SELECT id FROM users)'
        for (number,) in _select(connection, orphans, "id", "id"):
            yield Leftover(f"flask-portfolio:note:{number}", "This note belongs to nobody")


def read_csv(path: Path) -> Source:
    """A CSV file with a heading: uid, name, password_digest, and as wanted id, email, dob and custom fields."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        try:
            for row in csv.DictReader(file, strict=True, restkey=_SURPLUS, restval=""):
                record = _record("csv", {name: value for name, value in row.items() if value != ""}, text=True)
                fault = "This line has more columns than the heading" if _SURPLUS in row else ""
                yield replace(record, fault=fault)
        except csv.Error as error:
            raise Malformed("The file is not CSV: %(why)s", params={"why": str(error)}) from error


def read_json(path: Path) -> Source:
    """JSON objects with the names of the CSV columns: in one array, or one after the other (JSON Lines)."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        for number, text in enumerate(_json_records(lambda: file.read(_CHUNK)), 1):
            record = strict_json.loads(text.encode("utf-8", "surrogateescape"))
            if not isinstance(record, dict):
                raise Malformed("Record %(number)s is not a JSON object", params={"number": number})
            yield _record("json", record)


FORMATS: Final[Mapping[str, Callable[[Path], Source]]] = {
    "flask-portfolio": read_flask_portfolio,
    "csv": read_csv,
    "json": read_json,
}


def _record(kind: str, row: Mapping[str, Any], *, text: bool = False) -> Record:
    body = {name: value for name, value in row.items() if name not in {"id", DIGEST}}
    return Record(f"{kind}:{row.get('id', row.get('uid'))}", body, _text(row.get(DIGEST)), text)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _open_foreign(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise Malformed("There is no file %(path)s", params={"path": str(path)})
    connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _select(connection: sqlite3.Connection, table: str, columns: str, order: str) -> Iterator[tuple[Any, ...]]:
    try:
        yield from connection.execute(f"SELECT {columns} FROM {table} ORDER BY {order}")  # noqa: S608  our own words
    except sqlite3.Error as error:
        raise Malformed(
            "The file is not the database of a Flask portfolio: %(why)s", params={"why": str(error)}
        ) from error


def _json_column(stored: object) -> object:
    """What a column of SQLAlchemy's JSON type holds; its text for None is "null"."""
    if not isinstance(stored, str):
        return stored
    try:
        return strict_json.loads(stored.encode("utf-8", "surrogateescape"))
    except Malformed:
        return Unreadable(stored)


def _json_records(read: Callable[[], str]) -> Iterator[str]:
    """The text of each object; what stands between objects is skipped, a chunk at a time."""
    decoder = json.JSONDecoder()
    buffer, number = "", 1
    while chunk := read():
        buffer = (buffer + chunk).lstrip("[, \t\r\n")
        while buffer.startswith("{"):
            try:
                end = decoder.raw_decode(buffer)[1]
            except (json.JSONDecodeError, RecursionError) as error:
                if len(buffer) > _RECORD_MOST:
                    raise _not_json(number) from error
                break  # the rest is in the next chunk
            yield buffer[:end]
            buffer, number = buffer[end:].lstrip(", \t\r\n"), number + 1
    if buffer.strip("] \t\r\n"):
        raise _not_json(number)


def _not_json(number: int) -> Malformed:
    return Malformed("The file is not JSON from record %(number)s on", params={"number": number})
