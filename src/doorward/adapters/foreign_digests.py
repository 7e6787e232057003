"""Password digests of other systems, so that people who were moved here keep their passwords.

Only verified, never made: the first right password replaces them. A digest is text from someone else's table, so its
form is checked to the last character and its cost is capped before anything is computed.
"""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final, Protocol

import bcrypt

MAX_PBKDF2_ITERATIONS: Final = 4_000_000  # about a second; the highest advice so far is 1.4 million (SHA-1)
MIN_BCRYPT_COST: Final = 4
MAX_BCRYPT_COST: Final = 14  # about a second
MAX_SCRYPT_BYTES: Final = 256 * 1024 * 1024  # 128 * N * r
MAX_SCRYPT_WORK: Final = 2**21  # N * r * p; twice the highest advice (N = 2^17, r = 8)
BCRYPT_BYTES: Final = 72

_WERKZEUG_PBKDF2 = re.compile(r"pbkdf2:(sha1|sha256|sha512):([1-9][0-9]{0,8})\$([!-#%-~]{1,64})\$([0-9a-f]{40,128})")
_DJANGO_PBKDF2 = re.compile(r"pbkdf2_(sha1|sha256)\$([1-9][0-9]{0,8})\$([!-#%-~]{1,64})\$([A-Za-z0-9+/]{27,43}=)")
_WERKZEUG_SCRYPT = re.compile(
    r"scrypt:([1-9][0-9]{0,8}):([1-9][0-9]{0,4}):([1-9][0-9]{0,4})\$([!-#%-~]{1,64})\$([0-9a-f]{128})"
)
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")


class ForeignDigest(Protocol):
    """A digest of a known form and a bearable cost."""

    def matches(self, password: bytes) -> bool:
        """Tell whether `password` (UTF-8) is the right one, in constant time."""
        ...


def parse(digest: str) -> ForeignDigest | None:
    """Read a digest of werkzeug (pbkdf2, scrypt), Django (pbkdf2) or bcrypt; None when it is none or too costly."""
    if found := _WERKZEUG_PBKDF2.fullmatch(digest):
        return _pbkdf2(found[1], int(found[2]), found[3], bytes.fromhex(found[4]) if len(found[4]) % 2 == 0 else b"")
    if found := _DJANGO_PBKDF2.fullmatch(digest):
        return _pbkdf2(found[1], int(found[2]), found[3], _base64(found[4]))
    if found := _WERKZEUG_SCRYPT.fullmatch(digest):
        return _scrypt(int(found[1]), int(found[2]), int(found[3]), found[4], bytes.fromhex(found[5]))
    if found := _BCRYPT.fullmatch(digest):
        return _Bcrypt(digest.encode("ascii")) if MIN_BCRYPT_COST <= int(found[1]) <= MAX_BCRYPT_COST else None
    return None


def _pbkdf2(algorithm: str, iterations: int, salt: str, expected: bytes) -> ForeignDigest | None:
    is_whole = len(expected) == hashlib.new(algorithm).digest_size
    if not is_whole or iterations > MAX_PBKDF2_ITERATIONS:
        return None
    return _Pbkdf2(algorithm, iterations, salt.encode("ascii"), expected)


def _scrypt(n: int, r: int, p: int, salt: str, expected: bytes) -> ForeignDigest | None:
    is_power_of_two = n > 1 and n & (n - 1) == 0
    is_below_bound = n.bit_length() <= 16 * r  # RFC 7914 §2; OpenSSL refuses others
    if not (is_power_of_two and is_below_bound) or 128 * n * r > MAX_SCRYPT_BYTES or n * r * p > MAX_SCRYPT_WORK:
        return None
    return _Scrypt(n, r, p, salt.encode("ascii"), expected)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""


@dataclass(frozen=True, slots=True)
class _Pbkdf2:
    algorithm: str
    iterations: int
    salt: bytes
    expected: bytes

    def matches(self, password: bytes) -> bool:
        """See `ForeignDigest`."""
        found = hashlib.pbkdf2_hmac(self.algorithm, password, self.salt, self.iterations)
        return hmac.compare_digest(found, self.expected)


@dataclass(frozen=True, slots=True)
class _Scrypt:
    n: int
    r: int
    p: int
    salt: bytes
    expected: bytes

    def matches(self, password: bytes) -> bool:
        """See `ForeignDigest`."""
        room = 132 * self.n * self.r * self.p + 1024  # OpenSSL refuses less than it is going to use
        found = hashlib.scrypt(password, salt=self.salt, n=self.n, r=self.r, p=self.p, maxmem=room, dklen=64)
        return hmac.compare_digest(found, self.expected)


@dataclass(frozen=True, slots=True)
class _Bcrypt:
    digest: bytes

    def matches(self, password: bytes) -> bool:
        """See `ForeignDigest`."""
        # The system it comes from cut the password there too; ours is never cut, and replaces this one.
        return bcrypt.checkpw(password[:BCRYPT_BYTES], self.digest)
