"""Secrets at rest: AES-256-GCM under a key that lies outside the database.

A sealed value is  version (1 byte) | key id (8) | nonce (12) | ciphertext and tag.  Each purpose has keys of its own,
derived with HKDF-SHA-256 (RFC 5869), so that a value sealed for one purpose is noise for every other.

Of several keys the database names the one that seals; the others only open (docs/adr/0010-keyring.md). MACs come from a
key of their own, which lies sealed in the database, so that they outlive every sealing key.
"""

import base64
import binascii
import hmac
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import bindparam, select, update

from doorward.adapters.keyring import (
    ENVIRONMENT_FILE,
    KEY_ID_BYTES,
    Ring,
    SealingKey,
    SealingKeyRefused,
    open_ring,
    read_file,
    read_or_create_file,
)
from doorward.ports import Database
from doorward.sql import Statement, Work, insert
from doorward.sql.tables import setting

_VERSION: Final = b"\x01"
_NONCE_BYTES: Final = 12  # 96 bits, NIST SP 800-38D §8.2.2; its bound of 2^32 values holds per key and purpose
_HEADER_BYTES: Final = len(_VERSION) + KEY_ID_BYTES

_KEY_ID: Final = "sealing.key_id"
_MAC_KEY: Final = "sealing.mac_key"
_MAC_KEY_PURPOSE: Final = f"setting:{_MAC_KEY}"
_FIND: Final = Statement(select(setting.c.key, setting.c.value).where(setting.c.key.in_([_KEY_ID, _MAC_KEY])))
_SETTLE: Final = Statement(
    insert(setting)
    .values(key=bindparam("name"), value=bindparam("first"))
    .on_conflict_do_nothing(index_elements=[setting.c.key])
    .returning(setting.c.key)
)
_REPLACE: Final = Statement(
    update(setting)
    .where(setting.c.key == bindparam("name"), setting.c.value == bindparam("before"))
    .values(value=bindparam("after"))
    .returning(setting.c.key)
)
_PUT: Final = Statement(update(setting).where(setting.c.key == bindparam("name")).values(value=bindparam("after")))


@dataclass(slots=True, eq=False)
class KeyFileSealer:
    """Implements `ports.Sealer` and `ports.Keyring` (ASVS 11.3.2, 13.3.1).

    Losing the keys loses what they sealed, so back them up apart. Safe to use from several threads.
    """

    ring: Ring = field(repr=False)
    named: str = field(init=False)
    _key: SealingKey = field(init=False, repr=False)  # seals
    _mac_key: SealingKey = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Without a database, the newest key does everything."""
        self._key = self._mac_key = self.ring.keys[-1]
        self.named = self._key.id

    @classmethod
    def open_or_create(cls, path: Path) -> Self:
        """With the keys in `path`, a new one when there is none yet. Raises SealingKeyRefused."""
        return cls(read_or_create_file(path))

    @classmethod
    def open_file(cls, path: Path) -> Self:
        """With the keys in `path`. Raises SealingKeyRefused when it is missing, readable by others or not a key."""
        return cls(read_file(path))

    # ports.Sealer ---------------------------------------------------------------------------------------------------

    @property
    def key_id(self) -> str:
        """Id of the key that seals now."""
        return self._key.id

    @property
    def mac_key_id(self) -> str:
        """Id of the key that MACs come from."""
        return self._mac_key.id

    def seal(self, secret: bytes, purpose: str) -> bytes:
        """Encrypt for `purpose`."""
        return _seal(self._key, secret, purpose)

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Decrypt. Raises ValueError when no key fits, or the purpose or a byte is wrong."""
        header, nonce, text = _split(sealed)
        key = self._find(header[len(_VERSION) :].hex())
        if key is None:
            raise ValueError("sealed under another key")
        try:
            return _cipher(key, purpose).decrypt(nonce, text, header)
        except InvalidTag as error:
            raise ValueError("the purpose or a byte is wrong") from error

    def mac(self, message: bytes, purpose: str) -> bytes:
        """HMAC-SHA-256 (32 bytes) under a key derived for `purpose` only."""
        return hmac.digest(self._mac_key.derive(f"mac:{purpose}"), message, "sha256")

    # ports.Keyring --------------------------------------------------------------------------------------------------

    @property
    def key_ids(self) -> Sequence[str]:
        """Of all keys, the oldest first."""
        return [key.id for key in self.ring.keys]

    @property
    def place(self) -> str:
        """Where the keys lie."""
        return self.ring.place

    def add(self) -> str:
        """Make a key and keep it behind the others; its id."""
        self.ring = self.ring.with_new_key()
        return self.ring.keys[-1].id

    def drop(self, key_ids: Collection[str]) -> None:
        """Forget keys, for good."""
        self.ring = self.ring.without(key_ids)

    def activate(self, key_id: str) -> Work[bool]:
        """Name another key as the one that seals; False when somebody else did so first."""
        key = self._holding(self.ring, key_id)
        if not (yield _REPLACE(name=_KEY_ID, before=self.key_id, after=key.id)):
            return False
        yield _PUT(name=_MAC_KEY, after=_sealed_mac_key(key, self._mac_key.secret))
        return True

    async def follow(self, db: Database) -> None:
        """Take over what has changed in the file and in the database. Raises SealingKeyRefused; Unavailable."""
        known = await db.read(_find())
        self.named = known.get(_KEY_ID, self.key_id)
        self._key = self.ring.find(self.named) or self._key  # whatever is wrong with the file
        ring = self.ring.read_again()
        self._key = self._holding(ring, self.named)
        self.ring = ring

    # Beginning ------------------------------------------------------------------------------------------------------

    def settle(self) -> Work[Mapping[str, str]]:
        """What a database knows of its keys; one that was never used with any takes the newest, and a new MAC key."""
        # Of two processes that begin at once the first decides.
        is_new = yield _SETTLE(name=_KEY_ID, first=self.key_id)
        known = yield from _find()
        if _MAC_KEY not in known:
            # A database from before there was a MAC key took the sealing key for it.
            key = self._holding(self.ring, known[_KEY_ID])
            secret = SealingKey.new().secret if is_new else key.secret
            yield _SETTLE(name=_MAC_KEY, first=_sealed_mac_key(key, secret))
            known = yield from _find()
        return known

    def use(self, known: Mapping[str, str]) -> None:
        """Be the sealer of the database that knows this of its keys. Raises SealingKeyRefused."""
        self.named = known[_KEY_ID]
        self._key = self._holding(self.ring, self.named)
        try:
            self._mac_key = SealingKey(self.open(base64.b64decode(known[_MAC_KEY]), _MAC_KEY_PURPOSE))
        except (ValueError, binascii.Error) as error:
            raise SealingKeyRefused("The MAC key in the database does not open under the sealing key.") from error

    def _find(self, key_id: str) -> SealingKey | None:
        if (key := self.ring.find(key_id)) is None:
            # Sealed by a process that has seen a newer file.
            try:
                ring = self.ring.read_again()
            except SealingKeyRefused:
                return None
            if ring.find(self.key_id) is not None:  # else somebody mixed it up
                self.ring, key = ring, ring.find(key_id)
        return key

    def _holding(self, ring: Ring, key_id: str) -> SealingKey:
        if (key := ring.find(key_id)) is None:
            held = ", ".join(one.id for one in ring.keys)
            raise SealingKeyRefused(
                f"The database was used with another sealing key ({key_id}) than this one ({held}). "
                f"Put the right key into {ring.place}, or name its file in {ENVIRONMENT_FILE}."
            )
        return key


async def open_sealer_of(db: Database, path: Path, environ: Mapping[str, str]) -> KeyFileSealer:
    """The sealer that this database is used with; one that was never used with any takes it for good.

    Raises SealingKeyRefused for another key and for a missing one. A new key is made for a new database only: with
    another key audit rows could not be verified, and what is sealed could not be opened.
    """
    known = await db.read(_find())
    sealer = open_sealer(path, environ, create=_KEY_ID not in known)
    if _MAC_KEY not in known:
        known = await db.write(sealer.settle)
    sealer.use(known)
    return sealer


def open_sealer(path: Path, environ: Mapping[str, str], *, create: bool = True) -> KeyFileSealer:
    """A sealer with the keys of `open_ring`."""
    return KeyFileSealer(open_ring(path, environ, create=create))


def _find() -> Work[Mapping[str, str]]:
    return {str(key): str(value) for key, value in (yield _FIND())}


def _sealed_mac_key(key: SealingKey, secret: bytes) -> str:
    return base64.b64encode(_seal(key, secret, _MAC_KEY_PURPOSE)).decode()


def _seal(key: SealingKey, secret: bytes, purpose: str) -> bytes:
    header = _VERSION + bytes.fromhex(key.id)
    nonce = os.urandom(_NONCE_BYTES)
    return header + nonce + _cipher(key, purpose).encrypt(nonce, secret, header)


def _cipher(key: SealingKey, purpose: str) -> AESGCM:
    return AESGCM(key.derive(f"seal:{purpose}"))


def _split(sealed: bytes) -> tuple[bytes, bytes, bytes]:
    nonce_end = _HEADER_BYTES + _NONCE_BYTES
    if len(sealed) < nonce_end or sealed[:1] != _VERSION:
        raise ValueError("not a sealed value")
    return sealed[:_HEADER_BYTES], sealed[_HEADER_BYTES:nonce_end], sealed[nonce_end:]
