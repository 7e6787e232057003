"""JSON from strangers: RFC 8259, and nothing that two readers could take differently (C44; ASVS 1.5.3, 15.3.5).

The standard library's reader takes duplicate keys (the last one wins), NaN, numbers beyond every float and nesting
until the stack ends. All of these are refused here.
"""

import json
import re
from collections.abc import Sequence
from math import isfinite
from typing import Any

from doorward.kernel.errors import Malformed

MAX_DEPTH = 32
_INT64 = 2**63
_INT64_DIGITS = 20  # with a sign; int() of megabytes of digits would take minutes
# Strings are skipped whole, also one that never ends, so that each byte is looked at once.
_STRING_OR_BRACKET = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def loads(body: bytes, *, max_depth: int = MAX_DEPTH) -> Any:  # noqa: ANN401  any JSON value
    """Read one JSON value from UTF-8.

    Raises Malformed, and nothing else: invalid UTF-8, a byte order mark, bad syntax, a key twice in one object, NaN or
    Infinity, an integer beyond 64 bits, a number beyond a float, half a surrogate pair, more than `max_depth` levels.
    NUL within a string is read: a password may hold one.
    """
    if _depth(body) > max_depth:
        raise Malformed("The JSON is nested too deeply; %(depth)s levels are read", params={"depth": max_depth})
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Malformed("The body is not UTF-8") from error
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = {"line": error.lineno, "column": error.colno}
        raise Malformed("The body is not JSON: see line %(line)s, column %(column)s", params=where) from error
    if _SURROGATE_ESCAPE.search(text):
        _refuse_half_characters(value)
    return value


def _depth(body: bytes) -> int:
    """How deep brackets nest, by counting: a recursive reader must never see a body that is too deep."""
    depth = deepest = 0
    for match in _STRING_OR_BRACKET.finditer(body):
        token = match[0]
        if token in {b"[", b"{"}:
            depth += 1
            deepest = max(deepest, depth)
        elif token in {b"]", b"}"}:
            depth -= 1
    return deepest


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise Malformed("The JSON has a name twice in one object")
    return members


def _integer(digits: str) -> int:
    if len(digits) <= _INT64_DIGITS and -_INT64 <= (number := int(digits)) < _INT64:
        return number
    raise Malformed("The JSON has a whole number of more than 64 bits")


def _number(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise Malformed("The JSON has a number that is too large")
    return number


def _constant(name: str) -> float:
    raise Malformed("%(name)s is not JSON", params={"name": name})


def _refuse_half_characters(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise Malformed("The JSON has half of a surrogate pair") from error


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_constant
)
