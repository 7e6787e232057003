"""Custom fields as the operator declares them: `[fields.<name>]` in doorward.toml, one table a field."""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from math import isfinite
from typing import Any, Literal, TypeAlias

import msgspec

FieldType: TypeAlias = Literal["string", "integer", "number", "boolean", "date", "json"]
Read: TypeAlias = Literal["private", "members", "public"]
Writer: TypeAlias = Literal["user", "app", "admin"]

CORE = ("uid", "name", "email", "dob")
# Names that mean something else in a body, a form or an answer.
RESERVED = frozenset({
    *CORE, "id", "status", "roles", "version", "created_at", "updated_at", "legacy_id", "email_verified", "fields",
    "password", "current_password", "new_password", "identifier", "transport", "csrf_token", "next", "rank", "value",
    "data", "message", "errors", "sort", "limit", "cursor",
})  # fmt: skip
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
INT64 = 2**63 - 1
STRING_LENGTH = 2_000  # code points, when the declaration gives no max_length
SORTABLE_LENGTH = 200  # PostgreSQL refuses an index entry above 2,704 bytes; a code point takes up to 4
JSON_BYTES = 8_192
JSON_BYTES_MOST = 1_048_576

_NUMERIC = frozenset({"integer", "number"})
_RANGED = _NUMERIC | {"date"}


class Declaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One custom field. `minimum` and `maximum` are numbers, or ISO 8601 dates for a date."""

    type: FieldType
    label: str = ""
    hint: str = ""
    read: Read = "private"
    write: Writer = "user"
    sortable: bool = False
    required: bool = False  # at sign-up
    default: Any = None
    minimum: int | float | str | None = None
    maximum: int | float | str | None = None
    min_length: int | None = None  # code points, of a string
    max_length: int | None = None
    max_bytes: int = JSON_BYTES  # of a json value, encoded


class CoreRead(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who reads the fields that every user has. An e-mail address shows to others only when it is verified."""

    uid: Read = "members"
    name: Read = "members"
    dob: Read = "private"
    email: Read = "private"


def check_declarations(declarations: Mapping[str, Declaration]) -> list[str]:
    """Everything wrong with the declarations, each as "<field>[.<key>]: what is wrong"; empty when all is well."""
    return [problem for name, declared in declarations.items() for problem in _problems(name, declared)]


def as_date(text: object) -> date | None:
    """The day that `text` names as YYYY-MM-DD, else None."""
    if not isinstance(text, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def string_length(declared: Declaration) -> int:
    """How many code points a string may have."""
    return STRING_LENGTH if declared.max_length is None else declared.max_length


def longest(declared: Declaration) -> int:
    """How long a value may be, in code points or bytes; 0 where that is next to nothing."""
    match declared.type:
        case "string":
            return string_length(declared)
        case "json":
            return declared.max_bytes
        case _:
            return 0


def _problems(name: str, declared: Declaration) -> Iterator[str]:
    if not NAME.fullmatch(name):
        yield f"{name}: a field name is a lower-case letter, then up to 39 lower-case letters, digits or underscores"
    if name in RESERVED:
        yield f"{name}: this name is already taken by Doorward itself"
    yield from (f"{name}.{key}: {what}" for key, what in _misplaced(declared))
    yield from (f"{name}.{key}: {what}" for key, what in _bad_limits(declared))
    if declared.required and declared.write != "user":
        yield f"{name}.required: nobody could sign up, since only {declared.write} may write it"
    if declared.required and declared.default is not None:
        yield f"{name}.default: a required field never needs a default"
    if declared.default is not None:
        yield from (f"{name}.default: {what}" for what in _bad_default(declared))


def _misplaced(declared: Declaration) -> Iterator[tuple[str, str]]:
    """Keys that mean nothing for the type."""
    kind = declared.type
    if kind not in _RANGED:
        for key in ("minimum", "maximum"):
            if getattr(declared, key) is not None:
                yield key, f"a {kind} has no range; only integer, number and date have"
    if kind != "string":
        for key in ("min_length", "max_length"):
            if getattr(declared, key) is not None:
                yield key, f"a {kind} has no length; only string has"
    if kind != "json" and declared.max_bytes != JSON_BYTES:
        yield "max_bytes", f"a {kind} is not counted in bytes; only json is"
    if kind in {"json", "boolean"} and declared.sortable:
        yield "sortable", f"a {kind} gives no order; only string, integer, number and date do"


def _bad_limits(declared: Declaration) -> Iterator[tuple[str, str]]:
    if declared.type in _RANGED:
        yield from _bad_range(declared)
    if declared.type == "string":
        yield from _bad_lengths(declared)
    if not 2 <= declared.max_bytes <= JSON_BYTES_MOST:  # noqa: PLR2004  the size of {}
        yield "max_bytes", f"a size is between 2 and {JSON_BYTES_MOST} bytes"


def _bad_range(declared: Declaration) -> Iterator[tuple[str, str]]:
    limits: dict[str, Any] = {"minimum": declared.minimum, "maximum": declared.maximum}
    given = {key: limit for key, limit in limits.items() if limit is not None}
    misfits = [key for key, limit in given.items() if not _fits_type(declared.type, limit)]
    yield from ((key, f"this is not a value of type {declared.type}") for key in misfits)
    if len(given) == len(limits) and not misfits and given["minimum"] > given["maximum"]:
        yield "minimum", "the minimum is above the maximum"


def _bad_lengths(declared: Declaration) -> Iterator[tuple[str, str]]:
    shortest, longest = declared.min_length or 0, string_length(declared)
    if shortest < 0:
        yield "min_length", "a length is not negative"
    if shortest > longest:
        yield "min_length", f"the shortest length is above the longest, {longest}"
    if not 1 <= longest <= JSON_BYTES_MOST:
        yield "max_length", f"a longest length is between 1 and {JSON_BYTES_MOST}"
    if declared.sortable and longest > SORTABLE_LENGTH:
        yield "max_length", f"a sortable string needs a max_length of at most {SORTABLE_LENGTH}"


def _bad_default(declared: Declaration) -> Iterator[str]:
    default = declared.default
    if not _fits_type(declared.type, default):
        yield f"this is not a value of type {declared.type}"
    elif declared.type == "string" and not (declared.min_length or 0) <= len(default) <= string_length(declared):
        yield "this is shorter or longer than a value may be"
    elif declared.type in _RANGED and not any(_bad_range(declared)) and not _is_within(declared):
        yield "this is below the minimum or above the maximum"


def _is_within(declared: Declaration) -> bool:
    low: Any = declared.minimum
    high: Any = declared.maximum
    return (low is None or low <= declared.default) and (high is None or declared.default <= high)


def _fits_type(kind: FieldType, value: Any) -> bool:  # noqa: ANN401  whatever the configuration holds
    match kind:
        case "integer":
            return type(value) is int and -INT64 - 1 <= value <= INT64
        case "number":
            return type(value) in {int, float} and isfinite(value)
        case "boolean":
            return type(value) is bool
        case "string":
            return isinstance(value, str)
        case "date":
            return as_date(value) is not None
        case "json":
            return True
