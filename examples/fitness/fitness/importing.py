"""Brings notes along from the write-up's database.

Their users come first, by `doorward user import` (docs/importing.md), which keeps each old id as `legacy_id`: by that a
note finds its owner.

    python -m fitness.import flask_portfolio.db --pictures uploads --dry-run
"""

import argparse
import json
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from doorward_client.uploads import UploadRefused
from fitness.pictures import Pictures
from fitness.reading import LONGEST_TEXT
from fitness.settings import Settings
from fitness.store import Gone, Store, new_note, now_ms
from fitness.users import Users

SYSTEM = "flask-portfolio"  # as Doorward calls it in `legacy_id`


@dataclass
class Report:
    """What became of the notes. The lists name notes by their old numbers; a note without its picture is imported."""

    imported: int = 0
    present: int = 0  # imported before
    orphans: list[int] = field(default_factory=list)  # of a user who is not in the old database
    left_behind: list[int] = field(default_factory=list)  # of a user who did not come to Doorward
    refused: dict[int, str] = field(default_factory=dict)  # no text, or too long
    missing_pictures: dict[int, str] = field(default_factory=dict)  # there is no such file
    refused_pictures: dict[int, str] = field(default_factory=dict)  # it is no picture

    def lines(self) -> Iterator[str]:
        """The report for people."""
        for title, found in (("orphan, its user is not in the old database", self.orphans),
                             ("left behind, its user is not at Doorward", self.left_behind)):  # fmt: skip
            yield from (f"note {number}: {title}" for number in found)
        for title, named in (("refused", self.refused), ("picture is missing", self.missing_pictures),
                             ("picture is refused", self.refused_pictures)):  # fmt: skip
            yield from (f"note {number}: {title}: {_printable(why)}" for number, why in named.items())
        yield (
            f"{self.imported} imported, {self.present} here already, {len(self.orphans)} orphans, "
            f"{len(self.left_behind)} left behind, {len(self.refused)} refused, "
            f"{len(self.missing_pictures)} pictures missing, {len(self.refused_pictures)} pictures refused"
        )


@dataclass(frozen=True, slots=True)
class OldNote:
    """A row of the old table. Whatever SQLite has in it: nothing there ever checked a type."""

    number: int
    text: object
    picture: object
    owner: object
    owner_is_there: bool


def run(file: Path, uploads: Path | None, store: Store, pictures: Pictures, users: Users, *, dry_run: bool) -> Report:
    """Import every note that can be. Doing it again adds only what is missing. Raises sqlite3.Error, Unavailable."""
    owners = {legacy_id: user_id for user_id, legacy_id in users.everybody() if legacy_id is not None}
    report, started = Report(), now_ms()
    for place, note in enumerate(_old_notes(file)):
        owner = owners.get(f"{SYSTEM}:{note.owner}")
        if owner is None:
            (report.left_behind if note.owner_is_there else report.orphans).append(note.number)
        elif not isinstance(note.text, str) or not 0 < len(note.text) <= LONGEST_TEXT or "\0" in note.text:
            report.refused[note.number] = "it has no text, or too much"
        elif store.is_imported(f"{SYSTEM}:{note.number}"):
            report.present += 1
        else:
            report.imported += 1
            name, size = _bring_picture(note, uploads, pictures, report, dry_run=dry_run)
            if dry_run:
                continue
            try:
                # The old table says not when, only in which order.
                store.import_note(owner, new_note(note.text, started + place, name), f"{SYSTEM}:{note.number}", size)
            except Gone:  # deleted since we asked who is there
                report.imported -= 1
                report.left_behind.append(note.number)
                pictures.discard([name])
    return report


def _old_notes(file: Path) -> Iterator[OldNote]:
    """Every row of the old table, read only."""
    connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    try:
        yield from (
            OldNote(number, text, picture, owner, owner_is_there=bool(there))
            for number, text, picture, owner, there in connection.execute(
                'SELECT n.id, n.note, n.image, n."userID", u.id IS NOT NULL FROM notes n'
                ' LEFT JOIN users u ON u.id = n."userID" ORDER BY n.id'
            )
        )
    finally:
        connection.close()


def _bring_picture(
    note: OldNote, uploads: Path | None, pictures: Pictures, report: Report, *, dry_run: bool
) -> tuple[str | None, int]:
    """Check the file as if it were uploaded today, and write it anew: what is old is no safer than what is sent now."""
    if note.picture in {None, ""}:
        return None, 0
    name = str(note.picture)
    path = None if uploads is None else uploads / Path(name).name
    # The name stands in a foreign file, so it must not lead anywhere else: ../../etc/passwd is a missing picture.
    if path is None or path.name != name or not path.is_file():
        report.missing_pictures[note.number] = name
        return None, 0
    try:
        picture = pictures.check(path.read_bytes()) if dry_run else pictures.keep(path.read_bytes())
    except UploadRefused as refused:
        report.refused_pictures[note.number] = f"{name}: {refused}"
        return None, 0
    return picture.name, len(picture.content)


def _printable(text: str) -> str:
    """Text for a terminal, which what stands in a foreign file must not steer."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text[:200])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; the exit status."""
    parser = argparse.ArgumentParser("python -m fitness.import", description="Import notes of a Flask portfolio.")
    parser.add_argument("file", type=Path, help="the SQLite database of the old app")
    parser.add_argument("--pictures", type=Path, help="the folder with its uploaded pictures")
    parser.add_argument("--dry-run", action="store_true", help="write nothing; say what would happen")
    parser.add_argument("--json", action="store_true", help="report as JSON")
    asked = parser.parse_args(arguments)
    settings = Settings.read()
    store, users = Store(settings.database), Users(settings.issuer, settings.api_key)
    try:
        report = run(asked.file, asked.pictures, store, Pictures(settings.pictures), users, dry_run=asked.dry_run)
    except sqlite3.Error as error:
        print(f"{asked.file} is not the database of a Flask portfolio: {error}", file=sys.stderr)  # noqa: T201  a command
        return 1
    finally:
        users.close()
        store.close()
    said = (
        json.dumps({"dry_run": asked.dry_run, **asdict(report)}, indent=2) if asked.json else "\n".join(report.lines())
    )
    print(said)  # noqa: T201  a command
    return 0
