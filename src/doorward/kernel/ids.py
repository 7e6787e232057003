"""Identifiers and secrets, both from the operating system's random source."""

import hashlib
import os
import re
import secrets

from doorward.kernel.instant import MILLISECOND, Instant

TOKEN_BYTES = 32  # 256 bits; ASVS 7.2.3 asks for 128
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def new_id(now: Instant) -> str:
    """Make a UUIDv7 (RFC 9562 §5.7) as its 36 character text; ids made later sort later."""
    return _uuid7(now, int.from_bytes(os.urandom(8), "big") & 0x3FFF_FFFF_FFFF_FFFF)


def first_id(now: Instant) -> str:
    """The lowest that `new_id` may give at `now`, for ranges of time in an index of ids."""
    return _uuid7(now, 0)


def is_id(text: str) -> bool:
    """Whether text could be an id (RFC 9562 §4, as we write them)."""
    return _ID.fullmatch(text) is not None


def _uuid7(now: Instant, tail: int) -> str:
    millis = now // MILLISECOND
    # RFC 9562 §6.2 method 3: the microseconds fill rand_a, so that ids within a millisecond sort too.
    fraction = (now % MILLISECOND) * 4096 // MILLISECOND
    number = (millis & 0xFFFF_FFFF_FFFF) << 80 | 0x7000 << 64 | fraction << 64 | 0x8000_0000_0000_0000 | tail
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def new_token() -> str:
    """Make a bearer secret of 256 random bits, base64url without padding (43 characters)."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def token_digest(token: str) -> bytes:
    """SHA-256 of a token of ours, as it is kept: enough for 256 random bits (ASVS 11.4.1)."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
