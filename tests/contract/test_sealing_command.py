"""doorward key rotate-sealing, as an operator meets it."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from doorward.adapters.keyring import SealingKey
from doorward.cli import main
from tests.support.logs import restored_logging

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with data and one key in it; whatever is said in a test, it is no key."""
    monkeypatch.chdir(tmp_path)
    with restored_logging():
        run("init")
        yield tmp_path


@pytest.fixture
def key(place: Path) -> Path:
    return place / "doorward-data/sealing.key"


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, list(arguments))
    for file in Path().glob("*/sealing.key"):
        assert not [text for text in file.read_text().split() if text in result.output]
    return result


def right(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def sealing_keys() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(right("key", "list", "--json"))["sealing"]
    return found


def change(statement: str, *values: object) -> None:
    with closing(sqlite3.connect("doorward-data/doorward.db")) as database:
        database.execute(statement, values)
        database.commit()


def test_one_command_is_enough_and_another_forgets_the_old_key(key: Path) -> None:
    (old,) = sealing_keys()
    assert (old["standing"], old["values"]) == ("seals", 1)
    said = right("key", "rotate-sealing")
    new = sealing_keys()[-1]["id"]
    assert said.startswith(f"The key {new} seals from now on, in the place of {old['id']}.\n")
    assert "\nsigning_key  1\n" in said
    assert f"Back up the file {key}" in said
    assert sealing_keys() == [
        {"id": old["id"], "standing": "opens", "values": 0},
        {"id": new, "standing": "seals", "values": 1},
    ]
    assert f"Dropped from the file {key}: {old['id']}.\n" in right("key", "rotate-sealing", "--forget-old")
    assert right("key", "rotate-sealing", "--forget-old") == "There is no old key.\n"
    assert [one["id"] for one in sealing_keys()] == [new]
    assert right("audit", "verify") == "4 rows, 0 changed since they were recorded\n"


def test_a_key_is_prepared_once_and_used_by_the_next_run(key: Path) -> None:
    said = right("key", "rotate-sealing", "--prepare")
    prepared = sealing_keys()[-1]
    assert said.startswith(f"The key {prepared['id']} is in the file {key}. It opens, and does not seal yet.\n")
    assert (prepared["standing"], prepared["values"]) == ("prepared", 0)
    again = json.loads(right("key", "rotate-sealing", "--prepare", "--json"))
    assert again == {"outcome": "prepared", "key_id": prepared["id"], "made": False}
    done = json.loads(right("key", "rotate-sealing", "--json"))
    assert (done["outcome"], done["key_id"]) == ("rotated", prepared["id"])
    assert done["values"] == {"signing_key": 1}
    assert done["unopened"] == []


def test_both_kinds_of_keys_are_listed() -> None:
    said = right("key", "list")
    assert said.index("Keys that sign tokens\nKID") < said.index("Keys that seal secrets\nID")


def test_what_does_not_open_is_told_with_status_1() -> None:
    change("INSERT INTO challenge VALUES ('c1', 'x', x'00', NULL, x'01020304050607080900', 0, 0)")
    result = run("key", "rotate-sealing")
    assert result.exit_code == 1
    assert result.stderr == "Open under no key here, and left as they are: 1\n  challenge c1\n"
    assert sealing_keys()[-1] == {"id": "0203040506070809", "standing": "missing", "values": 1}


def test_an_interrupted_rotation_is_told_with_status_1() -> None:
    (key,) = sealing_keys()
    change("INSERT INTO setting VALUES ('sealing.unfinished', ?)", f"{key['id']} {key['id']}")
    result = run("key", "rotate-sealing", "--forget-old")
    assert (result.exit_code, result.stderr.split(".")[0]) == (1, "Not finished")
    assert f"Going on with the rotation to {key['id']} that was interrupted.\n" in right("key", "rotate-sealing")
    assert right("key", "rotate-sealing", "--forget-old") == "There is no old key.\n"


def test_keys_in_the_environment_are_added_by_hand(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = key.read_text().strip(), SealingKey.new()
    key.unlink()
    monkeypatch.setenv("DOORWARD_SEALING_KEY", old)
    for arguments in ((), ("--prepare",)):
        result = run("key", "rotate-sealing", *arguments)
        assert result.exit_code == 2
        assert "openssl rand -base64 32" in result.stderr
        assert old not in result.output
    monkeypatch.setenv("DOORWARD_SEALING_KEY", f"{old} {new.text}")
    said = right("key", "rotate-sealing")
    assert f"The key {new.id} seals from now on" in said
    result = run("key", "rotate-sealing", "--forget-old")
    assert result.exit_code == 2
    assert f"only the last 1 must stay ({new.id})" in result.stderr
    assert not [text for text in (old, new.text) if text in said + result.output]
    monkeypatch.setenv("DOORWARD_SEALING_KEY", new.text)
    assert [one["id"] for one in sealing_keys()] == [new.id]
    assert not key.exists()


def test_a_file_named_in_the_environment_is_written_where_it_can_be(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = key.with_name("mounted")
    key.rename(elsewhere)
    monkeypatch.setenv("DOORWARD_SEALING_KEY_FILE", str(elsewhere))
    assert f"Back up the file {elsewhere}" in right("key", "rotate-sealing")
    assert len(elsewhere.read_text().split()) == 2
    (elsewhere.parent / ".mounted.draft").mkdir()
    result = run("key", "rotate-sealing")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
    assert not key.exists()


def test_preparing_and_forgetting_are_two_things() -> None:
    assert run("key", "rotate-sealing", "--prepare", "--forget-old").exit_code == 2
