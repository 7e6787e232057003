"""Moving users in: whole records or every reason, the old passwords still right, and nothing twice."""

import csv
import io
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import bindparam, select

from doorward.adapters.argon2 import Argon2Hasher
from doorward.audit import AuditTrail
from doorward.audit.store import list_events
from doorward.kernel.errors import Malformed
from doorward.ports import Database, Sealer
from doorward.sql import Row, Statement, Work, insert
from doorward.sql.tables import identifier, password, users
from doorward.testing import MovableClock
from doorward.users import Declaration, Importer, Refused, Schema, Totals, read_source
from doorward.users.sources import Record

DATA = Path(__file__).parents[1] / "data"
PORTFOLIO = DATA / "flask_portfolio.db"
FITNESS = {
    "tracking": Declaration(type="json"),
    "exercise": Declaration(type="json"),
    "coins": Declaration(type="integer", write="app", read="public", sortable=True, minimum=0, default=0),
}
WHY = {  # the reasons of flask_portfolio.users.json in our words
    "uid differs only by case from an earlier one": ("uid", "taken"),
    "empty name": ("name", "required"),
    "name is only spaces": ("name", "too_short"),
    "uid shorter than 2": ("uid", "too_short"),
    "impossible date": ("dob", "not_a_date"),
    "date in the future": ("dob", "in_the_future"),
    "unknown hash": ("password_digest", "unknown_digest"),
    "plain text password": ("password_digest", "not_a_digest"),
    "truncated hash": ("password_digest", "broken_digest"),
    "name longer than allowed": ("name", "too_long"),
    "uid with control characters": ("uid", "control_character"),
    "tracking is not JSON": ("tracking", "not_json"),
    "coins is not an integer": ("coins", "wrong_type"),
}
DIGEST = "pbkdf2:sha256:1000$lGbpyJwqSr$" + "ab" * 32
EVERYTHING = [Statement(select(table)) for table in (users, identifier, password)]


def expected() -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = json.loads((DATA / "flask_portfolio.users.json").read_text("utf-8"))
    return found


@dataclass
class Room:
    """An importer and what it reported."""

    db: Database
    importer: Importer
    reported: list[Refused] = field(default_factory=list)

    async def load(self, kind: str, path: Path, *, dry_run: bool = False) -> Totals:
        self.reported.clear()
        return await self.importer.import_users(read_source(kind, path), self.reported.append, dry_run=dry_run)

    async def everything(self) -> list[list[Row]]:
        return [sorted(await self.db.search(_ask(statement))) for statement in EVERYTHING]

    def reasons(self) -> dict[str, list[tuple[str, str]]]:
        return {line.legacy_id: [(error.field, error.code) for error in line.errors] for line in self.reported}


def _ask(statement: Statement) -> Work[list[Row]]:
    return list((yield statement()))


def _set_password(user_id: str, digest: str) -> Work[None]:
    yield INSERT_PASSWORD(user_id=user_id, digest=digest, set_at=0, change_wanted=None)


INSERT_PASSWORD = Statement(
    insert(password).values({column.name: bindparam(column.name) for column in password.columns})
)


@pytest.fixture
def hasher() -> Iterator[Argon2Hasher]:
    hasher = Argon2Hasher(memory_kib=8, time_cost=1, threads=2)
    yield hasher
    hasher.close()


@pytest.fixture
def make(database: Database, sealer: Sealer, clock: MovableClock, hasher: Argon2Hasher) -> Callable[[Schema], Room]:
    def importer(schema: Schema) -> Room:
        audit = AuditTrail(sealer, clock)
        return Room(database, Importer(database, clock, audit, schema, hasher.recognises, _set_password))

    return importer


@pytest.fixture
def room(make: Callable[[Schema], Room]) -> Room:
    return make(Schema(FITNESS))


# The portfolio ------------------------------------------------------------------------------------------------------


async def test_the_portfolio_moves_in_but_for_what_is_wrong_with_it(room: Room) -> None:
    totals = await room.load("flask-portfolio", PORTFOLIO)

    assert totals == Totals(imported=400, present=0, refused=13, leftover=1)
    wrong = {f"flask-portfolio:{row['legacy_id']}": [WHY[str(row["why"])]] for row in expected()["refused"]}
    assert room.reasons() == {**wrong, "flask-portfolio:note:309": [("", "leftover")]}
    people = {row[8]: row for row in (await room.everything())[0]}
    assert len(people) == 400
    for row in expected()["importable"]:
        person = people[f"flask-portfolio:{row['legacy_id']}"]
        fields = json.loads(person[7])
        assert (person[1], person[3], person[4], fields["coins"]) == (row["uid"], row["name"], row["dob"], row["coins"])
        assert isinstance(fields["tracking"], dict)
        assert isinstance(fields["exercise"], list)


async def test_old_passwords_are_still_right_for_their_owners(room: Room, hasher: Argon2Hasher) -> None:
    await room.load("flask-portfolio", PORTFOLIO)
    people, _, passwords = await room.everything()
    digests = {row[0]: row[1] for row in passwords}
    by_legacy_id = {row[8]: digests[row[0]] for row in people}

    chosen = expected()["importable"][:24]  # every kind of digest and of password
    for row in chosen:
        digest = by_legacy_id[f"flask-portfolio:{row['legacy_id']}"]
        verified = await hasher.verify(digest, str(row["password"]))
        assert (verified.right, verified.outdated) == (True, True)
        assert not (await hasher.verify(digest, f"{row['password']}x")).right


async def test_importing_twice_changes_nothing(room: Room, clock: MovableClock) -> None:
    await room.load("flask-portfolio", PORTFOLIO)
    before, report = await room.everything(), room.reasons()
    clock.advance(3600)
    totals = await room.load("flask-portfolio", PORTFOLIO)

    assert totals == Totals(imported=0, present=400, refused=13, leftover=1)
    assert await room.everything() == before
    assert room.reasons() == report


async def test_a_dry_run_tells_the_same_and_writes_nothing(room: Room) -> None:
    foreseen, report = await room.load("flask-portfolio", PORTFOLIO, dry_run=True), []
    report = list(room.reported)
    assert await room.everything() == [[], [], []]
    assert await room.db.search(list_events()) == []

    assert await room.load("flask-portfolio", PORTFOLIO) == foreseen
    assert room.reported == report


async def test_what_is_reported_tells_no_password(room: Room) -> None:
    await room.load("flask-portfolio", PORTFOLIO)
    said = repr(room.reported) + "".join(error.text for line in room.reported for error in line.errors)
    assert "hunter2" not in said
    assert "900150983cd24fb0" not in said
    assert "pbkdf2" not in said


async def test_what_is_reported_steers_no_terminal(room: Room) -> None:
    await room.load("flask-portfolio", PORTFOLIO)
    assert all((line.legacy_id + line.uid).isprintable() for line in room.reported)
    assert "ctrl\\x00\\x1b[31m" in {line.uid for line in room.reported}


async def test_each_import_is_audited(room: Room) -> None:
    await room.load("flask-portfolio", PORTFOLIO)
    events = await room.db.search(list_events(limit=1000))
    assert {event.event for event in events} == {"user_created"}
    assert len(events) == 400
    assert {json.loads(event.payload or "")["legacy_id"] for event in events} >= {"flask-portfolio:1"}


async def test_users_stay_in_the_order_of_the_source(room: Room) -> None:
    await room.load("flask-portfolio", PORTFOLIO)
    people = sorted((await room.everything())[0], key=lambda row: str(row[0]))
    numbers = [int(str(row[8]).rsplit(":", 1)[1]) for row in people]
    assert numbers == sorted(numbers)


async def test_fields_that_are_not_declared_are_left_out_and_named(make: Callable[[Schema], Room]) -> None:
    room = make(Schema({"coins": FITNESS["coins"]}))
    totals = await room.load("flask-portfolio", PORTFOLIO)

    assert totals.undeclared == ("tracking", "exercise")
    assert totals.imported == 401  # what is not imported cannot be wrong
    assert {tuple(json.loads(row[7])) for row in (await room.everything())[0]} == {("coins",)}


async def test_somebody_who_signed_up_before_keeps_the_handle(room: Room) -> None:
    record = {"uid": "Quiet0", "name": "Somebody Else", "password_digest": DIGEST}
    assert (await room.importer.import_users(iter([_record(record)]), room.reported.append)).imported == 1
    totals = await room.load("flask-portfolio", PORTFOLIO)
    assert totals.imported == 399
    assert room.reasons()["flask-portfolio:1"] == [("uid", "taken")]


def _record(row: dict[str, str]) -> Record:
    return Record("test:1", {name: value for name, value in row.items() if name != "password_digest"}, DIGEST)


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\0" + b"\xff" * 4000])
async def test_a_file_that_is_no_portfolio_is_refused(room: Room, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.db").write_bytes(content)
    for path in (tmp_path / "x.db", tmp_path / "missing.db"):
        with pytest.raises(Malformed):
            await room.load("flask-portfolio", path)
    assert not (tmp_path / "missing.db").exists()


async def test_a_portfolio_with_anything_in_its_columns_is_read(room: Room, tmp_path: Path) -> None:
    path = tmp_path / "odd?&%20#.db"
    with closing(sqlite3.connect(path)) as odd:
        odd.execute("CREATE TABLE users (id, _name, _uid, _password, _dob, tracking, exercise, coins)")
        odd.execute('CREATE TABLE notes (id, "userID")')
        rows = [
            (1, "Ada", "ada", DIGEST, None, None, "null", None),
            (2, b"\xff", 7, b"\x00", 5, b"{}", "[1,1e999]", 2**62),
            (3, None, None, None, None, "{}", "{}", 1.5),
            (
                4,
                "Bob",
                "bob",
                DIGEST,
                "2000-01-01",
                "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
                5,
                3,
            ),
        ]
        odd.executemany("INSERT INTO users VALUES (?,?,?,?,?,?,?,?)", rows)
        odd.execute("INSERT INTO users VALUES (5, CAST(x'ff41' AS TEXT), 'cem', ?, NULL, NULL, NULL, -1)", [DIGEST])
        odd.commit()
    totals = await room.load("flask-portfolio", path)

    assert totals == Totals(imported=1, refused=4)
    assert room.reasons() == {
        "flask-portfolio:2": [
            ("uid", "wrong_type"), ("name", "wrong_type"), ("dob", "wrong_type"), ("tracking", "wrong_type"),
            ("exercise", "not_json"), ("password_digest", "required"),
        ],
        "flask-portfolio:3": [
            ("uid", "required"), ("name", "required"), ("coins", "wrong_type"), ("password_digest", "required")
        ],
        "flask-portfolio:4": [("tracking", "not_json")],
        "flask-portfolio:5": [("name", "half_character"), ("coins", "out_of_range")],
    }  # fmt: skip


# CSV and JSON -------------------------------------------------------------------------------------------------------

ROWS: list[dict[str, str]] = [
    {"id": "1", "uid": "ada", "name": 'Ada "L", Countess', "email": "ada@example.org", "dob": "1990-12-10",
     "coins": "12", "tracking": '{"a": [1]}', "password_digest": DIGEST},
    {"id": "2", "uid": "Bob", "name": "Bob\u00e9", "email": "", "dob": "", "coins": "", "tracking": "",
     "password_digest": DIGEST},
    {"id": "3", "uid": "BOB", "name": "Twin", "email": "nowhere", "dob": "", "coins": "many", "tracking": "{",
     "password_digest": "secret"},
    {"id": "1", "uid": "again", "name": "Again", "email": "", "dob": "", "coins": "", "tracking": "",
     "password_digest": DIGEST},
]  # fmt: skip


def as_csv(rows: list[dict[str, str]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def as_values(row: dict[str, str]) -> dict[str, object]:
    readers: dict[str, Callable[[str], object]] = {"coins": int, "id": int, "tracking": json.loads}
    found: dict[str, object] = {}
    for name, value in row.items():
        try:
            found[name] = readers.get(name, str)(value) if value else None
        except ValueError:
            found[name] = value
    return found


def written(kind: str) -> str:
    values = [as_values(row) for row in ROWS]
    match kind:
        case "csv":
            return as_csv(ROWS)
        case "array":
            return json.dumps(values, indent=2)
        case _:
            return "\n".join(json.dumps(value, ensure_ascii=False) for value in values)


@pytest.mark.parametrize("kind", ["csv", "array", "lines"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
async def test_csv_and_json_are_imported_by_the_same_rules(room: Room, tmp_path: Path, kind: str, mark: str) -> None:
    (tmp_path / "users").write_text(mark + written(kind), encoding="utf-8", newline="")
    form = "csv" if kind == "csv" else "json"
    totals = await room.load(form, tmp_path / "users")

    assert totals == Totals(imported=2, present=1, refused=1)
    assert room.reasons()[f"{form}:3"] == [
        ("email", "not_an_email"),
        *([("tracking", "not_json")] if form == "csv" else []),  # in JSON "{" is text as good as any
        ("coins", "wrong_type"),
        ("password_digest", "not_a_digest"),
    ]
    people, identifiers, _ = await room.everything()
    found = {row[8]: (row[1], row[3], row[4], json.loads(row[7])) for row in people}
    assert found == {
        f"{form}:1": ("ada", 'Ada "L", Countess', "1990-12-10", {"coins": 12, "tracking": {"a": [1]}}),
        f"{form}:2": ("Bob", "Bob\u00e9", None, {"coins": 0}),
    }
    assert [(row[3], row[5]) for row in identifiers] == [("ada@example.org", None)]
    assert (await room.load(form, tmp_path / "users")).present == 3


async def test_a_csv_line_with_too_many_columns_is_refused(room: Room, tmp_path: Path) -> None:
    (tmp_path / "x").write_text(f"uid,name,password_digest\nada,Ada,{DIGEST},more\nbob,Bob,{DIGEST}\ncem\n", "utf-8")
    totals = await room.load("csv", tmp_path / "x")

    assert (totals.imported, totals.refused) == (1, 2)
    assert room.reasons() == {
        "csv:ada": [("", "malformed")],
        "csv:cem": [("name", "required"), ("password_digest", "required")],
    }


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("csv", b'uid,name\n"ada,Ada\n'),
        ("csv", b"uid,name\n" + b"a" * 200_000),
        ("json", b'[{"uid": "ada"'),
        ("json", b'[{"uid": "ada"} {"uid": NaN}]'),
        ("json", b'{"uid": "ada", "uid": "eve"}'),
        ("json", b"[1, 2]"),
        ("json", b'{"a":' * 20_000),
        ("json", b'"ada"'),
        ("json", b'{"uid": "\xff"}'),
    ],
)
async def test_a_file_that_cannot_be_read_is_refused(room: Room, tmp_path: Path, kind: str, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(Malformed):
        await room.load(kind, tmp_path / "x")


@pytest.mark.parametrize("content", ["", "[]", " [\n] \n"])
async def test_nothing_is_imported_from_nothing(room: Room, tmp_path: Path, content: str) -> None:
    (tmp_path / "x").write_text(content, "utf-8")
    assert await room.load("json", tmp_path / "x") == Totals()


@pytest.mark.parametrize("legacy_id", ["x" * 300, "a\nb", "a\0b"])
async def test_an_id_that_cannot_be_kept_is_refused(room: Room, legacy_id: str) -> None:
    record = Record(legacy_id, {"uid": "ada", "name": "Ada"}, DIGEST)
    assert (await room.importer.import_users(iter([record]), room.reported.append)).refused == 1
    assert room.reported[0].errors[0].field == "id"


# Many ---------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_hundred_thousand_rows_are_imported_under_200_megabytes(tmp_path: Path, sqlite_address: str) -> None:
    path = tmp_path / "many.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "uid", "name", "coins", "tracking", "password_digest"])
        for number in range(100_000):
            writer.writerow([number, f"user{number}", f"Name {number}", number % 97, '{"steps": [1, 2, 3]}', DIGEST])
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parents[1] / "support" / "import_many.py"), sqlite_address, str(path)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    imported, resident_kib = map(int, done.stdout.split())
    assert imported == 100_000
    assert resident_kib < 200 * 1024
