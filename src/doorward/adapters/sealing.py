"""Secrets at rest: AES-256-GCM under one key that lives in a file (0600) or in the environment, never in the database.

A sealed value is  version (1 byte) | key id (8) | nonce (12) | ciphertext and tag.  Each purpose has keys of its own,
derived with HKDF-SHA-256 (RFC 5869), so that a value sealed for one purpose is noise for every other.
"""

import base64
import binascii
import contextlib
import hmac
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert

from doorward.kernel.startup import StartRefused
from doorward.ports import Database
from doorward.sql import Statement, Work
from doorward.sql.tables import setting

KEY_BYTES: Final = 32
ENVIRONMENT_KEY: Final = "DOORWARD_SEALING_KEY"
ENVIRONMENT_FILE: Final = "DOORWARD_SEALING_KEY_FILE"

_VERSION: Final = b"\x01"
_KEY_ID_BYTES: Final = 8
_NONCE_BYTES: Final = 12  # 96 bits, NIST SP 800-38D §8.2.2; its bound of 2^32 values holds per purpose
_HEADER_BYTES: Final = len(_VERSION) + _KEY_ID_BYTES
_LONGEST_FILE: Final = 1024

_SETTING: Final = "sealing.key_id"
_FIND_KEY_ID: Final = Statement(select(setting.c.value).where(setting.c.key == _SETTING))
_INSERT_KEY_ID: Final = Statement(
    insert(setting).values(key=_SETTING, value=bindparam("key_id")).on_conflict_do_nothing()
)


class SealingKeyRefused(StartRefused):
    """The sealing key cannot be used; the message says why and what helps, and never holds the key."""


@dataclass(frozen=True, slots=True)
class KeyFileSealer:
    """Implements `ports.Sealer` (ASVS 11.3.2, 13.3.1). Losing the key loses what it sealed, so back it up apart."""

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse a key of another length, which HKDF would stretch without a word."""
        if len(self.key) != KEY_BYTES:
            raise SealingKeyRefused(f"The sealing key must be {KEY_BYTES} bytes long.")

    @classmethod
    def open_or_create(cls, path: Path) -> "KeyFileSealer":
        """Read the key in `path`, making a new one when there is none yet. Raises SealingKeyRefused."""
        if not path.exists():
            with contextlib.suppress(FileExistsError):  # another process was quicker: its key counts
                _create(path)
        return cls.open_file(path)

    @classmethod
    def open_file(cls, path: Path) -> "KeyFileSealer":
        """Read the key in `path`. Raises SealingKeyRefused when it is missing, readable by others or not a key."""
        return cls(_decode(_read_private(path), f"the file {path}"))

    @property
    def key_id(self) -> str:
        """First 64 bits of a value derived from the key, in hex; it tells nothing about the key."""
        return self._derive("key id")[:_KEY_ID_BYTES].hex()

    def seal(self, secret: bytes, purpose: str) -> bytes:
        """Encrypt for `purpose`."""
        header = _VERSION + bytes.fromhex(self.key_id)
        nonce = os.urandom(_NONCE_BYTES)
        return header + nonce + self._cipher(purpose).encrypt(nonce, secret, header)

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Decrypt. Raises ValueError when the key, the purpose or a byte is wrong."""
        header, nonce, text = _split(sealed)
        if header != _VERSION + bytes.fromhex(self.key_id):
            raise ValueError("sealed under another key")
        try:
            return self._cipher(purpose).decrypt(nonce, text, header)
        except InvalidTag as error:
            raise ValueError("the purpose or a byte is wrong") from error

    def mac(self, message: bytes, purpose: str) -> bytes:
        """HMAC-SHA-256 (32 bytes) under a key derived for `purpose` only."""
        return hmac.digest(self._derive(f"mac:{purpose}"), message, "sha256")

    def _cipher(self, purpose: str) -> AESGCM:
        return AESGCM(self._derive(f"seal:{purpose}"))

    def _derive(self, info: str) -> bytes:
        # 3 µs; nothing is cached, so that no derived key outlives its use.
        return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"doorward/1/{info}".encode()).derive(self.key)


async def open_sealer_of(db: Database, path: Path, environ: Mapping[str, str]) -> KeyFileSealer:
    """The sealer that this database is used with; one that was never used with any takes it for good.

    Raises SealingKeyRefused for another key and for a missing one. A new key is made for a new database only: with
    another key audit rows could not be verified, and what is sealed could not be opened.
    """
    known = await db.read(_find_key_id())
    sealer = open_sealer(path, environ, create=known is None)
    if known is None:
        known = await db.write(lambda: _settle_key_id(sealer.key_id))
    if known != sealer.key_id:
        raise SealingKeyRefused(
            f"The database was used with another sealing key ({known}) than this one ({sealer.key_id}). "
            f"Put the right key into {path}, or name it in {ENVIRONMENT_FILE}."
        )
    return sealer


def open_sealer(path: Path, environ: Mapping[str, str], *, create: bool = True) -> KeyFileSealer:
    """The sealer of DOORWARD_SEALING_KEY, of DOORWARD_SEALING_KEY_FILE, or of `path`, which is made when missing.

    `create=False`: there are data already, so a missing key is a lost one, and a new one would hide that. Raises
    SealingKeyRefused.
    """
    text, file = environ.get(ENVIRONMENT_KEY), environ.get(ENVIRONMENT_FILE)
    if text and file:
        raise SealingKeyRefused(f"Set {ENVIRONMENT_KEY} or {ENVIRONMENT_FILE}, not both.")
    if text:
        return KeyFileSealer(_decode(text.encode(), f"the environment variable {ENVIRONMENT_KEY}"))
    if file:
        return KeyFileSealer.open_file(Path(file))
    if not create and not path.exists():
        raise SealingKeyRefused(
            f"The sealing key {path} is missing, but there is a database that was used with one. "
            f"Put the key back from your backup, or name it in {ENVIRONMENT_FILE}."
        )
    return KeyFileSealer.open_or_create(path)


def new_key() -> str:
    """A key as the file and the environment hold it: 256 random bits, base64url."""
    return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def _find_key_id() -> Work[str | None]:
    rows = yield _FIND_KEY_ID()
    return str(rows[0][0]) if rows else None


def _settle_key_id(key_id: str) -> Work[str | None]:
    # Of two processes that begin at once the first decides.
    yield _INSERT_KEY_ID(key_id=key_id)
    return (yield from _find_key_id())


def _create(path: Path) -> None:
    # Written whole beside its place and then linked into it: a second process that starts at the same moment finds
    # either no key or all of it, and of two the first wins (link fails where a name exists).
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(new_key() + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    finally:
        draft.unlink()
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_private(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise SealingKeyRefused(f"The sealing key {path} cannot be read: {error.strerror}.") from error
    try:
        # Of the open file, not of the name: what is checked is what is read.
        _refuse_exposed(path, os.fstat(descriptor))
        return os.read(descriptor, _LONGEST_FILE)
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


def _decode(text: bytes, source: str) -> bytes:
    try:
        key = base64.b64decode(text.strip().replace(b"-", b"+").replace(b"_", b"/"), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise SealingKeyRefused(f"There is no sealing key in {source}: it must be {KEY_BYTES} bytes in base64.")
    return key


def _split(sealed: bytes) -> tuple[bytes, bytes, bytes]:
    nonce_end = _HEADER_BYTES + _NONCE_BYTES
    if len(sealed) < nonce_end or sealed[:1] != _VERSION:
        raise ValueError("not a sealed value")
    return sealed[:_HEADER_BYTES], sealed[_HEADER_BYTES:nonce_end], sealed[nonce_end:]
