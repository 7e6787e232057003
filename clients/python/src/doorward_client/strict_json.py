"""JSON as everybody reads it the same way: no name twice, no NaN, no number beyond a float."""

import json
from collections.abc import Sequence
from math import isfinite
from typing import Any

_MAX_DIGITS = 20
_MAX_BRACKETS = 500  # far below what a recursive reader survives


def read_object(text: bytes) -> dict[str, Any]:
    """Read one JSON object from UTF-8. Raises ValueError, and nothing else."""
    if max(text.count(b"["), text.count(b"{")) > _MAX_BRACKETS:
        raise ValueError("nested too deeply")
    value = _DECODER.decode(text.decode())
    if not isinstance(value, dict):
        raise ValueError("no object")  # noqa: TRY004  one kind of refusal for all
    return value


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name twice in one object")
    return members


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError("a whole number of more than 64 bits")
    return int(digits)


def _number(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise ValueError("a number that is too large")
    return number


def _constant(name: str) -> float:
    raise ValueError(name)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_constant
)
