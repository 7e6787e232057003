"""Versions of what is answered: ETag and If-Match (RFC 9110 §8.8.3, §13.1.1)."""

import re
from collections.abc import Mapping
from typing import Final, TypeAlias

from doorward.kernel.errors import Malformed
from doorward.kernel.msgid import msgid

Versions: TypeAlias = frozenset[int] | None
"""The versions that a change may be made to; None: whichever there is."""

IF_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "The `ETag` of an answer about this user: 412 when somebody has changed them since.",
}
_TAG = r'(?:W/)?"[!#-~]*"'
_LIST = re.compile(rf"{_TAG}(?:\s*,\s*{_TAG})*")
_STRONG = re.compile(r'(?<!W/)"([0-9]{1,18})"')
_WRONG = msgid("If-Match takes the ETag of an earlier answer")


def etag(version: int) -> dict[str, str]:
    """The header that names a version."""
    return {"etag": f'"{version}"'}


def read_if_match(headers: Mapping[str, str]) -> Versions:
    """The versions that the sender wants to change. A weak tag names none. Raises Malformed."""
    given = headers.get("if-match")
    if given is None or given.strip() == "*":
        return None
    if not _LIST.fullmatch(given.strip()):
        raise Malformed(_WRONG, reason="If-Match")
    return frozenset(int(number) for number in _STRONG.findall(given))
