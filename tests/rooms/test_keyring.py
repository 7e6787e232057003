"""The file of the sealing keys: written whole or not at all, never to be read by others, read again when it changes."""

import os
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from doorward.adapters.keyring import Ring, SealingKey, SealingKeyRefused, open_ring, read_file, read_or_create_file
from doorward.adapters.sealing import KeyFileSealer
from tests.support.serving import ROOT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one key, alone in its directory."""
    read_or_create_file(tmp_path / "sealing.key")
    return tmp_path / "sealing.key"


def ids(ring: Ring) -> list[str]:
    return [key.id for key in ring.keys]


def test_the_newest_of_several_keys_seals_where_no_database_names_one_and_all_open(path: Path) -> None:
    before = KeyFileSealer.open_file(path).seal(b"secret", "test")
    ring = read_file(path).with_new_key()
    sealer = KeyFileSealer.open_file(path)
    assert sealer.key_id == ids(ring)[1]
    assert sealer.open(before, "test") == sealer.open(sealer.seal(b"secret", "test"), "test") == b"secret"


@pytest.mark.asvs("13.3.1")
def test_a_key_is_added_behind_the_others_and_the_file_stays_private_and_alone(path: Path) -> None:
    old = read_file(path)
    ring = old.with_new_key().with_new_key()
    assert ids(ring)[:1] == ids(old)
    assert ids(ring) == ids(read_file(path))
    assert len(set(ids(ring))) == 3
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["sealing.key"]


def test_keys_are_taken_out_and_the_others_stay_in_their_order(path: Path) -> None:
    ring = read_file(path).with_new_key().with_new_key()
    first, second, third = ids(ring)
    assert ids(ring.without([second])) == [first, third]
    assert ids(read_file(path)) == [first, third]


def test_what_was_added_meanwhile_stays(path: Path) -> None:
    ring = read_file(path)
    others = read_file(path).with_new_key()
    assert ids(ring.with_new_key())[:2] == ids(others)


def test_of_twenty_keys_added_at_once_none_is_lost(path: Path) -> None:
    ring = read_file(path)
    with ThreadPoolExecutor(20) as pool:
        added = {ids(found)[-1] for found in pool.map(lambda _: ring.with_new_key(), range(20))}
    assert added == set(ids(read_file(path))[1:])
    assert len(added) == 20


def test_what_a_killed_process_left_behind_goes_with_the_next_change(path: Path) -> None:
    (path.parent / ".sealing.key.draft").write_text(SealingKey.new().text)
    read_file(path).with_new_key()
    assert [file.name for file in path.parent.iterdir()] == ["sealing.key"]


def test_a_ring_is_read_again_only_when_its_file_has_changed(path: Path) -> None:
    ring = read_file(path)
    assert ring.read_again() is ring
    changed = read_file(path).with_new_key()
    assert ids(ring.read_again()) == ids(changed)
    path.chmod(0o644)
    with pytest.raises(SealingKeyRefused, match="chmod 600"):
        ring.read_again()
    path.unlink()
    with pytest.raises(SealingKeyRefused, match="No such file"):
        ring.read_again()


def test_a_key_that_stands_there_twice_counts_once(tmp_path: Path) -> None:
    one, two = SealingKey.new(), SealingKey.new()
    ring = open_ring(tmp_path / "none", {"DOORWARD_SEALING_KEY": f"{one.text} {two.text}\n{one.text}"})
    assert ids(ring) == [one.id, two.id]


def test_one_wrong_word_among_the_keys_is_refused_and_not_shown(tmp_path: Path) -> None:
    text = f"{SealingKey.new().text} {SealingKey.new().text[:-5]}"
    with pytest.raises(SealingKeyRefused, match="no sealing key") as refused:
        open_ring(tmp_path / "none", {"DOORWARD_SEALING_KEY": text})
    assert not [word for word in text.split() if word in str(refused.value)]


def test_keys_in_the_environment_are_changed_by_hand_and_not_shown(tmp_path: Path) -> None:
    keys = [SealingKey.new(), SealingKey.new()]
    ring = open_ring(tmp_path / "none", {"DOORWARD_SEALING_KEY": " ".join(key.text for key in keys)})
    with pytest.raises(SealingKeyRefused, match="openssl rand -base64 32") as more:
        ring.with_new_key()
    with pytest.raises(SealingKeyRefused, match=f"of its 2 keys only the last 1 must stay \\({keys[1].id}\\)") as fewer:
        ring.without([keys[0].id])
    for refused in (more, fewer):
        assert "DOORWARD_SEALING_KEY" in str(refused.value)
        assert not [key for key in keys if key.text in str(refused.value)]


def test_a_file_that_cannot_be_written_is_changed_by_hand(path: Path) -> None:
    (path.parent / ".sealing.key.draft").mkdir()  # so that nobody, root included, can write it
    ring = read_file(path)
    with pytest.raises(SealingKeyRefused, match=r"(?s)cannot be written.*openssl rand -base64 32"):
        ring.with_new_key()
    with pytest.raises(SealingKeyRefused, match=r"(?s)cannot be written.*by hand"):
        ring.without([])
    assert ids(read_file(path)) == ids(ring)


def test_a_file_of_another_user_is_not_replaced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server, which runs as its owner, could not read what somebody else puts there."""
    ring, before = read_file(path), path.read_bytes()
    stranger = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    with pytest.raises(SealingKeyRefused, match="belongs to another user"):
        ring.with_new_key()
    assert path.read_bytes() == before


CHANGE_FOR_EVER = """
import sys
from pathlib import Path
from doorward.adapters.keyring import read_file
while True:
    ring = read_file(Path(sys.argv[1])).with_new_key()
    print(len(ring.keys), flush=True)
    if len(ring.keys) > 5:
        ring.without([key.id for key in ring.keys[1:]])
"""


@pytest.mark.slow
def test_whenever_a_process_is_killed_that_changes_the_file_it_is_whole(path: Path, rounds: int) -> None:
    (first,) = ids(read_file(path))
    for number in range(rounds):
        process = subprocess.Popen([sys.executable, "-c", CHANGE_FOR_EVER, str(path)], cwd=ROOT, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline()
        time.sleep(0.0007 * (number % 20))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert ids(read_file(path))[0] == first
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
