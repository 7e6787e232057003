"""Notes of the write-up's own database come along, each to its owner, and every one that does not is named."""

import io
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from PIL import Image

from doorward.cli import main
from doorward_client.threads import GUARDS
from fitness.app import create_app, pay, start
from fitness.pictures import FRESH_SECONDS, Pictures
from fitness.settings import Settings
from fitness.store import MINUTE_MS, Store
from fitness.users import Users
from tests.support.fitness import PYTHONPATH
from tests.support.hosted import PASSWORD
from tests.support.logs import restored_logging
from tests.support.serving import ROOT, running

pytestmark = pytest.mark.slow
OLD = ROOT / "tests/data/flask_portfolio.db"
FITNESS = ROOT / "examples/fitness/doorward.toml"


@dataclass(frozen=True)
class House:
    """A Doorward that the old users have moved into, and the key that the example has for it."""

    issuer: str
    data: Path
    key: str

    def operate(self, *arguments: str, typed: str | None = None) -> Any:
        place = ["--json", "--data", str(self.data), "--config", str(FITNESS)]
        with restored_logging():
            done = CliRunner().invoke(main, [*arguments, *place], input=typed)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    data = tmp_path_factory.mktemp("house") / "data"
    with running("doorward.cli", "serve", "--data", str(data), "--config", str(FITNESS), "--port", "0") as server:
        empty = House(f"http://localhost:{server.port}", data, "")
        empty.operate("user", "import", str(OLD), "--from", "flask-portfolio")
        empty.operate(
            "user", "add", "root", "--name", "Root", "--role", "admin", "--password-stdin", typed=PASSWORD
        )  # fmt: skip
        scopes = [word for scope in ("users:read", "users:write", "events:read") for word in ("--scope", scope)]
        key = empty.operate("apikey", "create", "root", "--name", "Fitness", *scopes)["secret"]
        yield House(empty.issuer, data, key)


def told(house: House, folder: Path) -> dict[str, str]:
    """The settings of an app whose API and front end do not run."""
    return {
        "issuer": house.issuer, "api_url": "http://localhost:9", "web_url": "http://localhost:8",
        "web_client_id": "web", "client_id": "api", "client_secret": "none", "api_key": house.key,
        "webhook_secret": "whsec_bm9uZQ==", "database": f"sqlite:///{folder / 'fitness.db'}",
        "pictures": str(folder / "pictures"), "script": "none", "integrity": "none",
    }  # fmt: skip


def bring(house: House, folder: Path, *words: str, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run the command and read its report."""
    named = {f"FITNESS_{name.upper()}": value for name, value in told(house, folder).items()}
    done = subprocess.run(
        [sys.executable, "-m", "fitness.import", str(OLD), "--json", *words],
        env={**os.environ, "PYTHONPATH": PYTHONPATH, **named, **(environ or {})},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def everybody(house: House) -> list[tuple[str, str | None]]:
    """Ids at Doorward, and in the old database."""
    users = Users(house.issuer, house.key)
    found = list(users.everybody())
    users.close()
    return found


def signed_in_root(house: House) -> httpx.Client:
    """The administrator."""
    signed_in = {"identifier": "root", "password": PASSWORD, "transport": "bearer"}
    token = httpx.post(f"{house.issuer}/api/sessions", json=signed_in, timeout=30).json()["token"]
    return httpx.Client(headers={"authorization": f"Bearer {token}"})


def uploads(folder: Path) -> Path:
    """Some of the old app's uploads: two pictures, one file that is none; the others are gone."""
    found = folder / "uploads"
    found.mkdir()
    for name in ("cloud5-0.png", "cloud5-1.png"):
        file = io.BytesIO()
        Image.new("RGB", (20, 20), (9, 9, 9)).save(file, "PNG")
        (found / name).write_bytes(file.getvalue())
    (found / "rocket17-0.png").write_text("<script>alert(1)</script>")
    return found


def test_notes_find_their_owners_and_what_does_not_come_is_named(house: House, tmp_path: Path) -> None:
    root = signed_in_root(house)
    [gone] = [user_id for user_id, legacy_id in everybody(house) if legacy_id == "flask-portfolio:9"]
    assert root.delete(f"{house.issuer}/api/users/{gone}").status_code == 204
    root.close()
    pictures = uploads(tmp_path)
    foreseen = bring(house, tmp_path, "--pictures", str(pictures), "--dry-run")
    assert not list((tmp_path / "pictures").iterdir())
    report = bring(house, tmp_path, "--pictures", str(pictures))
    assert {**foreseen, "dry_run": False} == report, "a dry run says what will happen"
    assert report["imported"] + len(report["orphans"]) + len(report["left_behind"]) + len(report["refused"]) == 309
    assert report["imported"] > 250
    assert report["orphans"]
    assert report["left_behind"] == [7], "the note of whoever was deleted meanwhile"
    assert "14" in report["refused_pictures"]
    assert "10" in report["missing_pictures"]
    assert len(list((tmp_path / "pictures").iterdir())) == 2

    [grace] = [user_id for user_id, legacy_id in everybody(house) if legacy_id == "flask-portfolio:6"]
    store = Store(told(house, tmp_path)["database"])
    assert sorted((note.text, note.picture is not None) for note in store.notes(grace, None, 10)) == [
        ("quiet note 0 <b>by</b> cloud5 ✓", True),
        ("violet note 1 <b>by</b> cloud5 ✓", True),
    ]
    store.close()
    again = bring(house, tmp_path, "--pictures", str(pictures))
    assert (again["imported"], again["present"]) == (0, report["imported"])
    assert len(list((tmp_path / "pictures").iterdir())) == 2


def test_the_name_of_a_picture_leads_nowhere_else(house: House, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes((ROOT / "docs/images/sign-up.png").read_bytes())
    (tmp_path / "uploads").mkdir()
    (tmp_path / "old.db").write_bytes(OLD.read_bytes())
    with sqlite3.connect(tmp_path / "old.db") as old:
        old.execute("UPDATE notes SET image = '../secret.png' WHERE id = 5")
        old.execute("UPDATE notes SET image = ? WHERE id = 6", [str(tmp_path / "secret.png")])
    old.close()
    named = {f"FITNESS_{name.upper()}": value for name, value in told(house, tmp_path).items()}
    done = subprocess.run(
        [sys.executable, "-m", "fitness.import", "old.db", "--pictures", "uploads"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": PYTHONPATH, **named}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "note 5: picture is missing: ../secret.png" in done.stdout
    assert "note 6: picture is missing: /" in done.stdout
    assert not list((tmp_path / "pictures").iterdir())


def test_a_file_that_is_no_such_database_is_said_to_be_none(house: House, tmp_path: Path) -> None:
    named = {f"FITNESS_{name.upper()}": value for name, value in told(house, tmp_path).items()}
    done = subprocess.run(
        [sys.executable, "-m", "fitness.import", str(FITNESS)],
        env={**os.environ, "PYTHONPATH": PYTHONPATH, **named}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "is not the database of a Flask portfolio" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.asvs("14.2.7")
def test_a_goodbye_that_was_missed_is_heard_at_the_next_start(house: House, tmp_path: Path) -> None:
    values = {"uid": "leaver", "name": "Leaver", "password": PASSWORD}
    made = httpx.post(f"{house.issuer}/api/users", json=values, timeout=30)
    leaver = made.json()["id"]
    settings = Settings.read({f"FITNESS_{name.upper()}": value for name, value in told(house, tmp_path).items()})
    store = Store(settings.database)
    note = store.add_note(leaver, "still here")
    settings.pictures.mkdir()
    (settings.pictures / "a.png").write_text("a picture")
    store.set_picture(leaver, note.id, "a.png", 9)
    before = set(GUARDS)
    app = create_app(settings)
    start(app)
    assert store.note(leaver, note.id) is not None

    root = signed_in_root(house)
    assert root.delete(f"{house.issuer}/api/users/{leaver}").status_code == 204
    root.close()
    start(app)
    assert store.note(leaver, note.id) is None
    assert not list(settings.pictures.iterdir())
    assert store.cursor("events") is not None
    its_store, _, its_users, _ = app.extensions["fitness"]
    for one in (store, its_store, its_users):
        one.close()
    for guard in set(GUARDS) - before:
        guard.close()


@pytest.mark.asvs("2.3.3")
def test_coins_that_doorward_could_not_be_asked_to_add_are_added_once_it_can(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"uid": "runner", "name": "Runner", "password": PASSWORD}
    made = httpx.post(f"{house.issuer}/api/users", json=values, timeout=30)
    runner = made.json()["id"]
    store, users = Store(told(house, tmp_path)["database"]), Users(house.issuer, house.key)
    away = Users("http://localhost:9", house.key)
    done = store.log_exercise(runner, "run", 25)
    assert not pay(store, away, [done]), "nobody is there"
    monkeypatch.setattr("fitness.store.now_ms", lambda: done.at + 2 * MINUTE_MS)
    assert store.unpaid() == [done]
    for _ in range(3):  # it is tried again, as when a process dies before it has noted that it paid
        assert pay(store, users, [done])
    assert (users.find(runner) or {})["coins"] == 25
    assert store.unpaid() == []
    for one in (store, users, away):
        one.close()


def test_files_that_no_note_needs_are_swept_away(tmp_path: Path) -> None:
    pictures = Pictures(tmp_path)
    for name in ("needed.png", "left.png", "fresh.png"):
        (tmp_path / name).touch()
    for name in ("needed.png", "left.png"):
        os.utime(tmp_path / name, (1, FRESH_SECONDS))
    pictures.sweep({"needed.png"})
    assert sorted(file.name for file in tmp_path.iterdir()) == ["fresh.png", "needed.png"]
