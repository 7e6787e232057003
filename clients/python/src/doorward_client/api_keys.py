"""API keys as they are written: `dw_`, 43 digits of base 62, then six that are their CRC-32 (docs/api-keys.md)."""

import re
from zlib import crc32

PREFIX = "dw_"
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LENGTH = 43
_KEY = re.compile(r"dw_[0-9A-Za-z]{49}")


def with_checksum(digits: str) -> str:
    """The key of 43 digits."""
    number, check = crc32(digits.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, len(DIGITS))
        check = DIGITS[digit] + check
    return f"{PREFIX}{digits}{check}"


def is_api_key(text: str) -> bool:
    """Whether this may be a key that somebody has, so that it is worth asking about."""
    return _KEY.fullmatch(text) is not None and with_checksum(text[len(PREFIX) : len(PREFIX) + LENGTH]) == text
