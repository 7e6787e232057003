"""The secret of an API key: `dw_`, 256 random bits, and a checksum, so that scanners know one wherever it leaks.

Fifty-two characters: the prefix, 43 of base 62 (0-9, A-Z, a-z), and six more, the CRC-32 (ISO 3309) of those 43 in
base 62. A text that looks like a key and is none is told without asking the database.
"""

import re
import secrets
from typing import Final
from urllib.parse import unquote_plus
from zlib import crc32

PREFIX: Final = "dw_"
PATTERN: Final = r"dw_[0-9A-Za-z]{49}"
HINT_LENGTH: Final = 9  # of what is shown of a key, the prefix included

_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BITS: Final = 256
_RANDOM: Final = 43  # digits of base 62 that hold 256 bits
_CHECK: Final = 6  # and 32 bits
_KEY: Final = re.compile(PATTERN)


def new_api_key() -> str:
    """Make one."""
    return with_checksum(_base62(secrets.randbits(_BITS), _RANDOM))


def with_checksum(digits: str) -> str:
    """The key of 43 digits of base 62."""
    return f"{PREFIX}{digits}{_base62(crc32(digits.encode()), _CHECK)}"


def is_api_key(text: str) -> bool:
    """Whether `text` is a key that somebody may have made, down to its checksum."""
    return _KEY.fullmatch(text) is not None and with_checksum(text[len(PREFIX) : -_CHECK]) == text


def find_api_key(query: str) -> str | None:
    """The first key in the query of an address, however it is escaped there."""
    if "dw" not in query and "%" not in query:
        return None
    return next((found for found in _KEY.findall(unquote_plus(query)) if is_api_key(found)), None)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
