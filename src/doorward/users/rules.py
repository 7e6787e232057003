"""One rule a field: what it accepts, and the sentence for each way of being wrong.

A rule answers with a code; the sentences are gettext msgids with %(name)s places, also for the scripts of our pages.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from math import isfinite
from typing import Any, TypeAlias

from doorward.kernel import text
from doorward.kernel.errors import FieldError
from doorward.users.fields import INT64, Declaration, as_date, string_length

Check: TypeAlias = Callable[[object], str | None]
"""Finds the code of what is wrong with a value, or None."""

SHORTEST, LONGEST = 2, 64  # code points of a handle and of a name
KEY_OCTETS = 1_024  # NFKC makes 18 letters of one; PostgreSQL refuses an index entry above 2,704 bytes
EARLIEST_BIRTH = date(1900, 1, 1)
JSON_DEPTH = 30
TAKEN = "This username is taken; choose another"

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Text of a form that was to be JSON and is not."""

    text: str


@dataclass(frozen=True, slots=True)
class Rule:
    """What one field accepts. `label` names it on a form; `params` fill the places of `messages`."""

    name: str
    label: str
    check: Check
    messages: Mapping[str, str]
    params: Mapping[str, Any] = field(default_factory=dict)
    required: bool = False

    def error(self, value: object) -> FieldError | None:
        """What is wrong with `value`, if anything. What is required may not be "" or an empty tick-box."""
        if value is None or (self.required and (value == "" or value is False)):
            return self.refuse("required") if self.required else None
        code = self.check(value)
        return None if code is None else self.refuse(code)

    def refuse(self, code: str) -> FieldError:
        """The error of that code."""
        return FieldError(self.name, code, self.messages[code], self.params)


def length(value: str) -> int:
    """Code points after NFC, as people and our pages' scripts count them."""
    return len(text.normal_form(value))


# Core fields -------------------------------------------------------------------------------------------------------

_FLAWS = {
    "control_character": "%(label)s may not contain control characters",
    "line_break": "%(label)s must be on one line",
    "half_character": "%(label)s contains a broken character",
    "direction_override": "%(label)s may not contain marks that turn round the direction of text",
}
_UID_MESSAGES = {
    "required": "Enter a username",
    "wrong_type": "The username must be text",
    "too_short": "The username needs at least %(minimum)s characters",
    "too_long": "The username may have at most %(maximum)s characters",
    "space": "The username may not contain spaces",
    "at_sign": "The username may not contain @",
    "like_a_phone_number": "The username may not look like a telephone number",
    "invisible_character": "The username may not contain invisible characters",
    "not_visible": "The username needs at least one letter, digit or sign",
    "control_character": "The username may not contain control characters",
    "line_break": "The username may not contain line breaks",
    "half_character": "The username contains a broken character",
    "direction_override": "The username may not contain marks that turn round the direction of text",
    "taken": TAKEN,
}
_NAME_MESSAGES = {
    "required": "Enter your name",
    "wrong_type": "The name must be text",
    "too_short": "The name needs at least %(minimum)s characters",
    "too_long": "The name may have at most %(maximum)s characters",
    "not_visible": "The name needs at least one letter, digit or sign",
    "control_character": "The name may not contain control characters",
    "line_break": "The name must be on one line",
    "half_character": "The name contains a broken character",
    "direction_override": "The name may not contain marks that turn round the direction of text",
}
_EMAIL_MESSAGES = {
    "required": "Enter an e-mail address",
    "wrong_type": "The e-mail address must be text",
    "not_an_email": "Enter an e-mail address such as name@example.org",
}
_DOB_MESSAGES = {
    "required": "Enter your date of birth",
    "wrong_type": "The date of birth must be text such as 1990-12-31",
    "not_a_date": "The date of birth must be a real date such as 1990-12-31",
    "in_the_future": "The date of birth is in the future",
    "out_of_range": "The date of birth must be in %(minimum)s or later",
}
_LENGTHS = {"minimum": SHORTEST, "maximum": LONGEST}


def core_rule(name: str, today: date = date.max) -> Rule:
    """The rule of a field that every user has: uid, name, email or dob."""
    match name:
        case "uid":  # public, and no pretence of being an address or a number of somebody else's
            return Rule(name, "Username", _check_uid, _UID_MESSAGES, _LENGTHS, required=True)
        case "name":
            return Rule(name, "Name", _check_name, _NAME_MESSAGES, _LENGTHS, required=True)
        case "email":  # whether it is theirs is found out later
            return Rule(name, "E-mail", _check_email, _EMAIL_MESSAGES)
        case _:
            params = {"minimum": EARLIEST_BIRTH.year}
            return Rule(name, "Date of birth", lambda value: _check_dob(value, today), _DOB_MESSAGES, params)


def _check_uid(value: object) -> str | None:
    if not isinstance(value, str):
        return "wrong_type"
    if found := text.flaw(value):
        return found
    for code, holds in _UID_FAULTS.items():
        if holds(value):
            return code
    return None


_UID_FAULTS: Mapping[str, Callable[[str], bool]] = {
    "space": lambda uid: any(character.isspace() for character in uid),
    "too_short": lambda uid: length(uid) < SHORTEST,
    "too_long": lambda uid: length(uid) > LONGEST or len(text.uid_key(uid).encode()) > KEY_OCTETS,
    "at_sign": lambda uid: "@" in unicodedata.normalize("NFKC", uid),
    "invisible_character": text.has_invisible,
    "not_visible": lambda uid: not text.is_visible(uid),
    "like_a_phone_number": text.is_phone_like,
}


def _check_name(value: object) -> str | None:
    if not isinstance(value, str):
        return "wrong_type"
    if found := text.flaw(value):
        return found
    if length(value.strip()) < SHORTEST:
        return "too_short"
    if length(value) > LONGEST:
        return "too_long"
    return None if text.is_visible(value) else "not_visible"


def _check_email(value: object) -> str | None:
    if not isinstance(value, str):
        return "wrong_type"
    return None if text.is_plausible_email(value) else "not_an_email"


def _check_dob(value: object, today: date) -> str | None:
    if not isinstance(value, str):
        return "wrong_type"
    day = as_date(value)
    if day is None:
        return "not_a_date"
    if day > today:
        return "in_the_future"
    return "out_of_range" if day < EARLIEST_BIRTH else None


# Custom fields -----------------------------------------------------------------------------------------------------

_MESSAGES = {
    "required": "%(label)s is missing",
    "too_short": "%(label)s needs at least %(minimum)s characters",
    "too_long": "%(label)s may have at most %(maximum)s characters",
    "not_a_date": "%(label)s must be a real date such as 2026-12-31",
    "not_json": "%(label)s is not JSON",
    "too_deep": "%(label)s is nested too deeply",
    "too_large": "%(label)s may have at most %(maximum)s bytes",
    "unstorable": "%(label)s may not contain NUL or broken characters",
    **_FLAWS,
}
_WRONG_TYPE = {
    "string": "%(label)s must be text",
    "integer": "%(label)s must be a whole number",
    "number": "%(label)s must be a number",
    "boolean": "%(label)s must be true or false",
    "date": "%(label)s must be text such as 2026-12-31",
    "json": "%(label)s is not JSON",
}


def custom_rule(name: str, declared: Declaration, *, required: bool) -> Rule:
    """The rule that a declaration amounts to."""
    label = label_of(name, declared)
    low, high = _limits(declared)
    params = {"label": label, "minimum": low, "maximum": high}
    messages = {**_MESSAGES, "wrong_type": _WRONG_TYPE[declared.type], "out_of_range": _range_message(low, high)}
    return Rule(name, label, _check_for(declared), messages, params, required)


def label_of(name: str, declared: Declaration) -> str:
    """What to call a field on a page."""
    return declared.label or name.replace("_", " ").capitalize()


def _limits(declared: Declaration) -> tuple[float | str | None, float | str | None]:
    match declared.type:
        case "string":
            return declared.min_length, string_length(declared)
        case "json":
            return None, declared.max_bytes
        case _:
            return declared.minimum, declared.maximum


def _range_message(low: object, high: object) -> str:
    if low is not None and high is not None:
        return "%(label)s must be from %(minimum)s to %(maximum)s"
    if low is not None:
        return "%(label)s must be at least %(minimum)s"
    return "%(label)s is too large" if high is None else "%(label)s must be at most %(maximum)s"


def _check_for(declared: Declaration) -> Check:
    checks: Mapping[str, Callable[[object, Declaration], str | None]] = {
        "string": _check_string,
        "integer": _check_integer,
        "number": _check_number,
        "boolean": _check_boolean,
        "date": _check_date,
        "json": _check_json,
    }
    check = checks[declared.type]
    return lambda value: check(value, declared)


def _check_string(value: object, declared: Declaration) -> str | None:
    if not isinstance(value, str):
        return "wrong_type"
    if found := text.flaw(value, several_lines=True):
        return found
    if length(value) < (declared.min_length or 0):
        return "too_short"
    return "too_long" if length(value) > string_length(declared) else None


def _check_integer(value: object, declared: Declaration) -> str | None:
    # True is an int to Python, and nowhere else.
    return _check_range(value, declared) if type(value) is int else "wrong_type"


def _check_number(value: object, declared: Declaration) -> str | None:
    if type(value) is int or (type(value) is float and isfinite(value)):
        return _check_range(value, declared)
    return "wrong_type"


def _check_boolean(value: object, _: Declaration) -> str | None:
    return None if type(value) is bool else "wrong_type"


def _check_date(value: object, declared: Declaration) -> str | None:
    if not isinstance(value, str):
        return "wrong_type"
    return "not_a_date" if as_date(value) is None else _check_range(value, declared)


def _check_range(value: Any, declared: Declaration) -> str | None:  # noqa: ANN401  a number or an ISO date
    if type(value) is int and not -INT64 - 1 <= value <= INT64:
        return "out_of_range"
    low: Any = declared.minimum
    high: Any = declared.maximum
    inside = (low is None or low <= value) and (high is None or value <= high)
    return None if inside else "out_of_range"


def _check_json(value: object, declared: Declaration) -> str | None:
    if isinstance(value, Unreadable):
        return "not_json"
    if found := _json_fault(value):
        return found
    encoded = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return "too_large" if len(encoded) > declared.max_bytes else None


def _json_fault(value: object) -> str | None:
    """Look at every value without recursion, which a deep one would end."""
    level: list[object] = [value]
    for _ in range(JSON_DEPTH + 1):
        for one in level:
            if code := _leaf_fault(one):
                return code
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return None
    return "too_deep"


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    return value if isinstance(value, list) else []


def _leaf_fault(value: object) -> str | None:
    match value:
        case str():
            return "unstorable" if _UNSTORABLE.search(value) else None
        case bool() | None | dict() | list():
            return None
        case int():
            return None if -INT64 - 1 <= value <= INT64 else "wrong_type"
        case float():
            return None if isfinite(value) else "wrong_type"
        case _:
            return "wrong_type"
