"""The sealing key and what is sealed with it (C19; ASVS 11.3.2, 13.3.1)."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.adapters.keyring import Ring, SealingKey, SealingKeyRefused
from doorward.adapters.sealing import KeyFileSealer, open_sealer
from doorward.ports import Sealer

SEALER = KeyFileSealer(Ring((SealingKey(bytes(range(32))),)))


def test_the_adapter_keeps_the_promise_of_the_port() -> None:
    sealer: Sealer = SEALER
    assert sealer.open(sealer.seal(b"secret", "test"), "test") == b"secret"


@pytest.mark.asvs("11.3.2")
@given(secret=st.binary(max_size=300), purpose=st.text(max_size=40))
def test_what_was_sealed_opens_again_and_is_not_in_the_sealed_value(secret: bytes, purpose: str) -> None:
    sealed = SEALER.seal(secret, purpose)
    assert SEALER.open(sealed, purpose) == secret
    assert len(secret) < 4 or secret not in sealed


def test_sealing_twice_gives_two_values() -> None:
    assert SEALER.seal(b"secret", "test") != SEALER.seal(b"secret", "test")


@pytest.mark.asvs("11.3.3")
@given(position=st.integers(min_value=0, max_value=200), bit=st.integers(min_value=0, max_value=7))
def test_a_sealed_value_with_one_changed_bit_does_not_open(position: int, bit: int) -> None:
    sealed = bytearray(SEALER.seal(b"a secret", "test"))
    sealed[position % len(sealed)] ^= 1 << bit
    with pytest.raises(ValueError, match=r"sealed|wrong"):
        SEALER.open(bytes(sealed), "test")


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x02" * 60, b"\x01" * 20])
def test_what_was_never_sealed_does_not_open(sealed: bytes) -> None:
    with pytest.raises(ValueError, match="sealed"):
        SEALER.open(sealed, "test")


def test_a_value_opens_only_for_its_own_purpose() -> None:
    with pytest.raises(ValueError, match="purpose"):
        SEALER.open(SEALER.seal(b"secret", "signing_key:1"), "signing_key:2")


def test_a_value_names_its_key_and_opens_under_no_other() -> None:
    other = KeyFileSealer(Ring((SealingKey.new(),)))
    sealed = SEALER.seal(b"secret", "test")
    assert bytes.fromhex(SEALER.key_id) in sealed
    with pytest.raises(ValueError, match="another key"):
        other.open(sealed, "test")


def test_a_mac_depends_on_the_key_the_purpose_and_the_message() -> None:
    other = KeyFileSealer(Ring((SealingKey.new(),)))
    macs = {SEALER.mac(b"m", "a"), SEALER.mac(b"m", "b"), SEALER.mac(b"n", "a"), other.mac(b"m", "a")}
    assert len(macs) == 4
    assert all(len(mac) == 32 for mac in macs)
    assert SEALER.mac(b"m", "a") in macs


def test_keys_for_sealing_and_for_macs_of_one_purpose_differ() -> None:
    """A purpose that spells out the other use's label must not reach its key."""
    assert SEALER.mac(b"m", "seal:x") != SEALER.mac(b"m", "x")


@pytest.mark.asvs("13.3.1")
def test_a_new_key_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    KeyFileSealer.open_or_create(tmp_path / "sealing.key")
    assert stat.S_IMODE((tmp_path / "sealing.key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["sealing.key"]


def test_the_same_file_gives_the_same_key(tmp_path: Path) -> None:
    sealed = KeyFileSealer.open_or_create(tmp_path / "key").seal(b"secret", "test")
    assert KeyFileSealer.open_or_create(tmp_path / "key").open(sealed, "test") == b"secret"


def test_twenty_starts_at_once_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(20) as pool:
        sealers = list(pool.map(lambda _: KeyFileSealer.open_or_create(tmp_path / "key"), range(20)))
    assert len({sealer.key_id for sealer in sealers}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o620])
def test_a_key_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    KeyFileSealer.open_or_create(path)
    path.chmod(mode)
    with pytest.raises(SealingKeyRefused, match=r"chmod 600"):
        KeyFileSealer.open_or_create(path)


def test_a_key_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    KeyFileSealer.open_or_create(path)
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        stranger = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: stranger)
    with pytest.raises(SealingKeyRefused, match="another user"):
        KeyFileSealer.open_file(path)


def test_a_link_in_place_of_the_key_file_is_refused(tmp_path: Path) -> None:
    KeyFileSealer.open_or_create(tmp_path / "key")
    (tmp_path / "link").symlink_to(tmp_path / "key")
    with pytest.raises(SealingKeyRefused, match="cannot be read"):
        KeyFileSealer.open_file(tmp_path / "link")


def test_a_directory_or_a_pipe_in_place_of_the_key_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "directory").mkdir(0o700)
    for name in ("pipe", "directory"):
        with pytest.raises(SealingKeyRefused, match="not a regular file"):
            KeyFileSealer.open_file(tmp_path / name)


@pytest.mark.parametrize(
    "text",
    ["", "short", "a" * 44, SealingKey.new().text * 2, "\xff" * 43, "ä" * 44],
    ids=["nothing", "too short", "of the wrong length", "two keys", "bytes", "no ASCII"],
)
def test_a_file_without_a_whole_key_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SealingKeyRefused, match="no sealing key") as refused:
        KeyFileSealer.open_file(path)
    assert not text or text not in str(refused.value)


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    key = SealingKey.new().text
    sealer = open_sealer(tmp_path / "key", {"DOORWARD_SEALING_KEY": key})
    assert sealer.key_id == open_sealer(tmp_path / "key", {"DOORWARD_SEALING_KEY": f" {key}\n"}).key_id
    assert not (tmp_path / "key").exists()


def test_the_environment_may_name_a_file_which_is_not_made_up(tmp_path: Path) -> None:
    made = KeyFileSealer.open_or_create(tmp_path / "mounted")
    environ = {"DOORWARD_SEALING_KEY_FILE": str(tmp_path / "mounted")}
    assert open_sealer(tmp_path / "key", environ).key_id == made.key_id
    with pytest.raises(SealingKeyRefused, match="No such file"):
        open_sealer(tmp_path / "key", {"DOORWARD_SEALING_KEY_FILE": str(tmp_path / "missing")})


def test_two_sources_of_the_key_are_refused(tmp_path: Path) -> None:
    environ = {"DOORWARD_SEALING_KEY": SealingKey.new().text, "DOORWARD_SEALING_KEY_FILE": "/run/secrets/key"}
    with pytest.raises(SealingKeyRefused, match="not both"):
        open_sealer(tmp_path / "key", environ)


def test_the_key_never_shows_in_a_representation() -> None:
    assert "\\x" not in repr(SEALER)
    assert repr(SEALER) == f"KeyFileSealer(named='{SEALER.key_id}')"
