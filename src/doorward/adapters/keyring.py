"""Where the sealing keys lie: in a file (0600) or in the environment, never in the database.

One key or several, base64 with white space between them, the oldest first. There is one, except while it is replaced.
"""

import base64
import binascii
import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from doorward.kernel.startup import StartRefused

KEY_BYTES: Final = 32
KEY_ID_BYTES: Final = 8
ENVIRONMENT_KEY: Final = "DOORWARD_SEALING_KEY"
ENVIRONMENT_FILE: Final = "DOORWARD_SEALING_KEY_FILE"

_MAKE: Final = "openssl rand -base64 32"
_LONGEST_FILE: Final = 16 * 1024
_Keys: TypeAlias = Sequence["SealingKey"]


class SealingKeyRefused(StartRefused):
    """The sealing key cannot be used; the message says why and what helps, and never holds the key."""


@dataclass(frozen=True, slots=True)
class SealingKey:
    """One key. `id`: the first 64 bits of a value derived from it, in hex; it tells nothing about the key."""

    secret: bytes = field(repr=False)
    id: str = field(init=False)

    def __post_init__(self) -> None:
        """Refuse a key of another length, which HKDF would stretch without a word."""
        if len(self.secret) != KEY_BYTES:
            raise SealingKeyRefused(f"The sealing key must be {KEY_BYTES} bytes long.")
        object.__setattr__(self, "id", self.derive("key id")[:KEY_ID_BYTES].hex())

    @classmethod
    def new(cls) -> "SealingKey":
        """256 random bits."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @property
    def text(self) -> str:
        """As a file and the environment hold it: base64url."""
        return base64.urlsafe_b64encode(self.secret).decode()

    def derive(self, info: str) -> bytes:
        """A key of its own for one use (HKDF-SHA-256, RFC 5869)."""
        # 3 µs; nothing is cached, so that no derived key outlives its use.
        return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"doorward/1/{info}".encode()).derive(self.secret)


@dataclass(frozen=True, slots=True)
class Ring:
    """The keys of one place as they were read, the oldest first; never empty. `file`: None for the environment."""

    keys: tuple[SealingKey, ...]
    file: Path | None = None
    stamp: tuple[int, ...] = field(default=(), repr=False)  # tells whether the file has changed since

    @property
    def place(self) -> str:
        """Where it is, for an operator."""
        return f"the environment variable {ENVIRONMENT_KEY}" if self.file is None else f"the file {self.file}"

    def find(self, key_id: str) -> SealingKey | None:
        """The key of this id."""
        return next((key for key in self.keys if key.id == key_id), None)

    def read_again(self) -> "Ring":
        """As it is by now. Raises SealingKeyRefused."""
        if self.file is None:
            return self
        with contextlib.suppress(OSError):  # which the reading tells better
            if _stamp(self.file.lstat()) == self.stamp:
                return self
        return read_file(self.file)

    def with_new_key(self) -> "Ring":
        """Write it with another key at its end. Raises SealingKeyRefused that says how to do so by hand."""
        if self.file is None:
            raise SealingKeyRefused(
                f"The sealing key is in {self.place}, which no command can change. By hand:\n"
                f"  1. Make a key: {_MAKE}\n"
                "  2. Wherever the variable is set, on every machine, put it behind the key that is there, "
                "with a space between.\n"
                "  3. Restart the servers, one after the other. They know the new key then, but use the old one.\n"
                "  4. Run this again, with the same variable."
            )
        by_hand = (
            f"By hand:\n"
            f"  1. Wherever the file comes from, add a key as its last line: {_MAKE}\n"
            "  2. When every machine has the file, run this again. Servers read it by themselves; "
            "restart those that were handed a copy at their start."
        )
        return _rewrite(self.file, lambda keys: (*keys, SealingKey.new()), by_hand)

    def without(self, key_ids: Collection[str]) -> "Ring":
        """Write it without these keys. Raises SealingKeyRefused that says how to do so by hand."""
        left = [key.id for key in self.keys if key.id not in key_ids]
        words = f"of its {len(self.keys)} keys only the last {len(left)} must stay ({', '.join(left)})"
        if self.file is None:
            raise SealingKeyRefused(
                f"The sealing keys are in {self.place}, which no command can change: {words}. "
                "Take the others out by hand and restart the servers."
            )
        by_hand = f"Take the old keys out by hand: {words}."
        return _rewrite(self.file, lambda keys: [key for key in keys if key.id not in key_ids], by_hand)


def open_ring(path: Path, environ: Mapping[str, str], *, create: bool = True) -> Ring:
    """The keys of DOORWARD_SEALING_KEY, of DOORWARD_SEALING_KEY_FILE, or of `path`, which is made when missing.

    `create=False`: there are data already, so a missing key is a lost one, and a new one would hide that. Raises
    SealingKeyRefused.
    """
    text, file = environ.get(ENVIRONMENT_KEY), environ.get(ENVIRONMENT_FILE)
    if text and file:
        raise SealingKeyRefused(f"Set {ENVIRONMENT_KEY} or {ENVIRONMENT_FILE}, not both.")
    if text:
        return Ring(_decode(text.encode(), f"the environment variable {ENVIRONMENT_KEY}"))
    if file:
        return read_file(Path(file))
    if not create and not path.exists():
        raise SealingKeyRefused(
            f"The sealing key {path} is missing, but there is a database that was used with one. "
            f"Put the key back from your backup, or name it in {ENVIRONMENT_FILE}."
        )
    return read_or_create_file(path)


def read_or_create_file(path: Path) -> Ring:
    """The keys in `path`, with a new one when there is no such file. Raises SealingKeyRefused."""
    if not path.exists():
        with contextlib.suppress(FileExistsError):  # another process was quicker: its key counts
            _create(path)
    return read_file(path)


def read_file(path: Path) -> Ring:
    """The keys in `path`. Raises SealingKeyRefused when it is missing, readable by others or holds anything else."""
    text, status = _read_private(path)
    return Ring(_decode(text, f"the file {path}"), path, _stamp(status))


# Writing -------------------------------------------------------------------------------------------------------------


def _create(path: Path) -> None:
    # Written whole beside its place and then linked into it: a second process that starts at the same moment finds
    # either no key or all of it, and of two the first wins (link fails where a name exists).
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write(draft, [SealingKey.new()])
        os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    _sync_directory(path.parent)


def _rewrite(path: Path, change: Callable[[_Keys], _Keys], by_hand: str) -> Ring:
    """Put what `change` makes of the keys in their place: whole or not at all, whenever the process is killed."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        with _alone_in(path.parent):
            before, status = _read_private(path)
            if status.st_uid != os.geteuid():
                raise SealingKeyRefused(f"The sealing key {path} belongs to another user, who alone can replace it.")
            draft.unlink(missing_ok=True)  # of a process that was killed
            _write(draft, change(_decode(before, f"the file {path}")))
            draft.replace(path)
            _sync_directory(path.parent)
            return read_file(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise SealingKeyRefused(f"The sealing key {path} cannot be written: {error.strerror}. {by_hand}") from error


def _write(path: Path, keys: _Keys) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.writelines(f"{key.text}\n" for key in keys)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Wait for others who change the keys at this moment. The lock goes with the process that holds it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Reading -------------------------------------------------------------------------------------------------------------


def _read_private(path: Path) -> tuple[bytes, os.stat_result]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise SealingKeyRefused(f"The sealing key {path} cannot be read: {error.strerror}.") from error
    try:
        # Of the open file, not of the name: what is checked is what is read.
        status = os.fstat(descriptor)
        _refuse_exposed(path, status)
        return os.read(descriptor, _LONGEST_FILE), status
    finally:
        os.close(descriptor)


def _refuse_exposed(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SealingKeyRefused(f"The sealing key {path} is not a regular file.")
    if status.st_uid not in {os.geteuid(), 0}:
        raise SealingKeyRefused(f"The sealing key {path} belongs to another user (id {status.st_uid}).")
    if status.st_mode & 0o077:
        raise SealingKeyRefused(
            f"The sealing key {path} can be read by others (mode {stat.S_IMODE(status.st_mode):04o}). "
            f"Run: chmod 600 {path}"
        )


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _decode(text: bytes, source: str) -> tuple[SealingKey, ...]:
    keys = [_decode_one(word) for word in text.split()]
    if not keys or None in keys:
        raise SealingKeyRefused(f"There is no sealing key in {source}: it must be {KEY_BYTES} bytes in base64.")
    return tuple(dict.fromkeys(SealingKey(key) for key in keys if key is not None))


def _decode_one(word: bytes) -> bytes | None:
    try:
        key = base64.b64decode(word.replace(b"-", b"+").replace(b"_", b"/"), validate=True)
    except (ValueError, binascii.Error):
        return None
    return key if len(key) == KEY_BYTES else None
