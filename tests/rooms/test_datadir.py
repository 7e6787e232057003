"""The data directory: made for one user's eyes, and refused where others could write (C19)."""

import os
import stat
from pathlib import Path

import pytest

from doorward.datadir import DataDir, DataDirRefused, choose


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_missing_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    data = DataDir.open(tmp_path / "new" / "data")
    assert mode(data.path) == 0o700
    assert data.path.is_absolute()


def test_an_existing_directory_is_taken_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert DataDir.open(tmp_path).path == tmp_path
    assert mode(tmp_path) == 0o755


@pytest.mark.parametrize("others", [0o777, 0o1777, 0o770, 0o707])
def test_a_directory_that_others_can_write_to_is_refused_and_left_alone(tmp_path: Path, others: int) -> None:
    tmp_path.chmod(others)
    with pytest.raises(DataDirRefused, match="Others can write"):
        DataDir.open(tmp_path)
    assert mode(tmp_path) == others


def test_a_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        os.chown(tmp_path, 12345, -1)
    else:
        stranger = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: stranger)
    with pytest.raises(DataDirRefused, match="another user"):
        DataDir.open(tmp_path)


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataDirRefused, match="cannot be used"):
        DataDir.open(tmp_path / "file")


def test_the_directory_is_chosen_by_flag_then_environment_then_default() -> None:
    assert choose("a", {"DOORWARD_DATA": "b"}) == Path("a")
    assert choose(None, {"DOORWARD_DATA": "b"}) == Path("b")
    assert choose(None, {}) == Path("doorward-data")


def test_the_setup_link_is_for_the_owner_alone_and_goes_when_it_is_not_needed(tmp_path: Path) -> None:
    data = DataDir.open(tmp_path)
    data.write_setup_link("http://localhost:8000/setup/one")
    data.write_setup_link("http://localhost:8000/setup/two")
    assert data.setup_link.read_text("ascii") == "http://localhost:8000/setup/two\n"
    assert mode(data.setup_link) == 0o600
    data.write_setup_link(None)
    data.write_setup_link(None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["doorward.db", "doorward.db-wal"])
def test_a_database_that_others_can_read_is_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch(mode=0o600)
    DataDir.open(tmp_path)
    (tmp_path / name).chmod(0o644)
    with pytest.raises(DataDirRefused, match=rf"Run: chmod 600 .*{name}"):
        DataDir.open(tmp_path)
    assert mode(tmp_path / name) == 0o644


def test_what_people_sign_up_with_is_settled_at_first_start(tmp_path: Path) -> None:
    data = DataDir.open(tmp_path)
    assert data.settle_identifier("uid", chosen=False) == "uid"
    assert data.settle_identifier("uid", chosen=True) == "uid"
    with pytest.raises(DataDirRefused, match='"uid" and cannot be used with "email"'):
        data.settle_identifier("email", chosen=True)


def test_a_default_gives_way_to_what_was_settled_under_an_earlier_one(tmp_path: Path) -> None:
    data = DataDir.open(tmp_path)
    data.settle_identifier("uid", chosen=False)
    assert data.settle_identifier("email", chosen=False) == "uid"
